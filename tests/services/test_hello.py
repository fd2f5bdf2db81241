"""System B; every value is the document's own."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from oauthkit import (
    AuthorizationCode,
    AuthorizationRequest,
    ClientSecretBasic,
    ConfigurationError,
    EndpointError,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    RefreshToken,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.single_use import CODES
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.services import hello
from oauthkit.testing import DocumentedSystems, FakeClock
from tests.asking import token_request

CLIENT = ClientSecretBasic("the client", "p:s/+%")
SERVER = hello.authorization_server(
    authorization_endpoint="https://www.examples.com/authorize", allow_plain_http=True
)
REDIRECT_URI = "https://app.example/callback"

OAUTH_TOKEN = b"""{
  "access_token": "access_token",
  "token_type": "token_type",
  "expires_in": "%s",
  "scope": "scope",
  "expiry": "%s",
  "refresh_token": "refresh_token"
}"""
OAUTH_PROVIDER = b"""{
  "error": "invalid_request",
  "error_description": "error_description",
  "error_uri": "error_uri"
}"""


@pytest.mark.parametrize(
    "grant,body",
    [
        (
            AuthorizationCode(code="code", redirect_uri="redirect_uri"),
            b"grant_type=authorization_code&code=code&redirect_uri=redirect_uri",
        ),
        (
            AuthorizationCode(code="c", redirect_uri=REDIRECT_URI, additional={"device": "7 a"}),
            (
                b"grant_type=authorization_code&code=c"
                b"&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&device=7%20a"
            ),
        ),
        (
            RefreshToken(refresh_token="refresh_token", scope="scope"),
            b"grant_type=refresh_token&refresh_token=refresh_token&scope=scope",
        ),
    ],
)
def test_a_token_is_asked_for_as_documented(grant: GrantStrategy, body: bytes) -> None:
    request = token_request(SERVER, CLIENT, grant)

    assert request.method == "POST"
    assert request.url == "http://www.examples.com/SayHello/odfksdlfksld345345fdgdfg3453"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"].startswith("Basic ")
    assert request.content == body


@pytest.mark.parametrize("seconds", [b"34", b"125"])
def test_the_documented_token_is_understood(seconds: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = HTTPResponse(200, headers, OAUTH_TOKEN % (seconds, seconds))

    token = parse_token_response(SERVER, response, requested_at=1_000.0)

    assert token.expires_at == 1_000.0 + int(seconds)
    assert token.refresh_token == "refresh_token"
    assert token.scope == "scope"


@pytest.mark.parametrize("status_code,kind", [(400, ErrorResponse), (401, InvalidClient)])
def test_a_documented_error_is_understood(status_code: int, kind: type[ErrorResponse]) -> None:
    response = HTTPResponse(status_code, {"content-type": "application/json"}, OAUTH_PROVIDER)

    with pytest.raises(ErrorResponse) as caught:
        parse_token_response(SERVER, response, requested_at=0.0)

    assert type(caught.value) is kind
    assert str(caught.value) == (
        f"invalid_request: error_description <error_uri> (HTTP {status_code})"
    )


async def test_a_login_leads_to_a_token_that_is_refreshed_as_documented(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    assert isinstance(systems.clock, FakeClock)
    login = AuthorizationRequest.new(SERVER, "the client", redirect_uri=REDIRECT_URI)
    asked = parse_qs(urlsplit(login.url).query)
    (challenge,), (state,) = asked["code_challenge"], asked["state"]
    code = systems.issue_code("hello", redirect_uri=REDIRECT_URI, code_challenge=challenge)
    grant = login.accept({"code": code, "state": state})
    async with documented_session(server=SERVER, client_auth=CLIENT, grant=grant) as session:
        first = await session.token()
        systems.clock.advance(systems.expires_in)
        second = await session.token()

    assert first.access_token != second.access_token
    assert systems.violations == ()
    assert [exchange.parameters for exchange in systems.log] == [
        ("grant_type", "code", "redirect_uri", "code_verifier"),
        ("grant_type", "refresh_token"),
    ]


async def test_a_code_that_was_spent_is_an_invalid_grant(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    code = systems.issue_code("hello", redirect_uri=REDIRECT_URI)
    for expected in (None, InvalidGrant):
        CODES.release(SERVER.token_endpoint, code)  # as in another process
        grant = AuthorizationCode(code=code, redirect_uri=REDIRECT_URI)
        async with documented_session(server=SERVER, client_auth=CLIENT, grant=grant) as session:
            if expected is None:
                await session.token()
            else:
                with pytest.raises(expected):
                    await session.token()

    assert systems.violations == ()


async def test_say_hello_skips_authentication(wire: Any) -> None:
    documented = wire(httpx.Response(200, json={"greeting": "greeting"}))
    async with documented.session() as session:
        answer = await hello.say_hello(session, first_name="firstName")

    (request,) = documented.requests
    assert answer == hello.SayHelloResponse("greeting")
    assert request.method == "POST"
    assert request.content == b'{"firstName":"firstName"}'
    assert request.headers.get_list("accept") == ["application/json"]
    assert request.headers.get_list("content-type") == ["application/json"]
    assert "authorization" not in request.headers


@pytest.mark.parametrize("base_url", [hello.BASE_URL, "http://www.examples.com/SayHello"])
async def test_paths_are_appended_to_the_path_of_the_base_url(wire: Any, base_url: str) -> None:
    """The decision on the base URL."""
    documented = wire(httpx.Response(200, json={"greeting": "greeting"}))
    async with documented.session() as session:
        await hello.say_hello(session, first_name="Ada", base_url=base_url)

    assert str(documented.requests[0].url) == "http://www.examples.com/SayHello/sayHello"


@pytest.mark.parametrize("content", [b"", b"greeting", b'{"greeting": null}', b'"greeting"'])
async def test_a_greeting_of_another_form_is_an_endpoint_error(wire: Any, content: bytes) -> None:
    documented = wire(httpx.Response(200, content=content))
    async with documented.session() as session:
        with pytest.raises(EndpointError, match="documented"):
            await hello.say_hello(session, first_name="Ada")


async def test_credentials_go_over_plain_http_only_where_that_was_said(wire: Any) -> None:
    """O2-12: the document's URL is plain http, so it is refused when a request would be made."""
    documented = wire(httpx.Response(200, json={"greeting": "Hello"}))
    async with documented.session(server=hello.authorization_server(), token=None) as session:
        await hello.say_hello(session, first_name="Ada")
    with pytest.raises(ConfigurationError, match=r"plain http.*allow_plain_http=True"):
        token_request(hello.authorization_server(), CLIENT, RefreshToken(refresh_token="spent"))
