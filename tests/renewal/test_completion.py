"""Work that ends once it was started, and who may stop it."""

import asyncio
import gc
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from oauthkit.renewal.completion import Completion
from oauthkit.renewal.event_loop import current_loop, is_stray
from oauthkit.renewal.watch import Guard

ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])
TRIO = pytest.mark.parametrize("anyio_backend", ["trio"])


class Job:
    """Work that waits until it is told to end, and says what became of it."""

    def __init__(self, *, critical: bool = False, beside: bool = False) -> None:
        self.begun = anyio.Event()
        self.may_end = anyio.Event()
        self.critical = critical
        self.beside = beside
        self.finished = False
        self.told_to_end = False
        self.ended = 0
        self.ending_at_the_end = False

    async def work(self, guard: Guard) -> None:
        guard.critical = self.critical
        if self.beside:
            guard.idle.set()
        self.begun.set()
        await self.may_end.wait()
        await anyio.lowlevel.checkpoint()
        self.told_to_end = guard.ending.is_set()
        self.finished = True

    async def until_told(self, guard: Guard) -> None:
        """Work until it is told to end, and a little longer."""
        guard.critical = self.critical
        guard.idle.set()
        self.begun.set()
        await guard.ending.wait()
        await self.may_end.wait()
        self.finished = True

    def count(self, guard: Guard) -> None:
        self.ended += 1
        self.ending_at_the_end = guard.ending.is_set()


async def test_start_does_not_wait_and_tells_the_end() -> None:
    job, completion = Job(), Completion()
    done = completion.start(job.work, job.count)
    assert not done.is_set()
    job.may_end.set()
    with anyio.fail_after(5):
        await completion.wait(done)
    assert (job.finished, job.ended) == (True, 1)


@pytest.mark.parametrize("steps", range(4))
async def test_work_that_is_stopped_before_its_first_step_leaves_nothing_behind(steps: int) -> None:
    """Neither a wait that has no end, nor a coroutine that was never awaited."""
    job, completion = Job(), Completion()
    done = completion.start(job.work, job.count)
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    with anyio.fail_after(5):
        await completion.stop(done)
    gc.collect()
    assert (job.finished, job.ended) == (False, 1)


async def test_drain_waits_for_everything_that_was_started() -> None:
    jobs, completion = [Job(), Job()], Completion()
    for job in jobs:
        completion.start(job.work, job.count)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(completion.drain)
            for job in jobs:
                await job.begun.wait()
                job.may_end.set()
    assert all(job.finished for job in jobs)


async def test_one_work_can_be_brought_to_its_end_and_the_others_go_on() -> None:
    jobs, completion = [Job(), Job()], Completion()
    dones = [completion.start(job.work, job.count) for job in jobs]
    with anyio.fail_after(5):
        for job in jobs:
            await job.begun.wait()
        await completion.stop(dones[0])
        assert [job.ended for job in jobs] == [1, 0]
        await completion.stop(dones[0])  # it has ended already
        jobs[1].may_end.set()
        await completion.drain()
    assert [job.finished for job in jobs] == [False, True]


async def test_who_stops_work_that_must_not_be_stopped_waits_for_its_end() -> None:
    job, completion, left = Job(critical=True), Completion(), list[bool]()
    done = completion.start(job.work, job.count)

    async def stop() -> None:
        await completion.stop(done)
        left.append(job.finished)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await job.begun.wait()
            tasks.start_soon(stop)
            await anyio.wait_all_tasks_blocked()
            job.may_end.set()
    assert (left, job.told_to_end) == ([True], True)


async def test_what_becomes_critical_again_as_it_is_to_end_is_not_stopped() -> None:
    """As each answer says anew that there is something to lose."""
    job, completion = Job(critical=True), Completion()

    async def work(guard: Guard) -> None:
        guard.critical = True
        job.begun.set()
        await guard.ending.wait()
        guard.critical = True
        await anyio.lowlevel.checkpoint()
        job.finished = True

    done = completion.start(work, job.count)
    with anyio.fail_after(5):
        await job.begun.wait()
        await completion.stop(done)
    assert (job.finished, job.ended) == (True, 1)


