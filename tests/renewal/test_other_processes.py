"""What other processes do to the stored token."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import attrs
import pytest

from oauthkit import (
    ClientCredentials,
    Lease,
    LeaseLost,
    MemoryStore,
    ReauthorizationRequired,
    RenewalPolicy,
    ResponseError,
    StoreError,
    Token,
)
from oauthkit.events import (
    TokenAdopted,
    TokenRenewed,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import (
    JSON_TYPE,
    Elsewhere,
    Heard,
    ShakyStore,
    code_of,
    crowd,
    fail,
    stored,
    used,
)


async def test_a_token_that_another_process_renewed_is_adopted() -> None:
    fake, store, heard = FakeAuthorizationServer(), MemoryStore(), Heard()
    await stored(fake, store)
    async with (
        crowd(fake, store) as other,
        crowd(fake, Elsewhere(store), on_event=heard.append) as session,
    ):
        await other.token()
        await session.token()
    assert len(heard.of(TokenAdopted)) == 1
    assert heard.of(TokenRenewed) == []
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize("store_down", [False, True])
async def test_who_failed_adopts_what_another_process_renewed_before_asking_again(
    *,
    store_down: bool,
) -> None:
    """A pause is for the server's sake; the store may be looked at all the time."""
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    async with crowd(fake, store) as session, crowd(fake, Elsewhere(store)) as other:
        fake.fail_next(503, headers={"retry-after": "50"})
        await fail(session.token())
        await fail(session.token())
        token = await other.token()
        if store_down:
            store.broken = {"load"}
            assert isinstance(await fail(session.token()), ResponseError)
            store.broken = set()
        assert await session.token() == token
        fake.advance(1)
        assert await session.token() == token
    assert len(fake.token_requests) == 2


async def test_before_a_right_is_discarded_the_store_is_read_once_more() -> None:
    """O2-39: another process, which had waited for no lease, was faster."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as session:
        fake.fail_next(400, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
        new = fake.issue()
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                store._rows["k"].token = new
                held.release()
        assert await session.token() == new == await store.load("k")
    assert len(fake.token_requests) == 1


async def test_a_login_of_another_process_is_noticed_after_the_recheck() -> None:
    fake, store = FakeAuthorizationServer(expires_in=1000), MemoryStore()
    first = await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        assert await session.token() == first
        second = fake.issue()
        store._rows["k"].token = second
        fake.advance(4.9)
        assert await session.token() == first
        fake.advance(0.2)
        assert await session.token() == second


async def test_the_store_may_be_looked_at_for_every_use() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    first = await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=RenewalPolicy(recheck=0.0, jitter=0.0)) as session:
        assert [await session.token() for _ in range(3)] == [first] * 3
        assert store.calls == ["load"] * 3
        fake.advance(80)
        assert await session.token() == first  # it is renewed beside
        await session.settled()
        second = await session.token()
        assert second != first
        third = fake.issue()
        store._rows["k"].token = third
        assert await session.token() == third
        assert await session.renew() != third
    assert len(fake.token_requests) == 2


async def test_a_login_of_this_process_is_noticed_at_once() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        second = fake.issue()
        await store.save("k", second)
        assert await session.token() == second


async def test_a_logout_is_the_end_of_the_token_at_hand() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        await store.delete("k")
        assert isinstance(await fail(session.token()), ReauthorizationRequired)


@pytest.mark.parametrize("first", [True, False])
async def test_a_token_deleted_while_it_is_renewed_is_not_resurrected(*, first: bool) -> None:
    """Logout wins, be it the first token of the key or a later one."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    code = code_of(fake)
    if not first:
        await stored(fake, store)
    async with crowd(fake, store, grant=code if first else None) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail, session.token())
                await held.arrived()
                await store.delete("k")
                held.release()
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert await store.load("k") is None


async def test_a_login_while_the_old_token_is_renewed_wins() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    login = fake.issue()
    async with crowd(fake, store) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                await store.save("k", login)
                held.release()
        assert await session.token() == await store.load("k") == login


async def test_a_lease_that_ran_out_while_nobody_else_came_costs_no_family() -> None:
    """The process was stopped and woke up: what the server gave is saved under a new lease."""
    fake = FakeAuthorizationServer()
    store = MemoryStore(clock=fake.clock.monotonic)
    await stored(fake, store)
    fake.slow_next(70)
    fake.expires_in = 3600
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200
    kept = await store.load("k")
    assert kept is not None
    assert kept.access_token == "access-token-4"
    assert (len(fake.token_requests), fake.families_killed) == (1, 0)


async def test_a_lease_whose_holder_died_is_waited_for_and_taken_over() -> None:
    """BC-15: the stored token is read again under the new lease."""
    fake = FakeAuthorizationServer()
    store = MemoryStore(clock=fake.clock.monotonic)
    await stored(fake, store)
    assert store._acquired("k") is not None  # by a process that is no more
    async with crowd(fake, store) as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                while not session.status().renewing:
                    await anyio.lowlevel.checkpoint()
                assert fake.token_requests == []
                fake.advance(61)
    assert len(fake.token_requests) == 1


async def test_a_lease_that_was_taken_over_is_lost() -> None:
    """The fence refuses the save; what the other one saved is adopted."""
    fake = FakeAuthorizationServer(grace=1000, expires_in=1000)
    store = MemoryStore(clock=fake.clock.monotonic)
    await store.save("k", fake.issue())
    fake.advance(1001)
    async with crowd(fake, store) as one, crowd(fake, Elsewhere(store)) as other:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, one)
                await held.arrived()
                fake.advance(61)
                tasks.start_soon(used, other)
                await held.arrived(2)
                held.release()
        assert (await one.token()) == (await other.token())
    assert fake.families_killed == 0


async def test_a_store_whose_token_changes_all_the_time_is_given_up() -> None:
    fake = FakeAuthorizationServer()

    class Unsteady(MemoryStore):
        def save_leased(self, key: str, fence: int, token: Token) -> None:
            raise LeaseLost

    async with crowd(fake, Unsteady(), grant=ClientCredentials()) as session:
        error = await fail(session.token())
    assert isinstance(error, StoreError)
    assert "again and again" in str(error)
    assert len(fake.token_requests) == 5


async def test_a_store_may_answer_who_waits_for_its_lease_with_a_renewed_token() -> None:
    """A lease that is not held is no right to ask the server."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    new = fake.issue()
    leases = 0

    class Early(ShakyStore):
        @asynccontextmanager
        async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
            nonlocal leases
            leases += 1
            if leases == 1:
                yield _NotHeld(self)  # before the token is there
                self._rows["k"].token = new
            else:
                yield _NotHeld(self)

    early = Early()
    early._rows = store._rows
    async with crowd(fake, early) as session:
        assert await session.token() == new
    assert fake.token_requests == []


@attrs.frozen
class _NotHeld:
    store: MemoryStore
    held: bool = False

    async def load(self) -> Token | None:
        return await MemoryStore.load(self.store, "k")

    async def save(self, token: Token) -> None:
        raise LeaseLost

    async def delete(self) -> None:
        raise LeaseLost
