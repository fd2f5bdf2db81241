"""Any order of logins, logouts, renewals, crashes and clock changes, against a model."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import anyio
import attrs
import coredis
import pytest
import redis.asyncio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)

from oauthkit.errors import LeaseLost
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore
from oauthkit.stores.memory import MemoryStore
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sealed import SealedStore
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.testing import FakeClock
from tests.stores.conftest import FakeRedisPy, FakeRedisServer

LEASE_SECONDS = 60.0
OWNERS = st.sampled_from([0, 1])
KEYS = st.sampled_from(["ada", "{grace}"])
TOKENS = st.builds(Token, st.text(max_size=5), refresh_token=st.none() | st.text(max_size=5))


class Place(ABC):
    """One place for tokens, the two owners that use it, and the time there."""

    crashes = True
    jumps = False

    def __init__(self) -> None:
        self.clock = FakeClock()

    def now(self) -> float:
        """Return the time by which leases end."""
        return self.clock.monotonic()

    @abstractmethod
    async def open(self, owner: int) -> TokenStore: ...

    async def crash(self, store: TokenStore) -> None:
        """Let nothing more come from this store object."""
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @asynccontextmanager
    async def ready(self) -> AsyncGenerator[None]:
        """Make the place, and leave nothing behind."""
        yield


class InMemory(Place):
    crashes = False  # what the process loses with itself

    async def open(self, owner: int) -> TokenStore:
        if not owner:
            self.store = MemoryStore(lease_seconds=LEASE_SECONDS, clock=self.clock.monotonic)
        return self.store


class InSQLite(Place):
    jumps = True
    boot = "this"

    def __init__(self) -> None:
        super().__init__()
        self.path = Path()
        self.opened: list[SQLiteStore] = []

    async def open(self, owner: int) -> TokenStore:
        self.opened.append(SQLiteStore(self.path, lease_seconds=LEASE_SECONDS, clock=self.clock))
        return self.opened[-1]

    async def crash(self, store: TokenStore) -> None:
        await cast("SQLiteStore", store).aclose()

    @asynccontextmanager
    async def ready(self) -> AsyncGenerator[None]:
        async with anyio.TemporaryDirectory() as directory:
            self.path = Path(directory) / "tokens.db"
            with patch("oauthkit.stores.sqlite_table.boot_id", lambda: self.boot):
                yield
            for store in self.opened:
                await store.aclose()


class InSQLiteByTheWallClock(InSQLite):
    """As on systems whose boots have no name."""

    boot = ""

    def now(self) -> float:
        return self.clock.time()


class SealedInSQLite(InSQLite):
    async def open(self, owner: int) -> TokenStore:
        return SealedStore(await super().open(owner), {"k": b"k" * 32})

    async def crash(self, store: TokenStore) -> None:
        await super().crash(cast("Any", store)._store)


class CutOffRedisPy(FakeRedisPy):
    """A client whose process can die."""

    alive = True

    async def _ask(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        if not self.alive:
            raise ConnectionError
        return await super()._ask(ask, *arguments)


class InFakeRedis(Place):
    def __init__(self) -> None:
        super().__init__()
        self.server = FakeRedisServer()
        self.server.clock = self.clock

    async def open(self, owner: int) -> TokenStore:
        client = cast("Any", CutOffRedisPy(self.server))
        return RedisStore(client, lease_seconds=LEASE_SECONDS, clock=self.clock.monotonic)

    async def crash(self, store: TokenStore) -> None:
        cast("Any", store)._client._client.alive = False


class CutOff:
    """Stand between a store and a real client, until its process dies."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.alive = True

    def __getattr__(self, name: str) -> Any:
        if not self.alive:
            raise ConnectionError
        return getattr(self.client, name)


class InRealRedis(Place):
    client: Any

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    async def open(self, owner: int) -> TokenStore:
        clock = self.clock.monotonic
        store = RedisStore(self.client, lease_seconds=LEASE_SECONDS, clock=clock)
        seam = cast("Any", store)
        seam._client = seam._waiting._client = attrs.evolve(
            seam._client, client=CutOff(self.client)
        )
        return store

    async def crash(self, store: TokenStore) -> None:
        cast("Any", store)._client._client.alive = False

    async def advance(self, seconds: float) -> None:
        for name in await self.client.keys("*:lease"):
            left = await self.client.pttl(name) / 1000 - seconds
            await self.client.pexpire(name, max(round(left * 1000), 0))
        await super().advance(seconds)


class OnRedisPy(InRealRedis):
    @asynccontextmanager
    async def ready(self) -> AsyncGenerator[None]:
        async with redis.asyncio.Redis(port=self.port, decode_responses=True) as self.client:
            await self.client.flushdb()
            yield


class OnCoredis(InRealRedis):
    @asynccontextmanager
    async def ready(self) -> AsyncGenerator[None]:
        async with coredis.Redis(port=self.port, decode_responses=True) as self.client:
            await self.client.flushdb()
            yield


@attrs.define(eq=False)
class Held:
    """A lease that was lent out, and what the model knows of it."""

    key: str
    owner: int
    manager: AbstractContextManager[Lease]
    lease: Lease
    until: float
    good_until: float
    left: bool = False


