"""Claims about who has logged in: `fetch_userinfo`, and the endpoint of the fake."""

import json
from typing import Any

import attrs
import httpx
import pytest

from oauthkit import (
    ConfigurationError,
    Discovered,
    ErrorResponse,
    OAuthKitError,
    Recovery,
    ResponseError,
    Token,
    TransportError,
    UserInfo,
    fetch_userinfo,
)
from oauthkit.testing import FakeAuthorizationServer

JSON = {"content-type": "application/json"}


async def fetched(
    fake: FakeAuthorizationServer, token: Token | None = None, **settings: Any
) -> UserInfo:
    """Fetch the claims at the fake."""
    token = fake.issue() if token is None else token
    settings = {"subject": "ada", "clock": fake.clock, "server": fake.server, **settings}
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        return await fetch_userinfo(http, token=token, **settings)


async def refusal(fake: FakeAuthorizationServer, *given: Any, **settings: Any) -> OAuthKitError:
    with pytest.raises(OAuthKitError) as caught:
        await fetched(fake, *given, **settings)
    return caught.value


def answering(content: object, status: int = 200, **headers: str) -> FakeAuthorizationServer:
    """Return a fake that answers with this."""
    fake = FakeAuthorizationServer()
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    fake.fail_next(status, headers={**JSON, **names}, content=raw, endpoint="userinfo")
    return fake


async def test_claims_come_for_a_token_in_the_header() -> None:
    """OC-25."""
    fake = FakeAuthorizationServer(claims={"email": "ada@example.org"})
    userinfo = await fetched(fake)

    assert userinfo == UserInfo(subject="ada", claims={"sub": "ada", "email": "ada@example.org"})
    (request,) = fake.endpoint_requests["userinfo"]
    assert (request.method, request.url) == ("GET", f"{fake.issuer}/userinfo")
    assert request.headers["authorization"] == "Bearer access-token-2"
    assert request.headers["accept"] == "application/json"
    assert not request.parameters


async def test_a_post_has_the_token_in_the_header_too() -> None:
    """OC-25."""
    fake = FakeAuthorizationServer()
    await fetched(fake, method="POST")

    (request,) = fake.endpoint_requests["userinfo"]
    assert (request.method, request.url) == ("POST", f"{fake.issuer}/userinfo")
    assert request.content_type == "application/x-www-form-urlencoded"
    assert "authorization" in request.headers
    assert not request.parameters


async def test_in_the_body_it_is_there_alone_and_on_request() -> None:
    """OC-25."""
    fake = FakeAuthorizationServer()
    await fetched(fake, method="POST", in_body=True)

    (request,) = fake.endpoint_requests["userinfo"]
    assert request.parameters == {"access_token": "access-token-2"}
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"in_body": True}, 'needs method="POST"'),
        ({"method": "PUT"}, 'is "GET" or "POST"'),
        ({"subject": 7}, "subject="),
        ({"unverified_subject": "yes"}, "unverified_subject="),
        ({"in_body": "yes"}, "in_body="),
        ({"token": {"access_token": "a"}}, "token"),
        ({"server": "https://auth.example"}, "server"),
        ({"timeout": "soon"}, "timeout"),
        ({"clock": 7}, "clock"),
        ({"http": object()}, "httpx.AsyncClient"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anything_is_sent(
    settings: dict[str, Any], told: str
) -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        good: dict[str, Any] = {"http": http, "server": fake.server, "token": fake.issue()}
        given: dict[str, Any] = {**good, "subject": "ada", **settings}
        with pytest.raises(ConfigurationError) as caught:
            await fetch_userinfo(**given)

    assert told in str(caught.value)
    assert not fake.endpoint_requests


# Whose they are


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "eve@example.org"},
        {"sub": None, "email": "eve@example.org"},
        {"sub": 7, "email": "eve@example.org"},
        {"sub": "", "email": "eve@example.org"},
        {"sub": "eve", "email": "eve@example.org"},
        {"sub": "Ada", "email": "eve@example.org"},
    ],
)
async def test_claims_without_a_subject_or_about_another_one_are_not_shown(
    claims: dict[str, Any],
) -> None:
    """OC-23."""
    error = await refusal(answering(claims))

    assert isinstance(error, ResponseError)
    assert "not used" in str(error)
    assert "eve" not in f"{error}{error!r}{vars(error)}"


