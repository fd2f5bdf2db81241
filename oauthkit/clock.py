"""The one idea of a clock, which everything that counts time is given."""

from typing import Protocol


class Clock(Protocol):
    """Tell the time; the standard library's module `time` does."""

    def time(self) -> float:
        """Return seconds since the epoch, on a clock that may be set."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that is never set."""
        ...
