"""The JWT bearer grant: an assertion that was given, supplied, or is signed here."""

import json
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import parse_qsl

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from oauthkit import (
    AnonymousClient,
    AuthorizationServer,
    ClientSecretBasic,
    ConfigurationError,
    GrantStrategy,
    JWTBearer,
    Repeat,
    Token,
)
from oauthkit.protocol.client_auth import ClientAuth
from tests.asking import token_request
from tests.rsa_keys import RSA

SERVER = AuthorizationServer("https://auth.example/token", issuer="https://auth.example")
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
JWK = KEY.as_dict(private=True)


async def ready(grant: GrantStrategy, server: AuthorizationServer = SERVER) -> GrantStrategy:
    return await grant.prepared(server, client_id="app", now=1_700_000_000.9)


def sent(grant: GrantStrategy, client_auth: ClientAuth) -> dict[str, str]:
    return dict(parse_qsl(token_request(SERVER, client_auth, grant).content.decode()))


async def signed(grant: JWTBearer, server: AuthorizationServer = SERVER) -> tuple[Any, Any]:
    """Return header and claims of the assertion, its signature verified."""
    text = str((await ready(grant, server)).parameters()["assertion"])
    decoded = jwt.decode(text, KEY, algorithms=["ES256"])
    return decoded.header, decoded.claims


async def test_an_assertion_is_sent_with_an_optional_scope_and_client_authentication() -> None:
    """JA-12: the client need not say who it is."""
    grant = JWTBearer(assertion="a.b.c", scope="read")
    named = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": "a.b.c",
        "scope": "read",
    }
    assert sent(grant, AnonymousClient()) == named
    assert sent(grant, ClientSecretBasic("app", "s3cret")) == named
    assert "a.b.c" in token_request(SERVER, AnonymousClient(), grant).secrets
    assert await ready(grant) is grant


def test_an_assertion_that_was_given_may_be_sent_once_more_and_one_that_is_made_always() -> None:
    """JA-13."""

    async def supply() -> str:
        return "a.b.c"

    assert JWTBearer(assertion="a.b.c").repeat is Repeat.ONCE
    assert JWTBearer(assertion=supply).repeat is Repeat.ALWAYS
    assert JWTBearer(key=JWK).repeat is Repeat.ALWAYS


async def test_a_supplied_assertion_may_be_a_token_that_is_one() -> None:
    async def token() -> Token:
        return Token("a.b.c", token_type="N_A")

    grant = JWTBearer(assertion=token, scope="read", additional={"requested_token_use": "x"})
    assert grant.parameters()["assertion"] is None
    assert sent(await ready(grant), AnonymousClient()) == {
        "grant_type": grant.grant_type,
        "assertion": "a.b.c",
        "scope": "read",
        "requested_token_use": "x",
    }


async def test_a_service_account_signs_as_google_documents_it() -> None:
    grant = JWTBearer(
        key=JWK,
        issuer="reporter@project.example",
        subject="",
        audience="https://oauth2.example/token",
        claims={"scope": "https://api.example/read"},
        lifetime=3600,
    )
    header, claims = await signed(grant)
    assert header == {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    assert len(claims.pop("jti")) >= 22
    assert claims == {
        "iss": "reporter@project.example",
        "aud": "https://oauth2.example/token",
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
        "scope": "https://api.example/read",
    }


async def test_what_is_not_said_is_the_client_and_the_server() -> None:
    """RFC 7523 §3: the numbers are whole ones, and each assertion has a name of its own."""
    _, first = await signed(JWTBearer(key=JWK))
    _, second = await signed(JWTBearer(key=JWK), AuthorizationServer("https://auth.example/token"))
    _, third = await signed(JWTBearer(key=JWK, issuer="a", subject="ada"))
    assert (first["iss"], first["sub"], first["aud"]) == ("app", "app", "https://auth.example")
    assert second["aud"] == "https://auth.example/token"
    assert (third["iss"], third["sub"]) == ("a", "ada")
    assert first["exp"] - first["iat"] == 300
    assert first["jti"] != second["jti"]


async def test_a_key_is_a_pem_a_jwk_or_whatever_signs() -> None:
    pem = RSA.as_pem(private=True)
    text = str((await ready(JWTBearer(key=pem))).parameters()["assertion"])
    head = text.partition(".")[0]
    assert json.loads(urlsafe_b64decode(head + "=="))["alg"] == "RS256"
    assert (await signed(JWTBearer(key=KEY)))[0]["kid"] == "k1"

    class Elsewhere:
        alg = "ES256"
        key_id = None

        async def sign(self, data: bytes) -> bytes:
            return b"signature"

    grant = JWTBearer(key=Elsewhere())
    assert str((await ready(grant)).parameters()["assertion"]).endswith(".c2lnbmF0dXJl")
    assert "key=<Elsewhere>" in repr(grant)
    assert "key=None" in repr(JWTBearer(assertion="a.b.c"))


@pytest.mark.parametrize(
    "members, told",
    [
        ({}, "either assertion=, or key="),
        ({"assertion": "a.b.c", "key": JWK}, "either assertion=, or key="),
        ({"assertion": "a.b.c", "issuer": "x"}, "either assertion=, or key="),
        ({"assertion": "a.b.c", "subject": ""}, "either assertion=, or key="),
        ({"assertion": "a.b.c", "claims": {"x": 1}}, "either assertion=, or key="),
        ({"assertion": ""}, "assertion must be a text that is not empty"),
        ({"key": JWK, "claims": {"exp": 1, "aud": "x"}}, "claims= has aud, exp"),
        ({"key": JWK, "lifetime": 0}, "lifetime= is from 1 to 3600 seconds"),
        ({"key": JWK, "lifetime": 0.9}, "lifetime= is from 1 to 3600 seconds"),
        ({"key": JWK, "lifetime": 3601}, "lifetime= is from 1 to 3600 seconds"),
        ({"key": "-----BEGIN PRIVATE KEY-----"}, "key= takes"),
        ({"key": b"canary"}, "PEM"),
    ],
)
def test_what_cannot_work_is_refused_at_once(members: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        JWTBearer(**members)
    assert "canary" not in str(caught.value)


async def test_a_subclass_stays_itself() -> None:
    class OnBehalfOf(JWTBearer):
        def parameters(self) -> dict[str, Any]:
            return {**super().parameters(), "requested_token_use": "on_behalf_of"}

    async def supply() -> str:
        return "a.b.c"

    prepared = await ready(OnBehalfOf(assertion=supply))
    assert prepared.parameters()["requested_token_use"] == "on_behalf_of"


async def test_it_says_what_to_install_where_joserfc_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "joserfc", None)
    with pytest.raises(ConfigurationError, match=r"JWTBearer\(key=…\) needs joserfc"):
        JWTBearer(key=JWK)
