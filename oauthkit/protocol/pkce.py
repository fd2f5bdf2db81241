"""Proof Key for Code Exchange (RFC 7636), method S256."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from oauthkit.errors import ConfigurationError

_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


def new_verifier() -> str:
    """Return a fresh code verifier: 43 characters from 32 random octets (RFC 7636 §4.1)."""
    return token_urlsafe(32)


def check_verifier(code_verifier: str) -> str:
    """Return the code verifier, if it is one.

    Raises:
        ConfigurationError: It is not 43 to 128 unreserved characters (RFC 7636 §4.1).
    """
    if not _VERIFIER.fullmatch(code_verifier):
        message = "a code_verifier is 43 to 128 characters of A-Z a-z 0-9 - . _ ~ (RFC 7636 §4.1)"
        raise ConfigurationError(message)
    return code_verifier


def s256_challenge(code_verifier: str) -> str:
    """Return the code challenge of a verifier, method S256 (RFC 7636 §4.2)."""
    digest = sha256(code_verifier.encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
