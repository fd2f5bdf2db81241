"""Clients known by their certificate: what they send, and where (RFC 8705)."""

import json
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl

import anyio.lowlevel
import attrs
import httpx
import pytest
from joserfc.jwk import ECKey

from oauthkit import (
    AsyncTokenSession,
    AuthorizationCode,
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    MemoryStore,
    PrivateKeyJWT,
    PublicClient,
    ReauthorizationRequired,
    RefreshToken,
    ResponseError,
    SelfSignedTLSClientAuth,
    TLSClientAuth,
    Token,
    fetch_token,
    fetch_userinfo,
)
from oauthkit.exchange import Exchange, Question, Ready
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.discovery import parse_metadata_response
from oauthkit.protocol.endpoint import build_request, read_answer
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeClock

DOCUMENT = json.loads((Path(__file__).parent / "vectors" / "rfc8705.json").read_text())["metadata"][
    "document"
]
ANSWER = {"access_token": "a1", "token_type": "Bearer", "expires_in": 60, "refresh_token": "r1"}
TLS = TLSClientAuth("reporter")
KEY = ECKey.generate_key("P-256").as_pem(private=True)


def described(**members: Any) -> AuthorizationServer:
    """Return the server that the RFC's own metadata describes."""
    text = json.dumps({**DOCUMENT, **members}).encode()
    return parse_metadata_response(
        HTTPResponse(200, content=text), issuer="https://server.example.com", now=0.0
    )


SERVER = described()


class Line:
    """Keep the requests, and answer each with a token."""

    def __init__(self) -> None:
        self.requests: list[HTTPRequest] = []

    async def send(
        self,
        request: HTTPRequest,
        /,
        *,
        timeout: float,  # noqa: ASYNC109 - the seam's own
        ready: Ready | None,
    ) -> HTTPResponse:
        await anyio.lowlevel.checkpoint()
        self.requests.append(request)
        text = json.dumps(ANSWER).encode()
        return HTTPResponse(200, {"content-type": "application/json"}, text)


async def asked(
    name: str, client_auth: ClientAuth = TLS, server: AuthorizationServer = SERVER
) -> str:
    """Return where a client asks an endpoint."""
    line = Line()
    question = Question(
        server=server,
        endpoint=server.endpoint(name),
        name=name,
        build=partial(build_request, server, server.endpoint(name), {"token": "a1"}, name=name),
        parse=lambda response, request, at: read_answer(server, response, now=at, name=name),
    )
    await Exchange(line.send, server, client_auth, clock=FakeClock()).ask(question)
    return line.requests[0].url


@pytest.mark.parametrize("kind", [TLSClientAuth, SelfSignedTLSClientAuth])
async def test_such_a_client_says_its_name_and_shows_no_secret(kind: type[TLSClientAuth]) -> None:
    """MT-01, O2-01."""
    line = Line()
    exchange = Exchange(line.send, SERVER, kind("reporter"), clock=FakeClock())

    await exchange.token(RefreshToken(refresh_token="r1"))

    body = dict(parse_qsl(bytes(line.requests[0].content).decode()))
    assert body == {"client_id": "reporter", "grant_type": "refresh_token", "refresh_token": "r1"}
    assert "authorization" not in line.requests[0].headers


@pytest.mark.parametrize("kind", [TLSClientAuth, SelfSignedTLSClientAuth])
async def test_such_a_client_may_insist_on_tokens_that_are_bound_to_its_certificate(
    kind: type[TLSClientAuth],
) -> None:
    """BC-12: where the server does not bind them, nothing is sent."""
    insisting = kind("reporter", tls_client_certificate_bound_access_tokens=True)
    assert await asked("token_endpoint", insisting)

    line = Line()
    server = described(tls_client_certificate_bound_access_tokens=False)
    exchange = Exchange(line.send, server, insisting, clock=FakeClock())
    with pytest.raises(ConfigurationError, match=r"server\.example\.com does not say") as no:
        await exchange.token(ClientCredentials())

    assert "nothing was sent" in str(no.value)
    assert line.requests == []
    assert await asked("token_endpoint", kind("reporter"), server)


@pytest.mark.parametrize("client_id", ["", "a\nb"])
def test_its_name_is_one(client_id: str) -> None:
    with pytest.raises(ConfigurationError, match="client_id"):
        SelfSignedTLSClientAuth(client_id)


async def test_it_may_use_client_credentials_for_it_can_prove_who_it_is() -> None:
    """MT-01."""
    line = Line()

    token = await Exchange(line.send, SERVER, TLS, clock=FakeClock()).token(ClientCredentials())

    assert token.access_token == "a1"


@pytest.mark.parametrize("kind", ["token", "revocation", "introspection"])
async def test_the_alias_of_an_endpoint_wins(kind: str) -> None:
    """MT-02."""
    aliases = DOCUMENT["mtls_endpoint_aliases"]

    assert await asked(f"{kind}_endpoint") == aliases[f"{kind}_endpoint"]


async def test_an_endpoint_without_an_alias_is_asked_where_it_is() -> None:
    """MT-02."""
    par = {"pushed_authorization_request_endpoint": "https://server.example.com/par"}

    for aliases in ({}, {"token_endpoint": "https://mtls.example.com/token"}, {"par": 7}):
        server = described(**par, mtls_endpoint_aliases=aliases)
        assert await asked(next(iter(par)), server=server) == "https://server.example.com/par"
    odd = described(mtls_endpoint_aliases={"token_endpoint": 7})
    assert await asked("token_endpoint", server=odd) == "https://server.example.com/token"


