"""System D; every value is the document's own."""

from typing import Any

import pytest

from oauthkit import (
    FORM,
    JSON,
    XML,
    ClientAuth,
    ClientCredentials,
    ClientSecretPost,
    ConfigurationError,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    PublicClient,
    ReauthorizationRequired,
    RefreshToken,
    RequestFormat,
    ResourceOwnerPassword,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.services import auth_v1
from oauthkit.services.auth_v1 import TEXT_JSON, TEXT_XML, AccessTokenResponse
from oauthkit.testing import DocumentedSystems, FakeClock
from tests.asking import token_request

FORMATS: dict[str, RequestFormat] = {
    "application/json": JSON,
    "text/json": TEXT_JSON,
    "application/xml": XML,
    "text/xml": TEXT_XML,
    "application/x-www-form-urlencoded": FORM,
}
ROOT = (
    b'<TokenRequest xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
    b' xmlns="http://schemas.datacontract.org/2004/07/IO.Swagger.Models">'
)
CLIENT = ClientSecretPost("the client", "p:s/+%")
PASSWORD = ResourceOwnerPassword(username="ada", password="lovelace")

ANSWER_JSON = b"""{
"access_token": "sample string 1",
"expires_in": 1,
"redirect_url": "sample string 2",
"ip": "sample string 3",
"is_editor": true,
"refresh_expires_in": 1,
"refresh_token": "sample string 5",
"token_type": "sample string 6",
"not_before_policy": 1,
"session_state": "sample string 7",
"scope": "sample string 8"
}"""
ANSWER_XML = (
    b'<AccessTokenResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
    b' xmlns="http://schemas.datacontract.org/2004/07/IO.Swagger.Models">'
    b" <access_token>sample string 1</access_token> <expires_in>1</expires_in>"
    b" <ip>sample string 3</ip> <is_editor>true</is_editor>"
    b" <not_before_policy>1</not_before_policy> <redirect_url>sample string 2</redirect_url>"
    b" <refresh_expires_in>1</refresh_expires_in> <refresh_token>sample string 5</refresh_token>"
    b" <scope>sample string 8</scope> <session_state>sample string 7</session_state>"
    b" <token_type>sample string 6</token_type> </AccessTokenResponse>"
)
ANSWER = AccessTokenResponse(
    access_token="sample string 1",
    token_type="sample string 6",
    issued_at=1_000.0,
    expires_at=1_001.0,
    refresh_token="sample string 5",
    refresh_expires_at=1_001.0,
    scope="sample string 8",
    refresh_expires_in=1,
    redirect_url="sample string 2",
    ip="sample string 3",
    is_editor=True,
    not_before_policy=1,
    session_state="sample string 7",
)


def server(request_format: RequestFormat) -> Any:
    return auth_v1.authorization_server("https://auth.example", request_format)


def answered(content_type: str, content: bytes, status_code: int = 200) -> HTTPResponse:
    return HTTPResponse(status_code, {"content-type": content_type}, content)


@pytest.mark.parametrize("content_type", FORMATS)
@pytest.mark.parametrize(
    "client_auth,grant,fields",
    [
        (
            ClientSecretPost("sample string 2", "sample string 3"),
            ResourceOwnerPassword(
                username="sample string 5", password="sample string 6", scope="sample string 4"
            ),
            {
                "grant_type": "password",
                "username": "sample string 5",
                "password": "sample string 6",
                "scope": "sample string 4",
                "client_id": "sample string 2",
                "client_secret": "sample string 3",
            },
        ),
        (
            ClientSecretPost("reader", "secret"),
            ClientCredentials(scope="read"),
            {
                "grant_type": "client_credentials",
                "scope": "read",
                "client_id": "reader",
                "client_secret": "secret",
            },
        ),
        (
            PublicClient("reader"),
            RefreshToken(refresh_token="sample string 8"),
            {
                "grant_type": "refresh_token",
                "refresh_token": "sample string 8",
                "client_id": "reader",
            },
        ),
    ],
)
def test_a_token_is_asked_for_as_documented(
    content_type: str, client_auth: ClientAuth, grant: GrantStrategy, fields: dict[str, str]
) -> None:
    request = token_request(server(FORMATS[content_type]), client_auth, grant)

    assert (request.method, request.url) == ("POST", "https://auth.example/api/v1/auth/token")
    assert request.headers["content-type"] == content_type
    assert request.content == _written(content_type, fields)


def _written(content_type: str, fields: dict[str, str]) -> bytes:
    if content_type.endswith("json"):
        members = ",".join(f'"{name}":"{text}"' for name, text in fields.items())
        return f"{{{members}}}".encode()
    if content_type.endswith("xml"):
        elements = "".join(f"<{name}>{fields[name]}</{name}>" for name in sorted(fields))
        return ROOT + f"{elements}</TokenRequest>".encode()
    pairs = (f"{name}={text.replace(' ', '%20')}" for name, text in fields.items())
    return "&".join(pairs).encode()


@pytest.mark.parametrize(
    "request_format,written",
    [
        (JSON, b'"WindowsAuthentication":%b'),
        (TEXT_JSON, b'"WindowsAuthentication":%b'),
        (XML, ROOT + b"<WindowsAuthentication>%b</WindowsAuthentication><client_id>"),
        (TEXT_XML, ROOT + b"<WindowsAuthentication>%b</WindowsAuthentication><client_id>"),
        (FORM, b"&WindowsAuthentication=%b"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_the_documented_boolean_stays_a_boolean(
    request_format: RequestFormat, written: bytes, *, enabled: bool
) -> None:
    grant = auth_v1.with_windows_authentication(PASSWORD, enabled=enabled)

    request = token_request(server(request_format), CLIENT, grant)

    assert written % (b"true" if enabled else b"false") in request.content


@pytest.mark.parametrize(
    "content_type,accept",
    [*((name, name) for name in FORMATS if "form" not in name), (None, "application/json")],
)
def test_an_answer_is_asked_for_in_the_format_of_the_request(
    content_type: str | None, accept: str
) -> None:
    request_format = FORM if content_type is None else FORMATS[content_type]

    assert server(request_format).accept == accept


@pytest.mark.parametrize(
    "content_type,content",
    [
        ("application/json", ANSWER_JSON),
        ("text/json; charset=utf-8", ANSWER_JSON),
        ("application/xml", ANSWER_XML),
        ("text/xml; charset=utf-8", ANSWER_XML),
    ],
)
def test_the_documented_answer_is_the_same_in_json_and_xml(
    content_type: str, content: bytes
) -> None:
    token = parse_token_response(server(JSON), answered(content_type, content), requested_at=1e3)

    assert token == ANSWER


@pytest.mark.parametrize(
    "content_type,content",
    [
        (
            "application/json",
            b'{"access_token": "a", "token_type": "Bearer", "redirect_url": null, "ip": null}',
        ),
        (
            "application/xml",
            (
                b'<AccessTokenResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
                b' xmlns="http://schemas.datacontract.org/2004/07/IO.Swagger.Models">'
                b"<access_token>a</access_token><ip i:nil='true'/><redirect_url i:nil='true'/>"
                b"<token_type>Bearer</token_type></AccessTokenResponse>"
            ),
        ),
    ],
)
def test_null_and_nil_mean_absent(content_type: str, content: bytes) -> None:
    token = parse_token_response(server(XML), answered(content_type, content), requested_at=0.0)

    assert isinstance(token, AccessTokenResponse)
    assert (token.redirect_url, token.ip, token.is_editor) == (None, None, None)


def test_a_refresh_life_of_zero_means_that_none_was_said() -> None:
    """The decision on `refresh_expires_in`."""
    content = (
        b'{"access_token": "a", "token_type": "Bearer", "refresh_token": "r",'
        b' "refresh_expires_in": 0}'
    )

    token = parse_token_response(
        server(JSON), answered("application/json", content), requested_at=0.0
    )

    assert token.refresh_expires_at is None


@pytest.mark.parametrize("said", [b"0", b'"0"', b'" 0 "'])
def test_a_life_of_zero_means_that_none_was_said(said: bytes) -> None:
    """A data contract writes absent numbers as 0."""
    content = b'{"access_token": "a", "token_type": "Bearer", "expires_in": %b}' % said

    token = parse_token_response(
        server(JSON), answered("application/json", content), requested_at=1e3
    )

    assert token.expires_at is None
    assert token.fresh(now=1e9, leeway=30)


@pytest.mark.parametrize(
    "content_type,content",
    [
        ("application/json", b'{"access_token": "a", "expires_in": 1, "token_type": null}'),
        ("application/json", b'{"access_token": "a", "expires_in": 1}'),
        (
            "application/xml",
            (
                b'<AccessTokenResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
                b' xmlns="http://schemas.datacontract.org/2004/07/IO.Swagger.Models">'
                b"<access_token>a</access_token><expires_in>1</expires_in>"
                b"<token_type i:nil='true'/></AccessTokenResponse>"
            ),
        ),
    ],
)
def test_an_absent_type_is_taken_for_bearer(content_type: str, content: bytes) -> None:
    token = parse_token_response(server(XML), answered(content_type, content), requested_at=1e3)

    assert (token.token_type, token.expires_at) == ("Bearer", 1_001.0)


@pytest.mark.parametrize(
    "content_type,content",
    [
        ("application/json", b'{"Message": "what it says"}'),
        ("text/json; charset=utf-8", b'{"Message": "what it says", "ModelState": {"a": ["b"]}}'),
        ("application/xml; charset=utf-8", b"<Error><Message>what it says</Message></Error>"),
    ],
)
@pytest.mark.parametrize(
    "grant_type,status_code,kind,error",
    [
        ("refresh_token", 400, InvalidGrant, "invalid_grant"),
        ("password", 400, InvalidGrant, "invalid_grant"),
        ("client_credentials", 400, ErrorResponse, "invalid_request"),
        ("refresh_token", 401, InvalidClient, "invalid_client"),
    ],
)
def test_a_message_is_about_what_was_shown(
    *,
    content_type: str,
    content: bytes,
    grant_type: str,
    status_code: int,
    kind: type[ErrorResponse],
    error: str,
) -> None:
    response = answered(content_type, content, status_code)

    with pytest.raises(ErrorResponse) as caught:
        parse_token_response(server(XML), response, requested_at=0.0, grant_type=grant_type)

    assert type(caught.value) is kind
    assert str(caught.value) == f"{error}: what it says (HTTP {status_code})"


def test_the_names_of_the_rfc_are_believed_too() -> None:
    response = answered("application/json", b'{"error": "invalid_client"}', 400)

    with pytest.raises(InvalidClient):
        parse_token_response(server(JSON), response, requested_at=0.0, grant_type="refresh_token")


@pytest.mark.parametrize("request_format", FORMATS.values())
@pytest.mark.parametrize(
    "grant",
    [
        PASSWORD,
        auth_v1.with_windows_authentication(PASSWORD, enabled=False),
        ClientCredentials(scope="read"),
    ],
)
async def test_every_grant_and_format_leads_to_a_token_that_is_renewed_as_documented(
    systems: DocumentedSystems,
    documented_session: Any,
    request_format: RequestFormat,
    grant: GrantStrategy,
) -> None:
    assert isinstance(systems.clock, FakeClock)
    async with documented_session(
        server=server(request_format), client_auth=CLIENT, grant=grant
    ) as session:
        token = await session.token()
        systems.clock.advance(systems.expires_in)
        await session.token()

    first, second = systems.log
    assert systems.violations == ()
    assert isinstance(token, AccessTokenResponse)
    assert token.redirect_url == "https://app.example/start"
    assert token.is_editor is True
    assert first.headers["content-type"] == second.headers["content-type"]
    assert ("refresh_token" in second.parameters) == (token.refresh_token is not None)


async def test_a_refresh_token_known_to_be_dead_is_not_tried(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    assert isinstance(systems.clock, FakeClock)
    systems.refresh_expires_in = 60
    async with documented_session(
        server=server(XML), client_auth=CLIENT, grant=PASSWORD
    ) as session:
        await session.token()
        systems.clock.advance(systems.expires_in)
        await session.token()

    assert ["password" in exchange.parameters for exchange in systems.log] == [True, True]


@pytest.mark.parametrize("request_format", FORMATS.values())
@pytest.mark.parametrize(
    "client_auth,grant,kind,text",
    [
        (
            CLIENT,
            ResourceOwnerPassword(username="ada", password="wrong"),
            InvalidGrant,
            "invalid_grant: the username or the password is wrong (HTTP 400)",
        ),
        (
            CLIENT,
            RefreshToken(refresh_token="spent"),
            InvalidGrant,
            "invalid_grant: the refresh token is not good any more (HTTP 400)",
        ),
        (
            ClientSecretPost("the client", "wrong"),
            RefreshToken(refresh_token="good"),
            InvalidClient,
            "invalid_client: client authentication failed (HTTP 401)",
        ),
    ],
)
def test_a_refusal_is_understood(
    systems: DocumentedSystems,
    refused: Any,
    *,
    request_format: RequestFormat,
    client_auth: ClientAuth,
    grant: GrantStrategy,
    kind: type[ErrorResponse],
    text: str,
) -> None:
    error = refused(server(request_format), client_auth, grant)

    assert (type(error), str(error)) == (kind, text)
    assert systems.violations == ()


async def test_a_session_whose_refresh_token_died_asks_for_a_login_once(
    systems: DocumentedSystems, documented_session: Any
) -> None:
    """And does not present the dead one again and again."""
    grant = RefreshToken(refresh_token="spent")
    async with documented_session(server=server(JSON), client_auth=CLIENT, grant=grant) as session:
        for _ in range(3):
            with pytest.raises(ReauthorizationRequired):
                await session.token()

    assert len(systems.log) == 1
    assert systems.violations == ()


def test_credentials_go_over_plain_http_only_where_that_was_said() -> None:
    with pytest.raises(ConfigurationError, match="plain http"):
        auth_v1.authorization_server("http://auth.example")

    allowed = auth_v1.authorization_server("http://auth.example", allow_plain_http=True)
    assert allowed.token_endpoint == "http://auth.example/api/v1/auth/token"