async def test_drain_with_nothing_to_wait_for_returns() -> None:
    with anyio.fail_after(5):
        await Completion().drain()
        await Completion().finish()


async def test_drain_does_not_wait_for_what_goes_on_beside() -> None:
    job, completion = Job(beside=True), Completion()
    completion.start(job.work, job.count)
    with anyio.fail_after(5):
        await job.begun.wait()
        await completion.drain()
        assert not job.finished
        job.may_end.set()
        await completion.finish()


async def test_work_goes_on_after_its_caller_was_cancelled() -> None:
    """AT-78: cancelled by anyio, on either event loop; drain waits for the end."""
    job, completion = Job(), Completion()

    async def caller() -> None:
        await completion.wait(completion.start(job.work, job.count))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller)
            await job.begun.wait()
            tasks.cancel_scope.cancel()
            job.may_end.set()
        await completion.drain()
    assert (job.finished, job.ended) == (True, 1)


@ASYNCIO
async def test_a_cancelled_caller_on_asyncio_leaves_at_once() -> None:
    job, completion = Job(), Completion()
    task = asyncio.create_task(completion.wait(completion.start(job.work, job.count)))
    async with asyncio.timeout(5):
        await job.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not job.finished
        job.may_end.set()
        await completion.drain()
    assert job.finished


@ASYNCIO
async def test_a_caller_that_anyio_cancels_on_asyncio_leaves_at_once_too() -> None:
    job, completion, scope = Job(), Completion(), anyio.CancelScope()
    left: list[bool] = []

    async def caller() -> None:
        with scope:
            try:
                await completion.wait(completion.start(job.work, job.count))
            finally:
                left.append(job.finished)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller)
            await job.begun.wait()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            job.may_end.set()
        await completion.drain()
    assert (left, job.finished) == ([False], True)


@TRIO
async def test_a_cancelled_caller_on_trio_leaves_at_the_end_of_the_work() -> None:
    job, completion = Job(), Completion()
    left: list[bool] = []

    async def caller() -> None:
        try:
            await completion.wait(completion.start(job.work, job.count))
        except trio.Cancelled:
            left.append(job.finished)
            raise

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await job.begun.wait()
            nursery.cancel_scope.cancel()
            job.may_end.set()
    assert left == [True]


@ASYNCIO
async def test_running_work_is_not_lost_to_the_garbage_collector() -> None:
    completion = Completion()
    freed: list[str] = []

    async def work(guard: Guard) -> None:
        waiting = anyio.Event()
        try:
            await waiting.wait()  # nothing else refers to it
        finally:
            freed.append("ended")

    completion.start(work, lambda _: None)
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    gc.collect()
    assert freed == []


@ASYNCIO
async def test_work_that_was_stopped_is_not_lost_to_the_garbage_collector() -> None:
    """What it still does by then has no other friend: who stopped it has let go of it."""
    completion, freed, waited = Completion(), list[str](), list[weakref.ref[anyio.Event]]()

    async def work(guard: Guard) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            try:
                waiting = anyio.Event()
                waited.append(weakref.ref(waiting))
                await waiting.wait()  # nothing else refers to it
            finally:
                freed.append("ended")

    done = completion.start(work, lambda _: None)
    with anyio.fail_after(5):
        await some_turns()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(completion.stop, done)
            await some_turns()
            gc.collect()
            assert freed == []
            event = waited[0]()
            assert event is not None
            event.set()
    assert freed == ["ended"]


@ASYNCIO
async def test_work_that_has_ended_is_kept_by_nobody() -> None:
    job, completion, before = Job(), Completion(), asyncio.all_tasks()
    job.may_end.set()
    done = completion.start(job.work, job.count)
    kept: list[weakref.ref[Any]] = [weakref.ref(job)]
    kept += [weakref.ref(task) for task in asyncio.all_tasks() - before]
    del job
    with anyio.fail_after(5):
        await completion.wait(done)
        await some_turns()
    gc.collect()
    assert [what() for what in kept] == [None, None]


