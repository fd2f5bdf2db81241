"""What was registered for a client, as far as answers to it depend on it (RFC 7591 §2)."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from oauthkit.protocol.secret import NoPickle, SecretBytes, unprintable

DecryptionKey = bytes | Mapping[str, Any]
"""A private key: a PEM, or a JWK."""


def _silent(keys: Iterable[DecryptionKey]) -> tuple[DecryptionKey, ...]:
    return tuple(SecretBytes(key) if isinstance(key, bytes) else unprintable(key) for key in keys)


@attrs.frozen(kw_only=True)
class ClientMetadata(NoPickle):
    """Say what was registered for this client, where that is not what everybody has.

    Names are those of OpenID Connect Dynamic Client Registration 1.0 §2 and RFC 9701 §6.

    Example:
        >>> ClientMetadata(id_token_signed_response_alg="ES256").id_token_signed_response_alg
        'ES256'

    Attributes:
        id_token_signed_response_alg: The one algorithm that ID Tokens are signed by. None takes
            what the server's metadata says it signs with, and RS256 where that is silent. Only
            where `HS256`, `HS384` or `HS512` stands here is a client secret the key.
        id_token_encrypted_response_alg: Where ID Tokens are encrypted, how their key is:
            `RSA-OAEP`, `RSA-OAEP-256`, `ECDH-ES`, or that with `+A128KW` or `+A256KW`. One that is
            not encrypted is refused then.
        id_token_encrypted_response_enc: How they themselves are, `A128CBC-HS256` if not said.
        userinfo_signed_response_alg: The one algorithm that answers of the userinfo endpoint are
            signed by; None where they are not signed.
        introspection_signed_response_alg: The same of the introspection endpoint (RFC 9701).
        decryption_keys: The client's private keys for what is encrypted, each a PEM or a JWK. They
            are read once for one object, which takes a while: give the same one to every login.
        loaded: What was made of the keys, once it was needed.
    """

    id_token_signed_response_alg: str | None = None
    id_token_encrypted_response_alg: str | None = None
    id_token_encrypted_response_enc: str | None = None
    userinfo_signed_response_alg: str | None = None
    introspection_signed_response_alg: str | None = None
    decryption_keys: tuple[DecryptionKey, ...] = attrs.field(
        default=(), converter=_silent, hash=False, repr=False
    )
    loaded: dict[str, Any] = attrs.field(factory=dict[str, Any], init=False, eq=False, repr=False)
