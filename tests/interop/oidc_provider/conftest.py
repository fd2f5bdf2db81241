"""`oidc-provider`, JavaScript, in a process of its own."""

import os
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final
from urllib.parse import parse_qs

import attrs
import httpx
import pytest

from oauthkit import AuthorizationServer, discover
from tests.interop.human import Human
from tests.interop.running import required, running
from tests.snippets.certificates import Certificates

from .clients import clients

SERVER: Final = Path(__file__).parent / "server.mjs"
INSTALLED: Final = "OIDC_PROVIDER"
"""The environment variable that says where npm has installed it; `nox -s interop` sets it."""


@attrs.frozen(kw_only=True)
class OIDCProvider:
    """Where the server is, and who has signed for it.

    Attributes:
        issuer: Its issuer identifier.
        mtls: Its origin for mutual TLS.
        certificates: Those of mutual TLS.
    """

    issuer: str
    mtls: str
    certificates: Certificates


@attrs.frozen(kw_only=True)
class Backchannel:
    """Where an application takes Logout Tokens, and those that came.

    Attributes:
        url: Where it is.
        came: The Logout Tokens.
    """

    url: str
    came: SimpleQueue[str]


@pytest.fixture(scope="session")
def backchannel() -> Iterator[Backchannel]:
    """Have an application that is told of logouts (OpenID Connect Back-Channel Logout 1.0)."""
    came: SimpleQueue[str] = SimpleQueue()

    class Told(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            came.put(parse_qs(body)["logout_token"][0])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Backchannel(url=f"http://127.0.0.1:{server.server_port}/", came=came)
        server.shutdown()


@pytest.fixture(scope="session")
def oidc_provider(
    tmp_path_factory: pytest.TempPathFactory, backchannel: Backchannel
) -> Iterator[OIDCProvider]:
    """Run it for as long as the tests go on."""
    installed, node = os.environ.get(INSTALLED, ""), shutil.which("node") or ""
    required(installed and node, name="oidc-provider")
    directory = tmp_path_factory.mktemp("oidc-provider")
    certificates = Certificates.made(directory, ["localhost"])
    pair = certificates.server.read_text(encoding="ascii")
    authority = certificates.authority.read_text(encoding="ascii")
    tls = {"key": pair, "cert": pair, "ca": authority}
    registered = clients(backchannel=backchannel.url, certificate=certificates.client.read_bytes())
    with running(
        [node, str(SERVER)],
        {"clients": registered, "tls": tls},
        directory=Path(installed),
        log=directory / "log",
    ) as where:
        yield OIDCProvider(**where, certificates=certificates)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client without settings, as an application has it."""
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture
async def certified(oidc_provider: OIDCProvider) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that shows a certificate."""
    certificates = oidc_provider.certificates
    context = ssl.create_default_context(cafile=str(certificates.authority))
    context.load_cert_chain(certificates.client, certificates.client_key)
    async with httpx.AsyncClient(verify=context) as http:
        yield http


@pytest.fixture
async def server(http: httpx.AsyncClient, oidc_provider: OIDCProvider) -> AuthorizationServer:
    """Know it by its metadata."""
    return await discover(http, oidc_provider.issuer)


@pytest.fixture
async def human() -> AsyncIterator[Human]:
    """Have somebody at a browser of its own who logs in as Ada and agrees."""
    async with Human({"login": "ada", "password": "lovelace"}) as human:
        yield human
