"""Cookies on real sockets: what an answer set for the one never goes out with another's request."""

import asyncio
import functools
import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final

import aiohttp
import anyio
import attrs
import httpx
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from httpx_aiohttp import AiohttpTransport

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    OAuthKitError,
    TransportError,
    fetch_token,
)
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import LoopbackServer

APP: Final = ClientSecretBasic("app", "secret")
TOKEN: Final = b'{"access_token": "canary", "token_type": "Bearer", "expires_in": 3600}'


class Wrapping(httpx.AsyncBaseTransport):
    """A transport around another, as those that try again are."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def on_a_session() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AiohttpTransport(client=aiohttp.ClientSession()))


def on_a_function() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AiohttpTransport(client=aiohttp.ClientSession))


def on_a_session_without_a_jar() -> httpx.AsyncClient:
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    return httpx.AsyncClient(transport=AiohttpTransport(client=session))


CLIENTS: Final[dict[str, tuple[ModuleType, Callable[[], Any]]]] = {
    "httpx": (httpx, httpx.AsyncClient),
    "httpx2": (httpx2, httpx2.AsyncClient),
    "own": (httpx, lambda: None),
    "aiohttp": (httpx, lambda: httpx.AsyncClient(transport=AiohttpTransport())),
    "aiohttp session": (httpx, on_a_session),
    "aiohttp function": (httpx, on_a_function),
    "aiohttp without a jar": (httpx, on_a_session_without_a_jar),
    "aiohttp mounted": (
        httpx,
        lambda: httpx.AsyncClient(mounts={"http://": AiohttpTransport()}),
    ),
    "aiohttp wrapped": (
        httpx,
        lambda: httpx.AsyncClient(transport=Wrapping(Wrapping(AiohttpTransport()))),
    ),
}


@pytest.fixture(params=CLIENTS)
def way(request: pytest.FixtureRequest, anyio_backend_name: str) -> str:
    """Send through each client, as far as it knows the event loop."""
    if "aiohttp" in request.param and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio alone")
    return str(request.param)


@attrs.define
class Peer:
    """A token endpoint and an API in one, which set a cookie with every answer."""

    seen: list[HTTPRequest] = attrs.field(factory=list[HTTPRequest])
    url: str = ""

    async def __call__(self, request: HTTPRequest) -> HTTPResponse:
        self.seen.append(request)
        name = request.url.rpartition("/")[2]
        headers = [("set-cookie", f"{name}={len(self.seen)}; Path=/")]
        if name == "token":
            return HTTPResponse(200, [*headers, ("content-type", "application/json")], TOKEN)
        if name == "old":
            return HTTPResponse(302, [*headers, ("location", "/new")])
        return HTTPResponse(200, headers, b"x")

    def cookies(self, *, of: str = "") -> list[str | None]:
        """Return the Cookie header of each request for a path, or of all."""
        return [r.headers.get("cookie") for r in self.seen if r.url.endswith(of)]


@asynccontextmanager
async def answering(peer: Peer) -> AsyncGenerator[Peer]:
    async with LoopbackServer(peer) as server:
        # The jar of aiohttp keeps nothing for an address without a name.
        peer.url = server.url.replace("127.0.0.1", "localhost")
        yield peer


@asynccontextmanager
async def client_of(way: str) -> AsyncGenerator[Any]:
    http = CLIENTS[way][1]()
    yield http
    if http is not None:
        await http.aclose()


def session_of(peer: Peer, http: Any, **settings: Any) -> AsyncTokenSession[Any]:
    return AsyncTokenSession(
        http,
        server=AuthorizationServer(f"{peer.url}/token"),
        client_auth=APP,
        grant=ClientCredentials(),
        base_url=peer.url,
        **settings,
    )


async def test_no_key_meets_the_cookies_of_another_nor_an_api_those_of_a_token(way: str) -> None:
    async with (
        answering(Peer()) as peer,
        client_of(way) as http,
        session_of(peer, http) as app,
    ):
        ada = app.for_key("ada", grant=ClientCredentials())
        bob = app.for_key("bob", grant=ClientCredentials())
        for session in (ada, bob, app, ada):
            assert (await session.get("/report")).cookies["report"]
            async with session.stream("GET", "/events") as response:
                assert response.cookies["events"]
            await session.renew()
    assert len(peer.seen) == 3 + 4 * 3
    assert set(peer.cookies()) == {None}


async def test_nor_does_the_next_hop_of_a_redirect(way: str) -> None:
    async with (
        answering(Peer()) as peer,
        client_of(way) as http,
        session_of(peer, http) as session,
    ):
        response = await session.get("/old", follow_redirects=True)
        assert [r.url.path for r in (*response.history, response)] == ["/old", "/new"]
    assert set(peer.cookies()) == {None}


async def test_what_the_caller_brings_is_sent_and_nothing_else(way: str) -> None:
    async with (
        answering(Peer()) as peer,
        client_of(way) as http,
        session_of(peer, http) as session,
    ):
        await session.get("/report")
        await session.get("/header", headers={"cookie": "mine=1"})
        with pytest.warns(DeprecationWarning, match="per-request cookies"):
            await session.get("/argument", cookies={"mine": "2"})
        await session.get("/report")
    assert peer.cookies(of="/header") == ["mine=1"]
    assert peer.cookies(of="/argument") == ["mine=2"]
    assert peer.cookies(of="/report") == [None, None]


async def test_the_owner_of_a_client_goes_on_as_if_nobody_else_was_there(way: str) -> None:
    if way in {"own", "aiohttp without a jar"}:
        return
    async with answering(Peer()) as peer, client_of(way) as http:
        await http.get(f"{peer.url}/first")
        async with session_of(peer, http) as session:
            await session.get("/report")
            assert list(http.cookies) == ["first"]
            await http.get(f"{peer.url}/second")
            await session.get("/report")
        http.cookies.clear()  # what a jar of aiohttp below keeps is sent all the same
        await http.get(f"{peer.url}/third")
    assert peer.cookies(of="/second") == ["first=1"]
    assert peer.cookies(of="/report") == [None, None]
    below = "second=4; first=1" if "aiohttp" in way else None
    (third,) = peer.cookies(of="/third")
    assert sorted((third or "").split("; ")) == sorted((below or "").split("; "))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_a_hook_began_keeps_the_cookies_of_its_owners_own_calls() -> None:
    """It has the context of the session's call, and outlives that."""
    over, began = anyio.Event(), list[asyncio.Task[None]]()

    async def by_itself() -> None:
        await over.wait()
        for name in ("first", "second"):
            await http.get(f"{peer.url}/{name}")

    async def hook(request: httpx.Request) -> None:
        if request.url.path == "/report":
            began.append(asyncio.create_task(by_itself()))

    async with answering(Peer()) as peer, client_of("aiohttp") as http:
        http.event_hooks = {"request": [hook]}
        async with session_of(peer, http) as session:
            await session.get("/report")
        http.cookies.clear()
        over.set()
        await began[0]
        http.cookies.clear()
        await http.get(f"{peer.url}/third")
    assert peer.cookies(of="/third") == ["first=3; second=4"]


