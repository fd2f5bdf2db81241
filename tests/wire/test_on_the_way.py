"""Token requests that do not arrive, or whose answer does not, on real sockets."""

import functools
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import anyio
import attrs
import httpx
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from httpx_aiohttp import AiohttpTransport

from oauthkit import OAuthKitError, StoreError, TransportError
from oauthkit.protocol.messages import HTTPRequest
from oauthkit.transport import send
from tests.test_canaries import chain

CANARY: Final = "canary-c2VjcmV0"
NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Whom a client trusts; to read the certificates of the world takes it 35 ms of CPU time."""
ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@attrs.frozen
class Way:
    """A way to send: whose errors come, and whether the transport tells what it does."""

    library: ModuleType
    traced: bool

    def client(self, **settings: Any) -> Any:
        if self.traced:
            return self.library.AsyncClient(trust_env=False, verify=NOBODY, **settings)
        transport = AiohttpTransport(**settings)
        return httpx.AsyncClient(transport=transport, trust_env=False)


WAYS: Final = {
    "httpx": Way(httpx, traced=True),
    "httpx2": Way(httpx2, traced=True),
    "aiohttp": Way(httpx, traced=False),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, anyio_backend_name: str) -> Way:
    """Send each way, as far as it knows the event loop."""
    if request.param == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp is for asyncio alone")
    return WAYS[request.param]


@pytest.fixture(params=["httpx", "httpx2"])
def traced(request: pytest.FixtureRequest) -> Way:
    """Send the ways whose transports tell what they do."""
    return WAYS[request.param]


@attrs.define
class Peer:
    """What listens: it remembers what it got, and does as it is told."""

    answer: bytes | None = None
    connections: int = 0
    received: bytes = b""
    came: anyio.Event = attrs.field(factory=anyio.Event)

    async def __call__(self, stream: SocketStream) -> None:
        self.connections += 1
        self.came.set()
        async with stream:
            try:
                self.received += await stream.receive()
                if self.answer is None:
                    await anyio.sleep_forever()
                else:
                    await stream.send(self.answer)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


@asynccontextmanager
async def listening(peer: Peer) -> AsyncGenerator[str]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, peer)
        yield f"http://127.0.0.1:{port}/token"
        tasks.cancel_scope.cancel()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/token"


def request_to(url: str) -> HTTPRequest:
    headers = {"authorization": f"Basic {CANARY}"}
    body = f"grant_type=x&client_secret={CANARY}".encode()
    return HTTPRequest("POST", url, headers, body, frozenset({CANARY}))


async def error_of(
    client: Any,
    url: str,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 - passed on
    ready: Callable[[], None] | None = None,
) -> OAuthKitError:
    async with client:
        with anyio.fail_after(20), pytest.raises(OAuthKitError) as caught:
            await send(client, request_to(url), timeout=timeout, ready=ready)
    check_that_no_secret_shows(caught.value)
    return caught.value


def check_that_no_secret_shows(error: Exception, secret: str = CANARY) -> None:
    """Nor among the local values of any frame, ours or not, but the test's own."""
    assert secret not in "".join(traceback.format_exception(error, chain=True))
    assert secret not in f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert [line for line in local_values(error) if secret in line] == []


def local_values(error: Exception) -> Iterator[str]:
    for one in chain(error):
        for frame, line in traceback.walk_tb(one.__traceback__):
            if Path(frame.f_code.co_filename).parent != Path(__file__).parent:
                for name, value in frame.f_locals.items():
                    with suppress(AttributeError):  # of what is not made yet
                        yield f"{frame.f_code.co_filename}:{line} {name} = {value!r}"


# What was sent


async def test_a_refused_connection_sent_nothing(way: Way) -> None:
    error = await error_of(way.client(), closed_port())
    assert isinstance(error, TransportError)
    assert not error.sent
    assert "the connection was refused" in str(error)
    assert "http://127.0.0.1:" in str(error)


async def test_a_connection_that_is_cut_after_the_request_has_sent_it(way: Way) -> None:
    """On aiohttp the error is called ConnectTimeout."""
    peer = Peer(answer=b"")
    async with listening(peer) as url:
        error = await error_of(way.client(), url)
    assert CANARY.encode() in peer.received
    assert isinstance(error, TransportError)
    assert error.sent


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"])
async def test_an_answer_that_does_not_come_in_time_may_have_been_given(
    way: Way, answer: bytes | None
) -> None:
    peer = Peer(answer=answer)
    async with listening(peer) as url:
        error = await error_of(way.client(), url, timeout=0.3)
    assert isinstance(error, TransportError)
    assert error.sent


