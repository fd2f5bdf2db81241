"""Words for logs, metrics and traces: few, known beforehand, and never a secret, a key or a user.

Whoever sends them may not choose them: a name that is not known here becomes `OTHER`, so that no
server and no class of a user's own can make one series of a metric after the other.
"""

import logging
from contextlib import suppress
from typing import Any, Final

from oauthkit.errors import ConfigurationError, ErrorResponse, OAuthKitError, Recovery
from oauthkit.protocol.messages import Origin


class _Log(logging.LoggerAdapter[logging.Logger]):
    """The log; what a handler or a filter of the user's raises stops nothing that is on its way."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Write a record."""
        with suppress(Exception):  # who is to be told has failed: `Handler.handleError` is for that
            self.logger.log(level, msg, *args, stacklevel=2, **options)


LOGGER: Final = _Log(logging.getLogger("oauthkit"))
LOGGER.logger.addHandler(logging.NullHandler())

OTHER: Final = "_OTHER"
"""What OpenTelemetry calls a value that is none of the known ones."""

_GRANT_TYPES: Final = frozenset(
    {
        "authorization_code",
        "client_credentials",
        "password",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    }
)
_CODES: Final = frozenset(
    {
        "access_denied",
        "expired_token",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
    }
)
"""RFC 6749 §5.2 and §4.1.2.1, RFC 7009 §2.2.1, RFC 8628 §3.5, RFC 8707 §2."""


def grant_label(grant_type: str) -> str:
    """Return a grant type, if it is one of a document."""
    return grant_type if grant_type in _GRANT_TYPES else OTHER


def error_label(error: BaseException) -> str:
    """Return what kind of error it is: the server's error code, or the name of a class of ours."""
    if isinstance(error, ErrorResponse) and error.error in _CODES:
        return error.error
    ours = (kind for kind in type(error).__mro__ if kind.__module__ == OAuthKitError.__module__)
    return next((kind.__name__ for kind in ours), OTHER)


def recovery_label(error: OAuthKitError) -> str:
    """Return what helps, if that is a `Recovery`: a class of the user's own may say anything."""
    recovery: Any = error.recovery
    return recovery.value if isinstance(recovery, Recovery) else OTHER


def origin_label(url: str | None) -> Origin | None:
    """Return where a server is, without the path and the query; None where nobody could be."""
    try:
        return None if url is None else Origin.of(url)
    except ConfigurationError:
        return None


def log_fields(
    event: str,
    *,
    url: str | None = None,
    grant_type: str | None = None,
    outcome: str | None = None,
    seconds: float | None = None,
    error: BaseException | None = None,
) -> dict[str, str | float]:
    """Return the `extra` of a record of the log `oauthkit`; what is None is left out.

    Args:
        event: What happened.
        url: Where the server is; its origin alone is told.
        grant_type: By what right.
        outcome: None is `failed` with an error, and `done` without one.
        seconds: How long it took.
        error: What it failed with.
    """
    origin = origin_label(url)
    ours = error if isinstance(error, OAuthKitError) else None
    fields = {
        "oauth_event": event,
        "oauth_server": None if origin is None else str(origin),
        "oauth_grant_type": None if grant_type is None else grant_label(grant_type),
        "oauth_outcome": outcome or ("done" if error is None else "failed"),
        "oauth_seconds": seconds,
        "oauth_error": None if error is None else error_label(error),
        "oauth_recovery": None if ours is None else recovery_label(ours),
    }
    return {name: value for name, value in fields.items() if value is not None}
