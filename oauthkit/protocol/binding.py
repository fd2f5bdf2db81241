"""Whose a token is: by which authorization server it was issued, and to which client."""

from typing import Self
from urllib.parse import urlsplit

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token


@attrs.frozen
class Binding:
    """The server and the client that a token belongs to, as far as they are known.

    Attributes:
        issuer: The server's issuer identifier.
        token_endpoint: The server's token endpoint, without its query, which may hold a secret.
        client_id: The client.
    """

    issuer: str | None = None
    token_endpoint: str | None = None
    client_id: str | None = None

    @classmethod
    def of(cls, server: AuthorizationServer, client_id: str) -> Self:
        """Return the binding of what a server gives to a client."""
        return cls(server.issuer, server.token_endpoint.partition("?")[0], client_id)

    @classmethod
    def of_token(cls, token: Token) -> Self:
        """Return the binding that a token carries; one that was made by hand has none."""
        return cls(token.issuer, token.token_endpoint, token.client_id)

    def bind(self, token: Token, *, follows: Token | None = None) -> Token:
        """Return a token that carries this binding.

        Args:
            token: What the server gave.
            follows: The token that was refreshed; where no issuer is known here, its own goes on.
        """
        before = None if follows is None else follows.issuer
        return attrs.evolve(
            token,
            issuer=self.issuer or before,
            token_endpoint=self.token_endpoint,
            client_id=self.client_id,
        )

    def fits(self, token: Token) -> bool:
        """Tell whether a token is of this server and client, as far as both sides know theirs.

        Issuers are equal or not. Where one side knows none (it was named later, or is not known
        yet), the token endpoints decide, by their origin: a server may move its endpoint.
        """
        other = Binding.of_token(token)
        if self.issuer and other.issuer:
            same_server = self.issuer == other.issuer
        elif self.token_endpoint and other.token_endpoint:
            same_server = _origin(self.token_endpoint) == _origin(other.token_endpoint)
        else:
            same_server = True
        both_know = self.client_id and other.client_id
        return same_server and (not both_know or self.client_id == other.client_id)

    def check(self, token: Token, *, key: str) -> None:
        """Refuse a token of another server or client.

        Args:
            token: What is kept.
            key: Under which key.

        Raises:
            ConfigurationError: It belongs to another one; the message names both.
        """
        if self.fits(token):
            return
        message = (
            f"the token kept under {key!r} was issued by {Binding.of_token(token)}, and this "
            f"session asks {self}; nothing was sent, and the token was left as it is. Give each "
            "server and client keys of their own, or a store of their own; to go on with this one, "
            "delete the token or save a new one under the key"
        )
        raise ConfigurationError(message)

    def __str__(self) -> str:
        """Name the server and the client."""
        server = self.issuer or _without_secrets(self.token_endpoint) or "an unnamed server"
        client = "an unnamed client" if not self.client_id else f"client {self.client_id!r}"
        return f"{server} for {client}"


def _origin(url: str) -> Origin | None:
    """Return the origin of what stands in a record as a URL; None where it is none."""
    try:
        return Origin.of(url)
    except ConfigurationError:
        return None


def _without_secrets(url: str | None) -> str | None:
    origin = None if url is None else _origin(url)
    return None if origin is None else f"{origin}{urlsplit(url or '').path}"
