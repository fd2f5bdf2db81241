"""Rejected tokens on real sockets: what becomes of the answer, its connection and its place."""

import gzip
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final

import anyio
import attrs
import httpx
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from httpx_aiohttp import AiohttpTransport

from oauthkit import AsyncTokenSession, MemoryStore, body
from oauthkit.testing import FakeAuthorizationServer

LARGE: Final = 190_000_000
PART: Final = b"x" * 65_536
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def head(length: int, *more: str) -> bytes:
    lines = ["HTTP/1.1 401 Unauthorized", f"content-length: {length}", *more, "", ""]
    return "\r\n".join(lines).encode()


@attrs.frozen
class Way:
    """A way to send: whose errors come, and how a client is made."""

    library: ModuleType
    client: Callable[[int], Any]


def of(library: ModuleType) -> Way:
    return Way(
        library, lambda n: library.AsyncClient(limits=library.Limits(max_connections=n), timeout=9)
    )


def on_aiohttp(connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections)
    return httpx.AsyncClient(transport=AiohttpTransport(limits=limits), timeout=9)


WAYS: Final = {"httpx": of(httpx), "httpx2": of(httpx2), "aiohttp": Way(httpx, on_aiohttp)}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, anyio_backend_name: str) -> Way:
    """Send each way, as far as it knows the event loop."""
    if request.param == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio alone")
    return WAYS[request.param]


