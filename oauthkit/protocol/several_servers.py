"""Several authorization servers at one client, told apart (RFC 9207 §4, RFC 9700 §4.4.2)."""

from collections.abc import Iterable, Mapping

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import check_kind, checked
from oauthkit.protocol.server import AuthorizationServer


@checked
def servers_by_issuer(
    servers: Iterable[AuthorizationServer], *, own_redirect_uris: bool = False
) -> Mapping[str, AuthorizationServer]:
    """Return the servers that somebody can log in at, by issuer, if callbacks tell them apart.

    A server that is evil, or was taken over, may send a browser on to an honest one, and get that
    one's code if the client takes the callback for its own (a mix-up). So each of several servers
    says in its callbacks who it is (RFC 9207), or has a redirect URI of its own.

    Example:
        >>> one, two = (
        ...     AuthorizationServer(
        ...         f"https://{name}.example/token",
        ...         issuer=f"https://{name}.example",
        ...         authorization_response_iss_parameter_supported=True,
        ...     )
        ...     for name in ("one", "two")
        ... )
        >>> list(servers_by_issuer([one, two]))
        ['https://one.example', 'https://two.example']

    Args:
        servers: All at which somebody can log in.
        own_redirect_uris: Whether you give each of them a `redirect_uri` of its own, and compare at
            the callback that the login was begun for that one.

    Raises:
        ConfigurationError: Two have one issuer, or one of several has none; or callbacks of one
            among several at the same redirect URI do not say who it is.
    """
    known: dict[str, AuthorizationServer] = {}
    for server in servers:
        check_kind("servers_by_issuer: a server", server, AuthorizationServer)
        if not server.issuer or server.issuer in known:
            message = (
                f"the issuer {server.issuer!r} is that of two servers, or of none; each server has "
                "an issuer of its own, by which its callbacks are known (RFC 9207 §4)"
            )
            raise ConfigurationError(message)
        known[server.issuer] = server
    silent = [
        issuer
        for issuer, server in known.items()
        if not server.authorization_response_iss_parameter_supported
    ]
    if len(known) > 1 and silent and not own_redirect_uris:
        message = (
            f"{silent[0]} does not say in its callbacks who it is (RFC 9207), so another server "
            "could pass for it; give each server a redirect_uri of its own (RFC 9700 §4.4.2), and "
            "say own_redirect_uris=True"
        )
        raise ConfigurationError(message)
    return known
