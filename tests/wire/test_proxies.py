"""Credentials for this machine go past every proxy, on real sockets."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from httpx_aiohttp import HttpxAiohttpClient

from oauthkit import AsyncTokenSession, ClientCredentials, TransportError, fetch_token
from oauthkit.proxies import around_proxies
from oauthkit.testing import FakeAuthorizationServer

CLIENTS: dict[str, Callable[..., Any]] = {
    "httpx": httpx.AsyncClient,
    "httpx2": httpx2.AsyncClient,
    "aiohttp": HttpxAiohttpClient,
}
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(params=CLIENTS)
def new_client(request: pytest.FixtureRequest, anyio_backend_name: str) -> Callable[..., Any]:
    """Ask by each HTTP library, as far as it knows the event loop."""
    if request.param == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio alone")
    return CLIENTS[request.param]


@pytest.fixture(autouse=True)
def _no_proxies_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def proxy() -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Listen as a proxy; give its URL, and what it hears."""
    heard: list[bytes] = []

    async def listen(stream: SocketStream) -> None:
        async with stream:
            heard.append(await stream.receive())
            await stream.send(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, listen)
        yield f"http://127.0.0.1:{port}", heard
        tasks.cancel_scope.cancel()


async def test_neither_credentials_nor_token_of_this_machine_reach_the_proxy_of_the_environment(
    new_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeAuthorizationServer()
    async with proxy() as (url, heard), fake.serve() as here:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with new_client() as http:
            await fetch_token(http, fake.server, fake.client_auth, ClientCredentials())
            async with fake.session(http=http, base_url=here) as session:
                assert session.http is http
                assert (await session.get("/report")).status_code == 200
                async with session.stream("GET", "/report") as response:
                    assert response.status_code == 200
                assert (await session.for_key("k", grant=fake.grant).get("/")).status_code == 200
    assert heard == []


async def test_a_session_with_a_client_of_its_own_goes_past_the_proxy_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeAuthorizationServer()
    async with proxy() as (url, heard), fake.serve() as here:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with AsyncTokenSession(
            server=fake.server, client_auth=fake.client_auth, grant=fake.grant, base_url=here
        ) as session:
            assert (await session.get("/report")).status_code == 200
    assert heard == []


async def test_a_proxy_that_was_given_in_so_many_words_is_not_asked_for_this_machine_either(
    new_client: Callable[..., Any],
) -> None:
    """There, localhost would be the proxy's own machine."""
    fake = FakeAuthorizationServer()
    async with proxy() as (url, heard), fake.serve(), new_client(proxy=url) as http:
        await fetch_token(http, fake.server, fake.client_auth, ClientCredentials())
    assert heard == []


async def test_other_machines_are_asked_through_the_proxy(new_client: Callable[..., Any]) -> None:
    fake = FakeAuthorizationServer(issuer="https://auth.example")
    async with proxy() as (url, heard), new_client(proxy=url) as http:
        with pytest.raises(TransportError):
            await fetch_token(http, fake.server, fake.client_auth, fake.grant, timeout=2)
    assert [line.partition(b" HTTP")[0] for line in heard[:1]] == [b"CONNECT auth.example:443"]


LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@LIBRARIES
async def test_a_way_that_was_given_for_this_machine_is_taken(library: Any) -> None:
    def mock(request: object) -> Any:
        return library.Response(200, text="mocked")

    mocked = library.MockTransport(mock)
    mounts = {
        "http://": library.AsyncHTTPTransport(proxy="http://proxy.example"),
        "all://": mocked,
        "https://": None,
    }
    async with library.AsyncClient(mounts=mounts, trust_env=False) as client:
        around = around_proxies(client)
        assert (await around.get("http://127.0.0.1/")).text == "mocked"
        assert around._transport_for_url(library.URL("https://localhost/")) is client._transport
        assert around._transport_for_url(library.URL("/no-host")) is mocked
        for url in ("http://api.example/", "http://127.0.0.1.evil.example/", "http://xn--a/"):
            assert around._transport_for_url(library.URL(url)) is mounts["http://"]


@LIBRARIES
async def test_a_client_without_a_proxy_is_taken_as_it_is(library: ModuleType) -> None:
    for mounts in ({}, {"all://a.example": None}):
        async with library.AsyncClient(mounts=mounts, trust_env=False) as client:
            assert around_proxies(client) is client
    assert around_proxies(17) == 17


@LIBRARIES
async def test_what_is_changed_at_the_client_holds_for_both(library: ModuleType) -> None:
    client = library.AsyncClient(proxy="http://proxy.example", trust_env=False)
    around = around_proxies(client)
    assert around is not client
    assert isinstance(around, type(client))
    client.headers = {"x-number": "1"}
    assert around.headers["x-number"] == "1"
    await client.aclose()
    assert around.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        await around.get("http://127.0.0.1/")
