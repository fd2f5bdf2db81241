"""Whether an ID Token is believed: its signature, by the server's keys, and what it says."""

import hashlib
import hmac
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import attrs
import httpx
import pytest
from joserfc.jwk import ECKey

from oauthkit import (
    AuthorizationServer,
    ClientMetadata,
    ConfigurationError,
    Discovered,
    Identity,
    InvalidJWT,
    ResponseError,
    verify_id_token,
)
from oauthkit.jose.issuing import encrypted_jwt, new_key
from oauthkit.protocol.jwt import compact, signing_input
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.id_tokens import Draft
from tests.rsa_keys import OTHER_RSA, RSA
from tests.tokens import base64url, public_key, shown

EC = ECKey.generate_key("P-256")


@attrs.define
class World:
    """A fake server that signs by RS256, and who looks at its ID Tokens."""

    fake: FakeAuthorizationServer
    http: httpx.AsyncClient
    server: AuthorizationServer | Discovered

    def draft(self) -> Draft:
        """Return an ID Token before it is signed, of a login without a nonce."""
        return self.fake.draft({}, began=self.fake.clock.time())

    async def verify(self, text: str, **more: Any) -> Identity:
        return await verify_id_token(
            self.http, self.server, self.fake.client_auth, text, clock=self.fake.clock, **more
        )

    async def refused(self, text: str, match: str, **more: Any) -> None:
        with pytest.raises(InvalidJWT, match=match) as caught:
            await self.verify(text, **more)
        assert text not in shown(caught.value)

    @property
    def fetched(self) -> int:
        return len(self.fake.endpoint_requests["jwks"])


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield World(fake, http, fake.server)


async def test_what_the_server_has_signed_is_believed(world: World) -> None:
    identity = await world.verify(world.draft().signed())

    assert (identity.issuer, identity.subject) == ("https://auth.example", "ada")
    assert world.fetched == 1


async def test_a_thousand_at_once_fetch_the_keys_once(world: World) -> None:
    """JO-11, AT-44: over one server value, and over an issuer, where the metadata is found once."""
    world.fake.keys.algorithm = "ES256"
    text = world.draft().signed()
    for server in (world.fake.server, Discovered(world.fake.issuer, clock=world.fake.clock)):
        world.server, before = server, world.fetched
        async with anyio.create_task_group() as group:
            for _ in range(1_000):
                group.start_soon(world.verify, text)
        assert world.fetched == before + 1
    assert len(world.fake.metadata_requests) == 1


async def test_a_flood_of_unknown_keys_causes_one_fetch_more(world: World) -> None:
    """OC-34, JO-11, AT-44."""
    draft = world.draft()
    draft.header["kid"] = "no-such-key"
    text = draft.signed()
    refusals: list[str] = []

    async def one() -> None:
        try:
            await world.verify(text)
        except InvalidJWT as error:
            refusals.append(str(error))

    for _ in range(2):
        async with anyio.create_task_group() as group:
            for _ in range(500):
                group.start_soon(one)

    assert {*refusals} == {"the signature of the ID Token is not good for any key of the server"}
    assert (len(refusals), world.fetched) == (1_000, 2)


async def test_a_key_that_came_later_is_found(world: World) -> None:
    """OC-34, JO-11."""
    await world.verify(world.draft().signed())
    world.fake.keys.rotate()

    assert (await world.verify(world.draft().signed())).subject == "ada"
    assert world.fetched == 2


async def test_a_signature_that_is_not_by_the_key_it_names_causes_no_further_fetch(
    world: World,
) -> None:
    """JO-11, AT-44: the key is there, so there is nothing to look for, wherever that may be."""
    world.server = Discovered(world.fake.issuer, clock=world.fake.clock)
    draft = world.draft()
    draft.key = OTHER_RSA
    for _ in range(2):
        await world.refused(draft.signed(), "the signature of the ID Token is not good")
        world.fake.advance(60)

    assert (world.fetched, len(world.fake.metadata_requests)) == (1, 1)


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", "KEY-1", "key-1 ", "k" * 1_024], ids=range(5)
)
async def test_a_kid_is_a_name_to_compare_and_nothing_else(world: World, kid: str) -> None:
    """AT-40."""
    draft = world.draft()
    draft.header["kid"] = kid

    await world.refused(draft.signed(), "not good for any key")


async def test_a_key_that_is_not_named_must_be_the_only_one_that_fits(world: World) -> None:
    """JO-10."""
    draft = world.draft()
    del draft.header["kid"]
    assert (await world.verify(draft.signed())).subject == "ada"

    world.fake.keys.rotate(keep_old=True)
    world.server = attrs.evolve(world.fake.server)
    await world.refused(draft.signed(), r"does not say by which key it is signed \(kid\)")
    assert world.fetched == 2


