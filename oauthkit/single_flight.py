"""One look for all who want to know (single flight)."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from oauthkit.errors import OAuthKitError, TransportError
from oauthkit.renewal.event_loop import current_loop
from oauthkit.renewal.latch import Latch

_PAUSE: Final = 2.0
"""Seconds after a failure before anybody looks again, where the server does not ask for more."""
_LONGEST_PAUSE: Final = 60.0
_PATIENCE: Final = 5.0
_NEARLY_ALL: Final = 0.85
"""Of the time: a connection that is not there by then is given up (`oauthkit.transport`)."""


def pause_of(error: OAuthKitError) -> float:
    """Return the seconds after a failed look in which nobody looks again.

    Args:
        error: What it came to.
    """
    return min(max(error.retry_after or _PAUSE, _PAUSE), _LONGEST_PAUSE)


def was_hasty(error: OAuthKitError, *, began: float, seconds: float) -> bool:
    """Tell whether a look failed for want of time alone, and of time that its caller spared.

    That says nothing to others, who may wait for longer.

    Args:
        error: Why it failed.
        began: When it began, on the event loop's clock.
        seconds: How long it could take.
    """
    ran_out = (
        isinstance(error, TransportError) and anyio.current_time() >= began + _NEARLY_ALL * seconds
    )
    return ran_out and seconds < _PATIENCE


class SingleFlight:
    """Have one task look, and let the others wait for it.

    Each event loop has its own: nobody waits for another one's.
    """

    def __init__(self) -> None:
        """Begin with nobody looking."""
        self._looks: dict[object, Latch] = {}

    async def share(self, look: Callable[[], Awaitable[None]], *, seconds: float) -> None:
        """Look, or wait for who looks already.

        Who waited knows no more than that the look is over: its task may have been cancelled.

        Args:
            look: Is awaited, if nobody looks.
            seconds: How long is waited for somebody else.
        """
        here = current_loop()
        under_way = self._looks.get(here)
        if under_way is not None:
            with anyio.move_on_after(seconds):
                await under_way.wait()
            return
        begun = self._looks[here] = Latch()
        try:
            await look()
        finally:
            del self._looks[here]
            begun.set()
