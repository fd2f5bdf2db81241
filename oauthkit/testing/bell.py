"""What happens once, and may be waited for in the event loop of any thread."""

import threading
from typing import Any

import anyio
import anyio.lowlevel
import attrs


@attrs.define(eq=False)
class Bell:
    """As `anyio.Event`, for a test in one thread and a server in another."""

    _rung: bool = False
    _mutex: threading.Lock = attrs.field(factory=threading.Lock, repr=False)
    _waiting: dict[anyio.Event, Any] = attrs.field(factory=dict[anyio.Event, Any], repr=False)

    def ring(self) -> None:
        """Let everybody go who waits, and who comes later."""
        with self._mutex:
            self._rung = True
            waiting = dict(self._waiting)
        for event, loop in waiting.items():
            if loop is _loop():
                event.set()
            else:
                # Both kinds of loops have a way in that does not wait: two threads that each waited
                # for the other's loop would wait for ever.
                soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
                soon(event.set)

    async def wait(self) -> None:
        """Wait until it has rung."""
        event = anyio.Event()
        with self._mutex:
            if self._rung:
                event.set()
            self._waiting[event] = _loop()
        try:
            await event.wait()
        finally:
            with self._mutex:
                del self._waiting[event]


def _loop() -> Any:
    """Return the event loop that runs in this thread, as its library knows it; None without one."""
    try:
        return anyio.lowlevel.current_token().native_token
    except anyio.NoEventLoopError:
        return None
