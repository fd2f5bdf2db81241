"""Certificates as the headers and claims of a JWT name them (RFC 7515 §4.1, RFC 8705 §3.1)."""

import re
from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import checked

_BLOCK: Final = re.compile("-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


@checked
def certificate_thumbprint(pem: str) -> str:
    """Return the thumbprint of a certificate, `x5t#S256`: SHA-256 in Base64url (RFC 7515 §4.1.8).

    Args:
        pem: The certificate in PEM form; of several the first.

    Raises:
        ConfigurationError: It is no certificate in PEM form.
    """
    digest = sha256(b64decode(certificate_chain(pem)[0])).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


@checked
def certificate_chain(pem: str) -> list[str]:
    """Return certificates as `x5c` has them, each in Base64 (RFC 7515 §4.1.6).

    Args:
        pem: The certificates in PEM form, the client's own first.

    Raises:
        ConfigurationError: There is none in PEM form.
    """
    found = ["".join(block.split()) for block in _BLOCK.findall(pem)]
    try:
        usable = [bool(b64decode(text, validate=True)) for text in found]
    except ValueError:
        usable = []
    if not usable or not all(usable):
        message = (
            "a certificate is a text in PEM form: Base64 between -----BEGIN CERTIFICATE----- and "
            "-----END CERTIFICATE-----"
        )
        raise ConfigurationError(message)
    return found
