"""What happens once, and may be waited for."""

import anyio
import anyio.lowlevel


class Latch:
    """As `anyio.Event`, which is made first when somebody waits.

    Each costs some ten microseconds and a dozen objects. A renewal has five things of which it may
    be told, and is as a rule waited for in one of them; thousands may begin together.
    """

    __slots__ = ("_event", "_happened")

    def __init__(self) -> None:
        """Begin as not having happened."""
        self._happened = False
        self._event: anyio.Event | None = None

    def set(self) -> None:
        """Let everybody go who waits."""
        self._happened = True
        if self._event is not None:
            self._event.set()

    def is_set(self) -> bool:
        """Tell whether it has happened."""
        return self._happened

    async def wait(self) -> None:
        """Wait until it has happened."""
        if self._happened:
            await anyio.lowlevel.checkpoint()
            return
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
