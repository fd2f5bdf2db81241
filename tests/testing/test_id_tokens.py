"""The ID Tokens and the keys of the fake server: right ones, and wrong ones on demand."""

import json
import sys
from base64 import urlsafe_b64decode
from typing import Any

import httpx
import pytest

from oauthkit import AuthorizationRequest, ConfigurationError, fetch_token
from oauthkit.jose.issuing import new_key, public_jwk
from oauthkit.jose.verifying import is_signed_by, is_signed_with
from oauthkit.protocol.compact import read_signed
from oauthkit.protocol.keys import key_set
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.id_tokens import Draft, SigningKeys, drafted, left_half


async def issued(fake: FakeAuthorizationServer, **wishes: Any) -> str | None:
    """Return the ID Token of a login."""
    login = AuthorizationRequest.new(
        fake.server,
        fake.client_id,
        redirect_uri="https://app.example/callback",
        scope="openid",
        **wishes,
    )
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        code = login.accept(fake.authorize(login.url))
        return (await fetch_token(http, fake.server, fake.client_auth, code)).id_token


def claims_of(text: str | None) -> dict[str, Any]:
    return {**read_signed(str(text)).claims()}


async def test_a_login_gets_an_id_token_that_says_who_it_is() -> None:
    fake = FakeAuthorizationServer(claims={"email": "ada@example.com", "acr": None})
    now = int(fake.clock.time())

    claims = claims_of(await issued(fake, acr_values="silver gold"))

    nonce = claims.pop("nonce")
    assert len(nonce) == 43
    assert claims == {
        "iss": "https://auth.example",
        "sub": "ada",
        "aud": "client",
        "iat": now,
        "exp": now + 300,
        "auth_time": now,
        "at_hash": left_half("access-token-2", "RS256"),
        "email": "ada@example.com",
    }


async def test_the_first_acr_that_was_wished_for_is_said() -> None:
    assert claims_of(await issued(FakeAuthorizationServer(), acr_values="a b"))["acr"] == "a"


async def test_an_id_token_is_changed_before_it_is_signed_or_replaced() -> None:
    fake = FakeAuthorizationServer()
    fake.edit_id_token = lambda draft: draft.claims.update(sub="grace")
    assert claims_of(await issued(fake))["sub"] == "grace"
    assert is_signed_by(
        read_signed(str(await issued(fake))), key_set(fake.keys.jwks()["keys"]).keys[0]
    )

    fake.edit_id_token = lambda _: "something.else"
    assert await issued(fake) == "something.else"


async def test_without_the_scope_openid_there_is_none() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        assert (await session.token()).id_token is None
    assert fake.issue("openid").id_token is None  # nobody asked for it by a login


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_server_publishes_the_key_that_it_signs_with(algorithm: str) -> None:
    keys = SigningKeys(algorithm)
    draft = drafted(keys, {"sub": "ada", "acr": None}, secret=None)
    (key,) = key_set(keys.jwks()["keys"]).keys

    assert draft.header == {"alg": algorithm, "kid": "key-1"}
    assert draft.claims == {"sub": "ada"}
    assert is_signed_by(read_signed(draft.signed()), key)
    assert "d" not in keys.jwks()["keys"][0]


def test_the_key_before_is_published_on_or_not() -> None:
    keys = SigningKeys("ES256")

    def published() -> list[str]:
        return [jwk["kid"] for jwk in keys.jwks()["keys"]]

    assert published() == ["key-1"]
    keys.rotate()
    assert published() == ["key-2"]
    keys.rotate(keep_old=True)
    assert published() == ["key-2", "key-3"]
    assert drafted(keys, {}, secret=None).header["kid"] == "key-3"


def test_a_mac_has_no_key_that_is_published() -> None:
    keys = SigningKeys("HS256")
    draft = drafted(keys, {"sub": "ada"}, secret="s" * 32)

    assert draft.header == {"alg": "HS256"}
    assert is_signed_with(read_signed(draft.signed()), b"s" * 32)
    assert keys.jwks() == {"keys": []}
    assert drafted(keys, {}, secret=None).key == ""


def test_a_key_is_made_once_in_a_process() -> None:
    assert new_key("RS256", 1) is new_key("RS256", 1)
    assert public_jwk(new_key("ES256", 1)) != public_jwk(new_key("ES256", 2))


def test_a_logout_token_is_of_its_own_kind() -> None:
    fake = FakeAuthorizationServer()
    header, claims, _ = fake.logout_token("ada", "session-1").split(".")

    assert json.loads(urlsafe_b64decode(header + "=="))["typ"] == "logout+jwt"
    assert {"sub": "ada", "sid": "session-1"}.items() <= json.loads(
        urlsafe_b64decode(claims + "==")
    ).items()
    assert "sub" not in fake.logout_draft(None, "session-1").claims


async def test_the_keys_are_where_the_metadata_says_and_each_request_is_written_down() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        answer = await http.get(str(fake.server.jwks_uri))

    assert answer.json() == fake.keys.jwks()
    (request,) = fake.endpoint_requests["jwks"]
    assert (request.method, request.status_code) == ("GET", 200)


async def test_a_fake_that_signs_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigurationError, match="a FakeAuthorizationServer that signs needs jose"):
        _ = SigningKeys().current


def test_no_draft_shows_what_it_says_or_its_key() -> None:
    draft = Draft({"alg": "HS256"}, {"sub": "canary"}, "canary")

    assert repr(draft) == "Draft(header={'alg': 'HS256'}, claims=<sub>)"