async def test_a_wait_for_a_full_pool_sent_nothing(way: Way) -> None:
    peer = Peer()
    limits = way.library.Limits(max_connections=1)
    async with (
        listening(peer) as url,
        way.client(limits=limits) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.get, url)
        await peer.came.wait()
        with pytest.raises(TransportError) as caught:
            await send(client, request_to(url), timeout=0.3)
        assert not caught.value.sent
        tasks.cancel_scope.cancel()


async def test_a_handshake_that_fails_sent_nothing(way: Way) -> None:
    peer = Peer(answer=b"HTTP/1.1 400 This is no TLS\r\n\r\n")
    async with listening(peer) as url:
        error = await error_of(way.client(), url.replace("http:", "https:"))
    assert isinstance(error, TransportError)
    assert not error.sent
    assert "TLS failed" in str(error)


async def test_a_handshake_that_hangs_sent_nothing(way: Way) -> None:
    async with listening(Peer()) as url:
        error = await error_of(way.client(), url.replace("http:", "https:"), timeout=0.3)
    assert isinstance(error, TransportError)
    assert not error.sent


def note_connections(peer: Peer, noted: list[int]) -> None:
    """Note how many connections the peer has had."""
    noted.append(peer.connections)


@pytest.mark.filterwarnings(  # anyio drops a connection that is there just as the time ends
    r"ignore:Exception ignored .*socket\.socket:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"])
async def test_a_proxy_that_opens_no_tunnel_sent_nothing(traced: Way, answer: bytes | None) -> None:
    """The line that asks the proxy for one is not the request."""
    peer, asked, error = Peer(), list[int](), None
    for seconds in (0.5, 5.0):
        if not peer.received:  # or the machine was too busy for the first of the two
            peer, asked = Peer(answer=answer), list[int]()
            async with listening(peer) as url:
                error = await error_of(
                    traced.client(proxy=url.removesuffix("/token")),
                    "https://auth.example/token",
                    timeout=seconds,
                    ready=functools.partial(note_connections, peer, asked),
                )
    assert isinstance(error, TransportError)
    assert not error.sent
    assert peer.received.startswith(b"CONNECT auth.example:443")
    assert asked == [0]


# As late as can be


async def test_who_may_stop_a_request_is_asked_once_the_connection_is_there(traced: Way) -> None:
    peer, asked = Peer(answer=ANSWER), list[tuple[int, bytes]]()
    async with listening(peer) as url, traced.client() as client:
        await send(
            client,
            request_to(url),
            ready=lambda: asked.append((peer.connections, peer.received)),
        )
    assert asked[0] == (0, b"")
    assert len(asked) == 2


@pytest.mark.parametrize("lets_pass", [0, 1])
async def test_who_stops_a_request_stops_every_byte_of_it(way: Way, lets_pass: int) -> None:
    """A process that was stopped between two of its steps has lost its lease."""
    peer, calls = Peer(answer=ANSWER), 0
    lost = StoreError("the lease is lost")

    def ready() -> None:
        nonlocal calls
        calls += 1
        if calls > lets_pass:
            raise lost

    async with listening(peer) as url, way.client() as client:
        if lets_pass and not way.traced:
            assert (await send(client, request_to(url), ready=ready)).content == b"{}"
            assert calls == 1
            return
        with pytest.raises(StoreError) as caught:
            await send(client, request_to(url), ready=ready)
        assert peer.received == b""
        assert (await send(client, request_to(url))).content == b"{}"
    assert caught.value is lost


# Any exception