async def test_cookies_that_are_settings_of_the_client_go_with_every_request() -> None:
    """They have no domain, which no cookie of an answer lacks."""
    async with answering(Peer()) as peer:
        for library in (httpx, httpx2):
            async with (
                library.AsyncClient(cookies={"lang": "en"}) as http,
                session_of(peer, http) as session,
            ):
                await http.get(f"{peer.url}/own")
                for _ in range(2):
                    await session.get("/report")
                assert "report" not in http.cookies
    assert set(peer.cookies(of="/report")) == {"lang=en"}
    assert set(peer.cookies(of="/token")) == {None}


async def test_a_token_that_is_fetched_without_a_session_leaves_no_cookie(way: str) -> None:
    async with answering(Peer()) as peer, client_of(way) as http:
        if http is None:
            return
        server = AuthorizationServer(f"{peer.url}/token")
        await fetch_token(http, server, APP, ClientCredentials())
        await http.get(f"{peer.url}/report")
    assert set(peer.cookies()) == {None}


async def test_cookies_can_be_had_by_a_session_that_has_no_other_keys(way: str) -> None:
    async with answering(Peer()) as peer, client_of(way) as http:
        if http is not None:
            await http.get(f"{peer.url}/owner")
        async with session_of(peer, http, cookies=True) as session:
            await session.get("/report")
            await session.get("/more")
            await session.renew()
            with pytest.raises(ConfigurationError, match="cookies=True has no other keys"):
                session.for_key("ada")
        async with session_of(peer, http) as other:
            await other.get("/other")
        if http is not None:
            assert list(http.cookies) == ["owner"]
    assert peer.cookies(of="/other") == [None]
    assert set(peer.cookies(of="/token")) == {None}
    (more,) = peer.cookies(of="/more")
    assert more is not None
    assert "report=" in more
    assert ("owner=1" in more) is (http is not None)


