"""The documented systems, by literal requests; the answers' forms are those of the documents."""

import json
from base64 import b64encode
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import pytest

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import DocumentedSystems, FakeClock

ADS = "/sdf242fgc4544g4vgg4v3sfsfv3"
HELLO = "/SayHello/odfksdlfksld345345fdgdfg3453"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json", "accept": "application/json"}
NAMESPACES = (
    'xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns="http://schemas.datacontract.org/2004/07/IO.Swagger.Models"'
)
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 Appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
REDIRECT_URI = "https://app.example/cb"


def basic(credentials: str = "client:secret") -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


def ask(
    systems: DocumentedSystems,
    method: str,
    path: str,
    headers: dict[str, str] | list[tuple[str, str]],
    content: bytes = b"",
) -> HTTPResponse:
    return systems.answer(HTTPRequest(method, f"http://localhost{path}", headers, content))


def form(
    systems: DocumentedSystems, path: str, headers: dict[str, str], **parameters: str
) -> HTTPResponse:
    return ask(systems, "POST", path, {**FORM, **headers}, urlencode(parameters).encode())


def multipart(**parts: str) -> tuple[dict[str, str], bytes]:
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in parts.items()
    )
    headers = {"content-type": "multipart/form-data; boundary=x", "accept": "application/json"}
    return headers, f"{body}--x--\r\n".encode()


def fields(response: HTTPResponse) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(response.content)
    return parsed


@pytest.fixture
def systems() -> DocumentedSystems:
    return DocumentedSystems(expires_in=60, clock=FakeClock())


# A


def password(systems: DocumentedSystems, **more: str) -> HTTPResponse:
    parameters = {"grant_type": "password", "username": "ada", "password": "lovelace", **more}
    return form(systems, ADS, basic(), **parameters)


def test_ads_answers_a_password_with_numbers_as_text(systems: DocumentedSystems) -> None:
    response = password(systems, scope="read write", anything="else")

    assert response.status_code == 200
    assert fields(response) == {
        "access_token": "access-token-2",
        "token_type": "Bearer",
        "expires_in": "60",
        "scope": "read",
        "expiry": "1700000060",
        "refresh_token": "refresh-token-1",
    } | {"scope": "read write"}
    assert systems.violations == ()


def test_ads_rotates_refresh_tokens(systems: DocumentedSystems) -> None:
    first = fields(password(systems, scope="read write"))["refresh_token"]

    refreshed = form(systems, ADS, basic(), grant_type="refresh_token", refresh_token=first)
    narrowed = form(
        systems,
        ADS,
        basic(),
        grant_type="refresh_token",
        refresh_token=fields(refreshed)["refresh_token"],
        scope="read",
    )
    spent = form(systems, ADS, basic(), grant_type="refresh_token", refresh_token=first)

    assert fields(refreshed)["refresh_token"] != first
    assert (fields(refreshed)["scope"], fields(narrowed)["scope"]) == ("read write", "read")
    assert (spent.status_code, fields(spent)["error"]) == (400, "invalid_grant")
    assert systems.violations == ()


