"""From what servers say about lifetimes to one absolute time.

Servers send a lifetime (`expires_in`) or a moment (`expiry`, `expires_at`, `expires_on`), as
numbers or as text, in seconds or in milliseconds, as ISO 8601, or not at all. What cannot be
understood is unknown, which is neither "expired" nor "never".
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

LONGEST_LIFE: Final = 100 * 365.25 * 86_400
"""Seconds; a longer lifetime is clamped to it."""
SHORTEST_LIFE: Final = 1.0
"""Seconds; a shorter lifetime is taken as this long, unless it is none at all.

A token that is good for 5 ms is over before it is used: it would be renewed 85 times a second, and
no server means that.
"""

_MOMENTS: Final = ("expiry", "expires_at", "expires_on")
_YOUNGEST_MOMENT: Final = 10 * 365 * 86_400  # a smaller number of seconds is a lifetime
_FIRST_MILLISECONDS: Final = 1e11  # as seconds it would be the year 5138
_NUMBER: Final = re.compile(
    r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,3})?", re.ASCII
)


def expires_at(fields: Mapping[str, object], *, requested_at: float) -> float | None:
    """Return when the access token expires, in seconds since the epoch; None is unknown.

    A usable `expires_in` (RFC 6749 §5.1) wins. It counts from the moment the request was sent,
    which is the safe side.

    Args:
        fields: The decoded answer.
        requested_at: When the request was sent, in seconds since the epoch.
    """
    lifetime = _number(fields.get("expires_in"))
    if lifetime is not None:
        return requested_at + _clamped(lifetime)
    for name in _MOMENTS:
        moment = _moment(fields.get(name), requested_at)
        if moment is not None:
            return moment
    return None


def refresh_expires_at(fields: Mapping[str, object], *, requested_at: float) -> float | None:
    """Return when the refresh token expires, in seconds since the epoch; None is unknown.

    It is read from `refresh_expires_in`, or `refresh_token_expires_in`; 0 there means "not said".

    Args:
        fields: The decoded answer.
        requested_at: When the request was sent, in seconds since the epoch.
    """
    for name in ("refresh_expires_in", "refresh_token_expires_in"):
        lifetime = _number(fields.get(name))
        if lifetime is not None and lifetime > 0:
            return requested_at + _clamped(lifetime)
    return None


def _clamped(lifetime: float) -> float:
    return min(max(lifetime, SHORTEST_LIFE), LONGEST_LIFE) if lifetime > 0 else 0.0


def _number(value: object) -> float | None:
    """Return a number, be it JSON or text; None for anything else, booleans and NaN among it."""
    if isinstance(value, str):
        text = value.strip()
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf if value > 0 else -math.inf
    else:
        return None
    return None if math.isnan(number) else number


def _moment(value: object, requested_at: float) -> float | None:
    number = _number(value)
    if number is None:
        seconds = _iso_8601(value) if isinstance(value, str) else None
    elif number < _YOUNGEST_MOMENT:
        return requested_at + _clamped(number)
    else:
        seconds = number / 1000 if number >= _FIRST_MILLISECONDS else number
    if seconds is None or seconds <= requested_at:
        return seconds
    return min(max(seconds, requested_at + SHORTEST_LIFE), requested_at + LONGEST_LIFE)


def _iso_8601(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp()
