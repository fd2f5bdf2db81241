"""Clients with certificates, at servers that want one, over real TLS (RFC 8705)."""

import json
import ssl
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import anyio
import attrs
import httpx
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    PublicClient,
    RefreshToken,
    SelfSignedTLSClientAuth,
    TLSClientAuth,
    TransportError,
    fetch_token,
)
from oauthkit.protocol.certificate import certificate_thumbprint
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeClock
from oauthkit.testing.sockets import _Connection

NOW: Final = datetime.now(UTC)


def identity(directory: Path, name: str) -> Path:
    """Return a file with a key and a certificate that nobody else has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    here = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = directory / f"{name}.pem"
    file.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return file


@attrs.frozen
class Files:
    """The server, and two clients that it has on file."""

    server: Path
    ada: Path
    bob: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("certificates")
    return Files(*(identity(directory, name) for name in ("server", "ada", "bob")))


def client(files: Files, own: Path | None) -> httpx.AsyncClient:
    """Return a client with a certificate, or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.server)
    if own is not None:
        context.load_cert_chain(own)
    return httpx.AsyncClient(verify=context, trust_env=False)


@attrs.frozen
class Came:
    """A request: at which path, by whose certificate, with which parameters and header."""

    path: str
    certificate: str | None
    parameters: dict[str, str]
    authorization: str | None


@attrs.define
class Served:
    """An authorization server with an alias for certificates, and an API that wants one."""

    server: AuthorizationServer
    api: str
    came: list[Came] = attrs.field(factory=list[Came])


def answered(came: Came) -> HTTPResponse:
    """Give tokens that are bound to the certificate, and let those in who show both."""
    headers = {"content-type": "application/json"}
    bound = f"bound-to-{came.certificate}"
    if came.path == "/token":
        said = {"access_token": bound, "token_type": "Bearer", "refresh_token": "r1"}
        return HTTPResponse(200, headers, json.dumps({**said, "expires_in": 60}).encode())
    if came.authorization == f"Bearer {bound}":
        return HTTPResponse(200, headers, b"{}")
    headers["www-authenticate"] = 'Bearer error="invalid_token"'
    return HTTPResponse(401, headers, b'{"error": "invalid_token"}')


@attrs.define
class Talk:
    """Answer what comes over one listener, and write it down."""

    url: str
    came: list[Came]

    async def __call__(self, stream: ByteStream) -> None:
        connection = _Connection(stream, self.url)
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                while (request := await connection.request()) is not None:
                    self.came.append(came(request, stream))
                    await connection.send(request, answered(self.came[-1]))


def came(request: HTTPRequest, stream: ByteStream) -> Came:
    shown = stream.extra(TLSAttribute.peer_certificate_binary, None)  # noqa: S610 - no Django here
    return Came(
        urlsplit(request.url).path,
        None if shown is None else sha256(shown).hexdigest(),
        dict(parse_qsl(bytes(request.content).decode())),
        request.headers.get("authorization"),
    )


@asynccontextmanager
async def serving(files: Files) -> AsyncGenerator[Served]:
    """Serve twice: where anybody may come, and where none may come without a certificate."""
    talks: list[Talk] = []
    requests: list[Came] = []
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        for wanted in (ssl.CERT_NONE, ssl.CERT_REQUIRED):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.server)
            context.load_verify_locations(files.ada)
            context.load_verify_locations(files.bob)
            context.verify_mode = wanted
            plain = await stack.enter_async_context(
                await anyio.create_tcp_listener(local_host="127.0.0.1")
            )
            port = plain.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
            talks.append(Talk(f"https://127.0.0.1:{port}", requests))
            listener = TLSListener(plain, context, standard_compatible=False)
            tasks.start_soon(listener.serve, talks[-1])
        anybody, certified = (talk.url for talk in talks)
        server = AuthorizationServer(
            f"{anybody}/token",
            issuer=anybody,
            mtls_endpoint_aliases={"token_endpoint": f"{certified}/token"},
        )
        yield Served(server, certified, requests)
        tasks.cancel_scope.cancel()


def shown(file: Path) -> str:
    """Return the digest of a certificate, as the server here writes it."""
    _, _, certificate = file.read_text().partition("-----END PRIVATE KEY-----\n")
    return sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()


