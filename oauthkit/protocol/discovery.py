"""Where an authorization server's metadata is, and what it says (RFC 8414 §3, OpenID Discovery §4).

What stands there decides where secrets are sent. So it counts only if it names, byte for byte, the
issuer that it was asked for (RFC 8414 §3.3): else any server could speak for another.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import urlsplit

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.answers import decode_fields, unusable
from oauthkit.protocol.endpoint import retry_after
from oauthkit.protocol.error_response import error_by_status
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, check_endpoint
from oauthkit.protocol.metadata import attributes_of, text
from oauthkit.protocol.server import AuthorizationServer

AcceptIssuer = Callable[[str], bool]
"""Tells whether another issuer is as good as the one that was named."""

_DOCUMENT: Final = re.compile(
    r"/\.well-known/(?:openid-configuration|oauth-authorization-server)(?=/|\Z)"
)
_JSON: Final = {"content-type": "application/json"}
_ELSEWHERE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_MAX_AGE: Final = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})", re.ASCII | re.IGNORECASE)
_SHORTEST_LIFE: Final = 60.0
_LONGEST_LIFE: Final = 86_400.0

_DEFAULTS: Final[Mapping[str, Any]] = {
    "response_modes_supported": ("query", "fragment"),
    "grant_types_supported": ("authorization_code", "implicit"),
    "token_endpoint_auth_methods_supported": ("client_secret_basic",),
    "revocation_endpoint_auth_methods_supported": ("client_secret_basic",),
}
"""What a document means that does not say it (RFC 8414 §2)."""


def check_issuer(issuer: str) -> str:
    """Return an issuer identifier, if it is one (RFC 8414 §2).

    Raises:
        ConfigurationError: It is no https URL (http for this machine), or has a query, a fragment
            or credentials in it; or it is the address of a metadata document.
    """
    check_endpoint(issuer, name="issuer")
    if (named := _DOCUMENT.sub("", issuer)) != issuer:
        message = (
            "issuer is the address of a metadata document; the issuer is "
            f"{printable(named, 200)!r} as a rule, and the document says it (RFC 8414 §2)"
        )
        raise ConfigurationError(message)
    if "?" in issuer:
        message = "issuer has a query (?…), which RFC 8414 §2 forbids; leave it out"
        raise ConfigurationError(message)
    return str(issuer)


def metadata_locations(issuer: str) -> tuple[str, str]:
    """Return where the metadata may be; the second is asked where the first has none.

    The one of OpenID Connect comes first, behind the issuer's path (Discovery §4.1): what a login
    needs stands there alone, and nearly every provider has it. The other stands between host and
    path (RFC 8414 §3.1). A slash at the end of the issuer does not count here.
    """
    parts = urlsplit(issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{host}{path}/.well-known/openid-configuration",
        f"{host}/.well-known/oauth-authorization-server{path}",
    )


def build_metadata_request(location: str, *, public_only: bool = False) -> HTTPRequest:
    """Return the request for the metadata at a location (RFC 8414 §3.1).

    Args:
        location: Where it is looked for.
        public_only: Whether it may be sent to public addresses alone.
    """
    return HTTPRequest("GET", location, {"accept": "application/json"}, public_only=public_only)


def is_elsewhere(response: HTTPResponse) -> bool:
    """Tell whether an answer says that there is no metadata at this location."""
    return response.status_code in _ELSEWHERE


def parse_metadata_response(
    response: HTTPResponse,
    *,
    issuer: str,
    accept_issuer: AcceptIssuer | None = None,
    now: float,
) -> AuthorizationServer:
    """Return the server that a metadata document describes (RFC 8414 §3.2 and §3.3).

    Its signed part (§2.1) is not looked at.

    Args:
        response: The answer.
        issuer: Whose metadata was asked for; that is the server's `issuer`.
        accept_issuer: Tells whether a document that names another issuer is as good.
        now: When the request was sent, in seconds since the epoch, for a date in `Retry-After`.

    Raises:
        ResponseError: It is no metadata, or that of another issuer.
    """
    pause = retry_after(response, now=now)
    refusal = error_by_status(response, secrets=(), pause=pause, name="metadata")
    if refusal is not None:
        raise refusal
    if response.status_code != HTTPStatus.OK:
        message = (
            f"the metadata of {printable(issuer)} could not be had; RFC 8414 §3.2 wants a 200. "
            "Look at issuer=, which must be as the provider writes it, path included"
        )
        raise unusable(response, message)
    document = decode_fields(attrs.evolve(response, headers=_JSON))
    named = document.get("issuer")
    known = isinstance(named, str) and (
        named == issuer or (accept_issuer is not None and accept_issuer(named) is True)
    )
    if not known:
        message = (
            f"the metadata asked for of {printable(issuer)!r} is of {printable(str(named))!r}, and "
            "so nothing of it is used (RFC 8414 §3.3); the two must be equal to the last slash. If "
            "that is the provider's own name, give it as the issuer; accept_issuer= is for those "
            "that name all their tenants by a template"
        )
        raise unusable(response, message)
    members = cast("dict[str, Any]", _plain(document))
    said: dict[str, Any] = {**_DEFAULTS, **attributes_of(members), "metadata": members}
    return AuthorizationServer(
        text(members.get("token_endpoint")) or "",
        issuer=issuer,
        authorization_endpoint=text(members.get("authorization_endpoint")),
        **said,
    )


def life_of(response: HTTPResponse, *, default: float) -> float:
    """Return for how many seconds a document is taken as it is (RFC 9111 §5.2.2.1).

    It is a minute at least and a day at most, whatever `Cache-Control` says.

    Args:
        response: The answer.
        default: Where it does not say.
    """
    match = _MAX_AGE.search(response.headers.get("cache-control", ""))
    life = default if match is None else float(match[1])
    return min(max(life, _SHORTEST_LIFE), _LONGEST_LIFE)


def _plain(value: object) -> object:
    """Return JSON as plain values: metadata is public, and may be printed."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {name: _plain(member) for name, member in members.items()}
    if isinstance(value, list):
        return [_plain(member) for member in cast("list[object]", value)]
    return value