def test_a_refresh_does_not_widen_the_scope(systems: DocumentedSystems) -> None:
    token = fields(password(systems))["refresh_token"]
    widened = form(
        systems, ADS, basic(), grant_type="refresh_token", refresh_token=token, scope="admin"
    )
    assert (widened.status_code, fields(widened)["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    "headers, secret, status, error",
    [
        (basic(), "wrong", 400, "invalid_grant"),
        (basic("client:wrong"), "lovelace", 401, "invalid_client"),
    ],
)
def test_ads_says_no_in_its_documented_form_and_that_is_no_violation(
    systems: DocumentedSystems, headers: dict[str, str], secret: str, status: int, error: str
) -> None:
    response = form(systems, ADS, headers, grant_type="password", username="ada", password=secret)

    assert response.status_code == status
    assert fields(response)["error"] == error
    assert fields(response).keys() == {"error", "error_description", "error_uri"}
    assert ("www-authenticate" in response.headers) is (status == 401)
    assert systems.violations == ()


def test_basic_credentials_are_form_decoded() -> None:
    systems = DocumentedSystems(client_id="a:b", client_secret="s +%")
    parameters = {"grant_type": "password", "username": "ada", "password": "lovelace"}

    encoded = form(systems, ADS, basic("a%3Ab:s%20%2B%25"), **parameters)
    plus = form(systems, ADS, basic("a%3Ab:s+%2B%25"), **parameters)

    assert encoded.status_code == 200
    assert plus.status_code == 400
    assert systems.violations == (
        "ads, token: expected form-encoded credentials, a space as %20, came others",
    )


def bibcode(**changes: str) -> str:
    query = {"bibcode": "1992ApJ", "db_key": "AST", "data_type": "BIBTEX", **changes}
    return f"/cgi-bin/nph-bib_query?{urlencode(query)}"


def test_get_bibcode_answers_without_authorization(systems: DocumentedSystems) -> None:
    response = ask(systems, "GET", bibcode(), {})

    assert fields(response) == {"body": "1992ApJ AST BIBTEX"}
    assert systems.log[0].parameters == ("bibcode", "db_key", "data_type")
    assert systems.violations == ()


def test_test_lets_a_live_token_in_until_it_expires(systems: DocumentedSystems) -> None:
    token = fields(password(systems))["access_token"]
    headers = {**JSON, "authorization": f"Bearer {token}", "postman-token": "x"}

    live = ask(systems, "POST", "/1.1/test.php", headers, b'{"counter": 228}')
    systems.revoke_access_tokens()
    dead = ask(systems, "POST", "/1.1/test.php", headers, b'{"counter": 228}')

    assert fields(live) == {"counter": 228}
    assert dead.status_code == 401
    assert dead.headers["www-authenticate"].startswith("Bearer ")
    assert systems.violations == ()


# B


def test_hello_exchanges_a_code_once(systems: DocumentedSystems) -> None:
    code = systems.issue_code("hello", redirect_uri=REDIRECT_URI, scope="greet")
    parameters = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}

    first = form(systems, HELLO, basic(), **parameters)
    token = fields(first)["refresh_token"]
    again = form(systems, HELLO, basic(), **parameters)
    refreshed = form(systems, HELLO, basic(), grant_type="refresh_token", refresh_token=token)

    assert fields(first)["scope"] == "greet"
    assert fields(first)["expires_in"] == "60"
    assert (again.status_code, fields(again)["error"]) == (400, "invalid_grant")
    assert fields(refreshed)["error"] == "invalid_grant", "a code used twice ends the login"
    assert systems.violations == ()


@pytest.mark.parametrize(
    "changes",
    [{"code": "made up"}, {"redirect_uri": "https://app.example/other"}, {"code_verifier": "x"}],
)
def test_hello_refuses_a_code_that_does_not_fit_its_login(
    systems: DocumentedSystems, changes: dict[str, str]
) -> None:
    code = systems.issue_code("hello", redirect_uri=REDIRECT_URI, code_challenge=CHALLENGE)
    parameters = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }

    refused = form(systems, HELLO, basic(), **{**parameters, **changes})
    granted = form(systems, HELLO, basic(), **parameters)

    assert (refused.status_code, fields(refused)["error"]) == (400, "invalid_grant")
    assert granted.status_code == 200


def test_a_code_expires() -> None:
    systems = DocumentedSystems()
    code = systems.issue_code("hello", redirect_uri=REDIRECT_URI)

    systems.advance(60)

    refused = form(
        systems,
        HELLO,
        basic(),
        grant_type="authorization_code",
        code=code,
        redirect_uri=REDIRECT_URI,
    )
    assert fields(refused)["error"] == "invalid_grant"


def test_say_hello_greets(systems: DocumentedSystems) -> None:
    response = ask(systems, "POST", "/SayHello/sayHello", JSON, b'{"firstName": "Ada"}')
    assert fields(response) == {"greeting": "Hello, Ada!"}
    assert systems.violations == ()


# C


@pytest.mark.parametrize(
    "headers, more",
    [(basic(), {}), ({}, {"client_id": "client", "client_secret": "secret"})],
    ids=["basic", "post"],
)
def test_id_secret_answers_client_credentials(
    systems: DocumentedSystems, headers: dict[str, str], more: dict[str, str]
) -> None:
    response = form(
        systems, "/oauth2/token", headers, grant_type="client_credentials", scope="a b", **more
    )
    assert fields(response) == {
        "access_token": "access-token-1",
        "expires_in": 60,
        "scope": "a b",
        "token_type": "bearer",
    }
    assert systems.violations == ()