async def some_turns() -> None:
    """Let other tasks go on, those too that asyncio does not list."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@ASYNCIO
async def test_what_is_raised_at_the_end_of_work_leaves_nobody_waiting() -> None:
    """As by a hook of a user's that is told of the end."""

    def ended(_: Guard) -> None:
        raise asyncio.CancelledError

    completion, job = Completion(), Job()
    done = completion.start(job.work, ended)
    job.may_end.set()
    with anyio.fail_after(5):
        await completion.drain()
        await done.wait()
        await completion.finish()


@ASYNCIO
async def test_work_that_was_cancelled_before_it_began_has_an_end_too() -> None:
    """AT-78: a framework that cancels every task must leave nobody waiting for ever."""
    job, completion = Job(), Completion()
    before = asyncio.all_tasks()
    done = completion.start(job.work, job.count)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    async with asyncio.timeout(5):
        await done.wait()
        await completion.drain()
    assert (job.begun.is_set(), job.ended) == (False, 1)
    assert job.ending_at_the_end  # so nothing more is begun after it


@ASYNCIO
@pytest.mark.parametrize("critical", [True, False])
async def test_who_cancels_every_task_stops_what_may_be_stopped(*, critical: bool) -> None:
    job, completion = Job(critical=critical), Completion()
    before = asyncio.all_tasks()
    done = completion.start(job.work, job.count)
    async with asyncio.timeout(5):
        await job.begun.wait()
        for task in asyncio.all_tasks() - before:
            task.cancel()
        if critical:
            for _ in range(5):
                await asyncio.sleep(0)
            assert not done.is_set()
            job.may_end.set()
        await done.wait()
    assert (job.finished, job.told_to_end, job.ended) == (critical, critical, 1)


class World:
    """An event loop that is shut down while a job is at work."""

    def __init__(self, *, may_end: bool, grace: float) -> None:
        self.may_end = may_end
        self.grace = grace
        self.job: Job | None = None

    async def main(self) -> None:
        self.job = job = Job(critical=True)
        completion = Completion(grace=self.grace)

        async def work(guard: Guard) -> None:
            guard.critical = True
            job.begun.set()
            await guard.ending.wait()
            if not self.may_end:
                await anyio.sleep_forever()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 0.01)
            await anyio.to_thread.run_sync(bool)
            job.finished = True

        completion.start(work, job.count)
        await job.begun.wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("may_end", [True, False])
