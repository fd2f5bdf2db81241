"""Real drivers that listen to a real server."""

import gc
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import coredis
import pytest
import redis
import redis.asyncio

from oauthkit.protocol.token import Token
from oauthkit.stores.redis import RedisStore
from oauthkit.testing.holders import holding, lease_and_leave

pytestmark = [
    pytest.mark.usefixtures("_redis_py_reads_no_metadata"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),  # by coredis
]
DEADLINE = 10.0
WAITERS = 20

Open = Callable[..., AbstractAsyncContextManager[RedisStore]]


@pytest.fixture
def raw(redis_port: int) -> Iterator[Any]:
    """Return a client for the tests themselves, to an empty server."""
    with redis.Redis(port=redis_port) as client:
        untyped: Any = client
        untyped.flushdb()
        yield untyped
        untyped.acl_setuser("default", enabled=True, reset_channels=True, channels=["*"])
        untyped.acl_setuser("default", enabled=True, categories=["+@all"])


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()  # what coredis left open is to be found here, where it is expected


@pytest.fixture(params=["redis-py", "coredis"])
def open_store(request: pytest.FixtureRequest, redis_port: int, anyio_backend_name: str) -> Open:
    """Return a way to be one more process."""
    if request.param == "redis-py" and anyio_backend_name == "trio":
        pytest.skip("redis-py needs asyncio")

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncGenerator[RedisStore]:
        if request.param == "redis-py":
            async with redis.asyncio.Redis(port=redis_port, **options) as client:
                yield RedisStore(client)
        else:
            async with coredis.Redis(port=redis_port, **options) as other:
                yield RedisStore(other)

    return opened


async def ask(raw: Any, *words: str) -> Any:
    return await anyio.to_thread.run_sync(raw.execute_command, *words)


async def listeners(raw: Any) -> int:
    """Return how many connections listen on the channel of the key."""
    _, count = await ask(raw, "PUBSUB", "NUMSUB", "oauthkit:{ada}:lease")
    return int(count)


async def until_listening(raw: Any, count: int) -> None:
    with anyio.fail_after(DEADLINE):
        while await listeners(raw) != count:  # noqa: ASYNC110 - the server tells nobody
            await anyio.sleep(0.01)


async def operations(raw: Any) -> int:
    """Return how many the server counts, those in scripts among them, and none of the tests.

    Nor those by which a driver says, to a server from Redis 7.2 on, what it is called.
    """
    stats: dict[str, dict[str, int]] = await ask(raw, "INFO", "commandstats")
    others = ("cmdstat_info", "cmdstat_pubsub|numsub", "cmdstat_client|setinfo")
    return sum(stat["calls"] for name, stat in stats.items() if name not in others)


async def until_quiet(raw: Any, seconds: float) -> None:
    """Wait until nobody has asked the server anything for so long."""
    before, now = -1, await operations(raw)
    with anyio.fail_after(DEADLINE):
        while now != before:
            await anyio.sleep(seconds)
            before, now = now, await operations(raw)


async def learned(store: RedisStore, found: list[tuple[bool, Token | None]]) -> None:
    async with store.lease("ada") as lease:
        found.append((lease.held, await lease.load()))


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}], ids=["bytes", "decoded"])
async def test_a_crowd_is_told_and_costs_the_server_little(
    open_store: Open, raw: Any, options: dict[str, Any]
) -> None:
    """However long it waits: ten operations for each, to which more connections belong."""
    found: list[tuple[bool, Token | None]] = []
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(open_store(**options)) for _ in range(WAITERS + 1)
        ]
        for store in stores:
            await store.load("ada")
        await stores[0].save("ada", Token("one"))
        async with holding(stores[0], "ada") as first, anyio.create_task_group() as tasks:
            before = await operations(raw)
            for store in stores[1:]:
                tasks.start_soon(learned, store, found)
            await until_listening(raw, WAITERS)
            await until_quiet(raw, 0.5)
            assert found == []
            await first.lease.save(Token("two"))
            with anyio.fail_after(DEADLINE):
                while len(found) < WAITERS:  # noqa: ASYNC110 - it is soon
                    await anyio.sleep(0.01)
            of_the_save = 10
            assert await operations(raw) - before <= 10 * WAITERS + of_the_save
        assert found == [(False, Token("two"))] * WAITERS


async def test_a_lease_that_is_given_back_is_told(open_store: Open, raw: Any) -> None:
    found: list[tuple[bool, Token | None]] = []
    async with open_store() as here, open_store() as there:
        with anyio.fail_after(DEADLINE / 2):
            async with anyio.create_task_group() as tasks, holding(here, "ada"):
                tasks.start_soon(learned, there, found)
                await until_listening(raw, 1)
        assert found == [(True, None)]
        assert await listeners(raw) == 0


@asynccontextmanager
async def cluster(driver: str, port: int) -> AsyncGenerator[RedisStore]:
    if driver == "redis-py":
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as client:
            yield RedisStore(client)
    else:
        async with coredis.RedisCluster(host="127.0.0.1", port=port) as other:
            yield RedisStore(other)