@pytest.mark.parametrize(
    "more",
    [
        {"code_challenge": CHALLENGE, "code_verifier": VERIFIER, "client_secret": "secret"},
        {"code_challenge": CHALLENGE},
        {"code_verifier": VERIFIER},
    ],
    ids=["both", "challenge", "verifier"],
)
def test_id_secret_exchanges_a_code_with_the_documented_challenge(
    systems: DocumentedSystems, more: dict[str, str]
) -> None:
    code = systems.issue_code("id_secret", redirect_uri=REDIRECT_URI, code_challenge=CHALLENGE)

    answer = fields(
        form(
            systems,
            "/oauth2/token",
            {},
            grant_type="authorization_code",
            code=code,
            redirect_uri=REDIRECT_URI,
            client_id="client",
            **more,
        )
    )
    refreshed = form(
        systems,
        "/oauth2/token",
        {},
        grant_type="refresh_token",
        refresh_token=answer["refresh_token"],
    )

    assert answer.keys() == fields(refreshed).keys()
    assert answer.keys() == {
        "access_token",
        "refresh_token",
        "id_token",
        "expires_in",
        "scope",
        "token_type",
    }
    assert systems.violations == ()


@pytest.mark.parametrize(
    "headers, grant, status, message",
    [
        (
            basic("client:wrong"),
            {"grant_type": "client_credentials"},
            403,
            "client authentication failed",
        ),
        ({}, {"grant_type": "client_credentials"}, 403, "client authentication failed"),
        (
            basic(),
            {"grant_type": "refresh_token", "refresh_token": "made up"},
            400,
            "the refresh token is not good any more",
        ),
    ],
)
def test_id_secret_says_no_with_a_list_of_errors(
    systems: DocumentedSystems,
    *,
    headers: dict[str, str],
    grant: dict[str, str],
    status: int,
    message: str,
) -> None:
    response = form(systems, "/oauth2/token", headers, **grant)

    assert response.status_code == status
    answer = fields(response)
    assert answer["meta"] == {"pagination": {"limit": 0, "offset": 0, "total_count": 0}}
    assert answer["errors"] == [{"httpcode": status, "message": message}]
    assert systems.violations == ()


def test_id_secret_says_no_to_another_grant_in_the_same_form(systems: DocumentedSystems) -> None:
    response = form(systems, "/oauth2/token", basic(), grant_type="password")

    (error,) = fields(response)["errors"]
    assert (response.status_code, error["httpcode"]) == (400, 400)
    assert error["message"].startswith("expected grant_type client_credentials or")


# D


def auth_v1(
    systems: DocumentedSystems, kind: str, content: str, *, accept: str | None = None
) -> HTTPResponse:
    headers = {"content-type": kind} | ({"accept": accept} if accept else {})
    return ask(systems, "POST", "/api/v1/auth/token", headers, content.encode())


PASSWORD_JSON = '{"grant_type": "password", "username": "ada", "password": "lovelace"}'
PASSWORD_XML = (
    f"<TokenRequest {NAMESPACES}><WindowsAuthentication>false</WindowsAuthentication>"
    "<grant_type>password</grant_type><password>lovelace</password>"
    "<username>ada</username></TokenRequest>"
)


def test_auth_v1_answers_in_json_with_every_member(systems: DocumentedSystems) -> None:
    response = auth_v1(systems, "application/json", PASSWORD_JSON)

    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.content == (
        b'{"access_token":"access-token-2","expires_in":60,'
        b'"redirect_url":"https:\\/\\/app.example\\/start","ip":null,"is_editor":true,'
        b'"refresh_expires_in":86400,"refresh_token":"refresh-token-1","token_type":"Bearer",'
        b'"not_before_policy":0,"session_state":null,"scope":"read"}'
    )
    assert systems.violations == ()


