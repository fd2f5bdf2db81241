"""A client that speaks for itself, and what it is told when something is wrong."""

from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import httpx_aiohttp
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    Discovered,
    ErrorResponse,
    InvalidClient,
    Recovery,
    Token,
    fetch_token,
)

from .clients import RESERVED, SECRET
from .conftest import OIDCProvider

READ = ClientCredentials(scope="read")


@pytest.mark.parametrize(
    "client_auth",
    [ClientSecretBasic("basic", SECRET), ClientSecretPost("post", SECRET)],
    ids=lambda way: type(way).__name__,
)
async def test_a_clients_own_token_opens_the_api(
    http: httpx.AsyncClient, oidc_provider: OIDCProvider, client_auth: ClientAuth
) -> None:
    """Client credentials."""
    session = AsyncTokenSession(
        http,
        server=Discovered(oidc_provider.issuer),
        client_auth=client_auth,
        grant=READ,
        base_url=oidc_provider.issuer,
    )
    answer = await session.get("/api")

    assert answer.json()["client_id"] == client_auth.client_id
    assert answer.json()["scope"] == "read"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("library", [httpx2.AsyncClient, httpx_aiohttp.HttpxAiohttpClient])
async def test_the_other_http_libraries_are_understood_as_well(
    oidc_provider: OIDCProvider, library: Callable[[], Any]
) -> None:
    """Client credentials: over httpx2 and aiohttp."""
    async with library() as client:
        session = AsyncTokenSession(
            client,
            server=Discovered(oidc_provider.issuer),
            client_auth=ClientSecretBasic("basic", SECRET),
            grant=READ,
            base_url=oidc_provider.issuer,
        )
        assert (await session.get("/api")).json()["scope"] == "read"


async def test_a_dead_token_is_replaced_and_the_call_repeated(
    http: httpx.AsyncClient, server: AuthorizationServer, oidc_provider: OIDCProvider
) -> None:
    """Client credentials: an API that says `invalid_token`."""
    client_auth = ClientSecretBasic("basic", SECRET)
    dead = Token("unknown", scope="read", expires_at=4e9)
    session = AsyncTokenSession(
        http,
        server=server,
        client_auth=client_auth,
        grant=READ,
        token=dead,
        base_url=oidc_provider.issuer,
    )
    assert (await session.get("/api")).json()["client_id"] == "basic"


async def test_reserved_characters_of_a_secret_are_encoded_as_the_server_decodes_them(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Basic credentials with reserved characters."""
    client_id = "reserved characters"
    token = await fetch_token(http, server, ClientSecretBasic(client_id, RESERVED), READ)
    assert token.scope == "read"

    with pytest.raises(ErrorResponse):
        await fetch_token(http, server, ClientSecretBasic(client_id, RESERVED, raw=True), READ)


@pytest.mark.parametrize(
    "client_auth",
    [
        ClientSecretBasic("basic", "another secret"),
        ClientSecretPost("post", "another secret"),
        ClientSecretBasic("nobody", SECRET),
    ],
    ids=["Basic", "post", "unknown"],
)
async def test_who_is_not_known_is_told_so(
    http: httpx.AsyncClient, server: AuthorizationServer, client_auth: ClientAuth
) -> None:
    """Refusals: of a client."""
    with pytest.raises(InvalidClient) as caught:
        await fetch_token(http, server, client_auth, READ)

    assert caught.value.recovery is Recovery.CHANGE_REQUEST
    assert "another secret" not in str(caught.value)


@pytest.mark.parametrize(
    "client_auth, grant, error",
    [
        (ClientSecretBasic("limited", SECRET), ClientCredentials(scope="write"), "invalid_scope"),
        (ClientSecretBasic("code-alone", SECRET), READ, "invalid_request"),
    ],
    ids=["scope", "grant"],
)
async def test_what_is_not_allowed_is_told_by_its_name(
    http: httpx.AsyncClient,
    server: AuthorizationServer,
    client_auth: ClientAuth,
    grant: ClientCredentials,
    error: str,
) -> None:
    """Refusals: of a scope and of a grant."""
    with pytest.raises(ErrorResponse) as caught:
        await fetch_token(http, server, client_auth, grant)

    assert caught.value.error == error
    assert caught.value.recovery is Recovery.CHANGE_REQUEST
