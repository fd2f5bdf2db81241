"""A clock that moves when told."""

from typing import Final

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.exchange import Clock

_BOOT: Final = 1_000.0


@attrs.define(eq=False, init=False)
class FakeClock:
    """Be a clock that stands still until it is told to move.

    Example:
        >>> clock = FakeClock()
        >>> clock.advance(60)
        >>> clock.time(), clock.monotonic()
        (1700000060.0, 1060.0)
    """

    _wall: float
    _monotonic: float

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        """Take the wall clock's first reading, in seconds since the epoch."""
        self._wall = float(start)
        self._monotonic = _BOOT

    def time(self) -> float:
        """Return the wall clock, in seconds since the epoch."""
        return self._wall

    def monotonic(self) -> float:
        """Return the monotonic clock, in seconds."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks.

        Args:
            seconds: How long; time does not run backwards.

        Raises:
            ValueError: The time is negative; `jump` sets the wall clock back.
        """
        if seconds < 0:
            message = f"time does not run backwards ({seconds} s); jump() sets the wall clock back"
            raise ValueError(message)
        self._wall += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or a time service does.

        Args:
            seconds: By how much; the monotonic clock does not move.
        """
        self._wall += seconds


def clock_or_fake(clock: Clock | None) -> Clock:
    """Return the clock, or a new `FakeClock` where there is none."""
    return FakeClock() if clock is None else clock


def advance(clock: Clock, seconds: float) -> None:
    """Let time pass on a clock that can be told so.

    Raises:
        ConfigurationError: It is not a `FakeClock`.
    """
    if not isinstance(clock, FakeClock):
        message = "only a FakeClock can be advanced; this server was given another clock"
        raise ConfigurationError(message)
    clock.advance(seconds)
