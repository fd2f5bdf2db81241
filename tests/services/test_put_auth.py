"""System E; every value is the document's own."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauthkit import (
    AuthorizationCode,
    AuthorizationRequest,
    ClientAuth,
    ClientSecretPost,
    ConfigurationError,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    ReauthorizationRequired,
    Recovery,
    RefreshToken,
    ResourceOwnerPassword,
    ResponseError,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.refusals import refuses_right
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.services import put_auth
from oauthkit.testing import DocumentedSystems, FakeClock
from tests.asking import token_request

SERVER = put_auth.authorization_server(authorization_endpoint="http://localhost/authorize")
CLIENT = ClientSecretPost("the client", "p:s/+%")
REDIRECT_URI = "https://app.example/callback"
PASSWORD = ResourceOwnerPassword(username="ada", password="lovelace")


def answered(status_code: int, content: bytes) -> HTTPResponse:
    return HTTPResponse(status_code, {"content-type": "application/json"}, content)


@pytest.mark.parametrize(
    "grant,parts",
    [
        (
            RefreshToken(refresh_token="refreshToken_example", scope="scope_example"),
            {
                "grant_type": "refresh_token",
                "refresh_token": "refreshToken_example",
                "scope": "scope_example",
            },
        ),
        (
            ResourceOwnerPassword(username="username_example", password="password_example"),
            {
                "grant_type": "password",
                "username": "username_example",
                "password": "password_example",
            },
        ),
        (
            AuthorizationCode(code="code", redirect_uri=REDIRECT_URI),
            {"grant_type": "authorization_code", "code": "code", "redirect_uri": REDIRECT_URI},
        ),
    ],
)
def test_a_token_is_asked_for_as_documented(grant: GrantStrategy, parts: dict[str, str]) -> None:
    client_auth = ClientSecretPost("clientId_example", "clientSecret_example")
    expected = parts | {"client_id": "clientId_example", "client_secret": "clientSecret_example"}

    request = token_request(SERVER, client_auth, grant)

    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert (request.method, request.url) == ("POST", "http://localhost/oauth/token")
    assert request.headers["accept"] == "application/json"
    assert kind == "multipart/form-data"
    assert request.content == _written(boundary, expected)
    assert re.fullmatch(r"[0-9a-zA-Z'()+_,\-./:=?]{1,70}", boundary)


def _written(boundary: str, parts: dict[str, str]) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    written = "".join(f'{head}"{name}"\r\n\r\n{text}\r\n' for name, text in parts.items())
    return f"{written}--{boundary}--\r\n".encode()


@pytest.mark.parametrize("token_type", [b"", b', "token_type": "Bearer"'])
def test_a_token_response_is_understood_with_and_without_a_type(token_type: bytes) -> None:
    """The fields of the answer are not documented."""
    content = b'{"access_token": "a", "expires_in": 60, "refresh_token": "r"%b}' % token_type

    token = parse_token_response(SERVER, answered(200, content), requested_at=1_000.0)

    assert (token.access_token, token.token_type, token.refresh_token) == ("a", "Bearer", "r")
    assert token.expires_at == 1_060.0


def test_the_documented_400_is_understood() -> None:
    content = b'{"error": "invalid_request", "error_description": "no refresh_token"}'

    with pytest.raises(ErrorResponse, match=r"^invalid_request: no refresh_token"):
        parse_token_response(SERVER, answered(400, content), requested_at=0.0)


@pytest.mark.parametrize("status_code", [201, 202, 203, 206])
def test_a_token_comes_with_200_alone(status_code: int) -> None:
    content = b'{"access_token": "a", "expires_in": 60}'

    with pytest.raises(ResponseError, match=rf"with status 200.*\(HTTP {status_code}\)"):
        parse_token_response(SERVER, answered(status_code, content), requested_at=0.0)


@pytest.mark.parametrize("content", [b"", b"{}", b"Bad Request", b'{"message": "Bad Request"}'])
def test_a_400_that_says_nothing_ends_a_refresh_token(content: bytes) -> None:
    with pytest.raises(ResponseError, match="refused") as caught:
        parse_token_response(
            SERVER, answered(400, content), requested_at=0.0, grant_type="refresh_token"
        )
    assert refuses_right(caught.value)


def test_a_400_that_names_the_client_ends_none() -> None:
    with pytest.raises(InvalidClient) as caught:
        parse_token_response(
            SERVER,
            answered(400, b'{"error": "invalid_client"}'),
            requested_at=0.0,
            grant_type="refresh_token",
        )
    assert not refuses_right(caught.value)


@pytest.mark.parametrize(
    "status_code,recovery",
    [
        (302, Recovery.CHANGE_REQUEST),
        (404, Recovery.CHANGE_REQUEST),
        (418, Recovery.CHANGE_REQUEST),
        (429, Recovery.RETRY_LATER),
        (500, Recovery.RETRY_LATER),
        (503, Recovery.RETRY_LATER),
    ],
)
def test_any_other_status_is_an_unexpected_error(status_code: int, recovery: Recovery) -> None:
    with pytest.raises(ResponseError) as caught:
        parse_token_response(SERVER, answered(status_code, b"{}"), requested_at=0.0)

    assert caught.value.status_code == status_code
    assert caught.value.recovery is recovery


@pytest.mark.parametrize("grant_type", ["refresh_token", "authorization_code", "password"])
async def test_every_grant_leads_to_a_token_that_is_refreshed_as_documented(
    systems: DocumentedSystems, documented_session: Any, grant_type: str
) -> None:
    assert isinstance(systems.clock, FakeClock)
    grant = await _grant(systems, documented_session, grant_type)
    systems.log.clear()
    async with documented_session(server=SERVER, client_auth=CLIENT, grant=grant) as session:
        await session.token()
        systems.clock.advance(systems.expires_in)
        await session.token()

    first, second = systems.log
    assert systems.violations == ()
    assert set(first.parameters) >= {"grant_type", "client_id", "client_secret"}
    assert set(second.parameters) == {"grant_type", "client_id", "client_secret", "refresh_token"}


async def _grant(
    systems: DocumentedSystems, documented_session: Any, grant_type: str
) -> GrantStrategy:
    if grant_type == "password":
        return PASSWORD
    if grant_type == "refresh_token":
        async with documented_session(server=SERVER, client_auth=CLIENT, grant=PASSWORD) as session:
            return RefreshToken(refresh_token=(await session.token()).refresh_token or "")
    login = AuthorizationRequest.new(SERVER, "the client", redirect_uri=REDIRECT_URI)
    asked = parse_qs(urlsplit(login.url).query)
    (challenge,), (state,) = asked["code_challenge"], asked["state"]
    code = systems.issue_code("put_auth", redirect_uri=REDIRECT_URI, code_challenge=challenge)
    return login.accept({"code": code, "state": state})


@pytest.mark.parametrize(
    "client_auth,grant",
    [
        (CLIENT, ResourceOwnerPassword(username="ada", password="wrong")),
        (CLIENT, RefreshToken(refresh_token="spent")),
        (CLIENT, AuthorizationCode(code="spent", redirect_uri=REDIRECT_URI)),
        (ClientSecretPost("the client", "wrong"), PASSWORD),
    ],
)
def test_a_refusal_of_the_documented_system_is_a_400_without_a_word(
    systems: DocumentedSystems, refused: Any, client_auth: ClientAuth, grant: GrantStrategy
) -> None:
    error = refused(SERVER, client_auth, grant)

    assert isinstance(error, ResponseError)
    assert (error.status_code, error.excerpt) == (400, "")
    assert refuses_right(error)
    assert systems.violations == ()


async def test_a_session_whose_refresh_token_died_asks_for_a_login_once(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    """And does not present the dead one again and again."""
    grant = RefreshToken(refresh_token="spent")
    async with documented_session(server=SERVER, client_auth=CLIENT, grant=grant) as session:
        for _ in range(3):
            with pytest.raises(ReauthorizationRequired):
                await session.token()

    assert len(systems.log) == 1
    assert systems.violations == ()


def test_the_documented_base_url_is_this_machine_and_needs_no_permission() -> None:
    assert put_auth.authorization_server().token_endpoint == "http://localhost/oauth/token"
    with pytest.raises(ConfigurationError, match="plain http"):
        put_auth.authorization_server("http://auth.example")
