"""The fake server's state machine, by literal requests: no client of ours is in between."""

import json
import time
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from oauthkit import AsyncTokenSession
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.token import Token
from oauthkit.testing import FakeAuthorizationServer

FORM = "application/x-www-form-urlencoded"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 Appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def basic(credentials: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


def token_request(
    fake: FakeAuthorizationServer,
    parameters: dict[str, str],
    *,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> HTTPResponse:
    return fake.answer(
        HTTPRequest(
            method,
            f"{fake.issuer}/token",
            {"content-type": FORM, **(basic("client:secret") if headers is None else headers)},
            urlencode(parameters).encode(),
        )
    )


def fields(response: HTTPResponse) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(response.content)
    return parsed


def error(response: HTTPResponse) -> tuple[int, str]:
    return response.status_code, fields(response)["error"]


def refresh(fake: FakeAuthorizationServer, refresh_token: str, **more: str) -> HTTPResponse:
    parameters = {"grant_type": "refresh_token", "refresh_token": refresh_token, **more}
    return token_request(fake, parameters)


def api(fake: FakeAuthorizationServer, access_token: str) -> int:
    headers = {"authorization": f"Bearer {access_token}"}
    return fake.answer(HTTPRequest("GET", "https://api.example/x", headers)).status_code


def login(fake: FakeAuthorizationServer, **changes: str | None) -> str:
    """Go to the authorization endpoint and come back with a code."""
    callback = fake.authorize(authorization_url(fake, **changes))
    return parse_qs(urlsplit(callback).query)["code"][0]


def authorization_url(fake: FakeAuthorizationServer, **changes: str | None) -> str:
    parameters = {
        "response_type": "code",
        "client_id": fake.client_id,
        "redirect_uri": "https://app.example/cb?keep=1",
        "state": "xyz",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    query = urlencode({name: text for name, text in parameters.items() if text is not None})
    return f"{fake.issuer}/authorize?{query}"


def exchange(fake: FakeAuthorizationServer, code: str, **changes: str | None) -> HTTPResponse:
    parameters = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "https://app.example/cb?keep=1",
        "code_verifier": VERIFIER,
        **changes,
    }
    return token_request(
        fake, {name: text for name, text in parameters.items() if text is not None}
    )


# Client credentials, and how clients authenticate


def test_client_credentials_get_an_access_token_alone() -> None:
    fake = FakeAuthorizationServer()

    response = token_request(fake, {"grant_type": "client_credentials"})

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert fields(response) == {
        "access_token": "access-token-1",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "read",
    }
    assert (fake.families_alive, fake.families_killed) == (0, 0)


def test_a_scope_that_is_asked_for_is_granted() -> None:
    response = token_request(
        FakeAuthorizationServer(), {"grant_type": "client_credentials", "scope": "write"}
    )
    assert fields(response)["scope"] == "write"


@pytest.mark.parametrize("credentials", ["a%3Ab:s%20%2B%25", "a%3ab:s+%2B%25"])
def test_basic_credentials_are_form_decoded(credentials: str) -> None:
    fake = FakeAuthorizationServer(client_id="a:b", client_secret="s +%")
    response = token_request(fake, {"grant_type": "client_credentials"}, headers=basic(credentials))
    assert response.status_code == 200


def test_basic_credentials_may_come_raw() -> None:
    fake = FakeAuthorizationServer(client_secret="s +%41:")
    response = token_request(
        fake, {"grant_type": "client_credentials"}, headers=basic("client:s +%41:")
    )
    assert response.status_code == 200


def test_credentials_may_come_in_the_body() -> None:
    parameters = {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": "secret",
    }
    assert token_request(FakeAuthorizationServer(), parameters, headers={}).status_code == 200


@pytest.mark.parametrize(
    "headers, parameters",
    [
        (basic("client:wrong"), {}),
        (basic("other:secret"), {}),
        (basic("client:secret"), {"client_id": "other"}),
        ({"authorization": "Digest abc"}, {}),
        ({}, {}),
        ({}, {"client_id": "client"}),
        ({}, {"client_id": "client", "client_secret": "wrong"}),
    ],
)
def test_who_cannot_prove_to_be_the_client_is_challenged(
    headers: dict[str, str], parameters: dict[str, str]
) -> None:
    response = token_request(
        FakeAuthorizationServer(),
        {"grant_type": "client_credentials", **parameters},
        headers=headers,
    )
    assert error(response) == (401, "invalid_client")
    assert response.headers["www-authenticate"].startswith("Basic ")


def test_two_ways_of_authentication_at_once_are_refused() -> None:
    parameters = {"grant_type": "client_credentials", "client_secret": "secret"}
    response = token_request(FakeAuthorizationServer(), parameters)
    assert error(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    "header", ["Basic", "Basic a b", "Basic !!!", f"Basic {b64encode(b'no colon').decode()}"]
)
def test_broken_credentials_are_an_invalid_request(header: str) -> None:
    response = token_request(
        FakeAuthorizationServer(),
        {"grant_type": "client_credentials"},
        headers={"authorization": header},
    )
    assert error(response) == (400, "invalid_request")


def test_a_public_client_names_itself_and_gets_no_client_credentials() -> None:
    fake = FakeAuthorizationServer(client_secret=None)
    grant = {"client_id": "client", "username": "ada", "password": "lovelace"}

    granted = token_request(fake, {"grant_type": "password", **grant}, headers={})
    refused = token_request(fake, {"grant_type": "client_credentials", **grant}, headers={})

    assert granted.status_code == 200
    assert error(refused) == (400, "unauthorized_client")
    assert repr(fake.client_auth) == "PublicClient(client_id='client')"


# Requests that no grant belongs to


@pytest.mark.parametrize(
    "parameters, expected",
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "ada"}, "invalid_request"),
        (
            {"grant_type": "password", "username": "ada", "password": "wrong"},
            "invalid_grant",
        ),
        ({"grant_type": "refresh_token", "refresh_token": "made up"}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "made up"}, "invalid_grant"),
    ],
)
def test_what_cannot_be_granted_is_refused_in_the_words_of_the_rfc(
    parameters: dict[str, str], expected: str
) -> None:
    assert error(token_request(FakeAuthorizationServer(), parameters)) == (400, expected)


