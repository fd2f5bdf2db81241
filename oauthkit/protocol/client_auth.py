"""Who asks: how a client tells the authorization server who it is (RFC 6749 §2.3)."""

import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from typing import ClassVar, Final
from urllib.parse import quote

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.secret import NoPickle, Unprintable, names_of, secret, unprintable
from oauthkit.protocol.server import AuthorizationServer

_UNFIT: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@attrs.frozen
class Authentication(NoPickle):
    """What a client adds to a request to be known."""

    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=unprintable, hash=False, repr=names_of
    )
    parameters: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=unprintable, hash=False, repr=names_of
    )


class ClientAuth(NoPickle, ABC):
    """Be the base of all ways of client authentication.

    Attributes:
        client_id: The client's identifier.
        confidential: Whether the client proves who it is.
    """

    __slots__ = ()

    client_id: str
    confidential: ClassVar[bool] = True

    @abstractmethod
    def authenticate(self, server: AuthorizationServer) -> Authentication:
        """Return what goes into one request; it is called for each one anew.

        Args:
            server: Who is asked.
        """


@attrs.frozen
class PublicClient(ClientAuth):
    """Name the client, without a proof (RFC 6749 §2.1, method `none`).

    Example:
        >>> PublicClient("desktop-app")
        PublicClient(client_id='desktop-app')
    """

    client_id: str
    confidential = False

    def __attrs_post_init__(self) -> None:
        """Refuse what no identifier has."""
        _check(client_id=self.client_id)

    def authenticate(self, server: AuthorizationServer) -> Authentication:
        """Put `client_id` into the body (RFC 6749 §3.2.1)."""
        return Authentication(parameters={"client_id": self.client_id})


@attrs.frozen
class ClientSecretBasic(ClientAuth):
    """Send id and secret as HTTP Basic credentials (RFC 6749 §2.3.1).

    Both are form-encoded first, as the RFC has it, a space as `%20`, which every decoder reads.

    Example:
        >>> ClientSecretBasic("reporter", "s3cret")
        ClientSecretBasic(client_id='reporter', client_secret='***', raw=False)

    Attributes:
        raw: Leave the form-encoding out, for servers that do not decode it.
    """

    client_id: str
    client_secret: str = secret()
    raw: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what no credential has, and what cannot be told apart on the other side."""
        _check(client_id=self.client_id, client_secret=self.client_secret)
        if self.raw and ":" in self.client_id:
            message = (
                "client_id has a colon, where raw Basic credentials are divided (RFC 7617 §2); "
                "use raw=False or ClientSecretPost"
            )
            raise ConfigurationError(message)

    def authenticate(self, server: AuthorizationServer) -> Authentication:
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

    client_id: str
    client_secret: str = secret()

    def __attrs_post_init__(self) -> None:
        """Refuse what no credential has."""
        _check(client_id=self.client_id, client_secret=self.client_secret)

    def authenticate(self, server: AuthorizationServer) -> Authentication:
        """Put both into the body."""
        return Authentication(
            parameters={"client_id": self.client_id, "client_secret": self.client_secret}
        )


def _check(**credentials: str) -> None:
    for name, text in Unprintable(credentials).items():
        if _UNFIT.search(text):
            message = (
                f"{name} has a control character, such as a line break read from a file, or a lone "
                "surrogate; no credential has (RFC 6749 Appendix A)"
            )
            raise ConfigurationError(message)
