"""Who answers under the names of the pages: auth.example, the APIs, and a few odd servers."""

import time
from collections.abc import Mapping
from typing import Any, Final

import attrs
import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oauthkit.testing import DocumentedSystems, FakeAuthorizationServer

from .internet import ASGI, Internet
from .providers import CLIENT_ID, CLIENT_SECRET, PROVIDERS, Provider, read_form

HOSTS: Final = (
    "api.acme.example",
    "api.example",
    "auth.example",
    "broker.example",
    "files.example",
    "forge.example",
    "identity.example",
    "legacy.example",
    "mtls.example",
    "put.example",
    "status.example",
    "app.example",
    "accounts.google.com",
    "oauth2.googleapis.com",
    "openidconnect.googleapis.com",
    "storage.googleapis.com",
    "login.microsoftonline.com",
    "graph.microsoft.com",
    "github.com",
    "api.github.com",
    "acme.eu.auth0.com",
    "sso.acme.example",
)

SERVICE_ACCOUNT_KEY: Final = RSAKey.generate_key(2048)

_ANSWERS: Final[Mapping[str, object]] = {
    "/inbox": ["a letter"],
    "/userinfo": {"sub": "ada"},
    "/1.1/test.php": {"counter": 228},
}
_OPEN: Final[Mapping[str, object]] = {
    "/SayHello/sayHello": {"greeting": "Hello, Ada!"},
    "/cgi-bin/nph-bib_query": {"body": "1999ApJ...517..565P"},
    "/health": {"status": "good"},
}
"""What skips authentication."""


@attrs.define(eq=False)
class World:
    """What is behind the internet of one test.

    Attributes:
        internet: The names.
        fake: The authorization server auth.example, and the APIs that take its tokens.
        systems: Two of the documented systems, C at identity.example and E at put.example.
        down: Hosts that answer 503 with `Retry-After: 7`.
    """

    internet: Internet
    fake: FakeAuthorizationServer = attrs.field(
        factory=lambda: FakeAuthorizationServer(
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            clock=time,
            expires_in=3600,
            metadata={"mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example/token"}},
            device_interval=0,  # one second at least, all the same
        )
    )
    systems: DocumentedSystems = attrs.field(factory=lambda: DocumentedSystems(clock=time))
    down: set[str] = attrs.field(factory=set[str])

    def __attrs_post_init__(self) -> None:
        """Give every name to who answers there."""
        with_token = self.fake.asgi(_api)
        sites: dict[str, ASGI] = {
            "auth.example": self._agreeing(with_token),
            "files.example": with_token,
            "api.example": _by_path(_OPEN, with_token),
            "status.example": _by_path(_OPEN, with_token),
            "mtls.example": self._certified,
            "legacy.example": self._legacy,
            "broker.example": self._broker,
            "oauth2.googleapis.com": self._service_accounts,
            "storage.googleapis.com": with_token,
            "identity.example": _under("localhost", self.systems.asgi()),
            "put.example": _under("localhost", self.systems.asgi()),
            "forge.example": JSONResponse({"error": "bad_refresh_token"}),
        }
        self.internet.visits.clear()
        self.internet.tunnels.clear()
        self.internet.errors.clear()
        self.internet.sites = {host: self._unless_down(host, site) for host, site in sites.items()}

    def provide(self, text: str) -> Provider:
        """Let the provider be there whose token endpoint's host is in a text, and return it."""
        (provider,) = [p for p in (kind() for kind in PROVIDERS) if p.host in text]
        provider.mount(self.internet)
        return provider

    def browse(self, prompt: str) -> str:
        """Do as a person does who reads a prompt: open the URL, and say where that led.

        Args:
            prompt: What is on the screen.
        """
        (url,) = [word for word in prompt.split() if word.startswith("https://")]
        return httpx.get(url).headers["location"]

    def _agreeing(self, site: ASGI) -> ASGI:
        """Be a site whose resource owner agrees to each login on a device as it begins."""

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await site(scope, receive, send)
            if scope["path"] == "/device":
                begun = len(self.fake.endpoint_requests["device"])
                self.fake.approve_device(f"USER-{begun:04}")

        return answer

    def _unless_down(self, host: str, site: ASGI) -> ASGI:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            out_of_order = Response(status_code=503, headers={"retry-after": "7"})
            await (out_of_order if host in self.down else site)(scope, receive, send)

        return answer

    async def _certified(self, scope: Any, receive: Any, send: Any) -> None:
        """Give a token to who says no secret: the certificate of the connection was looked at."""
        request = Request(scope, receive)
        if "authorization" in request.headers:
            await _under("auth.example", self.fake.asgi())(scope, receive, send)
            return
        assert await read_form(request) == {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
        }
        token = self.fake.issue().access_token
        answer = JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 60})
        await answer(scope, receive, send)

    async def _legacy(self, scope: Any, receive: Any, send: Any) -> None:
        """Take a password in multipart, and answer in names of its own."""
        request = Request(scope, receive)
        assert request.headers["content-type"].startswith("multipart/form-data")
        body = await request.body()
        for value in (CLIENT_ID, CLIENT_SECRET, "ada", "lovelace", "acme"):
            assert value.encode() in body
        token = self.fake.issue().access_token
        answer = JSONResponse({"AccessToken": token, "ValidForSeconds": "60"})
        await answer(scope, receive, send)

    async def _service_accounts(self, scope: Any, receive: Any, send: Any) -> None:
        """Give a token for an assertion that says what Google wants to read, and nothing else."""
        fields = await read_form(Request(scope, receive))
        assert fields.keys() == {"grant_type", "assertion"}
        claims = jwt.decode(fields["assertion"], SERVICE_ACCOUNT_KEY, algorithms=["RS256"]).claims
        assert claims["aud"] == "https://oauth2.googleapis.com/token"
        assert {"iss", "scope", "iat", "exp"} <= claims.keys()
        assert "sub" not in claims
        token = self.fake.issue().access_token
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3599}
        await JSONResponse(answer)(scope, receive, send)

    async def _broker(self, scope: Any, receive: Any, send: Any) -> None:
        """Trade a token for another one."""
        fields = await read_form(Request(scope, receive))
        assert fields["requested_token_use"] == "on_behalf_of"
        token = self.fake.issue().access_token
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 60}
        await JSONResponse(answer)(scope, receive, send)


def _api(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=_ANSWERS.get(request.url.path, {"pages": 3}))


def _by_path(answers: Mapping[str, object], otherwise: ASGI) -> ASGI:
    async def site(scope: Any, receive: Any, send: Any) -> None:
        found = answers.get(scope["path"])
        await (otherwise if found is None else JSONResponse(found))(scope, receive, send)

    return site


def _under(host: str, site: ASGI) -> ASGI:
    """Be the same site under another name."""

    async def renamed(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"host", host.encode()), *(h for h in scope["headers"] if h[0] != b"host")]
        await site({**scope, "headers": headers}, receive, send)

    return renamed