async def test_who_has_nothing_to_compare_says_so() -> None:
    """OC-24."""
    fake = FakeAuthorizationServer()
    error = await refusal(fake, subject=None)

    assert isinstance(error, ConfigurationError)
    assert "unverified_subject=True" in str(error)
    assert not fake.endpoint_requests
    assert "unverified_subject" in str(await refusal(fake, subject="", unverified_subject=True))
    assert (await fetched(fake, subject=None, unverified_subject=True)).subject == "ada"


async def test_a_subject_that_is_given_is_compared_all_the_same() -> None:
    """OC-24."""
    error = await refusal(FakeAuthorizationServer(), subject="eve", unverified_subject=True)

    assert "another subject" in str(error)


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 7}, {"sub": ["ada"]}], ids=str)
async def test_without_a_subject_claims_must_have_one(claims: dict[str, Any]) -> None:
    """OC-23."""
    fake = answering({"email": "e", **claims})
    error = await refusal(fake, subject=None, unverified_subject=True)

    assert "have no sub" in str(error)


async def test_a_subject_that_stands_there_twice_is_refused() -> None:
    """AT-54: and nothing of it is shown."""
    error = await refusal(answering(b'{"sub": "ada", "sub": "eve", "email": "eve@example.org"}'))

    assert "twice" in str(error)
    assert "eve" not in str(error)


@pytest.mark.parametrize(
    "bound",
    [{"issuer": "https://other.example"}, {"token_endpoint": "https://other.example/token"}],
)
async def test_a_token_of_another_server_is_not_shown_to_this_one(bound: dict[str, Any]) -> None:
    fake = FakeAuthorizationServer()
    unbound = attrs.evolve(fake.issue(), issuer=None, token_endpoint=None, client_id=None)
    for server in (fake.server, Discovered(fake.issuer, clock=fake.clock)):
        error = await refusal(fake, attrs.evolve(unbound, **bound), server=server)

        assert isinstance(error, ConfigurationError)
        assert "the token was issued by https://other.example" in str(error)
        assert fake.endpoint_requests["userinfo"] == []
    assert (await fetched(fake, unbound)).subject == "ada"


async def test_references_to_claims_elsewhere_are_shown_and_never_fetched() -> None:
    """OC-27, AT-35."""
    claims = {
        "sub": "ada",
        "_claim_names": {"score": "src"},
        "_claim_sources": {"src": {"endpoint": "https://evil.example", "access_token": "t"}},
    }
    fake = answering(claims)
    userinfo = await fetched(fake)

    assert userinfo.claims == claims
    assert "evil" not in repr(userinfo)
    assert not fake.api_requests


# What says no


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A"])
async def test_a_token_of_another_type_is_not_sent(kind: str) -> None:
    """AT-67."""
    fake = FakeAuthorizationServer()
    error = await refusal(fake, attrs.evolve(fake.issue(), token_type=kind))

    assert "only Bearer tokens" in str(error)
    assert not fake.endpoint_requests


async def test_a_dead_token_is_told_in_the_words_of_the_challenge() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()
    fake.revoke(token)
    error = await refusal(fake, token)

    assert isinstance(error, ErrorResponse)
    assert (error.error, error.status_code) == ("invalid_token", 401)
    assert error.www_authenticate == ('Bearer realm="fake", error="invalid_token"',)


async def test_a_scope_that_is_missing_is_named() -> None:
    challenge = 'Bearer error="insufficient_scope", error_description="no", scope="openid email"'
    error = await refusal(answering(b"", 403, www_authenticate=challenge))

    assert isinstance(error, ErrorResponse)
    assert (error.error, error.error_description) == ("insufficient_scope", "no")
    assert "it needs a token with the scope openid email" in str(error)


