"""How many renewals begin in one turn of the event loop.

The first steps of a renewal (a look at the store, a place in the line) take a fraction of a
millisecond, and no pause where the store is this process's own memory. Ten thousand keys that are
asked for together would so keep the event loop from all other tasks for seconds.
"""

from collections import OrderedDict
from typing import Final

import anyio
import anyio.lowlevel
from anyio.lowlevel import RunVar

_PORTION: Final = 8


class Pace:
    """Let so many begin in one turn of the event loop, the others in the next ones, in order.

    Who comes while nobody leads does: as it begins, it calls the next ones, who let a turn pass and
    begin together. The last of them leads then.
    """

    def __init__(self, portion: int = _PORTION) -> None:
        """Begin with nobody waiting.

        Args:
            portion: How many begin in one turn.
        """
        self._portion = portion
        self._waiting: OrderedDict[anyio.Event, None] = OrderedDict()
        self._leader: anyio.Event | None = None

    async def begin(self) -> None:
        """Wait until it is one's turn to begin."""
        place = anyio.Event()
        try:
            if self._leader is None:
                self._leader = place
            else:
                self._waiting[place] = None
                await place.wait()
            await anyio.lowlevel.checkpoint()
        finally:
            self._waiting.pop(place, None)  # where it is cancelled
            if self._leader is place:
                self._call_next()

    def _call_next(self) -> None:
        self._leader = None
        for _ in range(min(self._portion, len(self._waiting))):
            self._leader, _ = self._waiting.popitem(last=False)
            self._leader.set()


def pace() -> Pace:
    """Return that of the running event loop."""
    try:
        return _PACE.get()
    except LookupError:
        _PACE.set(Pace())
        return _PACE.get()


_PACE: Final[RunVar[Pace]] = RunVar("oauthkit.pace")