def test_auth_v1_answers_in_xml_in_ordinal_order(systems: DocumentedSystems) -> None:
    response = auth_v1(systems, "text/xml", PASSWORD_XML)

    assert response.headers["content-type"] == "text/xml; charset=utf-8"
    assert response.content.decode() == (
        f"<AccessTokenResponse {NAMESPACES}><access_token>access-token-2</access_token>"
        '<expires_in>60</expires_in><ip i:nil="true"/><is_editor>true</is_editor>'
        "<not_before_policy>0</not_before_policy>"
        "<redirect_url>https://app.example/start</redirect_url>"
        "<refresh_expires_in>86400</refresh_expires_in>"
        "<refresh_token>refresh-token-1</refresh_token><scope>read</scope>"
        '<session_state i:nil="true"/><token_type>Bearer</token_type></AccessTokenResponse>'
    )
    assert systems.violations == ()


@pytest.mark.parametrize(
    "kind, accept, expected",
    [
        ("application/json", "application/xml", "application/xml"),
        ("text/xml", "text/json;q=1, */*", "text/json"),
        ("text/xml", "*/*", "text/xml"),
        ("text/json", None, "text/json"),
    ],
)
def test_auth_v1_answers_in_the_format_that_is_accepted(
    systems: DocumentedSystems, kind: str, accept: str | None, expected: str
) -> None:
    content = PASSWORD_XML if "xml" in kind else PASSWORD_JSON
    response = auth_v1(systems, kind, content, accept=accept)
    assert response.headers["content-type"] == f"{expected}; charset=utf-8"


def test_auth_v1_takes_forms_and_client_credentials(systems: DocumentedSystems) -> None:
    content = (
        "grant_type=client_credentials&client_id=client&client_secret=secret"
        "&WindowsAuthentication=false"
    )
    answer = fields(auth_v1(systems, FORM["content-type"], content))

    assert (answer["refresh_token"], answer["refresh_expires_in"]) == (None, 0)
    assert systems.violations == ()


def test_auth_v1_finds_out_what_is_asked_for_when_it_is_not_said(
    systems: DocumentedSystems,
) -> None:
    """Every parameter is optional, grant_type too."""
    windows = fields(auth_v1(systems, "text/json", '{"WindowsAuthentication": true}'))
    refresh = json.dumps({"refresh_token": windows["refresh_token"]})

    assert auth_v1(systems, "application/json", refresh).status_code == 200
    assert systems.violations == ()


WRONG_CLIENT = '{"grant_type": "password", "client_id": "client", "client_secret": "x"}'


@pytest.mark.parametrize(
    "content, status, message",
    [
        ("{}", 400, "username is missing"),
        ('{"refresh_token": "made up"}', 400, "the refresh token is not good any more"),
        ('{"grant_type": "magic"}', 400, "this grant_type is not supported"),
        (WRONG_CLIENT, 401, "client authentication failed"),
    ],
)
def test_auth_v1_says_no_with_a_message(
    systems: DocumentedSystems, content: str, status: int, message: str
) -> None:
    in_json = auth_v1(systems, "text/json", content)
    in_xml = auth_v1(systems, "text/json", content, accept="application/xml")

    assert (in_json.status_code, in_xml.status_code) == (status, status)
    assert in_json.headers["content-type"] == "text/json; charset=utf-8"
    assert fields(in_json) == {"Message": message}
    assert in_xml.headers["content-type"] == "application/xml; charset=utf-8"
    assert in_xml.content.decode() == f"<Error><Message>{message}</Message></Error>"
    assert systems.violations == ()


def test_auth_v1_says_no_to_a_form_in_json(systems: DocumentedSystems) -> None:
    response = auth_v1(systems, FORM["content-type"], "grant_type=magic")

    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert fields(response) == {"Message": "this grant_type is not supported"}


# E


def test_put_auth_exchanges_codes_and_refreshes_by_default(systems: DocumentedSystems) -> None:
    code = systems.issue_code("put_auth", redirect_uri=REDIRECT_URI)
    headers, content = multipart(
        grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI
    )
    first = fields(ask(systems, "POST", "/oauth/token", headers, content))

    headers, content = multipart(refresh_token=first["refresh_token"])
    refreshed = fields(ask(systems, "POST", "/oauth/token", headers, content))

    assert refreshed == {
        "access_token": "access-token-4",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "read",
        "refresh_token": "refresh-token-3",
        "refresh_expires_in": 86_400,
    }
    assert systems.violations == ()


def test_put_auth_gives_client_credentials_no_refresh_token(systems: DocumentedSystems) -> None:
    headers, content = multipart(
        grant_type="client_credentials", client_id="client", client_secret="secret"
    )
    answer = fields(ask(systems, "POST", "/oauth/token", headers, content))
    assert "refresh_token" not in answer


