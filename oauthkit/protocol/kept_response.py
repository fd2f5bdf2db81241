"""A token response as other libraries keep it, read strictly.

The answers of a server are read leniently (`expiry`): what a server says of a lifetime is all that
there is. What another library has kept was looked at by somebody, who can be told what is wrong.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from oauthkit.protocol.expiry import LONGEST_LIFE
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.structure import structured
from oauthkit.protocol.token import Token, further_fields

_REFRESH_LIVES: Final = ("refresh_expires_in", "refresh_token_expires_in")
_MOMENTS: Final = ("expires_at", "expires_on")
_FIRST_MOMENT: Final = 1e8  # seconds since the epoch, in 1973: a smaller number is a lifetime
_LAST_MOMENT: Final = 1e11  # a greater one is milliseconds


def members_of(
    token_class: type[Token], fields: Mapping[str, Any], *, requested_at: float | None
) -> Unprintable:
    """Return what a response says, by the names of a token's fields.

    Args:
        token_class: Of which class the token is to be.
        fields: The members of the response.
        requested_at: When it was asked for, in seconds since the epoch.

    Raises:
        ValueError: A member cannot be understood; the message shows no value.
    """
    given = Unprintable((name, value) for name, value in fields.items() if value is not None)
    moments = [_moment(given.pop(name), name) for name in _MOMENTS if name in given]
    life = _life(given, "expires_in")
    refresh_lives = [_life(given, name) for name in _REFRESH_LIVES if name in given]
    ends = moments[0] if moments else None
    if requested_at is not None:
        requested_at = _number(requested_at, "requested_at=")
    elif ends is not None and life is not None:
        requested_at = ends - life  # it has been added by who kept it
    further, extra = further_fields(token_class, given)
    return Unprintable(
        further,
        access_token=_needed(given, "access_token"),
        token_type=_text(given, "token_type") or "Bearer",
        issued_at=requested_at,
        expires_at=_end(life, requested_at) if ends is None else ends,
        refresh_token=_text(given, "refresh_token"),
        refresh_expires_at=_end(next(filter(None, refresh_lives), None), requested_at),
        scope=_scope(given.get("scope")),
        id_token=_text(given, "id_token"),
        extra=extra,
    )


def _needed(given: Mapping[str, Any], name: str) -> str:
    found = _text(given, name)
    if not found:
        message = f"it has no {name}"
        raise ValueError(message)
    return found


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    return None if value is None else cast("str", structured(value, str, name=name)) or None


def _number(value: object, name: str) -> float:
    number = float(structured(value, float, name=name))
    if not math.isfinite(number):
        message = f"{name} is not a finite number"
        raise ValueError(message)
    return number


def _moment(value: object, name: str) -> float:
    moment = _number(value, name)
    if not _FIRST_MOMENT <= moment < _LAST_MOMENT:
        message = f"{name} must be a moment in seconds since the epoch"
        raise ValueError(message)
    return moment


def _life(given: Mapping[str, Any], name: str) -> float | None:
    if name not in given:
        return None
    life = _number(given[name], name)
    if life < 0:
        message = f"{name} must be seconds, 0 or more"
        raise ValueError(message)
    return min(life, LONGEST_LIFE)


def _end(life: float | None, requested_at: float | None) -> float | None:
    """Return when a life ends; what a server says of none at all is not known."""
    if life is None:
        return None
    if requested_at is None:
        message = (
            "a lifetime counts from when the response was asked for; say requested_at=, in "
            "seconds since the epoch"
        )
        raise ValueError(message)
    return requested_at + life


def _scope(value: object) -> str | None:
    """Return scopes as RFC 6749 §3.3 writes them; libraries keep lists and sets of them too."""
    if value is None or isinstance(value, str):
        return value or None
    texts = list(cast("Iterable[object]", value)) if isinstance(value, Iterable) else [None]
    if isinstance(value, Mapping) or not all(isinstance(text, str) for text in texts):
        message = "scope must be a text or a list of texts"
        raise ValueError(message)
    return " ".join(cast("list[str]", texts)) or None