def test_the_token_endpoint_takes_post_alone() -> None:
    response = token_request(
        FakeAuthorizationServer(), {"grant_type": "client_credentials"}, method="PUT"
    )
    assert error(response) == (405, "invalid_request")


@pytest.mark.parametrize(
    "content_type, content",
    [
        (FORM, b"grant_type=password&grant_type=password"),
        (FORM, b"%"),
        (FORM, b"a=\xff"),
        ("application/json", b"[1]"),
        ("application/json", b"{"),
        ("application/xml", b"<a>"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nno blank line\r\n--x--\r\n"),
        ("text/plain", b"grant_type=client_credentials"),
    ],
)
def test_an_unreadable_body_is_an_invalid_request(content_type: str, content: bytes) -> None:
    fake = FakeAuthorizationServer()
    headers = {"content-type": content_type, **basic("client:secret")}

    response = fake.answer(HTTPRequest("POST", f"{fake.issuer}/token", headers, content))

    assert error(response) == (400, "invalid_request")
    assert fake.token_requests[0].parameters == {}


@pytest.mark.parametrize(
    "content_type, content",
    [
        ("application/json; charset=utf-8", b'{"grant_type": "client_credentials", "n": 1}'),
        ("text/xml", b"<TokenRequest><grant_type>client_credentials</grant_type></TokenRequest>"),
        (
            'multipart/form-data; boundary="x"',
            (
                b"--x\r\nContent-Disposition: form-data; name=grant_type\r\n\r\n"
                b"client_credentials\r\n--x--\r\n"
            ),
        ),
    ],
)
def test_other_formats_are_read_too(content_type: str, content: bytes) -> None:
    fake = FakeAuthorizationServer()
    headers = {"content-type": content_type, **basic("client:secret")}

    response = fake.answer(HTTPRequest("POST", f"{fake.issuer}/token", headers, content))

    assert response.status_code == 200
    assert fake.token_requests[0].content_type == content_type.partition(";")[0]


def test_a_parameter_that_is_no_text_is_refused() -> None:
    fake = FakeAuthorizationServer()
    headers = {"content-type": "application/json", **basic("client:secret")}

    response = fake.answer(
        HTTPRequest("POST", f"{fake.issuer}/token", headers, b'{"grant_type": 7}')
    )

    assert error(response) == (400, "invalid_request")


def test_every_token_request_is_written_down_without_showing_secrets() -> None:
    fake = FakeAuthorizationServer()
    parameters = {"grant_type": "password", "username": "ada", "password": "lovelace"}
    token_request(fake, parameters)

    (record,) = fake.token_requests

    assert record.parameters == parameters
    assert record.headers["authorization"].startswith("Basic ")
    assert (record.content_type, record.status_code, record.at) == (FORM, 200, fake.clock.time())
    assert "lovelace" not in repr(record)


# How long tokens live, and what answers carry


@pytest.mark.parametrize("expires_in", [60, "60", 60.0, "60.0"], ids=repr)
def test_the_lifetime_is_carried_as_it_is_and_holds(expires_in: object) -> None:
    fake = FakeAuthorizationServer(expires_in=expires_in)
    answer = fields(token_request(fake, {"grant_type": "client_credentials"}))

    fake.advance(59.9)
    before = api(fake, answer["access_token"])
    fake.advance(0.1)
    after = api(fake, answer["access_token"])

    assert answer["expires_in"] == expires_in
    assert type(answer["expires_in"]) is type(expires_in)
    assert (before, after) == (200, 401)


@pytest.mark.parametrize("expires_in", [None, "soon", [], 10**400])
def test_a_lifetime_that_is_no_number_lasts_for_ever(expires_in: object) -> None:
    fake = FakeAuthorizationServer(expires_in=expires_in)
    answer = fields(token_request(fake, {"grant_type": "client_credentials"}))

    fake.advance(1e9)

    assert ("expires_in" in answer) is (expires_in is not None)
    assert api(fake, answer["access_token"]) == 200


def test_further_members_are_added_and_replace() -> None:
    fake = FakeAuthorizationServer(extra={"token_type": "bearer", "sub": "ada"})
    answer = fields(token_request(fake, {"grant_type": "client_credentials"}))
    assert (answer["token_type"], answer["sub"]) == ("bearer", "ada")


# Refresh tokens


def test_a_refresh_token_is_rotated() -> None:
    fake = FakeAuthorizationServer(refresh_expires_in=100)
    token = fake.issue()

    answer = fields(refresh(fake, str(token.refresh_token)))

    assert answer["refresh_token"] != token.refresh_token
    assert answer["refresh_expires_in"] == 100
    assert token.refresh_expires_at == fake.clock.time() + 100


def test_a_server_that_does_not_rotate_leaves_the_refresh_token_out() -> None:
    fake = FakeAuthorizationServer(rotate=False, refresh_expires_in=100)
    refresh_token = str(fake.issue().refresh_token)

    first, second = refresh(fake, refresh_token), refresh(fake, refresh_token)

    assert first.status_code == second.status_code == 200
    assert not {"refresh_token", "refresh_expires_in"} & fields(first).keys()
    assert fake.presented_twice == 0


def test_a_reused_refresh_token_kills_the_whole_family() -> None:
    """RFC 9700 §4.14.2: access tokens too."""
    fake = FakeAuthorizationServer()
    token, bystander = fake.issue(), fake.issue()
    successor = fields(refresh(fake, str(token.refresh_token)))

    reused = refresh(fake, str(token.refresh_token))

    assert error(reused) == (400, "invalid_grant")
    assert error(refresh(fake, successor["refresh_token"])) == (400, "invalid_grant")
    assert api(fake, successor["access_token"]) == api(fake, token.access_token) == 401
    assert api(fake, bystander.access_token) == 200
    assert (fake.families_alive, fake.families_killed, fake.presented_twice) == (1, 1, 1)


def test_without_reuse_detection_the_successor_stays_good() -> None:
    fake = FakeAuthorizationServer(detect_reuse=False)
    token = fake.issue()
    successor = fields(refresh(fake, str(token.refresh_token)))

    assert error(refresh(fake, str(token.refresh_token))) == (400, "invalid_grant")
    assert refresh(fake, successor["refresh_token"]).status_code == 200


def test_within_the_grace_time_a_spent_refresh_token_gives_the_same_successor() -> None:
    fake = FakeAuthorizationServer(grace=10)
    spent = str(fake.issue().refresh_token)
    first = fields(refresh(fake, spent))

    fake.advance(9)
    again = fields(refresh(fake, spent))

    assert again["refresh_token"] == first["refresh_token"]
    assert again["access_token"] != first["access_token"]
    assert api(fake, first["access_token"]) == api(fake, again["access_token"]) == 200


def test_the_grace_time_ends() -> None:
    fake = FakeAuthorizationServer(grace=10)
    spent = str(fake.issue().refresh_token)
    refresh(fake, spent)

    fake.advance(10)

    assert error(refresh(fake, spent)) == (400, "invalid_grant")
    assert fake.families_killed == 1


def test_the_grace_time_ends_when_the_successor_is_used() -> None:
    fake = FakeAuthorizationServer(grace=10)
    spent = str(fake.issue().refresh_token)
    successor = fields(refresh(fake, spent))["refresh_token"]
    refresh(fake, successor)

    assert error(refresh(fake, spent)) == (400, "invalid_grant")


def test_a_refresh_token_expires() -> None:
    fake = FakeAuthorizationServer(refresh_expires_in=100)
    refresh_token = str(fake.issue().refresh_token)

    fake.advance(100)

    assert error(refresh(fake, refresh_token)) == (400, "invalid_grant")
    assert fake.families_alive == 1


def test_a_refresh_narrows_the_scope_and_never_widens_it() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue("read write")

    widened = refresh(fake, str(token.refresh_token), scope="read admin")
    narrowed = refresh(fake, str(token.refresh_token), scope="read")
    whole = refresh(fake, fields(narrowed)["refresh_token"])

    assert error(widened) == (400, "invalid_scope")
    assert fields(narrowed)["scope"] == "read"
    assert fields(whole)["scope"] == "read write"


# Authorization codes


def test_a_login_comes_back_with_code_state_and_issuer() -> None:
    fake = FakeAuthorizationServer()

    callback = fake.authorize(authorization_url(fake))

    assert callback == (
        "https://app.example/cb?keep=1&code=code-1&state=xyz&iss=https%3A%2F%2Fauth.example"
    )


def test_a_code_is_exchanged_once_and_its_tokens_die_when_it_is_used_again() -> None:
    """RFC 6749 §4.1.2."""
    fake = FakeAuthorizationServer()
    code = login(fake, scope="read write")

    answer = fields(exchange(fake, code))
    assert answer["scope"] == "read write"
    assert api(fake, answer["access_token"]) == 200

    assert error(exchange(fake, code)) == (400, "invalid_grant")
    assert api(fake, answer["access_token"]) == 401
    assert fake.families_killed == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://app.example/other"},
        {"redirect_uri": None},
        {"code_verifier": None},
        {"code_verifier": "x" * 43},
        {"code_verifier": "ä" * 43},
    ],
)
def test_a_code_is_bound_to_the_login_it_came_from(changes: dict[str, str | None]) -> None:
    fake = FakeAuthorizationServer()
    code = login(fake)

    assert error(exchange(fake, code, **changes)) == (400, "invalid_grant")
    assert exchange(fake, code).status_code == 200


