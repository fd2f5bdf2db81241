"""Connection pools that are full, on real sockets: who waits, for how long, and who goes first."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import Any, Final

import aiohttp
import anyio
import attrs
import httpx
import httpx2
import pytest
from httpx_aiohttp import AiohttpTransport

from oauthkit import AsyncTokenSession, ConfigurationError, MemoryStore, TransportError
from oauthkit.testing import FakeAuthorizationServer

ASYNCIO: Final = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@attrs.frozen
class Pool:
    """A way to make a client with a pool of so many connections."""

    library: ModuleType
    client: Callable[[int], Any]

    @asynccontextmanager
    async def served(
        self, fake: FakeAuthorizationServer, connections: int
    ) -> AsyncGenerator[AsyncTokenSession[Any]]:
        """Give a session that asks a fake on a real socket, over so many connections."""
        async with (
            fake.serve() as url,
            self.client(connections) as http,
            fake.session(http=http, base_url=url) as session,
        ):
            yield session


def on_aiohttp(connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections)
    return httpx.AsyncClient(transport=AiohttpTransport(limits=limits))


def on_a_session_of_aiohttp(connections: int) -> httpx.AsyncClient:
    connector = aiohttp.TCPConnector(limit=connections)
    session = aiohttp.ClientSession(connector=connector)
    return httpx.AsyncClient(transport=AiohttpTransport(client=session))


def on_a_function_that_makes_one(connections: int) -> httpx.AsyncClient:
    def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

    return httpx.AsyncClient(transport=AiohttpTransport(client=make))


def of(library: ModuleType) -> Pool:
    def client(connections: int) -> Any:
        return library.AsyncClient(limits=library.Limits(max_connections=connections))

    return Pool(library, client)


POOLS: Final = {
    "httpx": of(httpx),
    "httpx2": of(httpx2),
    "aiohttp": Pool(httpx, on_aiohttp),
    "aiohttp session": Pool(httpx, on_a_session_of_aiohttp),
    "aiohttp function": Pool(httpx, on_a_function_that_makes_one),
}


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest, anyio_backend_name: str) -> Pool:
    """Send through each pool, as far as it knows the event loop."""
    if "aiohttp" in request.param and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio alone")
    return POOLS[request.param]


class SlowApi:
    """An API that answers when told."""

    def __init__(self) -> None:
        self.inside = 0
        self.news = anyio.Event()
        self.go_on = anyio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/slow":
            self.inside += 1
            self.news.set()
            self.news = anyio.Event()
            await self.go_on.wait()
        return httpx.Response(200)

    async def busy(self, requests: int) -> None:
        while self.inside < requests:
            await self.news.wait()


@pytest.mark.parametrize("connections", [2, 5, 30])
async def test_open_streams_leave_a_connection_to_renew_with(pool: Pool, connections: int) -> None:
    fake = FakeAuthorizationServer()
    reserve = max(connections // 10, 1)
    with anyio.fail_after(20):
        async with (
            pool.served(fake, connections) as session,
            AsyncExitStack() as streams,
        ):
            for _ in range(connections - reserve):
                await streams.enter_async_context(session.stream("GET", "/events"))
            fake.advance(61)
            assert (await session.token()).access_token == "access-token-2"
            with pytest.raises(pool.library.PoolTimeout):
                await session.get("/report", timeout=0.05)


async def test_the_last_connection_is_no_reserve(pool: Pool) -> None:
    fake = FakeAuthorizationServer()
    with anyio.fail_after(20):
        async with pool.served(fake, 1) as session:
            for _ in range(3):
                assert (await session.get("/report")).status_code == 200
                fake.advance(61)


@pytest.mark.parametrize("way", ["request", "client", "extension"])
async def test_a_wait_at_the_gate_ends_as_the_wait_for_the_pool_does(pool: Pool, way: str) -> None:
    """A request inside a stream, where one connection is all there is, would wait for ever."""
    fake, options = FakeAuthorizationServer(), dict[str, Any]()
    seconds = pool.library.Timeout(9, pool=0.1)
    with anyio.fail_after(20):
        async with (
            fake.serve() as url,
            pool.client(1) as http,
            fake.session(http=http, base_url=url) as session,
            session.stream("GET", "/events", timeout=9),
        ):
            if way == "request":
                options["timeout"] = seconds
            elif way == "client":
                http.timeout = seconds
            else:
                options["extensions"] = {"timeout": seconds.as_dict()}
            started = anyio.current_time()
            with pytest.raises(pool.library.PoolTimeout, match=r"within 0\.1 s") as caught:
                await session.post("/report", json={"a": 1}, **options)
            assert anyio.current_time() - started < 5
            with pytest.raises(pool.library.PoolTimeout):
                async with session.stream("GET", "/more", **options):
                    """Never come here."""
    assert (caught.value.request.method, caught.value.request.url.path) == ("POST", "/report")


async def test_a_wait_without_an_end_goes_on_until_there_is_room(pool: Pool) -> None:
    fake, api, statuses = FakeAuthorizationServer(), SlowApi(), list[int]()

    async def call() -> None:
        statuses.append((await session.get("/report", timeout=None)).status_code)

    with anyio.fail_after(20):
        async with (
            fake.serve(api) as url,
            pool.client(1) as http,
            fake.session(http=http, base_url=url) as session,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(session.get, "/slow")
            await api.busy(1)
            tasks.start_soon(call)
            await anyio.sleep(0.1)
            assert statuses == []
            api.go_on.set()
    assert statuses == [200]


async def test_who_comes_while_many_are_busy_is_not_overtaken_again_and_again(pool: Pool) -> None:
    """On aiohttp's pool alone, who was just there comes first, and others for seconds not."""
    fake, overtaken, done, over = FakeAuthorizationServer(), list[int](), 0, False

    async def busy() -> None:
        nonlocal done
        while not over:
            await session.get("/report", timeout=None)
            done += 1

    with anyio.fail_after(30):
        async with (
            pool.served(fake, 10) as session,
            anyio.create_task_group() as tasks,
        ):
            await session.token()
            for _ in range(60):
                tasks.start_soon(busy)
            for _ in range(3):
                await anyio.sleep(0.05)
                before = done
                await session.get("/report", timeout=None)
                overtaken.append(done - before)
            over = True
    assert max(overtaken) < 3 * 60


