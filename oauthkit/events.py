"""What happened, for logs, metrics and traces; no event holds a secret."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs

from oauthkit.errors import OAuthKitError, printable, whereabouts
from oauthkit.labels import LOGGER, log_fields


def told(error: Exception) -> str:
    """Return the text of our own error; of a user's own, which may hold anything, its kind."""
    if isinstance(error, OAuthKitError):
        with suppress(Exception):  # a user's class of it may not even be able to show itself
            return repr(error)
    return f"<{whereabouts(error)}>"


@attrs.frozen(kw_only=True)
class Event:
    """Be the base of all events.

    Attributes:
        key: The store key of the token.
    """

    key: str


@attrs.frozen(kw_only=True)
class TokenRenewed(Event):
    """A token was fetched and saved.

    Attributes:
        grant_type: By what right.
        seconds: How long it took, retries included.
        expires_at: When the token expires, in seconds since the epoch; None is unknown.
        requested_scope: What was asked for; None is the server's choice.
        scope: What was granted; compare it (RFC 6749 §3.3).
    """

    grant_type: str
    seconds: float
    expires_at: float | None
    requested_scope: str | None
    scope: str | None


@attrs.frozen(kw_only=True)
class TokenAdopted(Event):
    """A token was taken from the store: another session, process or machine had renewed it."""


@attrs.frozen(kw_only=True)
class TokenRestored(Event):
    """The store had gone back to a token of before, and was given the newer one again.

    So it is where a backup was restored, or a replica that lagged behind took over.
    """


@attrs.frozen(kw_only=True)
class TokenUnsaved(Event):
    """A session or its event loop came to its end before the store took a token of the server's.

    It is in the memory of this process alone: if that ends now, so does the login, where the server
    rotates refresh tokens.

    Attributes:
        error: Why the store did not take it.
    """

    error: OAuthKitError = attrs.field(repr=told)


@attrs.frozen(kw_only=True)
class TokenRejected(Event):
    """An API rejected a token that looked good, by one of the rules of `renew_on=`."""


@attrs.frozen(kw_only=True)
class OtherSchemeRequired(Event):
    """An API rejected the token and asks for other authentication schemes than Bearer alone.

    A new token would not help, so nothing is renewed, and the answer is the caller's. Told once in
    a session. Where the API means Bearer all the same, say so with
    `renew_on=Rejection(schemes={…})`; where it does not, send it what it asks for by `auth=`.

    Attributes:
        schemes: What it asks for.
    """

    schemes: str
    advice: str = (
        "no token was renewed for it; send by auth= what the API asks for, or where it means the "
        "Bearer token, say renew_on=Rejection(schemes={…})"
    )


@attrs.frozen(kw_only=True)
class RenewalFailed(Event):
    """A token could not be renewed.

    Attributes:
        error: Why; what is no `OAuthKitError` came from a grant or a format of the user's.
        usable: Whether the token at hand is still good, so that calls go on.
        pause: Seconds before the next try.
        grant_type: By what right the server was asked last; None where it was not asked.
        seconds: How long it took, the store and the retries included.
    """

    error: Exception = attrs.field(repr=told)
    usable: bool
    pause: float
    grant_type: str | None = None
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class StoreFailed(Event):
    """The store could not be asked or written to; calls go on with the token at hand.

    Attributes:
        error: Why.
    """

    error: OAuthKitError = attrs.field(repr=told)


EventHook = Callable[[Event], None]
"""Called with every event, in the event loop: it must be quick; what it raises is logged."""

LONGEST_LINE: Final = 1_000
"""Characters of an event that the log shows; a key, a scope or an error text may be any length."""

_QUIET: Final = (TokenRenewed, TokenAdopted)
_LOUD: Final = (TokenUnsaved,)
_REJECTED: Final = (TokenRejected, OtherSchemeRequired)


def emit(event: Event, hook: EventHook | None, *, server: str | None = None) -> None:
    """Write an event to the log `oauthkit`, on one bounded line, and hand it to the hook.

    Args:
        event: What happened.
        hook: Who is told.
        server: The authorization server, by its URL; the log is told its origin.
    """
    level = _level(event)
    if LOGGER.isEnabledFor(level):
        line = printable(str(event), LONGEST_LINE)
        LOGGER.log(level, "%s", line, extra=_fields(event, server))
    if hook is None:
        return
    try:
        hook(event)
    except Exception as error:  # noqa: BLE001 - a function of the user's
        LOGGER.error(
            "on_event failed for a %s with %s",
            type(event).__name__,
            whereabouts(error),
            extra=log_fields("HookFailed", url=server, error=error),
        )


def _level(event: Event) -> int:
    if isinstance(event, _LOUD):
        return logging.ERROR
    return logging.DEBUG if isinstance(event, _QUIET) else logging.WARNING


def _fields(event: Event, server: str | None) -> dict[str, str | float]:
    """Return what a program reads in a record of the log: neither the key nor any text of it."""
    return log_fields(
        type(event).__name__,
        url=server,
        grant_type=getattr(event, "grant_type", None),
        outcome="rejected" if isinstance(event, _REJECTED) else None,
        seconds=getattr(event, "seconds", None),
        error=getattr(event, "error", None),
    )
