"""Where a browser may be sent: redirect URIs, and paths of the application (RFC 9700 §4.11)."""

import re
from typing import Final
from urllib.parse import unquote

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_VISIBLE: Final = re.compile(r"[^\x00-\x20\x7f\\#]+")


def is_absolute(uri: str) -> bool:
    """Tell whether a text is an absolute URI without a fragment (RFC 3986 §4.3)."""
    scheme, _, rest = uri.partition(":")
    return bool(_SCHEME.fullmatch(scheme) and _VISIBLE.fullmatch(rest))


def checked_redirect_uri(redirect_uri: str, *, allow_plain_http: bool) -> str:
    """Return a redirect URI, if it may be one (RFC 6749 §3.1.2, RFC 8252 §7).

    Args:
        redirect_uri: https, plain http to this machine alone, or an app's own scheme.
        allow_plain_http: Let plain http to other machines pass.

    Raises:
        ConfigurationError: It may not.
    """
    if not is_absolute(redirect_uri):
        message = "redirect_uri must be an absolute URI without a fragment (RFC 6749 §3.1.2)"
        raise ConfigurationError(message)
    scheme = redirect_uri.partition(":")[0]
    if scheme.lower() in {"http", "https"}:
        origin = Origin.of(redirect_uri)
        if not allow_plain_http and not origin.confidential:
            message = (
                f"redirect_uri {origin} is plain http, where the code can be read on the way (RFC "
                "9700 §2.6); use https, http://127.0.0.1 or http://localhost, or say "
                "AuthorizationServer(…, allow_plain_http=True)"
            )
            raise ConfigurationError(message)
    elif "." not in scheme:
        message = (
            f"the scheme of redirect_uri, {scheme!r}, is neither https nor a reversed domain "
            "name such as com.example.app (RFC 8252 §7.1)"
        )
        raise ConfigurationError(message)
    return redirect_uri


def checked_return_to(return_to: str | None, *, name: str = "return_to") -> str | None:
    """Return a path of the application, if it is one whichever way a browser reads it.

    Args:
        return_to: The path; None is none.
        name: What the error message calls it.

    Raises:
        ConfigurationError: It leads to another site.
    """
    if return_to is None:
        return None
    decoded = unquote(unquote(return_to))
    outside = any(
        not path.startswith("/")
        or path.startswith("//")
        or any(character in "\\\x7f" or character < " " for character in path)
        for path in (return_to, decoded)
    )
    if outside:
        message = (
            f"{name} must be a path of this application, such as /inbox: another site there "
            "would make an open redirector (RFC 9700 §4.11)"
        )
        raise ConfigurationError(message)
    return return_to
