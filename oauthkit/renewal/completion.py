"""Work that ends once it has been started, whoever stops waiting for it.

A renewal must not be cut off between the server's answer and the save. A shield of anyio does not
stop asyncio's own cancellation (`asyncio.timeout`, `task.cancel()`, the end of `asyncio.run`). So
there the work is a task that nobody else finds, and beside it stands one that anybody may cancel.
On trio the work is a system task, shielded while it must not be stopped.
"""

import contextvars
import math
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel
import attrs

from oauthkit.renewal.latch import Latch

if TYPE_CHECKING:
    import asyncio


@attrs.define(eq=False)
class Guard:
    """What work and who watches over it tell each other.

    Attributes:
        ending: Set when the work is to come to its end soon: the session is closed, or the event
            loop is shut down.
        idle: Set when nobody need wait for it any more: it is at its end, or goes on beside.
    """

    ending: Latch = attrs.field(factory=Latch)
    idle: Latch = attrs.field(factory=Latch)
    _critical: bool = False
    _scope: anyio.CancelScope | None = None
    _cancel: Callable[[], object] | None = None

    @property
    def critical(self) -> bool:
        """Whether the work must not be stopped now."""
        return self._critical

    @critical.setter
    def critical(self, critical: bool) -> None:
        self._critical = critical
        if self._scope is not None:
            self._scope.shield = critical
        if self.ending.is_set() and not critical:
            self.stop()

    def end(self) -> None:
        """Let the work come to its end: at once, unless it must not be stopped now."""
        self.ending.set()
        if not self._critical:
            self.stop()

    def stop(self) -> None:
        """Cancel the work, wherever it is."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def on_stop(self, cancel: Callable[[], object], scope: anyio.CancelScope | None = None) -> None:
        """Take what cancels the work, and what shields it where that is needed."""
        self._cancel, self._scope = cancel, scope


_LONGEST_GRACE: Final = 86_400.0  # seconds; an event loop's timers know no infinity
_LONGEST_STEP: Final = 0.25
"""Seconds of a grace that are counted at once: of the minute for which a process was stopped, its
work had nothing."""

Work = Callable[[Guard], Coroutine[Any, Any, None]]
Ended = Callable[[Guard], None]


@attrs.frozen
class _Running:
    loop: object
    guard: Guard


def current_loop() -> object:
    """Return what tells the running event loop from every other one."""
    loop = _asyncio_loop()
    if loop is not None:
        return loop
    import trio  # noqa: PLC0415 - it is running, so it is loaded

    return trio.lowlevel.current_trio_token()


def is_stray(error: BaseException) -> bool:
    """Tell whether this is a cancellation of asyncio's that nobody asked for.

    Somebody's code may raise one by itself, as where it waits for a task of its own that the end of
    `asyncio.run` has cancelled.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task() if _asyncio_loop() is not None else None
    return task is None or not task.cancelling()


