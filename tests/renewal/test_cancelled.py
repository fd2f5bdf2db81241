"""Cancelled callers, and what is saved all the same."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    MemoryStore,
    OAuthKitError,
)
from oauthkit.renewal.shared import shared_tokens
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import (
    ASYNCIO,
    STEADY,
    ShakyStore,
    crowd,
    shared_of,
    stored,
    used,
)


async def test_a_cancelled_leaders_rotated_token_is_saved() -> None:
    """AT-78, O2-36: authlib loses the session here."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    with anyio.fail_after(5):
        async with crowd(fake, store) as session:
            with fake.hold() as held:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(used, session)
                    await held.arrived()
                    tasks.cancel_scope.cancel()
                    held.release()
        async with crowd(fake, store) as session:
            await session.get("/report")
    assert (fake.families_killed, fake.presented_twice) == (0, 0)
    assert len(fake.token_requests) == 1


async def by_timeout(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    async def expire(limit: asyncio.Timeout) -> None:
        await begun.wait()
        limit.reschedule(0)

    async def limited() -> None:
        async with asyncio.timeout(None) as limit:
            tasks.append(asyncio.ensure_future(expire(limit)))
            await leader()

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(TimeoutError):
        await limited()


async def by_cancel(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    task = asyncio.ensure_future(leader())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_task_group(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    async def fall() -> None:
        await begun.wait()
        raise ZeroDivisionError

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run(leader))
            tasks.create_task(fall())

    with pytest.raises(ExceptionGroup):
        await group()


async def by_move_on_after(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    async def expire() -> None:
        await begun.wait()
        scope.deadline = anyio.current_time()

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(expire)
        with scope:
            await leader()
    assert scope.cancelled_caught


async def run(leader: Callable[[], Awaitable[None]]) -> None:
    await leader()


@ASYNCIO
@pytest.mark.parametrize("cancel", [by_timeout, by_cancel, by_task_group, by_move_on_after])
async def test_however_asyncio_cancels_the_leader_the_token_is_saved_under_the_lease(
    cancel: Callable[[Callable[[], Awaitable[None]], anyio.Event], Awaitable[None]],
) -> None:
    """AT-78: a shield of anyio does not stop any but the last of these."""
    fake, store, begun = FakeAuthorizationServer(), ShakyStore(), anyio.Event()
    await stored(fake, store)
    leased: list[bool] = []

    async def look() -> None:
        leased.append(store._rows["k"].fence != 0)

    store.before["save"] = look

    with anyio.fail_after(5):
        async with crowd(fake, store) as session:
            with fake.hold() as held:

                async def arrived() -> None:
                    await held.arrived()
                    begun.set()

                watching = asyncio.ensure_future(arrived())
                await cancel(lambda: used(session), begun)  # it leaves at once
                assert store._rows["k"].fence != 0  # and the renewal goes on
                await watching
                held.release()
        # the end of the session waited for the end of the renewal
        assert store._rows["k"].fence == 0
        assert leased == [True]
        async with crowd(fake, store) as session:
            await session.get("/report")
    assert (len(fake.token_requests), fake.families_killed) == (1, 0)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_leader_cancelled_on_trio_leaves_after_the_save() -> None:
    """AT-78."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    with anyio.fail_after(5), fake.hold() as held:
        async with crowd(fake, store) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                tasks.cancel_scope.cancel()
                held.release()
            assert store._rows["k"].fence == 0
            token = await store.load("k")
    assert token is not None
    assert token.refresh_token == "refresh-token-3"


async def test_cancelled_at_any_point_nothing_is_lost() -> None:
    """AT-78: cancelled before the n-th switch of tasks, for every n."""
    for patience in range(60):
        fake, store = FakeAuthorizationServer(), ShakyStore()
        await stored(fake, store)
        with anyio.fail_after(5):
            async with (
                crowd(fake, store) as session,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(used, session)
                for _ in range(patience):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            async with crowd(fake, store) as session:
                response = await session.get("/report")
        assert response.status_code == 200
        assert (fake.families_killed, fake.presented_twice) == (0, 0)
        assert store._rows["k"].fence == 0


@ASYNCIO
async def test_a_task_cancelled_at_any_point_loses_nothing() -> None:
    """AT-78: by asyncio's own cancellation."""
    for patience in range(60):
        fake, store = FakeAuthorizationServer(), ShakyStore()
        await stored(fake, store)
        async with asyncio.timeout(5):
            async with crowd(fake, store) as session:
                task = asyncio.ensure_future(used(session))
                for _ in range(patience):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() or task.exception() is None
            async with crowd(fake, store) as session:
                response = await session.get("/report")
        assert response.status_code == 200
        assert (fake.families_killed, fake.presented_twice) == (0, 0)


@ASYNCIO
@pytest.mark.parametrize("patience", range(12))
async def test_a_framework_that_cancels_every_task_leaves_nobody_hanging(patience: int) -> None:
    """AT-78: the renewal itself is hit, and what follows asks anew."""
    fake = FakeAuthorizationServer()
    before = asyncio.all_tasks()
    async with asyncio.timeout(5):
        async with fake.session() as session:
            task = asyncio.ensure_future(used(session))
            for _ in range(patience):
                await asyncio.sleep(0)
            for running in asyncio.all_tasks() - before:
                running.cancel()
            await asyncio.wait([task])
            assert (await session.get("/report")).status_code == 200


def test_a_loop_that_ended_during_a_renewal_does_not_stop_the_next_one() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore(lease_seconds=31)
    store._clock = fake.clock.monotonic

    async def first() -> None:
        await store.save("k", fake.issue())
        session = AsyncTokenSession(
            httpx.AsyncClient(transport=fake.transport()),
            server=fake.server,
            client_auth=fake.client_auth,
            store=store,
            key="k",
            clock=fake.clock,
            policy=STEADY,
        )
        await session.token()
        fake.advance(75)
        held = fake.hold()
        with held as requests:
            await session.token()
            await requests.arrived()
            raise KeyboardInterrupt

    async def second() -> str:
        async with crowd(fake, store, policy=STEADY) as session:
            return str((await session.token()).access_token)

    loop = asyncio.new_event_loop()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(first())
    assert dict(shared_tokens(store).items())["k"].renewal is not None
    fake.advance(40)  # the lease runs out with the loop that held it
    loop.run_until_complete(asyncio.sleep(0))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert isinstance(asyncio.run(second_or_error(second)), str)
    gc.collect()


async def second_or_error(second: Callable[[], Awaitable[str]]) -> str:
    async with asyncio.timeout(5):
        try:
            return await second()
        except OAuthKitError as error:  # the loop took the rotated token with it
            return type(error).__name__


async def test_what_a_dead_event_loop_left_behind_does_not_stop_renewing_ahead() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    await stored(fake, store, expired=False)

    async def foreign() -> object:
        from oauthkit.renewal.shared import Renewal

        return Renewal()

    async with crowd(fake, store, policy=STEADY) as session:
        first = await session.token()
        renewal: Any = await anyio.to_thread.run_sync(anyio.run, foreign)
        shared_of(session).renewal = renewal
        fake.advance(75)
        await session.token()
        await session.settled()
        assert await session.token() != first
        shared_of(session).renewal = renewal
        fake.advance(101)
        with anyio.fail_after(5):
            assert (await session.get("/")).status_code == 200
    assert fake.families_killed == 0


async def in_a_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await anyio.to_thread.run_sync(anyio.run, work)


async def test_an_event_loop_in_another_thread_shares_the_renewal_through_the_store() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)

    async def elsewhere() -> None:
        async with crowd(fake, store) as session:
            await session.get("/report")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(in_a_thread, elsewhere)
            await elsewhere()
    assert (fake.families_killed, fake.presented_twice) == (0, 0)
