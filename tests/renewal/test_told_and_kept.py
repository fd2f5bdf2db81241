"""What is told, and what is kept."""

import asyncio
import copy
import gc
import os
from typing import Any

import anyio
import attrs
import pytest

from oauthkit import (
    ClientCredentials,
    ConfigurationError,
    ErrorResponse,
    InvalidGrant,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    ResponseError,
    StoreError,
    TransportError,
)
from oauthkit.events import (
    TokenRenewed,
)
from oauthkit.renewal.shared import Renewal, SharedToken, SharedTokens, shared_tokens
from oauthkit.testing import FakeAuthorizationServer, FakeClock
from tests.renewal.world import Heard, ShakyStore, crowd, fail, stored


async def test_a_renewal_is_told_with_what_was_asked_for_and_granted() -> None:
    """O2-16."""
    fake, heard = FakeAuthorizationServer(extra={"scope": "read"}), Heard()
    fake.slow_next(2.0)
    grant = ClientCredentials(scope="read write")
    async with fake.session(grant=grant, on_event=heard.append) as session:
        token = await session.token()
    assert heard == [
        TokenRenewed(
            key=session._source.plan.key,
            grant_type="client_credentials",
            seconds=2.0,
            expires_at=token.expires_at,
            requested_scope="read write",
            scope="read",
        )
    ]


async def test_no_more_states_are_kept_than_asked_for() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(
        fake, store, grant=ClientCredentials(), policy=RenewalPolicy(capacity=10)
    ) as session:
        for number in range(100):
            await session.for_key(str(number), grant=ClientCredentials()).token()
    assert len(shared_tokens(store).items()) == 10


