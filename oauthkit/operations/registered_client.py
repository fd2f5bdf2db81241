"""A client that was registered, and how it authenticates."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from oauthkit.client_keys import ClientSecretJWT, PrivateKeyJWT
from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.client_auth import (
    Authentication,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
    SelfSignedTLSClientAuth,
    TLSClientAuth,
)
from oauthkit.protocol.jwt import Signer
from oauthkit.protocol.registration import Registration
from oauthkit.protocol.server import AuthorizationServer

_BY_ID: Final[Mapping[str, Callable[[str], ClientAuth]]] = {
    "none": PublicClient,
    "tls_client_auth": TLSClientAuth,
    "self_signed_tls_client_auth": SelfSignedTLSClientAuth,
}
_BY_SECRET: Final[Mapping[str, Callable[[str, str], ClientAuth]]] = {
    "client_secret_basic": ClientSecretBasic,
    "client_secret_post": ClientSecretPost,
    "client_secret_jwt": ClientSecretJWT,
}


@attrs.frozen(kw_only=True)
class RegisteredClient(Registration):
    """Be a client as a server has registered it (RFC 7591 §3.2.1, RFC 7592 §3).

    Keep it, as a dict: with it the client is known, and the registration looked after.

    Example:
        >>> client = RegisteredClient(client_id="s6BhdRkqt3", client_secret="cf136dc3c1fc93f3")
        >>> client.client_auth()
        ClientSecretBasic(client_id='s6BhdRkqt3', client_secret='***', raw=False)
    """

    def client_auth(self, key: bytes | Mapping[str, Any] | Signer | None = None) -> ClientAuth:
        """Return how the client authenticates, by the method that is registered.

        A secret that has an end is not sent after it: a request is refused then, with words.

        Args:
            key: The private key of a client that signs with one (`private_key_jwt`); as for
                `PrivateKeyJWT`.

        Raises:
            ConfigurationError: The method is not known, or needs a secret or a key that is not
                there.
        """
        method = self.token_endpoint_auth_method
        if method in _BY_ID:
            return _BY_ID[method](self.client_id)
        if method in _BY_SECRET and self.client_secret is not None:
            return self._until_it_ends(_BY_SECRET[method](self.client_id, self.client_secret))
        if method == "private_key_jwt" and key is not None:
            return PrivateKeyJWT(self.client_id, key)
        needed = {"private_key_jwt": "needs key="}.get(method, "needs a secret that is not there")
        if method not in {*_BY_SECRET, "private_key_jwt"}:
            needed = "is not known here; write a ClientAuth for it"
        message = f"the registered token_endpoint_auth_method {printable(method, 60)!r} {needed}"
        raise ConfigurationError(message)

    def _until_it_ends(self, client_auth: ClientAuth) -> ClientAuth:
        ends = self.client_secret_expires_at
        return client_auth if not ends else Expiring(client_auth, ends)


@attrs.frozen
class Expiring(ClientAuth):
    """Client authentication with a secret that has an end (RFC 7591 §3.2.1).

    Attributes:
        known_by: What is sent until then.
        expires_at: When that is, in seconds since the epoch.
    """

    known_by: ClientAuth
    expires_at: float
    client_id: str = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.known_by.client_id, takes_self=True)
    )

    @property
    def client_secret(self) -> str | None:
        """The secret, which is the key of a MAC too where one is registered (Core §10.1)."""
        return getattr(self.known_by, "client_secret", None)

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Add what is known to be good.

        Raises:
            ConfigurationError: It is so no more.
        """
        if now >= self.expires_at:
            ended = datetime.fromtimestamp(max(self.expires_at, 0.0), UTC).isoformat()
            message = (
                f"the secret of the client {self.client_id!r} expired at {ended}; read the "
                "registration for a new one (read_registration), or register anew"
            )
            raise ConfigurationError(message)
        return await self.known_by.authenticate(server, endpoint=endpoint, now=now)
