import asyncio
import gc
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from oauthkit.completion import Completion, current_loop

ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])
TRIO = pytest.mark.parametrize("anyio_backend", ["trio"])


class Job:
    """Work that waits until it is told to end, and says what became of it."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.may_end = anyio.Event()
        self.finished = False
        self.ended = 0

    async def work(self) -> None:
        self.begun.set()
        await self.may_end.wait()
        await anyio.lowlevel.checkpoint()
        self.finished = True

    def count(self) -> None:
        self.ended += 1


async def test_run_waits_for_the_end() -> None:
    job, completion = Job(), Completion()
    job.may_end.set()
    with anyio.fail_after(5):
        await completion.run(job.work, job.count)
    assert (job.finished, job.ended) == (True, 1)


async def test_start_does_not_wait_and_tells_the_end() -> None:
    job, completion = Job(), Completion()
    done = completion.start(job.work, job.count)
    assert not done.is_set()
    job.may_end.set()
    with anyio.fail_after(5):
        await done.wait()
    assert (job.finished, job.ended) == (True, 1)


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


async def test_drain_with_nothing_to_wait_for_returns() -> None:
    with anyio.fail_after(5):
        await Completion().drain()


async def test_work_goes_on_after_its_caller_was_cancelled() -> None:
    """AT-78: cancelled by anyio, on either event loop; drain waits for the end."""
    job, completion = Job(), Completion()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(completion.run, job.work, job.count)
            await job.begun.wait()
            tasks.cancel_scope.cancel()
            job.may_end.set()
        await completion.drain()
    assert (job.finished, job.ended) == (True, 1)


@ASYNCIO
async def test_a_cancelled_caller_on_asyncio_leaves_at_once() -> None:
    job, completion = Job(), Completion()
    task = asyncio.create_task(completion.run(job.work, job.count))
    async with asyncio.timeout(5):
        await job.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not job.finished
        job.may_end.set()
        await completion.drain()
    assert job.finished


@TRIO
async def test_a_cancelled_caller_on_trio_leaves_at_the_end_of_the_work() -> None:
    job, completion = Job(), Completion()
    left: list[bool] = []

    async def caller() -> None:
        try:
            await completion.run(job.work, job.count)
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

    async def work() -> None:
        waiting = anyio.Event()
        try:
            await waiting.wait()  # nothing else refers to it
        finally:
            freed.append("ended")

    completion.start(work, lambda: None)
    await anyio.lowlevel.checkpoint()
    gc.collect()
    assert freed == []


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


@TRIO
async def test_work_beside_on_trio_ends_with_the_run() -> None:
    job, completion = Job(), Completion()

    def inner() -> None:
        async def main() -> None:
            completion.start(job.work, job.count)
            await job.begun.wait()

        trio.run(main)

    await trio.to_thread.run_sync(inner)
    assert (job.finished, job.ended) == (False, 1)


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
    loop.run_until_complete(asyncio.sleep(0))
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
        await completion.run(job.work, job.count)
        done = completion.start(job.work, job.count)
        await done.wait()

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
    assert job.ended == 2


def test_without_asyncio_loaded_the_loop_is_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    async def identity() -> bool:
        monkeypatch.delitem(__import__("sys").modules, "asyncio")
        try:
            return current_loop() is trio.lowlevel.current_trio_token()
        finally:
            monkeypatch.undo()

    assert trio.run(identity)
