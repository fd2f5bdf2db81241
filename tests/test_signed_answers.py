"""Answers of the userinfo and the introspection endpoint that are registered to be signed."""

import sys
from collections.abc import AsyncGenerator
from typing import Any

import attrs
import httpx
import pytest

from oauthkit import (
    ClientMetadata,
    ClientSecretPost,
    ConfigurationError,
    Discovered,
    ErrorResponse,
    Introspection,
    IntrospectionCache,
    InvalidClient,
    InvalidJWT,
    OAuthKitError,
    ResponseError,
    Token,
    UserInfo,
    fetch_userinfo,
    introspect,
)
from oauthkit.testing import FakeAuthorizationServer

SIGNED = ClientMetadata(
    userinfo_signed_response_alg="ES256", introspection_signed_response_alg="ES256"
)
INTROSPECTION = "token-introspection+jwt"


@attrs.frozen
class World:
    """A server that signs what it says, and a client of it."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient

    async def userinfo(self, token: Token | None = None, **more: Any) -> UserInfo:
        settings: dict[str, Any] = {
            "server": self.fake.server,
            "subject": "ada",
            "client_metadata": SIGNED,
            "clock": self.fake.clock,
            **more,
        }
        token = token or attrs.evolve(self.fake.issue(), client_id="client")
        return await fetch_userinfo(self.http, token=token, **settings)

    async def introspection(self, **more: Any) -> Introspection:
        settings: dict[str, Any] = {
            "server": self.fake.server,
            "client_auth": self.fake.client_auth,
            "client_metadata": SIGNED,
            "clock": self.fake.clock,
            **more,
        }
        token = self.fake.issue("read write")
        return await introspect(self.http, token_text=token.access_token, **settings)

    def answer(self, endpoint: Any, text: str, kind: str) -> None:
        headers = {"content-type": kind}
        self.fake.fail_next(200, headers=headers, content=text.encode(), endpoint=endpoint)


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    fake = FakeAuthorizationServer(claims={"email": "ada@example.org"})
    fake.keys.algorithm = "ES256"
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield World(fake, http)


async def refusal(what: Any) -> OAuthKitError:
    with pytest.raises(OAuthKitError) as caught:
        await what
    assert "ada@example.org" not in str(caught.value)
    return caught.value


# The userinfo endpoint


@pytest.mark.parametrize("discovered", [True, False])
async def test_signed_claims_are_verified(world: World, *, discovered: bool) -> None:
    """OC-26."""
    fake = world.fake
    server = Discovered(fake.issuer, clock=fake.clock) if discovered else fake.server

    said = await world.userinfo(server=server)

    assert (said.subject, said.claims["email"]) == ("ada", "ada@example.org")
    (request,) = fake.endpoint_requests["userinfo"]
    assert request.headers["accept"] == "application/jwt"


async def test_claims_that_are_registered_to_be_signed_are_not_taken_unsigned(
    world: World,
) -> None:
    """OC-26."""
    world.answer("userinfo", '{"sub": "ada", "email": "ada@example.org"}', "application/json")

    error = await refusal(world.userinfo())

    assert isinstance(error, ResponseError)
    assert "unsigned" in str(error)


@pytest.mark.parametrize(
    "claims, told",
    [
        ({"iss": "https://auth.example1"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "another"}, "audience"),
        ({"aud": None}, "audience"),
        ({"sub": "grace"}, "another subject"),
        ({"sub": None}, "no sub"),
    ],
)
async def test_signed_claims_by_others_for_others_or_about_others_are_refused(
    world: World, claims: dict[str, Any], told: str
) -> None:
    """OC-23, OC-26."""
    said = {"iss": world.fake.issuer, "aud": "client", "sub": "ada", **claims}
    world.answer("userinfo", world.fake.signed(said), "application/jwt")

    assert told in str(await refusal(world.userinfo()))


async def test_another_kind_of_token_is_not_taken_for_claims(world: World) -> None:
    """AT-50."""
    said = {"iss": world.fake.issuer, "aud": "client", "sub": "ada"}
    world.answer("userinfo", world.fake.signed(said, kind="at+jwt"), "application/jwt")

    assert "at+jwt" in str(await refusal(world.userinfo()))


async def test_claims_signed_by_another_algorithm_than_registered_are_refused(
    world: World,
) -> None:
    """OC-26."""
    world.fake.keys.algorithm = "Ed25519"

    error = await refusal(world.userinfo())

    assert isinstance(error, InvalidJWT)
    assert "Ed25519" in str(error)


async def test_claims_with_a_mac_need_the_clients_secret(world: World) -> None:
    world.fake.keys.algorithm, world.fake.client_secret = "HS256", "s" * 32
    registered = ClientMetadata(userinfo_signed_response_alg="HS256")
    client_auth = ClientSecretPost("client", "s" * 32)

    said = await world.userinfo(client_auth=client_auth, client_metadata=registered)

    assert said.subject == "ada"
    error = await refusal(world.userinfo(client_metadata=registered))
    assert "client secret of 32 bytes" in str(error)


async def test_whom_signed_claims_are_for_has_to_be_known(world: World) -> None:
    token = attrs.evolve(world.fake.issue(), client_id=None)

    error = await refusal(world.userinfo(token))

    assert isinstance(error, ConfigurationError)
    assert "client_auth=" in str(error)
    assert world.fake.endpoint_requests["userinfo"] == []


async def test_a_refusal_of_signed_claims_is_told_as_it_is(world: World) -> None:
    error = await refusal(world.userinfo(Token("unknown", client_id="client")))

    assert isinstance(error, ErrorResponse)
    assert error.error == "invalid_token"


# The introspection endpoint


@pytest.mark.parametrize("discovered", [True, False])
async def test_a_signed_answer_about_a_token_is_verified(world: World, *, discovered: bool) -> None:
    """IN-06."""
    fake = world.fake
    server = Discovered(fake.issuer, clock=fake.clock) if discovered else fake.server

    said = await world.introspection(server=server)

    assert (said.active, said.scope) == (True, "read write")
    (request,) = fake.endpoint_requests["introspect"]
    assert request.headers["accept"] == f"application/{INTROSPECTION}"


async def test_a_signed_answer_is_cached_as_any(world: World) -> None:
    cache = IntrospectionCache(seconds=30)
    token = world.fake.issue().access_token
    for _ in range(2):
        said = await introspect(
            *(world.http, world.fake.server, world.fake.client_auth, token),
            client_metadata=SIGNED,
            cache=cache,
            clock=world.fake.clock,
        )
        assert said.active

    assert len(world.fake.endpoint_requests["introspect"]) == 1


async def test_an_answer_that_is_registered_to_be_signed_is_not_taken_unsigned(
    world: World,
) -> None:
    """IN-07."""
    world.answer("introspect", '{"active": true}', "application/json")

    assert "not signed" in str(await refusal(world.introspection()))


@pytest.mark.parametrize(
    "claims, kind, told",
    [
        ({"iss": "https://auth.example1"}, INTROSPECTION, "issuer"),
        ({"aud": "another"}, INTROSPECTION, "audience"),
        ({"iat": None}, INTROSPECTION, "iat"),
        ({"iat": 4e9}, INTROSPECTION, "future"),
        ({"token_introspection": None}, INTROSPECTION, "no object"),
        ({"token_introspection": {"active": "true"}}, INTROSPECTION, "true or false"),
        ({}, "jwt", "typ is 'jwt'"),
        ({}, None, "typ is 'None'"),
    ],
)
async def test_a_signed_answer_that_is_another_thing_is_refused(
    world: World, claims: dict[str, Any], kind: str | None, told: str
) -> None:
    """IN-06, AT-50."""
    fake = world.fake
    said = {
        "iss": fake.issuer,
        "aud": "client",
        "iat": int(fake.clock.time()),
        "token_introspection": {"active": True},
        **claims,
    }
    world.answer("introspect", fake.signed(said, kind=kind), f"application/{INTROSPECTION}")

    error = await refusal(world.introspection())

    assert isinstance(error, InvalidJWT)
    assert told in str(error)


async def test_a_signed_answer_is_for_a_client_alone(world: World) -> None:
    error = await refusal(world.introspection(client_auth=None, access_token="a"))

    assert "give client_auth" in str(error)
    assert world.fake.endpoint_requests["introspect"] == []


async def test_a_refusal_of_who_asks_is_told_as_it_is(world: World) -> None:
    error = await refusal(world.introspection(client_auth=ClientSecretPost("client", "wrong")))

    assert isinstance(error, InvalidClient)


@pytest.mark.parametrize("ask", ["userinfo", "introspection"])
async def test_without_joserfc_nothing_is_asked(
    world: World, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)

    error = await refusal(getattr(world, ask)())

    assert "oauthkit[jose]" in str(error)
    assert not any(world.fake.endpoint_requests.values())


async def test_what_a_cache_has_unsigned_is_not_what_is_registered_to_be_signed(
    world: World,
) -> None:
    """IN-07."""
    cache, token = IntrospectionCache(seconds=30), world.fake.issue("read")
    asked: Any = (world.http, world.fake.server, world.fake.client_auth, token.access_token)
    assert (await introspect(*asked, cache=cache, clock=world.fake.clock)).active
    world.answer("introspect", '{"active": true}', "application/json")

    error = await refusal(
        introspect(*asked, cache=cache, client_metadata=SIGNED, clock=world.fake.clock)
    )

    assert "not signed" in str(error)