def test_a_verifier_without_a_challenge_is_refused() -> None:
    """RFC 9700 §4.8.2: PKCE downgrade."""
    fake = FakeAuthorizationServer()
    code = login(fake, code_challenge=None, code_challenge_method=None)

    assert error(exchange(fake, code)) == (400, "invalid_grant")
    assert exchange(fake, code, code_verifier=None).status_code == 200


def test_a_code_expires() -> None:
    fake = FakeAuthorizationServer()
    code = login(fake)

    fake.advance(60)

    assert error(exchange(fake, code)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "secret, changes, expected",
    [
        ("secret", {"response_type": "token"}, "unsupported_response_type"),
        ("secret", {"code_challenge_method": "plain"}, "invalid_request"),
        (None, {"code_challenge": None}, "invalid_request"),
    ],
)
def test_a_bad_authorization_request_comes_back_with_an_error(
    secret: str | None, changes: dict[str, str | None], expected: str
) -> None:
    fake = FakeAuthorizationServer(client_secret=secret)
    callback = fake.authorize(authorization_url(fake, **changes))
    assert parse_qs(urlsplit(callback).query)["error"] == [expected]


def test_a_resource_owner_may_refuse() -> None:
    fake = FakeAuthorizationServer()
    callback = fake.authorize(authorization_url(fake, state=None), error="access_denied")
    assert callback.endswith("keep=1&error=access_denied&iss=https%3A%2F%2Fauth.example")