class Fleet(RuleBasedStateMachine):
    """Two owners of one place."""

    held = Bundle[Held]("held")

    def __init__(self, place: Place, backend: str) -> None:
        super().__init__()
        self.place, self.clock = place, place.clock
        self.exits = ExitStack()
        self.portal: BlockingPortal = self.exits.enter_context(start_blocking_portal(backend))
        self.exits.enter_context(self.portal.wrap_async_context_manager(place.ready()))
        self.stores = [self.portal.call(place.open, owner) for owner in (0, 1)]
        self.tokens: dict[str, Token] = {}
        self.holders: dict[str, Held] = {}
        self.lent: list[Held] = []

    def teardown(self) -> None:
        for held in self.lent:
            self.leave(held)
        self.exits.close()

    @rule(owner=OWNERS, key=KEYS)
    def load(self, owner: int, key: str) -> None:
        assert self.portal.call(self.stores[owner].load, key) == self.tokens.get(key)

    @rule(owner=OWNERS, key=KEYS, token=TOKENS)
    def save(self, owner: int, key: str, token: Token) -> None:
        self.portal.call(self.stores[owner].save, key, token)
        self.tokens[key] = token
        self.holders.pop(key, None)

    @rule(owner=OWNERS, key=KEYS)
    def delete(self, owner: int, key: str) -> None:
        self.portal.call(self.stores[owner].delete, key)
        self.tokens.pop(key, None)
        self.holders.pop(key, None)

    @rule(target=held, owner=OWNERS, key=KEYS)
    def lend(self, owner: int, key: str) -> Any:
        if key in self.holders and self.place.now() < self.holders[key].until:
            assert not self.portal.call(self._lent_at_once, self.stores[owner], key)
            return cast("Any", multiple())
        manager = self.portal.wrap_async_context_manager(self.stores[owner].lease(key))
        lease = manager.__enter__()
        assert lease.held
        held = Held(
            key,
            owner,
            manager,
            lease,
            self.place.now() + LEASE_SECONDS,
            self.clock.monotonic() + LEASE_SECONDS,
        )
        assert self.portal.call(lease.load) == self.tokens.get(key)
        self.holders[key] = held
        self.lent.append(held)
        return held

    @rule(held=held)
    def load_leased(self, held: Held) -> None:
        if not held.left:
            assert self.portal.call(held.lease.load) == self.tokens.get(held.key)

    @rule(held=held, token=TOKENS)
    def save_leased(self, held: Held, token: Token) -> None:
        if held.left:
            return
        if self.holders.get(held.key) is held:  # however late it is
            self.portal.call(held.lease.save, token)
            self.tokens[held.key] = token
        else:
            with pytest.raises(LeaseLost):
                self.portal.call(held.lease.save, token)

    @rule(held=held)
    def look_whether_it_is_held(self, held: Held) -> None:
        """It may say so of a lease that was taken away, and must not of one that ran out."""
        current = self.holders.get(held.key) is held
        if held.left or self.clock.monotonic() >= held.good_until:
            assert not held.lease.held
        elif current:
            assert held.lease.held

    @rule(held=consumes(held))
    def leave(self, held: Held) -> None:
        if not held.left:
            held.left = True
            held.manager.__exit__(None, None, None)
            if self.holders.get(held.key) is held:
                del self.holders[held.key]

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS / 2, LEASE_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.portal.call(self.place.advance, seconds)

    @rule(seconds=st.sampled_from([-86_400.0, -1.0, 1.0, 86_400.0]))
    def set_the_clock(self, seconds: float) -> None:
        if self.place.jumps:
            self.clock.jump(seconds)

    @rule(owner=OWNERS)
    def crash(self, owner: int) -> None:
        """Die, leaving leases to run out, and start again."""
        if self.place.crashes:
            self.portal.call(self.place.crash, self.stores[owner])
            for held in self.lent:
                if held.owner == owner and not held.left:
                    held.left = True
                    held.manager.__exit__(None, None, None)
            self.stores[owner] = self.portal.call(self.place.open, owner)

    @staticmethod
    async def _lent_at_once(store: TokenStore, key: str) -> bool:
        with anyio.move_on_after(0.005) as scope:
            async with store.lease(key):
                pass
        return not scope.cancelled_caught


def run(place: Callable[[], Place], backend: str) -> None:
    run_state_machine_as_test(
        cast("Any", lambda: Fleet(place(), backend)),
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.mark.parametrize(
    "place", [InMemory, InSQLite, InSQLiteByTheWallClock, SealedInSQLite, InFakeRedis]
)
def test_a_store_does_what_the_model_does(place: Callable[[], Place], anyio_backend: str) -> None:
    run(place, anyio_backend)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("_redis_py_reads_no_metadata")
def test_redis_py_does_what_the_model_does(redis_port: int, anyio_backend: str) -> None:
    run(lambda: OnRedisPy(redis_port), anyio_backend)


@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
def test_coredis_does_what_the_model_does(redis_port: int, anyio_backend: str) -> None:
    run(lambda: OnCoredis(redis_port), anyio_backend)
