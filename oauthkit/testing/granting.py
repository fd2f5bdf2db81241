"""What every authorization server here does behind its token endpoint (RFC 6749 §4 to §6)."""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import attrs

from oauthkit.clock import Clock
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import Unprintable, secret
from oauthkit.testing.checks import Check
from oauthkit.testing.clock import advance, clock_or_own
from oauthkit.testing.ledger import Family, Ledger, SpentError
from oauthkit.testing.reading import UnreadableError, code_challenge

CODE_LIFE: Final = 60.0
"""Seconds that an authorization code is good."""

_BY_CERTIFICATE: Final = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
_SHOWN: Final[Mapping[str, frozenset[str]]] = {
    "client_secret_basic": frozenset({"client_secret_basic"}),
    "client_secret_post": frozenset({"client_secret_post"}),
    "client_assertion": frozenset({"client_secret_jwt", "private_key_jwt"}),
    "none": _BY_CERTIFICATE | {"none"},
}
"""What a request shows of how a client is known, and the methods that show that."""


@attrs.define(kw_only=True, eq=False)
class Settings:
    """Who may log in, for what, and for how long; see `FakeAuthorizationServer`."""

    expires_in: Any
    refresh_expires_in: float | None
    rotate: bool = True
    detect_reuse: bool = True
    grace: float = 0.0
    client_id: str = "client"
    client_secret: str | None = secret(default="secret")
    username: str = "ada"
    password: str = secret(default="lovelace")
    scope: str = "read"
    allowed_scope: str | None = None
    auth_method: str | None = None
    client_jwks: Mapping[str, Any] | None = None
    token_type: str | None = "Bearer"
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], converter=Unprintable)
    clock: Clock = attrs.field(
        default=None, converter=clock_or_own, on_setattr=attrs.setters.frozen
    )

    def advance(self, seconds: float) -> None:
        """Let time pass on this server's clock.

        A session of the application's own has a clock of its own, which does not move; give it
        this one: `AsyncTokenSession(…, clock=fake.clock)`.

        Raises:
            ConfigurationError: The clock is not a `FakeClock`.
        """
        advance(self.clock, seconds)

    @property
    def confidential(self) -> bool:
        """Whether the client has something to prove who it is."""
        proofs = (self.client_secret, self.client_jwks)
        return proofs != (None, None) or self.auth_method in _BY_CERTIFICATE

    def fault_of_assertion(self, parameters: Mapping[str, object]) -> str | None:
        """Return what is wrong with a client's assertion: as a rule, that there is one."""
        return "no client_assertion is taken here"

    def said_of(self, family: Family, access_token: str) -> Mapping[str, Any]:
        """Return what an answer says beside the tokens: nothing, as a rule."""
        return {}

    def is_registered(self, asked: "Asked") -> bool:
        """Tell whether a client that was registered here proves who it is."""
        return False

    def allows(self, scope: str) -> bool:
        """Tell whether all of a scope may be granted."""
        return self.allowed_scope is None or _within(scope, self.allowed_scope)


@attrs.frozen(kw_only=True)
class Asked:
    """A token request, as it was read.

    Attributes:
        parameters: What came in the body.
        credentials: How the client's name and secret in the header can be read, if they came there.
        public: Whether the client may leave its secret out.
        known_owner: Whether the resource owner is known without a password.
        challenge: The PKCE challenge that the request proves to know.
    """

    parameters: Mapping[str, object] = attrs.field(repr=False)
    credentials: frozenset[tuple[str, str]] | None = attrs.field(default=None, repr=False)
    public: bool = False
    known_owner: bool = False
    challenge: str | None = attrs.field(
        default=attrs.Factory(
            lambda self: code_challenge(self.parameters.get("code_verifier")), takes_self=True
        ),
        repr=False,
    )

    @property
    def anonymous(self) -> bool:
        """Whether nothing is said of the client."""
        named = {"client_id", "client_secret", "client_assertion"} & self.parameters.keys()
        return self.credentials is None and not named

    def text(self, name: str) -> str:
        """Return a parameter that must be there.

        Raises:
            RefusedError: It is not, or is no text.
        """
        value = self.parameters.get(name)
        if not isinstance(value, str):
            message = f"{name} is {'missing' if value is None else 'not a text'}"
            raise RefusedError(message, error="invalid_request")
        return value


