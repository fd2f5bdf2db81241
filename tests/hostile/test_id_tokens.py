"""ID Tokens of a provider that misbehaves: each is rejected, and nothing is asked for after it."""

import warnings

from joserfc.jwk import RSAKey

from oauthkit import ClientMetadata
from oauthkit.jose.issuing import encrypted_jwt, new_key
from oauthkit.protocol.jwt import compact, signing_input
from oauthkit.testing.id_tokens import Draft
from tests.hostile.modules import FAPI1, FAPI2, OLD, RP, module
from tests.hostile.world import Party, damaged, more_of, party, says

SECRET = "s" * 32
MAC = ClientMetadata(id_token_signed_response_alg="HS256")
KEY = RSAKey.generate_key(2_048)
SEALED = ClientMetadata(
    id_token_encrypted_response_alg="RSA-OAEP", decryption_keys=(KEY.as_dict(private=True),)
)


def unsigned(draft: Draft) -> str:
    return compact(signing_input({"alg": "none"}, draft.claims), b"")


# Signatures


@module(f"{RP}", server="a right one", client="the whole login")
async def test_a_right_provider_lets_a_person_in(rp: Party) -> None:
    result = await rp.log_in()

    assert result.identity is not None
    assert result.identity.subject == rp.fake.username
    await rp.is_silent(metadata=1, token=1, jwks=1)


@module(f"{RP}-idtoken-sig-rs256", server="an ID Token by RS256", client="accepts it")
async def test_rs256_is_accepted() -> None:
    async with party("RS256") as rp:
        assert (await rp.log_in()).identity is not None


@module(f"{RP}-idtoken-sig-none", server="an ID Token without a signature", client="rejects it")
async def test_no_signature_is_rejected(rp: Party) -> None:
    """OC-12, AT-36."""
    await rp.rejects(unsigned, "is signed by 'none'", keys=0)


@module(f"{RP}-invalid-sig-rs256", server="a damaged signature by RS256", client="rejects it")
async def test_a_damaged_signature_by_rs256_is_rejected() -> None:
    """OC-09."""
    async with party("RS256") as rp:
        await rp.rejects(damaged, "the signature of the ID Token is not good")


@module(f"{RP}-invalid-sig-es256", server="a damaged signature by ES256", client="rejects it")
async def test_a_damaged_signature_by_es256_is_rejected(rp: Party) -> None:
    """OC-09."""
    await rp.rejects(damaged, "the signature of the ID Token is not good")


@module(f"{RP}-invalid-sig-hs256", server="a damaged MAC by HS256", client="rejects it")
async def test_a_damaged_mac_is_rejected() -> None:
    """OC-11."""
    async with party("HS256", client_secret=SECRET) as rp:
        await rp.rejects(damaged, "the signature of the ID Token", keys=0, client_metadata=MAC)


@module(
    f"{OLD}-id_token-sig-hs256", server="an ID Token by HS256", client="accepts it if registered"
)
async def test_a_mac_is_accepted_where_it_is_registered() -> None:
    """OC-11."""
    async with party("HS256", client_secret=SECRET) as rp:
        assert (await rp.log_in(client_metadata=MAC)).identity is not None
        await rp.is_silent(metadata=1, token=1)


@module(f"{OLD}-id_token-sig-es256", server="an ID Token by ES256", client="accepts it")
async def test_es256_is_accepted(rp: Party) -> None:
    metadata = ClientMetadata(id_token_signed_response_alg="ES256")

    assert (await rp.log_in(client_metadata=metadata)).identity is not None


@module(
    f"{FAPI2}-invalid-alternate-alg",
    server="RS256 by a second key of its own, where ES256 was registered",
    client="rejects it",
)
async def test_another_algorithm_than_the_registered_one_is_rejected(rp: Party) -> None:
    """OC-10."""

    def edit(draft: Draft) -> None:
        draft.header["alg"], draft.key = "RS256", new_key("RS256", 1)

    metadata = ClientMetadata(id_token_signed_response_alg="ES256")
    await rp.rejects(edit, "is signed by 'RS256'", keys=0, client_metadata=metadata)


# Keys


@module(
    f"{RP}-kid-absent-single-jwks", server="no `kid`, and one key that fits", client="accepts it"
)
async def test_a_key_without_a_name_is_accepted_where_it_is_the_only_one(rp: Party) -> None:
    """JO-10."""
    rp.fake.edit_id_token = lambda draft: draft.header.pop("kid") and None

    assert (await rp.log_in()).identity is not None
    await rp.is_silent(metadata=1, token=1, jwks=1)


@module(
    f"{RP}-kid-absent-multiple-jwks",
    server="no `kid`, and several keys that fit",
    client="rejects it, and does not try them all",
)
async def test_a_key_without_a_name_is_rejected_where_there_are_several(rp: Party) -> None:
    """JO-10."""
    rp.fake.keys.jwks()
    rp.fake.keys.rotate(keep_old=True)
    await rp.rejects(lambda draft: draft.header.pop("kid") and None, "by which key it is signed")


@module(
    f"{RP}-signing-key-rotation",
    server="other keys after the first login",
    client="fetches the keys again for the unknown `kid`",
)
async def test_keys_that_changed_are_fetched_again(rp: Party) -> None:
    """OC-34."""
    await rp.log_in()
    rp.fake.keys.rotate()

    assert (await rp.log_in()).identity is not None
    await rp.is_silent(metadata=1, token=2, jwks=2)


