import gc
import socket
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import attrs
import httpx
import httpx2
import pytest
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient
from httpx_aiohttp.httpx2 import AiohttpTransport as AiohttpTransport2

from oauthkit import ConfigurationError, ResponseError, TransportError
from oauthkit.pool import _pool_seconds
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


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_closed_session_of_aiohttp_says_what_to_do() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with httpx.AsyncClient(transport=AiohttpTransport(client=session)) as client:
        with pytest.raises(ConfigurationError, match="keep it open as long as"):
            await send(client, REQUEST)


async def test_a_client_of_an_event_loop_that_has_ended_says_what_to_do(
    library: ModuleType,
) -> None:
    cause = RuntimeError("Event loop is closed")
    with pytest.raises(TransportError, match="make one for each loop") as caught:
        await ask(Wire(library, fail_with(cause)).client())
    assert caught.value.sent  # by a transport that does not tell
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    "cause",
    [
        RuntimeError("a bug"),
        RuntimeError("unable to write to <TCPTransport>; the handler is closed"),  # uvloop
        ValueError("a bug"),
        OSError(104, "a bug"),
        UnicodeError("a bug"),
        TimeoutError("a bug"),
        ExceptionGroup("some bugs", [KeyError("a bug")]),
        type("Exception\x1b[31m", (Exception,), {})("a bug"),
    ],
    ids=repr,
)
async def test_any_exception_of_a_transport_becomes_ours_and_is_its_cause(
    library: ModuleType, cause: Exception
) -> None:
    with pytest.raises(TransportError, match=r"from https://auth\.example/token: \w") as caught:
        await ask(Wire(library, fail_with(cause)).client())
    assert caught.value.sent
    assert caught.value.__cause__ is cause
    assert "\x1b" not in str(caught.value)


class StopError(BaseException):
    """Be what no library should catch."""


@pytest.mark.parametrize("in_process", [True, False])
async def test_what_is_no_exception_passes_as_it_is(
    library: ModuleType, *, in_process: bool
) -> None:
    hooks = {"request": [stop]}
    if in_process:
        client = Wire(library, library.Response).client(event_hooks=hooks)
    else:
        client = library.AsyncClient(event_hooks=hooks)
    with pytest.raises(StopError):
        await ask(client)


async def stop(request: object) -> None:
    raise StopError


async def test_an_error_of_ours_from_a_transport_stays_what_it_is(library: ModuleType) -> None:
    """A transport may have a session of its own."""
    error = ConfigurationError("another session's")
    with pytest.raises(ConfigurationError) as caught:
        await ask(Wire(library, fail_with(error)).client())
    assert caught.value is error


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class UnshowableError(Exception):
    def __repr__(self) -> str:
        raise ZeroDivisionError


def showing_a_secret(library: Any, where: str) -> Exception:
    errors: dict[str, Exception] = {
        "its text": library.LocalProtocolError("Illegal header value b'Basic c2VjcmV0'"),
        "its cause": chained(library.ReadError("no"), ValueError("code=s%2Fcret")),
        "its arguments": UnicodeEncodeError("ascii", "s/cret\xe9", 6, 7, "not in range"),
        "nobody knows where": UnshowableError(),
    }
    return errors[where]


@pytest.mark.parametrize("where", ["its text", "its cause", "its arguments", "nobody knows where"])
async def test_a_cause_that_would_show_a_secret_is_left_out(
    library: ModuleType, where: str
) -> None:
    client = Wire(library, fail_with(showing_a_secret(library, where))).client()
    request = attrs.evolve(REQUEST, secrets=frozenset({"s/cret"}))
    async with client:
        with pytest.raises(TransportError) as caught:
            await send(client, request)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert caught.value.sent


async def test_a_subclass_of_a_refused_connection_sent_nothing(library: ModuleType) -> None:
    class TunnelError(library.ConnectError):  # type: ignore[misc, name-defined]
        """A transport's own."""

    with pytest.raises(TransportError, match="TunnelError") as caught:
        await ask(Wire(library, fail_with(TunnelError("no"))).client())
    assert not caught.value.sent


async def test_a_second_try_that_is_refused_does_not_hide_that_the_first_was_sent(
    library: ModuleType,
) -> None:
    """A transport may try again by itself."""
    error = chained(library.ConnectError("refused"), library.ReadError("cut"))
    with pytest.raises(TransportError) as caught:
        await ask(Wire(library, fail_with(error)).client())
    assert caught.value.sent


async def test_an_error_that_was_being_handled_before_says_nothing(library: ModuleType) -> None:
    client = Wire(library, fail_with(library.ConnectError("refused"))).client()
    try:
        fail_with(library.ReadError("the caller's own, from another request"))(None)
    except library.ReadError:
        with pytest.raises(TransportError) as caught:
            await ask(client)
        assert not caught.value.sent


async def test_a_name_without_an_address_is_told_as_that(library: ModuleType) -> None:
    error = chained(library.ConnectError("no"), socket.gaierror(-2, "Name or service not known"))
    with pytest.raises(TransportError, match="ConnectError, no address is known for the host"):
        await ask(Wire(library, fail_with(error)).client())


