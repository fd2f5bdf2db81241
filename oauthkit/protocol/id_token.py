"""What an ID Token says, and when it is to be believed (OpenID Connect Core 1.0 §2, §3.1.3.7).

Nothing here looks at a signature: that was done before, by `oauthkit.operations.id_token`.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast

import attrs

from oauthkit.errors import ConfigurationError, InvalidJWT, printable
from oauthkit.protocol.compact import SignedToken, read_signed
from oauthkit.protocol.keys import ALGORITHMS
from oauthkit.protocol.secret import NoPickle, names_of, secret, unprintable

LEEWAY: Final = 30.0
"""Seconds by which two clocks may differ."""
_LONGEST_LEEWAY: Final = 600.0
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_LONGEST_SUBJECT: Final = 255
_END_OF_TIME: Final = 1e11
"""Seconds since the epoch; a whole number may be longer than a float can be, and what never ends
can be remembered by no store."""
_TYPES: Final = frozenset({None, "jwt"})


@attrs.frozen(kw_only=True)
class Identity(NoPickle):
    """Say who has logged in: an ID Token that was verified.

    `issuer` and `subject` together name somebody for ever; a mail address does not (§5.7).

    Attributes:
        issuer: Who says so (`iss`).
        subject: Who it is, to this issuer (`sub`).
        claims: All that the ID Token says.
        expires_at: Until when it may be believed, in seconds since the epoch (`exp`). That is no
            end of a visit to the application.
        auth_time: When the person authenticated, in seconds since the epoch, where it says.
        acr: How (Authentication Context Class), where it says.
        amr: By which methods, where it says.
        authorized_party: To which client it was issued (`azp`), where it says.
    """

    issuer: str
    subject: str
    claims: Mapping[str, Any] = attrs.field(converter=unprintable, hash=False, repr=names_of)
    expires_at: float
    auth_time: float | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    authorized_party: str | None = None


@attrs.frozen(kw_only=True)
class Expected(NoPickle):
    """Say what an ID Token has to be.

    Attributes:
        is_issuer: Tells whether an `iss` is that of the server which was asked.
        issuer: What an error calls that server.
        client_id: For whom it has to be.
        nonce: The one of the login; None where the login had none.
        max_age: Seconds since the authentication at most, where the login asked for that.
        acr_values: One of these is needed, and where there are none of them, any; None where the
            login did not ask for it as essential.
        access_token: The one that came with it, for `at_hash`.
        follows: The identity that it must go on with, after a refresh (§12.2).
        leeway: Seconds by which two clocks may differ.
    """

    is_issuer: Callable[[str], bool]
    issuer: str
    client_id: str
    nonce: str | None = secret(default=None)
    max_age: float | None = None
    acr_values: frozenset[str] | None = None
    access_token: str | None = secret(default=None)
    follows: Identity | None = None
    leeway: float = LEEWAY

    def __attrs_post_init__(self) -> None:
        """Refuse seconds by which anything would be good."""
        check_leeway(self.leeway)
        if self.max_age is not None and not self.max_age >= 0:
            message = f"max_age= must be 0 seconds or more, not {self.max_age}"
            raise ConfigurationError(message)


def check_leeway(leeway: float) -> None:
    """Refuse seconds by which no two clocks differ.

    Raises:
        ConfigurationError: They are such.
    """
    if not 0 <= leeway <= _LONGEST_LEEWAY:
        message = f"leeway= must be from 0 to {_LONGEST_LEEWAY:g} seconds, not {leeway}"
        raise ConfigurationError(message)


def check_id_token(token: SignedToken, expected: Expected, *, now: float) -> Identity:
    """Return who an ID Token says has logged in, if all of it is as it has to be (§3.1.3.7).

    Args:
        token: The ID Token, its signature looked at.
        expected: What it has to be.
        now: Seconds since the epoch.

    Raises:
        InvalidJWT: Something is not; the message says what was expected and what came.
    """
    if token.type not in _TYPES:
        _refuse(f"it is another kind of token: its typ is {printable(str(token.type))!r}")
    claims = read_claims(token)
    if LOGOUT_EVENT in _object(claims, "events"):
        _refuse("it is a Logout Token")
    issuer, subject = check_issuer(claims, expected), _subject(claims)
    check_audience(claims, expected.client_id)
    check_times(claims, now=now, leeway=expected.leeway)
    _check_nonce(claims, expected)
    auth_time = _check_authentication(claims, expected, now)
    _check_at_hash(claims, token.algorithm, expected.access_token)
    identity = Identity(
        issuer=issuer,
        subject=subject,
        claims=claims,
        expires_at=number(claims, "exp"),
        auth_time=auth_time,
        acr=_optional_text(claims, "acr"),
        amr=_texts(claims.get("amr")),
        authorized_party=_optional_text(claims, "azp"),
    )
    if expected.follows is not None:
        _check_goes_on(identity, expected.follows)
    return identity


def read_claims(token: SignedToken) -> Mapping[str, Any]:
    """Return the claims of a token.

    Raises:
        InvalidJWT: They are no JSON object.
    """
    reason = ""
    try:
        return token.claims()
    except ValueError as error:
        reason = str(error)
    raise InvalidJWT(reason)


def check_issuer(claims: Mapping[str, Any], expected: Expected) -> str:
    """Return the issuer, if it is the one that was asked.

    Raises:
        InvalidJWT: It is not.
    """
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not expected.is_issuer(issuer):
        came = printable(issuer) if isinstance(issuer, str) else "none"
        _refuse(f"its issuer (iss) is {came!r}, and {expected.issuer!r} was asked")
    return issuer


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        _refuse(f"its sub must be a text of 1 to {_LONGEST_SUBJECT} characters")
    return subject


def check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """Refuse what is for another client, or for others too.

    Raises:
        InvalidJWT: It is.
    """
    audience = claims.get("aud")
    listed = cast("list[object]", audience) if isinstance(audience, list) else [audience]
    if client_id not in listed:
        _refuse(f"its audience (aud) is not the client {client_id!r}")
    if any(other != client_id for other in listed):
        _refuse(f"its audience (aud) has others beside the client {client_id!r}")
    if claims.get("azp", client_id) != client_id:
        _refuse(f"it was issued to another client (azp) than {client_id!r}")


def check_times(claims: Mapping[str, Any], *, now: float, leeway: float) -> None:
    """Refuse what has ended, or has not begun.

    Raises:
        InvalidJWT: It is so, or the moments are missing.
    """
    ends, began = number(claims, "exp"), number(claims, "iat")
    if now >= ends + leeway:
        _refuse(f"it has ended {now - ends:.0f} s ago (exp); is this machine's clock right?")
    if began > now + leeway:
        _refuse(f"it was issued {began - now:.0f} s ahead (iat); is this machine's clock right?")
    if claims.get("nbf") is not None and number(claims, "nbf") > now + leeway:
        _refuse("it is not good yet (nbf); is this machine's clock right?")


def number(claims: Mapping[str, Any], name: str) -> float:
    """Return a claim that is a moment, in seconds since the epoch (RFC 7519 §2, NumericDate).

    Raises:
        InvalidJWT: It is missing, or no number.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"its {name} must be a number of seconds, and it is {_given(value)}")
    return float(min(max(value, -_END_OF_TIME), _END_OF_TIME))