async def test_a_key_that_is_not_named_is_found_after_a_rotation(world: World) -> None:
    """JO-10, OC-34."""
    await world.verify(world.draft().signed())
    world.fake.keys.rotate()
    draft = world.draft()
    del draft.header["kid"]

    assert (await world.verify(draft.signed())).subject == "ada"
    assert world.fetched == 2


# The algorithm


def unsigned(alg: str, signature: bytes = b"") -> Callable[[Draft], str]:
    def made(draft: Draft) -> str:
        return compact(signing_input({**draft.header, "alg": alg}, draft.claims), signature)

    return made


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "RS256 ", "rs256"])
@pytest.mark.parametrize("signature", [b"", b"left over"], ids=["without", "with"])
async def test_what_is_not_signed_is_refused_before_any_key_is_fetched(
    world: World, alg: str, signature: bytes
) -> None:
    """OC-12, JO-01, AT-36."""
    await world.refused(unsigned(alg, signature)(world.draft()), "is signed by '.*', and may be by")
    assert world.fetched == 0


async def test_a_signature_that_was_cut_off_is_refused(world: World) -> None:
    """AT-36."""
    await world.refused(unsigned("RS256")(world.draft()), "the signature of the ID Token")


@pytest.mark.parametrize("alg", ["PS256", "RS384", "ES256", "HS256"])
async def test_another_algorithm_than_the_servers_is_refused(world: World, alg: str) -> None:
    """OC-10, JO-01."""
    key = "s" * 64 if alg == "HS256" else new_key(alg, 1)
    draft = world.draft()
    draft.header["alg"], draft.key = alg, key

    await world.refused(draft.signed(), f"is signed by '{alg}', and may be by RS256")
    assert world.fetched == 0


async def test_what_was_registered_counts_and_not_what_the_metadata_says(world: World) -> None:
    """OC-10."""
    metadata = ClientMetadata(id_token_signed_response_alg="ES256")
    await world.refused(world.draft().signed(), "may be by ES256", client_metadata=metadata)

    world.server = attrs.evolve(world.fake.server, id_token_signing_alg_values_supported=("PS256",))
    world.fake.keys.algorithm = "ES256"
    text = world.draft().signed()
    assert (await world.verify(text, client_metadata=metadata)).subject == "ada"


async def test_where_nobody_says_an_algorithm_it_is_rs256(world: World) -> None:
    """OC-10."""
    world.server = attrs.evolve(world.fake.server, id_token_signing_alg_values_supported=None)
    assert (await world.verify(world.draft().signed())).subject == "ada"

    world.fake.keys.algorithm = "ES256"
    await world.refused(world.draft().signed(), "may be by RS256")


@pytest.mark.parametrize("registered", [None, "HS256"])
async def test_a_mac_by_a_public_key_is_refused(world: World, registered: str | None) -> None:
    """JO-02, AT-37: where a MAC is registered, too, the client's own secret is the only key."""
    fake = world.fake
    fake.client_secret = "s" * 32
    public = new_key("RS256", 1)
    for secret in (public.as_pem(private=False), public.as_der(private=False), b""):
        signed = signing_input({**world.draft().header, "alg": "HS256"}, world.draft().claims)
        text = compact(signed, hmac.new(secret, signed, hashlib.sha256).digest())
        match = "is signed by 'HS256'" if registered is None else "the signature of the ID Token"
        metadata = ClientMetadata(id_token_signed_response_alg=registered)
        await world.refused(text, match, client_metadata=metadata)


async def test_a_secret_that_is_too_short_for_a_mac_is_a_setting_that_cannot_work(
    world: World,
) -> None:
    """OC-11."""
    world.fake.client_secret = "s" * 31
    world.fake.keys.algorithm = "HS256"
    metadata = ClientMetadata(id_token_signed_response_alg="HS256")
    with pytest.raises(
        ConfigurationError, match="HS256 needs a client secret of 32 bytes at least"
    ):
        await world.verify(world.draft().signed(), client_metadata=metadata)

    world.fake.client_secret = "s" * 32
    assert (await world.verify(world.draft().signed(), client_metadata=metadata)).subject == "ada"
    assert world.fetched == 0


# Keys from elsewhere


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": OTHER_RSA.as_dict(private=False)},
        {"jwk": {**OTHER_RSA.as_dict(private=False), "kid": "key-1"}},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"kid": "evil", "jku": "https://evil.example/jwks"},
    ],
    ids=range(6),
)
async def test_a_key_that_comes_with_the_token_is_neither_used_nor_fetched(
    world: World, header: dict[str, Any]
) -> None:
    """JO-03, AT-35, AT-38."""
    draft = world.draft()
    draft.header.update(header)
    draft.key = OTHER_RSA

    await world.refused(draft.signed(), "the signature of the ID Token is not good")
    assert world.fake.api_requests == []  # what goes to another host would be there
    assert world.fetched == (2 if "kid" in header else 1)


