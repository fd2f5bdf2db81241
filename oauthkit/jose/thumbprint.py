"""The short name of a key: a digest that both sides can make (RFC 7638)."""

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwk

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import checked

_REQUIRED: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}


@checked
def jwk_thumbprint(key: Mapping[str, Any]) -> str:
    """Return the thumbprint of a key, private or public: SHA-256 in Base64url (RFC 7638 §3).

    Args:
        key: The JWK; only the members that its public part must have are looked at.

    Raises:
        ConfigurationError: It is no JWK.
    """
    kind: object = key.get("kty")
    names = _REQUIRED.get(kind, ()) if isinstance(kind, str) else ()
    members = {name: key.get(name) for name in names}
    if not members or not all(isinstance(value, str) for value in members.values()):
        message = (
            "the key is no JWK: kty must be RSA, EC, OKP or oct, with its members (RFC 7638 §3.2)"
        )
        raise ConfigurationError(message)
    return jwk.thumbprint(members)