@pytest.mark.parametrize("connections", [1, 2, 10])
async def test_requests_that_wait_for_a_token_keep_nobody_else_out(
    pool: Pool, connections: int
) -> None:
    """The token comes before the gate."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    with anyio.fail_after(20):
        async with (
            fake.serve() as url,
            pool.client(connections) as http,
            httpx.AsyncClient() as token_http,
            fake.session(
                http=http, token_http=token_http, base_url=url, store=store, key="app"
            ) as app,
        ):
            await store.save("bob", fake.issue())
            ada, bob = app.for_key("ada", grant=fake.grant), app.for_key("bob")
            await bob.token()
            async with anyio.create_task_group() as tasks:
                with fake.hold() as held:
                    for _ in range(15):
                        tasks.start_soon(ada.get, "/report")
                        tasks.start_soon(_stream, ada)
                    await held.arrived()
                    for _ in range(3):
                        assert (await bob.get("/report", timeout=1)).status_code == 200
                        await _stream(bob)
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize("dead", ["expired in the queue", "revoked"])
async def test_who_stood_in_line_twice_has_the_token_of_that_moment(pool: Pool, dead: str) -> None:
    """Another may have renewed it meanwhile, as often as the queue is long."""
    fake, renewed = FakeAuthorizationServer(), list[str]()
    with anyio.fail_after(20):
        async with (
            pool.served(fake, 2) as session,
            anyio.create_task_group() as tasks,
        ):
            await session.token()
            async with AsyncExitStack() as held:
                if dead == "revoked":
                    fake.revoke_access_tokens()
                    renewal = held.enter_context(fake.hold())
                    tasks.start_soon(session.get, "/report")
                else:
                    async with session.stream("GET", "/events", auth=None):
                        tasks.start_soon(session.get, "/report")
                        await anyio.wait_all_tasks_blocked()
                        fake.advance(61)
                        renewal = held.enter_context(fake.hold())
                await renewal.arrived()
                await held.enter_async_context(session.stream("GET", "/events", auth=None))
                renewal.release()
                await anyio.wait_all_tasks_blocked()
                renewed.append((await session.renew()).access_token)
    last = fake.api_requests[-1]
    assert last.path == "/report"
    assert last.headers["authorization"] == f"Bearer {renewed[0]}"


async def _stream(session: AsyncTokenSession[Any]) -> None:
    async with session.stream("GET", "/report"):
        """Read nothing."""


async def test_no_token_is_fetched_for_who_may_not_have_it_or_wants_none(pool: Pool) -> None:
    fake = FakeAuthorizationServer()
    elsewhere = "https://elsewhere.example/"
    async with pool.served(fake, 3) as session:
        with pytest.raises(ConfigurationError, match="may not have this session's token"):
            await session.get(elsewhere)
        with pytest.raises(ConfigurationError, match="may not have this session's token"):
            async with session.stream("GET", elsewhere):
                """Never come here."""
        with pytest.raises(pool.library.InvalidURL):
            await session.get("https://api.example:port/")
        assert (await session.get("/report", auth=None)).status_code == 401
        assert (await session.get("/report", auth=("ada", "pw"))).status_code == 401
        assert fake.token_requests == []
        assert (await session.get("/report")).status_code == 200


async def test_a_request_without_a_token_fails_before_it_takes_a_place(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauthkit.protocol.tries._FIRST_PAUSE", 0.0)
    fake = FakeAuthorizationServer()
    async with pool.served(fake, 1) as session:
        for _ in range(3):
            fake.lose_next_answer(times=3)
            with pytest.raises(TransportError):
                await session.get("/report")
            fake.advance(61)
        await session.token()
        with pytest.raises(pool.library.UnsupportedProtocol):
            await session.get("ftp://127.0.0.1/", auth=None)
        assert (await session.get("/report")).status_code == 200


@ASYNCIO
async def test_a_pool_that_a_function_makes_is_measured_once_it_is_there() -> None:
    fake, api = FakeAuthorizationServer(), SlowApi()
    with anyio.fail_after(20):
        async with (
            fake.serve(api) as url,
            on_a_function_that_makes_one(0) as http,
            fake.session(http=http, base_url=url) as session,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(150):  # 0 is no limit there
                tasks.start_soon(session.get, "/slow")
            await api.busy(150)
            api.go_on.set()