@pytest.mark.parametrize(
    "url, reason",
    [
        ("https://evil.example/authorize?client_id=client", "endpoint"),
        ("https://auth.example/authorize?client_id=a&client_id=b", "twice"),
        ("https://auth.example/authorize?client_id=other", "client_id"),
        ("https://auth.example/authorize?client_id=client", "redirect_uri"),
    ],
)
def test_a_browser_is_not_sent_to_where_nobody_vouches_for(url: str, reason: str) -> None:
    fake = FakeAuthorizationServer()
    with pytest.raises(ValueError, match=reason):
        fake.authorize(url)


def test_the_authorization_endpoint_redirects_a_browser() -> None:
    fake = FakeAuthorizationServer()
    agreed = fake.answer(HTTPRequest("GET", authorization_url(fake)))
    refused = fake.answer(HTTPRequest("GET", f"{fake.issuer}/authorize?client_id=other"))

    assert agreed.status_code == 302
    assert agreed.headers["location"].startswith("https://app.example/cb?keep=1&code=")
    assert refused.status_code == 400
    assert b"client_id" in refused.content


# Revoking, and the API


def test_access_tokens_can_be_revoked_all_at_once() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()

    fake.revoke_access_tokens()

    assert api(fake, token.access_token) == 401
    assert refresh(fake, str(token.refresh_token)).status_code == 200


