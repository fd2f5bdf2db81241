"""Whether a key has signed a token: published signatures, and keys and signatures that are none."""

import hashlib
import hmac
import json
import time
import warnings
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from oauthkit.jose.issuing import new_key, signed_jwt
from oauthkit.jose.verifying import is_signed_by, is_signed_with
from oauthkit.protocol.compact import SignedToken, read_signed
from oauthkit.protocol.keys import ALGORITHMS, PublicKey, key_set
from tests.rsa_keys import RSA
from tests.tokens import base64url, public_key, token_of

VECTORS = Path(__file__).parents[1] / "vectors"
JWS = json.loads((VECTORS / "rfc7515.json").read_text())
JWT = json.loads((VECTORS / "rfc7519.json").read_text())
JOSE = json.loads((VECTORS / "rfc7520.json").read_text())
EDDSA = json.loads((VECTORS / "rfc8037.json").read_text())["signing"]
SIGNED = {
    **{f"7515-{name}": JWS[name] for name in ("rs256", "es256", "es512")},
    **{f"7520-{name}": JOSE[name] for name in ("rs256", "ps384", "es512")},
    "8037": EDDSA,
}
KINDS = ["RS256", "PS256", "ES256", "ES384", "ES512", "Ed25519"]


def issued(algorithm: str, **header: Any) -> SignedToken:
    """Return a token by the first key of an algorithm."""
    named = {"alg": algorithm, **header}
    return read_signed(signed_jwt(named, {"sub": "ada"}, new_key(algorithm, 1)))


def key_of(jwk: dict[str, Any]) -> PublicKey:
    (key,) = key_set([jwk]).keys
    return key


def secret_of(jwk: dict[str, str]) -> bytes:
    return urlsafe_b64decode(jwk["k"] + "==")


@pytest.mark.parametrize("example", SIGNED.values(), ids=SIGNED.keys())
def test_a_published_signature_is_good_for_its_key_and_for_no_other_text(
    example: dict[str, Any],
) -> None:
    """JO-17: RFC 7515 Appendix A, RFC 7520 §4, RFC 8037 Appendix A."""
    token, key = read_signed(example["compact"]), key_of(example["jwk"])
    header, _, signature = example["compact"].split(".")

    assert key.may_have_signed(token.algorithm)
    assert is_signed_by(token, key)
    assert not is_signed_by(read_signed(f"{header}.e30.{signature}"), key)


@pytest.mark.parametrize("example", [JWS["hs256"], JWT["hs256"], JOSE["hs256"]])
def test_a_published_mac_is_good_for_its_secret_and_for_no_other(example: dict[str, Any]) -> None:
    """JO-17."""
    token, secret = read_signed(example["compact"]), secret_of(example["jwk"])

    assert is_signed_with(token, secret)
    assert not is_signed_with(token, b"\1" + secret)


@pytest.mark.parametrize("algorithm", [*KINDS, "EdDSA"])
def test_every_kind_of_key_signs_and_warns_of_nothing(algorithm: str) -> None:
    """JO-18: EdDSA by its old name, too; a warning would fail this test."""
    token, key = issued(algorithm), public_key(algorithm)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_signed_by(token, key)
        assert is_signed_by(token, key)
    assert not is_signed_by(token, public_key(algorithm, 2))


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("signature", [b"", b"\0", b"\0" * 64, b"\0" * 132, b"\xff" * 256])
def test_a_signature_that_is_none_is_refused(algorithm: str, signature: bytes) -> None:
    """JO-14, AT-36, AT-49: of the wrong length, empty, or two zeros."""
    token = token_of({"sub": "ada"}, header={"alg": algorithm}, signature=signature)

    assert not is_signed_by(token, public_key(algorithm))


def test_a_signature_as_other_formats_have_it_is_refused() -> None:
    """JO-14: DER."""
    token = issued("ES256")
    r, s = token.signature[:32], token.signature[32:]
    numbers = [b"\x02\x21\0" + number for number in (r, s)]
    der = b"\x30\x46" + b"".join(numbers)
    wrong = read_signed(f"{token.signed.decode()}.{base64url(der)}")

    assert is_signed_by(token, public_key("ES256"))
    assert not is_signed_by(wrong, public_key("ES256"))


def test_one_bit_is_enough() -> None:
    for algorithm in KINDS:
        token = issued(algorithm)
        changed = token.signature[:-1] + bytes([token.signature[-1] ^ 1])
        wrong = read_signed(f"{token.signed.decode()}.{base64url(changed)}")
        assert not is_signed_by(wrong, public_key(algorithm))


@pytest.mark.parametrize("kind", [RSAKey, ECKey], ids=["RSA", "EC"])
def test_what_is_public_of_a_key_is_no_secret_of_a_mac(kind: Any) -> None:
    """JO-02, AT-37: in none of the forms in which a public key is written."""
    key: Any = RSA if kind is RSAKey else kind.generate_key("P-256")
    public = key.as_dict(private=False)
    pem = key.as_pem(private=False)
    forms = [
        pem,
        pem.strip(),
        key.as_der(private=False),
        json.dumps(public).encode(),
        public.get("n", public.get("x")).encode(),
        urlsafe_b64decode(public.get("n", public.get("x")) + "=="),
        b"",
    ]
    for secret in forms:
        unsigned = token_of({"sub": "ada"}, header={"alg": "HS256"})
        mac = hmac.new(secret, unsigned.signed, hashlib.sha256).digest()
        token = token_of({"sub": "ada"}, header={"alg": "HS256"}, signature=mac)
        keys = key_set([public])
        assert keys.candidates("HS256", None) == []
        assert not is_signed_by(token, keys.keys[0])


