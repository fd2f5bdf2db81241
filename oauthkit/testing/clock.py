"""A clock that moves when told."""

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

import attrs

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError

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


class OwnClock(FakeClock):
    """Be the clock of a fake server that was given none.

    It begins today, so that tokens of the fake are good in a session on the real clock, and stands
    still as any `FakeClock`; only while the server is on a socket does the real time pass on it.
    """

    _since: float | None = None

    def __init__(self) -> None:
        """Begin at this second."""
        super().__init__(time.time() // 1)

    def time(self) -> float:
        """Return the wall clock, in seconds since the epoch."""
        return super().time() + self._passed()

    def monotonic(self) -> float:
        """Return the monotonic clock, in seconds."""
        return super().monotonic() + self._passed()

    @contextmanager
    def running(self) -> Generator[None]:
        """Let the real time pass while the block is open."""
        outer = self._stop()
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._stop()
            self._since = outer and time.monotonic()

    def _stop(self) -> float | None:
        passed, since = self._passed(), self._since
        self._since = None
        self.advance(passed)
        return since

    def _passed(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since


def clock_or_own(clock: Clock | None) -> Clock:
    """Return the clock, or a new `OwnClock` where there is none."""
    return OwnClock() if clock is None else clock


def running(clock: Clock) -> AbstractContextManager[None]:
    """Let the real time pass while the block is open, on a clock that a server has by itself."""
    return clock.running() if isinstance(clock, OwnClock) else nullcontext()


def advance(clock: Clock, seconds: float) -> None:
    """Let time pass on a clock that can be told so.

    Raises:
        ConfigurationError: It is not a `FakeClock`.
    """
    if not isinstance(clock, FakeClock):
        message = "only a FakeClock can be advanced; this server was given another clock"
        raise ConfigurationError(message)
    clock.advance(seconds)