@attrs.define
class Api:
    """Answers the requests one after another as told, then with 200, and counts what it sent."""

    answers: list[tuple[bytes, int, float]]
    tokens: list[bytes] = attrs.field(factory=list[bytes])
    connections: int = 0
    sent: int = 0
    on_first: Callable[[], object] = bool

    async def __call__(self, stream: SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while True:
                    await self._answer(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async def _answer(self, stream: SocketStream) -> None:
        request = await stream.receive()
        if not self.tokens:
            self.on_first()
        (line,) = [x for x in request.split(b"\r\n") if x.lower().startswith(b"authorization")]
        self.tokens.append(line.rpartition(b" ")[2])
        start, length, pause = self.answers.pop(0) if self.answers else (OK, 0, 0.0)
        await stream.send(start)
        while length > 0:
            await anyio.sleep(pause)
            part = PART[:length] if not pause else b"x"
            await stream.send(part)
            self.sent += len(part)
            length -= len(part)


@asynccontextmanager
async def listening(api: Api) -> AsyncGenerator[str]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, api)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def calling(
    way: Way, fake: FakeAuthorizationServer, api: Api, connections: int = 5
) -> AsyncGenerator[AsyncTokenSession[Any]]:
    """Give a session that calls the API over so many connections."""
    async with (
        fake.serve(),
        listening(api) as url,
        way.client(connections) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        yield session


LARGE_401: Final = (head(LARGE), LARGE, 0.0)
DRIPPING_401: Final = (head(LARGE), LARGE, 0.02)
SCOPE: Final = 'www-authenticate: Bearer error="insufficient_scope"'


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("answer", [LARGE_401, DRIPPING_401], ids=["large", "dripping"])
@pytest.mark.parametrize("connections", [1, 5])
async def test_what_is_not_for_the_caller_is_not_read_and_its_connection_is_free(
    way: Way, monkeypatch: pytest.MonkeyPatch, *, streamed: bool, answer: Any, connections: int
) -> None:
    assert body._SECONDS_TO_READ == 1.0  # for users; what drips is waited for
    monkeypatch.setattr(body, "_SECONDS_TO_READ", 0.1)
    fake, api = FakeAuthorizationServer(), Api([answer])
    with anyio.fail_after(15):
        async with calling(way, fake, api, connections) as session:
            await session.token()
            if streamed:
                async with session.stream("GET", "/report") as response:
                    assert await response.aread() == b"ok"
            else:
                assert (await session.get("/report")).content == b"ok"
    assert api.tokens == [b"access-token-1", b"access-token-2"]
    assert api.sent < LARGE / 4


async def test_a_streamed_401_that_a_new_token_cannot_cure_is_handed_over_unread(way: Way) -> None:
    fake, api = FakeAuthorizationServer(), Api([(head(LARGE, SCOPE), LARGE, 0.0)])
    with anyio.fail_after(15):
        async with calling(way, fake, api) as session:
            await session.token()
            async with session.stream("GET", "/report") as response:
                assert response.status_code == 401
                assert not response.is_stream_consumed
    assert len(fake.token_requests) == 1
    assert api.sent < LARGE / 4


async def test_a_second_401_is_handed_over_unread(way: Way) -> None:
    fake, api = FakeAuthorizationServer(), Api([LARGE_401, (head(9), 9, 0.0)])
    async with calling(way, fake, api) as session:
        await session.token()
        async with session.stream("GET", "/report") as response:
            assert response.status_code == 401
            assert not response.is_stream_consumed
            assert await response.aread() == b"x" * 9
    assert len(api.tokens) == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_no_second_token_is_asked_for_where_the_one_just_fetched_is_refused(
    way: Way, *, streamed: bool
) -> None:
    refused = head(0), 0, 0.0
    fake, api = FakeAuthorizationServer(), Api([refused, refused])
    async with calling(way, fake, api) as session:
        if streamed:
            async with session.stream("GET", "/report") as response:
                assert response.status_code == 401
        else:
            assert (await session.get("/report")).status_code == 401
        assert len(fake.token_requests) == 1
        fake.advance(1)
        assert (await session.get("/report")).status_code == 200
    assert api.tokens == [b"access-token-1", b"access-token-1", b"access-token-2"]


async def test_a_token_that_ended_on_the_way_is_renewed_though_this_call_fetched_it(
    way: Way,
) -> None:
    fake, api = FakeAuthorizationServer(), Api([(head(0), 0, 0.0)])
    api.on_first = lambda: fake.advance(61)
    async with calling(way, fake, api) as session:
        assert (await session.get("/report")).status_code == 200
    assert api.tokens == [b"access-token-1", b"access-token-2"]


async def test_the_connection_of_a_short_401_is_used_again(way: Way) -> None:
    fake, api = FakeAuthorizationServer(), Api([(head(900), 900, 0.0)])
    async with calling(way, fake, api) as session:
        await session.token()
        response = await session.get("/report")
    assert response.content == b"ok"
    assert [old.content for old in response.history] == [b"x" * 900]
    assert api.connections == 1


@pytest.mark.parametrize("zipped", [False, True])
async def test_a_short_401_is_whole_where_there_was_no_other_token(
    way: Way, *, zipped: bool
) -> None:
    text = b"no entry" * 9
    body = gzip.compress(text) if zipped else text
    start = head(len(body), *["content-encoding: gzip"] * zipped) + body
    fake, api = FakeAuthorizationServer(extra={"access_token": "always"}), Api([(start, 0, 0.0)])
    async with calling(way, fake, api) as session:
        await session.token()
        fake.advance(1)
        response = await session.get("/report")
    assert (response.status_code, response.content) == (401, text)
    assert api.tokens == [b"always"]
    assert len(fake.token_requests) == 2


async def test_a_long_401_is_asked_for_again_where_there_was_no_other_token(way: Way) -> None:
    """Its connection was needed; the caller has a whole one all the same."""
    size = 300_000
    long = head(size, "content-encoding: identity"), size, 0.0
    fake, api = FakeAuthorizationServer(extra={"access_token": "always"}), Api([long, long])
    async with calling(way, fake, api) as session:
        await session.token()
        fake.advance(1)
        response = await session.get("/report")
    assert (response.status_code, len(response.content)) == (401, size)
    assert len(api.tokens) == 2


async def test_a_401_that_is_cut_is_as_good_as_one_that_was_read(way: Way) -> None:
    fake, api = FakeAuthorizationServer(), Api([])

    async def cutting(stream: SocketStream) -> None:
        if api.tokens:
            await api(stream)
        else:
            async with stream:
                await stream.receive()
                api.tokens.append(b"cut")
                await stream.send(head(900) + b"x")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, cutting)
        async with (
            fake.serve(),
            way.client(5) as http,
            fake.session(http=http, base_url=f"http://127.0.0.1:{port}") as session,
        ):
            await session.token()
            assert (await session.get("/report")).content == b"ok"
        tasks.cancel_scope.cancel()
    assert api.tokens == [b"cut", b"access-token-2"]


# The gate


@asynccontextmanager
async def a_revoked_token_and_a_good_one(
    way: Way, fake: FakeAuthorizationServer, connections: int, api: Any = None
) -> AsyncGenerator[tuple[Any, Any]]:
    """Give Ada's session and Bob's, over one client."""
    store = MemoryStore()
    async with (
        fake.serve(api) as url,
        way.client(connections) as http,
        httpx.AsyncClient() as token_http,
        fake.session(http=http, token_http=token_http, base_url=url, store=store, key="app") as app,
    ):
        ada, bob = app.for_key("ada", grant=fake.grant), app.for_key("bob")
        await ada.token()
        fake.revoke_access_tokens()
        await store.save("bob", fake.issue())
        await bob.token()
        yield ada, bob


@pytest.mark.parametrize("connections", [1, 5])
async def test_who_waits_for_a_renewal_after_a_401_keeps_nobody_else_out(
    way: Way, connections: int
) -> None:
    fake, statuses = FakeAuthorizationServer(), list[int]()

    async def call() -> None:
        statuses.append((await ada.get("/report")).status_code)

    with anyio.fail_after(20):
        async with a_revoked_token_and_a_good_one(way, fake, connections) as (ada, bob):
            async with anyio.create_task_group() as tasks:
                with fake.hold() as held:
                    for _ in range(20):
                        tasks.start_soon(call)
                    await held.arrived()
                    for _ in range(3):
                        assert (await bob.get("/report", timeout=5)).status_code == 200
            assert statuses == [200] * 20
            session_gate_is_free(ada, connections)
    assert len(fake.token_requests) == 2


def session_gate_is_free(session: Any, connections: int) -> None:
    """Find that everybody has left the gate."""
    gate = session._gate
    assert gate.free == max(1, connections - 1)
    assert not gate.waiting


async def test_who_comes_back_from_a_renewal_waits_as_long_as_for_the_pool(way: Way) -> None:
    """And leaves the gate as it was, whatever happens."""
    fake, go_on = FakeAuthorizationServer(), anyio.Event()
    errors, ended = list[Exception](), anyio.Event()

    async def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/slow":
            await go_on.wait()
        return httpx.Response(200)

    async def call() -> None:
        with pytest.raises(way.library.PoolTimeout) as caught:
            await ada.get("/report", timeout=way.library.Timeout(9, pool=0.1))
        errors.append(caught.value)
        ended.set()

    with anyio.fail_after(20):
        async with a_revoked_token_and_a_good_one(way, fake, 1, api) as (ada, bob):
            async with anyio.create_task_group() as tasks:
                with fake.hold() as held:
                    tasks.start_soon(call)
                    await held.arrived()
                    tasks.start_soon(bob.get, "/slow")
                    await anyio.sleep(0.1)
                await ended.wait()
                go_on.set()
            session_gate_is_free(ada, 1)
            assert (await ada.get("/report")).status_code == 200
    assert "within 0.1 s" in str(errors[0])


async def test_a_renewal_that_fails_after_a_401_leaves_the_gate_as_it_was(way: Way) -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        way.client(5) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        await session.token()
        fake.revoke_access_tokens()
        fake.fail_next(500, times=9)
        with pytest.raises(Exception, match="500"):
            await session.get("/report")
        session_gate_is_free(session, 5)
