"""Moments as people read them."""

import time
from typing import Final

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def moment(at: float | None, *, now: float | None = None) -> str:
    """Return when something is, by how long it is until then.

    Args:
        at: Seconds since the epoch; None is unknown.
        now: The same, of now.
    """
    if at is None:
        return "at a time that the server does not say"
    left = at - (time.time() if now is None else now)
    return f"in {_duration(left)}" if left >= 0 else f"{_duration(-left)} ago"


def _duration(seconds: float) -> str:
    length, unit = next((pair for pair in _UNITS if seconds >= 2 * pair[0]), _UNITS[-1])
    return f"{seconds / length:.0f} {unit}"
