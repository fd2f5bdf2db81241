"""Tokens that are encrypted for the client, by what was registered and by nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey

from oauthkit import ClientMetadata, ConfigurationError, InvalidJWT
from oauthkit.jose.decrypting import ENCRYPTIONS, KEY_TYPES, Decryption
from oauthkit.jose.issuing import encrypted_jwt
from tests.rsa_keys import OTHER_RSA, RSA
from tests.tokens import base64url, shown, written

VECTORS = Path(__file__).parents[1] / "vectors"
JOSE = json.loads((VECTORS / "rfc7520.json").read_text())
JWT = json.loads((VECTORS / "rfc7519.json").read_text())
EC = ECKey.generate_key("P-256")
INNER = written({"alg": "RS256"})
OPENS = {"algorithm": "RSA-OAEP", "encryption": "A128GCM"}


def jwk(key: Any) -> dict[str, Any]:
    return dict(key.as_dict(private=True))


def sealed(key: Any = RSA, algorithm: str = "RSA-OAEP", encryption: str = "A128GCM") -> str:
    public = key.as_dict(private=False)
    return encrypted_jwt(INNER, public, algorithm=algorithm, encryption=encryption)


def opened(text: str, *keys: Any, algorithm: str = "RSA-OAEP", encryption: str = "A128GCM") -> str:
    kept = ClientMetadata(decryption_keys=keys).decryption_keys
    return Decryption.of(kept, algorithm=algorithm, encryption=encryption).opened(text)


@pytest.mark.parametrize("algorithm", KEY_TYPES)
@pytest.mark.parametrize("encryption", sorted(ENCRYPTIONS))
def test_what_was_encrypted_for_the_client_is_opened(algorithm: str, encryption: str) -> None:
    """JO-19."""
    key = RSA if KEY_TYPES[algorithm] == "RSA" else EC
    text = sealed(key, algorithm, encryption)

    assert opened(text, jwk(key), algorithm=algorithm, encryption=encryption) == INNER


@pytest.mark.parametrize("name", ["rsa_oaep", "ecdh_es_a128kw", "ecdh_es"])
def test_a_published_encryption_is_opened(name: str) -> None:
    """JO-17, JO-19: RFC 7520 §5."""
    example = JOSE[name]
    chosen = {"algorithm": example["alg"], "encryption": example["enc"]}

    assert opened(example["compact"], example["jwk"], **chosen) == example["plaintext"]


@pytest.mark.parametrize("name", ["rsa1_5", "pbes2", "dir"])
def test_algorithms_that_can_be_broken_or_need_no_key_are_refused(name: str) -> None:
    """OC-35, JO-19, AT-47."""
    example = JOSE[name]
    with pytest.raises(ConfigurationError, match=r"is not supported; use one of RSA-OAEP, "):
        opened(example["compact"], jwk(RSA), algorithm=example["alg"], encryption=example["enc"])
    with pytest.raises(InvalidJWT, match="it is encrypted otherwise than registered"):
        opened(example["compact"], jwk(RSA))


def test_an_encryption_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="RSA-OAEP with A1 is not supported"):
        opened(sealed(), jwk(RSA), encryption="A1")


def test_a_token_that_is_encrypted_otherwise_than_registered_is_refused() -> None:
    """OC-35."""
    with pytest.raises(InvalidJWT, match=r"otherwise than registered, by RSA-OAEP with A128GCM"):
        opened(sealed(RSA, "RSA-OAEP-256"), jwk(RSA))
    with pytest.raises(InvalidJWT, match=r"otherwise than registered"):
        opened(sealed(RSA, "RSA-OAEP", "A256GCM"), jwk(RSA))


@pytest.mark.parametrize("member", [{"zip": "DEF"}, {"crit": ["exp"], "exp": 1}], ids=str)
def test_a_compressed_token_is_refused_before_it_is_opened(member: dict[str, Any]) -> None:
    """JO-20, AT-47."""
    header = {"alg": "RSA-OAEP", "enc": "A128GCM", **member}
    text = ".".join([base64url(json.dumps(header)), *sealed().split(".")[1:]])

    with pytest.raises(InvalidJWT, match="it is compressed, or has something critical"):
        opened(text, jwk(RSA))


@pytest.mark.parametrize("text", [INNER, "....", "=....", JWT["hs256"]["compact"]])
def test_what_is_not_encrypted_is_not_opened(text: str) -> None:
    """OC-05, JO-22."""
    with pytest.raises(InvalidJWT, match=r"five parts|no JSON object|base64url"):
        opened(text, jwk(RSA))


def test_the_one_key_of_several_that_opens_it_is_found() -> None:
    others = [jwk(OTHER_RSA), jwk(EC)]

    assert opened(sealed(), *others, RSA.as_pem(private=True)) == INNER
    with pytest.raises(InvalidJWT, match="none of decryption_keys="):
        opened(sealed(), *others)


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
def test_a_key_is_a_pem_or_a_jwk_whatever_it_says_that_it_is_for(key: Any) -> None:
    algorithm = "RSA-OAEP" if key is RSA else "ECDH-ES"
    text = sealed(key, algorithm)
    given: Any
    for given in (key.as_pem(private=True), {**jwk(key), "use": "enc", "key_ops": ["unwrapKey"]}):
        assert opened(text, given, algorithm=algorithm) == INNER


@pytest.mark.parametrize("key", [b"", b"-----BEGIN", {}, {"kty": "RSA"}, {"kty": "no"}], ids=str)
def test_what_is_no_key_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a key of decryption_keys= .* is no private key"):
        opened(sealed(), key)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [jwk(EC)],
        [RSA.as_dict(private=False)],
        [RSA.as_pem(private=False)],
        [OctKey.generate_key(256).as_dict(private=True)],
    ],
    ids=["none", "EC", "public JWK", "public PEM", "secret"],
)
def test_without_a_private_key_of_the_kind_nothing_is_opened(keys: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match="RSA-OAEP needs a private RSA key"):
        opened(sealed(), *keys)


def test_a_token_that_was_changed_on_the_way_is_refused() -> None:
    header, key, vector, content, tag = sealed().split(".")
    for parts in (
        (header, key, vector, content[:-4] + "AAAA", tag),
        (header, key, vector, content, "A" * len(tag)),
        (header, "", vector, content, tag),
        (header, key, "", "", ""),
    ):
        with pytest.raises(InvalidJWT, match="none of decryption_keys="):
            opened(".".join(parts), jwk(RSA))


def test_what_was_opened_is_still_to_be_looked_at_and_is_not_shown() -> None:
    """AT-48, AT-70: whoever has the public key can encrypt."""
    inner = opened(sealed(), jwk(RSA))

    assert repr(inner) == "'***'"
    assert "RSAKey" not in repr(Decryption.of([jwk(RSA)], **OPENS))
    with pytest.raises(InvalidJWT) as caught:
        opened(sealed(), jwk(OTHER_RSA))
    assert jwk(RSA)["d"] not in shown(caught.value)
    with pytest.raises(ConfigurationError) as misgiven:
        opened(sealed(), {"kty": "RSA", "d": jwk(RSA)["d"]})
    assert jwk(RSA)["d"] not in shown(misgiven.value)