@pytest.mark.parametrize(
    "parameters",
    [
        {"grant_type": "password", "username": "ada", "password": "wrong"},
        {"refresh_token": "made up"},
        {"grant_type": "magic"},
        {"grant_type": "client_credentials", "client_id": "client", "client_secret": "wrong"},
    ],
)
def test_put_auth_says_no_with_400_and_nothing_else(
    systems: DocumentedSystems, parameters: dict[str, str]
) -> None:
    headers, content = multipart(**parameters)
    response = ask(systems, "POST", "/oauth/token", headers, content)

    assert (response.status_code, response.content) == (400, b"")
    assert systems.violations == ()


# What is not as documented

GOOD_ADS = b"grant_type=password&username=ada&password=lovelace"
PART = b'--x\r\nContent-Disposition: form-data; name="scope"'
MULTIPART = {"content-type": "multipart/form-data; boundary=x", "accept": "application/json"}
BEARER = {"authorization": "Bearer access-token-1"}
AUTH_V1 = "/api/v1/auth/token"


def xml(inside: str, attributes: str = NAMESPACES, root: str = "TokenRequest") -> bytes:
    return f"<{root} {attributes}>{inside}</{root}>".encode()


@pytest.mark.parametrize(
    "method, path, headers, content, violation",
    [
        ("GET", "/else", {}, b"", "came /else"),
        # A
        ("PUT", ADS, {**FORM, **basic()}, GOOD_ADS, "expected POST, came PUT"),
        ("POST", ADS, basic(), GOOD_ADS, "came none"),
        ("POST", ADS, {**basic(), "content-type": "text/plain"}, GOOD_ADS, "came ('text/plain',)"),
        ("POST", ADS, FORM, GOOD_ADS, "expected Authorization: Basic, came none"),
        ("POST", ADS, {**FORM, **BEARER}, GOOD_ADS, "Basic, came bearer"),
        ("POST", ADS, {**FORM, "authorization": "Basic"}, GOOD_ADS, "not one scheme"),
        ("POST", ADS, {**FORM, "authorization": "Basic !"}, GOOD_ADS, "not one scheme"),
        ("POST", ADS, {**FORM, "authorization": "Basic ="}, GOOD_ADS, "not Base64"),
        ("POST", ADS, {**FORM, **basic()}, b"%", "not form-urlencoded"),
        ("POST", ADS, {**FORM, **basic()}, b"", "expected grant_type password or refresh_token"),
        ("POST", ADS, {**FORM, **basic()}, b"grant_type=x", "came 'x'"),
        ("POST", ADS, {**FORM, **basic()}, b"grant_type=password&username=a", "parameter password"),
        ("POST", ADS, {**FORM, **basic()}, GOOD_ADS + b"&x=1&x=2", "x once, came 2 times"),
        # its API
        ("POST", bibcode(), {}, b"", "expected GET, came POST"),
        ("GET", bibcode(), {}, b"body", "expected no body"),
        ("GET", bibcode(), basic(), b"", "expected no Authorization header"),
        ("GET", bibcode(grant_type="x"), {}, b"", "alone, came 'grant_type'"),
        ("GET", "/cgi-bin/nph-bib_query", {}, b"", "the parameter bibcode"),
        ("POST", "/1.1/test.php", JSON, b'{"counter": 1}', "Bearer, came none"),
        (
            "POST",
            "/1.1/test.php",
            {**JSON, "authorization": "Bearer"},
            b'{"counter": 1}',
            "not one scheme",
        ),
        ("POST", "/1.1/test.php", {**JSON, **BEARER}, b'{"counter": "1"}', "as int, came str"),
        ("POST", "/1.1/test.php", {**JSON, **BEARER}, b'{"counter": true}', "as int, came bool"),
        ("POST", "/1.1/test.php", {**JSON, **BEARER}, b"{}", "the parameter counter"),
        ("POST", "/1.1/test.php", {**JSON, **BEARER}, b"1", "not a JSON object"),
        (
            "POST",
            "/1.1/test.php",
            [*JSON.items(), *BEARER.items(), ("Content-Type", "text/json")],
            b'{"counter": 1}',
            "content-type: once",
        ),
        (
            "POST",
            "/1.1/test.php",
            [*JSON.items(), *BEARER.items(), ("postman-token", "a"), ("postman-token", "b")],
            b'{"counter": 1}',
            "postman-token at most once",
        ),
        # B
        ("POST", "/SayHello/sayHello", JSON, b'{"name": "Ada"}', "came 'name'"),
        (
            "POST",
            "/SayHello/sayHello",
            {**JSON, "accept": "*/*"},
            b'{"firstName": "Ada"}',
            "accept: application/json, came ('*/*',)",
        ),
        (
            "POST",
            "/SayHello/sayHello",
            {**JSON, **BEARER},
            b'{"firstName": "Ada"}',
            "no Authorization",
        ),
        ("POST", HELLO, {**FORM, **basic()}, GOOD_ADS, "came 'password'"),
        # C
        (
            "POST",
            "/oauth2/token",
            {**FORM, **basic()},
            b"grant_type=client_credentials&x=1",
            "documented parameters alone, came 'x'",
        ),
        # D
        ("POST", AUTH_V1, basic(), b"", "no Authorization header"),
        ("POST", AUTH_V1, {"content-type": "text/plain"}, b"", "came text/plain"),
        (
            "POST",
            AUTH_V1,
            {"content-type": "text/json"},
            b'{"WindowsAuthentication": "true"}',
            "as bool, came str",
        ),
        ("POST", AUTH_V1, {"content-type": "text/json"}, b'{"scope": null}', "came NoneType"),
        ("POST", AUTH_V1, FORM, b"WindowsAuthentication=True", "true or false"),
        ("POST", AUTH_V1, {"content-type": "text/xml"}, b"<", "not XML"),
        ("POST", AUTH_V1, {"content-type": "text/xml"}, xml("", root="Token"), "the root"),
        ("POST", AUTH_V1, {"content-type": "text/xml"}, xml("", attributes=""), "the root"),
        (
            "POST",
            AUTH_V1,
            {"content-type": "text/xml"},
            xml("<username>a</username><scope>b</scope>"),
            "elements in ordinal order",
        ),
        (
            "POST",
            AUTH_V1,
            {"content-type": "text/xml"},
            xml('<scope i:nil="true"/>'),
            "scope as a plain element",
        ),
        (
            "POST",
            AUTH_V1,
            {"content-type": "text/xml"},
            xml("<WindowsAuthentication>True</WindowsAuthentication>"),
            "true or false",
        ),
        # E
        ("POST", "/oauth/token", {**MULTIPART, **basic()}, b"--x--", "no Authorization"),
        ("POST", "/oauth/token", {**MULTIPART, "accept": "*/*"}, b"--x--", "accept"),
        ("POST", "/oauth/token", {**JSON}, b"{}", "multipart/form-data, came application/json"),
        ("POST", "/oauth/token", MULTIPART, b"", "a multipart body"),
        (
            "POST",
            "/oauth/token",
            MULTIPART,
            PART + b'; filename="a"\r\n\r\na\r\n--x--',
            "no filename for scope",
        ),
        (
            "POST",
            "/oauth/token",
            MULTIPART,
            PART + b"\r\nContent-Type: text/plain\r\n\r\na\r\n--x--",
            "no type for scope",
        ),
        (
            "POST",
            "/oauth/token",
            MULTIPART,
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--",
            "a name for every part",
        ),
    ],
)
def test_what_is_not_as_documented_is_a_violation_and_is_refused(
    systems: DocumentedSystems,
    *,
    method: str,
    path: str,
    headers: dict[str, str] | list[tuple[str, str]],
    content: bytes,
    violation: str,
) -> None:
    response = ask(systems, method, path, headers, content)

    assert response.status_code in {400, 404}
    assert any(violation in found for found in systems.violations), systems.violations
    assert systems.log[0].violations


