"""What is kept until a moment of its own, in the memory of one process."""

import heapq
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import check_kind
from oauthkit.protocol.record import FARTHEST

_T = TypeVar("_T")

_SHORTEST: Final = 60.0
"""Seconds that something is kept at least: the clocks of two machines differ."""
_SPARE: Final = 64


def checked_end(expires_at: float, *, now: float) -> float:
    """Return until when something is kept.

    Args:
        expires_at: When it ends, in seconds since the epoch.
        now: The time.

    Raises:
        ConfigurationError: That is no moment.
    """
    check_kind("expires_at=", expires_at, float)
    if not abs(expires_at) <= FARTHEST:
        message = "expires_at= is a moment in seconds since the epoch, and never one without end"
        raise ConfigurationError(message)
    return max(float(expires_at), now + _SHORTEST)


@attrs.define(eq=False)
class EndingMap(Generic[_T]):
    """Values by name, each until its end; of too many, those that end first go first.

    Attributes:
        capacity: How many there are at most.
    """

    capacity: int
    _kept: dict[str, tuple[float, _T]] = attrs.field(
        factory=dict[str, tuple[float, _T]], init=False, repr=False
    )
    _ends: list[tuple[float, str]] = attrs.field(
        factory=list[tuple[float, str]], init=False, repr=False
    )

    def __attrs_post_init__(self) -> None:
        """Check the capacity."""
        if self.capacity < 1:
            message = f"capacity= must be at least 1, not {self.capacity}"
            raise ConfigurationError(message)

    def __len__(self) -> int:
        """Tell how many there are."""
        return len(self._kept)

    def get(self, name: str, *, now: float) -> _T | None:
        """Return what is kept by a name and has not ended."""
        found = self._kept.get(name)
        return found[1] if found is not None and now < found[0] else None

    def put(self, name: str, value: _T, *, ends_at: float) -> None:
        """Keep a value until a moment, in place of what was there by this name."""
        self._kept[name] = ends_at, value
        heapq.heappush(self._ends, (ends_at, name))
        if len(self._ends) > _SPARE + 2 * len(self._kept):  # most of it was replaced, or is gone
            self._ends = [(end, kept) for kept, (end, _) in self._kept.items()]
            heapq.heapify(self._ends)

    def pop(self, name: str) -> _T | None:
        """Forget what is kept by a name, and return it."""
        found = self._kept.pop(name, None)
        return None if found is None else found[1]

    def dropped(self, *, now: float) -> Iterator[_T]:
        """Forget what has ended, or is too much, and give it one by one."""
        while self._ends and (self._ends[0][0] <= now or len(self._kept) > self.capacity):
            ends_at, name = heapq.heappop(self._ends)
            found = self._kept.get(name)
            if found is not None and found[0] == ends_at:  # else it was replaced, or is gone
                del self._kept[name]
                yield found[1]
