"""The ways to write of the documented systems, as values of one authorization server."""

import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from oauthkit import JSON, XML, ClientSecretPost, RequestFormat, ResourceOwnerPassword, fetch_token
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.services import auth_v1
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.dialects import ADS, AUTH_V1, HELLO, ID_SECRET, PUT_AUTH, RFC_6749
from oauthkit.testing.token_request import Dialect

FORM = "application/x-www-form-urlencoded"
BASIC = {"authorization": "Basic Y2xpZW50OnNlY3JldA=="}  # client:secret
DIALECTS = [RFC_6749, ADS, HELLO, ID_SECRET, AUTH_V1, PUT_AUTH]


def refresh(fake: FakeAuthorizationServer, refresh_token: str) -> HTTPResponse:
    """Ask as the fake's dialect has it."""
    parameters = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    headers, content = {"content-type": FORM}, urlencode(parameters)
    if fake.dialect is PUT_AUTH:
        headers = {
            "content-type": "multipart/form-data; boundary=x",
            "accept": "application/json",
        }
        content = (
            f'--x\r\nContent-Disposition: form-data; name="refresh_token"\r\n\r\n{refresh_token}'
            "\r\n--x--\r\n"
        )
    if fake.dialect not in {AUTH_V1, PUT_AUTH}:
        headers |= BASIC
    return fake.answer(HTTPRequest("POST", f"{fake.issuer}/token", headers, content.encode()))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_login_is_refreshed_once_in_every_dialect(dialect: Dialect) -> None:
    fake = FakeAuthorizationServer(dialect=dialect)
    refresh_token = str(fake.issue().refresh_token)

    first, again = refresh(fake, refresh_token), refresh(fake, refresh_token)

    assert (first.status_code, again.status_code) == (200, 400)
    assert json.loads(first.content)["access_token"] == "access-token-4"
    assert fake.presented_twice == 1


REFUSALS: dict[str, Any] = {
    "RFC 6749": {
        "error": "invalid_grant",
        "error_description": "the refresh token is not good any more",
    },
    "ads": {
        "error": "invalid_grant",
        "error_description": "the refresh token is not good any more",
        "error_uri": "https://datatracker.ietf.org/doc/html/rfc6749#section-5.2",
    },
    "id_secret": {
        "meta": {"pagination": {"limit": 0, "offset": 0, "total_count": 0}},
        "errors": [{"httpcode": 400, "message": "the refresh token is not good any more"}],
    },
    "auth_v1": {"Message": "the refresh token is not good any more"},
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_dialect_refuses_in_its_own_words(dialect: Dialect) -> None:
    response = refresh(FakeAuthorizationServer(dialect=dialect), "made up")

    assert response.status_code == 400
    if dialect is PUT_AUTH:
        assert response.content == b""
    else:
        expected = REFUSALS.get(dialect.name, REFUSALS["ads"])
        assert json.loads(response.content) == expected


@pytest.mark.parametrize("dialect", [RFC_6749, ADS, HELLO, ID_SECRET, PUT_AUTH], ids=repr)
@pytest.mark.parametrize("expires_in", [None, "soon"])
def test_what_is_not_known_is_left_out(dialect: Dialect, expires_in: object) -> None:
    fake = FakeAuthorizationServer(dialect=dialect, expires_in=expires_in, token_type=None)
    answer = json.loads(refresh(fake, str(_issued(fake))).content)

    assert not {"token_type", "expiry"} & answer.keys()
    assert answer.get("expires_in") == expires_in


def _issued(fake: FakeAuthorizationServer) -> str | None:
    return fake.desk.issue("read").refresh_token


@pytest.mark.parametrize("request_format", [JSON, XML], ids=repr)
async def test_a_data_contract_writes_nil_and_zero_for_what_is_not_known(
    request_format: RequestFormat,
) -> None:
    """A lifetime of 0 is "not said", and a nil type is Bearer."""
    fake = FakeAuthorizationServer(dialect=AUTH_V1, expires_in=None, token_type=None)
    client = ClientSecretPost("client", "secret")
    grant = ResourceOwnerPassword(username="ada", password="lovelace")
    async with fake.serve() as url, httpx.AsyncClient() as http:
        server = auth_v1.authorization_server(url, request_format)
        fake.issuer = f"{url}/api/v1/auth"
        token = await fetch_token(http, server, client, grant)

    assert (token.token_type, token.expires_at, token.refresh_expires_at) == ("Bearer", None, None)
    assert isinstance(token, auth_v1.AccessTokenResponse)
    assert (token.ip, token.session_state) == (None, None)
    assert (token.refresh_expires_in, token.not_before_policy) == (0, 0)


async def test_faults_and_a_dialect_go_together() -> None:
    fake = FakeAuthorizationServer(dialect=ID_SECRET)
    fake.fail_next(503, headers={"retry-after": "0"})
    async with fake.session(client_auth=ClientSecretPost("client", "secret")) as session:
        token = await session.token()

    assert token.access_token == "access-token-1"
    assert [request.status_code for request in fake.token_requests] == [503, 200]


def test_a_dialect_is_known_by_its_name() -> None:
    assert repr(ADS) == "Dialect(name='ads')"
