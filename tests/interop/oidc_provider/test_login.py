"""Logins by the server's own pages."""

import httpx
import pytest

from oauthkit import (
    AccessDenied,
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    CallbackError,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    Discovered,
    ErrorResponse,
    InvalidGrant,
    PublicClient,
    fetch_token,
)
from tests.interop.human import Human

from .clients import CALLBACK, SECRET
from .conftest import OIDCProvider

BASIC = ClientSecretBasic("basic", SECRET)
WAYS = [
    BASIC,
    ClientSecretPost("post", SECRET),
    PublicClient("public"),
]


def begun(server: AuthorizationServer, client_auth: ClientAuth) -> AuthorizationRequest:
    return AuthorizationRequest.new(
        server, client_auth.client_id, redirect_uri=CALLBACK, scope="openid email"
    )


async def test_its_metadata_is_found_and_believed(
    server: AuthorizationServer, oidc_provider: OIDCProvider
) -> None:
    """Discovery."""
    assert server.issuer == oidc_provider.issuer
    assert server.authorization_response_iss_parameter_supported
    assert "client_secret_basic" in (server.token_endpoint_auth_methods_supported or ())
    for endpoint in ("userinfo", "revocation", "introspection", "device_authorization"):
        assert server.endpoint(f"{endpoint}_endpoint").startswith(f"{oidc_provider.issuer}/")


@pytest.mark.parametrize("client_auth", WAYS, ids=lambda way: type(way).__name__)
async def test_a_person_logs_in_and_the_token_opens_the_api(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, client_auth: ClientAuth
) -> None:
    """Code with PKCE."""
    login = begun(server, client_auth)

    callback = await human.visit(login.url, until=CALLBACK)
    token = await fetch_token(http, server, client_auth, login.accept(callback))

    assert token.refresh_token
    assert token.scope == "openid email"
    session = AsyncTokenSession(http, server=server, client_auth=client_auth, token=token)
    who = await session.get(server.endpoint("userinfo_endpoint"))
    assert who.json() == {"sub": "ada", "email": "ada@example.com", "email_verified": True}


async def test_a_callback_of_another_issuer_is_refused(
    server: AuthorizationServer, human: Human
) -> None:
    """`iss` in the callback."""
    login = begun(server, BASIC)
    callback = await human.visit(login.url, until=CALLBACK)
    assert "iss=" in callback

    for other in ("iss=https%3A%2F%2Fevil.example", "was="):
        with pytest.raises(CallbackError, match="RFC 9207"):
            login.accept(callback.replace("iss=", other))
    assert login.accept(callback).code in callback


async def test_a_person_who_says_no_is_told_apart_from_an_error(
    server: AuthorizationServer,
) -> None:
    """Code with PKCE: refused."""
    login = begun(server, BASIC)
    async with Human({"login": "ada", "password": "lovelace"}, refuse="Cancel") as human:
        callback = await human.visit(login.url, until=CALLBACK)

    assert "iss=" in callback
    with pytest.raises(AccessDenied):
        login.accept(callback)


async def test_a_scope_that_a_client_may_not_have_is_refused_in_the_callback(
    server: AuthorizationServer, human: Human
) -> None:
    """Refusals: of a login."""
    login = AuthorizationRequest.new(server, "limited", redirect_uri=CALLBACK, scope="openid write")
    callback = await human.visit(login.url, until=CALLBACK)

    with pytest.raises(ErrorResponse) as caught:
        login.accept(callback)
    assert caught.value.error == "invalid_scope"


async def test_a_code_with_another_verifier_is_refused(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Code with PKCE: the wrong verifier."""
    login, other = begun(server, BASIC), begun(server, BASIC)
    callback = await human.visit(login.url, until=CALLBACK)
    data = login.to_dict() | {"code_verifier": other.to_dict()["code_verifier"]}

    with pytest.raises(InvalidGrant):
        await fetch_token(
            http, server, BASIC, AuthorizationRequest.from_dict(data).accept(callback)
        )


async def test_a_session_over_the_issuer_alone_refreshes_what_the_login_gave(
    http: httpx.AsyncClient, oidc_provider: OIDCProvider, human: Human
) -> None:
    """Discovery: a session knows the issuer alone."""
    found = Discovered(oidc_provider.issuer)
    login = begun(await found.server(http), BASIC)
    callback = await human.visit(login.url, until=CALLBACK)
    token = await fetch_token(http, found, BASIC, login.accept(callback))

    session = AsyncTokenSession(http, server=found, client_auth=BASIC, token=token)
    renewed = await session.renew()

    assert renewed.access_token != token.access_token
    assert renewed.refresh_token != token.refresh_token
    assert (await session.get(f"{oidc_provider.issuer}/me")).json()["sub"] == "ada"
