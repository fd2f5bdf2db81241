"""The documents' own samples: what they show as a request is none to complain about.

Each test names the place of its document, by the system's letter and the heading there.
"""

import json
from typing import Any

import pytest

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import DocumentedSystems

FORM = {"content-type": "application/x-www-form-urlencoded"}
BASIC = {"authorization": "Basic Y2xpZW50OnNlY3JldA=="}  # client:secret
JSON = {"accept": "application/json", "content-type": "application/json"}
CONTRACT = (
    'xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns="http://schemas.datacontract.org/2004/07/IO.Swagger.Models"'
)


@pytest.fixture
def systems() -> DocumentedSystems:
    """Be the systems for the client and the resource owner of the samples."""
    return DocumentedSystems(username="username", password="password", scope="scope")


def ask(
    systems: DocumentedSystems, url: str, headers: dict[str, str], content: bytes
) -> HTTPResponse:
    return systems.answer(HTTPRequest("POST", url, headers, content))


def fields(response: HTTPResponse) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(response.content)
    return parsed


A_TOKEN = "http://adsabs.harvard.edu/sdf242fgc4544g4vgg4v3sfsfv3"
B_TOKEN = "http://www.examples.com/SayHello/odfksdlfksld345345fdgdfg3453"
OAUTH_TOKEN = {"access_token", "token_type", "expires_in", "scope", "expiry", "refresh_token"}
OAUTH_PROVIDER = {"error", "error_description", "error_uri"}


@pytest.mark.parametrize("more", [b"", b"&scope=scope", b"&scope=scope&anything=else"])
def test_a_request_token_and_refresh_token(systems: DocumentedSystems, more: bytes) -> None:
    """A, OAuth Authorization: `OAuthToken` has six members, and all of them are texts."""
    body = b"grant_type=password&username=username&password=password" + more
    token = fields(ask(systems, A_TOKEN, FORM | BASIC, body))
    refresh = f"grant_type=refresh_token&refresh_token={token['refresh_token']}".encode() + more
    refreshed = fields(ask(systems, A_TOKEN, FORM | BASIC, refresh))

    for answer in (token, refreshed):
        assert answer.keys() == OAUTH_TOKEN
        assert {type(value) for value in answer.values()} == {str}
    assert systems.violations == ()


