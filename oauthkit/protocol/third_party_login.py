"""A login that somebody else begins: a portal, or the server itself (OpenID Connect Core §4)."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import attrs

from oauthkit.errors import CallbackError, ConfigurationError
from oauthkit.kinds import checked
from oauthkit.protocol.callback import Callback, parameters_of
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.redirects import checked_return_to
from oauthkit.protocol.secret import NoPickle, secret

_MALFORMED: Final = (
    "a request to begin a login must have iss once, and no parameter twice (OpenID Connect Core §4)"
)
_UNKNOWN: Final = (
    "a login was to be begun at a server that is none of ours (OpenID Connect Core §4); nothing of "
    "the request is used"
)
_OUTSIDE: Final = (
    "a login was to end at a page that is not of this site, which would make an open redirector "
    "(OpenID Connect Core §4); nothing of the request is used"
)


@attrs.frozen(kw_only=True)
class ThirdPartyLogin(NoPickle):
    """Hold what a third party asked for: begin a login of your own with it.

    Attributes:
        issuer: At which server; one of those that are known.
        login_hint: Who is expected, as for `AuthorizationRequest.new`.
        return_to: Where the visitor wants to go, as for `AuthorizationRequest.new`: a path.
    """

    issuer: str
    login_hint: str | None = secret(default=None)
    return_to: str | None = None


@checked
def third_party_login(query: Callback, *, issuers: Collection[str], site: str) -> ThirdPartyLogin:
    """Check a request to begin a login (OpenID Connect Core §4), and return what it asks for.

    Anybody can make a browser send such a request, and so have a visitor begin a login, no more:
    the login has a `state` of its own, and ends only if the visitor agrees at the server. Ask who
    is logged in here already before they become somebody else.

    Example:
        >>> asked = third_party_login(
        ...     "iss=https%3A%2F%2Fauth.example&login_hint=ada",
        ...     issuers=["https://auth.example"],
        ...     site="https://app.example",
        ... )
        >>> asked.issuer
        'https://auth.example'

    Args:
        query: The request's parameters, of a GET or of a posted form.
        issuers: The issuers of the servers that somebody can log in at.
        site: The origin of this site, such as `https://app.example`.

    Raises:
        CallbackError: It is malformed, names another server, or leads to another site. Answer with
            400.
        ConfigurationError: `site` is no origin, or `issuers` one text.
    """
    ours = Origin.of(site)
    if isinstance(issuers, str):  # every part of a text is in it
        message = "issuers= is a list of issuers, not one text; write issuers=[…]"
        raise ConfigurationError(message)
    parameters = parameters_of(query)
    del query
    if parameters is None or not parameters.get("iss"):
        raise CallbackError(_MALFORMED)
    if parameters["iss"] not in issuers:
        raise CallbackError(_UNKNOWN)
    target = parameters.get("target_link_uri") or None
    return_to = None if target is None else _path(target, ours)
    if target is not None and return_to is None:
        raise CallbackError(_OUTSIDE)
    return ThirdPartyLogin(
        issuer=parameters["iss"],
        login_hint=parameters.get("login_hint") or None,
        return_to=return_to,
    )


def _path(target: str, ours: Origin) -> str | None:
    """Return the path of a page of this site; None where it is none."""
    try:
        if Origin.of(target) != ours:
            return None
        parts = urlsplit(target)
        return checked_return_to(
            urlunsplit(("", "", parts.path or "/", parts.query, parts.fragment))
        )
    except ConfigurationError:
        return None
