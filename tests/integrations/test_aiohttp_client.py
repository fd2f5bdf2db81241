"""An `aiohttp.ClientSession` with a session's token, on real sockets."""

import asyncio
import io
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import anyio
import attrs
import httpx
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from anyio.abc import SocketAttribute, SocketStream
from httpx_aiohttp import AiohttpTransport
from yarl import URL

import oauthkit.integrations.aiohttp
from oauthkit import (
    AsyncTokenSession,
    ConfigurationError,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Rejection,
)
from oauthkit.integrations.aiohttp import client, messages, token_middleware
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer, LoopbackServer
from oauthkit.testing.conversion import LostAnswerError

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LARGE: Final = 50_000_000


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run on the one event loop that aiohttp runs on."""
    return str(request.param)


def sent_tokens(fake: FakeAuthorizationServer) -> list[str | None]:
    return [request.headers.get("authorization") for request in fake.api_requests]


def bearer(*numbers: int) -> list[str]:
    return [f"Bearer access-token-{number}" for number in numbers]


def failing(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500)


def unauthorized(request: httpx.Request) -> httpx.Response:
    return httpx.Response(401)


@attrs.frozen
class Place:
    """Where a test calls: the URL of an API, a session, and a client with its token."""

    url: str
    session: AsyncTokenSession[Any]
    http: aiohttp.ClientSession

    async def get(self, path: str = "/report", **options: Any) -> int:
        return await self.call("GET", path, **options)

    async def call(self, method: str, path: str = "/report", **options: Any) -> int:
        async with self.http.request(method, f"{self.url}{path}", **options) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def calling(
    fake: FakeAuthorizationServer,
    api: Any = None,
    *,
    connector: aiohttp.BaseConnector | None = None,
    **settings: Any,
) -> AsyncGenerator[Place]:
    """Give a place by the name of `localhost`: a jar keeps nothing for a number."""
    async with fake.serve(api) as url:
        own = url.replace("127.0.0.1", "localhost")
        async with (
            fake.session(base_url=own, **settings) as session,
            aiohttp.ClientSession(
                middlewares=(token_middleware(session),), connector=connector
            ) as http,
        ):
            yield Place(own, session, http)


# The token


async def test_a_crowd_with_no_token_yet_costs_one_token_request() -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        httpx.AsyncClient() as own,
        fake.session(http=own, base_url=url) as session,
        aiohttp.ClientSession(middlewares=(token_middleware(session),)) as http,
    ):
        place = Place(url, session, http)
        assert await asyncio.gather(*(place.get() for _ in range(20))) == [200] * 20
    assert len(fake.token_requests) == 1
    assert sent_tokens(fake) == bearer(1) * 20


async def test_an_expired_token_is_renewed_before_it_is_sent() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        for _ in range(3):
            assert await place.get() == 200
            fake.advance(61)
    assert sent_tokens(fake) == bearer(1, 2, 3)


async def test_the_sessions_of_several_keys_are_used_side_by_side_call_by_call() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake, store=MemoryStore(), key="app") as place:
        ada, bob = (
            token_middleware(place.session.for_key(key, grant=fake.grant)) for key in ("ada", "bob")
        )
        for _ in range(2):
            assert await place.get(middlewares=(ada,)) == 200
            assert await place.get(middlewares=(bob,)) == 200
            assert await place.get() == 200
        nobody = token_middleware(place.session.for_key("carol"))
        with pytest.raises(ReauthorizationRequired):
            await place.get(middlewares=(nobody,))
    assert sent_tokens(fake) == bearer(1, 2, 3) * 2


async def test_an_authorization_of_the_callers_own_gives_way_to_the_token() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        await place.get(headers={"authorization": "Basic x"})
        await place.get(headers={"authorization": "Basic x"})
    assert [request.headers.get_all("authorization") for request in fake.api_requests] == [
        ("Bearer access-token-1",)
    ] * 2


async def test_a_failing_renewal_is_an_error_of_ours() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        fake.fail_next(400, content=b'{"error": "invalid_client"}')
        with pytest.raises(OAuthKitError, match="invalid_client"):
            await place.get()
        fake.advance(600)
        assert await place.get() == 200
        fake.revoke_access_tokens()
        fake.fail_next(400, content=b'{"error": "invalid_client"}')
        with pytest.raises(OAuthKitError, match="invalid_client"):
            await place.get()


async def test_an_error_of_aiohttps_own_shows_no_token() -> None:
    """It has the headers of its request."""
    fake = FakeAuthorizationServer()
    async with calling(fake, failing) as place:
        for _ in range(2):
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                await place.get(raise_for_status=True)
            told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            assert caught.value.request_info.headers["authorization"] == "Bearer access-token-1"
            assert "access-token" not in repr(caught.value)
            assert "access-token" not in "".join(told.format())


async def test_a_closed_session_lends_nothing_any_more() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        await place.get()
        await place.session.aclose()
        with pytest.raises(ConfigurationError, match="session is closed"):
            await place.get()
    assert len(fake.api_requests) == 1


async def test_who_waits_for_a_token_holds_no_connection() -> None:
    fake = FakeAuthorizationServer()
    async with calling(
        fake, store=MemoryStore(), key="app", connector=aiohttp.TCPConnector(limit=1)
    ) as place:
        waiting = token_middleware(place.session.for_key("ada", grant=fake.grant))
        await place.get()
        with fake.hold() as held:
            calls = [asyncio.create_task(place.get(middlewares=(waiting,))) for _ in range(5)]
            await held.arrived()
            assert await place.get() == 200
            held.release()
            assert await asyncio.gather(*calls) == [200] * 5


async def test_the_time_that_a_call_has_is_aiohttps_and_does_not_end_the_renewal() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        with fake.hold() as held:
            with pytest.raises(TimeoutError):
                await place.get(timeout=aiohttp.ClientTimeout(total=0.05))
            held.release()
        assert await place.get() == 200
    assert len(fake.token_requests) == 1


# Where it goes


async def test_another_origin_is_refused_before_a_byte_is_sent() -> None:
    """BT-12."""
    fake = FakeAuthorizationServer()
    async with calling(fake) as place, LoopbackServer(fake.app()) as other:
        for warm in (False, True):
            for url in (other.url, other.url.replace("http:", "ws:"), "wss://api.example/"):
                with pytest.raises(ConfigurationError, match="by middlewares=\\(\\)"):
                    await place.http.get(url)
            assert other.connections == 0
            if not warm:
                assert await place.get() == 200
        async with place.http.get(other.url, middlewares=()) as response:
            assert response.status == 401
    assert len(fake.token_requests) == 1


async def test_the_same_host_written_otherwise_is_the_same_origin() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        url = f"{place.url.replace('localhost', 'LOCALHOST.')}/report"
        resolved = aiohttp.TCPConnector(resolver=_Loopback())
        async with (
            aiohttp.ClientSession(
                middlewares=(token_middleware(place.session),), connector=resolved
            ) as http,
            http.get(url) as response,
        ):
            assert response.status == 200


class _Loopback(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": 2,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None:
        return


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_loses_the_token(status: int) -> None:
    """BT-12, AT-29: and a 401 there is no reason to renew."""
    seen: list[HTTPRequest] = []

    async def elsewhere(request: HTTPRequest) -> HTTPResponse:
        seen.append(request)
        if request.url.endswith("/landing"):
            return HTTPResponse(302, {"location": "/further"})
        return HTTPResponse(401, {"www-authenticate": 'Bearer error="invalid_token"'})

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"location": f"{other.url}/landing"})

    fake = FakeAuthorizationServer()
    async with LoopbackServer(elsewhere) as other, calling(fake, api) as place:
        for _ in range(2):
            assert await place.get(headers={"authorization": "Basic own"}) == 401
    assert [request.headers.get("authorization") for request in seen] == [None] * 4
    assert len(fake.token_requests) == 1


async def test_a_hop_that_aiohttp_tries_again_is_still_one_of_a_redirect() -> None:
    """It does so once where a connection is cut, and calls the middleware anew."""
    seen: list[str | None] = []

    async def elsewhere(request: HTTPRequest) -> HTTPResponse:
        seen.append(request.headers.get("authorization"))
        if len(seen) == 1:
            raise LostAnswerError
        return HTTPResponse(200)

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": other.url})

    fake = FakeAuthorizationServer()
    async with LoopbackServer(elsewhere) as other, calling(fake, api) as place:
        assert await place.get() == 200
        assert vars_of(place)["_redirected"] == {}
    assert seen == [None, None]


async def test_a_call_that_was_led_away_does_not_take_the_token_up_again() -> None:
    async def elsewhere(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(302, {"location": f"{place.url}/back"})

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": other.url})

    fake = FakeAuthorizationServer()
    async with LoopbackServer(elsewhere) as other, calling(fake, api) as place:
        assert await place.get() == 401
        paths = [httpx.URL(request.url).path for request in fake.api_requests]
    assert paths == ["/report", "/back"]
    assert sent_tokens(fake) == [*bearer(1), None]


async def test_a_redirect_that_nobody_follows_opens_no_other_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": f"{other.url}/landing"})

    monkeypatch.setattr(client, "_MOST_CALLS", 3)
    fake = FakeAuthorizationServer()
    async with LoopbackServer(fake.app()) as other, calling(fake, api) as place:
        for _ in range(5):
            assert await place.get(allow_redirects=False) == 302
            with pytest.raises(ConfigurationError):
                await place.http.get(f"{other.url}/landing")
        assert len(vars_of(place)["_redirected"]) == 3
        assert other.connections == 0


def vars_of(place: Place) -> dict[str, Any]:
    (middleware,) = place.http._middlewares
    owner: Any = getattr(middleware, "__self__")  # noqa: B009 - a middleware is any callable
    return {name: getattr(owner, name) for name in owner.__slots__ if name[:2] != "__"}


async def test_a_redirect_within_the_origin_keeps_the_token_and_one_call_renews_once() -> None:
    """BT-08."""

    def api(request: httpx.Request) -> httpx.Response:
        dead = httpx.Response(401, headers={"www-authenticate": "Bearer"})
        if request.url.path == "/new" or request.headers["authorization"].endswith("-1"):
            return dead
        return httpx.Response(302, headers={"location": "/new"})

    fake = FakeAuthorizationServer()
    async with calling(fake, api) as place:
        await place.session.token()
        assert await place.get("/old") == 401
        assert vars_of(place)["_redirected"] == {}
    assert sent_tokens(fake) == bearer(1, 2, 2)
    assert len(fake.token_requests) == 2


async def test_a_token_that_this_call_fetched_is_as_new_as_can_be_at_the_next_hop_too() -> None:
    def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(302, headers={"location": "/new"})
        return httpx.Response(401)

    fake = FakeAuthorizationServer()
    async with calling(fake, api) as place:
        assert await place.get("/old") == 401
    assert sent_tokens(fake) == bearer(1, 1)
    assert len(fake.token_requests) == 1


async def test_a_token_that_is_new_at_the_next_hop_is_what_is_judged_there() -> None:
    async def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            await place.session.renew()
            return httpx.Response(302, headers={"location": "/new"})
        return httpx.Response(200 if request.headers["authorization"].endswith("-3") else 401)

    fake = FakeAuthorizationServer()
    async with calling(fake, api) as place:
        assert await place.get("/old") == 200
    assert sent_tokens(fake) == bearer(1, 2, 3)


async def test_this_machine_is_asked_past_all_proxies() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place, LoopbackServer(fake.app()) as proxy:
        for _ in range(2):
            assert await place.get(proxy=proxy.url) == 200
        assert proxy.connections == 0


async def test_another_machine_is_asked_through_the_proxy() -> None:
    fake, seen = FakeAuthorizationServer(), list[str]()

    async def proxy(request: HTTPRequest) -> HTTPResponse:
        seen.append(f"{request.url} {request.headers['authorization']}")
        return HTTPResponse(200)

    server = attrs.evolve(fake.server, allow_plain_http=True)
    async with (
        LoopbackServer(proxy) as through,
        fake.session(server=server, base_url="http://api.example") as session,
        aiohttp.ClientSession(middlewares=(token_middleware(session),)) as http,
        http.get("http://api.example/report", proxy=through.url) as response,
    ):
        assert response.status == 200
    assert seen == ["http://api.example/report Bearer access-token-1"]


async def test_a_web_socket_begins_with_the_token() -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("authorization"))
        if len(seen) == 1:
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        return socket

    fake, app = FakeAuthorizationServer(), web.Application()
    app.router.add_get("/events", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"127.0.0.1:{runner.addresses[0][1]}"
    async with (
        fake.session(base_url=f"http://{url}") as session,
        aiohttp.ClientSession(middlewares=(token_middleware(session),)) as http,
    ):
        await session.token()
        for scheme in ("ws", "http"):
            async with http.ws_connect(f"{scheme}://{url}/events") as socket:
                assert await socket.receive_str() == "hello"
    await runner.cleanup()
    assert seen == bearer(1, 2, 2)


# What a 401 means


async def test_a_crowd_with_a_dead_token_costs_one_renewal_and_one_repeat_each() -> None:
    """BT-08."""
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        await place.session.token()
        fake.revoke_access_tokens()
        assert await asyncio.gather(*(place.get() for _ in range(20))) == [200] * 20
    assert len(fake.token_requests) == 2
    assert sorted(map(str, sent_tokens(fake))) == sorted(bearer(1, 2) * 20)


@pytest.mark.parametrize(
    "challenge", ["Basic", "Negotiate", "DPoP", 'Bearer error="insufficient_scope"']
)
async def test_what_a_new_token_cannot_cure_is_handed_back_at_once(challenge: str) -> None:
    """BT-10."""

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, headers={"www-authenticate": challenge})

    fake = FakeAuthorizationServer()
    async with calling(fake, api) as place:
        await place.session.token()
        async with place.http.get(f"{place.url}/report") as response:
            assert (response.status, response.headers["www-authenticate"]) == (401, challenge)
    assert (len(fake.token_requests), len(fake.api_requests)) == (1, 1)


async def test_a_declared_answer_means_a_dead_token_and_another_one_does_not() -> None:
    def api(request: httpx.Request) -> httpx.Response:
        dead = request.headers["authorization"].endswith("-1")
        return httpx.Response(403 if dead else 401)

    fake = FakeAuthorizationServer()
    async with calling(fake, api, renew_on=Rejection(status=403)) as place:
        await place.session.token()
        assert await place.get() == 401
    assert sent_tokens(fake) == bearer(1, 2)


async def test_a_token_that_this_very_call_fetched_is_not_replaced() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake, unauthorized) as place:
        assert await place.get() == 401
    assert sent_tokens(fake) == bearer(1)


async def test_a_token_that_ended_on_the_way_is_renewed_though_this_call_fetched_it() -> None:
    def api(request: httpx.Request) -> httpx.Response:
        if len(fake.api_requests) == 0:
            fake.advance(61)
            return httpx.Response(401)
        return httpx.Response(200)

    fake = FakeAuthorizationServer()
    async with calling(fake, api) as place:
        assert await place.get() == 200
    assert sent_tokens(fake) == bearer(1, 2)


# Bodies that are sent


class Pipe(io.RawIOBase):
    """A file that cannot be read twice."""

    def __init__(self) -> None:
        self.left = b"content"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part, self.left = self.left[: len(buffer)], self.left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


async def parts() -> AsyncIterator[bytes]:
    for part in (b"con", b"tent"):
        yield part


def form_with_a_file() -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(b"content"), filename="name")
    return form


@pytest.mark.parametrize("body", [parts, Pipe, lambda: io.BytesIO(b"content"), form_with_a_file])
async def test_a_body_that_is_read_as_it_is_sent_is_never_sent_twice(
    body: Callable[[], Any],
) -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        await place.session.token()
        fake.revoke_access_tokens()
        assert await place.call("PUT", data=body()) == 401
        assert await place.call("PUT", data=body()) == 200
    assert sent_tokens(fake) == bearer(1, 2)
    assert all(b"content" in request.content for request in fake.api_requests)


@pytest.mark.parametrize(
    "body",
    [{"data": b"content"}, {"data": "content"}, {"json": "content"}, {"data": {"a": "content"}}],
    ids=["bytes", "text", "json", "form"],
)
async def test_a_body_that_is_at_hand_is_sent_again(body: dict[str, Any]) -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        await place.session.token()
        fake.revoke_access_tokens()
        assert await place.call("POST", **body) == 200
    first, second = fake.api_requests
    assert first.content == second.content
    assert b"content" in second.content
    assert first.headers["content-length"] == second.headers["content-length"]


async def test_a_body_that_the_server_did_not_want_yet_is_sent_once_it_does() -> None:
    """Of two requests with `Expect: 100-continue` the first was refused before its body."""
    bodies: list[bytes] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            head = await stream.receive()
            if b"access-token-1" in head:
                bodies.append(head.partition(b"\r\n\r\n")[2])
                await stream.send(
                    b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
                return
            await stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append(await stream.receive())
            await stream.send(OK)

    fake = FakeAuthorizationServer()
    async with (
        answering(serve) as url,
        fake.session(base_url=url) as session,
        aiohttp.ClientSession(middlewares=(token_middleware(session),)) as http,
    ):
        await session.token()
        with anyio.fail_after(10):
            status = await Place(url, session, http).call("PUT", data=b"content", expect100=True)
    assert status == 200
    assert bodies == [b"", b"content"]


# Answers


@asynccontextmanager
async def answering(serve: Callable[[SocketStream], Any]) -> AsyncGenerator[str]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


@attrs.define
class Api:
    """Answers the first request as told, and others with 200."""

    head: bytes
    length: int = 0
    pause: float = 0.0
    tokens: list[bytes] = attrs.field(factory=list[bytes])
    connections: int = 0
    sent: int = 0
    ended: anyio.Event = attrs.field(factory=anyio.Event)

    async def __call__(self, stream: SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while True:
                    await self._answer(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.ended.set()

    async def _answer(self, stream: SocketStream) -> None:
        request = await stream.receive()
        (line,) = [x for x in request.split(b"\r\n") if x.lower().startswith(b"authorization")]
        self.tokens.append(line.rpartition(b"-")[2])
        if len(self.tokens) > 1:
            await stream.send(OK)
            return
        await stream.send(self.head)
        while self.sent < self.length:
            await anyio.sleep(self.pause)
            part = b"x" * (1 if self.pause else min(65_536, self.length - self.sent))
            await stream.send(part)
            self.sent += len(part)


def head(length: int, *more: str) -> bytes:
    lines = ["HTTP/1.1 401 Unauthorized", f"content-length: {length}", *more, "", ""]
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def calling_alone(
    api: Api, fake: FakeAuthorizationServer | None = None
) -> AsyncGenerator[Place]:
    """Call over one connection, which nobody may hold for long."""
    fake = fake or FakeAuthorizationServer()
    async with (
        answering(api) as url,
        fake.session(base_url=url) as session,
        aiohttp.ClientSession(
            middlewares=(token_middleware(session),), connector=aiohttp.TCPConnector(limit=1)
        ) as http,
    ):
        await session.token()
        with anyio.fail_after(10):
            yield Place(url, session, http)


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["large", "dripping"])
async def test_a_long_401_is_not_read_and_its_connection_is_free(
    pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pause:
        monkeypatch.setattr(messages, "_SECONDS_TO_READ", 60)
    api = Api(head(LARGE), LARGE, pause)
    async with calling_alone(api) as place:
        assert await place.get() == 200
    assert api.tokens == [b"1", b"2"]
    assert api.sent < LARGE / 4


async def test_the_connection_of_a_short_401_is_used_again() -> None:
    api = Api(head(900), 900)
    async with calling_alone(api) as place:
        assert await place.get() == 200
    assert (api.tokens, api.connections) == ([b"1", b"2"], 1)


async def test_a_401_that_a_new_token_cannot_cure_is_handed_over_unread() -> None:
    api = Api(head(LARGE, 'www-authenticate: Bearer error="insufficient_scope"'), LARGE)
    async with calling_alone(api) as place, place.http.get(place.url) as response:
        assert response.status == 401
        assert await response.content.readexactly(100_000) == b"x" * 100_000
    assert api.sent < LARGE / 4
    assert api.tokens == [b"1"]


async def test_a_401_is_whole_where_there_was_no_other_token() -> None:
    fake = FakeAuthorizationServer(extra={"access_token": "always-1"})
    for streamed in (False, True):
        api = Api(head(900), 900)
        async with calling_alone(api, fake) as place:
            fake.advance(1)
            async with place.http.get(place.url) as response:
                read = response.content.read if streamed else response.read
                assert (response.status, await read()) == (401, b"x" * 900)
        assert api.tokens == [b"1"]


async def test_a_long_401_is_asked_for_again_where_there_was_no_other_token() -> None:
    """Its connection was needed; the caller has a whole one all the same."""
    fake = FakeAuthorizationServer(extra={"access_token": "always-1"})
    api = Api(head(300_000), 300_000)
    async with calling_alone(api, fake) as place:
        fake.advance(1)
        assert await place.get() == 200
    assert api.tokens == [b"1", b"1"]


@pytest.mark.skipif(
    aiohttp.__version__ < "3.14", reason="aiohttp 3.13 leaves an exception of such an upload behind"
)
async def test_a_401_that_comes_before_all_was_sent_ends_the_upload() -> None:
    received, body = 0, b"x" * 20_000_000

    async def refusing(stream: SocketStream) -> None:
        nonlocal received
        async with stream:
            request = await stream.receive()
            if b"access-token-1" in request:
                await stream.send(head(0))
                await anyio.sleep_forever()
            received -= request.index(b"\r\n\r\n") + 4
            while received + len(request) < len(body):
                received += len(request)
                request = await stream.receive()
            received += len(request)
            await stream.send(OK)

    fake = FakeAuthorizationServer()
    async with (
        answering(refusing) as url,
        fake.session(base_url=url) as session,
        aiohttp.ClientSession(middlewares=(token_middleware(session),)) as http,
    ):
        await session.token()
        with anyio.fail_after(10), pytest.warns(ResourceWarning, match="large body"):
            assert await Place(url, session, http).call("PUT", data=body) == 200
    assert received == len(body)


async def test_a_401_that_is_cut_is_as_good_as_one_that_was_read() -> None:
    api = Api(head(900, "connection: close") + b"x", 0)
    original = Api._answer

    async def cutting(stream: SocketStream) -> None:
        if api.tokens:
            await api(stream)
            return
        async with stream:
            await original(api, stream)

    async with answering(cutting) as url:
        fake = FakeAuthorizationServer()
        async with (
            fake.session(base_url=url) as session,
            aiohttp.ClientSession(middlewares=(token_middleware(session),)) as http,
        ):
            await session.token()
            assert await Place(url, session, http).get() == 200
    assert api.tokens == [b"1", b"2"]


async def test_who_gives_up_while_a_401_is_read_keeps_no_connection() -> None:
    api = Api(head(LARGE), LARGE, 0.02)
    async with calling_alone(api) as place:
        with pytest.raises(TimeoutError):
            await place.get(timeout=aiohttp.ClientTimeout(total=0.2))
        await api.ended.wait()
        assert await place.get() == 200


async def test_the_time_of_a_call_ends_it_while_a_401_is_read_and_nothing_is_sent_again() -> None:
    """Nor is a renewal begun and waited for."""
    fake = FakeAuthorizationServer()
    api = Api(head(LARGE), LARGE, 0.02)
    async with calling_alone(api, fake) as place:
        with pytest.raises(TimeoutError):
            await place.call("POST", data=b"x", timeout=aiohttp.ClientTimeout(total=0.2))
        await place.session.settled()
        await api.ended.wait()
    assert (api.connections, len(fake.token_requests)) == (1, 1)


# Cookies


def setting_cookies(request: httpx.Request) -> httpx.Response:
    name = request.url.path.strip("/")
    headers = {"set-cookie": f"{name}={request.headers['authorization'][-1]}; Path=/"}
    if name == "old":
        return httpx.Response(302, headers={**headers, "location": "/new"})
    return httpx.Response(200, headers=headers)


def cookies(fake: FakeAuthorizationServer, path: str = "") -> list[str | None]:
    requests = [request for request in fake.api_requests if request.url.endswith(path)]
    return [request.headers.get("cookie") for request in requests]


async def test_no_key_meets_the_cookies_of_another() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake, setting_cookies, store=MemoryStore(), key="app") as place:
        keys = [place.session.for_key(key, grant=fake.grant) for key in ("ada", "bob")]
        for _ in range(2):
            for session in keys:
                async with place.http.get(
                    f"{place.url}/report", middlewares=(token_middleware(session),)
                ) as response:
                    assert response.cookies["report"].value in {"1", "2"}
                assert await place.get("/old", middlewares=(token_middleware(session),)) == 200
        assert len(place.http.cookie_jar) == 0
    assert cookies(fake) == [None] * 12


async def test_nor_those_of_an_api_that_a_redirect_led_to() -> None:
    seen: list[str | None] = []

    async def elsewhere(request: HTTPRequest) -> HTTPResponse:
        seen.append(request.headers.get("cookie"))
        return HTTPResponse(200, {"set-cookie": "other=1"})

    fake = FakeAuthorizationServer()
    async with LoopbackServer(elsewhere) as other:
        away = other.url.replace("127.0.0.1", "localhost")

        def api(request: httpx.Request) -> httpx.Response:
            return httpx.Response(307, headers={"location": away})

        async with calling(fake, api) as place:
            assert [await place.get() for _ in range(2)] == [200, 200]
    assert seen == [None, None]


async def test_what_the_caller_brings_and_settings_are_sent_and_nothing_else() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake, setting_cookies) as place:
        await place.session.token()
        jar = place.http.cookie_jar
        jar.update_cookies({"lang": "en"})
        jar.update_cookies({"owner": "1"}, URL(place.url))
        await place.get("/plain")
        await place.get("/argument", cookies={"mine": "2"})
        await place.get("/header", headers={"cookie": "mine=3; owner=4"})
        assert {cookie.key for cookie in jar} == {"lang", "owner"}
    assert cookies(fake, "/plain") == ["lang=en"]
    (argument,), (header,) = cookies(fake, "/argument"), cookies(fake, "/header")
    assert sorted(str(argument).split("; ")) == ["lang=en", "mine=2"]
    assert sorted(str(header).split("; ")) == ["lang=en", "mine=3"]


async def test_a_jar_that_has_nothing_to_send_leaves_no_header() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake) as place:
        place.http.cookie_jar.update_cookies({"owner": "1"}, URL(place.url))
        assert await place.get() == 200
    assert cookies(fake) == [None]


async def test_a_quoted_cookie_of_the_jar_is_withheld_in_one_piece() -> None:
    """Its value may look like several of them."""
    seen: list[str | None] = []

    async def api(request: HTTPRequest) -> HTTPResponse:
        seen.append(request.headers.get("cookie"))
        values = 'owner="ada; b=2; c"; Path=/', "b=2; Path=/"
        return HTTPResponse(200, [("set-cookie", value) for value in values])

    fake = FakeAuthorizationServer()
    async with LoopbackServer(api) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with (
            fake.session(base_url=url) as session,
            aiohttp.ClientSession() as http,
        ):
            own = {"middlewares": (token_middleware(session),)}
            calls: list[dict[str, Any]] = [{}, own, {**own, "cookies": {"a": "1"}}]
            for options in calls:
                async with http.get(url, **options):
                    pass
            assert {cookie.key for cookie in http.cookie_jar} == {"owner", "b"}
    assert seen == [None, None, "a=1"]


async def test_a_session_that_keeps_cookies_leaves_the_jar_alone() -> None:
    fake = FakeAuthorizationServer()
    async with calling(fake, setting_cookies, cookies=True) as place:
        for _ in range(3):
            await place.get()
    assert cookies(fake) == [None, "report=1", "report=1"]


# Beside a session over the same client


async def test_a_session_over_a_shared_client_leaves_it_open() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, aiohttp.ClientSession() as shared:
        http = httpx.AsyncClient(transport=AiohttpTransport(client=shared))
        async with fake.session(http=http, base_url=url) as session:
            assert (await session.get("/report")).status_code == 200
        assert not shared.closed
        async with shared.get(f"{url}/report") as response:
            assert response.status == 401


async def test_a_request_of_a_session_passes_the_middleware_of_its_own_client() -> None:
    """Its token is its own, and a token request waits for none."""
    fake, middlewares = FakeAuthorizationServer(), list[Any]()

    def shared() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(middlewares=tuple(middlewares))

    async with fake.serve() as url:
        transport = AiohttpTransport(client=shared)
        async with httpx.AsyncClient(transport=transport) as http:
            store = MemoryStore()
            async with fake.session(http=http, base_url=url, store=store, key="app") as session:
                middlewares.append(token_middleware(session))
                ada = session.for_key("ada", grant=fake.grant)
                with anyio.fail_after(5):
                    for one in (session, ada, session, ada):
                        assert (await one.get("/report")).status_code == 200
    assert sent_tokens(fake) == bearer(1, 2, 1, 2)
    assert len(fake.token_requests) == 2


# How it is made


def test_something_else_than_a_session_is_refused() -> None:
    something: Any = "session"
    with pytest.raises(ConfigurationError, match="token_middleware: session takes an"):
        token_middleware(something)


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = oauthkit.integrations.aiohttp.no_such_name