class Completion:
    """Run work to its end, and know what is still running."""

    def __init__(self, grace: float = math.inf, linger: float = math.inf) -> None:
        """Start with nothing running.

        Args:
            grace: Seconds that work which must not be stopped has when it is to end.
            linger: The same, for work that goes on beside.
        """
        anyio.Event()  # makes anyio load its part for the running loop, now and not in a renewal
        self._grace = min(grace, _LONGEST_GRACE)
        self._linger = min(linger, _LONGEST_GRACE)
        self._running: dict[Latch, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds them weakly

    def start(self, work: Work, ended: Ended) -> Latch:
        """Do the work beside the caller, and return what is set at its end.

        Args:
            work: It must not raise.
            ended: Called at the end, even of work that was cancelled before it began.
        """
        guard, done = Guard(), Latch()
        self._running[done] = _Running(current_loop(), guard)
        over = partial(self._over, ended, guard, done)
        loop = _asyncio_loop()
        if loop is not None:
            task = loop.create_task(self._watch(work, guard, over))
            self._tasks.add(task)
            task.add_done_callback(partial(self._watched, done, over))
        else:
            import trio  # noqa: PLC0415 - it is running, so it is loaded

            # with the context of who asked, for what traces and logs find there
            context = contextvars.copy_context()
            trio.lowlevel.spawn_system_task(self._shield, work, guard, over, context=context)
        return done

    async def wait(self, event: Latch) -> None:
        """Wait for an event of work that was started for this caller.

        A cancelled caller leaves at once on asyncio, and after the event on trio.
        """
        if _asyncio_loop() is not None:
            await event.wait()
            return
        with anyio.CancelScope(shield=True):
            await event.wait()
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def stop(self, done: Latch) -> None:
        """Bring one piece of work to its end.

        Args:
            done: What `start` returned.
        """
        running = self._running.get(done)
        if running is not None:
            running.guard.end()
            await done.wait()

    async def drain(self) -> None:
        """Wait for all work of this event loop that does not go on beside."""
        for _, running in self._here():
            await running.guard.idle.wait()

    async def finish(self) -> None:
        """Bring all work of this event loop to its end, within the grace that it has."""
        grace = self._grace
        for _, running in self._here():
            grace = await _within_grace(running.guard.idle, grace)
        for _, running in self._here():
            running.guard.end()
        linger = self._linger
        for done, _ in self._here():
            linger = await _within_grace(done, linger)
        for done, running in self._here():
            running.guard.stop()
            await done.wait()

    def _here(self) -> list[tuple[Latch, _Running]]:
        here = current_loop()
        return [(done, running) for done, running in self._running.items() if running.loop is here]

    async def _watch(self, work: Work, guard: Guard, over: Callable[[], None]) -> None:
        """Do the work in a task that only this one knows, whatever cancels this one."""
        import asyncio  # noqa: PLC0415 - it is running, so it is loaded

        loop = asyncio.get_running_loop()
        hidden = loop.create_task(self._ended(work, guard, over))
        # Not in all_tasks(): the end of asyncio.run cancels every task there, and waits for it. It
        # waits for this one here, which decides. asyncio documents the call under "Extending".
        asyncio._unregister_task(hidden)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        guard.on_stop(hidden.cancel)
        grace: float | None = None
        while not hidden.done():
            step = None if grace is None else min(grace, _LONGEST_STEP)
            began = loop.time()
            try:
                await asyncio.wait([hidden], timeout=step)
            except asyncio.CancelledError:
                grace = self._grace_of(guard) if grace is None else grace
                guard.end()
            if grace is not None and step is not None:
                grace -= min(loop.time() - began, step)
                if grace <= 0:
                    guard.stop()
                    grace = None

    async def _shield(self, work: Work, guard: Guard, over: Callable[[], None]) -> None:
        """Do the work on trio, where the end of the run cancels this task."""
        ended = Latch()

        async def listen() -> None:
            try:
                await ended.wait()
            finally:
                guard.end()
                with anyio.CancelScope(shield=True):
                    await _within_grace(ended, self._grace_of(guard))
                guard.stop()

        async with anyio.create_task_group() as beside:
            with anyio.CancelScope(shield=guard.critical) as scope:
                guard.on_stop(scope.cancel, scope)
                beside.start_soon(listen)
                try:
                    await self._ended(work, guard, over)
                finally:
                    ended.set()

    def _grace_of(self, guard: Guard) -> float:
        return self._linger if guard.idle.is_set() else self._grace

    async def _ended(self, work: Work, guard: Guard, over: Callable[[], None]) -> None:
        # Begun here: a task that is cancelled before its first step would leave a coroutine that
        # nothing ever awaits.
        try:
            await work(guard)
        finally:
            over()

    def _watched(self, done: Latch, over: Callable[[], None], task: "asyncio.Task[None]") -> None:
        """See to the end of a task, and of work whose task was cancelled before its first step."""
        self._tasks.discard(task)
        if done in self._running:
            self._running[done].guard.ending.set()
            over()

    def _over(self, ended: Ended, guard: Guard, done: Latch) -> None:
        self._running.pop(done, None)
        ended(guard)
        guard.idle.set()
        done.set()


async def _within_grace(event: Latch, seconds: float) -> float:
    """Wait for an event, and return how many of the seconds are left."""
    while seconds > 0 and not event.is_set():
        step, began = min(seconds, _LONGEST_STEP), anyio.current_time()
        with anyio.move_on_after(step):
            await event.wait()
        seconds -= min(anyio.current_time() - began, step)
    return seconds


def _asyncio_loop() -> "asyncio.AbstractEventLoop | None":
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio is not None else None
        # A guest run of trio is stepped by an asyncio loop, in no task of that loop.
        return loop if asyncio is not None and asyncio.current_task() is not None else None
    except RuntimeError:
        return None
