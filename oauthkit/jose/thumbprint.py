"""Short names of keys and certificates: digests that both sides can make (RFC 7638, RFC 8705)."""

import hashlib
import ssl
from base64 import urlsafe_b64encode
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


@checked
def certificate_thumbprint(certificate: str) -> str:
    """Return the thumbprint of a certificate, `x5t#S256` (RFC 7515 §4.1.8, RFC 8705 §3.1).

    Args:
        certificate: The certificate in PEM form; of several the first.

    Raises:
        ConfigurationError: It is no certificate in PEM form.
    """
    return _base64url(hashlib.sha256(certificate_der(certificate)).digest())


def certificate_der(certificate: str) -> bytes:
    """Return the bytes of a certificate in PEM form; of several those of the first.

    Raises:
        ConfigurationError: It is no certificate in PEM form.
    """
    start, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, found, rest = certificate.partition(start)
    body, closed, _ = rest.partition(end)
    try:
        return ssl.PEM_cert_to_DER_cert(f"{found}{body}{closed}")
    except ValueError:
        pass
    message = f"a certificate is a text in PEM form, which begins with {start}"
    raise ConfigurationError(message)


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
