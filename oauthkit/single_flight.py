"""One look for all who want to know (single flight)."""

from collections.abc import Awaitable, Callable

import anyio

from oauthkit.renewal.completion import current_loop
from oauthkit.renewal.latch import Latch


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
