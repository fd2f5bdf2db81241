"""By what right: the grants (RFC 6749 §1.3), and how to write one's own."""

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.formats import ParameterValue, RequestFormat
from oauthkit.protocol.pkce import check_verifier
from oauthkit.protocol.secret import NoPickle, Unprintable, names_of, secret, unprintable
from oauthkit.protocol.token import Token

_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3


class Repeat(enum.Enum):
    """Say whether a token request may be sent again when no answer came."""

    NEVER = enum.auto()
    """The right is spent by the first request, as a code is (RFC 6749 §4.1.2)."""
    ONCE = enum.auto()
    """One more try can only help, as with a refresh token that may have been rotated."""
    ALWAYS = enum.auto()
    """The right is not spent by being used."""


def scope_text(scope: str | Iterable[str] | None) -> str | None:
    """Return a scope as one space-separated text (RFC 6749 §3.3); None where it is empty.

    Raises:
        ConfigurationError: A scope token has a character that none may have.
    """
    if scope is None:
        return None
    tokens = scope.split() if isinstance(scope, str) else list(scope)
    for token in tokens:
        if not _SCOPE_TOKEN.fullmatch(token):
            message = (
                f"the scope token {token!r} is empty or has a space, a quote, a backslash or a "
                "character outside ASCII, which RFC 6749 §3.3 does not allow"
            )
            raise ConfigurationError(message)
    return " ".join(tokens) or None


@attrs.frozen(kw_only=True)
class GrantStrategy(NoPickle, ABC):
    """Be the base of all grants; a new one writes `grant_type` and `parameters`.

    Example:
        >>> @attrs.frozen(kw_only=True)
        ... class OnBehalfOf(GrantStrategy):
        ...     grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        ...     assertion: str = secret()
        ...
        ...     def parameters(self):
        ...         return {"assertion": self.assertion, "requested_token_use": "on_behalf_of"}

    Attributes:
        grant_type: What the server knows the grant by.
        repeat: Whether the request may be sent again; also whether the grant can start anew when
            a refresh token derived from it has died.
        for_client: Whether the grant speaks for the client itself and so for any store key.
        request_format: How the request is written; None is the server's way.
        additional: Further parameters; renewals carry them too.
    """

    grant_type: ClassVar[str]
    repeat: ClassVar[Repeat] = Repeat.NEVER
    for_client: ClassVar[bool] = False

    request_format: RequestFormat | None = None
    additional: Mapping[str, ParameterValue] = attrs.field(
        factory=dict[str, ParameterValue], converter=unprintable, hash=False, repr=names_of
    )

    @abstractmethod
    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return the request's parameters, without `grant_type`; None leaves one out."""

    def renewal(self, token: Token) -> "GrantStrategy | None":
        """Return the right to a next token, or None where there is none.

        The default is the token's refresh token, in the same format.

        Args:
            token: The token to be renewed. Its refresh token is not known to be dead.
        """
        if token.refresh_token is None:
            return self if self.repeat is Repeat.ALWAYS else None
        return RefreshToken(
            refresh_token=token.refresh_token,
            request_format=self.request_format,
            additional=self.additional,
        )


@attrs.frozen(kw_only=True)
class ClientCredentials(GrantStrategy):
    """Ask for a token for the client itself (RFC 6749 §4.4)."""

    grant_type = "client_credentials"
    repeat = Repeat.ALWAYS
    for_client = True

    scope: str | None = attrs.field(default=None, converter=scope_text)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return the scope."""
        return {"scope": self.scope}

    def renewal(self, token: Token) -> GrantStrategy:
        """Ask again; a refresh token is not relied on (RFC 6749 §4.4.3)."""
        return self


@attrs.frozen(kw_only=True)
class AuthorizationCode(GrantStrategy):
    """Exchange an authorization code (RFC 6749 §4.1.3); `AuthorizationRequest.accept` makes it.

    Attributes:
        code: What came with the callback.
        redirect_uri: The one of the authorization request; None for servers that want none.
        code_verifier: The PKCE code verifier (RFC 7636 §4.5).
        token_endpoint: Where alone the code may be sent; None anywhere.
        extra: What else came with the callback; not sent.
    """

    grant_type = "authorization_code"

    code: str = secret()
    redirect_uri: str | None = None
    code_verifier: str | None = secret(default=None)
    token_endpoint: str | None = None
    extra: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=unprintable, hash=False, repr=names_of
    )

    def __attrs_post_init__(self) -> None:
        """Check the code verifier."""
        if self.code_verifier is not None:
            check_verifier(self.code_verifier)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return code, redirect_uri and code_verifier."""
        return Unprintable(
            code=self.code, redirect_uri=self.redirect_uri, code_verifier=self.code_verifier
        )


@attrs.frozen(kw_only=True)
class RefreshToken(GrantStrategy):
    """Refresh an access token (RFC 6749 §6).

    Attributes:
        scope: A narrower scope than was granted; None asks for the same.
    """

    grant_type = "refresh_token"
    repeat = Repeat.ONCE

    refresh_token: str = secret()
    scope: str | None = attrs.field(default=None, converter=scope_text)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return refresh_token and scope."""
        return Unprintable(refresh_token=self.refresh_token, scope=self.scope)

    def renewal(self, token: Token) -> GrantStrategy | None:
        """Go on with the token's refresh token and the same scope.

        Raises:
            ConfigurationError: The scope is wider than what was granted (RFC 6749 §6).
        """
        if token.refresh_token is None:
            return None
        wider = set((self.scope or "").split()) - set((token.scope or self.scope or "").split())
        if wider:
            message = (
                f"a refresh cannot widen the scope by {' '.join(sorted(wider))!r}: granted was "
                f"{token.scope!r} (RFC 6749 §6); leave scope= out, or log in for the wider one"
            )
            raise ConfigurationError(message)
        return attrs.evolve(self, refresh_token=token.refresh_token)


@attrs.frozen(kw_only=True)
class ResourceOwnerPassword(GrantStrategy):
    """Hand in the resource owner's password, which is legacy (RFC 6749 §4.3).

    RFC 9700 §2.4 says that it must not be used. It is here for servers that know nothing else.
    """

    grant_type = "password"
    repeat = Repeat.ALWAYS

    username: str
    password: str = secret()
    scope: str | None = attrs.field(default=None, converter=scope_text)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return username, password and scope."""
        return Unprintable(username=self.username, password=self.password, scope=self.scope)
