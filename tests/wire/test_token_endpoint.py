"""Token endpoints that behave badly, on real sockets."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import ModuleType
from typing import Final

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oauthkit import (
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    OAuthKitError,
    ResponseError,
    TransportError,
    fetch_token,
)
from oauthkit.testing import FakeAuthorizationServer

CLIENT: Final = ClientSecretBasic("client", "secret")
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

Talk = Callable[[ByteStream], Awaitable[None]]

LEFT_TO_THE_COLLECTOR: Final = pytest.mark.filterwarnings(
    # httpx 0.28 leaves the inner generators of an answer that is given up to trio's collector
    "ignore:Exception ignored .*async_generator:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Ask with both HTTP libraries."""
    module: ModuleType = request.param
    return module


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Serve bytes as they are; give the URL of the token endpoint."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here

    async def answer(stream: ByteStream) -> None:
        async with stream:
            try:
                await stream.receive()
                await talk(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    async with listener, anyio.create_task_group() as tasks:
        if tls is None:
            tasks.start_soon(listener.serve, answer)
            yield f"http://127.0.0.1:{port}/token"
        else:
            secured = TLSListener(listener, tls, standard_compatible=False)
            tasks.start_soon(secured.serve, answer)
            yield f"https://127.0.0.1:{port}/token"
        tasks.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _no_pause_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauthkit.protocol.tries._FIRST_PAUSE", 0.0)


async def ask(library: ModuleType, url: str, *, seconds: float = 5.0) -> OAuthKitError:
    """Return the error of a token request."""
    with anyio.fail_after(20):
        async with library.AsyncClient() as http:
            with pytest.raises(OAuthKitError) as caught:
                await fetch_token(
                    http,
                    AuthorizationServer(url),
                    CLIENT,
                    ClientCredentials(),
                    timeout=seconds,
                )
    return caught.value


async def test_an_answer_that_drips_is_bounded_by_the_deadline(library: ModuleType) -> None:
    """AT-62: each read is in time, all of them together are not."""

    async def drip(stream: ByteStream) -> None:
        await stream.send(HEAD + b"content-length: 100000\r\n\r\n{")
        while True:
            await anyio.sleep(0.02)
            await stream.send(b" ")

    started = anyio.current_time()
    async with serving(drip) as url:
        error = await ask(library, url, seconds=0.3)
    assert isinstance(error, TransportError)
    assert error.sent
    assert anyio.current_time() - started < 5


async def test_headers_that_drip_are_bounded_too(library: ModuleType) -> None:
    """AT-62."""

    async def drip(stream: ByteStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nx-long: ")
        while True:
            await anyio.sleep(0.02)
            await stream.send(b"x")

    async with serving(drip) as url:
        assert isinstance(await ask(library, url, seconds=0.3), TransportError)


@LEFT_TO_THE_COLLECTOR
async def test_an_endless_answer_is_cut(library: ModuleType) -> None:
    """AT-52: chunked, without a length; the connection is closed."""
    cut = anyio.Event()

    async def flood(stream: ByteStream) -> None:
        await stream.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                await stream.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        finally:
            cut.set()

    async with serving(flood) as url:
        error = await ask(library, url)
        with anyio.fail_after(5):
            await cut.wait()
    assert isinstance(error, ResponseError)
    assert "larger than 1048576 bytes" in str(error)


@LEFT_TO_THE_COLLECTOR
async def test_a_compressed_answer_is_refused_unread(library: ModuleType) -> None:
    """AT-53."""

    async def bomb(stream: ByteStream) -> None:
        await stream.send(HEAD + b"content-encoding: gzip\r\ncontent-length: 10\r\n\r\n")
        await stream.send(b"\x1f\x8b" + b"\0" * 8)

    async with serving(bomb) as url:
        error = await ask(library, url)
    assert isinstance(error, ResponseError)
    assert "compressed with 'gzip'" in str(error)


async def test_a_closed_port_was_never_reached(library: ModuleType) -> None:
    async with serving(lambda _: anyio.lowlevel.checkpoint()) as url:
        pass
    error = await ask(library, url)
    assert isinstance(error, TransportError)
    assert not error.sent


@pytest.mark.parametrize(
    "said",
    [b"", HEAD, HEAD + b"content-length: 10\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_connection_that_breaks_may_have_been_reached(
    library: ModuleType, said: bytes
) -> None:
    async def cut(stream: ByteStream) -> None:
        if said:
            await stream.send(said)

    async with serving(cut) as url:
        error = await ask(library, url)
    assert isinstance(error, TransportError)
    assert error.sent


def certificate(directory: Path) -> ssl.SSLContext:
    """Return a server's side of TLS, with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_an_untrusted_certificate_gets_no_credentials(
    library: ModuleType, tmp_path: Path
) -> None:
    """O2-41."""
    heard: list[bytes] = []

    async def listen(stream: ByteStream) -> None:
        heard.append(await stream.receive())

    async with serving(listen, certificate(tmp_path)) as url:
        error = await ask(library, url)
    assert isinstance(error, TransportError)
    assert not error.sent
    assert heard == []


async def test_a_lost_answer_to_a_refresh_is_asked_for_once_more(library: ModuleType) -> None:
    fake = FakeAuthorizationServer(grace=60)
    async with fake.serve() as url, library.AsyncClient() as http:
        token = fake.issue()
        fake.advance(61)
        fake.lose_next_answer()
        async with fake.session(http=http, base_url=url, grant=None, token=token) as session:
            assert (await session.get("/report")).status_code == 200
    assert len(fake.token_requests) == 2
    assert fake.families_killed == 0