@attrs.frozen(kw_only=True)
class Issued:
    """Tokens, before a dialect writes them down.

    Attributes:
        expires_in: The lifetime as it is to be said; None where it is not.
        expires_at: When the access token expires, in seconds since the epoch.
        refresh_expires_in: The same of the refresh token, if there is one.
        extra: Further members of the answer.
    """

    access_token: str = attrs.field(repr=False)
    token_type: str | None
    expires_in: Any
    expires_at: float
    refresh_token: str | None = attrs.field(repr=False)
    refresh_expires_in: float | None
    scope: str
    extra: Mapping[str, Any] = attrs.field(repr=False)


class RefusedError(Exception):
    """The token endpoint refuses, in the words of RFC 6749 §5.2, before a dialect says so.

    Attributes:
        error: The name.
        description: What is wrong.
        status: What RFC 6749 §5.2 answers with.
    """

    def __init__(
        self,
        description: str,
        *,
        error: str = "invalid_grant",
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    ) -> None:
        """Say why."""
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = HTTPStatus.UNAUTHORIZED if self.of_client else status

    @property
    def of_client(self) -> bool:
        """Whether the client is not known, rather than its right no good."""
        return self.error == "invalid_client"


@attrs.frozen(kw_only=True)
class Dialect:
    """How one authorization server reads token requests, and writes its answers.

    Attributes:
        name: What it is called.
        read: Reads a request; what is not as it should be is a violation, or raises.
        write: Writes tokens down.
        refuse: Says no.
    """

    name: str
    read: Callable[[Check], Asked] = attrs.field(repr=False)
    write: Callable[[Issued, HTTPRequest], HTTPResponse] = attrs.field(repr=False)
    refuse: Callable[[RefusedError, HTTPRequest], HTTPResponse] = attrs.field(repr=False)


@attrs.frozen
class FurtherGrant:
    """A grant beyond those of RFC 6749.

    Attributes:
        issue: Gives tokens, or raises `RefusedError`.
        anonymous: Whether a client may say nothing of itself.
    """

    issue: "Callable[[Desk, Asked], Issued]" = attrs.field(repr=False)
    anonymous: bool = False


@attrs.define(eq=False)
class _Code:
    redirect_uri: str
    challenge: str | None
    family: Family
    expires_at: float
    spent: bool = False


