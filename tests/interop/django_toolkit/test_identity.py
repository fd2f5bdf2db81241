"""Who has logged in, by ID Tokens of a third library."""

import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    ClientMetadata,
    ClientSecretBasic,
    Discovered,
    complete_login,
    verify_id_token,
)
from tests.interop.human import Human

from .applications import CALLBACK, SECRET
from .conftest import Toolkit


@pytest.mark.parametrize("algorithm", ["RS256", "HS256"])
async def test_who_logged_in_is_known_by_a_signed_id_token(
    http: httpx.AsyncClient, openid: Toolkit, human: Human, algorithm: str
) -> None:
    """ID Tokens: signed by RS256, and HS256 with the client's secret, also after a refresh."""
    found = Discovered(openid.issuer)
    client_auth = ClientSecretBasic(f"signed-{algorithm}", SECRET)
    registered = ClientMetadata(id_token_signed_response_alg=algorithm)
    login = AuthorizationRequest.new(
        await found.server(http), client_auth.client_id, redirect_uri=CALLBACK, scope="openid read"
    )
    callback = await human.visit(login.url, until=CALLBACK)

    result = await complete_login(
        http, found, client_auth, login, callback, client_metadata=registered
    )

    assert result.identity is not None
    assert (result.identity.issuer, result.identity.subject) == (openid.issuer, "1")
    session = AsyncTokenSession(http, server=found, client_auth=client_auth, token=result.token)
    refreshed = await verify_id_token(
        http,
        found,
        client_auth,
        str((await session.renew()).id_token),
        follows=result.identity,
        client_metadata=registered,
    )
    assert refreshed.subject == result.identity.subject
