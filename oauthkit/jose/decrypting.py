"""Tokens that are encrypted for the client (RFC 7516), as far as they are registered to be."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import attrs
from joserfc import jwe, jwk
from joserfc.errors import JoseError

from oauthkit.errors import ConfigurationError, InvalidJWT
from oauthkit.protocol.client_metadata import DecryptionKey
from oauthkit.protocol.compact import read_encrypted_header
from oauthkit.protocol.secret import SecretStr, Unprintable

KEY_TYPES: Final = {
    "RSA-OAEP": "RSA",
    "RSA-OAEP-256": "RSA",
    "ECDH-ES": "EC",
    "ECDH-ES+A128KW": "EC",
    "ECDH-ES+A256KW": "EC",
}
"""RSA1_5 can be broken by asking often enough, and a password is no key (RFC 8725 §3.2)."""
ENCRYPTIONS: Final = frozenset(
    {"A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"}
)
_WRONG: Final = (JoseError, ArithmeticError, KeyError, TypeError, ValueError)


@attrs.frozen
class Decryption:
    """Open tokens that are encrypted in one way.

    Attributes:
        keys: The client's private keys that may fit; each is tried.
        algorithm: How a token's key has to be encrypted.
        encryption: How the token has to be itself.
    """

    keys: tuple[jwk.Key, ...] = attrs.field(repr=False)
    algorithm: str
    encryption: str

    @classmethod
    def of(cls, keys: Iterable[DecryptionKey], *, algorithm: str, encryption: str) -> "Decryption":
        """Return it with the keys loaded.

        Raises:
            ConfigurationError: Algorithm, encryption or a key cannot be used, or no key fits.
        """
        if algorithm not in KEY_TYPES or encryption not in ENCRYPTIONS:
            message = (
                f"{algorithm} with {encryption} is not supported; use one of "
                f"{', '.join(KEY_TYPES)} with one of {', '.join(sorted(ENCRYPTIONS))}"
            )
            raise ConfigurationError(message)
        loaded = [_loaded(key) for key in keys]
        wanted = KEY_TYPES[algorithm]
        fitting = tuple(key for key in loaded if key.is_private and key.key_type == wanted)
        if not fitting:
            message = (
                f"{algorithm} needs a private {KEY_TYPES[algorithm]} key in decryption_keys= of "
                "the ClientMetadata, and there is none"
            )
            raise ConfigurationError(message)
        return cls(fitting, algorithm, encryption)

    def opened(self, text: str) -> str:
        """Return the token that is in an encrypted one; it has still to be looked at itself.

        Args:
            text: Five parts with dots between.

        Raises:
            InvalidJWT: It is not encrypted so, or for none of the keys.
        """
        _check_header(text, self.algorithm, self.encryption)
        wanted = [self.algorithm, self.encryption]
        registry = jwe.JWERegistry(algorithms=wanted, strict_check_header=False)
        for key in self.keys:
            inner = _opened(text, key, registry)
            if inner is not None:
                return inner
        message = "it is encrypted, and none of decryption_keys= of the ClientMetadata opens it"
        raise InvalidJWT(message)


def _check_header(text: str, algorithm: str, encryption: str) -> None:
    reason = ""
    try:
        header = read_encrypted_header(text)
    except ValueError as error:
        reason = str(error)
    else:
        if (header.get("alg"), header.get("enc")) != (algorithm, encryption):
            reason = f"it is encrypted otherwise than registered, by {algorithm} with {encryption}"
        elif "zip" in header or "crit" in header:
            reason = "it is compressed, or has something critical in its header (zip, crit)"
    if reason:
        raise InvalidJWT(reason)


def _opened(text: str, key: jwk.Key, registry: jwe.JWERegistry) -> str | None:
    try:
        content = jwe.decrypt_compact(text, key, registry=registry).plaintext or b""
        return SecretStr(content.decode())
    except _WRONG:
        return None


def _loaded(key: DecryptionKey) -> jwk.Key:
    if not isinstance(key, bytes):
        members = Unprintable(key)
        for what_for in ("use", "key_ops"):
            members.pop(what_for, None)
        with suppress(*_WRONG):
            return jwk.import_key(members)
    else:
        for kind in (jwk.RSAKey, jwk.ECKey):
            with suppress(*_WRONG):
                return kind.import_key(bytes(key))
    message = (
        "a key of decryption_keys= of the ClientMetadata is no private key: give a PEM as bytes, "
        "or a JWK as a dict, for RSA or an elliptic curve"
    )
    raise ConfigurationError(message)