async def test_who_is_gone_costs_no_memory() -> None:
    """What has expired is forgotten as others come, twice as fast as they come."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(fake, store, grant=ClientCredentials()) as session:
        for number in range(50):
            await session.for_key(f"gone {number}", grant=ClientCredentials()).token()
        fake.advance(61)
        for number in range(30):
            await session.for_key(f"here {number}", grant=ClientCredentials()).token()
        keys = [key for key, _ in shared_tokens(store).items()]
    assert [key for key in keys if key.startswith("gone")] == []
    assert len([key for key in keys if key.startswith("here")]) == 30


async def test_who_is_in_a_pause_after_a_failure_is_not_forgotten() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(fake, store, grant=ClientCredentials()) as session:
        await session.token()
        fake.advance(61)
        fake.fail_next(503, headers={"retry-after": "40"})
        await fail(session.token())
        for number in range(10):
            await session.for_key(str(number), grant=ClientCredentials()).token()
        assert isinstance(await fail(session.for_key("k").token()), ResponseError)
    assert len(fake.token_requests) == 12


async def test_more_keys_in_use_than_are_kept_at_hand_are_served_by_the_store() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(
        fake, store, grant=ClientCredentials(), policy=RenewalPolicy(capacity=5)
    ) as session:
        for _ in range(3):
            for number in range(10):
                await session.for_key(str(number), grant=ClientCredentials()).token()
    assert len(fake.token_requests) == 10


async def test_a_key_that_is_used_from_the_copy_at_hand_is_not_forgotten_by_the_store() -> None:
    """The hottest key of all leaves no trace in the store while its token is fresh."""
    fake, store = FakeAuthorizationServer(expires_in=600), MemoryStore(capacity=10)
    await store.save("k", fake.issue())
    async with crowd(fake, store) as session:
        for number in range(100):
            await session.token()
            await store.save(f"cold {number}", fake.issue())
        assert await store.load("k") is not None
        for number in range(30):
            await store.save(f"colder {number}", fake.issue())
        assert await store.load("k") is None


async def test_a_key_that_nobody_keeps_at_hand_is_in_nobody_s_use() -> None:
    assert not SharedTokens().in_use("k")


async def test_a_state_with_a_renewal_on_its_way_is_kept() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    policy = RenewalPolicy(capacity=1)
    async with crowd(fake, store, grant=ClientCredentials(), policy=policy) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(session.for_key(str(number), grant=ClientCredentials()).token)
                    await held.arrived(number + 1)
                assert len(shared_tokens(store).items()) == 5
                held.release()
        session.for_key("last")
    assert len(shared_tokens(store).items()) == 1


async def test_threads_share_the_states_of_a_store() -> None:
    states = SharedTokens()

    def use(offset: int) -> None:
        for number in range(2000):
            states.of(str((number + offset) % 50), capacity=10, clock=FakeClock())
            states.forget(str(number % 50))

    async with anyio.create_task_group() as tasks:
        for offset in range(4):
            tasks.start_soon(anyio.to_thread.run_sync, use, offset)
    assert len(states.items()) == 10


async def test_what_is_known_of_a_store_ends_with_it() -> None:
    import weakref

    store = MemoryStore()
    states = weakref.ref(shared_tokens(store))
    del store
    gc.collect()
    assert states() is None


async def test_a_store_whose_keys_were_used_is_kept_by_nobody() -> None:
    import weakref

    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    kept = weakref.ref(store)
    async with fake.session(store=store, key="application") as session:
        await session.token()
        await session.for_key("k").renew()
    del session, store
    gc.collect()
    assert kept() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_after_a_fork_a_child_begins_anew_whatever_a_thread_was_at() -> None:
    store = MemoryStore()
    parents = shared_tokens(store)
    with parents._mutex:  # as another thread has it
        child = os.fork()
        if child == 0:
            childs = shared_tokens(store)
            os._exit(childs is parents or childs._mutex.locked())
    assert os.waitpid(child, 0)[1] == 0
    assert shared_tokens(store) is parents


def test_a_store_that_cannot_be_told_apart_is_refused() -> None:
    @attrs.define
    class Unhashable(MemoryStore):
        pass

    with pytest.raises(ConfigurationError, match="hashable and weakly referable"):
        shared_tokens(Unhashable.__new__(Unhashable))


async def test_a_store_that_tells_of_no_changes_is_looked_at_again() -> None:
    fake, inner = FakeAuthorizationServer(expires_in=600), MemoryStore()

    class Plain:
        load = staticmethod(inner.load)
        save = staticmethod(inner.save)
        delete = staticmethod(inner.delete)
        lease = staticmethod(inner.lease)

    store: Any = Plain()
    await store.save("k", fake.issue())
    async with crowd(fake, store) as session:
        await session.token()
        await store.delete("k")
        await session.token()
        fake.advance(6)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    shared_tokens(store).forget("unknown")


@pytest.mark.parametrize("index", range(7))
async def test_the_errors_of_renewals_survive_being_copied(index: int) -> None:
    """Each waiter gets a copy."""
    errors: list[OAuthKitError] = [
        TransportError("t", sent=False, retry_after=1),
        ResponseError("r", status_code=500, excerpt="e"),
        InvalidGrant("invalid_grant", "d", "u", status_code=400, www_authenticate=["Basic"]),
        ErrorResponse("x", recovery=Recovery.RETRY_LATER),
        ReauthorizationRequired("a"),
        StoreError("s"),
        ConfigurationError("c"),
    ]
    error = errors[index]
    clone = copy.copy(error)
    assert (type(clone), str(clone), vars(clone)) == (type(error), str(error), vars(error))


async def test_a_key_that_a_session_still_uses_has_one_state_though_it_was_forgotten() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await store.save("ada", fake.issue())
    policy = RenewalPolicy(capacity=1, recheck=1000)
    async with crowd(fake, store, policy=policy) as session:
        ada = session.for_key("ada")
        await ada.token()
        session.for_key("bob")
        assert "ada" not in dict(shared_tokens(store).items())
        assert await session.for_key("ada").token() == await ada.token()
        session.for_key("bob")
        await store.delete("ada")
        assert isinstance(await fail(ada.token()), ReauthorizationRequired)


async def test_a_renewal_of_a_loop_that_was_closed_under_it_is_over() -> None:
    """As a test, a notebook or a worker of a task queue may do."""
    closed = asyncio.new_event_loop()
    closed.close()
    shared = SharedToken(renewal=Renewal())
    assert (shared.renewing, shared.idle) == (True, False)
    shared.renewal = Renewal(loop=closed)
    assert (shared.renewing, shared.idle) == (False, True)


async def test_what_a_closed_loop_offered_is_offered_by_the_next_one() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    store.broken = {"save"}
    async with crowd(fake, store, policy=RenewalPolicy(save_timeout=0.1)) as session:
        shared_tokens(store).items()[0][1].offering = object()
        await fail(session.token())
        store.broken = set()
        with anyio.fail_after(5):
            while session.status().unsaved:  # noqa: ASYNC110 - no event tells of it
                await anyio.sleep(0.02)
