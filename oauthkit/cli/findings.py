"""What an authorization server offers, by its metadata, and what is wrong with it.

Nothing here does I/O; what the documents want is said with the section that wants it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.metadata import attributes_of
from oauthkit.protocol.server import AuthorizationServer

_ENDPOINTS: Final = (
    "authorization_endpoint",
    "token_endpoint",
    "device_authorization_endpoint",
    "pushed_authorization_request_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "revocation_endpoint",
    "introspection_endpoint",
    "end_session_endpoint",
    "registration_endpoint",
)
_LISTS: Final = (
    "scopes_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
    "id_token_signing_alg_values_supported",
    "dpop_signing_alg_values_supported",
    "acr_values_supported",
)
_FLAGS: Final = (
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "tls_client_certificate_bound_access_tokens",
    "backchannel_logout_supported",
)
_SHOWN: Final = 2_000


def offers_of(server: AuthorizationServer) -> Mapping[str, str]:
    """Return what a server says of itself, in words, by the names of its metadata."""
    offers = {"issuer": str(server.issuer)}
    offers |= {name: str(url) for name in _ENDPOINTS if (url := server.metadata.get(name))}
    for name in _LISTS:
        values = getattr(server, name)
        if values:
            offers[name] = " ".join(values)
    offers |= {name: "yes" for name in _FLAGS if getattr(server, name)}
    return {name: printable(text, _SHOWN) for name, text in offers.items()}


def findings_of(server: AuthorizationServer) -> list[str]:
    """Return what is wrong with a server, by its metadata; the worst comes first."""
    return [
        *_unusable(server),
        *(text for text, there in _faults(server).items() if there),
        *_malformed(server),
    ]


def _unusable(server: AuthorizationServer) -> Iterator[str]:
    """Give the endpoints that may not be used, and those that are needed and not there."""
    needed = {"token_endpoint", *(("authorization_endpoint",) if _has_logins(server) else ())}
    for name in _ENDPOINTS:
        if name not in needed and not server.metadata.get(name):
            continue
        try:
            server.endpoint(name)
        except ConfigurationError as error:
            yield str(error)


def _has_logins(server: AuthorizationServer) -> bool:
    """Tell whether somebody logs in there by a browser, as far as the server says (RFC 8414 §2)."""
    by_browser = {"authorization_code", "implicit"} & {*(server.grant_types_supported or ())}
    return bool(by_browser or server.metadata.get("authorization_endpoint"))


def _faults(server: AuthorizationServer) -> Mapping[str, bool]:
    pkce = server.code_challenge_methods_supported
    algorithms = server.id_token_signing_alg_values_supported or ()
    grants = server.grant_types_supported or ()
    responses = server.response_types_supported
    logins = _has_logins(server)
    said = attributes_of(server.metadata)  # what is not, has defaults (RFC 8414 §2)
    return {
        "PKCE is by S256 alone, and the server does not list it: no login is possible (RFC 7636 "
        "§4.2, RFC 9700 §2.1.1)": pkce is not None and "S256" not in pkce,
        "response_types_supported has no code: no login is possible (RFC 8414 §2)": (
            responses is not None and "code" not in responses
        ),
        "it does not say whether it knows PKCE; code_challenge_methods_supported should have S256 "
        "(RFC 9700 §2.1.1)": logins and pkce is None,
        "it takes PKCE by plain, too, which protects nobody who sees the request (RFC 7636 §7.2)": (
            "plain" in (pkce or ())
        ),
        "its callbacks do not say which server they come from: a client of several servers needs "
        "a redirect_uri for each (RFC 9207, RFC 9700 §4.4)": (
            logins and not server.authorization_response_iss_parameter_supported
        ),
        "it offers the implicit grant, which gives tokens to whoever sees a URL (RFC 9700 "
        "§2.1.2)": "grant_types_supported" in said and "implicit" in grants,
        "it offers the password grant (RFC 9700 §2.4)": "password" in grants,
        "it signs ID Tokens with none, which is no signature (RFC 8725 §3.2)": (
            "none" in algorithms
        ),
        "it signs ID Tokens and names no jwks_uri: nobody can verify them (OpenID Connect "
        "Discovery §3)": bool(algorithms) and server.jwks_uri is None,
        "it has no revocation_endpoint: a logout leaves the token good there (RFC 7009)": (
            server.revocation_endpoint is None
        ),
    }


def _malformed(server: AuthorizationServer) -> Iterator[str]:
    """Give the members that are of another kind than they should be, and count as not said."""
    read = attributes_of(server.metadata)
    for name in (*_ENDPOINTS, *_LISTS):
        value = server.metadata.get(name)
        own = name in {"authorization_endpoint", "token_endpoint"} and isinstance(value, str)
        if value not in (None, [], "") and name not in read and not own:
            yield f"{name} is of the wrong kind, and counts as not said (RFC 8414 §2)"
