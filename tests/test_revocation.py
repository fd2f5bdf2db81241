"""A token that is to be good no more: `revoke`, and the endpoint of the fake."""

from typing import Any

import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    Discovered,
    ErrorResponse,
    InvalidClient,
    OAuthKitError,
    Recovery,
    ResponseError,
    Token,
    TransportError,
    revoke,
)
from oauthkit.testing import FakeAuthorizationServer


async def revoked(
    fake: FakeAuthorizationServer, text: str, hint: str | None = None, **settings: Any
) -> None:
    """Revoke a token at the fake."""
    client_auth = settings.pop("client_auth", fake.client_auth)
    server = settings.pop("server", fake.server)
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        await revoke(http, server, client_auth, text, hint, clock=fake.clock, **settings)


async def refusal(fake: FakeAuthorizationServer, **settings: Any) -> OAuthKitError:
    """Return the error that comes."""
    with pytest.raises(OAuthKitError) as caught:
        await revoked(fake, "access-token-1", **settings)
    return caught.value


async def status_at_the_api(fake: FakeAuthorizationServer, token: Token) -> int:
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        headers = {"authorization": f"Bearer {token.access_token}"}
        return (await http.get("https://api.example/report", headers=headers)).status_code


async def test_a_revoked_refresh_token_takes_its_access_token_along() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()
    assert await status_at_the_api(fake, token) == 200
    await revoked(fake, str(token.refresh_token), "refresh_token")

    assert await status_at_the_api(fake, token) == 401
    assert fake.families_alive == 0


async def test_a_revoked_access_token_goes_alone() -> None:
    fake = FakeAuthorizationServer()
    token = fake.issue()
    await revoked(fake, token.access_token)

    assert await status_at_the_api(fake, token) == 401
    assert fake.families_alive == 1


async def test_a_confidential_client_says_who_it_is_whatever_the_metadata_leaves_out() -> None:
    """RV-02, RV-08: no list of methods means Basic, and never nobody."""
    fake = FakeAuthorizationServer()
    assert fake.server.revocation_endpoint_auth_methods_supported is None
    await revoked(fake, "unknown", "refresh_token")
    await revoked(fake, "unknown", client_auth=ClientSecretPost("client", "secret"))

    by_header, in_body = fake.endpoint_requests["revoke"]
    assert by_header.method == "POST"
    assert by_header.content_type == "application/x-www-form-urlencoded"
    assert by_header.headers["authorization"].startswith("Basic ")
    assert by_header.parameters == {"token": "unknown", "token_type_hint": "refresh_token"}
    assert "authorization" not in in_body.headers
    assert in_body.parameters == {
        "token": "unknown",
        "client_id": "client",
        "client_secret": "secret",
    }


async def test_a_public_client_names_itself() -> None:
    """RV-02."""
    fake = FakeAuthorizationServer(client_secret=None)
    await revoked(fake, "unknown")

    (request,) = fake.endpoint_requests["revoke"]
    assert request.parameters == {"token": "unknown", "client_id": "client"}
    assert "authorization" not in request.headers


async def test_nobody_is_not_a_client() -> None:
    """RV-08."""
    fake = FakeAuthorizationServer()
    error = await refusal(fake, client_auth=None)

    assert isinstance(error, ConfigurationError)
    assert not fake.endpoint_requests


async def test_an_unknown_token_is_revoked_already() -> None:
    """RV-04."""
    fake = FakeAuthorizationServer()
    await revoked(fake, "never-issued")
    await revoked(fake, "never-issued")

    assert [request.status_code for request in fake.endpoint_requests["revoke"]] == [200, 200]


async def test_a_server_that_calls_an_unknown_token_invalid_means_the_same() -> None:
    """RV-04: Google answers so."""
    fake = FakeAuthorizationServer()
    fake.fail_next(400, content=b'{"error": "invalid_token"}', endpoint="revoke")
    await revoked(fake, "never-issued")


async def test_a_401_of_that_name_is_about_who_asks() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(401, content=b'{"error": "invalid_token"}', endpoint="revoke")

    assert isinstance(await refusal(fake), InvalidClient)


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize("content", [b"", b'{"error": "what?"}', b"<html>bye</html>", b"\xff"])
async def test_a_success_says_nothing_whatever_its_body(status: int, content: bytes) -> None:
    """RV-03."""
    fake = FakeAuthorizationServer()
    fake.fail_next(status, content=content, endpoint="revoke")
    await revoked(fake, "unknown")