@pytest.mark.parametrize(
    "headers", [{"authorization": "Basic s\xe9cret"}, {"x": None}], ids=["text", "nothing"]
)
async def test_a_request_that_cannot_be_made_says_where_to_look(
    library: ModuleType, headers: dict[str, Any]
) -> None:
    wire = Wire(library, lambda _: library.Response(200))
    async with wire.client() as client:
        with pytest.raises(ConfigurationError, match="the headers that the client auth") as caught:
            await send(client, HTTPRequest("POST", REQUEST.url, headers))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert wire.seen == []


async def test_what_is_wrong_with_an_answer_is_told_whatever_comes_after(
    library: ModuleType,
) -> None:
    class Body(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"

        async def aclose(self) -> None:
            message = "the connection was lost"
            raise OSError(message)

    headers = {"content-encoding": "gzip"}
    wire = Wire(library, lambda _: library.Response(200, headers=headers, stream=Body()))
    with pytest.raises(ResponseError, match="compressed"):
        await ask(wire.client())


async def test_reading_an_answer_in_crumbs_lets_others_run(library: ModuleType) -> None:
    """One read of a socket may bring ten thousand chunks."""
    stream, turns = body(library, Chunks(1, 500)), 0

    async def other() -> None:
        nonlocal turns
        while stream.given < 500:
            turns += 1
            await anyio.lowlevel.checkpoint()

    wire = Wire(library, lambda _: library.Response(200, stream=stream))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        assert (await ask(wire.client())).content == b"x" * 500
    assert turns > 400


async def test_an_end_between_two_chunks_drops_nothing_of_the_library_half_way(
    library: ModuleType,
) -> None:
    """Trio says of each of its generators that is: this test fails there by a warning."""
    given = 0

    async def reads_of_ten(ended: anyio.CancelScope) -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            await anyio.lowlevel.checkpoint()
            for _ in range(10):
                given += 1
                if given == 25:
                    ended.cancel()
                yield b"x"

    with anyio.CancelScope() as scope:
        body = reads_of_ten(scope)
        await ask(Wire(library, lambda _: library.Response(200, content=body)).client())
    gc.collect()
    assert scope.cancelled_caught
    assert given == 30


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
    "ignore:Exception ignored .*async_generator:pytest.PytestUnraisableExceptionWarning"
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


@pytest.mark.parametrize("seconds, connect, pool", [(30.0, 10.0, 27.0), (2.0, 1.8, 1.8)])
async def test_only_the_whole_has_an_end_once_something_was_sent(
    library: ModuleType, seconds: float, connect: float, pool: float
) -> None:
    """And what comes before ends earlier, so that it is known that nothing was sent."""
    wire = Wire(library, lambda _: library.Response(200))
    await ask(wire.client(timeout=1.0), timeout=seconds)
    assert wire.seen[0].extensions["timeout"] == {
        "connect": connect,
        "pool": pool,
        "read": None,
        "write": None,
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


def test_the_pool_of_a_client_has_a_limit(library: ModuleType) -> None:
    limits = library.Limits(max_connections=7)
    assert connection_limit(library.AsyncClient(limits=limits)) == 7
    assert connection_limit(library.AsyncClient()) == 100
    assert connection_limit(library.AsyncClient(limits=library.Limits())) is None
    assert connection_limit(Wire(library, library.Response).client()) is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_limit_of_an_aiohttp_transport_is_that_of_its_connector() -> None:
    def client(**settings: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=AiohttpTransport(**settings))

    assert connection_limit(client(limits=httpx.Limits(max_connections=7))) == 7
    assert connection_limit(client()) == 100
    assert connection_limit(client(limits=httpx.Limits())) == 100
    assert connection_limit(client(limits=httpx.Limits(max_connections=0))) is None
    assert connection_limit(client(client=aiohttp.ClientSession)) == 1
    assert connection_limit(httpx2.AsyncClient(transport=AiohttpTransport2())) == 100
    assert connection_limit(HttpxAiohttpClient()) == 100
    for limit, expected in ((9, 9), (0, None)):
        connector = aiohttp.TCPConnector(limit=limit)
        async with aiohttp.ClientSession(connector=connector) as session:
            assert connection_limit(client(client=session)) == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"timeout": 3},
        {"timeout": None},
        {"timeout": (1, 2, 3, 4)},
        {"timeout": "library.Timeout(5, pool=2)"},
        {"timeout": "library.USE_CLIENT_DEFAULT"},
        {"extensions": None},
        {"extensions": {"sni_hostname": "a"}, "timeout": 3},
        {"extensions": {"timeout": {"pool": 8}}, "timeout": 3},
        {"extensions": {"timeout": {"read": 8}}},
    ],
    ids=repr,
)
async def test_who_waits_at_the_gate_waits_as_long_as_for_the_pool(
    library: ModuleType, options: dict[str, Any]
) -> None:
    named: Any = options.get("timeout")
    if isinstance(named, str):
        options = {**options, "timeout": eval(named, {"library": library})}  # noqa: S307 - ours
    async with library.AsyncClient(timeout=library.Timeout(7, pool=6)) as client:
        request = client.build_request("GET", "https://api.example", **options)
        expected = request.extensions["timeout"].get("pool")
        assert _pool_seconds(library, client, options) == expected


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