@module(
    f"{RP}-signing-key-rotation-just-before-signing",
    server="other keys between the fetch of the keys and the signature",
    client="fetches the keys again, once",
)
async def test_keys_that_changed_a_moment_ago_are_fetched_again(rp: Party) -> None:
    """OC-34."""
    await rp.log_in()
    login = await rp.begun()
    callback = await rp.visit(login)

    def rotated(draft: Draft) -> None:
        rp.fake.keys.rotate()
        draft.key, draft.header["kid"] = rp.fake.keys.current, f"key-{rp.fake.keys.number}"

    rp.fake.edit_id_token = rotated
    assert (await rp.log_in(login, callback=callback)).identity is not None
    await rp.is_silent(metadata=1, token=2, jwks=2)


# Claims


@module(f"{RP}-invalid-iss", server="an issuer with a `1` more", client="rejects it")
async def test_another_issuer_is_rejected(rp: Party) -> None:
    """OC-06."""
    await rp.rejects(more_of("iss"), "its issuer")


@module(f"{FAPI2}-invalid-missing-iss", server="no issuer", client="rejects it")
async def test_no_issuer_is_rejected(rp: Party) -> None:
    """OC-06."""
    await rp.rejects(says(iss=...), "its issuer")


@module(f"{RP}-invalid-aud", server="another audience", client="rejects it")
async def test_another_audience_is_rejected(rp: Party) -> None:
    """OC-07, AT-51."""
    await rp.rejects(more_of("aud"), "its audience")


@module(f"{RP}-missing-aud", server="no audience", client="rejects it")
async def test_no_audience_is_rejected(rp: Party) -> None:
    """OC-07."""
    await rp.rejects(says(aud=...), "its audience")


@module(f"{FAPI2}-invalid-secondary-aud", server="a second audience", client="rejects it")
async def test_a_second_audience_is_rejected(rp: Party) -> None:
    """OC-07, OC-08."""
    await rp.rejects(says(aud=["client", "other"]), "has others beside")


@module(f"{FAPI2}-valid-aud-as-array", server="the audience as a list of one", client="accepts it")
async def test_an_audience_as_a_list_of_one_is_accepted(rp: Party) -> None:
    """OC-07."""
    rp.fake.edit_id_token = says(aud=["client"])

    assert (await rp.log_in()).identity is not None


@module(f"{RP}-missing-sub", server="no subject", client="rejects it")
async def test_no_subject_is_rejected(rp: Party) -> None:
    """OC-15."""
    await rp.rejects(says(sub=...), "its sub")


@module(f"{RP}-missing-iat", server="no moment of issue", client="rejects it")
async def test_no_moment_of_issue_is_rejected(rp: Party) -> None:
    """OC-14."""
    await rp.rejects(says(iat=...), "its iat")


@module(f"{FAPI2}-invalid-missing-exp", server="no end", client="rejects it")
async def test_no_end_is_rejected(rp: Party) -> None:
    """OC-13."""
    await rp.rejects(says(exp=...), "its exp")


@module(f"{FAPI2}-invalid-expired-exp", server="an end six minutes ago", client="rejects it")
async def test_an_id_token_that_has_ended_is_rejected(rp: Party) -> None:
    """OC-13."""
    await rp.rejects(says(exp=int(rp.fake.clock.time() - 360)), "it has ended 36[0-9] s ago")


@module(f"{RP}-nonce-invalid", server="another `nonce`", client="rejects it")
async def test_another_nonce_is_rejected(rp: Party) -> None:
    """OC-16, AT-10."""
    await rp.rejects(more_of("nonce"), "its nonce is another")


@module(f"{FAPI2}-invalid-missing-nonce", server="no `nonce`", client="rejects it")
async def test_no_nonce_is_rejected(rp: Party) -> None:
    """OC-16."""
    await rp.rejects(says(nonce=...), "its nonce is missing")


@module(f"{RP}-invalid-athash", server="an `at_hash` with a `1` more", client="rejects it")
async def test_the_hash_of_another_access_token_is_rejected(rp: Party) -> None:
    """OC-20."""
    await rp.rejects(more_of("at_hash"), "its at_hash")


@module(f"{FAPI1}-missing-athash", server="no `at_hash`, by code", client="accepts it")
async def test_no_hash_of_the_access_token_is_accepted(rp: Party) -> None:
    """OC-20."""
    rp.fake.edit_id_token = says(at_hash=...)

    assert (await rp.log_in()).identity is not None


# Encryption


@module(
    f"{FAPI1}-encrypted-idtoken",
    server="an ID Token that is encrypted for the client",
    client="decrypts and verifies it",
)
async def test_an_encrypted_id_token_is_opened_and_verified(rp: Party) -> None:
    """JO-19, JO-22."""
    public = KEY.as_dict(private=False)
    rp.fake.edit_id_token = lambda draft: encrypted_jwt(
        draft.signed(), public, algorithm="RSA-OAEP", encryption="A128CBC-HS256"
    )
    assert (await rp.log_in(client_metadata=SEALED)).identity is not None


@module(
    f"{FAPI1}-encrypted-idtoken-usingrsa15",
    server="an ID Token that is encrypted by RSA1_5",
    client="rejects it",
)
async def test_a_weak_encryption_is_rejected(rp: Party) -> None:
    """OC-35."""
    public = KEY.as_dict(private=False)

    def sealed(draft: Draft) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc, of what it is about to do
            return encrypted_jwt(
                draft.signed(), public, algorithm="RSA1_5", encryption="A128CBC-HS256"
            )

    match = "it is encrypted otherwise than registered"
    await rp.rejects(sealed, match, keys=0, client_metadata=SEALED)