@pytest.mark.parametrize(
    "authorization, body, status",
    [
        (BASIC, b"grant_type=password&username=username&password=wrong", 400),
        (BASIC, b"grant_type=refresh_token&refresh_token=refresh_token", 400),
        (
            {"authorization": "Basic Y2xpZW50Ondyb25n"},  # client:wrong
            b"grant_type=refresh_token&refresh_token=refresh_token",
            401,
        ),
    ],
)
def test_a_error_is_an_oauth_provider(
    systems: DocumentedSystems, authorization: dict[str, str], body: bytes, status: int
) -> None:
    """A, OAuth Authorization, 400 and 401: the provider's error, and the client's failure."""
    response = ask(systems, A_TOKEN, FORM | authorization, body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert fields(response).keys() == OAUTH_PROVIDER
    assert {type(value) for value in fields(response).values()} == {str}
    assert systems.violations == ()


def test_a_api_operations(systems: DocumentedSystems) -> None:
    """A, getBibcode, skips authentication; A, Test, has five headers, and a token."""
    query = "bibcode=bibcode&db_key=db_key&data_type=data_type"
    found = systems.answer(
        HTTPRequest("GET", f"http://adsabs.harvard.edu/cgi-bin/nph-bib_query?{query}", {})
    )
    body = b"grant_type=password&username=username&password=password"
    token = fields(ask(systems, A_TOKEN, FORM | BASIC, body))["access_token"]
    headers = {
        "accept": "application/json",
        "content-type": "content-type",
        "cache-control": "cache-control",
        "postman-token": "postman-token",
        "authorization": f"Bearer {token}",
    }
    tested = ask(systems, "https://www.foofle.com/1.1/test.php", headers, b'{\n  "counter": 228\n}')

    assert fields(found).keys() == {"body"}
    assert tested.status_code == 200
    assert systems.violations == ()


def test_b_request_token_and_say_hello(systems: DocumentedSystems) -> None:
    """B, OAuth Authorization and sayHello: a code and its redirect_uri; a name and a greeting."""
    code = systems.issue_code("hello", redirect_uri="redirect_uri")
    body = f"grant_type=authorization_code&code={code}&redirect_uri=redirect_uri&anything=else"
    token = fields(ask(systems, B_TOKEN, FORM | BASIC, body.encode()))
    url = "http://www.examples.com/SayHello/sayHello"
    said = ask(systems, url, JSON, b'{\n  "firstName": "firstName"\n}')

    assert token.keys() == OAUTH_TOKEN
    assert fields(said).keys() == {"greeting"}
    assert systems.violations == ()


def test_c_three_shapes_of_a_request(systems: DocumentedSystems) -> None:
    """C, Request Body, MOD1 to MOD3; C, OK: MOD2 and MOD3 have a refresh_token and an id_token."""
    url, pair = "https://any.example/oauth2/token", "client_id=client&client_secret=secret"
    code = systems.issue_code("id_secret", redirect_uri="redirect_uri", code_challenge="challenge")
    mod1 = fields(
        ask(systems, url, FORM | BASIC, b"scope=scope%20more&grant_type=client_credentials")
    )
    mod2 = f"grant_type=authorization_code&code={code}&redirect_uri=redirect_uri&{pair}"
    first = fields(ask(systems, url, FORM, f"{mod2}&code_challenge=challenge".encode()))
    mod3 = f"grant_type=refresh_token&refresh_token={first['refresh_token']}&scope=scope"
    second = fields(ask(systems, url, FORM | BASIC, mod3.encode()))

    of_all = {"access_token", "expires_in", "scope", "token_type"}
    assert mod1.keys() == of_all
    assert first.keys() == second.keys() == of_all | {"refresh_token", "id_token"}
    assert {type(answer["expires_in"]) for answer in (mod1, first, second)} == {int}
    assert {answer["token_type"] for answer in (mod1, first, second)} == {"bearer"}
    assert systems.violations == ()


@pytest.mark.parametrize(
    "secret, body, status",
    [
        (BASIC, b"grant_type=refresh_token&refresh_token=string", 400),
        ({}, b"grant_type=client_credentials&client_id=client&client_secret=wrong", 403),
    ],
)
def test_c_errors(
    systems: DocumentedSystems, secret: dict[str, str], body: bytes, status: int
) -> None:
    """C, Bad Request and Forbidden: `meta` with its pagination, and `errors`."""
    response = ask(systems, "https://any.example/oauth2/token", FORM | secret, body)

    (error,) = fields(response)["errors"]
    assert (response.status_code, error["httpcode"]) == (status, status)
    assert response.headers["content-type"] == "application/json"
    assert fields(response)["meta"] == {"pagination": {"limit": 0, "offset": 0, "total_count": 0}}
    assert error.keys() == {"httpcode", "message"}
    assert systems.violations == ()


D_JSON = b"""{
"WindowsAuthentication": true,
"client_id": "sample string 2",
"client_secret": "sample string 3",
"scope": "sample string 4",
"username": "sample string 5",
"password": "sample string 6",
"grant_type": "%b",
"refresh_token": "sample string 8"
}"""
D_XML = (
    f"<TokenRequest {CONTRACT}> <WindowsAuthentication>true</WindowsAuthentication> "
    "<client_id>sample string 2</client_id> <client_secret>sample string 3</client_secret> "
    "<grant_type>%b</grant_type> <password>sample string 6</password> "
    "<refresh_token>sample string 8</refresh_token> <scope>sample string 4</scope> "
    "<username>sample string 5</username> </TokenRequest>"
).encode()
D_MEMBERS = [
    "access_token",
    "expires_in",
    "ip",
    "is_editor",
    "not_before_policy",
    "redirect_url",
    "refresh_expires_in",
    "refresh_token",
    "scope",
    "session_state",
    "token_type",
]


@pytest.mark.parametrize(
    "kind, sample",
    [
        ("application/json", D_JSON),
        ("text/json", D_JSON),
        ("application/xml", D_XML),
        ("text/xml", D_XML),
    ],
)
@pytest.mark.parametrize("grant_type, status", [(b"password", 200), (b"sample string 7", 400)])
def test_d_request_and_response_formats(
    *, kind: str, sample: bytes, grant_type: bytes, status: int
) -> None:
    """D, Request Formats and Response Formats: the samples, and every member in every answer."""
    systems = DocumentedSystems(
        client_id="sample string 2",
        client_secret="sample string 3",
        username="sample string 5",
        password="sample string 6",
    )
    url = "https://any.example/api/v1/auth/token"

    response = ask(systems, url, {"content-type": kind}, sample % grant_type)

    assert response.status_code == status
    assert response.headers["content-type"] == f"{kind}; charset=utf-8"
    assert systems.violations == ()
    places = [response.content.find(name.encode()) for name in D_MEMBERS]
    if status == 200:
        assert -1 not in places
    if status == 200 and sample is D_XML:
        assert places == sorted(places), "in ordinal order"


def test_e_parameters(systems: DocumentedSystems) -> None:
    """E, Parameters: all are optional, and grantType is refresh_token by default."""
    headers = {"accept": "application/json", "content-type": "multipart/form-data; boundary=x"}
    sample = {
        "grant_type": "password",
        "client_id": "client",
        "client_secret": "secret",
        "scope": "scope",
        "username": "username",
        "password": "password",
        "refresh_token": "refreshToken_example",
    }

    def written(parts: dict[str, str]) -> bytes:
        head = "--x\r\nContent-Disposition: form-data; name="
        return "".join(f'{head}"{n}"\r\n\r\n{t}\r\n' for n, t in parts.items()).encode() + b"--x--"

    token = ask(systems, "http://localhost/oauth/token", headers, written(sample))
    alone = {"refresh_token": fields(token)["refresh_token"]}
    refreshed = ask(systems, "http://localhost/oauth/token", headers, written(alone))
    refused = ask(systems, "http://localhost/oauth/token", headers, written(alone))

    assert (token.status_code, refreshed.status_code) == (200, 200)
    assert (refused.status_code, refused.content) == (400, b""), "E, HTTP response details"
    assert systems.violations == ()
