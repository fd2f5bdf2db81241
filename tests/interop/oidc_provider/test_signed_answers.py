"""Answers that the server has signed: who it is, and what a token is good for."""

import time

import httpx
import pytest

from oauthkit import (
    AuthorizationRequest,
    AuthorizationServer,
    ClientMetadata,
    ClientSecretBasic,
    InvalidJWT,
    ResponseError,
    complete_login,
    fetch_userinfo,
    introspect,
)
from tests.interop.human import Human

from .clients import ANSWERS_SIGNED_BY, CALLBACK, SECRET


@pytest.mark.parametrize("algorithm", ANSWERS_SIGNED_BY)
async def test_answers_are_believed_by_their_signature(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human, algorithm: str
) -> None:
    """Signed answers of UserInfo and introspection: by RS256, ES256, and HS256."""
    client_auth = ClientSecretBasic(f"answers-{algorithm}", SECRET)
    login = AuthorizationRequest.new(
        server, client_auth.client_id, redirect_uri=CALLBACK, scope="openid email"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    token = (await complete_login(http, server, client_auth, login, callback)).token
    signed = ClientMetadata(
        userinfo_signed_response_alg=algorithm, introspection_signed_response_alg=algorithm
    )

    claims = (
        await fetch_userinfo(
            http, server, token, subject="ada", client_auth=client_auth, client_metadata=signed
        )
    ).claims
    said = await introspect(http, server, client_auth, token.access_token, client_metadata=signed)
    unknown = await introspect(http, server, client_auth, "unknown", client_metadata=signed)

    assert (claims["sub"], claims["email"]) == ("ada", "ada@example.com")
    assert (said.active, said.subject, said.client_id) == (True, "ada", client_auth.client_id)
    assert 0 < (said.expires_at or 0) - time.time() <= 60
    assert not unknown.active


async def test_an_answer_that_is_signed_otherwise_is_refused(
    http: httpx.AsyncClient, server: AuthorizationServer, human: Human
) -> None:
    """Signed answers of UserInfo and introspection: by another algorithm, and by none."""
    plain, signed = ClientSecretBasic("basic", SECRET), ClientSecretBasic("answers-RS256", SECRET)
    another = ClientMetadata(
        userinfo_signed_response_alg="ES256", introspection_signed_response_alg="ES256"
    )
    login = AuthorizationRequest.new(
        server, "answers-RS256", redirect_uri=CALLBACK, scope="openid email"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    token = (await complete_login(http, server, signed, login, callback)).token

    with pytest.raises(InvalidJWT, match="RS256"):
        await fetch_userinfo(http, server, token, subject="ada", client_metadata=another)
    with pytest.raises(InvalidJWT, match="RS256"):
        await introspect(http, server, signed, token.access_token, client_metadata=another)
    with pytest.raises(ResponseError):
        await introspect(http, server, plain, token.access_token, client_metadata=another)
