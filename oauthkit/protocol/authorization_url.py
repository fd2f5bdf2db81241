"""The URL that begins a login: an authorization request in a browser's hands (RFC 6749 §4.1.1)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.formats import FORM, ParameterValue
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.server import AuthorizationServer

_OURS: Final = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
    }
)
_SECRET: Final = frozenset({"client_secret", "client_assertion", "code_verifier"})
_SELF_ISSUED: Final = ("https://self-issued.me", "https://self-issued.me/v2")


def check_login_server(server: AuthorizationServer) -> None:
    """Refuse a server at which no code flow with PKCE can be had.

    Raises:
        ConfigurationError: It is a self-issued provider, or says that it does not know S256.
    """
    if server.issuer in _SELF_ISSUED:
        message = (
            "a self-issued provider (OpenID Connect Core §7) has no token endpoint, and is not "
            "supported; log in at a server"
        )
        raise ConfigurationError(message)
    methods = server.code_challenge_methods_supported
    if methods is not None and "S256" not in methods:
        message = f"the server knows PKCE only by {methods}, and S256 is required (RFC 7636)"
        raise ConfigurationError(message)


def authorization_url(
    endpoint: str,
    parameters: Mapping[str, ParameterValue],
    additional: Mapping[str, ParameterValue],
) -> str:
    """Return the authorization endpoint with the parameters behind its own query (RFC 6749 §3.1).

    Args:
        endpoint: Where the browser goes.
        parameters: The login's own.
        additional: The caller's.

    Raises:
        ConfigurationError: A parameter would occur twice, or is not the caller's to set.
    """
    parts = urlsplit(endpoint)
    wanted = Unprintable({**parameters, **additional})
    present = {name for name, value in wanted.items() if value is not None and value != ""}
    there = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    for name in sorted(_SECRET & additional.keys()):
        message = f"{name} is a secret, and stands in no URL that a browser sees; leave it out"
        raise ConfigurationError(message)
    for name in [*(_OURS & additional.keys()), *(there & present)]:
        message = (
            f"{printable(name)} cannot be set by additional= or by the query of the "
            "authorization_endpoint too: a parameter occurs once (RFC 6749 §3.1), and the login is "
            "always the code flow with state and PKCE (RFC 9700 §2.1)"
        )
        raise ConfigurationError(message)
    query = FORM.encode(wanted)[1].decode("ascii")
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))
