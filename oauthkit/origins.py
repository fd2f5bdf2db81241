"""Where a session's URLs lead, and which origins may have its token."""

import re
from collections.abc import Iterable
from typing import Any, Final

from oauthkit.discovery import Discovered
from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.server import AuthorizationServer

is_absolute: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//").match


def joined(base: str, text: str) -> str:
    """Put a base in front of a relative URL, as the HTTP libraries do.

    Args:
        base: Without a slash at its end.
        text: The relative URL.
    """
    return f"{base}/{text.removeprefix('/')}" if text else base


def bases(http: object, base_url: str | None) -> list[str]:
    """Return the base URL, the session's or the client's own, if there is one."""
    base = base_url or str(getattr(http, "base_url", ""))
    return [base] if base else []


def checked_origins(
    server: AuthorizationServer | Discovered, urls: Iterable[str]
) -> frozenset[Origin]:
    """Return the origins that may have the token: those of the URLs, and the server's own.

    Plain http is among them where the server is told to allow it, and left out where it is left
    open.

    Args:
        server: Whose token it is.
        urls: What else was named.

    Raises:
        ConfigurationError: A URL is plain http, and the server does not allow it.
    """
    origins = {Origin.of(url) for url in urls} | {server.origin}
    readable = {origin for origin in origins if not origin.confidential}
    if server.allow_plain_http is None:
        return frozenset(origins - readable)
    for origin in readable:
        if not server.allow_plain_http:
            message = (
                f"{origin} is plain http, where a token can be read on the way; use https, or say "
                "AuthorizationServer(…, allow_plain_http=True)"
            )
            raise ConfigurationError(message)
    return frozenset(origins)


def may_have_token(url: Any, *, origins: frozenset[Origin], http: object) -> bool:
    """Tell whether a URL may have the token; what is wrong with it is said when it is sent.

    Args:
        url: The URL of a call.
        origins: Those that may.
        http: The client whose base URL a relative one is relative to.
    """
    text = str(url)
    if not is_absolute(text):
        return bool(bases(http, None))
    try:
        return Origin.of(text) in origins
    except ConfigurationError:
        return False
