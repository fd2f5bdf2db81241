"""C, D and E on real sockets: a login that ended at the server ends here, and at once."""

from collections.abc import Callable

import attrs
import httpx
import pytest

from oauthkit import (
    XML,
    AsyncTokenSession,
    AuthorizationCode,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretPost,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    ReauthorizationRequired,
    RefreshToken,
    ResourceOwnerPassword,
    ResponseError,
    fetch_token,
)
from oauthkit.services import auth_v1, id_secret, put_auth
from oauthkit.testing import DocumentedSystems

CLIENT = ClientSecretPost("client", "secret")
PASSWORD = ResourceOwnerPassword(username="ada", password="lovelace")
REDIRECT_URI = "https://app.example/callback"


@attrs.frozen(kw_only=True)
class Served:
    """A system as it is served, and what its refusal of a dead refresh token becomes."""

    name: str
    server: Callable[[str], AuthorizationServer]
    refusal: str


C = Served(
    name="C",
    server=lambda url: id_secret.authorization_server(f"{url}/oauth2/token"),
    refusal="invalid_grant: 400 the refresh token is not good any more (HTTP 400)",
)
D_IN_JSON = Served(
    name="D in JSON",
    server=auth_v1.authorization_server,
    refusal="invalid_grant: the refresh token is not good any more (HTTP 400)",
)
D_IN_XML = Served(
    name="D in XML",
    server=lambda url: auth_v1.authorization_server(url, XML),
    refusal="invalid_grant: the refresh token is not good any more (HTTP 400)",
)
E = Served(
    name="E",
    server=put_auth.authorization_server,
    refusal=(
        "the token endpoint refused, and did not say why in the words of RFC 6749 §5.2; "
        "AuthorizationServer(errors=…) can say what this server means (HTTP 400)"
    ),
)


def names(systems: DocumentedSystems) -> list[tuple[bool, int]]:
    """Return of each request whether it presented a refresh token, and its answer's status."""
    return [("refresh_token" in seen.parameters, seen.status_code) for seen in systems.log]


def first_right(system: Served, systems: DocumentedSystems) -> GrantStrategy:
    """Return the right to a login: C takes no password."""
    if system is not C:
        return PASSWORD
    code = systems.issue_code("id_secret", redirect_uri=REDIRECT_URI)
    return AuthorizationCode(code=code, redirect_uri=REDIRECT_URI)


@pytest.mark.parametrize("system", [C, D_IN_JSON, D_IN_XML, E], ids=lambda system: system.name)
async def test_a_login_that_ended_asks_for_a_new_one_and_presents_the_dead_right_once(
    system: Served,
) -> None:
    systems = DocumentedSystems()
    async with systems.serve() as url, httpx.AsyncClient() as http:
        server = system.server(url)
        first = await fetch_token(http, server, CLIENT, first_right(system, systems))
        systems.revoke_logins()
        grant = RefreshToken(refresh_token=str(first.refresh_token))
        async with AsyncTokenSession(
            http, server=server, client_auth=CLIENT, grant=grant
        ) as session:
            with pytest.raises(ReauthorizationRequired) as caught:
                await session.token()
            for _ in range(2):
                with pytest.raises(ReauthorizationRequired):
                    await session.token()

    assert isinstance(caught.value.__cause__, ErrorResponse | ResponseError)
    assert system.refusal in str(caught.value.__cause__)
    assert names(systems) == [(False, 200), (True, 400)]
    assert systems.violations == ()


@pytest.mark.parametrize("system", [D_IN_JSON, D_IN_XML, E], ids=lambda system: system.name)
async def test_a_password_beside_a_dead_refresh_token_is_used(system: Served) -> None:
    systems = DocumentedSystems()
    async with (
        systems.serve() as url,
        httpx.AsyncClient() as http,
        AsyncTokenSession(
            http,
            server=system.server(url),
            client_auth=CLIENT,
            grant=PASSWORD,
            clock=systems.clock,
        ) as session,
    ):
        first = await session.token()
        systems.revoke_logins()
        systems.advance(systems.expires_in)
        second = await session.token()

    assert first.access_token != second.access_token
    assert names(systems) == [(False, 200), (True, 400), (False, 200)]
    assert systems.violations == ()


async def test_what_c_says_of_a_client_reaches_the_caller() -> None:
    """The documented `errors` list: its `httpcode` and its `message`."""
    systems = DocumentedSystems()
    grant = ClientCredentials()
    async with systems.serve() as url, httpx.AsyncClient() as http:
        with pytest.raises(InvalidClient) as caught:
            await fetch_token(http, C.server(url), ClientSecretPost("client", "wrong"), grant)

    assert caught.value.error_description == "403 client authentication failed"
    assert caught.value.status_code == 403
