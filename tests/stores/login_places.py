"""Where what belongs to logins can be kept: each place opens twice, as two processes have it."""

import gc
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio.to_thread
import coredis
import pytest
import redis
import redis.asyncio

from oauthkit.testing import FakeClock
from tests.stores.conftest import FakeCoredis, FakeRedisPy, FakeRedisServer

COREDIS_LEAVES_STREAMS_OPEN = pytest.mark.filterwarnings(
    "ignore:Unclosed <MemoryObject:ResourceWarning"
)
ON_ASYNCIO_ALONE = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as redis-py is


class Place:
    """The memory of this process."""

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = FakeClock()

    @asynccontextmanager
    async def twice(self, make: Callable[..., Any]) -> AsyncGenerator[tuple[Any, Any]]:
        """Give two handles to one place."""
        only = make(clock=self.clock.time)
        yield only, only

    async def advance(self, seconds: float) -> None:
        """Let time pass, here and there."""
        self.clock.advance(seconds)


class File(Place):
    """A file of this machine."""

    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "logins.db"

    @asynccontextmanager
    async def twice(self, make: Callable[..., Any]) -> AsyncGenerator[tuple[Any, Any]]:
        async with (
            make(self.path, clock=self.clock.time) as one,
            make(self.path, clock=self.clock.time) as two,
        ):
            yield one, two


class FakeRedis(Place):
    """A fake of a Redis server, by redis-py."""

    client: ClassVar[type[FakeRedisPy | FakeCoredis]] = FakeRedisPy
    decode: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def _server(self, _clock: None, fake_redis: FakeRedisServer) -> None:
        self.server = fake_redis
        self.clock = fake_redis.clock

    @asynccontextmanager
    async def twice(self, make: Callable[..., Any]) -> AsyncGenerator[tuple[Any, Any]]:
        one, two = (
            make(cast("Any", self.client(self.server, decode=self.decode)), clock=self.clock.time)
            for _ in range(2)
        )
        yield one, two


@pytest.mark.usefixtures("_redis_py_reads_no_metadata")
class RealRedis(Place):
    """A real server, emptied before each test."""

    @pytest.fixture(autouse=True)
    def _server(self, _clock: None, redis_port: int) -> Iterator[None]:
        yield from self._emptied(redis_port)
        gc.collect()  # what coredis left open is to be found here, where it is expected

    def _emptied(self, port: int) -> Iterator[None]:
        self.port = port
        with redis.Redis(port=port) as raw:
            self.raw: Any = raw
            self.raw.flushdb()
            yield

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await anyio.to_thread.run_sync(self._age, seconds)

    def _age(self, seconds: float) -> None:
        for name in self.raw.scan_iter("oauthkit:*"):
            self.raw.pexpire(name, max(self.raw.pttl(name) - round(seconds * 1000), 0))

    @asynccontextmanager
    async def twice(self, make: Callable[..., Any]) -> AsyncGenerator[tuple[Any, Any]]:
        async with redis.asyncio.Redis(port=self.port) as client:
            yield make(client, clock=self.clock.time), make(client, clock=self.clock.time)


class RealCoredis(RealRedis):
    """The same by coredis, which trio needs."""

    @asynccontextmanager
    async def twice(self, make: Callable[..., Any]) -> AsyncGenerator[tuple[Any, Any]]:
        async with coredis.Redis(port=self.port) as client:
            yield make(client, clock=self.clock.time), make(client, clock=self.clock.time)


class RealCluster(RealRedis):
    """A Redis Cluster, which refuses a script whose keys are in different slots."""

    @pytest.fixture(autouse=True)
    def _server(self, _clock: None, redis_cluster_port: int) -> Iterator[None]:
        yield from self._emptied(redis_cluster_port)

    @asynccontextmanager
    async def twice(self, make: Callable[..., Any]) -> AsyncGenerator[tuple[Any, Any]]:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=self.port) as client:
            yield make(client, clock=self.clock.time), make(client, clock=self.clock.time)
