"""Keys that sign: what they are made from, by which algorithms, and which are refused."""

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from oauthkit import ConfigurationError
from oauthkit.jose.signing import KeySigner
from oauthkit.jose.thumbprint import jwk_thumbprint
from tests.rsa_keys import RSA

VECTORS = Path(__file__).parents[1] / "vectors"
JWS = json.loads((VECTORS / "rfc7515.json").read_text())
EDDSA = json.loads((VECTORS / "rfc8037.json").read_text())["signing"]
THUMBPRINTS = json.loads((VECTORS / "rfc7638.json").read_text())

P256 = ECKey.generate_key("P-256")
ED25519 = OKPKey.generate_key("Ed25519")


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=True), **members}


@pytest.mark.parametrize("example", [JWS["hs256"], JWS["rs256"], EDDSA])
async def test_a_published_signature_is_made_again(example: dict[str, Any]) -> None:
    signed, _, signature = example["compact"].rpartition(".")
    alg = json.loads(urlsafe_b64decode(signed.partition(".")[0] + "=="))["alg"]

    signer = KeySigner(example["jwk"], alg)

    assert await signer.sign(signed.encode()) == urlsafe_b64decode(signature + "==")


@pytest.mark.parametrize("name", ["es256", "es512"])
async def test_an_ecdsa_signature_is_two_numbers_and_verifies(name: str) -> None:
    key = ECKey.import_key(JWS[name]["jwk"])
    signer = KeySigner(JWS[name]["jwk"])

    signature = await signer.sign(b"data")

    assert signer.alg == name.upper()
    assert len(signature) == 2 * -(-key.curve_key_size // 8)
    assert JWSRegistry.algorithms[signer.alg].verify(b"data", signature, key)


@pytest.mark.parametrize(
    "key,alg",
    [
        (RSA, "RS256"),
        (P256, "ES256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (ECKey.generate_key("P-521"), "ES512"),
        (ECKey.generate_key("secp256k1"), "ES256K"),
        (ED25519, "Ed25519"),
        (OKPKey.generate_key("Ed448"), "Ed448"),
    ],
)
async def test_without_alg_it_is_the_one_of_the_key(key: Any, alg: str) -> None:
    """JA-09."""
    signers = [KeySigner(key.as_pem(private=True)), KeySigner(jwk(key)), KeySigner(key)]

    assert [signer.alg for signer in signers] == [alg] * 3
    assert all([await signer.sign(b"data") for signer in signers])


def test_a_jwk_says_its_algorithm_and_its_kid() -> None:
    """JA-14."""
    signer = KeySigner(jwk(RSA, alg="PS256", kid="2026-11"))

    assert (signer.alg, signer.key_id) == ("PS256", "2026-11")
    assert KeySigner(jwk(RSA, kid="a"), key_id="b").key_id == "b"
    assert KeySigner(RSAKey.import_key(jwk(RSA, kid="c", alg="PS384"))).key_id == "c"


def test_an_algorithm_that_the_other_side_knows_is_taken_where_nobody_said_one() -> None:
    """JA-09."""
    assert KeySigner(RSA).fitting(["ES256", "PS256"]).alg == "PS256"
    assert KeySigner(RSA).fitting(["PS256", "RS256"]).alg == "RS256"
    assert KeySigner(ED25519, key_id="a").fitting(["EdDSA"]).alg == "EdDSA"
    assert KeySigner(ED25519, key_id="a").fitting(["EdDSA"]).key_id == "a"
    assert KeySigner(RSA, "RS256").fitting(["PS256"]).alg == "RS256"
    assert KeySigner(jwk(RSA, alg="RS256")).fitting(["PS256"]).alg == "RS256"
    assert KeySigner(RSA).fitting(["HS256", "none"]).alg == "RS256"


async def test_eddsa_by_its_old_name_warns_of_nothing() -> None:
    """The test fails by the warning itself."""
    assert await KeySigner(ED25519, "EdDSA").sign(b"data") == await KeySigner(ED25519).sign(b"data")


@pytest.mark.parametrize(
    "key,alg", [(RSA, "HS256"), (RSA, "none"), (P256, "ES384"), (P256, "RS256"), (ED25519, "Ed448")]
)
def test_an_algorithm_that_does_not_fit_the_key_is_refused(key: Any, alg: str) -> None:
    """JA-09: nor does a public key become the secret of an HMAC."""
    with pytest.raises(ConfigurationError, match=rf"alg='{alg}' does not fit a key of the type"):
        KeySigner(key, alg)
    with pytest.raises(ConfigurationError, match=rf"alg='{alg}' does not fit a key of the type"):
        KeySigner(jwk(key, alg=alg))


def test_a_secret_signs_by_the_algorithms_that_it_is_long_enough_for() -> None:
    """JA-10."""
    assert KeySigner.symmetric("s" * 32).alg == "HS256"
    assert KeySigner.symmetric("s" * 64, "HS512").alg == "HS512"
    assert KeySigner.symmetric("é" * 16).alg == "HS256"


@pytest.mark.parametrize("length,alg", [(31, None), (31, "HS256"), (47, "HS384"), (63, "HS512")])
def test_a_secret_that_is_shorter_than_the_hash_is_refused(length: int, alg: str | None) -> None:
    """JA-10."""
    name = alg or "HS256"
    with pytest.raises(ConfigurationError, match=f"the secret is too short for {name}"):
        KeySigner.symmetric("s" * length, alg)
    with pytest.raises(ConfigurationError, match=f"the secret is too short for {name}"):
        KeySigner(OctKey.import_key("s" * length), alg)


def test_a_secret_signs_by_no_public_key_algorithm() -> None:
    with pytest.raises(ConfigurationError, match=r"alg='RS256' does not fit a key .* HS256, HS384"):
        KeySigner.symmetric("s" * 48, "RS256")


def test_an_encrypted_pem_is_read_with_its_password() -> None:
    encrypted = P256.as_pem(private=True, password="correct horse")

    assert KeySigner(encrypted, password="correct horse").alg == "ES256"
    with pytest.raises(ConfigurationError, match="the PEM is encrypted; give its password"):
        KeySigner(encrypted)
    with pytest.raises(ConfigurationError, match="no private key that signs"):
        KeySigner(encrypted, password="wrong")


@pytest.mark.parametrize(
    "key",
    [
        pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - refused
        pem(ec.generate_private_key(ec.SECP224R1())),
        pem(x25519.X25519PrivateKey.generate()),
        P256.as_pem(),
        b"",
        b"not a PEM",
        P256.as_pem(private=True)[:-60],
    ],
)
def test_a_pem_that_is_no_private_key_or_too_weak_is_refused(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no private key that signs"):
        KeySigner(key)


OTHER = OKPKey.generate_key("Ed25519")


@pytest.mark.parametrize(
    "key,words",
    [
        ({}, "kty must be RSA, EC, OKP or oct"),
        ({"kty": ["RSA"]}, "kty must be RSA, EC, OKP or oct"),
        (RSA.as_dict(private=False), "the JWK is a public key"),
        (jwk(RSA, use="enc"), "not for signatures"),
        (jwk(RSA, key_ops=["verify"]), "not for signatures"),
        (jwk(RSA, key_ops=7), "not for signatures"),
        ({"kty": "RSA", "d": "AQAB"}, "the RSA key of the JWK is damaged"),
        (jwk(RSA, d="c2VjcmV0LWNhbmFyeQ"), "the RSA key of the JWK is damaged"),
        (jwk(P256, x="c2VjcmV0LWNhbmFyeQ"), "the EC key of the JWK is damaged"),
        (jwk(P256, crv="P-224"), "the EC key of the JWK is damaged"),
        (jwk(ED25519, x=OTHER["x"]), "the OKP key of the JWK is damaged"),
        ({"kty": "oct"}, "the oct key of the JWK is damaged"),
        (jwk(P256, kid=7), "the EC key of the JWK is damaged"),
        (jwk(P256, kid=""), "the kid of a key is a text"),
    ],
)
def test_a_jwk_that_cannot_sign_is_refused_and_nothing_of_it_shown(
    key: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        KeySigner(key)

    shown = f"{caught.value!r}{caught.value.__context__!r}"
    assert [v for v in (key.get("d"), key.get("x")) if v and str(v) in shown] == []


@pytest.mark.parametrize("key", [RSAKey.import_key(RSA.as_dict()), OKPKey.generate_key("X25519")])
def test_a_key_of_joserfc_must_sign_too(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="none that signs"):
        KeySigner(key)


def test_the_public_key_is_what_a_client_publishes() -> None:
    """JA-14."""
    published = KeySigner(P256, key_id="2026-11").public_jwk

    assert published == {
        "kty": "EC",
        "crv": "P-256",
        "x": P256["x"],
        "y": P256["y"],
        "kid": "2026-11",
        "use": "sig",
        "alg": "ES256",
    }
    assert "kid" not in KeySigner(P256).public_jwk
    with pytest.raises(ConfigurationError, match="a secret has no public part"):
        _ = KeySigner.symmetric("s" * 32).public_jwk


def test_nothing_of_the_key_is_printed() -> None:
    """O2-40."""
    signer = KeySigner(P256, key_id="2026-11")

    assert repr(signer) == "KeySigner(alg='ES256', key_id='2026-11')"
    with pytest.raises(TypeError, match="holds secrets and is not pickled"):
        signer.__reduce__()


@pytest.mark.parametrize("example", [THUMBPRINTS["rsa"], THUMBPRINTS["ed25519"]])
def test_a_published_thumbprint_is_made_again(example: dict[str, Any]) -> None:
    """JO-21."""
    assert jwk_thumbprint(example["jwk"]) == example["thumbprint"]


def test_a_thumbprint_is_of_the_public_key_alone() -> None:
    assert KeySigner(P256).thumbprint == jwk_thumbprint(jwk(P256)) == jwk_thumbprint(P256.as_dict())


@pytest.mark.parametrize("key", [{}, {"kty": "RSA"}, {"kty": []}, {"kty": "OKP", "crv": 1}])
def test_what_is_no_jwk_has_no_thumbprint(key: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="the key is no JWK"):
        jwk_thumbprint(key)
