"""Tokens that end before their time."""

import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientAuth,
    ClientSecretBasic,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    MemoryStore,
    PrivateKeyJWT,
    PublicClient,
    ReauthorizationRequired,
    RefreshToken,
    Token,
    fetch_token,
    revoke,
)
from tests.interop.human import Human

from .clients import CALLBACK, SECRET, SIGNING

BASIC = ClientSecretBasic("basic", SECRET)
WAYS = [
    BASIC,
    PublicClient("public"),
    PrivateKeyJWT("key-ES256", SIGNING["ES256"].as_dict(private=True)),
]


async def logged_in(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, client_auth: ClientAuth
) -> Token:
    login = AuthorizationRequest.new(
        server, client_auth.client_id, redirect_uri=CALLBACK, scope="openid"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    return await fetch_token(http, server, client_auth, login.accept(callback))


@pytest.mark.parametrize("client_auth", WAYS, ids=lambda way: type(way).__name__)
async def test_a_revoked_refresh_token_takes_its_access_tokens_along(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, client_auth: ClientAuth
) -> None:
    """Revocation: of a refresh token, and again, and of one that nobody knows."""
    token = await logged_in(http, server, human, client_auth)
    text = str(token.refresh_token)

    for revoked in (text, text, "unknown"):
        await revoke(http, server, client_auth, revoked, "refresh_token")

    with pytest.raises(InvalidGrant):
        await fetch_token(http, server, client_auth, RefreshToken(refresh_token=text))
    bearer = {"authorization": f"Bearer {token.access_token}"}
    assert (await http.get(server.endpoint("userinfo_endpoint"), headers=bearer)).status_code == 401


async def test_a_session_ends_its_token_here_and_there(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Revocation: by the session."""
    token, store = await logged_in(http, server, human, BASIC), MemoryStore()
    await store.save("ada", token)
    session = AsyncTokenSession(http, server=server, client_auth=BASIC, store=store, key="ada")
    assert (await session.get(server.endpoint("userinfo_endpoint"))).status_code == 200

    await session.revoke()

    assert await store.load("ada") is None
    with pytest.raises(ReauthorizationRequired):
        await session.token()
    again = RefreshToken(refresh_token=str(token.refresh_token))
    with pytest.raises(InvalidGrant):
        await fetch_token(http, server, BASIC, again)


async def test_who_may_not_revoke_is_told_so(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Revocation: by another client, and by a wrong secret."""
    token = await logged_in(http, server, human, BASIC)

    other = ClientSecretBasic("short-lived", SECRET)
    with pytest.raises(ErrorResponse):
        await revoke(http, server, other, str(token.refresh_token))
    wrong = ClientSecretBasic("basic", "wrong")
    with pytest.raises(InvalidClient):
        await revoke(http, server, wrong, str(token.refresh_token))
