"""Who stands for work, how much of it begins in one turn of the event loop, and what rests."""

import asyncio
import gc
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from inspect import iscoroutine
from typing import Protocol

import anyio
import anyio.lowlevel
import pytest

from oauthkit import MemoryStore, Token
from oauthkit.renewal.completion import Completion
from oauthkit.renewal.event_loop import current_loop
from oauthkit.renewal.latch import Latch
from oauthkit.renewal.watch import Guard, Job
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import ASYNCIO

KEYS = 200


class CountsTurns(Protocol):
    turn: int


async def count_turns(seen: CountsTurns) -> None:
    """Count the turns of the event loop."""
    while True:
        await anyio.lowlevel.checkpoint()
        seen.turn += 1


class Begun:
    """Note who began in which turn of the event loop."""

    def __init__(self) -> None:
        self.completion = Completion()
        self.turn = 0
        self.order: list[int] = []
        self.by_turn = Counter[int]()

    def note(self, number: int) -> None:
        self.order.append(number)
        self.by_turn[self.turn] += 1

    def start(self, number: int, *, paced: bool = False) -> Latch:
        async def work(job: Job) -> None:
            if paced:
                await job.pace()
            self.note(number)

        return self.completion.start(work, nothing)


def nothing(_: Guard) -> None:
    """Be what is called at the end of work."""


@pytest.mark.parametrize("paced", [False, True])
async def test_so_much_begins_in_one_turn_and_all_in_the_end(*, paced: bool) -> None:
    """As work is begun, and as work that goes on begins something."""
    begun = Begun()
    async with anyio.create_task_group() as counting:
        counting.start_soon(count_turns, begun)
        with anyio.fail_after(5):
            dones = [begun.start(number, paced=paced) for number in range(100)]
            for done in dones:
                await done.wait()
        counting.cancel_scope.cancel()
    assert sorted(begun.order) == list(range(100))
    # those that begin in one turn come in any order on trio, the one who counts turns among them
    assert max(begun.by_turn.values()) <= 16
    assert all(abs(number - place) < 16 for place, number in enumerate(begun.order))


async def test_what_is_at_work_begins_so_much_of_it_in_one_turn() -> None:
    begun, together = Begun(), anyio.Event()

    async def work(job: Job) -> None:
        await together.wait()
        await job.pace()
        begun.note(0)

    async with anyio.create_task_group() as counting:
        counting.start_soon(count_turns, begun)
        with anyio.fail_after(5):
            dones = [begun.completion.start(work, nothing) for _ in range(100)]
            await anyio.sleep(0.05)
            together.set()
            for done in dones:
                await done.wait()
        counting.cancel_scope.cancel()
    assert sum(begun.by_turn.values()) == 100
    assert max(begun.by_turn.values()) <= 16


@ASYNCIO
async def test_one_task_stands_for_all_that_is_at_work() -> None:
    begun, before = Begun(), asyncio.all_tasks()
    dones = [begun.start(number) for number in range(100)]
    with anyio.fail_after(5):
        while not all(done.is_set() for done in dones):
            assert len(asyncio.all_tasks() - before) == 1
            await anyio.lowlevel.checkpoint()
        while asyncio.all_tasks() - before:
            await anyio.lowlevel.checkpoint()


async def test_who_is_stopped_while_it_waits_to_begin_something_keeps_nobody() -> None:
    begun, waiting = Begun(), anyio.Event()

    async def work(job: Job) -> None:
        waiting.set()
        await job.pace()
        begun.note(-1)

    with anyio.fail_after(5):
        done = begun.completion.start(work, nothing)
        dones = [begun.start(number) for number in range(20)]
        await waiting.wait()
        await begun.completion.stop(done)
        for other in dones:
            await other.wait()
    assert set(begun.order) - {-1} == set(range(20))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_has_ended_is_kept_by_nobody(backend: str) -> None:
    """Who calls `asyncio.run` again and again has the memory of one event loop."""
    loops = list[weakref.ref[object]]()

    async def main() -> None:
        loops.append(weakref.ref(current_loop()))
        await Begun().start(1).wait()

    for _ in range(3):
        anyio.run(main, backend=backend)
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


@ASYNCIO
@pytest.mark.skipif(sys.version_info < (3, 12), reason="its tasks are never eager")
async def test_nobody_stands_for_work_that_has_ended_as_it_began() -> None:
    """As it does with `asyncio.eager_task_factory`, where it waits for nothing."""
    begun, loop, before = Begun(), asyncio.get_running_loop(), asyncio.all_tasks()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - of Python 3.12
    try:
        with anyio.fail_after(5):
            await begun.start(1).wait()
            while asyncio.all_tasks() - before:
                await anyio.lowlevel.checkpoint()
    finally:
        loop.set_task_factory(None)


