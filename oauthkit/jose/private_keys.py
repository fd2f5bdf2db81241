"""Read a private key or a secret, and tell by which algorithms it may sign (RFC 7518 §3, §6)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.secret import Unprintable

PrivateKey = RSAKey | ECKey | OKPKey | OctKey

_KINDS: Final[Mapping[Any, Any]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey, "oct": OctKey}
_RSA: Final = ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512")
_BY_CURVE: Final[Mapping[str, tuple[str, ...]]] = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "secp256k1": ("ES256K",),
    "Ed25519": ("Ed25519", "EdDSA"),
    "Ed448": ("Ed448", "EdDSA"),
}
"""The name that says the curve comes first; RFC 9864 deprecates the other."""
_BY_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""How many bytes a secret has at least: as many as the hash (RFC 7518 §3.2)."""
_FEWEST_BITS: Final = 2048
"""Of an RSA key (RFC 7518 §3.3)."""


def key_of_pem(pem: bytes, password: str | None) -> PrivateKey:
    """Return the private key of a PEM.

    Args:
        pem: The PEM.
        password: What it is encrypted with; None is not encrypted.

    Raises:
        ConfigurationError: There is none, it cannot be read, or it cannot sign.
    """
    if b"ENCRYPTED" in pem and not password:
        message = "the PEM is encrypted; give its password: KeySigner(pem, password=…)"
        raise ConfigurationError(message)
    key: PrivateKey | None = None
    # Whatever is wrong with it is told below, where no frame and no cause can show the key.
    with suppress(Exception):
        key = _wrapped(load_pem_private_key(pem, password.encode() if password else None))
    if key is None:
        message = (
            "the key is no private key that signs: a PEM as bytes is taken, of an RSA key of "
            f"{_FEWEST_BITS} bits at least, of an EC key (P-256, P-384, P-521) or of an Ed25519 "
            "key; and its password, if it is encrypted"
        )
        raise ConfigurationError(message)
    return key


def key_of_jwk(members: Mapping[str, Any]) -> PrivateKey:
    """Return the private key of a JWK (RFC 7517 §4), or its secret.

    Raises:
        ConfigurationError: It is none, it is public or meant for something else, or it is damaged.
    """
    kind = members.get("kty")
    if not isinstance(kind, str) or kind not in _KINDS:
        message = "the key is no JWK: kty must be RSA, EC, OKP or oct (RFC 7518 §6.1)"
        raise ConfigurationError(message)
    if kind != "oct" and "d" not in members:
        message = "the JWK is a public key, it has no `d`; what signs is the private one"
        raise ConfigurationError(message)
    operations = members.get("key_ops")
    signs = operations is None or (isinstance(operations, list) and "sign" in operations)
    if members.get("use", "sig") != "sig" or not signs:
        message = "the JWK is not for signatures: see its `use` and `key_ops` (RFC 7517 §4.2, §4.3)"
        raise ConfigurationError(message)
    key: PrivateKey | None = None
    # Whatever is wrong with it is told below, where no frame and no cause can show the key.
    with suppress(Exception):
        key = _from_members(_KINDS[kind], Unprintable(members))
    if key is None:
        message = (
            f"the {kind} key of the JWK is damaged, or none that signs: RSA has {_FEWEST_BITS} "
            "bits at least, EC is of P-256, P-384 or P-521, OKP of Ed25519"
        )
        raise ConfigurationError(message)
    return key


def key_of_joserfc(key: PrivateKey) -> PrivateKey:
    """Return a key that joserfc has read or made.

    Raises:
        ConfigurationError: It is a public key, too weak, or cannot sign.
    """
    if isinstance(key, OctKey):
        return key
    checked = _wrapped(key.raw_value)
    if checked is None:
        message = (
            f"the {key.key_type} key is none that signs: a private one is taken, of RSA with "
            f"{_FEWEST_BITS} bits at least, of P-256, P-384 or P-521, or of Ed25519"
        )
        raise ConfigurationError(message)
    return checked


def algorithms_of(key: PrivateKey, alg: object = None) -> tuple[str, ...]:
    """Return the algorithms that a key may sign by, the one to use where nobody says first.

    Args:
        key: The key.
        alg: The one that it has to be; None leaves it open.

    Raises:
        ConfigurationError: That one does not fit the key, or none does.
    """
    fit = _fitting(key)
    if (alg is None and fit) or alg in fit:
        return fit if alg is None else (str(alg),)
    if isinstance(key, OctKey) and (alg or "HS256") in _BY_BYTES:
        name = str(alg or "HS256")
        message = (
            f"the secret is too short for {name}: RFC 7518 §3.2 wants as many bytes as the hash "
            f"has, {_BY_BYTES[name]} at least"
        )
        raise ConfigurationError(message)
    message = (
        f"alg={printable(str(alg))!r} does not fit a key of the type {key.key_type}, which signs "
        f"by {', '.join(fit or _BY_BYTES)} (RFC 7518 §3.1)"
    )
    raise ConfigurationError(message)


def _fitting(key: PrivateKey) -> tuple[str, ...]:
    if isinstance(key, RSAKey):
        return _RSA
    if isinstance(key, OctKey):
        return tuple(alg for alg, fewest in _BY_BYTES.items() if len(key.raw_value) >= fewest)
    return _BY_CURVE[key.curve_name]


def _from_members(kind: type[PrivateKey], members: dict[str, Any]) -> PrivateKey | None:
    """Return the key of a JWK; None for an Ed25519 key whose two halves are not of one key.

    What is made of such a pair is refused by everybody; RSA and EC are looked at as they are read.
    """
    kind.validate_dict_key(members)
    found = kind.binding.import_from_dict(members)
    if isinstance(found, bytes):
        return OctKey(found, found)
    key = _wrapped(found)
    return None if isinstance(key, OKPKey) and key["x"] != members["x"] else key


def _wrapped(found: object) -> PrivateKey | None:
    """Return a key as joserfc has it, if it may sign.

    It is made without `import_key`, which warns of what is refused here.
    """
    if isinstance(found, RSAPrivateKey) and found.key_size >= _FEWEST_BITS:
        return RSAKey(found, found)
    if isinstance(found, EllipticCurvePrivateKey):
        key = ECKey(found, found)
        return key if key.curve_name in _BY_CURVE else None
    if isinstance(found, Ed25519PrivateKey | Ed448PrivateKey):
        return OKPKey(found, found)
    return None