def test_no_secret_is_in_the_log(systems: DocumentedSystems) -> None:
    password(systems, password="canary-1")
    form(systems, ADS, basic("client:canary-2"), grant_type="password", username="canary-3")

    assert "canary" not in repr(systems.log)
    assert "canary" not in repr(systems.violations)


# Mounted


Mounted = Literal["transport", "asgi", "socket"]


@pytest.mark.parametrize("mounted", ["transport", "asgi", "socket"])
async def test_all_systems_are_served_in_process_and_on_a_socket(mounted: Mounted) -> None:
    systems = DocumentedSystems()

    async def call(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(
            "/SayHello/sayHello", json={"firstName": "Ada"}, headers={"accept": "application/json"}
        )

    if mounted == "socket":
        async with systems.serve() as url, httpx.AsyncClient(base_url=url) as http:
            answer = await call(http)
    else:
        transport = (
            systems.transport() if mounted == "transport" else httpx.ASGITransport(systems.asgi())
        )
        async with httpx.AsyncClient(
            transport=transport, base_url="http://www.examples.com"
        ) as http:
            answer = await call(http)

    assert answer.json() == {"greeting": "Hello, Ada!"}
    assert systems.violations == ()


# Where the systems are


GREETING = b'{"firstName": "Ada"}'


@pytest.mark.parametrize(
    "host, good",
    [
        ("www.examples.com", True),
        ("WWW.EXAMPLES.COM:80", True),
        ("sandbox.example", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("localhost", True),
        ("www.examples.com:8080", False),
        ("adsabs.harvard.edu", False),
        ("localhost.example", False),
        ("[", False),
    ],
)
def test_a_request_for_another_host_than_the_documented_one_is_a_violation(
    host: str, *, good: bool
) -> None:
    """Base URL of the document of B; this machine is where a copy of it runs."""
    systems = DocumentedSystems(hosts=["Sandbox.example"])
    request = HTTPRequest(
        "POST", "http://127.0.0.1:1/SayHello/sayHello", {**JSON, "host": host}, GREETING
    )

    response = systems.answer(request)

    assert (response.status_code == 200) is good
    assert (not systems.violations) is good
    if not good:
        (violation,) = systems.violations
        assert violation.startswith("hello, sayHello: expected the host sandbox.example or www.")


@pytest.mark.parametrize(
    "path, good",
    [
        (ADS, False),
        (HELLO, False),
        ("/oauth2/token", True),
        ("/api/v1/auth/token", True),
        ("/oauth/token", False),
    ],
)
def test_where_no_host_is_documented_any_will_do(path: str, *, good: bool) -> None:
    systems = DocumentedSystems()
    systems.answer(HTTPRequest("POST", f"https://any.example{path}", FORM, b""))
    assert any("the host" in violation for violation in systems.violations) is not good


def test_a_single_host_may_come_alone() -> None:
    assert DocumentedSystems(hosts="Sandbox.example").hosts == {"sandbox.example"}


@pytest.mark.parametrize("host", ["adsabs.harvard.edu", "www.foofle.com"])
def test_both_environments_of_ads_are_known(host: str) -> None:
    systems = DocumentedSystems()
    systems.answer(HTTPRequest("GET", f"http://{host}{bibcode()}", {}))
    assert systems.violations == ()


async def test_the_host_is_checked_on_a_socket_too() -> None:
    systems = DocumentedSystems()
    async with systems.serve() as url, httpx.AsyncClient() as http:
        good = await http.get(f"{url}{bibcode()}")
        bad = await http.get(f"{url}{bibcode()}", headers={"host": "evil.example"})

    assert (good.status_code, bad.status_code) == (200, 400)
    assert len(systems.violations) == 1


def test_the_challenge_of_another_verifier_is_a_violation(systems: DocumentedSystems) -> None:
    """`code_challenge` of the document of C, beside the verifier of RFC 7636."""
    code = systems.issue_code("id_secret", redirect_uri=REDIRECT_URI, code_challenge=CHALLENGE)
    response = form(
        systems,
        "/oauth2/token",
        basic(),
        grant_type="authorization_code",
        code=code,
        redirect_uri=REDIRECT_URI,
        client_id="client",
        code_verifier="x" * 43,
        code_challenge=CHALLENGE,
    )
    assert response.status_code == 400
    assert "expected the challenge of the code_verifier" in systems.violations[0]


def test_logins_can_be_ended(systems: DocumentedSystems) -> None:
    token = fields(password(systems))["refresh_token"]
    systems.revoke_logins()
    refused = form(systems, ADS, basic(), grant_type="refresh_token", refresh_token=token)
    assert (refused.status_code, fields(refused)["error"]) == (400, "invalid_grant")
    assert systems.violations == ()
