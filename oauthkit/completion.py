"""Work that ends once it has been started, whoever stops waiting for it.

A renewal must not be cut off between the server's answer and the save. A shield of anyio does not
stop asyncio's own cancellation (`asyncio.timeout`, `task.cancel()`), so there the work is a task of
its own; on trio it runs in a shield, or as a system task where nobody waits.
"""

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    import asyncio

Work = Callable[[], Coroutine[Any, Any, None]]
Ended = Callable[[], None]


def current_loop() -> object:
    """Return what tells the running event loop from every other one."""
    loop = _asyncio_loop()
    if loop is not None:
        return loop
    import trio  # noqa: PLC0415 - it is running, so it is loaded

    return trio.lowlevel.current_trio_token()


class Completion:
    """Run work to its end, and know what is still running."""

    def __init__(self) -> None:
        """Start with nothing running."""
        anyio.Event()  # makes anyio load its part for the running loop, now and not in a renewal
        self._running: dict[anyio.Event, object] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds them weakly

    async def run(self, work: Work, ended: Ended) -> None:
        """Do the work and wait for its end.

        A cancelled caller leaves at once on asyncio, and at the end of the work on trio; the work
        goes on in either case.

        Args:
            work: It must not raise.
            ended: Called at the end, even of work that was cancelled before it began.
        """
        if _asyncio_loop() is not None:
            await self.start(work, ended).wait()
            return
        with anyio.CancelScope(shield=True):
            await self._finish(work, ended, self._begun())
        await anyio.lowlevel.checkpoint_if_cancelled()

    def start(self, work: Work, ended: Ended) -> anyio.Event:
        """Do the work beside the caller, and return what is set at its end.

        Args:
            work: It must not raise.
            ended: Called at the end, even of work that was cancelled before it began.
        """
        done = self._begun()
        loop = _asyncio_loop()
        if loop is not None:
            task = loop.create_task(work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._over(ended, done))
        else:
            import trio  # noqa: PLC0415 - it is running, so it is loaded

            trio.lowlevel.spawn_system_task(self._finish, work, ended, done)
        return done

    async def drain(self) -> None:
        """Wait for all work that was started in this event loop."""
        here = current_loop()
        for done, loop in list(self._running.items()):
            if loop is here:
                await done.wait()

    def _begun(self) -> anyio.Event:
        done = anyio.Event()
        self._running[done] = current_loop()
        return done

    def _over(self, ended: Ended, done: anyio.Event) -> None:
        ended()
        self._running.pop(done, None)
        done.set()

    async def _finish(self, work: Work, ended: Ended, done: anyio.Event) -> None:
        try:
            await work()
        finally:
            self._over(ended, done)


def _asyncio_loop() -> "asyncio.AbstractEventLoop | None":
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio is not None else None
        # A guest run of trio is stepped by an asyncio loop, in no task of that loop.
        return loop if asyncio is not None and asyncio.current_task() is not None else None
    except RuntimeError:
        return None
