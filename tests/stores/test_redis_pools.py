"""A store asks no more of a client at once than its pool bears; nothing fails for want of it."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from oauthkit.errors import StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.redis_client import redis_client
from oauthkit.testing.holders import holding, lease_and_leave
from tests.stores.conftest import FakeCoredis, FakeRedisPy, FakeRedisServer

DEADLINE: Final = 20.0
PROMPT: Final = 1.0
KEYS: Final = 400  # four times what redis-py opens by itself


async def use(store: RedisStore, key: str) -> None:
    """Do all that there is to do with a key."""
    await store.save(key, Token("one"))
    assert await store.load(key) == Token("one")
    async with store.lease(key) as lease:
        assert await lease.load() == Token("one")
        await lease.save(Token("two"))
    await store.delete(key)


async def all_at_once(work: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            for number in range(KEYS):
                tasks.start_soon(work, f"user-{number}")


@pytest.fixture
def raw(redis_port: int) -> Iterator[Any]:
    """Return a client for the tests themselves, to an empty server."""
    with redis.Redis(port=redis_port) as client:
        untyped: Any = client
        untyped.flushdb()
        yield untyped


@asynccontextmanager
async def documented(port: int, **options: Any) -> AsyncGenerator[RedisStore]:
    """Open the client of the documentation."""
    client = redis.asyncio.from_url(
        f"redis://localhost:{port}",
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 5),
        **options,
    )
    async with client:
        yield RedisStore(client)


on_redis_py = pytest.mark.parametrize("anyio_backend", ["asyncio"])
no_metadata = pytest.mark.usefixtures("_redis_py_reads_no_metadata")


@on_redis_py
@no_metadata
@pytest.mark.parametrize("options", [{}, *({"max_connections": most} for most in (1, 2, 8))])
async def test_more_keys_at_once_than_the_pool_has_connections(
    redis_port: int, options: dict[str, Any]
) -> None:
    async with documented(redis_port, **options) as store:
        await all_at_once(partial(use, store))


@on_redis_py
@no_metadata
async def test_clients_over_one_pool_share_what_it_bears(redis_port: int) -> None:
    """As where each web request makes a client of its own."""
    pool = redis.asyncio.ConnectionPool(port=redis_port, max_connections=8)

    async def work(key: str) -> None:
        await use(RedisStore(redis.asyncio.Redis(connection_pool=pool)), key)

    await all_at_once(work)
    await pool.aclose()


@on_redis_py
@no_metadata
@pytest.mark.parametrize("options", [{}, {"max_connections": 2}])
async def test_a_cluster_refuses_too(redis_cluster_port: int, options: dict[str, Any]) -> None:
    """Each of its nodes has a pool; a key is in one of them, and nobody knows beforehand which."""
    client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=redis_cluster_port, **options)
    async with client:
        await all_at_once(partial(use, RedisStore(client)))


@on_redis_py
@no_metadata
async def test_those_who_listen_have_connections_of_their_own(redis_port: int, raw: Any) -> None:
    """And there are some left for the caller."""
    holder = RedisStore(redis.asyncio.Redis(port=redis_port))
    async with (
        documented(redis_port, max_connections=16) as store,
        anyio.create_task_group() as waiting,
        anyio.create_task_group() as held,
    ):
        for number in range(8):
            await holder.save(f"held-{number}", Token("one"))
            await held.start(_hold, holder, f"held-{number}")
            waiting.start_soon(lease_and_leave, store, f"held-{number}")
        with anyio.fail_after(DEADLINE):
            while len(raw.client_list(_type="pubsub")) < 4:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        await all_at_once(partial(use, store))
        held.cancel_scope.cancel()
    await holder._client.given.aclose()


async def _hold(
    store: RedisStore, key: str, *, task_status: Any = anyio.TASK_STATUS_IGNORED
) -> None:
    async with holding(store, key):
        task_status.started()
        await anyio.sleep_forever()


@attrs.define(eq=False)
class Pool:
    """As much of a driver's pool as a store looks at."""

    max_connections: int


@attrs.define
class Crowd:
    """A client whose answers to those who ask do not come until they may."""

    server: FakeRedisServer
    client: Any
    answered: anyio.Event = attrs.field(factory=anyio.Event)
    asking: int = 0
    most: int = 0


@pytest.fixture
def crowd(fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch) -> Crowd:
    client: Any = FakeRedisPy(fake_redis)
    client.connection_pool = Pool(max_connections=8)
    return stalled(Crowd(fake_redis, client), monkeypatch)