def _check_nonce(claims: Mapping[str, Any], expected: Expected) -> None:
    came = claims.get("nonce")
    if expected.follows is not None:
        first = expected.follows.claims.get("nonce")
        if came is not None and came != first:
            _refuse("its nonce is not that of the login (§12.2)")
    elif expected.nonce is None:
        if came is not None:
            _refuse("it has a nonce, and the login had none; give nonce= of the login")
    elif not isinstance(came, str) or not hmac.compare_digest(
        came.encode(errors="replace"), expected.nonce.encode(errors="replace")
    ):
        _refuse(f"its nonce is {'missing' if came is None else 'another'} than that of this login")


def _check_authentication(
    claims: Mapping[str, Any], expected: Expected, now: float
) -> float | None:
    """Return when the person authenticated, where it says."""
    auth_time = None if claims.get("auth_time") is None else number(claims, "auth_time")
    if expected.max_age is not None:
        if auth_time is None:
            _refuse("it does not say when the person authenticated, and max_age was asked for")
        elif now - auth_time > expected.max_age + expected.leeway:
            _refuse(
                f"the person authenticated {now - auth_time:.0f} s ago, and max_age was "
                f"{expected.max_age:g} s"
            )
    if expected.acr_values is not None:
        acr = _optional_text(claims, "acr")
        if acr is None or (expected.acr_values and acr not in expected.acr_values):
            _refuse("its acr is missing, or none of those that were asked for as essential")
    return auth_time


