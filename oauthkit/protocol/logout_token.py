"""What a Logout Token says, and when it is to be believed (OpenID Back-Channel Logout 1.0 §2.4)."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeGuard

import attrs

from oauthkit.errors import InvalidJWT, printable
from oauthkit.protocol.compact import SignedToken
from oauthkit.protocol.id_token import (
    LOGOUT_EVENT,
    Expected,
    check_audience,
    check_issuer,
    check_times,
    number,
    read_claims,
)

_TYPES: Final = frozenset({None, "jwt", "logout+jwt"})
"""`jwt` is none that the document has; servers from before it named its own send that."""


@attrs.frozen(kw_only=True)
class LogoutToken:
    """Say whose visits are over: a Logout Token that was verified.

    Attributes:
        issuer: Who says so.
        subject: Whose visits are over; None where it names one session alone.
        session_id: Which session of the server is over (`sid`); None means all of the subject's.
        token_id: By which it is known again (`jti`).
        expires_at: Until when it may come, in seconds since the epoch.
    """

    issuer: str
    subject: str | None
    session_id: str | None
    token_id: str
    expires_at: float

    @property
    def once_id(self) -> str:
        """What names it where it is remembered that it came (`SingleUseStore`)."""
        return f"logout\0{self.issuer}\0{self.token_id}"


def check_logout_token(token: SignedToken, expected: Expected, *, now: float) -> LogoutToken:
    """Return what a Logout Token says, if all of it is as it has to be (§2.6).

    Args:
        token: The Logout Token, its signature looked at.
        expected: Who may have issued it, and for whom.
        now: Seconds since the epoch.

    Raises:
        InvalidJWT: Something is not; the message says what was expected and what came.
    """
    if token.type not in _TYPES:
        _refuse(f"it is another kind of token: its typ is {printable(str(token.type))!r}")
    claims = read_claims(token)
    issuer = check_issuer(claims, expected)
    check_audience(claims, expected.client_id)
    check_times(claims, now=now, leeway=expected.leeway)
    events = claims.get("events")
    if not _is_object(events) or not _is_object(events.get(LOGOUT_EVENT)):
        _refuse(f"its events have no object {LOGOUT_EVENT}")
    if "nonce" in claims:
        _refuse("it has a nonce, which is an ID Token's")
    subject, session_id, token_id = (_text(claims, name) for name in ("sub", "sid", "jti"))
    if subject is None and session_id is None:
        _refuse("it names neither a subject nor a session (sub, sid)")
    if token_id is None:
        _refuse("it has no jti")
    return LogoutToken(
        issuer=issuer,
        subject=subject,
        session_id=session_id,
        token_id=token_id,
        expires_at=number(claims, "exp"),
    )


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        _refuse(f"its {name} must be a text that is not empty")
    return value


def _is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _refuse(reason: str) -> NoReturn:
    raise InvalidJWT(reason)
