"""The applications of `docs/examples`, each in a process of its own."""

import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Any, Final

import attrs

from tests.interop.running import PATIENCE

EXAMPLES: Final = ("fastapi_app.py", "aiohttp_app.py")
TOKEN_SECONDS: Final = 3
"""That an access token lives: a visit outlasts many of them."""

_SERVING: Final = Path(__file__).parent / "serving.py"
_SECRET: Final = "a secret of thirty-two characters"


@attrs.frozen
class Application:
    """One of the applications.

    Attributes:
        name: Its file.
        site: Where it is.
        issuer: The server at which its visitors log in.
        log: Where what it says is written to, each request among it.
    """

    name: str
    site: str
    issuer: str
    log: Path

    def posts(self, path: str, status: int) -> int:
        """Return how many requests were posted to a path, and answered so."""
        line = f'"POST {path} HTTP/1.1" {status} '
        return self.log.read_text(encoding="utf-8").count(line)


def registered(name: str, site: str) -> dict[str, Any]:
    """Return what the server knows of an application (RFC 7591)."""
    return {
        "client_id": name,
        "client_secret": _SECRET,
        "redirect_uris": [f"{site}/auth/callback"],
        "post_logout_redirect_uris": [f"{site}/"],
        "backchannel_logout_uri": f"{site}/auth/backchannel-logout",
        "backchannel_logout_session_required": True,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "access_token_seconds": TOKEN_SECONDS,
    }


@contextmanager
def serving(application: Application, descriptor: int) -> Generator[None]:
    """Run an application on a socket that is there already.

    Args:
        application: Which.
        descriptor: That of the socket.
    """
    settings = {
        "ISSUER": application.issuer,
        "CLIENT_ID": application.name,
        "CLIENT_SECRET": _SECRET,
        "API_URL": f"{application.issuer}/me",  # which says who it is that a token belongs to
        "COOKIE_KEY": urlsafe_b64encode(token_bytes(32)).decode(),
    }
    with application.log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - an example of ours
            [sys.executable, str(_SERVING), application.name, str(descriptor)],
            env={**os.environ, **settings},
            pass_fds=[descriptor],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)