@attrs.define(eq=False)
class Desk:
    """Grant the tokens of one authorization server.

    Attributes:
        further: Grants beyond those of RFC 6749, by their `grant_type`.
        names: What an assertion may call this server (RFC 7523 §3).
    """

    settings: Settings
    dialect: Dialect
    further: "Mapping[str, FurtherGrant]" = attrs.field(factory=dict[str, "FurtherGrant"])
    names: Callable[[], frozenset[str]] = frozenset[str]
    ledger: Ledger = attrs.field(init=False)
    _codes: dict[str, _Code] = attrs.field(factory=dict[str, _Code], init=False, repr=False)
    _assertions: set[str] = attrs.field(factory=set[str], init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Open the ledger."""
        self.ledger = Ledger(self.settings.clock)

    def issue_code(
        self,
        redirect_uri: str,
        challenge: str | None,
        scope: str,
        *,
        suffix: str = "",
        asked: Mapping[str, str] | None = None,
        authenticated_at: float | None = None,
    ) -> str:
        """Return an authorization code: its number, and the suffix."""
        code, now = f"code-{len(self._codes) + 1}{suffix}", self.settings.clock.time()
        began = now if authenticated_at is None else authenticated_at
        family = Family(scope, asked=asked or {}, began=began)
        self._codes[code] = _Code(redirect_uri, challenge, family, now + CODE_LIFE)
        return code

    def issue(self, scope: str, *, asked: Mapping[str, str] | None = None) -> Issued:
        """Return tokens, as after a login, which asked for this."""
        return self._first(Family(scope, asked=asked or {}, began=self.settings.clock.time()))

    def answer(self, check: Check) -> HTTPResponse:
        """Return the answer to a token request, whose violations are in `check` then."""
        try:
            return self.dialect.write(self._issue(self._read(check)), check.request)
        except RefusedError as refusal:
            return self.dialect.refuse(refusal, check.request)

    def _read(self, check: Check) -> Asked:
        try:
            asked = self.dialect.read(check)
        except UnreadableError as error:
            raise RefusedError(str(error), error="invalid_request") from error
        if check.violations:
            raise RefusedError("; ".join(check.violations), error="invalid_request")
        return asked

    def _issue(self, asked: Asked) -> Issued:
        further = self.further.get(str(asked.parameters.get("grant_type")))
        if further is None or not (further.anonymous and asked.anonymous):
            self.authenticate(asked)
        if further is not None:
            return further.issue(self, asked)
        match asked.text("grant_type"):
            case "client_credentials":
                return self._client_credentials(asked)
            case "authorization_code":
                return self._first(self._exchanged(asked))
            case "refresh_token":
                return self._refreshed(asked)
            case "password":
                self._check_password(asked)
                return self._first(Family(self._scope(asked)))
            case _:
                message = "this grant_type is not supported"
                raise RefusedError(message, error="unsupported_grant_type")

    def authenticate(self, asked: Asked) -> None:
        """Let the client in that is registered.

        Raises:
            RefusedError: It is another one, or one that does not prove who it is.
        """
        settings, came = self.settings, _way(asked)
        if settings.is_registered(asked):
            return
        if settings.auth_method not in {None, *_SHOWN[came]}:
            fault: str | None = f"this client is known by {settings.auth_method}"
        elif came == "client_assertion":
            fault = settings.fault_of_assertion(asked.parameters)
        elif settings.auth_method in _BY_CERTIFICATE:
            fault = _unless(asked.parameters.get("client_id") == settings.client_id)
        else:
            fault = _unless(_knows_secret(settings, asked))
        if fault is not None:
            raise RefusedError(fault, error="invalid_client")

    def _client_credentials(self, asked: Asked) -> Issued:
        if not self.settings.confidential:
            message = "client credentials are for confidential clients (RFC 6749 §4.4)"
            raise RefusedError(message, error="unauthorized_client")
        return self._issued(Family(self._scope(asked)), None)

    def _exchanged(self, asked: Asked) -> Family:
        code = self._codes.get(asked.text("code"))
        if code is None or code.spent or self.settings.clock.time() >= code.expires_at:
            if code is not None:
                code.family.alive = False  # RFC 6749 §4.1.2
            message = "the code is unknown, expired or spent"
            raise RefusedError(message)
        if asked.parameters.get("redirect_uri") != code.redirect_uri:
            message = "the redirect_uri is not that of the login"
            raise RefusedError(message)
        if asked.challenge != code.challenge:
            message = "the code_verifier does not fit the code_challenge (RFC 7636 §4.6)"
            raise RefusedError(message)
        code.spent = True
        return code.family

    def _refreshed(self, asked: Asked) -> Issued:
        presented, settings = asked.text("refresh_token"), self.settings
        granted = self.ledger.family_of(presented)
        scope = asked.text("scope") if asked.parameters.get("scope") else None
        if granted and scope and not _within(scope, granted.scope):
            message = "a refresh cannot widen the scope (RFC 6749 §6)"
            raise RefusedError(message, error="invalid_scope")
        try:
            family, successor = self.ledger.exchange(
                presented,
                rotate=settings.rotate,
                grace=settings.grace,
                detect_reuse=settings.detect_reuse,
                life=seconds(settings.refresh_expires_in),
            )
        except SpentError:
            message = "the refresh token is not good any more"
            raise RefusedError(message) from None
        return self._issued(family, successor, scope=scope)

    def _check_password(self, asked: Asked) -> None:
        if asked.known_owner:
            return
        came = asked.text("username"), asked.text("password")
        if came != (self.settings.username, self.settings.password):
            message = "the username or the password is wrong"
            raise RefusedError(message)

    def take_once(self, assertion: str) -> bool:
        """Tell whether an assertion comes for the first time."""
        known = assertion in self._assertions
        self._assertions.add(assertion)
        return not known

    def granted(
        self, asked: Asked, *, extra: Mapping[str, Any], token_type: str | None = None
    ) -> Issued:
        """Return an access token for the scope that was asked for, and no refresh token.

        Args:
            asked: The request.
            extra: Further members of the answer.
            token_type: What the answer says; None is the server's own.

        Raises:
            RefusedError: The scope is not granted.
        """
        issued = self._issued(Family(self._scope(asked)), None)
        return attrs.evolve(
            issued,
            token_type=token_type or issued.token_type,
            extra=Unprintable({**extra, **issued.extra}),
        )

    def _scope(self, asked: Asked) -> str:
        scope = asked.text("scope") if asked.parameters.get("scope") else self.settings.scope
        if not self.settings.allows(scope):
            message = f"this scope is not granted, {self.settings.allowed_scope} is"
            raise RefusedError(message, error="invalid_scope")
        return scope

    def _first(self, family: Family) -> Issued:
        life = seconds(self.settings.refresh_expires_in)
        return self._issued(family, self.ledger.refresh_token(family, life=life))

    def _issued(
        self, family: Family, refresh_token: str | None, *, scope: str | None = None
    ) -> Issued:
        settings, life = self.settings, seconds(self.settings.expires_in)
        access_token = self.ledger.access_token(family, life=life)
        return Issued(
            access_token=access_token,
            token_type=settings.token_type,
            expires_in=settings.expires_in,
            expires_at=settings.clock.time() + life,
            refresh_token=refresh_token,
            refresh_expires_in=None if refresh_token is None else settings.refresh_expires_in,
            scope=scope or family.scope,
            extra={**settings.said_of(family, access_token), **settings.extra},
        )


def _way(asked: Asked) -> str:
    """Return how a client shows who it is.

    Raises:
        RefusedError: It does so in more than one way.
    """
    came = {
        "client_secret_basic": asked.credentials,
        "client_secret_post": asked.parameters.get("client_secret"),
        "client_assertion": asked.parameters.get("client_assertion"),
    }
    ways = [way for way, shown in came.items() if shown is not None]
    if len(ways) > 1:
        message = "a client authenticates in one way, not in two (RFC 6749 §2.3)"
        raise RefusedError(message, error="invalid_request")
    return ways[0] if ways else "none"


def _knows_secret(settings: Settings, asked: Asked) -> bool:
    client_id, client_secret = settings.client_id, settings.client_secret
    named = asked.parameters.get("client_id"), asked.parameters.get("client_secret")
    if asked.credentials is None:
        public = asked.public and named in {(None, None), (client_id, None)}
        return public or named == (client_id, client_secret)
    good = (client_id, client_secret or "") in asked.credentials
    return good and named[0] in {None, client_id}


def _unless(known: bool) -> str | None:  # noqa: FBT001 - the one thing that it is told
    return None if known else "client authentication failed"


def seconds(lifetime: object) -> float:
    """Return how long a token lives, where servers of many kinds say so in many ways."""
    try:
        return float(lifetime)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.inf


def _within(scope: str, wider: str) -> bool:
    return set(scope.split()) <= set(wider.split())