def _check_at_hash(claims: Mapping[str, Any], algorithm: str, access_token: str | None) -> None:
    """Refuse an ID Token that came with another access token (§3.1.3.6, §3.1.3.8)."""
    came = claims.get("at_hash")
    if came is None or access_token is None:
        return
    digest = hashlib.new(ALGORITHMS[algorithm].hash, access_token.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(came, str) or not hmac.compare_digest(came.encode(errors="replace"), half):
        _refuse("its at_hash is not that of the access token that came with it")


def _check_goes_on(identity: Identity, first: Identity) -> None:
    """Refuse a refreshed ID Token of somebody else (§12.2)."""
    for name, came, was in (
        ("iss", identity.issuer, first.issuer),
        ("sub", identity.subject, first.subject),
        ("aud", _audience(identity.claims), _audience(first.claims)),
    ):
        if came != was:
            _refuse(f"its {name} is another than that of the first ID Token (§12.2)")
    if None not in {identity.auth_time, first.auth_time} and identity.auth_time != first.auth_time:
        _refuse("its auth_time is another than that of the first ID Token (§12.2)")
    if number(identity.claims, "iat") < number(first.claims, "iat"):
        _refuse("it was issued before the first ID Token (iat), and so it is not a newer one")


def check_same_person(before: str, after: str) -> None:
    """Refuse an ID Token that came with a refresh and is of somebody else (§12.2).

    Neither signature is looked at: what came from the token endpoint itself is compared with what
    came from there before, so that the tokens of one person never go on as those of another. What
    cannot be read, as what is encrypted, is not compared.

    Args:
        before: The ID Token of the login, or of the refresh before.
        after: The one that came.

    Raises:
        InvalidJWT: It has another issuer, subject, audience or time of authentication.
    """
    try:
        was, came = read_signed(before).claims(), read_signed(after).claims()
    except ValueError:
        return
    names = [name for name in ("iss", "sub") if came.get(name) != was.get(name)]
    if _audience(came) != _audience(was):
        names.append("aud")
    times = was.get("auth_time"), came.get("auth_time")
    if None not in times and times[0] != times[1]:
        names.append("auth_time")
    if names:
        _refuse(
            f"the ID Token that came with a refresh has another {', '.join(names)} than the one "
            "before (OpenID Connect Core 1.0 §12.2); the tokens are not used, for they may be "
            "somebody else's"
        )


def _audience(claims: Mapping[str, Any]) -> frozenset[str]:
    audience = claims.get("aud")
    return frozenset([audience] if isinstance(audience, str) else _texts(audience))


def _optional_text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(text for text in listed if isinstance(text, str))


def _object(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _given(value: object) -> str:
    return "missing" if value is None else f"of the type {type(value).__name__}"


def _refuse(reason: str) -> NoReturn:
    raise InvalidJWT(reason)