@pytest.mark.parametrize("before", ['Basic realm="x"', 'DPoP error="use_dpop_nonce"', "Bearer"])
async def test_the_challenge_that_says_why_is_read_among_others(before: str) -> None:
    challenge = f'{before}, Bearer error="invalid_token"'
    error = await refusal(answering({"error": "x"}, 401, www_authenticate=challenge))

    assert isinstance(error, ErrorResponse)
    assert error.error == "invalid_token"


async def test_words_in_the_body_alone_are_read_too() -> None:
    error = await refusal(answering({"error": "invalid_token", "error_description": "old"}, 401))

    assert isinstance(error, ErrorResponse)
    assert type(error) is ErrorResponse
    assert str(error) == "invalid_token: old (HTTP 401)"


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b'{"error": 7}', b'{"error": ""}'])
@pytest.mark.parametrize("challenge", ['Bearer realm="x"', 'Basic realm="x"'])
async def test_a_refusal_in_other_words_is_one_all_the_same(content: bytes, challenge: str) -> None:
    error = await refusal(answering(content, 401, www_authenticate=challenge))

    assert isinstance(error, ResponseError)
    assert "the userinfo endpoint refused" in str(error)


async def test_no_error_shows_the_token() -> None:
    """AT-70."""
    challenge = 'Bearer error="invalid_token", error_description="access-token-2 is dead"'
    error = await refusal(answering(b"access-token-2", 401, www_authenticate=challenge))

    assert "access-token-2" not in f"{error}{error!r}{vars(error)}"


async def test_a_server_that_cannot_answer_says_later() -> None:
    error = await refusal(answering(b"", 503, retry_after="7"))

    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 7.0)


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """AT-28."""
    fake = answering(b"", status, location="https://evil.example/userinfo")
    error = await refusal(fake)

    assert "userinfo endpoint answered with a redirect" in str(error)
    assert not fake.api_requests


async def test_a_signed_answer_is_refused_by_its_name() -> None:
    error = await refusal(answering(b"eyJ.eyJ.sig", content_type="application/jwt; charset=x"))

    assert "application/jwt" in str(error)
    assert "eyJ" not in str(error)


async def test_what_cannot_be_read_is_not_shown() -> None:
    error = await refusal(answering(b"<html>ada@example.org</html>", content_type="text/html"))

    assert "cannot be read as text/html" in str(error)
    assert "ada@" not in f"{error}{vars(error)}"


async def test_an_answer_that_has_no_end_is_not_read() -> None:
    """AT-52."""
    assert "larger than" in str(await refusal(answering(b"x" * 1_048_577)))


async def test_a_lost_answer_is_told() -> None:
    fake = FakeAuthorizationServer()
    fake.lose_next_answer(endpoint="userinfo")

    assert isinstance(await refusal(fake), TransportError)
    assert len(fake.endpoint_requests["userinfo"]) == 1


async def test_a_server_without_the_endpoint_is_told() -> None:
    fake = FakeAuthorizationServer()
    server = attrs.evolve(fake.server, userinfo_endpoint=None)

    assert "names no userinfo_endpoint" in str(await refusal(fake, server=server))


async def test_a_discovered_server_is_asked_on_a_socket() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, httpx.AsyncClient() as http:
        userinfo = await fetch_userinfo(http, Discovered(url), fake.issue(), "ada")

    assert userinfo.subject == "ada"


async def test_the_endpoint_of_the_fake_is_as_strict_as_a_server() -> None:
    fake = FakeAuthorizationServer(claims={"sub": None})
    url, token = f"{fake.issuer}/userinfo", fake.issue().access_token
    bearer = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        answers = [
            await http.get(url),
            await http.get(f"{url}?access_token={token}", headers=bearer),
            await http.post(url, headers=bearer, data={"access_token": token}),
            await http.post(url, content=b"\xff"),
            await http.get(url, headers=bearer),
        ]

    assert [answer.status_code for answer in answers] == [401, 400, 400, 401, 200]
    assert "error" not in answers[0].headers["www-authenticate"]
    assert answers[-1].json() == {}