async def test_what_a_header_says_beside_does_not_disturb(world: World) -> None:
    """JO-03."""
    draft = world.draft()
    draft.header.update({"jku": "https://evil.example", "vendor": [1], "x5t": "?", "b64": True})

    assert (await world.verify(draft.signed())).subject == "ada"


async def test_something_critical_is_refused(world: World) -> None:
    """JO-04, AT-39."""
    draft = world.draft()
    draft.header.update({"crit": ["b64"], "b64": False})

    await world.refused(draft.signed(), "something critical")


async def test_keys_that_are_odd_or_meant_for_something_else_do_not_stand_in_the_way(
    world: World,
) -> None:
    """JO-08, JO-09, JO-13, AT-41, AT-42, AT-43."""
    good = public_key("RS256").members
    decoys: list[Any] = [
        None,
        "text",
        {},
        {"kty": ["RSA"], "kid": "key-1"},
        {"kty": "RSA", "kid": "key-1"},
        {**good, "n": "AQAB"},
        {**good, "n": "!"},
        {**good, "use": "enc"},
        {**good, "alg": "PS256"},
        {**public_key("ES256").members, "kid": "key-1"},
        {**public_key("RS256", 2).members, "kid": "key-1"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "key-1"},
    ]
    text = world.draft().signed()
    for keys in ([*decoys, good], [good, *decoys]):
        world.fake.fail_next(200, content=_json({"keys": keys}), endpoint="jwks")
        world.server = attrs.evolve(world.fake.server)
        assert (await world.verify(text)).subject == "ada"

    world.fake.fail_next(200, content=_json({"keys": decoys}), endpoint="jwks")
    world.server = attrs.evolve(world.fake.server)
    await world.refused(text, "the signature of the ID Token is not good")


def _json(document: Any) -> bytes:
    return httpx.Request("POST", "https://a.example", json=document).content


# Encrypted


def registered(algorithm: str | None = "RSA-OAEP", key: Any = RSA) -> ClientMetadata:
    return ClientMetadata(
        id_token_encrypted_response_alg=algorithm, decryption_keys=(key.as_dict(private=True),)
    )


def sealed(
    text: str,
    key: Any = RSA,
    algorithm: str = "RSA-OAEP",
    encryption: str = "A128CBC-HS256",
) -> str:
    public = key.as_dict(private=False)
    return encrypted_jwt(text, public, algorithm=algorithm, encryption=encryption)


async def test_what_is_encrypted_for_the_client_is_opened_and_then_looked_at(world: World) -> None:
    """JO-19, JO-22."""
    text = world.draft().signed()

    assert (await world.verify(sealed(text), client_metadata=registered())).subject == "ada"
    elliptic = attrs.evolve(registered("ECDH-ES", EC), id_token_encrypted_response_enc="A256GCM")
    text = sealed(text, EC, "ECDH-ES", "A256GCM")
    assert (await world.verify(text, client_metadata=elliptic)).subject == "ada"


async def test_where_encryption_is_registered_both_layers_are_needed(world: World) -> None:
    """OC-05, JO-22, AT-48: anybody can encrypt, and so it proves nothing."""
    draft, metadata = world.draft(), registered()

    await world.refused(draft.signed(), "is not encrypted, and is reg", client_metadata=metadata)
    for inner in (_json(draft.claims).decode(), unsigned("none")(draft), sealed(draft.signed())):
        await world.refused(sealed(inner), "parts|is signed by|encrypted", client_metadata=metadata)
    draft.key = OTHER_RSA
    await world.refused(sealed(draft.signed()), "the signature of", client_metadata=metadata)


async def test_the_clients_keys_are_read_once(world: World) -> None:
    """An RSA key of 4,096 bits takes a quarter of a second, in which nothing else goes on."""
    metadata = registered()
    text = sealed(world.draft().signed())
    await world.verify(text, client_metadata=metadata)
    read = metadata.loaded["decryption"]
    await world.verify(text, client_metadata=metadata)

    assert metadata.loaded["decryption"] is read
    assert attrs.evolve(metadata).loaded == {}
    assert attrs.evolve(metadata) == metadata
    assert "loaded" not in repr(metadata)


async def test_what_is_encrypted_though_nobody_registered_that_is_refused(world: World) -> None:
    """AT-48."""
    await world.refused(sealed(world.draft().signed()), "it is encrypted, and was to be signed")


