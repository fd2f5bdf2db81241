"""What befalls the machine itself: it stands still, or its wall clock is set."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from .attribution import EVERYBODY, ClockChange, Stop

BEAT: Final = 0.05
"""Seconds."""
LONG: Final = 0.5
"""Seconds beyond a beat that matter to a fleet: then everybody was stopped, and nobody was told."""
NOTABLE: Final = 0.05
"""Seconds by which a clock is set that matter."""


@contextmanager
def watched(
    stops: list[Stop], clock_changes: list[ClockChange], *, wall: Callable[[], float] = time.time
) -> Generator[None]:
    """Note, while the block is open, what befalls the machine.

    Args:
        stops: Each time in which not even a thread that sleeps went on.
        clock_changes: Each time its wall clock was set.
        wall: That clock.
    """
    over = threading.Event()

    def beat() -> None:
        last, ended = time.monotonic(), False
        ahead = wall() - last
        while not ended:
            ended = over.wait(BEAT)
            now = time.monotonic()
            if now - last > BEAT + LONG:
                stops.append(Stop(pid=EVERYBODY, at=last, until=now))
            by = wall() - time.monotonic() - ahead
            if abs(by) > NOTABLE:
                ahead += by
                clock_changes.append(ClockChange(last, by))
            last = now

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
