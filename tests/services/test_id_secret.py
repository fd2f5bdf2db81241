"""System C; every value is the document's own."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauthkit import (
    AuthorizationCode,
    AuthorizationRequest,
    ClientAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    PublicClient,
    ReauthorizationRequired,
    RefreshToken,
    ResponseError,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.refusals import refuses_right
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.services import id_secret
from oauthkit.testing import DocumentedSystems, FakeClock
from tests.asking import token_request

SERVER = id_secret.authorization_server(
    "https://api.example/oauth2/token", authorization_endpoint="https://api.example/authorize"
)
POST = ClientSecretPost("the client", "p:s/+%")
BASIC = ClientSecretBasic("the client", "p:s/+%")
REDIRECT_URI = "https://app.example/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 Appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

ERRORS = (
    b'{"meta": {"pagination": {"limit": 0, "offset": 0, "total_count": 0}},'
    b' "errors": [{"httpcode": %d, "message": "%s"}]}'
)


def answered(status_code: int, content: bytes) -> HTTPResponse:
    return HTTPResponse(status_code, {"content-type": "application/json"}, content)


@pytest.mark.parametrize(
    "client_auth,grant,body",
    [
        (
            POST,
            ClientCredentials(),
            b"grant_type=client_credentials&client_id=the%20client&client_secret=p%3As%2F%2B%25",
        ),
        (BASIC, ClientCredentials(scope="a b"), b"grant_type=client_credentials&scope=a%20b"),
        (
            PublicClient("app"),
            AuthorizationCode(code="code", redirect_uri="redirect_uri"),
            b"grant_type=authorization_code&code=code&redirect_uri=redirect_uri&client_id=app",
        ),
        (
            BASIC,
            AuthorizationCode(code="code", redirect_uri="redirect_uri"),
            (
                b"client_id=the%20client&grant_type=authorization_code&code=code"
                b"&redirect_uri=redirect_uri"
            ),
        ),
        (
            POST,
            AuthorizationCode(code="code", redirect_uri="r", code_verifier=VERIFIER),
            b"grant_type=authorization_code&code=code&redirect_uri=r"
            b"&code_verifier=%b&client_id=the%%20client&client_secret=p%%3As%%2F%%2B%%25"
            b"&code_challenge=%b" % (VERIFIER.encode(), CHALLENGE.encode()),
        ),
        (
            BASIC,
            RefreshToken(refresh_token="refresh_token", scope="a b"),
            b"grant_type=refresh_token&refresh_token=refresh_token&scope=a%20b",
        ),
    ],
)
def test_a_token_is_asked_for_as_documented(
    client_auth: ClientAuth, grant: GrantStrategy, body: bytes
) -> None:
    request = token_request(SERVER, client_auth, grant)

    assert request.method == "POST"
    assert request.url == "https://api.example/oauth2/token"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert dict(_pairs(request.content)) == dict(_pairs(body))


def _pairs(body: bytes) -> list[list[bytes]]:
    return [pair.split(b"=") for pair in body.split(b"&")]


def test_the_documented_code_challenge_goes_beside_the_verifier() -> None:
    """The decision on `code_challenge`, which RFC 7636 has in the authorization request."""
    grant = AuthorizationCode(code="code", redirect_uri="r", code_verifier=VERIFIER)

    fields = parse_qs(token_request(SERVER, POST, grant).content.decode())

    assert fields["code_verifier"] == [VERIFIER]
    assert fields["code_challenge"] == [CHALLENGE]


def test_the_documented_token_is_understood() -> None:
    content = (
        b'{"access_token": "a", "refresh_token": "r", "id_token": "i", "expires_in": 3600,'
        b' "scope": "read", "token_type": "bearer"}'
    )

    token = parse_token_response(SERVER, answered(200, content), requested_at=1_000.0)

    assert (token.access_token, token.refresh_token, token.id_token) == ("a", "r", "i")
    assert token.expires_at == 4_600.0
    assert token.scope == "read"
    assert token.token_type == "bearer"


@pytest.mark.parametrize(
    "status_code,message,kind,error",
    [
        (400, b"the code is spent", InvalidGrant, "invalid_grant"),
        (400, b"invalid_grant: the code is spent", InvalidGrant, "invalid_grant"),
        (400, b"unsupported_grant_type", ErrorResponse, "unsupported_grant_type"),
        (403, b"no access", InvalidGrant, "invalid_grant"),
        (403, b"invalid_client: who is it", InvalidClient, "invalid_client"),
        (401, b"who is it", InvalidClient, "invalid_client"),
    ],
)
def test_the_documented_errors_are_said_in_the_words_of_the_rfc(
    status_code: int, message: bytes, kind: type[ErrorResponse], error: str
) -> None:
    response = answered(status_code, ERRORS % (status_code, message))

    with pytest.raises(ErrorResponse) as caught:
        parse_token_response(SERVER, response, requested_at=0.0)

    assert type(caught.value) is kind
    assert caught.value.error == error
    assert caught.value.error_description == f"{status_code} {message.decode()}"
    assert caught.value.status_code == status_code


@pytest.mark.parametrize(
    "grant_type,status_code,kind,error",
    [
        ("refresh_token", 400, InvalidGrant, "invalid_grant"),
        ("refresh_token", 403, InvalidGrant, "invalid_grant"),
        ("authorization_code", 400, InvalidGrant, "invalid_grant"),
        ("authorization_code", 403, InvalidGrant, "invalid_grant"),
        ("client_credentials", 400, ErrorResponse, "invalid_request"),
        ("client_credentials", 403, InvalidClient, "invalid_client"),
    ],
)
def test_an_error_without_a_name_is_about_what_was_shown(
    grant_type: str, status_code: int, kind: type[ErrorResponse], error: str
) -> None:
    response = answered(status_code, ERRORS % (1234, b"what we say"))

    with pytest.raises(ErrorResponse) as caught:
        parse_token_response(SERVER, response, requested_at=0.0, grant_type=grant_type)

    assert type(caught.value) is kind
    assert str(caught.value) == f"{error}: 1234 what we say (HTTP {status_code})"


@pytest.mark.parametrize("status_code", [400, 403])
def test_a_name_in_a_message_is_believed_at_a_refresh_too(status_code: int) -> None:
    """A wrong secret must not cost a login."""
    response = answered(status_code, ERRORS % (status_code, b"invalid_client: who is it"))

    with pytest.raises(InvalidClient) as caught:
        parse_token_response(SERVER, response, requested_at=0.0, grant_type="refresh_token")
    assert not refuses_right(caught.value)


def test_several_errors_are_one_description() -> None:
    content = b'{"errors": [{"message": "one"}, {"httpcode": 403}, {}, {"message": "two"}]}'

    with pytest.raises(ErrorResponse, match=r"^invalid_grant: one; 403; two \(HTTP 400\)"):
        parse_token_response(SERVER, answered(400, content), requested_at=0.0)


@pytest.mark.parametrize("errors", [b"[]", b"null"])
def test_a_list_without_errors_is_no_error(errors: bytes) -> None:
    content = b'{"access_token": "a", "token_type": "bearer", "errors": %b}' % errors

    token = parse_token_response(SERVER, answered(200, content), requested_at=0.0)
    assert token.access_token == "a"


def test_a_refusal_without_errors_is_one_all_the_same() -> None:
    with pytest.raises(ResponseError, match="refused") as caught:
        parse_token_response(SERVER, answered(403, b'{"errors": []}'), requested_at=0.0)
    assert refuses_right(caught.value)


@pytest.mark.parametrize("errors", [b'[{"httpcode": "many"}]', b"[7]", b'"no"', b"{}"])
def test_errors_of_another_form_are_an_undocumented_answer(errors: bytes) -> None:
    with pytest.raises(ResponseError, match="adapt= failed"):
        parse_token_response(SERVER, answered(400, b'{"errors": %b}' % errors), requested_at=0.0)


@pytest.mark.parametrize("client_auth", [POST, BASIC])
async def test_client_credentials_are_asked_for_anew(
    systems: DocumentedSystems, documented_session: Any, client_auth: ClientAuth
) -> None:
    assert isinstance(systems.clock, FakeClock)
    async with documented_session(
        server=SERVER, client_auth=client_auth, grant=ClientCredentials(scope="read")
    ) as session:
        token = await session.token()
        systems.clock.advance(systems.expires_in)
        await session.token()

    assert token.refresh_token is None
    assert systems.violations == ()
    assert [exchange.parameters[:2] for exchange in systems.log] == 2 * [("grant_type", "scope")]


@pytest.mark.parametrize("client_auth", [POST, BASIC])
async def test_a_login_leads_to_a_token_that_is_refreshed_as_documented(
    systems: DocumentedSystems, documented_session: Any, client_auth: ClientAuth
) -> None:
    assert isinstance(systems.clock, FakeClock)
    login = AuthorizationRequest.new(SERVER, "the client", redirect_uri=REDIRECT_URI)
    asked = parse_qs(urlsplit(login.url).query)
    (challenge,), (state,) = asked["code_challenge"], asked["state"]
    code = systems.issue_code("id_secret", redirect_uri=REDIRECT_URI, code_challenge=challenge)
    grant = login.accept({"code": code, "state": state})
    async with documented_session(server=SERVER, client_auth=client_auth, grant=grant) as session:
        token = await session.token()
        systems.clock.advance(systems.expires_in)
        await session.token()

    assert token.id_token is not None
    assert systems.violations == ()
    assert "code_challenge" in systems.log[0].parameters
    assert "refresh_token" in systems.log[1].parameters


@pytest.mark.parametrize(
    "client_auth,grant,kind,text",
    [
        (
            ClientSecretPost("the client", "wrong"),
            ClientCredentials(),
            InvalidClient,
            "invalid_client: 403 client authentication failed (HTTP 403)",
        ),
        (
            POST,
            RefreshToken(refresh_token="spent"),
            InvalidGrant,
            "invalid_grant: 400 the refresh token is not good any more (HTTP 400)",
        ),
        (
            POST,
            AuthorizationCode(code="spent", redirect_uri=REDIRECT_URI),
            InvalidGrant,
            "invalid_grant: 400 the code is unknown, expired or spent (HTTP 400)",
        ),
    ],
)
def test_a_refusal_of_the_documented_system_is_understood(
    systems: DocumentedSystems,
    refused: Any,
    *,
    client_auth: ClientAuth,
    grant: GrantStrategy,
    kind: type[ErrorResponse],
    text: str,
) -> None:
    error = refused(SERVER, client_auth, grant)

    assert (type(error), str(error)) == (kind, text)
    assert systems.violations == ()


async def test_a_wrong_secret_wakes_the_operator(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    client_auth = ClientSecretPost("the client", "wrong")
    grant = ClientCredentials()
    async with documented_session(server=SERVER, client_auth=client_auth, grant=grant) as session:
        with pytest.raises(InvalidClient, match="403 client authentication failed"):
            await session.token()

    assert systems.violations == ()


async def test_a_session_whose_refresh_token_died_asks_for_a_login_once(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    """And does not present the dead one again and again."""
    grant = RefreshToken(refresh_token="spent")
    async with documented_session(server=SERVER, client_auth=POST, grant=grant) as session:
        for _ in range(3):
            with pytest.raises(ReauthorizationRequired):
                await session.token()

    assert len(systems.log) == 1
    assert systems.violations == ()