def test_a_refresh_token_is_revoked_with_all_that_came_of_it() -> None:
    fake = FakeAuthorizationServer()
    first, second = fake.issue(), fake.issue()

    fake.revoke(first)
    fake.revoke(str(second.refresh_token))

    assert api(fake, first.access_token) == api(fake, second.access_token) == 401
    assert error(refresh(fake, str(first.refresh_token))) == (400, "invalid_grant")
    assert fake.families_killed == 2


def test_an_access_token_is_revoked_alone() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()

    fake.revoke(token.access_token)

    assert api(fake, token.access_token) == 401
    assert refresh(fake, str(token.refresh_token)).status_code == 200
    with pytest.raises(ValueError, match="no token of this server"):
        fake.revoke(Token("made up"))


@pytest.mark.parametrize(
    "headers, challenge",
    [
        ({}, 'Bearer realm="fake"'),
        ({"authorization": "Bearer nonsense"}, 'Bearer realm="fake", error="invalid_token"'),
        ({"authorization": "Basic abc"}, 'Bearer realm="fake", error="invalid_token"'),
        ({"authorization": "Bearer"}, 'Bearer realm="fake", error="invalid_token"'),
    ],
)
def test_the_api_challenges_who_has_no_live_token(headers: dict[str, str], challenge: str) -> None:
    """RFC 6750 §3.1: no error code where nothing was presented."""
    fake = FakeAuthorizationServer()

    response = fake.answer(HTTPRequest("GET", "https://api.example/x", headers))

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == challenge


def test_every_request_to_the_api_is_written_down() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()
    fake.answer(
        HTTPRequest(
            "POST",
            "https://api.example/x?y=1",
            {"authorization": f"bearer {token.access_token}"},
            b"body",
        )
    )

    (record,) = fake.api_requests

    assert (record.method, record.path, record.content) == ("POST", "/x", b"body")
    assert record.url == "https://api.example/x?y=1"
    assert (record.status_code, record.at) == (200, fake.clock.time())
    assert token.access_token not in repr(record)


def test_the_token_path_of_another_origin_is_the_api() -> None:
    fake = FakeAuthorizationServer()
    assert fake.answer(HTTPRequest("POST", "https://api.example/token")).status_code == 401
    assert fake.token_requests == []


# What a fake grants, and when


@pytest.mark.parametrize(
    "scope, granted", [("read", True), ("write read", True), ("read admin", False)]
)
def test_scopes_beyond_the_allowed_ones_are_refused(scope: str, *, granted: bool) -> None:
    """RFC 6749 §3.3, at both endpoints."""
    fake = FakeAuthorizationServer(allowed_scope="read write")

    response = token_request(fake, {"grant_type": "client_credentials", "scope": scope})
    callback = parse_qs(urlsplit(fake.authorize(authorization_url(fake, scope=scope))).query)

    assert ("code" in callback) is granted
    if granted:
        assert fields(response)["scope"] == scope
    else:
        assert error(response) == (400, "invalid_scope")
        assert callback["error"] == ["invalid_scope"]


def test_the_scope_of_a_server_is_to_be_an_allowed_one_too() -> None:
    fake = FakeAuthorizationServer(scope="read", allowed_scope="write")
    response = token_request(fake, {"grant_type": "client_credentials"})
    assert error(response) == (400, "invalid_scope")


def test_a_token_of_a_fake_is_good_on_the_real_clock_today() -> None:
    token = FakeAuthorizationServer(expires_in=3600).issue()

    assert token.fresh(now=time.time(), leeway=30)
    assert token.issued_at is not None
    assert abs(time.time() - token.issued_at) < 60


async def test_the_tokens_of_a_fake_open_a_session_on_the_real_clock() -> None:
    """An application makes its own session, and gives it no clock."""
    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        httpx.AsyncClient() as http,
        AsyncTokenSession(
            http,
            server=fake.server,
            client_auth=fake.client_auth,
            token=fake.issue(),
            base_url=url,
        ) as session,
    ):
        answer = await session.get("/report")

    assert answer.status_code == 200
    assert fake.token_requests == []


async def test_advance_ends_tokens_that_a_session_on_another_clock_believes_in() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(clock=time) as session:
        await session.get("/report")
        fake.advance(61)
        await session.get("/report")

    assert [request.status_code for request in fake.api_requests] == [200, 401, 200]


def test_an_answer_may_leave_its_type_out() -> None:
    fake = FakeAuthorizationServer(token_type=None)
    assert "token_type" not in fields(token_request(fake, {"grant_type": "client_credentials"}))
