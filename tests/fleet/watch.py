"""What befalls the machine, or a process on it: it stands still, or its wall clock is set."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from .attribution import EVERYBODY, ClockChange, Stop

BEAT: Final = 0.05
"""Seconds."""
LONG: Final = 0.5
"""Seconds beyond a beat that matter to a fleet: somebody was stopped then, and nobody was told."""
NOTABLE: Final = 0.05
"""Seconds by which a clock is set that matter."""


@contextmanager
def watched(
    stood: Callable[[Stop], None],
    clock_set: Callable[[ClockChange], None] = lambda _: None,
    *,
    pid: int = EVERYBODY,
    wall: Callable[[], float] = time.time,
) -> Generator[None]:
    """Tell, while the block is open, what befalls the machine, or this process.

    Args:
        stood: Told each time in which not even a thread that sleeps went on.
        clock_set: Told each time the wall clock was set.
        pid: Who stands still then.
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
                stood(Stop(pid=pid, at=last, until=now))
            by = wall() - time.monotonic() - ahead
            if abs(by) > NOTABLE:
                ahead += by
                clock_set(ClockChange(last, by))
            last = now

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
