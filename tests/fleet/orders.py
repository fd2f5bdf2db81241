"""Orders to a fleet: in which phase of a renewal a process is to be stopped, and dealt with.

An order is an empty file with the name of a phase. Whoever comes to that phase first takes it, by
renaming it to what is then known, and is stopped: a worker by itself, and a worker whose request is
at the server by that. The driver finds it so, does what it has in mind, and lets it go on.

Files, because that takes microseconds where nothing is ordered, works in the middle of anything and
without an event loop, and gives an order to one process alone.
"""

import enum
import time
from contextlib import suppress
from pathlib import Path

import attrs


class Phase(enum.StrEnum):
    """Where a renewal is."""

    WAITING = "waiting for the lease"
    LEASED = "with the lease, before it asks"
    WINDOW = "between the last look at the lease and the first byte"
    ARRIVED = "asking, before the exchange"
    EXCHANGED = "asking, after the exchange"
    PAUSING = "between two tries"
    ANSWERED = "between the answer and the save"
    SAVING = "while its save waits"
    SAVED = "saved, before the lease is given back"


@attrs.frozen
class Claim:
    """An order that was taken.

    Attributes:
        phase: Where; None is anywhere, because nobody had waited for a phase.
        pid: Who is stopped.
        key: The token that is being renewed; empty where none need be.
        at: When, on the machine's monotonic clock.
    """

    phase: Phase | None
    pid: int
    key: str
    at: float


@attrs.frozen
class Orders:
    """A directory of orders."""

    directory: Path

    def prepare(self) -> None:
        """Make room."""
        for place in (self._placed, self._taken):
            place.mkdir(parents=True, exist_ok=True)

    def place(self, phase: Phase) -> None:
        """Have the next process stopped that comes to a phase."""
        (self._placed / phase.name).touch()

    def withdraw(self, phase: Phase) -> bool:
        """Take an order back, and tell whether it had not been taken yet."""
        try:
            (self._placed / phase.name).unlink()
        except FileNotFoundError:
            return False
        return True

    def wanted(self, phase: Phase) -> bool:
        """Tell whether there is an order."""
        return (self._placed / phase.name).exists()

    def take(self, phase: Phase, pid: int, key: str) -> bool:
        """Take an order for a process, and tell whether there was one.

        Whoever takes it must stop the process at once.
        """
        name = f"{phase.name},{pid},{key},{time.monotonic_ns()}"
        with suppress(FileNotFoundError):
            (self._placed / phase.name).rename(self._taken / name)
            return True
        return False

    def taken(self) -> list[Claim]:
        """Return the orders that were taken since this was asked last."""
        claims: list[Claim] = []
        for path in self._taken.iterdir():
            phase, pid, key, at = path.name.split(",")
            claims.append(Claim(Phase[phase], int(pid), key, int(at) / 1e9))
            path.unlink()
        return sorted(claims, key=lambda claim: claim.at)

    @property
    def _placed(self) -> Path:
        return self.directory / "placed"

    @property
    def _taken(self) -> Path:
        return self.directory / "taken"


def orders_in(directory: str | Path) -> Orders:
    """Return the orders of a fleet."""
    return Orders(Path(directory) / "orders")
