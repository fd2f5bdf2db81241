"""Redirect URIs that a browser of this machine can come back to (RFC 8252 §7.3)."""

from typing import Final
from urllib.parse import urlsplit

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin

_HOSTS: Final = ("127.0.0.1", "::1")
"""Literal addresses alone: `localhost` may be another interface (RFC 8252 §8.3)."""


def checked_loopback(redirect_uri: str) -> Origin:
    """Return the origin of a redirect URI at a port of this machine.

    Raises:
        ConfigurationError: It is another URL, or none.
    """
    origin = Origin.of(redirect_uri)
    parts = urlsplit(redirect_uri)
    further = parts.query or parts.fragment or not redirect_uri.isascii()  # no URI (RFC 3986 §2)
    if origin.scheme != "http" or origin.host not in _HOSTS or further:
        message = (
            "redirect_uri must be http://127.0.0.1 or http://[::1], with a port or without, and a "
            "path: a port of this machine by its literal address (RFC 8252 §7.3, §8.3)"
        )
        raise ConfigurationError(message)
    return origin


def callback_path(redirect_uri: str) -> str:
    """Return the path at which a callback comes."""
    return urlsplit(redirect_uri).path or "/"
