"""The contract catches stores that break it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, cast

import attrs
import pytest

from oauthkit.errors import LeaseLost
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore
from oauthkit.stores.memory import MemoryStore
from oauthkit.testing import FakeClock
from oauthkit.testing.store_contract import SharedStoreContract, StoreContract


class Forgetful(MemoryStore):
    async def save(self, key: str, token: Token, /) -> None:
        await super().save(key, attrs.evolve(token, extra={}))


class Losing(MemoryStore):
    async def save(self, key: str, token: Token, /) -> None:
        """Lose it."""


class BlindToCase(MemoryStore):
    async def load(self, key: str, /) -> Token | None:
        return await super().load(key.lower())


class Resurrecting(MemoryStore):
    async def delete(self, key: str, /) -> None:
        """Keep it."""


@attrs.frozen
class OpenLease:
    store: TokenStore
    key: str
    held: bool = True

    async def load(self) -> Token | None:
        return await self.store.load(self.key)

    async def save(self, token: Token) -> None:
        await self.store.save(self.key, token)

    async def delete(self) -> None:
        await self.store.delete(self.key)


class WithoutExclusion(MemoryStore):
    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        yield OpenLease(self, key)


class WithoutRight(MemoryStore):
    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        yield OpenLease(self, key, held=False)


class Punctual(MemoryStore):
    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        async with super().lease(key) as lease:
            yield PunctualLease(lease)


@attrs.frozen
class PunctualLease:
    lease: Lease

    @property
    def held(self) -> bool:
        return self.lease.held

    async def load(self) -> Token | None:
        return await self.lease.load()

    async def save(self, token: Token) -> None:
        """Refuse what comes late."""
        if not self.held:
            raise LeaseLost
        await self.lease.save(token)

    async def delete(self) -> None:
        """Refuse what comes late."""
        if not self.held:
            raise LeaseLost
        await self.lease.delete()


class Careless(MemoryStore):
    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        async with super().lease(key) as lease:
            yield CarelessLease(self, key, lease)


@attrs.frozen
class CarelessLease:
    store: TokenStore
    key: str
    lease: Lease

    @property
    def held(self) -> bool:
        return self.lease.held

    async def load(self) -> Token | None:
        return await self.lease.load()

    async def save(self, token: Token) -> None:
        await self.lease.save(token)

    async def delete(self) -> None:
        """Delete whatever is there."""
        await self.store.delete(self.key)


class Evasive(MemoryStore):
    def __init__(self, *, lease_seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(lease_seconds=2 * lease_seconds, clock=clock)


class Wrapping(MemoryStore):
    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        try:
            async with super().lease(key) as lease:
                yield lease
        except RuntimeError as error:
            raise RuntimeError from error


class Contract(StoreContract):
    moment = 0.03

    def __init__(self, store: type[MemoryStore]) -> None:
        self.store = store
        self.clock = FakeClock()

    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        return nullcontext(self.store(lease_seconds=lease_seconds, clock=self.clock.monotonic))

    async def stand_still(self, seconds: float) -> None:
        self.clock.advance(seconds)


class SharedContract(Contract, SharedStoreContract):
    def __init__(self, store: type[MemoryStore]) -> None:
        super().__init__(store)
        self.opened: list[AbstractAsyncContextManager[TokenStore]] = []

    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        self.opened.append(super().open(lease_seconds=lease_seconds))
        return self.opened[0]


@pytest.mark.parametrize(
    "store, broken",
    [
        (Forgetful, StoreContract.test_everything_in_a_token_is_kept),
        (Losing, StoreContract.test_a_saved_token_is_loaded),
        (Losing, StoreContract.test_everything_in_a_token_is_kept),
        (BlindToCase, StoreContract.test_odd_keys_are_kept_apart),
        (Resurrecting, StoreContract.test_a_deleted_token_is_gone),
        (Resurrecting, StoreContract.test_a_logout_takes_the_lease_away),
        (WithoutExclusion, StoreContract.test_a_lease_has_one_holder),
        (WithoutExclusion, StoreContract.test_waiters_take_turns),
        (WithoutExclusion, StoreContract.test_who_stops_waiting_takes_nobody_along),
        (WithoutExclusion, StoreContract.test_a_login_takes_the_lease_away),
        (WithoutExclusion, StoreContract.test_a_logout_takes_the_lease_away),
        (WithoutExclusion, StoreContract.test_a_holder_knows_when_the_lease_has_run_out),
        (WithoutExclusion, StoreContract.test_a_late_save_is_refused_after_a_login),
        (WithoutExclusion, StoreContract.test_a_late_save_is_refused_after_a_logout),
        (
            WithoutExclusion,
            StoreContract.test_a_late_save_is_refused_where_somebody_else_had_the_lease,
        ),
        (WithoutExclusion, StoreContract.test_a_lease_ends_when_it_is_left),
        (WithoutExclusion, SharedStoreContract.test_a_late_save_is_refused_after_what_another_did),
        (Punctual, StoreContract.test_a_late_save_is_taken_where_nobody_else_came),
        (Punctual, StoreContract.test_a_late_deletion_is_done_where_nobody_else_came),
        (Careless, StoreContract.test_what_nobody_has_looked_at_is_not_deleted_under_a_lease),
        (Careless, StoreContract.test_a_late_deletion_is_refused_where_somebody_else_came),
        (Careless, StoreContract.test_a_lease_ends_when_it_is_left),
        (Careless, SharedStoreContract.test_a_late_save_is_refused_after_what_another_did),
        (Evasive, StoreContract.test_a_store_says_how_long_its_leases_live),
        (WithoutRight, StoreContract.test_a_lease_gives_the_stored_token),
        (Wrapping, StoreContract.test_a_failure_gives_the_lease_back),
    ],
    ids=lambda value: value.__name__,
)
async def test_a_broken_store_is_caught(
    store: type[MemoryStore], broken: Callable[[Any], Any]
) -> None:
    contract = SharedContract if broken.__name__ in vars(SharedStoreContract) else Contract
    with pytest.raises((AssertionError, BaseExceptionGroup)) as caught:
        await broken(contract(store))
    error: Any = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = cast("Any", error).exceptions[0]
    assert isinstance(error, AssertionError)
