"""Clients that are known by a key or by a certificate."""

import attrs
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientAuth,
    ClientCredentials,
    ClientSecretJWT,
    Discovered,
    InvalidClient,
    PrivateKeyJWT,
    SelfSignedTLSClientAuth,
    TLSClientAuth,
    fetch_token,
    fetch_userinfo,
)
from tests.interop.human import Human

from .clients import CALLBACK, SECRET, SIGNING
from .conftest import OIDCProvider

READ = ClientCredentials(scope="read")


@pytest.mark.parametrize("algorithm", SIGNING)
async def test_a_client_is_known_by_its_private_key(
    http: httpx.AsyncClient, server: AuthorizationServer, algorithm: str
) -> None:
    """`private_key_jwt`: RS256, PS256, ES256, Ed25519."""
    key = SIGNING[algorithm].as_dict(private=True)
    client_auth = PrivateKeyJWT(f"key-{algorithm}", key, alg=algorithm)
    session = AsyncTokenSession(http, server=server, client_auth=client_auth, grant=READ)

    assert (await session.token()).scope == "read"
    assert (await session.renew()).scope == "read"


async def test_another_key_is_not_taken(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """`private_key_jwt`: another key."""
    stranger = PrivateKeyJWT("key-RS256", SIGNING["PS256"].as_pem(private=True), alg="RS256")

    with pytest.raises(InvalidClient):
        await fetch_token(http, server, stranger, READ)


async def test_a_client_is_known_by_a_mac_of_its_secret(
    http: httpx.AsyncClient, server: AuthorizationServer
) -> None:
    """`client_secret_jwt`."""
    token = await fetch_token(http, server, ClientSecretJWT("secret-jwt", SECRET), READ)
    assert token.scope == "read"

    wrong = ClientSecretJWT("secret-jwt", SECRET[::-1])
    with pytest.raises(InvalidClient):
        await fetch_token(http, server, wrong, READ)


@pytest.mark.parametrize(
    "client_auth", [TLSClientAuth("mutual-tls"), SelfSignedTLSClientAuth("filed")], ids=str
)
async def test_a_client_is_known_by_its_certificate(
    certified: httpx.AsyncClient, oidc_provider: OIDCProvider, client_auth: ClientAuth
) -> None:
    """Mutual TLS: by who has signed the certificate, and by a certificate on file."""
    found = Discovered(oidc_provider.issuer)

    assert (await fetch_token(certified, found, client_auth, READ)).scope == "read"


async def test_who_shows_no_certificate_or_anothers_is_refused(
    http: httpx.AsyncClient,
    certified: httpx.AsyncClient,
    server: AuthorizationServer,
) -> None:
    """Mutual TLS: none, and another one."""
    with pytest.raises(InvalidClient):
        await fetch_token(certified, server, TLSClientAuth("mutual-tls-stranger"), READ)

    plain = attrs.evolve(server, mtls_endpoint_aliases={})
    with pytest.raises(InvalidClient):
        await fetch_token(http, plain, TLSClientAuth("mutual-tls"), READ)


async def test_a_token_that_is_bound_to_a_certificate_is_good_with_it_alone(
    http: httpx.AsyncClient,
    certified: httpx.AsyncClient,
    oidc_provider: OIDCProvider,
    server: AuthorizationServer,
    human: Human,
) -> None:
    """Mutual TLS: tokens that are bound to the certificate, refreshed."""
    client_auth = TLSClientAuth("mutual-tls")
    login = AuthorizationRequest.new(server, "mutual-tls", redirect_uri=CALLBACK, scope="openid")
    callback = await human.visit(login.url, until=CALLBACK)
    token = await fetch_token(certified, server, client_auth, login.accept(callback))
    session = AsyncTokenSession(
        certified,
        server=server,
        client_auth=client_auth,
        token=token,
        base_url=oidc_provider.mtls,
    )

    assert (await session.get("/me")).json() == {"sub": "ada"}
    await session.renew()
    assert (await session.get("/me")).json() == {"sub": "ada"}
    token = await session.token()
    said = await fetch_userinfo(certified, server, token, "ada", client_auth=client_auth)
    assert said.claims == {"sub": "ada"}
    stolen = f"Bearer {token.access_token}"
    answer = await http.get(f"{oidc_provider.issuer}/me", headers={"authorization": stolen})
    assert answer.status_code == 401