def test_an_event_loop_that_is_shut_down_lets_critical_work_end(
    backend: str, *, may_end: bool
) -> None:
    """AT-78: for a bounded time, whatever the work waits for: tasks, threads, sockets."""
    world, began = World(may_end=may_end, grace=5.0 if may_end else 0.05), time.monotonic()
    anyio.run(world.main, backend=backend)
    assert time.monotonic() - began < 4
    assert world.job is not None
    assert (world.job.finished, world.job.ended) == (may_end, 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_time_for_which_a_process_is_stopped_is_no_grace(backend: str) -> None:
    """AT-78: work that finds its grace gone as it wakes up had none of it."""
    job = Job()

    def stopped() -> None:
        time.sleep(1.2)

    async def work(guard: Guard) -> None:
        guard.critical = True
        job.begun.set()
        await guard.ending.wait()
        if backend == "asyncio":
            asyncio.get_running_loop().call_soon(stopped)
            await anyio.sleep(0.01)
        else:
            stopped()
        await anyio.sleep(0.01)
        job.finished = True

    async def main() -> None:
        Completion(grace=1.0).start(work, job.count)
        await job.begun.wait()

    anyio.run(main, backend=backend)
    assert (job.finished, job.ended) == (True, 1)


async def test_finish_waits_as_long_for_a_process_that_was_stopped() -> None:
    job, completion = Job(critical=True), Completion(grace=1.0)
    completion.start(job.work, job.count)

    async def be_stopped() -> None:
        time.sleep(1.2)  # noqa: ASYNC251 - as a whole process is
        await anyio.sleep(0.01)
        job.may_end.set()

    with anyio.fail_after(5):
        await job.begun.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(completion.finish)
            tasks.start_soon(be_stopped)
    assert (job.finished, job.told_to_end) == (True, False)


async def test_what_is_critical_no_more_is_stopped_when_it_is_to_end() -> None:
    job, completion = Job(), Completion(linger=5.0)

    async def work(guard: Guard) -> None:
        guard.critical = True
        guard.idle.set()
        await guard.ending.wait()
        guard.critical = False
        await anyio.sleep_forever()

    completion.start(work, job.count)
    with anyio.fail_after(5):
        await anyio.lowlevel.checkpoint()
        await completion.finish()
    assert job.ended == 1


async def test_finish_lets_what_goes_on_beside_come_to_its_end() -> None:
    job, completion = Job(critical=True), Completion(linger=5.0)
    completion.start(job.until_told, job.count)
    with anyio.fail_after(5):
        await job.begun.wait()
        job.may_end.set()
        await completion.finish()
    assert (job.finished, job.ended) == (True, 1)


async def test_finish_does_not_wait_for_ever() -> None:
    jobs = [Job(critical=True), Job(critical=True)]
    completion = Completion(grace=0.05, linger=0.05)
    completion.start(jobs[0].work, jobs[0].count)
    completion.start(jobs[1].until_told, jobs[1].count)
    with anyio.fail_after(5):
        await jobs[0].begun.wait()
        await jobs[1].begun.wait()
        await completion.finish()
    assert [(job.finished, job.ended) for job in jobs] == [(False, 1)] * 2


def test_drain_does_not_wait_for_another_event_loop() -> None:
    completion = Completion()
    job: list[Job] = []

    async def first() -> None:
        job.append(Job())
        completion.start(job[0].work, job[0].count)
        await job[0].begun.wait()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(first())  # the loop stops, and the work with it
    asyncio.run(asyncio.wait_for(completion.drain(), 5))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    for _ in range(5):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert job[0].ended == 1


async def test_one_loop_is_told_from_another() -> None:
    async def identity() -> object:
        return current_loop()

    here = current_loop()
    assert here is current_loop()
    assert await anyio.to_thread.run_sync(anyio.run, identity) is not here


def test_trio_as_a_guest_of_asyncio_is_trio() -> None:
    """A guest run is stepped by an asyncio loop, yet what runs in it is trio's."""
    job, completion = Job.__new__(Job), Completion()
    outcomes: list[object] = []
    ended: list[asyncio.Event] = []

    async def guest() -> None:
        job.__init__()  # type: ignore[misc]
        job.may_end.set()
        outcomes.append(current_loop() is trio.lowlevel.current_trio_token())
        await completion.wait(completion.start(job.work, job.count))

    def over(outcome: Any) -> None:
        outcomes.append(outcome.unwrap())
        ended[0].set()

    async def host() -> None:
        loop = asyncio.get_running_loop()
        ended.append(asyncio.Event())
        start: Callable[..., None] = trio.lowlevel.start_guest_run
        start(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=over,
        )
        async with asyncio.timeout(5):
            await ended[0].wait()

    asyncio.run(host())
    assert outcomes == [True, None]
    assert job.ended == 1


def test_without_asyncio_loaded_the_loop_is_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    async def identity() -> bool:
        monkeypatch.delitem(__import__("sys").modules, "asyncio")
        try:
            return current_loop() is trio.lowlevel.current_trio_token()
        finally:
            monkeypatch.undo()

    assert trio.run(identity)


async def test_a_cancellation_that_nobody_asked_for_is_told_from_others() -> None:
    assert is_stray(asyncio.CancelledError())
    assert not is_stray(OSError())
    assert not is_stray(KeyboardInterrupt())


@ASYNCIO
async def test_a_cancellation_of_the_running_task_is_no_stray_one() -> None:
    strays: list[bool] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError as error:
            strays.append(is_stray(error))
            raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert strays == [False]


def test_without_asyncio_there_is_no_cancellation_of_its(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio")
    assert not is_stray(OSError())