async def test_a_server_that_is_busy_says_when_and_is_asked_once() -> None:
    """RV-05."""
    fake = FakeAuthorizationServer()
    fake.fail_next(503, headers={"retry-after": "7"}, endpoint="revoke")
    error = await refusal(fake)

    assert isinstance(error, ResponseError)
    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 7.0)
    assert len(fake.endpoint_requests["revoke"]) == 1
    await revoked(fake, "access-token-1")


async def test_a_kind_that_cannot_be_revoked_is_an_error_of_its_own() -> None:
    """RV-06."""
    fake = FakeAuthorizationServer()
    fake.fail_next(400, content=b'{"error": "unsupported_token_type"}', endpoint="revoke")
    error = await refusal(fake)

    assert isinstance(error, ErrorResponse)
    assert (error.error, error.status_code) == ("unsupported_token_type", 400)


async def test_a_lost_answer_is_told_and_nothing_is_repeated() -> None:
    fake = FakeAuthorizationServer()
    fake.lose_next_answer(endpoint="revoke")
    error = await refusal(fake)

    assert isinstance(error, TransportError)
    assert (error.sent, error.recovery) == (True, Recovery.RETRY_LATER)
    assert len(fake.endpoint_requests["revoke"]) == 1


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_of_the_endpoint_is_not_followed(status: int) -> None:
    """AT-28."""
    fake = FakeAuthorizationServer()
    fake.fail_next(status, headers={"location": f"{fake.issuer}/token"}, endpoint="revoke")
    error = await refusal(fake)

    assert "revocation endpoint answered with a redirect" in str(error)
    assert not fake.token_requests


@pytest.mark.parametrize(
    "url, word",
    [("http://auth.example/revoke", "plain http"), (None, "names no revocation_endpoint")],
)
async def test_an_endpoint_that_may_not_be_one_gets_no_token(url: str | None, word: str) -> None:
    """RV-01."""
    fake = FakeAuthorizationServer()
    found = AuthorizationServer(
        "https://auth.example/token",
        revocation_endpoint=url,
        issuer=fake.issuer,
        metadata={"issuer": fake.issuer},
    )
    error = await refusal(fake, server=found)

    assert isinstance(error, ConfigurationError)
    assert word in str(error)
    assert not fake.endpoint_requests


def test_a_hand_written_endpoint_over_plain_http_is_refused_at_once() -> None:
    """RV-01."""
    with pytest.raises(ConfigurationError, match="revocation_endpoint"):
        AuthorizationServer("https://a.example/token", revocation_endpoint="http://a.example/gone")


async def test_no_text_of_an_error_shows_the_token() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(400, content=b"who knows access-token-1?", endpoint="revoke")
    error = await refusal(fake)

    assert "access-token-1" not in f"{error}{error!r}{vars(error)}"


async def test_a_wrong_path_and_a_wrong_client_are_told_by_their_names() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(404, endpoint="revoke")

    assert "no revocation endpoint may be there" in str(await refusal(fake))
    wrong = await refusal(fake, client_auth=ClientSecretBasic("client", "wrong"))
    assert isinstance(wrong, InvalidClient)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("http", object()),
        ("server", "https://auth.example"),
        ("client_auth", ("id", "secret")),
        ("token_text", None),
        ("token_text", ""),
        ("hint", 7),
        ("timeout", "soon"),
        ("clock", 7),
    ],
)
async def test_a_wrong_kind_is_refused_before_anything_is_sent(name: str, wrong: Any) -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        good: dict[str, Any] = {
            "http": http,
            "server": fake.server,
            "client_auth": fake.client_auth,
            "token_text": "access-token-1",
        }
        with pytest.raises(ConfigurationError) as caught:
            await revoke(**{**good, name: wrong})

    assert name in str(caught.value) or "httpx.AsyncClient" in str(caught.value)
    assert not fake.endpoint_requests


async def test_a_discovered_server_is_asked_on_a_socket() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, httpx.AsyncClient() as http:
        token = fake.issue()
        text = str(token.refresh_token)
        await revoke(http, Discovered(url), fake.client_auth, text)

    assert fake.families_alive == 0


async def test_the_endpoint_of_the_fake_reads_what_a_server_must_read() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        url, auth = f"{fake.issuer}/revoke", ("client", "secret")
        answers = [
            await http.get(url),
            await http.post(url, data={"hint": "x"}, auth=auth),
            await http.post(url, content=b"\xff", auth=auth),
            await http.post(url, data={"token": "x"}, auth=("client", "wrong")),
            await http.post(url, data={"token": "x"}),
        ]

    assert [answer.status_code for answer in answers] == [400, 400, 400, 401, 401]
