"""What the server says of a token to an API that is shown it."""

import time

import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    Discovered,
    InvalidClient,
    TLSClientAuth,
    fetch_token,
    introspect,
)
from oauthkit.protocol.certificate import certificate_thumbprint

from .clients import SECRET
from .conftest import OIDCProvider

BASIC = ClientSecretBasic("basic", SECRET)
API = ClientSecretBasic("limited", SECRET)
READ = ClientCredentials(scope="read")


async def test_an_api_is_told_what_a_token_is_good_for(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Introspection: of a live token, and of one that nobody knows."""
    token = await fetch_token(http, server, BASIC, READ)

    said = await introspect(http, server, API, token.access_token, "access_token")

    assert (said.active, said.scope, said.client_id) == (True, "read", "basic")
    assert said.token_type == "Bearer"
    assert said.expires_at is not None
    assert 0 < said.expires_at - time.time() <= 60
    assert not (await introspect(http, server, API, "unknown")).active


async def test_a_token_that_is_bound_to_a_certificate_names_it(
    certified: httpx.AsyncClient, oidc_provider: OIDCProvider
) -> None:
    """Introspection: of a token that is bound to a certificate."""
    found = Discovered(oidc_provider.issuer)
    client_auth = TLSClientAuth("mutual-tls", tls_client_certificate_bound_access_tokens=True)
    token = await fetch_token(certified, found, client_auth, READ)

    said = await introspect(certified, found, client_auth, token.access_token)

    pem = oidc_provider.certificates.client.read_text(encoding="ascii")
    assert said.confirmation == {"x5t#S256": certificate_thumbprint(pem)}


async def test_an_api_that_is_not_known_is_told_so(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """Introspection: by a wrong secret."""
    with pytest.raises(InvalidClient):
        await introspect(http, server, ClientSecretBasic("limited", "wrong"), "unknown")
