"""The contract, over every store of ours."""

import gc
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio.to_thread
import coredis
import pytest
import redis.asyncio

from oauthkit.protocol.token import Token
from oauthkit.stores.base import TokenStore, WatchedStore
from oauthkit.stores.memory import MemoryStore
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sealed import SealedStore
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.testing import FakeClock
from oauthkit.testing.store_contract import SharedStoreContract, StoreContract
from tests.stores.conftest import FakeCoredis, FakeRedisPy, FakeRedisServer

COREDIS_LEAVES_STREAMS_OPEN = pytest.mark.filterwarnings(
    "ignore:Unclosed <MemoryObject:ResourceWarning"
)
ON_ASYNCIO_ALONE = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as redis-py is
KEYS = {"new": b"k" * 32, "old": b"o" * 16}


class TestMemoryStore(StoreContract):
    moment = 0.03

    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.clock = FakeClock()

    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        return nullcontext(MemoryStore(lease_seconds=lease_seconds, clock=self.clock.monotonic))

    async def stand_still(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestSQLiteStore(SharedStoreContract):
    moment = 0.03

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.path = tmp_path / "tokens.db"

    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        return SQLiteStore(self.path, lease_seconds=lease_seconds, clock=self.clock)

    async def stand_still(self, seconds: float) -> None:
        self.clock.advance(seconds)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestSQLiteStoreByTheRealClock(SharedStoreContract):
    moment = 0.03

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "tokens.db"

    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        return SQLiteStore(self.path, lease_seconds=lease_seconds)


class TestRedisStoreOnAFakeOfRedisPy(SharedStoreContract):
    moment = 0.03

    client: ClassVar[type[FakeRedisPy | FakeCoredis]] = FakeRedisPy
    decode: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def _place(self, fake_redis: FakeRedisServer) -> None:
        self.server = fake_redis

    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        client = cast("Any", self.client(self.server, decode=self.decode))
        clock = self.server.clock.monotonic
        return nullcontext(RedisStore(client, lease_seconds=lease_seconds, clock=clock))

    async def stand_still(self, seconds: float) -> None:
        self.server.clock.advance(seconds)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestRedisStoreOnAFakeOfRedisPyThatDecodes(TestRedisStoreOnAFakeOfRedisPy):
    decode = True


class TestRedisStoreOnAFakeOfCoredis(TestRedisStoreOnAFakeOfRedisPy):
    client = FakeCoredis


@pytest.mark.usefixtures("_redis_py_reads_no_metadata")
class RealRedis(SharedStoreContract):
    """A real server, emptied before each test; its clock cannot be moved, but a lease can end."""

    moment = 0.03

    @pytest.fixture(autouse=True)
    def _place(self, redis_port: int) -> Iterator[None]:
        self.port = redis_port
        self.clock = FakeClock()
        with redis.Redis(port=redis_port) as raw:
            self.raw: Any = raw
            self.raw.flushdb()
            yield
        gc.collect()  # what coredis left open is to be found here, where it is expected

    options: ClassVar[dict[str, Any]] = {}

    async def stand_still(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await anyio.to_thread.run_sync(self._end_leases)

    def _end_leases(self) -> None:
        for name in self.raw.scan_iter("*:lease"):
            self.raw.pexpire(name, 0)


@ON_ASYNCIO_ALONE
class TestRedisStoreOnRedisPy(RealRedis):
    @asynccontextmanager
    async def open(self, *, lease_seconds: float) -> AsyncGenerator[TokenStore]:
        async with redis.asyncio.Redis(port=self.port, **self.options) as client:
            yield RedisStore(client, lease_seconds=lease_seconds, clock=self.clock.monotonic)


class TestRedisStoreOnRedisPyThatDecodes(TestRedisStoreOnRedisPy):
    options: ClassVar[dict[str, Any]] = {"decode_responses": True, "protocol": 3}


@COREDIS_LEAVES_STREAMS_OPEN
class TestRedisStoreOnCoredis(RealRedis):
    @asynccontextmanager
    async def open(self, *, lease_seconds: float) -> AsyncGenerator[TokenStore]:
        async with coredis.Redis(port=self.port, **self.options) as client:
            yield RedisStore(client, lease_seconds=lease_seconds, clock=self.clock.monotonic)


class TestRedisStoreOnCoredisThatDecodes(TestRedisStoreOnCoredis):
    options: ClassVar[dict[str, Any]] = {"decode_responses": True}


class RealCluster(RealRedis):
    """The same on Redis Cluster, which refuses a script whose keys are in different slots."""

    @pytest.fixture(autouse=True)
    def _cluster(self, _place: None, redis_cluster_port: int) -> Iterator[None]:
        self.port = redis_cluster_port
        with redis.Redis(port=redis_cluster_port) as raw:
            self.raw: Any = raw
            self.raw.flushdb()
            yield


@ON_ASYNCIO_ALONE
class TestRedisStoreOnRedisPyCluster(RealCluster):
    @asynccontextmanager
    async def open(self, *, lease_seconds: float) -> AsyncGenerator[TokenStore]:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=self.port) as client:
            yield RedisStore(client, lease_seconds=lease_seconds, clock=self.clock.monotonic)


@COREDIS_LEAVES_STREAMS_OPEN
class TestRedisStoreOnCoredisCluster(RealCluster):
    @asynccontextmanager
    async def open(self, *, lease_seconds: float) -> AsyncGenerator[TokenStore]:
        async with coredis.RedisCluster(host="127.0.0.1", port=self.port) as client:
            yield RedisStore(client, lease_seconds=lease_seconds, clock=self.clock.monotonic)


class TestSealedMemoryStore(TestMemoryStore):
    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        store = MemoryStore(lease_seconds=lease_seconds, clock=self.clock.monotonic)
        return nullcontext(SealedStore(store, KEYS))


class TestSealedSQLiteStore(TestSQLiteStore):
    @asynccontextmanager
    async def open(self, *, lease_seconds: float) -> AsyncGenerator[TokenStore]:
        async with SQLiteStore(self.path, lease_seconds=lease_seconds, clock=self.clock) as store:
            yield SealedStore(store, KEYS)


class TestSealedRedisStore(TestRedisStoreOnAFakeOfRedisPy):
    def open(self, *, lease_seconds: float) -> AbstractAsyncContextManager[TokenStore]:
        client = cast("Any", FakeRedisPy(self.server))
        clock = self.server.clock.monotonic
        store = RedisStore(client, lease_seconds=lease_seconds, clock=clock)
        return nullcontext(SealedStore(store, KEYS))


class Keeper:
    """Keep a copy of every token, and hear when one is to be forgotten."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def forget(self, key: str, /) -> None:
        self.heard.append(key)

    def in_use(self, _key: str, /) -> bool:
        return True


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "sealed"])
async def test_who_keeps_copies_hears_of_logins_and_logouts_also_of_those_under_a_lease(
    kind: str, tmp_path: Path, fake_redis: FakeRedisServer
) -> None:
    """A renewal is no news to them: it is theirs."""
    make: dict[str, Callable[[], WatchedStore]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SQLiteStore(tmp_path / "tokens.db"),
        "redis": lambda: RedisStore(cast("Any", FakeRedisPy(fake_redis))),
        "sealed": lambda: SealedStore(MemoryStore(), KEYS),
    }
    keeper, store = Keeper(), cast("Any", make[kind]())
    store.watch(keeper)
    async with AsyncExitStack() as stack:
        if isinstance(store, SQLiteStore):
            await stack.enter_async_context(store)
        await store.save("login", Token("one"))
        async with store.lease("login") as lease:
            await lease.save(Token("two"))
        await store.delete("logout")
        async with store.lease("logout under a lease") as lease:
            await lease.delete()

    assert keeper.heard == ["login", "logout", "logout under a lease"]
