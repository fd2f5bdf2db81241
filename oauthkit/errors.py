"""Every exception of oauthkit.

OAuthKitError                  recovery, retry_after
├── ConfigurationError         (also a ValueError) found before any I/O
├── TransportError             no usable HTTP answer
├── ResponseError              an answer that no document describes
│   ├── CallbackError          state or issuer of a callback does not match
│   └── InvalidJWT             an ID Token or another signed answer is not to be believed
├── ErrorResponse              the server said no, in the words of RFC 6749 §5.2
│   ├── InvalidClient          wake the operator
│   ├── InvalidGrant           this right is spent
│   ├── AccessDenied           the resource owner refused
│   ├── InteractionRequired    a login without a page needs one
│   └── UnmetRequirements      the resource owner cannot authenticate in the way that was asked for
├── ReauthorizationRequired    nothing left to renew with
├── EndpointError              a service function got an answer it cannot use
└── StoreError                 the token store failed
    ├── LeaseLost              a fenced save came too late
    └── LeaseTaken             somebody else holds the lease for too long
"""

import copy
import enum
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

E = TypeVar("E", bound=Exception)

_TEXT_LIMIT: Final = 300
_MESSAGE_LIMIT: Final = 2_000


class Recovery(enum.StrEnum):
    """Say what a caller can do about an error."""

    RETRY_LATER = "retry_later"
    """The same call may succeed later; `OAuthKitError.retry_after` may say when."""
    CHANGE_REQUEST = "change_request"
    """The same call will fail again: a setting, a right or the request must change."""
    REAUTHORIZE = "reauthorize"
    """The resource owner must log in again."""


_RECOVERIES: Final[Mapping[str, Recovery]] = {
    "temporarily_unavailable": Recovery.RETRY_LATER,
    "server_error": Recovery.RETRY_LATER,
    "slow_down": Recovery.RETRY_LATER,
    "authorization_pending": Recovery.RETRY_LATER,
    "expired_token": Recovery.REAUTHORIZE,
    "login_required": Recovery.REAUTHORIZE,
    "interaction_required": Recovery.REAUTHORIZE,
    "consent_required": Recovery.REAUTHORIZE,
    "account_selection_required": Recovery.REAUTHORIZE,
}


