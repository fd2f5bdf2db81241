"""The watch over all work of an event loop that must not be cut off.

A renewal must not be cut off between the server's answer and the save. A shield of anyio does not
stop asyncio's own cancellation (`asyncio.timeout`, `task.cancel()`, the end of `asyncio.run`). So
there each piece of work is a task that nobody else finds, and one task that anybody may cancel
stands for them all. On trio they are system tasks, shielded while they must not be stopped, and one
more hears of the end of the run.

Thousands of keys may be asked for together. Where the store is this process's own memory, the first
steps of a renewal take no pause, and would so keep the event loop from all other tasks for seconds:
so many begin in one turn. And work that has long to wait rests: it has no task meanwhile, for what
thousands of tasks are made of keeps the garbage collector, and everybody with it.
"""

import contextvars
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import anyio
import anyio.lowlevel
import attrs
from anyio.lowlevel import RunVar

from oauthkit.renewal.event_loop import (
    cancel_of_this_task,
    current_loop,
    start_hidden,
    start_seen,
)
from oauthkit.renewal.latch import Latch

_PORTION: Final = 8
"""How much begins in one turn of the event loop."""
LONGEST_STEP: Final = 0.25
"""Seconds of a grace that are counted at once: of the minute for which a process was stopped, its
work had nothing."""

Call = Callable[[], object]


class Line(Protocol):
    """What work may have long to wait for."""

    def is_far(self, call: Call) -> bool:
        """Tell whether it is far from its turn; then that is called once it is near."""
        ...

    def leave(self) -> None:
        """Leave it, if it was not left before."""
        ...


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
    _cancel: Call | None = None

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

    def rests(self, line: Line, /) -> bool:
        """Tell whether the work is to return now; only what is watched over can be called again."""
        return False


Work = Callable[["Job"], Coroutine[Any, Any, None]]
Ended = Callable[[Guard], None]


class Watch:
    """Stand for the work of an event loop; whoever ends that cancels the watch, and waits for it.

    What is begun after that is another one's.

    Attributes:
        ending: Whether it was cancelled, and sees what there is to its end.
    """

    def __init__(self) -> None:
        """Begin with nothing to watch over."""
        self.ending = False
        self._jobs: dict[Job, None] = {}
        self._due: deque[Call] = deque()
        self._news = Latch()
        self._stands = False
        self._task: object = None

    def take(self, job: "Job") -> None:
        """Watch over a job, and begin it in its turn."""
        self._jobs[job] = None
        self.soon(job.begin)
        if not self._stands:
            self._stands = True
            self._task = start_seen(self._stand, self._dropped)

    def leave(self, job: "Job") -> None:
        """Let go of a job that has ended."""
        self._jobs.pop(job, None)
        if not self._jobs:
            self._news.set()

    def soon(self, call: Call, *, first: bool = False) -> None:
        """Call something in one of the next turns of the event loop.

        Args:
            call: What.
            first: Whether before all others.
        """
        (self._due.appendleft if first else self._due.append)(call)
        self._news.set()

    async def _stand(self) -> None:
        try:
            while self._jobs:
                await self._turn()
        finally:  # a KeyboardInterrupt may come anywhere
            # What was waited for knows its event loop, which knows this watch: that would be for
            # ever, as anyio finds it by a weak key and holds it by a strong value.
            self._stands, self._task, self._news = False, None, Latch()

    async def _turn(self) -> None:
        self._news = Latch()  # now: what begins may end in this very turn, where tasks are eager
        for _ in range(min(_PORTION, len(self._due))):
            self._due.popleft()()
        try:
            # asyncio tells each cancellation once, trio the same one at every wait.
            with anyio.CancelScope(shield=self.ending):
                await self._wait()
        except anyio.get_cancelled_exc_class():
            self._end()

    async def _wait(self) -> None:
        """Wait for the next turn, for news, or until some of a grace is gone."""
        if self._due:
            await anyio.lowlevel.checkpoint()
            return
        if not self.ending:
            await self._news.wait()
            return
        step, began = min(LONGEST_STEP, *(job.left for job in self._jobs)), anyio.current_time()
        try:
            with anyio.move_on_after(step):
                await self._news.wait()
        finally:
            self._count(min(anyio.current_time() - began, step))

    def _count(self, seconds: float) -> None:
        for job in list(self._jobs):
            job.left -= seconds
            if job.left <= 0:
                job.left = math.inf
                job.stop()

    def _end(self) -> None:
        """Have everything come to its end, within the grace that it has."""
        self.ending = True
        for job in list(self._jobs):
            if job.left == math.inf:
                job.left = job.linger if job.idle.is_set() else job.grace
            job.end()

    def _dropped(self) -> None:
        """See to the end of what was not begun, for the watch never stood."""
        self.ending = True
        for job in list(self._jobs):
            job.ending.set()
            job.over()