async def test_a_weak_encryption_is_refused(world: World) -> None:
    """OC-35, AT-47."""
    text = sealed(world.draft().signed(), RSA, "RSA-OAEP-256")

    await world.refused(text, "otherwise than registered", client_metadata=registered())
    with pytest.raises(ConfigurationError, match="RSA1_5 with A128CBC-HS256 is not supported"):
        await world.verify(text, client_metadata=registered("RSA1_5"))


# What is expected


async def test_what_was_asked_for_is_compared(world: World) -> None:
    """OC-16, OC-17, OC-18, OC-19, OC-20."""
    draft = world.draft()
    draft.claims.update({"nonce": "n", "acr": "silver", "at_hash": "x"})
    text = draft.signed()

    good: dict[str, Any] = {"nonce": "n", "max_age": 60, "acr_values": ["silver"]}
    assert (await world.verify(text, **good)).acr == "silver"
    await world.refused(text, "the login had none")
    await world.refused(text, "its nonce", **{**good, "nonce": "other"})
    await world.refused(text, "its acr", **{**good, "acr_values": {"gold"}})
    await world.refused(text, "its at_hash", **{**good, "access_token": "access-1"})
    world.fake.advance(91)
    await world.refused(text, "max_age was 60", **good)
    assert (await world.verify(text, **{**good, "leeway": 31})).acr == "silver"


async def test_an_id_token_of_a_refresh_is_compared_with_that_of_the_login(world: World) -> None:
    """OC-29."""
    first = await world.verify(world.draft().signed())
    world.fake.advance(60)
    draft = world.draft()
    draft.claims["auth_time"] -= 60

    assert (await world.verify(draft.signed(), follows=first)).subject == "ada"
    draft.claims["sub"] = "grace"
    await world.refused(draft.signed(), "its sub is another", follows=first)


async def test_every_tenant_of_a_template_is_believed_where_that_was_said(world: World) -> None:
    """OC-06, MD-16."""
    world.server = Discovered(
        world.fake.issuer, accept_issuer=lambda issuer: issuer.endswith("/tenant")
    )
    draft = world.draft()
    assert (await world.verify(draft.signed())).issuer == world.fake.issuer
    draft.claims["iss"] = f"{world.fake.issuer}/tenant"

    assert (await world.verify(draft.signed())).issuer == f"{world.fake.issuer}/tenant"
    draft.claims["iss"] = f"{world.fake.issuer}/other"
    await world.refused(draft.signed(), "its issuer")


async def test_a_server_without_an_issuer_is_not_believed(world: World) -> None:
    world.server = AuthorizationServer(
        "https://auth.example/token", jwks_uri="https://auth.example/jwks"
    )
    with pytest.raises(ConfigurationError, match="an ID Token is believed of one issuer alone"):
        await world.verify(world.draft().signed())


# What goes wrong


async def test_keys_that_cannot_be_had_say_nothing_of_the_token(world: World) -> None:
    """OC-09."""
    world.fake.fail_next(500, endpoint="jwks")

    with pytest.raises(ResponseError) as caught:
        await world.verify(world.draft().signed())
    assert not isinstance(caught.value, InvalidJWT)


async def test_without_joserfc_the_error_names_the_extra(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = world.draft().signed()
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigurationError, match=r"verify_id_token needs joserfc.*oauthkit\[jose"):
        await world.verify(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": 7},
        {"max_age": "60"},
        {"acr_values": "silver"},
        {"access_token": b"x"},
        {"follows": "ada"},
        {"client_metadata": {}},
        {"leeway": "30"},
        {"timeout": "30"},
    ],
    ids=str,
)
async def test_an_argument_of_another_kind_is_told_by_its_name(
    world: World, wrong: dict[str, Any]
) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"^verify_id_token: {name}= takes"):
        await world.verify("a.b.c", **wrong)
    any_text: Any = None
    with pytest.raises(ConfigurationError, match=r"^verify_id_token: id_token= takes a text"):
        await world.verify(any_text)
    assert world.fetched == 0


@pytest.mark.parametrize("leeway", [-1, 3_600, float("nan")])
async def test_a_leeway_by_which_anything_would_be_good_is_refused(
    world: World, leeway: float
) -> None:
    """OC-13."""
    with pytest.raises(ConfigurationError, match="leeway= must be from 0 to 600 seconds"):
        await world.verify(world.draft().signed(), leeway=leeway)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "canary.canary.canary",
        f"{base64url('canary')}.canary.canary",
        "a.b.c.d.canary",
    ],
)
async def test_what_is_no_token_at_all_is_refused_and_not_shown(world: World, text: str) -> None:
    """JO-05, AT-70."""
    with pytest.raises(InvalidJWT) as caught:
        await world.verify(text, nonce="canary", access_token="canary")
    assert "canary" not in shown(caught.value)