@pytest.mark.parametrize("kind", [TLSClientAuth, SelfSignedTLSClientAuth])
async def test_a_client_is_known_by_the_certificate_of_its_connection(
    files: Files, kind: type[TLSClientAuth]
) -> None:
    """MT-01, MT-02."""
    async with serving(files) as served, client(files, files.ada) as http:
        token = await fetch_token(http, served.server, kind("ada"), ClientCredentials())

    assert token.access_token == f"bound-to-{shown(files.ada)}"
    assert served.came == [
        Came(
            "/token",
            shown(files.ada),
            {"client_id": "ada", "grant_type": "client_credentials"},
            None,
        )
    ]
    assert token.token_endpoint == served.server.token_endpoint


@pytest.mark.filterwarnings(
    # httpx 0.28 leaves the inner generators of a request that failed to trio's collector
    "ignore:Exception ignored .*async_generator:pytest.PytestUnraisableExceptionWarning"
)
async def test_without_its_certificate_a_client_is_told_that_one_is_wanted(files: Files) -> None:
    """MT-01: and it does not go where everybody does."""
    async with serving(files) as served, client(files, None) as http:
        with pytest.raises(TransportError) as caught:
            await fetch_token(
                http,
                served.server,
                TLSClientAuth("ada"),
                RefreshToken(refresh_token="r0"),
                timeout=5,
            )

    assert "end a connection whose certificate is missing" in str(caught.value)
    assert served.came == []


def session(
    served: Served, http: httpx.AsyncClient, client_auth: ClientAuth, **keywords: Any
) -> AsyncTokenSession[httpx.Response]:
    return AsyncTokenSession(
        http, server=served.server, client_auth=client_auth, base_url=served.api, **keywords
    )


async def test_each_identity_keeps_to_its_own_connections(files: Files) -> None:
    """MT-05."""
    async with (
        serving(files) as served,
        client(files, files.ada) as for_ada,
        client(files, files.bob) as for_bob,
        session(served, for_ada, TLSClientAuth("ada"), grant=ClientCredentials()) as ada,
        session(served, for_bob, TLSClientAuth("bob"), grant=ClientCredentials()) as bob,
    ):
        for one in (ada, bob, ada, bob):
            assert (await one.get("/report")).status_code == 200

    for name, file in (("ada", files.ada), ("bob", files.bob)):
        asked = [came for came in served.came if came.parameters.get("client_id") == name]
        assert [came.certificate for came in asked] == [shown(file)]
        called = f"Bearer bound-to-{shown(file)}"
        certificates = {c.certificate for c in served.came if c.authorization == called}
        assert certificates == {shown(file)}


async def test_a_token_that_is_bound_to_another_certificate_is_refused_and_handed_back(
    files: Files,
) -> None:
    """MT-07: nobody falls back to another connection."""
    async with (
        serving(files) as served,
        client(files, files.ada) as for_ada,
        client(files, files.bob) as for_bob,
        session(
            served,
            for_bob,
            TLSClientAuth("ada"),
            grant=ClientCredentials(),
            token_http=for_ada,
        ) as mixed,
    ):
        response = await mixed.get("/report")

    assert response.status_code == 401
    assert response.json() == {"error": "invalid_token"}
    assert [(came.path, came.certificate) for came in served.came] == [
        ("/token", shown(files.ada)),
        ("/report", shown(files.bob)),
    ]


class Bound(PublicClient):
    """Be a public client whose tokens are bound to its certificate (RFC 8705 §4)."""

    def alias(self, server: AuthorizationServer, name: str) -> str | None:
        """Ask where certificates are taken."""
        return server.mtls_alias(name)


async def test_a_public_client_refreshes_with_the_certificate_of_its_tokens(files: Files) -> None:
    """MT-08."""
    clock = FakeClock()
    async with (
        serving(files) as served,
        client(files, files.ada) as http,
        session(
            served,
            http,
            Bound("app"),
            grant=RefreshToken(refresh_token="r0"),
            clock=clock,
        ) as public,
    ):
        for _ in range(2):
            assert (await public.get("/report")).status_code == 200
            clock.advance(60)

    assert [came.parameters.get("refresh_token") for came in served.came] == [
        "r0",
        None,
        "r1",
        None,
    ]
    assert {came.certificate for came in served.came} == {shown(files.ada)}


def test_the_thumbprint_of_a_certificate_is_that_of_what_is_shown(files: Files) -> None:
    """MT-06."""
    made = certificate_thumbprint(files.ada.read_text())

    assert urlsafe_b64decode(made + "=").hex() == shown(files.ada)