# While an answer drips, and where it never comes


@asynccontextmanager
async def sending(head: bytes) -> AsyncGenerator[tuple[str, anyio.Event, list[bytes]]]:
    """Send the head of an answer to each token request, and leave it at that."""
    received, sent = list[bytes](), anyio.Event()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    request = await stream.receive()
                    received.append(request)
                    if request.startswith(b"POST"):
                        await stream.send(head)
                        sent.set()
                    else:
                        await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://localhost:{port}", sent, received
        tasks.cancel_scope.cancel()


def server_at(url: str) -> AuthorizationServer:
    return AuthorizationServer(f"{url}/token")


async def test_while_the_answer_of_a_token_endpoint_drips_its_cookie_is_nowhere(way: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nset-cookie: sid=canary; Path=/\r\ncontent-length: 99\r\n\r\n{"
    errors = list[Exception]()

    async def ask() -> None:
        try:
            await fetch_token(http, server_at(url), APP, ClientCredentials(), timeout=0.25)
        except TransportError as error:
            errors.append(error)

    async with sending(head) as (url, sent, received), client_of(way) as http:
        if http is None:
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await sent.wait()
            await anyio.sleep(0.05)
            await http.get(f"{url}/api")
        await http.get(f"{url}/api")
    assert errors
    assert b"canary" not in b"".join(received)


async def test_a_token_request_that_raises_leaves_no_cookie(way: str) -> None:
    head = (
        b"HTTP/1.1 302 Found\r\nset-cookie: sid=canary; Path=/\r\n"
        b"location: https://xn--a/\r\ncontent-length: 0\r\n\r\n"
    )
    async with sending(head) as (url, _, received), client_of(way) as http:
        if http is None:
            return
        with pytest.raises(OAuthKitError):
            await fetch_token(http, server_at(url), APP, ClientCredentials())
        await http.get(f"{url}/api")
    assert b"canary" not in b"".join(received)


async def test_an_api_call_that_raises_leaves_no_cookie(way: str) -> None:
    """The next one is another key's."""

    async def answer(request: HTTPRequest) -> HTTPResponse:
        peer.seen.append(request)
        if request.url.endswith("/token"):
            return HTTPResponse(200, {"content-type": "application/json"}, TOKEN)
        headers = {"set-cookie": "sid=canary; Path=/", "location": "https://xn--a/"}
        return HTTPResponse(302, headers)

    peer = Peer()
    async with LoopbackServer(answer) as server, client_of(way) as http:
        peer.url = server.url.replace("127.0.0.1", "localhost")
        async with session_of(peer, http) as app:
            for key in ("ada", "bob"):
                session = app.for_key(key, grant=ClientCredentials())
                with pytest.raises(Exception, match=r".") as caught:
                    await session.get("/report", follow_redirects=True)
                assert not isinstance(caught.value, OAuthKitError)
    assert len(peer.seen) == 4
    assert set(peer.cookies()) == {None}


# What cannot be kept from it


class Slotted(httpx.AsyncClient):
    __slots__ = ("more",)


class Last(httpx.AsyncClient):
    def __init_subclass__(cls) -> None:
        message = "no subclass, please"
        raise TypeError(message)


@pytest.mark.parametrize("kind", [Slotted, Last])
async def test_a_client_that_has_no_view_is_refused_with_words(kind: Any) -> None:
    async with kind() as http:
        with pytest.raises(ConfigurationError, match="cannot be kept from sharing its cookies"):
            session_of(Peer(url="https://api.example"), http)


class Unchangeable(aiohttp.DummyCookieJar):
    def __setattr__(self, name: str, value: object) -> None:
        message = "nothing here is changed"
        raise TypeError(message)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_jar_of_aiohttp_that_cannot_be_kept_out_is_refused_with_words() -> None:
    jar = object.__new__(Unchangeable)
    client = aiohttp.ClientSession(cookie_jar=jar)
    async with httpx.AsyncClient(transport=AiohttpTransport(client=client)) as http:
        with pytest.raises(ConfigurationError, match=r"give an aiohttp\.DummyCookieJar"):
            session_of(Peer(url="https://api.example"), http)

    def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(cookie_jar=object.__new__(Unchangeable))

    async with (
        httpx.AsyncClient(transport=AiohttpTransport(client=make)) as http,
        session_of(Peer(url="https://api.example"), http) as session,
    ):
        with pytest.raises(ConfigurationError, match=r"give an aiohttp\.DummyCookieJar"):
            await session.token()


async def test_a_client_that_closes_itself_at_its_end_is_not_closed_by_a_session() -> None:
    ended = list[int]()

    class Closing(httpx.AsyncClient):
        def __del__(self) -> None:
            ended.append(id(self))

    http = Closing()
    session = session_of(Peer(url="https://api.example"), http)
    assert session.http is http
    del session
    gc.collect()
    assert ended == []
    await http.aclose()
    own = id(http)
    del http
    gc.collect()
    assert ended == [own]


async def test_settings_that_the_owner_changes_later_are_those_of_the_session() -> None:
    async with (
        answering(Peer()) as peer,
        httpx.AsyncClient() as http,
        session_of(peer, http) as session,
    ):
        http.headers = httpx.Headers({"x-later": "1"})
        await session.get("/report")
        await http.aclose()
        with pytest.raises(ConfigurationError, match="closed"):
            await session.get("/report")
    assert peer.seen[-1].headers["x-later"] == "1"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_error_of_aiohttp_shows_the_token() -> None:
    """Its ClientResponseError has the headers of the request in its repr."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            with anyio.move_on_after(5):
                request = await stream.receive()
                if request.startswith(b"POST"):
                    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json"
                    await stream.send(head + b"\r\n\r\n" + TOKEN)
                else:
                    await stream.send(b"HTTP/1.1 abc OK\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    peer = Peer(url=f"http://127.0.0.1:{port}")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        async with (
            httpx.AsyncClient(transport=AiohttpTransport()) as http,
            session_of(peer, http) as session,
        ):
            with pytest.raises(httpx.RemoteProtocolError) as caught:
                await session.get("/report")
            error = caught.value
            assert error.__cause__ is error.__context__ is None
            assert "canary" not in f"{error!r} {error}"
        tasks.cancel_scope.cancel()


async def test_a_client_with_a_method_of_its_own_is_refused() -> None:
    """It is bound to the client, and would send what is in the client's jar."""
    async with httpx.AsyncClient() as http, answering(Peer()) as peer:
        http.request = functools.partial(http.request)  # type: ignore[method-assign]
        with pytest.raises(ConfigurationError, match="whose methods are those of its class"):
            session_of(peer, http)