class Far:
    """A line in which work is far from its turn, until it is called."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.left = 0

    def is_far(self, call: Callable[[], object]) -> bool:
        self.calls.append(call)
        return len(self.calls) == 1

    def leave(self) -> None:
        self.left += 1


class Rests:
    """Work that rests once, and says what became of it."""

    def __init__(self, *, critical: bool = False, **times: float) -> None:
        self.line = Far()
        self.completion = Completion(**times)
        self.critical = critical
        self.order: list[str] = []
        self.rested = anyio.Event()

    def start(self) -> Latch:
        return self.completion.start(self.work, lambda _: self.order.append("over"))

    async def work(self, job: Job) -> None:
        job.critical = self.critical
        self.order.append("called")
        if job.rests(self.line):
            self.rested.set()
            return
        await anyio.lowlevel.checkpoint()
        self.order.append("ended")


def running(function: Callable[..., object]) -> bool:
    """Tell whether a call of an asynchronous function is on its way."""
    coroutines = (what for what in gc.get_objects() if iscoroutine(what))
    return any(coroutine.__qualname__ == function.__qualname__ for coroutine in coroutines)


async def test_work_that_is_near_its_turn_does_not_rest_and_can_be_stopped() -> None:
    rests, near = Rests(), anyio.Event()
    rests.line.calls.append(near.set)  # so that it is not the first one, which is far

    async def work(job: Job) -> None:
        assert not job.rests(rests.line)
        near.set()
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        done = rests.completion.start(work, nothing)
        await near.wait()
        await rests.completion.stop(done)
        assert done.is_set()


async def test_work_that_rests_has_no_task_and_is_called_again() -> None:
    rests = Rests()
    with anyio.fail_after(5):
        done = rests.start()
        await rests.rested.wait()
        await anyio.wait_all_tasks_blocked()
        assert rests.order == ["called"]
        assert not running(Rests.work)
        rests.line.calls[0]()
        await done.wait()
    assert rests.order == ["called", "called", "ended", "over"]
    assert rests.line.left == 1


async def test_who_is_called_again_does_not_wait_behind_who_begins() -> None:
    rests, begun = Rests(), Begun()
    with anyio.fail_after(5):
        done = rests.start()
        await rests.rested.wait()
        await anyio.wait_all_tasks_blocked()
        others = [begun.start(number) for number in range(100)]
        rests.line.calls[0]()
        await done.wait()
        assert len(begun.order) < 40
        for other in others:
            await other.wait()


@pytest.mark.parametrize("called", [False, True])
async def test_work_that_is_stopped_while_it_rests_leaves_the_line(*, called: bool) -> None:
    """Also where it was called in the same moment."""
    rests = Rests()
    with anyio.fail_after(5):
        done = rests.start()
        await rests.rested.wait()
        await anyio.wait_all_tasks_blocked()
        if called:
            rests.line.calls[0]()
        await rests.completion.stop(done)
    assert rests.order == ["called", "over"]
    assert rests.line.left == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("critical", [True, False])
def test_what_rests_as_the_event_loop_is_shut_down_has_an_end(
    backend: str, *, critical: bool
) -> None:
    """What must not be stopped is waited for, and is called when its turn is near."""
    seen: list[list[str]] = []

    async def call(rests: Rests) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            rests.line.calls[0]()

    async def main() -> None:
        rests = Rests(critical=critical, grace=5.0)
        rests.start()
        await rests.rested.wait()
        rests.completion.start(lambda _: call(rests), nothing) if critical else None
        await anyio.wait_all_tasks_blocked()
        seen.append(rests.order)

    anyio.run(main, backend=backend)
    end = ["called", "ended", "over"] if critical else ["over"]
    assert seen == [["called", *end]]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_must_not_be_stopped_and_is_never_called_has_its_grace(backend: str) -> None:
    seen: list[list[str]] = []

    async def main() -> None:
        rests = Rests(critical=True, grace=0.05)
        rests.start()
        await rests.rested.wait()
        seen.append(rests.order)

    anyio.run(main, backend=backend)
    assert seen == [["called", "over"]]


@ASYNCIO
async def test_who_cancels_a_watch_again_and_again_gives_no_new_grace() -> None:
    rests, before = Rests(critical=True, grace=0.1), asyncio.all_tasks()
    with anyio.fail_after(5):
        done = rests.start()
        await rests.rested.wait()
        (watch,) = asyncio.all_tasks() - before
        while not done.is_set():
            watch.cancel()
            await anyio.sleep(0.01)
    assert rests.order == ["called", "over"]


@ASYNCIO
async def test_what_is_begun_after_a_watch_was_cancelled_is_not_cancelled_with_it() -> None:
    """A framework that cancels every task, and goes on, has its renewals afterwards."""
    rests, begun, before = Rests(critical=True), Begun(), asyncio.all_tasks()
    go_on = anyio.Event()

    async def waits(_: Job) -> None:
        await go_on.wait()
        begun.note(2)

    with anyio.fail_after(5):
        done = rests.start()
        await rests.rested.wait()
        before_cancel = asyncio.all_tasks() - before
        for task in before_cancel:
            task.cancel()
        await anyio.wait_all_tasks_blocked()
        going_on, may = begun.completion.start(waits, nothing), begun.start(1)
        await may.wait()
        for task in before_cancel:
            task.cancel()
        await anyio.wait_all_tasks_blocked()
        assert not going_on.is_set()
        go_on.set()
        await going_on.wait()
        assert begun.order == [1, 2]
        rests.line.calls[0]()
        await done.wait()
    assert rests.order == ["called", "called", "ended", "over"]


class Watched(MemoryStore):
    """A store that notes in which turn of the event loop it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.looks = Counter[int]()

    async def load(self, key: str, /) -> Token | None:
        self.looks[self.turn] += 1
        return await super().load(key)


async def test_keys_that_are_asked_for_together_do_not_keep_the_event_loop() -> None:
    fake, store = FakeAuthorizationServer(), Watched()
    for number in range(KEYS):
        await store.save(f"user {number}", fake.issue())
    fake.advance(61)

    with anyio.fail_after(20):
        async with fake.session(store=store, key="app") as app, anyio.create_task_group() as others:
            others.start_soon(count_turns, store)
            async with anyio.create_task_group() as tasks:
                for number in range(KEYS):
                    tasks.start_soon(app.for_key(f"user {number}").token)
            others.cancel_scope.cancel()
    assert len(fake.token_requests) == KEYS
    assert max(store.looks.values()) <= 32 + 16  # these look again, under their leases
