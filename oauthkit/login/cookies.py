"""Cookies that their browser can neither read nor make up: AES-GCM, with keys that rotate.

Each carries the `__Host-` prefix: it comes from this host alone, by https alone, and no
neighbouring subdomain can plant one (RFC 6265bis §4.1.3.2). Its encryption vouches for its name and
for whom it is, so that one cannot be put in another's place.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.secret import NoPickle, SecretStr, Unprintable, secret

SameSite = Literal["Lax", "None"]

_VERSION: Final = b"\x01"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LONGEST: Final = 4096
"""Characters; no browser keeps a longer one."""


@attrs.frozen(kw_only=True)
class Cookie(NoPickle):
    """Be a cookie to be set, or to be cleared.

    Attributes:
        name: Its name, `__Host-` included.
        value: What the browser brings again; empty where it is cleared.
        max_age: Seconds until the browser forgets it; 0 clears it.
        same_site: Whether it comes along with a form that another site posts here.
    """

    name: str
    value: str = secret(default="")
    max_age: int = 0
    same_site: SameSite = "Lax"

    @property
    def header(self) -> str:
        """The value of its `Set-Cookie` header field, a secret."""
        return SecretStr(
            f"{self.name}={self.value}; Max-Age={self.max_age}; Path=/; Secure; HttpOnly; "
            f"SameSite={self.same_site}"
        )


class CookieKeys:
    """Encrypt and decrypt what cookies hold.

    Args:
        keys: 32 random bytes each. The first one encrypts, all of them decrypt: a new one goes to
            the front, and an old one is taken out when its cookies have ended.

    Raises:
        ConfigurationError: There is none, one is of another length, or cryptography (the extra
            `login`) is not installed.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Check the keys."""
        if not keys:
            message = "cookie_keys= needs at least one key, made once by secrets.token_bytes(32)"
            raise ConfigurationError(message)
        for key in keys:
            if not isinstance(cast("object", key), bytes) or len(key) != _KEY_BYTES:
                message = (
                    f"each of cookie_keys= is {_KEY_BYTES} random bytes, made once by "
                    "secrets.token_bytes(32) and kept as a secret"
                )
                raise ConfigurationError(message)
        try:
            from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - an extra
                AESGCM,
            )
        except ImportError as error:
            message = (
                "a login flow needs cryptography, which is not installed: "
                "pip install 'oauthkit[login]'"
            )
            raise ConfigurationError(message) from error
        self._ciphers = [AESGCM(key) for key in keys]

    def seal(
        self, name: str, content: Mapping[str, Any], *, bound_to: str, expires_at: float
    ) -> str:
        """Return the value of a cookie.

        Args:
            name: The cookie's.
            content: What it holds: JSON values.
            bound_to: For whom it is; it can be opened by who says the same alone.
            expires_at: When it ends, in seconds since the epoch.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        text = json.dumps([expires_at, content], separators=(",", ":")).encode()
        sealed = self._ciphers[0].encrypt(nonce, text, _vouched(name, bound_to))
        return SecretStr(_text(_VERSION + nonce + sealed))

    def open(
        self, name: str, value: str | None, *, bound_to: str, now: float
    ) -> Mapping[str, Any] | None:
        """Return what a cookie holds; None where it was not made here, or is over.

        Args:
            name: The cookie's.
            value: What the browser has brought, if anything.
            bound_to: For whom it has to be.
            now: Seconds since the epoch.
        """
        raw = b"" if value is None or len(value) > _LONGEST else _bytes(value)
        if raw[:1] != _VERSION:
            return None
        text = self._decrypted(raw[1:], _vouched(name, bound_to))
        if text is None:
            return None
        expires_at, content = json.loads(text)
        return Unprintable(content) if now < expires_at else None

    def _decrypted(self, raw: bytes, vouched: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        nonce, sealed = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, sealed, vouched)
            except (InvalidTag, ValueError):  # another key's, changed, or cut short
                continue
        return None


def _vouched(name: str, bound_to: str) -> bytes:
    """Return what the encryption vouches for without hiding it; no two cases give the same."""
    return json.dumps(["oauthkit cookie", 1, name, bound_to]).encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
