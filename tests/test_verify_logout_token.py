"""Whether a Logout Token is believed, by the server's own keys."""

import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import attrs
import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ClientMetadata,
    ConfigurationError,
    Discovered,
    InvalidJWT,
    LogoutToken,
    MemorySingleUseStore,
    ResponseError,
    verify_id_token,
    verify_logout_token,
)
from oauthkit.jose.issuing import encrypted_jwt, new_key
from oauthkit.protocol.jwt import compact, signing_input
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.id_tokens import Draft
from tests.rsa_keys import RSA
from tests.tokens import shown


@attrs.define
class World:
    """A fake server, and who takes its Logout Tokens."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient
    server: AuthorizationServer | Discovered

    async def verify(self, text: str, **more: Any) -> LogoutToken:
        return await verify_logout_token(
            self.http, self.server, self.fake.client_auth, text, clock=self.fake.clock, **more
        )


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield World(fake, http, fake.server)


async def test_a_logout_token_of_the_server_says_whose_visits_are_over(world: World) -> None:
    """BL-02."""
    said = await world.verify(world.fake.logout_token("ada", "session-1"))

    assert (said.issuer, said.subject, said.session_id) == (world.fake.issuer, "ada", "session-1")
    assert said.expires_at == world.fake.clock.time() + 300
    assert (await world.verify(world.fake.logout_token("ada"))).session_id is None
    assert (await world.verify(world.fake.logout_token(None, "session-1"))).subject is None


async def test_the_clocks_may_differ_by_as_much_as_is_said(world: World) -> None:
    """BL-05, AT-79."""
    text = world.fake.logout_token("ada")
    world.fake.advance(350)

    assert (await world.verify(text, leeway=51)).subject == "ada"
    with pytest.raises(InvalidJWT, match="it has ended"):
        await world.verify(text)


async def test_one_that_never_ends_counts_once_all_the_same(world: World) -> None:
    """BL-08: as where a server writes milliseconds."""
    draft = world.fake.logout_draft("ada")
    draft.claims["exp"] *= 1_000
    text, used = draft.signed(), MemorySingleUseStore(clock=world.fake.clock.time)

    assert (await world.verify(text, used=used)).subject == "ada"
    with pytest.raises(InvalidJWT, match="came before"):
        await world.verify(text, used=used)


async def test_each_one_has_a_name_of_its_own() -> None:
    fake = FakeAuthorizationServer()

    assert fake.logout_draft("ada").claims["jti"] != fake.logout_draft("ada").claims["jti"]


async def test_the_name_of_the_client_is_enough(world: World) -> None:
    world.server = Discovered(world.fake.issuer)

    said = await verify_logout_token(
        world.http, world.server, world.fake.client_id, world.fake.logout_token("ada")
    )

    assert said.subject == "ada"


def another_algorithm(draft: Draft) -> None:
    draft.header["alg"], draft.key = "ES256", new_key("ES256", 1)


def another_key(draft: Draft) -> None:
    draft.key = new_key("RS256", 9)


def header(**members: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.header.update(members)


def claims(**members: Any) -> Callable[[Draft], None]:
    """Change claims; `...` leaves one out."""

    def change(draft: Draft) -> None:
        draft.claims.update(members)
        draft.claims = {name: v for name, v in draft.claims.items() if v is not ...}

    return change


@pytest.mark.parametrize(
    "change, match",
    [
        (claims(nonce="n"), "it has a nonce"),
        (claims(events=...), "its events have no object"),
        (claims(sub=...), "neither a subject nor a session"),
        (claims(iss="https://evil.example"), "its issuer"),
        (claims(aud="other"), "its audience"),
        (claims(exp=1), "it has ended"),
        (claims(iat=...), "its iat"),
        (header(typ="at+jwt"), "another kind of token"),
        (another_algorithm, "the Logout Token is signed by 'ES256', and may be by RS256"),
        (another_key, "the signature of the Logout Token is not good"),
    ],
    ids=range(10),
)
async def test_what_is_wrong_ends_no_visit(
    world: World, change: Callable[[Draft], object], match: str
) -> None:
    """BL-03, BL-04, BL-05, BL-06, BL-07, AT-84."""
    draft = world.fake.logout_draft("ada")
    change(draft)

    with pytest.raises(InvalidJWT, match=match):
        await world.verify(draft.signed())


@pytest.mark.parametrize("alg", ["none", "NONE"])
async def test_an_unsigned_one_ends_no_visit(world: World, alg: str) -> None:
    """BL-05, AT-36."""
    draft = world.fake.logout_draft("ada")
    text = compact(signing_input({**draft.header, "alg": alg}, draft.claims), b"")

    with pytest.raises(InvalidJWT, match="the Logout Token is signed by"):
        await world.verify(text)
    assert world.fake.endpoint_requests["jwks"] == []


async def test_an_id_token_ends_no_visit_and_a_logout_token_lets_nobody_in(world: World) -> None:
    """BL-09, JO-16, AT-50."""
    fake = world.fake
    with pytest.raises(InvalidJWT, match="its events have no object"):
        await world.verify(fake.draft({}, began=fake.clock.time()).signed())

    draft = fake.logout_draft("ada")
    for kind in ("logout+jwt", "JWT"):
        draft.header["typ"] = kind
        with pytest.raises(InvalidJWT, match=r"another kind of token|it is a Logout Token"):
            await verify_id_token(
                world.http, world.server, fake.client_auth, draft.signed(), clock=fake.clock
            )


async def test_what_was_registered_for_id_tokens_is_so_for_logout_tokens(world: World) -> None:
    """BL-05."""
    fake, key = world.fake, RSA
    metadata = ClientMetadata(
        id_token_signed_response_alg="ES256",
        id_token_encrypted_response_alg="RSA-OAEP",
        decryption_keys=(key.as_dict(private=True),),
    )
    fake.keys.algorithm = "ES256"
    text = fake.logout_token("ada")
    with pytest.raises(InvalidJWT, match="the Logout Token is not encrypted"):
        await world.verify(text, client_metadata=metadata)

    sealed = encrypted_jwt(
        text, key.as_dict(private=False), algorithm="RSA-OAEP", encryption="A128CBC-HS256"
    )
    assert (await world.verify(sealed, client_metadata=metadata)).subject == "ada"


async def test_keys_that_cannot_be_had_say_nothing_of_the_token(world: World) -> None:
    world.fake.fail_next(500, endpoint="jwks")

    with pytest.raises(ResponseError) as caught:
        await world.verify(world.fake.logout_token("ada"))
    assert not isinstance(caught.value, InvalidJWT)


async def test_without_joserfc_the_error_names_the_extra(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigurationError, match=r"verify_logout_token needs joserfc"):
        await world.verify("a.b.c")


@pytest.mark.parametrize(
    "wrong", [{"client_metadata": {}}, {"leeway": "30"}, {"timeout": None}], ids=str
)
async def test_an_argument_of_another_kind_is_told_by_its_name(
    world: World, wrong: dict[str, Any]
) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"^verify_logout_token: {name}= takes"):
        await world.verify("a.b.c", **wrong)
    anything: Any = None
    with pytest.raises(ConfigurationError, match=r"^verify_logout_token: logout_token takes"):
        await world.verify(anything)
    with pytest.raises(ConfigurationError, match=r"^verify_logout_token: client takes"):
        await verify_logout_token(world.http, world.server, anything, "a.b.c")


async def test_what_is_refused_is_not_shown(world: World) -> None:
    """AT-70."""
    draft = world.fake.logout_draft("ada")
    draft.claims["iss"] = "https://evil.example"
    text = draft.signed()
    with pytest.raises(InvalidJWT) as caught:
        await world.verify(text)
    assert text not in shown(caught.value)
