"""What a refusal leaves out: where it came from, and what to try."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from oauthkit.errors import (
    ErrorResponse,
    InvalidClient,
    OAuthKitError,
    ResponseError,
    TransportError,
    printable,
)
from oauthkit.protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from oauthkit.protocol.server import AuthorizationServer

_NOTHING_THERE: Final = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE}
)
_DOUBT: Final = "look at the client id and the secret"
_SETTINGS: Final = (
    "and at what the server wants of an assertion, which older ones want otherwise: "
    'audience=(its token endpoint), typ="JWT"'
)
_CERTIFICATE: Final = (
    "look at the certificate of the HTTP client that asks (token_http=), and at what the server "
    "has on file for this client"
)
_UNCERTIFIED: Final = "the server may end a connection whose certificate is missing or unknown"
_BY_CERTIFICATE: Final = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
_BY_METHOD: Final[Mapping[str, str]] = {
    "client_secret_jwt": f"{_DOUBT}, {_SETTINGS}",
    "private_key_jwt": f"look at the public key, and its kid, that the server has, {_SETTINGS}",
    **dict.fromkeys(_BY_CERTIFICATE, _CERTIFICATE),
}
_BY_ASSERTION: Final = frozenset({"client_secret_jwt", "private_key_jwt"})
_CLOCKS_AGREE: Final = 5.0
"""Seconds: a `Date` has no fractions, and no server refuses an assertion for less."""
_CLASSES: Final[Mapping[str, str]] = {
    "none": "PublicClient",
    "client_secret_basic": "ClientSecretBasic",
    "client_secret_post": "ClientSecretPost",
    "client_secret_jwt": "ClientSecretJWT",
    "private_key_jwt": "PrivateKeyJWT",
    "tls_client_auth": "TLSClientAuth",
    "self_signed_tls_client_auth": "SelfSignedTLSClientAuth",
}
_MOST: Final = 9
"""Ways that a text names, of as many as a document lists."""


def advise(
    error: OAuthKitError,
    client_auth: ClientAuth | None,
    *,
    endpoint: str,
    name: str = "token_endpoint",
    server: AuthorizationServer | None = None,
    ahead: float = 0.0,
) -> None:
    """Tell an error of an endpoint where it came from, and what its reader may try.

    Args:
        error: What the answer meant, or why there was none.
        client_auth: Who asked; None is nobody who says so.
        endpoint: The URL that was asked; its query, which may hold a secret, is left out.
        name: What the server's metadata calls the endpoint.
        server: Who answered; what it lists is named to who was known in another way.
        ahead: Seconds by which the server's clock is ahead of this machine's, by its `Date`.
    """
    if isinstance(error, TransportError):
        error.hint = _certificate_wanted(error, client_auth)
    if isinstance(error, ResponseError):
        error.url = endpoint.partition("?")[0]
        if error.status_code in _NOTHING_THERE:
            error.hint = f"no {name.replace('_', ' ')} may be there; look at {name}"
    unknown = isinstance(error, ResponseError) and error.status_code == HTTPStatus.UNAUTHORIZED
    if isinstance(error, ErrorResponse | ResponseError) and (
        unknown or isinstance(error, InvalidClient)
    ):
        listed = () if server is None else _listed_methods(server, name)
        other = _other_method(client_auth, listed, name)
        error.hint = other or _clocks(client_auth, ahead) or _way_to_be_known(client_auth)


def _certificate_wanted(error: TransportError, client_auth: ClientAuth | None) -> str | None:
    """Return what to look at where a connection may have ended for want of a certificate.

    In TLS 1.3 a server says so after the client has sent its request, or just hangs up.
    """
    certified = client_auth is not None and client_auth.auth_method in _BY_CERTIFICATE
    ended = error.__cause__ is not None and (error.sent or "TLS failed" in str(error))
    return f"{_UNCERTIFIED}: {_CERTIFICATE}" if certified and ended else None


def _listed_methods(server: AuthorizationServer, name: str) -> tuple[str, ...]:
    """Return the ways to be known that a server lists for an endpoint (RFC 8414 §2), if it does.

    A document that is silent means one of them, and its server takes more as often as not.
    """
    key = f"{name}_auth_methods_supported"
    key = key if hasattr(server, key) else "token_endpoint_auth_methods_supported"
    silent = bool(server.metadata) and key not in server.metadata
    return () if silent else getattr(server, key) or ()


def _other_method(client_auth: ClientAuth | None, listed: tuple[str, ...], name: str) -> str | None:
    method = None if client_auth is None else client_auth.auth_method
    if not listed or method is None or method in listed:
        return None
    ways = [_CLASSES[way] for way in listed if way in _CLASSES]
    hint = f": {' or '.join(ways)}" if ways else ""
    return (
        f"the server lists {', '.join(map(printable, listed[:_MOST]))} for its "
        f"{name.replace('_', ' ')}, and this client was known by {method}{hint}"
    )


def _clocks(client_auth: ClientAuth | None, ahead: float) -> str | None:
    """Return what to do where an assertion was refused and the clocks differ."""
    signs = client_auth is not None and client_auth.auth_method in _BY_ASSERTION
    if not signs or abs(ahead) <= _CLOCKS_AGREE:
        return None
    where = "ahead of" if ahead > 0 else "behind"
    return (
        f"by its Date the server's clock is {abs(ahead):.0f} s {where} this machine's, by which an "
        f"assertion is dated: set this machine's clock, or give clock_offset={ahead:.0f}; else "
        f"{_way_to_be_known(client_auth)}"
    )


def _way_to_be_known(client_auth: ClientAuth | None) -> str | None:
    if isinstance(client_auth, ClientSecretBasic):
        if not client_auth.raw and _is_encoded(client_auth):
            return (
                "id or secret has characters that are encoded (RFC 6749 §2.3.1), which some "
                "servers do not undo: try ClientSecretBasic(…, raw=True)"
            )
        return f"{_DOUBT}; some servers want them in the body: ClientSecretPost"
    if isinstance(client_auth, ClientSecretPost):
        return f"{_DOUBT}; some servers want them as Basic credentials: ClientSecretBasic"
    if isinstance(client_auth, PublicClient):
        return "look at the client id; the server may want a secret beside it: ClientSecretBasic"
    return None if client_auth is None else _BY_METHOD.get(client_auth.auth_method or "")


def _is_encoded(client_auth: ClientSecretBasic) -> bool:
    texts = (client_auth.client_id, client_auth.client_secret)
    return any(quote(text, safe="") != text for text in texts)