HEAD: Final = b"HTTP/1.1 200 OK\r\n"
HEAD_OF_302: Final = b"HTTP/1.1 302 Found\r\nlocation: "
CHUNKED: Final = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CUT: Final = b"content-length: 9\r\n\r\n"
ODD: Final = {
    "nothing": b"",
    "empty lines": b"\r\n\r\n",
    "another version": b"HTTP/9.9 200 OK\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a header without a colon": HEAD + b"no colon\r\n\r\n",
    "a negative length": HEAD + b"content-length: -1\r\n\r\n",
    "a length that is no number": HEAD + b"content-length: x\r\n\r\n{}",
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "a chunk size that is none": CHUNKED + b"zz\r\n",
    "a chunk that is cut": CHUNKED + b"5\r\nab",
    "a coding that is unknown": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\nx",
    "a header of 200 kB": HEAD + b"x: " + b"a" * 200_000 + b"\r\n\r\n",
    "an odd cookie": HEAD + b"set-cookie: \xff\x00=;;;=\r\n" + CUT,
    "gzip that was declined": HEAD + b"content-encoding: gzip\r\n" + CUT + b"not gzip!",
    # httpx looks at the Location even where it is not followed
    "an odd location": HEAD_OF_302 + b"https://xn--a/\r\n\r\n",
    "an odd location and a cut body": HEAD_OF_302 + b"https://xn--a/\r\n" + CUT,
    "a port that is none": HEAD_OF_302 + b"http://127.0.0.1:99999/\r\n\r\n",
    "a name that is too long": HEAD_OF_302 + b"http://" + b"a" * 64 + b".example/\r\n\r\n",
    "a name with a gap": HEAD_OF_302 + b"http://a..example/\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS": b"\x16\x03\x01\x00\x05hello",
}


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_answer_is_read_or_is_an_error_of_ours(way: Way, name: str) -> None:
    async with listening(Peer(answer=ODD[name])) as url, way.client() as client:
        caught: OAuthKitError | None = None
        try:
            await send(client, request_to(url), timeout=2)
        except OAuthKitError as error:
            caught = error
    if caught is not None:
        assert getattr(caught, "sent", True)
        check_that_no_secret_shows(caught)


# In time


@contextmanager
def answering_beside_the_loop(
    answer: bytes, *, after: float, arrived: threading.Event | None = None
) -> Generator[str]:
    """Answer from a thread, which goes on while the loop stands."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            if arrived is not None:
                arrived.set()
            time.sleep(after)
            connection.sendall(answer)
            while connection.recv(65_536):
                """Until the client closes it: what is left unread would reset the connection."""

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/token"
        thread.join()


async def test_an_answer_that_came_while_the_process_stood_is_read(way: Way) -> None:
    """The deadline passed meanwhile; to throw the answer away would lose a refresh token."""
    answers = list[bytes]()
    body = b"x" * 300_000  # more than one read takes
    head = HEAD + b"content-length: 300000\r\n\r\n"

    async def ask(url: str) -> None:
        answers.append((await send(client, request_to(url), timeout=0.4)).content)

    with answering_beside_the_loop(head + body, after=0.3) as url:
        async with way.client() as client, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, url)
            await anyio.sleep(0.2)
            time.sleep(0.6)  # noqa: ASYNC251 - as a stopped process does
    assert answers == [body]


ASKING: Final = """
import sys
import anyio, httpx
from oauthkit.protocol.messages import HTTPRequest
from oauthkit.transport import send

async def main():
    async with httpx.AsyncClient() as client:
        answer = await send(client, HTTPRequest("POST", sys.argv[1]), timeout=1.0)
        print(len(answer.content))

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped here")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_answer_that_came_while_the_process_was_stopped_is_read(backend: str) -> None:
    """A wait of the system that a stop cuts short tells of the time alone at first."""
    head, arrived = HEAD + b"content-length: 5000\r\n\r\n", threading.Event()
    with answering_beside_the_loop(head + b"x" * 5000, after=0.4, arrived=arrived) as url:
        command = [sys.executable, "-c", ASKING, url, backend]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
            assert arrived.wait(20)
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.2)
            process.send_signal(signal.SIGCONT)
            output, _ = process.communicate(timeout=20)
    assert output.strip() == b"5000"


async def test_who_stood_and_has_no_answer_waits_no_longer_than_a_moment(way: Way) -> None:
    errors, started = list[OAuthKitError](), anyio.current_time()

    async def ask(url: str) -> None:
        errors.append(await error_of(way.client(), url, timeout=0.2))

    async with listening(Peer()) as url:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, url)
            await anyio.sleep(0.1)
            time.sleep(0.4)  # noqa: ASYNC251 - as a stopped process does
        assert anyio.current_time() - started < 1.5
    assert isinstance(errors[0], TransportError)
