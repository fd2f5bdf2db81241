"""Clients that register themselves, and what they do with that."""

import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientCredentials,
    ErrorResponse,
    InvalidClient,
    ResponseError,
    delete_registration,
    fetch_token,
    read_registration,
    register_client,
    update_registration,
)

from .clients import CALLBACK, SIGNING

READ = ClientCredentials(scope="read")
ITSELF = {"redirect_uris": [CALLBACK], "grant_types": ["client_credentials", "authorization_code"]}


async def test_a_client_lives_as_it_is_registered(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Registration: from its beginning to its end."""
    client = await register_client(http, server, ITSELF)
    assert (await fetch_token(http, server, client.client_auth(), READ)).scope == "read"

    client = await update_registration(
        http, server, client, {**client.metadata, "client_name": "Reporter"}
    )
    client = await read_registration(http, server, client)
    assert client.metadata["client_name"] == "Reporter"
    assert (await fetch_token(http, server, client.client_auth(), READ)).scope == "read"

    await delete_registration(http, server, client)
    with pytest.raises(InvalidClient):
        await fetch_token(http, server, client.client_auth(), READ)
    with pytest.raises(ResponseError):
        await read_registration(http, server, client)


async def test_a_client_registers_its_key(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Registration: of a key."""
    key = SIGNING["ES256"]
    method = {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.as_dict(private=False)]},
    }
    client = await register_client(http, server, {**ITSELF, **method})

    client_auth = client.client_auth(key=key.as_dict(private=True))
    assert (await fetch_token(http, server, client_auth, READ)).scope == "read"


async def test_what_cannot_be_registered_is_told(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Registration: refused."""
    with pytest.raises(ErrorResponse) as caught:
        await register_client(http, server, {**ITSELF, "redirect_uris": ["not a URI"]})

    assert caught.value.error in {"invalid_redirect_uri", "invalid_client_metadata"}
