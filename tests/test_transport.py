from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any

import anyio
import attrs
import httpx
import httpx2
import pytest

from oauthkit import ConfigurationError, ResponseError, TransportError
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.transport import (
    LARGEST_ANSWER,
    check_async_client,
    connection_limit,
    library_of,
    send,
)

REQUEST = HTTPRequest(
    "POST",
    "https://auth.example/token?tenant=1",
    {"content-type": "application/x-www-form-urlencoded", "authorization": "Basic c2VjcmV0"},
    b"grant_type=client_credentials",
)


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Run each test with both HTTP libraries."""
    module: ModuleType = request.param
    return module


@attrs.define
class Wire:
    """Be what a client sends through: what came, and what is answered."""

    library: ModuleType
    answer: Callable[[Any], Any]
    seen: list[Any] = attrs.field(factory=list[Any])

    def client(self, **settings: Any) -> Any:
        async def handle(request: Any) -> Any:
            self.seen.append(request)
            return self.answer(request)

        return self.library.AsyncClient(transport=self.library.MockTransport(handle), **settings)


def fail_with(error: Exception) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        raise error

    return answer


async def ask(client: Any, *, timeout: float = 5.0) -> HTTPResponse:  # noqa: ASYNC109 - passed on
    async with client:
        return await send(client, REQUEST, timeout=timeout)


async def test_a_request_is_sent_and_its_answer_read(library: ModuleType) -> None:
    wire = Wire(
        library, lambda _: library.Response(200, headers=[("a", "1"), ("a", "2")], text="x")
    )
    answer = await ask(wire.client())
    (sent,) = wire.seen
    assert (sent.method, str(sent.url), sent.content) == (
        REQUEST.method,
        REQUEST.url,
        REQUEST.content,
    )
    assert (answer.status_code, answer.headers.get_all("a"), answer.content) == (
        200,
        ("1", "2"),
        b"x",
    )


async def test_nothing_of_the_clients_defaults_goes_with_it(library: ModuleType) -> None:
    wire = Wire(library, lambda _: library.Response(200))
    client = wire.client(
        auth=("user", "pass"),
        cookies={"session": "canary"},
        headers={"x-canary": "1", "user-agent": "canary"},
        params={"canary": "1"},
        base_url="https://canary.example/",
        follow_redirects=True,
    )
    await ask(client)
    (sent,) = wire.seen
    assert "canary" not in str(sent.url)
    assert "canary" not in str(sent.headers)
    assert sent.headers["authorization"] == "Basic c2VjcmV0"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(library: ModuleType, status: int) -> None:
    """AT-27, AT-28: neither to another origin nor to the same one."""
    headers = {"location": "https://evil.example/"}
    wire = Wire(library, lambda _: library.Response(status, headers=headers))
    answer = await ask(wire.client(follow_redirects=True))
    assert (answer.status_code, len(wire.seen)) == (status, 1)


@pytest.mark.parametrize(
    "name, sent",
    [
        ("ConnectError", False),
        ("ConnectTimeout", False),
        ("PoolTimeout", False),
        ("ProxyError", False),
        ("ReadTimeout", True),
        ("ReadError", True),
        ("WriteError", True),
        ("RemoteProtocolError", True),
        ("UnsupportedProtocol", True),
    ],
)
async def test_an_error_says_whether_the_server_may_have_been_reached(
    library: ModuleType, name: str, *, sent: bool
) -> None:
    cause = getattr(library, name)("canary")
    with pytest.raises(TransportError, match=rf"https://auth\.example/token: {name}") as caught:
        await ask(Wire(library, fail_with(cause)).client())
    assert (caught.value.sent, caught.value.__cause__) == (sent, cause)


async def test_an_invalid_url_is_a_transport_error(library: ModuleType) -> None:
    with pytest.raises(TransportError, match="InvalidURL"):
        await ask(Wire(library, fail_with(library.InvalidURL("no"))).client())


async def test_a_closed_client_says_what_to_do(library: ModuleType) -> None:
    client = Wire(library, lambda _: library.Response(200)).client()
    await client.aclose()
    with pytest.raises(ConfigurationError, match="keep it open as long as the session is used"):
        await send(client, REQUEST, timeout=5)


async def test_another_runtime_error_is_not_hidden(library: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        await ask(Wire(library, fail_with(RuntimeError("a bug"))).client())


class Chunks:
    """Be an answer's body that comes in parts, and count them."""

    def __init__(self, size: int, count: int) -> None:
        self.size, self.count, self.given, self.closed = size, count, 0, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.given == self.count:
            raise StopAsyncIteration
        self.given += 1
        return b"x" * self.size

    async def aclose(self) -> None:
        self.closed = True


def body(library: ModuleType, chunks: Chunks) -> Any:
    return type("Body", (library.AsyncByteStream,), dict(vars(Chunks)))(chunks.size, chunks.count)


@pytest.mark.filterwarnings(  # httpx 0.28 leaves its own inner generator to trio's collector
    "ignore:Exception ignored in.*async_generator:pytest.PytestUnraisableExceptionWarning"
)
async def test_an_oversized_answer_is_refused_before_it_is_read_whole(library: ModuleType) -> None:
    """AT-52: without a Content-Length."""
    stream = body(library, Chunks(65_536, 1000))
    wire = Wire(library, lambda _: library.Response(200, stream=stream))
    with pytest.raises(ResponseError, match=str(LARGEST_ANSWER)):
        await ask(wire.client())
    assert stream.given == LARGEST_ANSWER // 65_536 + 1
    assert stream.closed


