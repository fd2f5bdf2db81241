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
    # by event, in which event loop and which thread
    _waiting: dict[anyio.Event, tuple[Any, int]] = attrs.field(
        factory=dict[anyio.Event, tuple[Any, int]], repr=False
    )

    def ring(self) -> None:
        """Let everybody go who waits, and who comes later."""
        with self._mutex:
            self._rung = True
            waiting = dict(self._waiting)
        for event, (loop, thread) in waiting.items():
            if thread == threading.get_ident():
                event.set()
            else:
                # Both kinds of loops have a way in that does not wait: two threads that each waited
                # for the other's loop would wait for ever.
                soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
                soon(event.set)

    async def wait(self) -> None:
        """Wait until it has rung."""
        event, loop = anyio.Event(), anyio.lowlevel.current_token().native_token
        with self._mutex:
            if self._rung:
                event.set()
            self._waiting[event] = loop, threading.get_ident()
        try:
            await event.wait()
        finally:
            with self._mutex:
                del self._waiting[event]
