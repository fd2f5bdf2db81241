"""Who asks: how a client tells the authorization server who it is (RFC 6749 §2.3).

To be known may take time, such as that of a key service which signs: so `authenticate` is awaited,
before each request anew, and what comes of it is a value. Who builds the request only reads that.
"""

import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from typing import ClassVar, Final
from urllib.parse import quote

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.secret import (
    NoPickle,
    Unprintable,
    check_given,
    names_of,
    secret,
    unprintable,
)
from oauthkit.protocol.server import AuthorizationServer

_UNFIT: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@attrs.frozen
class Authentication(NoPickle):
    """What a client adds to one request to be known.

    Example:
        >>> Authentication(headers={"authorization": "Basic cmVwb3J0ZXI6czNjcmV0"})
        Authentication(headers=<'authorization'>, parameters=<>)

    Attributes:
        headers: Header fields, such as `authorization`.
        parameters: Parameters of the body, such as `client_assertion`.
    """

    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=unprintable, hash=False, repr=names_of
    )
    parameters: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=unprintable, hash=False, repr=names_of
    )


class ClientAuth(NoPickle, ABC):
    """Be the base of all ways of client authentication; a new one writes `authenticate`.

    Example:
        >>> @attrs.frozen
        ... class SignedElsewhere(ClientAuth):
        ...     client_id: str
        ...     key_service: object
        ...
        ...     async def authenticate(self, server, *, endpoint, now):
        ...         claims = {"iss": self.client_id, "aud": server.issuer, "exp": now + 60}
        ...         kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        ...         signed = await self.key_service.sign(claims)
        ...         return Authentication(
        ...             parameters={"client_assertion_type": kind, "client_assertion": signed}
        ...         )

    Attributes:
        client_id: The client's identifier.
        confidential: Whether the client proves who it is.
        auth_method: What a server's metadata calls this way (RFC 8414 §2), such as
            `private_key_jwt`; None is a way without a name.
    """

    __slots__ = ()

    client_id: str
    confidential: ClassVar[bool] = True
    auth_method: ClassVar[str | None] = None

    @abstractmethod
    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Return what goes into one request; it is awaited for every try anew.

        It has half of the time that the request has. While it runs nothing has been sent, and
        what it raises sends nothing: an `OAuthKitError` or an `OSError` as a `TransportError` that
        may be tried again, a `ConfigurationError` and all else as it is.

        Args:
            server: Who is asked.
            endpoint: The URL that is asked, such as the token endpoint's.
            now: Seconds since the epoch, by the session's clock.
        """

    def alias(self, server: AuthorizationServer, name: str) -> str | None:
        """Return where else this client asks an endpoint; None is where everybody does.

        It is where a request goes, and nothing more: issuer and origin of the server, and whose its
        tokens are, stay as they are.

        Args:
            server: Who is asked.
            name: What its metadata calls the endpoint, such as `token_endpoint`.

        Raises:
            ConfigurationError: It may not be an endpoint.
        """
        return None


@attrs.frozen
class PublicClient(ClientAuth):
    """Name the client, without a proof (RFC 6749 §2.1, method `none`).

    Example:
        >>> PublicClient("desktop-app")
        PublicClient(client_id='desktop-app')
    """

    confidential = False
    auth_method = "none"

    client_id: str

    def __attrs_post_init__(self) -> None:
        """Refuse what no identifier has."""
        _check(client_id=self.client_id)

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Put `client_id` into the body (RFC 6749 §3.2.1)."""
        return Authentication(parameters={"client_id": self.client_id})