async def test_an_answer_of_just_the_largest_size_is_read(library: ModuleType) -> None:
    stream = body(library, Chunks(65_536, 16))
    answer = await ask(Wire(library, lambda _: library.Response(200, stream=stream)).client())
    assert len(answer.content) == LARGEST_ANSWER


async def test_an_answer_that_says_it_is_oversized_is_not_read_at_all(library: ModuleType) -> None:
    """AT-52: with a Content-Length."""
    stream = body(library, Chunks(1, 1))
    headers = {"content-length": str(LARGEST_ANSWER + 1)}
    wire = Wire(library, lambda _: library.Response(200, headers=headers, stream=stream))
    with pytest.raises(ResponseError, match=str(LARGEST_ANSWER)):
        await ask(wire.client())
    assert (stream.given, stream.closed) == (0, True)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip"])
async def test_a_compressed_answer_is_refused(library: ModuleType, encoding: str) -> None:
    """AT-53: it was declined, so nothing is ever decompressed."""
    stream = body(library, Chunks(1, 1))
    headers = {"content-encoding": encoding}
    wire = Wire(library, lambda _: library.Response(200, headers=headers, stream=stream))
    with pytest.raises(ResponseError, match="compressed"):
        await ask(wire.client())
    assert wire.seen[0].headers["accept-encoding"] == "identity"
    assert stream.given == 0


class Silence:
    """Be an answer's body that never ends."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"
        await anyio.sleep_forever()


async def test_the_end_bounds_all_of_it(library: ModuleType) -> None:
    """AT-62: whatever the client's own timeouts are."""
    stream = type("Body", (library.AsyncByteStream,), dict(vars(Silence)))()
    wire = Wire(library, lambda _: library.Response(200, stream=stream))
    with anyio.fail_after(5), pytest.raises(TransportError, match=r"within 0\.05 s") as caught:
        await ask(wire.client(timeout=None), timeout=0.05)
    assert caught.value.sent


async def test_each_phase_has_an_end_no_later_than_the_whole(library: ModuleType) -> None:
    wire = Wire(library, lambda _: library.Response(200))
    await ask(wire.client(timeout=None), timeout=30.0)
    assert wire.seen[0].extensions["timeout"] == {
        "connect": 10.0,
        "pool": 30.0,
        "read": 30.0,
        "write": 30.0,
    }


async def test_the_error_of_an_endpoint_shows_no_query(library: ModuleType) -> None:
    with pytest.raises(TransportError) as caught:
        await ask(Wire(library, fail_with(library.ReadError("no"))).client())
    assert "tenant" not in str(caught.value)


def test_the_library_of_a_client_is_found(library: ModuleType) -> None:
    class Own(library.AsyncClient):  # type: ignore[misc, name-defined]
        """A subclass of the user's."""

    assert library_of(library) is library
    assert library_of(library.AsyncClient()) is library
    assert library_of(Own()) is library


@pytest.mark.parametrize("stranger", [object(), pytest])
def test_what_is_no_client_is_refused(stranger: object) -> None:
    with pytest.raises(ConfigurationError, match=r"httpx\.AsyncClient or an httpx2\.AsyncClient"):
        library_of(stranger)


def test_a_synchronous_client_is_refused(library: ModuleType) -> None:
    with (
        library.Client() as client,
        pytest.raises(ConfigurationError, match="AsyncClient is needed, not a Client"),
    ):
        check_async_client(client)


def test_only_the_pool_of_httpx_needs_a_limit() -> None:
    limits = httpx.Limits(max_connections=7)
    assert connection_limit(httpx.AsyncClient(limits=limits)) == 7
    assert connection_limit(httpx.AsyncClient()) == 100
    assert connection_limit(httpx.AsyncClient(limits=httpx.Limits())) is None
    assert connection_limit(httpx2.AsyncClient()) is None
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    assert connection_limit(httpx.AsyncClient(transport=transport)) is None


def test_the_library_brings_no_way_to_skip_certificate_checks() -> None:
    """O2-41: the client that is given decides, and no other is made without verification."""
    from inspect import signature

    from oauthkit import AsyncTokenSession, fetch_token

    for callable_ in (AsyncTokenSession.__init__, fetch_token, send):
        assert not {"verify", "cert", "ssl", "ssl_context"} & set(signature(callable_).parameters)


async def test_cookies_of_a_token_endpoint_do_not_stay_in_the_client(library: ModuleType) -> None:
    """BC-11: they are not for the APIs that the client calls, on whatever common domain."""
    cookies = [("set-cookie", "sid=canary; Path=/"), ("set-cookie", "old=; Max-Age=0")]
    wire = Wire(library, lambda _: library.Response(200, headers=cookies))
    async with wire.client(cookies={"mine": "kept"}) as client:
        await send(client, REQUEST)
        await client.get("https://auth.example/api")

    assert wire.seen[1].headers["cookie"] == "mine=kept"
