"""By what right: the grants (RFC 6749 §1.3), and how to write one's own."""

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.formats import ParameterValue, RequestFormat
from oauthkit.protocol.messages import shown_url
from oauthkit.protocol.pkce import check_verifier
from oauthkit.protocol.secret import (
    NoPickle,
    Unprintable,
    check_given,
    names_of,
    secret,
    unprintable,
)
from oauthkit.protocol.server import AuthorizationServer
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

    Only the space separates. A line break, a tab or a space that does not break is refused: it came
    from a file or a page, and two readers would take it for two things.

    Raises:
        ConfigurationError: A scope token has a character that none may have.
    """
    if scope is None:
        return None
    tokens = list(filter(None, scope.split(" "))) if isinstance(scope, str) else list(scope)
    for token in tokens:
        if not isinstance(cast("object", token), str) or not _SCOPE_TOKEN.fullmatch(token):
            message = (
                f"the scope token {token!r} is empty, or has white space, a quote, a "
                "backslash or a character outside ASCII, which RFC 6749 §3.3 does not allow; "
                "tokens are separated by a space, or come as a list"
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
        refresh_additional: Further parameters of the refreshes that follow, in place of
            `additional`; `{}` sends none, where those are for the first request alone.
    """

    grant_type: ClassVar[str]
    repeat: ClassVar[Repeat] = Repeat.NEVER
    for_client: ClassVar[bool] = False

    request_format: RequestFormat | None = None
    additional: Mapping[str, ParameterValue] = attrs.field(
        factory=dict[str, ParameterValue], converter=unprintable, hash=False, repr=names_of
    )
    refresh_additional: Mapping[str, ParameterValue] | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(unprintable),
        hash=False,
        repr=False,
    )

    @abstractmethod
    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return the request's parameters, without `grant_type`; None leaves one out."""

    @property
    def presents(self) -> str | None:
        """The refresh token that the request presents (RFC 6749 §6); None where it presents none.

        The default is the parameter `refresh_token`.
        """
        return _text(self.parameters().get("refresh_token"))

    @property
    def good_once(self) -> str | None:
        """What the request presents and the server takes once; None where nothing is such.

        This process sends it once, whoever brings it, and an error after it was sent asks for a new
        login. The default is the parameter `code` of a grant that is never repeated (RFC 6749
        §4.1.2).
        """
        return _text(self.parameters().get("code")) if self.repeat is Repeat.NEVER else None

    @property
    def requested_scope(self) -> str | None:
        """The scope that is asked for; None leaves it to the server (RFC 6749 §3.3).

        The default is the parameter `scope`.
        """
        return _text(self.parameters().get("scope"))

    @property
    def bound_to(self) -> str | None:
        """The token endpoint that alone may be asked; None where any may (RFC 9700 §4.4)."""
        return None

    @property
    def bound_to_issuer(self) -> str | None:
        """The issuer identifier of who alone may be asked; None where any may (RFC 9700 §4.4)."""
        return None

    @property
    def bound_to_client(self) -> str | None:
        """The client_id of who alone may ask; None where any may (RFC 6749 §4.1.3)."""
        return None

    async def prepared(
        self, server: AuthorizationServer, *, client_id: str, now: float
    ) -> "GrantStrategy":
        """Return the grant with all that its request presents; it is awaited for every try anew.

        A grant whose values have to be asked for or signed first returns a copy of itself that has
        them, such as `attrs.evolve(self, assertion=…)`; the default is the grant itself. What a
        renewal is decided by (`repeat`, `presents`, `renewal`) is asked of the grant as it was
        given. A try that waits here too long is not sent. Nor is one for which this raises: an
        `OAuthKitError` or an `OSError` becomes a `TransportError`, with the `recovery` that it
        had; a `ConfigurationError` and all else stays as it is.

        Args:
            server: Who is asked.
            client_id: Who asks.
            now: Seconds since the epoch, by the session's clock.
        """
        return self

    def objection(self, token: Token) -> str | None:
        """Return why a token is not what was asked for; None, the default, where nothing is wrong.

        Args:
            token: What the server gave.
        """
        return None

    def carried_over(self, previous: Token | None) -> Token | None:
        """Return the token whose members go on where the answer is silent; None where nothing does.

        The default is that of RFC 6749 §6: after a refresh the refresh token goes on, and with it
        its end, the scope and the ID Token.

        Args:
            previous: The token that is to be replaced.
        """
        presented = self.presents
        if presented is None:
            return None
        if previous is not None and previous.refresh_token == presented:
            return previous
        return Token("", refresh_token=presented)

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
            additional=self._with_refresh(),
        )

    def _with_refresh(self) -> Mapping[str, ParameterValue]:
        return self.additional if self.refresh_additional is None else self.refresh_additional


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
        issuer: Who alone may be sent it, by its issuer identifier; None anybody.
        client_id: Who alone may exchange it; None anybody.
        scope: What the login asked for, which is granted where the answer does not say (§5.1); not
            sent.
        extra: What else came with the callback; not sent.
    """

    grant_type = "authorization_code"

    code: str = secret()
    redirect_uri: str | None = None
    code_verifier: str | None = secret(default=None)
    token_endpoint: str | None = attrs.field(default=None, repr=shown_url)
    # Whose the code is, and not what is presented: a code is the same, whoever says so.
    issuer: str | None = attrs.field(default=None, eq=False)
    client_id: str | None = attrs.field(default=None, eq=False)
    scope: str | None = attrs.field(default=None, eq=False)
    extra: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=unprintable, hash=False, repr=names_of
    )

    def __attrs_post_init__(self) -> None:
        """Check the code and the code verifier."""
        check_given(code=self.code)
        if self.code_verifier is not None:
            check_verifier(self.code_verifier)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return code, redirect_uri and code_verifier."""
        return Unprintable(
            code=self.code, redirect_uri=self.redirect_uri, code_verifier=self.code_verifier
        )

    @property
    def requested_scope(self) -> str | None:
        """The scope of the login."""
        return self.scope

    @property
    def bound_to(self) -> str | None:
        """The token endpoint of the login, or None."""
        return self.token_endpoint

    @property
    def bound_to_issuer(self) -> str | None:
        """The issuer of the login, or None."""
        return self.issuer

    @property
    def bound_to_client(self) -> str | None:
        """The client of the login, or None."""
        return self.client_id


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

    def __attrs_post_init__(self) -> None:
        """Check the refresh token."""
        check_given(refresh_token=self.refresh_token)

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
        return attrs.evolve(
            self, refresh_token=token.refresh_token, additional=self._with_refresh()
        )


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

    def __attrs_post_init__(self) -> None:
        """Check username and password."""
        check_given(username=self.username, password=self.password)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return username, password and scope."""
        return Unprintable(username=self.username, password=self.password, scope=self.scope)


def _text(value: ParameterValue) -> str | None:
    return value if isinstance(value, str) and value else None
