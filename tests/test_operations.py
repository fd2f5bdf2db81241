import httpx
import httpx2
import pytest

from oauthkit import (
    AuthorizationRequest,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
    MemoryStore,
    ReauthorizationRequired,
    TransportError,
    fetch_token,
)
from oauthkit.testing import FakeAuthorizationServer


async def test_a_token_is_fetched_once() -> None:
    fake = FakeAuthorizationServer(expires_in="60")
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        token = await fetch_token(
            http, fake.server, fake.client_auth, ClientCredentials(scope="read"), clock=fake.clock
        )
    assert token.expires_at == fake.clock.time() + 60
    assert len(fake.token_requests) == 1


async def test_httpx2_fetches_it_too() -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve(),
        httpx2.AsyncClient() as http,
    ):
        token = await fetch_token(http, fake.server, fake.client_auth, fake.grant)
    assert token.access_token == "access-token-1"


async def test_a_login_ends_with_a_token_that_a_session_goes_on_with() -> None:
    """O2-18: the code is exchanged once, and refused the second time."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    login = AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri="https://app.example/callback", scope="read"
    )
    code = login.accept(fake.authorize(login.url))
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        token = await fetch_token(http, fake.server, fake.client_auth, code, clock=fake.clock)
        await store.save("ada", token)
        with pytest.raises(InvalidGrant):
            await fetch_token(http, fake.server, fake.client_auth, code, clock=fake.clock)
    async with fake.session(grant=None, store=store, key="ada") as session:
        fake.advance(61)
        with pytest.raises(ReauthorizationRequired):
            await session.token()  # the fake killed the family when the code came twice


async def test_the_servers_no_is_raised() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        with pytest.raises(InvalidClient):
            await fetch_token(http, fake.server, ClientSecretBasic("client", "wrong"), fake.grant)


async def test_an_answer_that_never_comes_has_an_end() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        with fake.hold(), pytest.raises(TransportError):
            await fetch_token(http, fake.server, fake.client_auth, fake.grant, timeout=0.05)


async def test_a_synchronous_client_is_refused() -> None:
    fake = FakeAuthorizationServer()
    with httpx.Client() as http, pytest.raises(ConfigurationError, match="AsyncClient"):
        await fetch_token(http, fake.server, fake.client_auth, fake.grant)  # type: ignore[arg-type]


def test_a_token_endpoint_over_plain_http_is_refused_before_a_byte_leaves() -> None:
    """O2-12: loopback excepted, or said in so many words."""
    with pytest.raises(ConfigurationError, match="allow_plain_http=True"):
        AuthorizationServer("http://auth.example/token")
    AuthorizationServer("http://127.0.0.1:8080/token")
    AuthorizationServer("http://auth.example/token", allow_plain_http=True)
