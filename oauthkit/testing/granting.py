"""What every authorization server here does behind its token endpoint (RFC 6749 §4 to §6)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.secret import Unprintable
from oauthkit.testing.checks import Check
from oauthkit.testing.client_check import check_client
from oauthkit.testing.ledger import Family, Ledger, SpentError
from oauthkit.testing.reading import UnreadableError
from oauthkit.testing.settings import Settings, is_within
from oauthkit.testing.token_request import Asked, Dialect, Issued, RefusedError

CODE_LIFE: Final = 60.0
"""Seconds that an authorization code is good."""


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
        username: str | None = None,
    ) -> str:
        """Return an authorization code: its number, and the suffix."""
        code, now = f"code-{len(self._codes) + 1}{suffix}", self.settings.clock.time()
        began = now if authenticated_at is None else authenticated_at
        family = Family(scope, asked=asked or {}, began=began, username=username)
        self._codes[code] = _Code(redirect_uri, challenge, family, now + CODE_LIFE)
        return code

    def issue(
        self, scope: str, *, asked: Mapping[str, str] | None = None, username: str | None = None
    ) -> Issued:
        """Return tokens, as after a login, which asked for this."""
        now = self.settings.clock.time()
        return self._first(Family(scope, asked=asked or {}, began=now, username=username))

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
        if not self.settings.is_registered(asked):
            check_client(self.settings, asked)

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
        if granted and scope and not is_within(scope, granted.scope):
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


def seconds(lifetime: object) -> float:
    """Return how long a token lives, where servers of many kinds say so in many ways."""
    try:
        return float(lifetime)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.inf
