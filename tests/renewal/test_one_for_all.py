"""Many that wait, one that asks."""

import anyio
import pytest

from oauthkit import (
    MemoryStore,
    Token,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import Elsewhere, ShakyStore, crowd, stored


async def test_many_waiters_make_one_token_request() -> None:
    """BC-15, AT-75: ten thousand tasks see the expiry."""
    fake, tokens = FakeAuthorizationServer(), set[str]()

    async def use() -> None:
        tokens.add((await session.token()).access_token)

    async with fake.session() as session:
        with anyio.fail_after(30):
            with fake.hold() as held:
                async with anyio.create_task_group() as tasks:
                    for _ in range(10_000):
                        tasks.start_soon(use)
                    await held.arrived()
                    held.release()
    assert (len(fake.token_requests), tokens) == (1, {"access-token-1"})


async def test_a_fresh_token_costs_no_lock_no_io_and_no_task_switch() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        store.calls.clear()
        for _ in range(1000):
            call = session.token()
            with pytest.raises(StopIteration):  # it ends without ever having waited
                call.send(None)
    assert store.calls == []
    assert fake.token_requests == []


async def test_two_sessions_over_one_store_renew_once() -> None:
    """BC-15: the running renewal is shared, not only its result."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as one, crowd(fake, store) as other:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for session in (one, other) * 10:
                    tasks.start_soon(session.get, "/report")
                await held.arrived()
                held.release()
    assert len(fake.token_requests) == 1
    assert fake.families_killed == 0


async def test_a_session_per_request_over_one_store_renews_once() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)

    async def request() -> None:
        async with crowd(fake, store) as session:
            await session.get("/report")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(request)
        for _ in range(5):
            await request()
    assert len(fake.token_requests) == 1


async def test_processes_over_one_store_renew_once() -> None:
    """BC-15: states that are not shared stand for other processes; the lease decides."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as one, crowd(fake, Elsewhere(store)) as other:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.get, "/report")
                await held.arrived()
                tasks.start_soon(other.get, "/report")
                await anyio.wait_all_tasks_blocked()
                held.release()
        assert (await one.token()) == (await other.token())
    assert len(fake.token_requests) == 1


async def test_a_cancelled_waiter_disturbs_nobody() -> None:
    """AT-75: gcloud-aio-auth's both fail."""
    fake, tokens = FakeAuthorizationServer(), list[Token]()

    async def use(scope: anyio.CancelScope | None = None) -> None:
        with scope or anyio.CancelScope():
            tokens.append(await session.token())

    scope = anyio.CancelScope()
    async with fake.session() as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use)
                await held.arrived()
                tasks.start_soon(use, scope)
                tasks.start_soon(use)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.wait_all_tasks_blocked()
                assert tokens == []
                held.release()
    assert len(tokens) == 2
    assert len(fake.token_requests) == 1