# Keys that are none, weak, or absurd


def modulus(bits: int) -> str:
    return base64url(((1 << (bits - 1)) + 1).to_bytes(-(-bits // 8), "big"))


@pytest.mark.parametrize(
    "members",
    [
        {"n": None},
        {"e": None},
        {"n": "!!"},
        {"n": 7},
        {"n": ""},
        {"n": modulus(512)},
        {"n": modulus(2_047)},
        {"n": modulus(16_385)},
        {"n": "A" * 2_801},
        {"e": "AQ"},
        {"e": "Ag"},
        {"e": base64url((2**33 + 1).to_bytes(5, "big"))},
        {"e": "A" * 2_801},
    ],
    ids=str,
)
def test_an_rsa_key_that_is_damaged_weak_or_absurd_is_passed_over(members: dict[str, Any]) -> None:
    """JO-08, JO-13, AT-43."""
    started = time.process_time()
    key = public_key("RS256", **members)

    assert not is_signed_by(issued("RS256"), key)
    assert key.loaded is False
    assert not is_signed_by(issued("RS256"), key)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("algorithm, name", [("RS256", "n"), ("ES256", "x")])
def test_a_number_without_an_end_costs_nothing(algorithm: str, name: str) -> None:
    """AT-43: a document may have a million characters, and nothing else runs meanwhile."""
    key, token = public_key(algorithm, **{name: "B" * 900_000}), issued(algorithm)
    started = time.process_time()

    assert not is_signed_by(token, key)
    assert time.process_time() - started < 0.1


def test_a_short_rsa_key_that_has_really_signed_is_refused() -> None:
    """JO-13."""
    weak = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - that is what is refused
    key = RSAKey(weak, weak)

    token = read_signed(signed_jwt({"alg": "RS256"}, {"sub": "ada"}, key))

    assert not is_signed_by(token, key_of(dict(key.as_dict(private=False))))


@pytest.mark.parametrize("exponent", [3, 2**32 + 15])
def test_an_unusual_exponent_is_no_fault(exponent: int) -> None:
    """JO-13: the smallest and one of the largest that are taken."""
    text = base64url(exponent.to_bytes(5, "big").lstrip(b"\0"))
    key = public_key("RS256", e=text)

    assert not is_signed_by(issued("RS256"), key)
    assert key.loaded is not False


@pytest.mark.parametrize(
    "members",
    [
        {"x": "AQ"},
        {"y": "AA"},
        {"x": None},
        {"x": "A" * 43, "y": "A" * 43},
        {"crv": "P-384"},
        {"crv": "unheard-of"},
        {"y": "A" * 2_801},
    ],
    ids=str,
)
def test_a_point_that_is_not_on_its_curve_is_no_key(members: dict[str, Any]) -> None:
    """JO-08, JO-15, AT-43."""
    key = public_key("ES256", **members)

    assert not is_signed_by(issued("ES256"), key)
    assert not key.loaded


@pytest.mark.parametrize("members", [{"x": "AQ"}, {"x": None}, {"crv": "X25519"}], ids=str)
def test_a_damaged_key_of_ed25519_is_no_key(members: dict[str, Any]) -> None:
    """JO-08."""
    key = public_key("Ed25519", **members)

    assert not is_signed_by(issued("Ed25519"), key)
    assert not key.loaded


def test_what_else_stands_in_a_jwk_does_no_harm() -> None:
    """JO-08: what it is for is looked at elsewhere."""
    odd: dict[str, Any] = {
        "use": "sig",
        "key_ops": ["sign", "verify"],
        "x5c": ["!"],
        "x5t": 7,
        "kid": 7,
    }

    assert is_signed_by(issued("RS256"), public_key("RS256", **odd))
    assert is_signed_by(issued("Ed25519"), public_key("Ed25519", **odd))


def test_a_key_of_another_kind_has_not_signed() -> None:
    """JO-02."""
    assert not is_signed_by(issued("RS256"), public_key("ES256"))
    assert not is_signed_by(issued("ES256"), public_key("RS256"))
    other = OKPKey.generate_key("X25519").as_dict(private=False)
    assert not is_signed_by(issued("Ed25519"), PublicKey(dict(other)))


def test_a_public_key_is_loaded_once() -> None:
    key = public_key("ES256")

    assert is_signed_by(issued("ES256"), key)
    loaded = key.loaded
    assert is_signed_by(issued("ES256"), key)
    assert key.loaded is loaded


def test_every_algorithm_is_one_that_joserfc_has() -> None:
    assert ALGORITHMS.keys() < JWSRegistry.algorithms.keys()
    assert "none" not in ALGORITHMS