@attrs.frozen
class AnonymousClient(ClientAuth):
    """Say nothing of the client, where the grant alone says who asks (RFC 7523 §2.1).

    Example:
        >>> AnonymousClient()
        AnonymousClient()
    """

    client_id: str = attrs.field(default="", init=False, repr=False)
    confidential = False

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Add nothing."""
        return Authentication()


@attrs.frozen
class ClientSecretBasic(ClientAuth):
    """Send id and secret as HTTP Basic credentials (RFC 6749 §2.3.1).

    Both are form-encoded first, as the RFC has it, a space as `%20`, which every decoder reads.

    Example:
        >>> ClientSecretBasic("reporter", "s3cret")
        ClientSecretBasic(client_id='reporter', client_secret='***', raw=False)

    Attributes:
        raw: Leave the form-encoding out, for servers that do not decode it. Both go as they are
            then, and the secret may be empty, as some servers give it to installed apps.
    """

    auth_method = "client_secret_basic"

    client_id: str
    client_secret: str = secret()
    raw: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what no credential has, and what cannot be told apart on the other side."""
        _check(client_id=self.client_id)
        if not self.raw or self.client_secret != "":
            _check(client_secret=self.client_secret)
        if self.raw and ":" in self.client_id:
            message = (
                "client_id has a colon, where raw Basic credentials are divided (RFC 7617 §2); "
                "use raw=False or ClientSecretPost"
            )
            raise ConfigurationError(message)

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Make the `Authorization` header."""
        parts = [self.client_id, self.client_secret]
        if not self.raw:
            parts = [quote(part, safe="") for part in parts]
        credentials = b64encode(":".join(parts).encode()).decode("ascii")
        return Authentication(headers={"authorization": f"Basic {credentials}"})


@attrs.frozen
class ClientSecretPost(ClientAuth):
    """Send id and secret in the request body (RFC 6749 §2.3.1), in whatever format that has.

    Example:
        >>> ClientSecretPost("reporter", "s3cret")
        ClientSecretPost(client_id='reporter', client_secret='***')
    """

    auth_method = "client_secret_post"

    client_id: str
    client_secret: str = secret()

    def __attrs_post_init__(self) -> None:
        """Refuse what no credential has."""
        _check(client_id=self.client_id, client_secret=self.client_secret)

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Put both into the body."""
        return Authentication(
            parameters={"client_id": self.client_id, "client_secret": self.client_secret}
        )


@attrs.frozen
class TLSClientAuth(ClientAuth):
    """Be known by the certificate of the connection (RFC 8705 §2.1, method `tls_client_auth`).

    The certificate is that of the HTTP client which asks, a session's `token_http` for example:
    `httpx.AsyncClient(verify=context)`, whose context has loaded it. Where the server has endpoints
    of their own for such clients (`mtls_endpoint_aliases`, §5), these are asked.

    Example:
        >>> TLSClientAuth("reporter")
        TLSClientAuth(client_id='reporter')

    Attributes:
        tls_client_certificate_bound_access_tokens: Ask for tokens only where the server says that
            it binds them to the certificate (§3.3), so that nobody else can use them.
    """

    auth_method = "tls_client_auth"

    client_id: str
    tls_client_certificate_bound_access_tokens: bool = attrs.field(
        default=False, kw_only=True, repr=False
    )

    def __attrs_post_init__(self) -> None:
        """Refuse what no identifier has."""
        _check(client_id=self.client_id)

    async def authenticate(
        self, server: AuthorizationServer, *, endpoint: str, now: float
    ) -> Authentication:
        """Put `client_id` into the body: whose certificate it has to be (RFC 8705 §2).

        Raises:
            ConfigurationError: Tokens have to be bound, and the server does not say that it binds
                them.
        """
        bound = server.tls_client_certificate_bound_access_tokens
        if self.tls_client_certificate_bound_access_tokens and not bound:
            message = (
                "this client takes no tokens but those that are bound to its certificate, and the "
                f"metadata of {server.issuer or 'this server'} does not say "
                "tls_client_certificate_bound_access_tokens (RFC 8705 §3.3); nothing was sent"
            )
            raise ConfigurationError(message)
        return Authentication(parameters={"client_id": self.client_id})

    def alias(self, server: AuthorizationServer, name: str) -> str | None:
        """Return the server's alias of an endpoint, where it has one."""
        return server.mtls_alias(name)


@attrs.frozen
class SelfSignedTLSClientAuth(TLSClientAuth):
    """Be known by a self-signed certificate that the server has on file (RFC 8705 §2.2).

    Its method is `self_signed_tls_client_auth`; what is sent is the same as by `TLSClientAuth`.

    Example:
        >>> SelfSignedTLSClientAuth("reporter")
        SelfSignedTLSClientAuth(client_id='reporter')
    """

    auth_method = "self_signed_tls_client_auth"


def _check(**credentials: object) -> None:
    check_given(**credentials)
    for name, text in Unprintable(credentials).items():
        if _UNFIT.search(text):
            message = (
                f"{name} has a control character, such as a line break read from a file, or a lone "
                "surrogate; no credential has (RFC 6749 Appendix A)"
            )
            raise ConfigurationError(message)
