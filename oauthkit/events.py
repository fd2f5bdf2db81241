"""What happened, for logs, metrics and traces; no event holds a secret."""

import logging
from collections.abc import Callable
from typing import Final

import attrs

from oauthkit.errors import OAuthKitError

_LOGGER: Final = logging.getLogger("oauthkit")
_LOGGER.addHandler(logging.NullHandler())


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
class TokenRejected(Event):
    """An API answered 401 to a token that looked good."""


@attrs.frozen(kw_only=True)
class RenewalFailed(Event):
    """A token could not be renewed.

    Attributes:
        error: Why.
        usable: Whether the token at hand is still good, so that calls go on.
        pause: Seconds before the next try.
    """

    error: OAuthKitError
    usable: bool
    pause: float


@attrs.frozen(kw_only=True)
class StoreFailed(Event):
    """The store could not be asked or written to; calls go on with the token at hand.

    Attributes:
        error: Why.
    """

    error: OAuthKitError


EventHook = Callable[[Event], None]
"""Called with every event, in the event loop: it must be quick; what it raises is logged."""

_QUIET: Final = (TokenRenewed, TokenAdopted)


def emit(event: Event, hook: EventHook | None) -> None:
    """Write an event to the log `oauthkit`, and hand it to the hook."""
    level = logging.DEBUG if isinstance(event, _QUIET) else logging.WARNING
    _LOGGER.log(level, "%s", event)
    if hook is None:
        return
    try:
        hook(event)
    except Exception:
        _LOGGER.exception("on_event failed for a %s", type(event).__name__)