def stalled(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> Crowd:
    ask = FakeRedisPy._ask  # as both have it

    async def slow(client: Any, what: Callable[..., Any], *arguments: Any) -> Any:
        crowd.asking += 1
        crowd.most = max(crowd.most, crowd.asking)
        try:
            if what.__name__ == "hget" or len(arguments[-1]) == 3:  # a load, or the lease
                await crowd.answered.wait()
            return await ask(client, what, *arguments)
        finally:
            crowd.asking -= 1

    monkeypatch.setattr("tests.stores.conftest._FakeClient._ask", slow)
    return crowd


@pytest.mark.parametrize("most, commands", [(2**31, 2**30), (64, 32), (8, 4), (3, 1), (1, 1)])
def test_half_of_a_pool_is_for_commands(
    fake_redis: FakeRedisServer, most: int, commands: int
) -> None:
    """A quarter is for those who listen, and a quarter is the caller's."""
    client: Any = FakeRedisPy(fake_redis)
    assert redis_client(client).commands is None
    client.connection_pool = Pool(most)
    assert redis_client(client).commands == commands


async def test_the_lines_of_all_clients_over_one_pool_are_a_quarter_of_it(
    fake_redis: FakeRedisServer,
) -> None:
    pool = Pool(8)
    async with anyio.create_task_group() as tasks:
        for number in range(9):
            record, lease = f"oauthkit:{{{number}}}:token", f"oauthkit:{{{number}}}:lease"
            fake_redis.strings[lease] = "other"
            fake_redis.hashes[record] = {"tells": "other"}
            client: Any = FakeRedisPy(fake_redis)
            client.connection_pool = pool
            tasks.start_soon(lease_and_leave, RedisStore(client), f"{number}")
        await anyio.sleep(0.2)
        assert len(fake_redis.lines) == 2
        tasks.cancel_scope.cancel()


async def test_those_who_ask_hold_up_no_save(crowd: Crowd) -> None:
    """Nor a logout, nor who gives a lease back, however many begin to wait."""
    store = RedisStore(crowd.client)
    crowd.answered.set()
    async with store.lease("ada") as lease, anyio.create_task_group() as tasks:
        crowd.answered = anyio.Event()
        for number in range(50):
            tasks.start_soon(store.load, f"user-{number}")
            tasks.start_soon(lease_and_leave, store, f"user-{number}")
        await anyio.wait_all_tasks_blocked()
        assert crowd.asking == 2
        with anyio.fail_after(PROMPT):
            await lease.save(Token("two"))
            await store.save("bob", Token("one"))
            await store.delete("bob")
        crowd.answered.set()
    assert crowd.most <= 4


async def test_a_pool_of_one_serves_who_came_first(crowd: Crowd) -> None:
    """At most one of those who ask is before a save."""
    crowd.client.connection_pool.max_connections = 1
    store = RedisStore(crowd.client)
    async with anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(store.load, f"user-{number}")
        await anyio.wait_all_tasks_blocked()
        for name in ("one", "two", "three"):
            tasks.start_soon(store.save, name, Token(name))
            await anyio.wait_all_tasks_blocked()
        crowd.answered.set()
    assert crowd.most == 1
    saves = [name for name in crowd.server.hashes if name.startswith("oauthkit")]
    assert saves == [f"oauthkit:{{{name}}}:token" for name in ("one", "two", "three")]
    assert crowd.server.calls[:3] == ["HGET", "SAVE", "SAVE"]  # the script was new to it


async def test_a_driver_that_queues_by_itself_is_not_held_back(
    fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = FakeCoredis(fake_redis)
    client.connection_pool = Pool(max_connections=8)
    crowd = stalled(Crowd(fake_redis, client), monkeypatch)
    store = RedisStore(client)
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(store.load, f"user-{number}")
        await anyio.wait_all_tasks_blocked()
        assert crowd.asking == 50
        crowd.answered.set()


async def test_who_is_cancelled_leaves_the_place_to_the_next(fake_redis: FakeRedisServer) -> None:
    """At whatever step, also where somebody else is in the line."""
    client: Any = FakeRedisPy(fake_redis)
    client.connection_pool = Pool(max_connections=1)
    store = RedisStore(client)
    for steps in range(40):
        async with anyio.create_task_group() as tasks:
            for key in ("ada", "bob"):
                tasks.start_soon(use, store, key)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(PROMPT):
            await use(store, "ada")


async def test_a_server_that_fails_keeps_no_place(fake_redis: FakeRedisServer) -> None:
    client: Any = FakeRedisPy(fake_redis)
    client.connection_pool = Pool(max_connections=1)
    store = RedisStore(client)
    fake_redis.fault = ConnectionError()
    for _ in range(3):
        with pytest.raises(StoreError):
            await use(store, "ada")
        with pytest.raises(StoreError):
            await store.load("ada")
        with pytest.raises(StoreError):
            await lease_and_leave(store, "ada")
    fake_redis.fault = None
    with anyio.fail_after(PROMPT):
        await use(store, "ada")


@on_redis_py
async def test_a_client_that_was_closed_serves_the_next_event_loop(redis_port: int) -> None:
    """Its connections belong to the loop that opened them, and so do the turns at them."""
    store = RedisStore(redis.asyncio.Redis(port=redis_port, max_connections=2))

    async def work() -> None:
        await all_at_once(partial(use, store))
        await store._client.given.aclose()

    for _ in range(2):
        await anyio.to_thread.run_sync(anyio.run, work)