def _watch_here() -> Watch:
    found = _WATCH.get(None)
    if found is None or found.ending:
        found = Watch()
        _WATCH.set(found)
    return found


_WATCH: Final[RunVar[Watch]] = RunVar("oauthkit.watch")


@attrs.define(eq=False)
class Job(Guard):
    """One piece of work on its way.

    Attributes:
        work: Called with this; and again, where it has rested.
        ended: Called at the end, even of work that was stopped before it began.
        family: Where it stands until then.
        grace: Seconds that it has when it must not be stopped and is to end.
        linger: The same, where it goes on beside.
        loop: The event loop that it is of.
        done: Set at its end.
        left: What is left of its grace, once that has begun.
    """

    work: Work = attrs.field(kw_only=True)
    ended: Ended = attrs.field(kw_only=True)
    family: "dict[Latch, Job]" = attrs.field(kw_only=True)
    grace: float = attrs.field(kw_only=True)
    linger: float = attrs.field(kw_only=True)
    loop: object = attrs.field(factory=current_loop)
    done: Latch = attrs.field(factory=Latch)
    left: float = math.inf
    _watch: Watch = attrs.field(factory=_watch_here)
    # of who asked, for what traces and logs find there
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    _task: object = None
    _line: Line | None = None
    _resting: bool = False

    def __attrs_post_init__(self) -> None:
        """Be watched over from now on."""
        self.family[self.done] = self
        self._watch.take(self)

    def begin(self) -> None:
        """Go to work."""
        self._task = start_hidden(self._run, self._context)

    def stop(self) -> None:
        """Cancel the work, wherever it is."""
        if self._resting:
            self.over()
        super().stop()

    def rests(self, line: Line, /) -> bool:
        """Tell whether the work is to return now, and will be called again when its turn is near.

        Args:
            line: What it has to wait for.
        """
        self._resting = line.is_far(self._again)
        if self._resting:
            self._line, self._task, self._cancel, self._scope = line, None, None, None
        return self._resting

    def over(self) -> None:
        """Be at the end."""
        self._resting, line, self._line = False, self._line, None
        if line is not None:
            line.leave()
        del self.family[self.done]
        self._watch.leave(self)
        try:
            self.ended(self)
        finally:  # whatever a hook of the user's raises there, nobody waits for ever
            self.idle.set()
            self.done.set()

    async def pace(self) -> None:
        """Wait for one's turn to begin something."""
        turn = Latch()
        self._watch.soon(turn.set)
        await turn.wait()

    def _again(self) -> None:
        self._resting = False
        # Who has a turn keeps others from theirs.
        self._watch.soon(self.begin, first=True)

    async def _run(self) -> None:
        # Not before: asyncio drops a task that is cancelled before its first step.
        self._cancel = cancel_of_this_task()
        if self._cancel is not None:
            await self._work()
            return
        with anyio.CancelScope(shield=self.critical) as scope:
            self._cancel, self._scope = scope.cancel, scope
            await self._work()

    async def _work(self) -> None:
        try:
            if self.critical or not self.ending.is_set():
                await self.work(self)
        finally:
            if not self._resting:
                self.over()