def test_an_alias_of_what_a_browser_visits_or_nobody_knows_counts_as_none() -> None:
    """MT-03."""
    names = ("authorization_endpoint", "end_session_endpoint", "jwks_uri", "issuer", "other")
    server = described(mtls_endpoint_aliases=dict.fromkeys(names, "https://mtls.example.com/x"))

    assert [server.mtls_alias(name) for name in names] == [None] * 5


@pytest.mark.parametrize(
    "client_auth", [PublicClient("a"), ClientSecretBasic("a", "s"), PrivateKeyJWT("a", KEY)]
)
async def test_who_is_known_otherwise_asks_where_everybody_does(client_auth: ClientAuth) -> None:
    """MT-04."""
    assert await asked("token_endpoint", client_auth) == "https://server.example.com/token"


async def test_a_client_of_ones_own_may_use_the_aliases_too() -> None:
    """MT-02, MT-08: as one whose tokens alone are bound to its certificate."""

    class Bound(PublicClient):
        def alias(self, server: AuthorizationServer, name: str) -> str | None:
            return server.mtls_alias(name)

    assert await asked("token_endpoint", Bound("a")) == "https://mtls.example.com/token"


@pytest.mark.parametrize("client_auth, host", [(TLS, "mtls"), (None, "server")])
async def test_claims_are_asked_for_over_the_certificate_that_the_token_is_bound_to(
    client_auth: ClientAuth | None, host: str
) -> None:
    """MT-02: the token says who asks, and the certificate that it is not stolen."""
    aliases = {"userinfo_endpoint": "https://mtls.example.com/me"}
    server = described(
        userinfo_endpoint="https://server.example.com/me", mtls_endpoint_aliases=aliases
    )
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"sub": "ada"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        token = Token("a1", token_type="Bearer")
        await fetch_userinfo(http, server, token, "ada", client_auth=client_auth)

    assert [str(request.url) for request in seen] == [f"https://{host}.example.com/me"]
    assert seen[0].headers["authorization"] == "Bearer a1"
    assert seen[0].content == b""


async def test_an_alias_that_may_be_no_endpoint_is_refused_and_nothing_is_sent() -> None:
    """MT-02, O2-12."""

    class Own(PublicClient):
        def alias(self, server: AuthorizationServer, name: str) -> Any:
            return 7 if name == "token_endpoint" else "http://mtls.example.com/revo"

    plain = described(mtls_endpoint_aliases={"token_endpoint": "http://mtls.example.com/token"})
    here = described(mtls_endpoint_aliases={"token_endpoint": "https://localhost/token"})
    with pytest.raises(ConfigurationError, match=r"mtls_endpoint_aliases\.token_endpoint http://"):
        await asked("token_endpoint", server=plain)
    with pytest.raises(ConfigurationError, match="is on this machine, and the issuer is not"):
        await asked("token_endpoint", server=here)
    with pytest.raises(ConfigurationError, match="a URL is an absolute"):
        await asked("token_endpoint", Own("a"))
    with pytest.raises(ConfigurationError, match=r"Own\.alias http://mtls\.example\.com is plain"):
        await asked("revocation_endpoint", Own("a"))


async def test_an_alias_is_nobody_s_name() -> None:
    """MT-02: tokens, codes and the line of those who ask belong to the server itself."""
    line = Line()
    exchange = Exchange(line.send, SERVER, TLS, clock=FakeClock())
    code = AuthorizationCode(
        code=token_urlsafe(),
        redirect_uri="https://app.example/cb",
        token_endpoint=SERVER.token_endpoint,
    )

    token = await exchange.token(code)

    assert line.requests[0].url == "https://mtls.example.com/token"
    assert Binding.of_token(token) == Binding.of(SERVER, "reporter")
    assert token.token_endpoint == exchange.line == "https://server.example.com/token"
    elsewhere = Exchange(line.send, SERVER, PublicClient("reporter"), clock=FakeClock())
    with pytest.raises(ReauthorizationRequired):
        await elsewhere.token(code)
    assert len(line.requests) == 1


async def test_an_alias_lends_its_origin_no_token() -> None:
    """MT-02, BC-11."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json=ANSWER)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        session = AsyncTokenSession(
            http,
            server=SERVER,
            client_auth=TLS,
            grant=ClientCredentials(),
            store=MemoryStore(),
            key="a",
            origins=["https://api.example"],
        )
        await session.get("https://api.example/report")
        with pytest.raises(ConfigurationError, match=r"https://mtls\.example\.com"):
            await session.get("https://mtls.example.com/report")

    assert seen == ["https://mtls.example.com/token", "https://api.example/report"]


async def test_an_error_names_where_the_request_went() -> None:
    """MT-02."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, html="nothing here")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(ResponseError) as caught:
            await fetch_token(http, SERVER, TLS, ClientCredentials())

    assert caught.value.url == "https://mtls.example.com/token"


async def test_the_client_authentication_is_told_where_the_request_goes() -> None:
    told: list[str] = []

    @attrs.frozen
    class Telling(TLSClientAuth):
        async def authenticate(self, server: Any, *, endpoint: str, now: float) -> Any:
            told.append(endpoint)
            return await TLSClientAuth.authenticate(self, server, endpoint=endpoint, now=now)

    await asked("token_endpoint", Telling("a"))

    assert told == ["https://mtls.example.com/token"]
