"""What is told, and what is kept."""

import copy
import gc
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
from oauthkit.copies import TokenStates, states_of
from oauthkit.events import (
    TokenRenewed,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import Heard, crowd, fail


async def test_a_renewal_is_told_with_what_was_asked_for_and_granted() -> None:
    """O2-16."""
    fake, heard = FakeAuthorizationServer(extra={"scope": "read"}), Heard()
    fake.slow_next(2.0)
    grant = ClientCredentials(scope="read write")
    async with fake.session(grant=grant, on_event=heard.append) as session:
        token = await session.token()
    assert heard == [
        TokenRenewed(
            key=session._renewer.replacement.key,
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
            await session.for_key(str(number)).token()
    assert len(states_of(store)._states) == 10


async def test_a_state_with_a_renewal_on_its_way_is_kept() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    policy = RenewalPolicy(capacity=1)
    async with crowd(fake, store, grant=ClientCredentials(), policy=policy) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(session.for_key(str(number)).token)
                    await held.arrived(number + 1)
                assert len(states_of(store)._states) == 5
                held.release()
        session.for_key("last")
    assert len(states_of(store)._states) == 1


async def test_threads_share_the_states_of_a_store() -> None:
    states = TokenStates()

    def use(offset: int) -> None:
        for number in range(2000):
            states.of(str((number + offset) % 50), capacity=10)
            states.forget(str(number % 50))

    async with anyio.create_task_group() as tasks:
        for offset in range(4):
            tasks.start_soon(anyio.to_thread.run_sync, use, offset)
    assert len(states._states) == 10


async def test_what_is_known_of_a_store_ends_with_it() -> None:
    import weakref

    store = MemoryStore()
    states = weakref.ref(states_of(store))
    del store
    gc.collect()
    assert states() is None


def test_a_store_that_cannot_be_told_apart_is_refused() -> None:
    @attrs.define
    class Unhashable(MemoryStore):
        pass

    with pytest.raises(ConfigurationError, match="hashable and weakly referable"):
        states_of(Unhashable.__new__(Unhashable))


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
    states_of(store).forget("unknown")


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