LISTENS_TO_CLUSTERS = {
    "redis-py": hasattr(redis.asyncio.RedisCluster, "pubsub"),  # from version 8
    "coredis": not coredis.__version__.startswith("6.0."),  # it may hang; then one looks instead
}


@pytest.mark.parametrize(
    "anyio_backend, driver",
    [("asyncio", "redis-py"), ("asyncio", "coredis"), ("trio", "coredis")],
)
async def test_a_cluster_tells_too(redis_cluster_port: int, driver: str) -> None:
    """Where the driver can listen to one; else nothing but the way to wait is another."""
    found: list[tuple[bool, Token | None]] = []
    with redis.Redis(port=redis_cluster_port) as raw:
        async with (
            cluster(driver, redis_cluster_port) as here,
            cluster(driver, redis_cluster_port) as there,
        ):
            await here.save("ada", Token("one"))
            with anyio.fail_after(DEADLINE / 2):
                async with holding(here, "ada") as first, anyio.create_task_group() as tasks:
                    tasks.start_soon(learned, there, found)
                    await anyio.sleep(0.1)
                    if LISTENS_TO_CLUSTERS[driver]:
                        await until_listening(raw, 1)
                    await first.lease.save(Token("two"))
            assert found == [(False, Token("two"))]
            await until_listening(raw, 0)
            await here.delete("ada")


async def test_nothing_is_said_but_that_something_happened(open_store: Open, raw: Any) -> None:
    with raw.pubsub() as everything:
        await anyio.to_thread.run_sync(everything.psubscribe, "*")
        async with open_store() as store:
            await store.save("ada", Token("secret-canary"))
            async with store.lease("ada") as lease:
                await lease.save(Token("secret-canary"))
            await store.delete("ada")
        said: list[Any] = []
        while (message := everything.get_message(timeout=0.1)) is not None:
            said.append((message["type"], message["channel"], message["data"]))
    lease_name = b"oauthkit:{ada}:lease"
    told = ("pmessage", lease_name, b"")
    tried = ("pmessage", lease_name + b":tried", b"")
    assert said[1:] == [told, tried, told, told, told]


@pytest.mark.parametrize("rule", ["-publish", "-subscribe", "resetchannels"])
async def test_a_server_that_forbids_messages_changes_nothing_else(
    open_store: Open, raw: Any, rule: str
) -> None:
    found: list[tuple[bool, Token | None]] = []
    await ask(raw, "ACL", "SETUSER", "default", rule)
    async with open_store() as here, open_store() as there:
        await here.save("ada", Token("one"))
        with anyio.fail_after(DEADLINE / 2):
            async with holding(here, "ada") as first, anyio.create_task_group() as tasks:
                tasks.start_soon(learned, there, found)
                await anyio.sleep(0.1)
                await first.lease.save(Token("two"))
        assert found == [(False, Token("two"))]
        await here.delete("ada")
        assert await there.load("ada") is None


async def test_a_connection_that_breaks_misses_nothing_for_long(open_store: Open, raw: Any) -> None:
    """The driver connects again, or is given up."""
    found: list[tuple[bool, Token | None]] = []
    async with open_store() as here, open_store() as there:
        await here.save("ada", Token("one"))
        with anyio.fail_after(DEADLINE / 2):
            async with holding(here, "ada") as first, anyio.create_task_group() as tasks:
                tasks.start_soon(learned, there, found)
                await until_listening(raw, 1)
                await ask(raw, "CLIENT", "KILL", "TYPE", "pubsub")
                await first.lease.save(Token("two"))
        assert found == [(False, Token("two"))]


async def test_waits_that_are_cancelled_leave_no_connection_behind(
    open_store: Open, raw: Any
) -> None:
    """A client of eight connections can be used after a hundred of them."""
    async with open_store(max_connections=8) as store:
        await store.save("ada", Token("one"))
        async with holding(store, "ada"):
            for steps in range(100):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lease_and_leave, store, "ada")
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
            await until_listening(raw, 0)
            with anyio.fail_after(DEADLINE):
                async with anyio.create_task_group() as tasks:
                    for _ in range(8):
                        tasks.start_soon(store.load, "ada")
        assert await store.load("ada") == Token("one")
    assert not await ask(raw, "CLIENT", "LIST", "TYPE", "pubsub")


async def test_thousands_of_keys_take_few_connections(open_store: Open, raw: Any) -> None:
    """With the pool that a driver makes by itself, also one that refuses what is too much."""
    keys = [f"user-{number}" for number in range(2_000)]
    for key in keys:
        raw.set(f"oauthkit:{{{key}}}:lease", "other")
        raw.hset(f"oauthkit:{{{key}}}:token", "tells", "other")
    async with open_store() as store:
        before = (await ask(raw, "INFO", "clients"))["connected_clients"]
        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(lease_and_leave, store, key)
            await anyio.sleep(1)
            after = (await ask(raw, "INFO", "clients"))["connected_clients"]
            assert after - before < 50
            tasks.cancel_scope.cancel()
