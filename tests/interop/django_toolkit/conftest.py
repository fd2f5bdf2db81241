"""`django-oauth-toolkit`, in processes of its own: one for OAuth alone, one for OpenID Connect."""

import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs
import httpx
import pytest

from oauthkit import AuthorizationServer, discover
from tests.interop.human import Human
from tests.interop.running import required, running

from .applications import ADA, APPLICATIONS, PEOPLE

SERVER: Final = Path(__file__).parent / "server.py"


@attrs.frozen
class Toolkit:
    """Where the server is.

    Attributes:
        issuer: Its issuer identifier.
    """

    issuer: str

    @property
    def api(self) -> str:
        """Return the URL of what has to be called with a token."""
        return self.issuer.removesuffix("/o") + "/api"


@contextmanager
def toolkit(directory: Path, *, openid: bool) -> Generator[Toolkit]:
    """Run it."""
    required(find_spec("oauth2_provider"), name="django-oauth-toolkit")
    with running(
        [sys.executable, "-P", str(SERVER)],
        {"applications": APPLICATIONS, "people": PEOPLE, "openid": openid},
        directory=directory,
        log=directory / "log",
    ) as where:
        yield Toolkit(**where)


@pytest.fixture(scope="session")
def oauth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    """Run it for as long as the tests go on, without OpenID Connect."""
    with toolkit(tmp_path_factory.mktemp("oauth"), openid=False) as running:
        yield running


@pytest.fixture(scope="session")
def openid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    """Run it for as long as the tests go on, with OpenID Connect."""
    with toolkit(tmp_path_factory.mktemp("openid"), openid=True) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client without settings, as an application has it."""
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture
async def server(http: httpx.AsyncClient, oauth: Toolkit) -> AuthorizationServer:
    """Know the one for OAuth by its metadata."""
    return await discover(http, oauth.issuer)


@pytest.fixture
async def human() -> AsyncIterator[Human]:
    """Have somebody at a browser of its own who logs in as Ada and agrees."""
    async with Human(ADA) as human:
        yield human
