"""Who has logged in, by ID Tokens that another project has signed."""

import time

import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientAuth,
    ClientMetadata,
    ClientSecretBasic,
    Discovered,
    InvalidJWT,
    LoggedIn,
    MemoryLogoutIndex,
    MemorySingleUseStore,
    MemoryStore,
    complete_login,
    complete_logout,
    verify_id_token,
    verify_logout_token,
)
from tests.interop.human import Human

from .clients import CALLBACK, ENCRYPTING, SECRET, SIGNED_BY
from .conftest import Backchannel, OIDCProvider

BASIC = ClientSecretBasic("basic", SECRET)
PLAIN = ClientMetadata()


async def logged_in(
    http: httpx.AsyncClient,
    server: AuthorizationServer,
    human: Human,
    client_auth: ClientAuth = BASIC,
    client_metadata: ClientMetadata = PLAIN,
) -> LoggedIn:
    login = AuthorizationRequest.new(
        server, client_auth.client_id, redirect_uri=CALLBACK, scope="openid"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    return await complete_login(
        http, server, client_auth, login, callback, client_metadata=client_metadata
    )


@pytest.mark.parametrize("algorithm", SIGNED_BY)
async def test_who_logged_in_is_known_by_a_signed_id_token(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, algorithm: str
) -> None:
    """ID Tokens: signed by RS256, PS256, ES256, Ed25519, and HS256 with the client's secret."""
    client_auth = ClientSecretBasic(f"signed-{algorithm}", SECRET)
    client_metadata = ClientMetadata(id_token_signed_response_alg=algorithm)

    result = await logged_in(http, server, human, client_auth, client_metadata)

    assert result.identity is not None
    assert (result.identity.issuer, result.identity.subject) == (server.issuer, "ada")


async def test_a_mac_is_believed_only_where_it_is_registered(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """ID Tokens: a MAC where none was said to be registered."""
    with pytest.raises(InvalidJWT, match="HS256"):
        await logged_in(http, server, human, ClientSecretBasic("signed-HS256", SECRET))


@pytest.mark.parametrize("algorithm", ENCRYPTING)
async def test_an_encrypted_id_token_is_read_with_the_clients_key(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, algorithm: str
) -> None:
    """ID Tokens: encrypted by RSA-OAEP-256, ECDH-ES, and ECDH-ES+A128KW."""
    client_metadata = ClientMetadata(
        id_token_encrypted_response_alg=algorithm,
        id_token_encrypted_response_enc="A128GCM",
        decryption_keys=(ENCRYPTING[algorithm].as_dict(private=True),),
    )
    client_auth = ClientSecretBasic(f"encrypted-{algorithm}", SECRET)

    result = await logged_in(http, server, human, client_auth, client_metadata)

    assert result.identity is not None
    assert result.identity.subject == "ada"


async def test_the_id_token_of_a_refresh_goes_on_with_the_same_person(
    http: httpx.AsyncClient, oidc_provider: OIDCProvider, human: Human
) -> None:
    """ID Tokens: after a refresh."""
    found = Discovered(oidc_provider.issuer)
    client_auth = ClientSecretBasic("signed-ES256", SECRET)  # two signatures never look the same
    result = await logged_in(http, await found.server(http), human, client_auth)
    session = AsyncTokenSession(http, server=found, client_auth=client_auth, token=result.token)

    token = await session.renew()

    assert token.id_token not in {None, result.token.id_token}
    identity = await verify_id_token(
        http, found, client_auth, str(token.id_token), follows=result.identity
    )
    assert identity.subject == "ada"


async def test_an_id_token_for_another_client_or_login_is_refused(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """ID Tokens: of another client and another login."""
    id_token = str((await logged_in(http, server, human)).token.id_token)

    with pytest.raises(InvalidJWT, match="aud"):
        await verify_id_token(http, server, ClientSecretBasic("post", SECRET), id_token)
    with pytest.raises(InvalidJWT, match="nonce"):
        await verify_id_token(http, server, BASIC, id_token, nonce="another")


async def test_an_application_is_told_that_a_visit_is_over(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, backchannel: Backchannel
) -> None:
    """Back-channel logout."""
    told = ClientSecretBasic("told", SECRET)
    result = await logged_in(http, server, human, told)
    assert result.identity is not None

    await human.visit(server.endpoint("end_session_endpoint"))

    said = await verify_logout_token(http, server, told, backchannel.came.get_nowait())
    assert said.subject == "ada"
    assert said.session_id == result.identity.claims["sid"]
    assert said.expires_at > time.time()
    with pytest.raises(InvalidJWT):
        await verify_logout_token(http, server, told, str(result.token.id_token))


async def test_the_tokens_of_who_has_logged_out_are_gone(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, backchannel: Backchannel
) -> None:
    """Back-channel logout: the tokens of that visit."""
    told, store, index = ClientSecretBasic("told", SECRET), MemoryStore(), MemoryLogoutIndex()
    result = await logged_in(http, server, human, told)
    assert result.identity is not None
    await store.save("visitor", result.token)
    await index.add(
        "visitor",
        issuer=result.identity.issuer,
        subject=result.identity.subject,
        session_id=result.identity.claims["sid"],
        expires_at=time.time() + 60,
    )
    await human.visit(server.endpoint("end_session_endpoint"))
    came = backchannel.came.get_nowait()

    used = MemorySingleUseStore()
    done = await complete_logout(http, server, told, came, store=store, index=index, used=used)

    assert {*done.keys} == {"visitor"}
    assert await store.load("visitor") is None
    with pytest.raises(InvalidJWT):  # it counts once
        await complete_logout(http, server, told, came, store=store, index=index, used=used)