class OAuthKitError(Exception):
    """Be the base of all errors raised by oauthkit.

    Attributes:
        recovery: What the caller can do about it.
        retry_after: Seconds to wait before the next try, where that is known.
    """

    recovery: Recovery = Recovery.CHANGE_REQUEST

    def __init__(
        self,
        message: str = "",
        *,
        recovery: Recovery | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take a message without secrets in it."""
        super().__init__(message)
        if recovery is not None:
            self.recovery = recovery
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Give the message on one line, escaped and bounded: a key or a name may stand in it."""
        return printable(super().__str__(), _MESSAGE_LIMIT)


class ConfigurationError(OAuthKitError, ValueError):
    """A setting that cannot work, found before anything was sent."""


class TransportError(OAuthKitError):
    """No usable HTTP answer; the HTTP library's own error is the cause.

    Attributes:
        sent: Whether the server may have seen the request.
        hint: What its reader may try.
    """

    recovery = Recovery.RETRY_LATER
    hint: str | None = None

    def __init__(
        self, message: str = "", *, sent: bool = True, retry_after: float | None = None
    ) -> None:
        """Take a message, and whether the server may have seen the request."""
        super().__init__(message, retry_after=retry_after)
        self.sent = sent

    def __str__(self) -> str:
        """Add the hint, where there is one."""
        return f"{super().__str__()}; {self.hint}" if self.hint else super().__str__()


class ResponseError(OAuthKitError):
    """An answer that no document describes.

    Attributes:
        status_code: The HTTP status, or None where there was none (a callback).
        excerpt: The beginning of the answer, bounded, escaped, its secrets masked.
        url: Which endpoint answered, without its query, where that is known.
        hint: What its reader may try.
    """

    url: str | None = None
    hint: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        excerpt: str = "",
        recovery: Recovery | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take what was expected and what came."""
        super().__init__(message, recovery=recovery, retry_after=retry_after)
        self.status_code = status_code
        self.excerpt = excerpt

    def __str__(self) -> str:
        """Name endpoint and status, and show the excerpt, where there are any."""
        where = f"{self.url}: " if self.url else ""
        hint = f"; {self.hint}" if self.hint else ""
        status = "" if self.status_code is None else f" (HTTP {self.status_code})"
        excerpt = f": {printable(self.excerpt, _MESSAGE_LIMIT)}" if self.excerpt else ""
        return f"{where}{super().__str__()}{hint}{status}{excerpt}"


class CallbackError(ResponseError):
    """A callback that does not belong to the login that was started (RFC 6749 §10.12, RFC 9207)."""

    recovery = Recovery.REAUTHORIZE


class InvalidJWT(ResponseError):  # noqa: N818 - what it is, in the word of RFC 7519
    """An ID Token, Logout Token or another signed answer that is not to be believed.

    Nothing in it may be used. Of a login that is its end: start it again.
    """

    recovery = Recovery.REAUTHORIZE


class ErrorResponse(OAuthKitError):  # noqa: N818 - the RFC's own word
    """The authorization server said no (RFC 6749 §4.1.2.1 and §5.2).

    The texts come from the server: escape them before they meet a page. `str()` of the error is
    escaped for logs and terminals.

    Attributes:
        error: The error code, as it came.
        error_description: What the server says about it.
        error_uri: A page about it.
        status_code: The HTTP status; None where the error came by callback.
        www_authenticate: The answer's `WWW-Authenticate` header values, secrets masked.
        hint: What its reader may try.
    """

    hint: str | None = None

    def __init__(
        self,
        error: str = "",
        error_description: str | None = None,
        error_uri: str | None = None,
        *,
        status_code: int | None = None,
        www_authenticate: Iterable[str] = (),
        recovery: Recovery | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take the members of the answer."""
        recovery = recovery or _RECOVERIES.get(error)
        super().__init__(error, recovery=recovery, retry_after=retry_after)
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri
        self.status_code = status_code
        self.www_authenticate = tuple(www_authenticate)

    def __str__(self) -> str:
        """Give code, description, page and status, escaped and bounded."""
        parts = [printable(self.error)]
        if self.error_description:
            parts.append(f": {printable(self.error_description)}")
        if self.error_uri:
            parts.append(f" <{printable(self.error_uri)}>")
        if self.status_code is not None:
            parts.append(f" (HTTP {self.status_code})")
        if self.hint:
            parts.append(f"; {self.hint}")
        return "".join(parts)


class InvalidClient(ErrorResponse):
    """Client authentication failed: wrong id, secret or method."""


class InvalidGrant(ErrorResponse):
    """The code, refresh token or password is invalid, expired, revoked or already used."""

    recovery = Recovery.REAUTHORIZE


class AccessDenied(ErrorResponse):
    """The resource owner or the authorization server refused."""

    recovery = Recovery.REAUTHORIZE


class InteractionRequired(ErrorResponse):
    """The server must show the resource owner a page: log in again, without `prompt="none"`.

    Its `error` is `login_required`, `interaction_required`, `consent_required` or
    `account_selection_required` (OpenID Connect Core §3.1.2.6).
    """

    recovery = Recovery.REAUTHORIZE


class UnmetRequirements(ErrorResponse):
    """The resource owner cannot be authenticated in the way that the login asked for.

    To log in again in the same way will fail again: ask for less, or tell them what they need, such
    as a second factor (OpenID Connect Core Error Code unmet_authentication_requirements §2).
    """


class ReauthorizationRequired(OAuthKitError):  # noqa: N818 - says what to do, not what failed
    """Nothing is left to renew the token with: send the resource owner to log in."""

    recovery = Recovery.REAUTHORIZE


class EndpointError(OAuthKitError):
    """A service function got a status or a body it cannot use.

    Attributes:
        status_code: The HTTP status.
        excerpt: The beginning of the body, bounded, escaped, its secrets masked.
        required_scope: The scope a 403 `insufficient_scope` asks for (RFC 6750 §3.1).
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        excerpt: str = "",
        required_scope: str | None = None,
        recovery: Recovery | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take what was expected and what came."""
        super().__init__(message, recovery=recovery, retry_after=retry_after)
        self.status_code = status_code
        self.excerpt = excerpt
        self.required_scope = required_scope

    def __str__(self) -> str:
        """Name the status and show the excerpt."""
        excerpt = f": {printable(self.excerpt, _MESSAGE_LIMIT)}" if self.excerpt else ""
        return f"{super().__str__()} (HTTP {self.status_code}){excerpt}"


class StoreError(OAuthKitError):
    """The token store failed, or its lease could not be had in time."""

    recovery = Recovery.RETRY_LATER


class LeaseLost(StoreError):  # noqa: N818 - an expected turn of events, named as what happened
    """A save was refused: another had the lease since, or a login or logout came in between."""


class LeaseTaken(StoreError):  # noqa: N818 - likewise
    """Somebody else held the lease for longer than was waited: it has died, or asks for long.

    A lease ends by itself when its holder dies, after `TokenStore.lease_seconds` at most.
    """


def for_another(error: E, *, retry_after: float | None = None) -> E:
    """Return an error for one more waiter: a shared one would collect everybody's traceback.

    Args:
        error: What all of them wait for came to.
        retry_after: Seconds to wait before the next try, as they are for this one.
    """
    try:
        clone = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception of another's that cannot be copied
        return error
    clone.__cause__ = error.__cause__
    if retry_after is not None and isinstance(clone, OAuthKitError):
        clone.retry_after = retry_after
    return clone


def whereabouts(error: BaseException) -> str:
    """Say what kind of error came from somebody's own code and where, but not its text.

    What a user's own function or class raises may quote the secret that it was given.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    name = printable(type(error).__name__)
    if last is None:
        return name
    code = last.tb_frame.f_code
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name} ({file}, line {last.tb_lineno}, in {code.co_name})"


def printable(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Return untrusted text on one line, bounded, without control or direction characters.

    Args:
        text: What came from outside.
        limit: How many characters of it are shown, before the mark that something was cut.
    """
    shown = "".join(
        character
        if unicodedata.category(character)[0] != "C" and character not in "\u2028\u2029"
        else character.encode("ascii", "backslashreplace").decode()
        if not character.isascii()
        else f"\\x{ord(character):02x}"
        for character in text[:limit]
    )
    return shown if len(text) <= limit else f"{shown}…"
