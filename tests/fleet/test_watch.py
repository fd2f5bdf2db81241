"""The watch over the machine: it notes what keeps a thread that only sleeps, and a clock set."""

import os
import signal
import subprocess
import sys
import time

import pytest

from .attribution import ClockChange, Stop
from .forker import environment
from .watch import BEAT, LONG, NOTABLE, watched

WATCHING = """
import sys, time
from tests.fleet.watch import watched

stops = []
with watched(stops, []):
    print("watching", flush=True)
    sys.stdin.readline()
print(max(stop.until - stop.at for stop in stops))
"""


def test_a_time_in_which_nothing_went_on_is_noted() -> None:
    """The process that watches is stopped: to itself, that is the machine standing still."""
    watch = subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", WATCHING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert watch.stdout is not None
    assert watch.stdout.readline() == "watching\n"
    os.kill(watch.pid, signal.SIGSTOP)
    time.sleep(LONG + 0.7)
    os.kill(watch.pid, signal.SIGCONT)
    told, _ = watch.communicate("\n")
    assert float(told) > LONG + 0.6


@pytest.mark.parametrize("by", [2.0, -2.0])
def test_a_clock_that_was_set_is_noted_with_how_far(by: float) -> None:
    stops, clock_changes, ahead = list[Stop](), list[ClockChange](), 0.0
    with watched(stops, clock_changes, wall=lambda: time.monotonic() + ahead):
        time.sleep(3 * BEAT)
        began = time.monotonic()
        ahead = by
        time.sleep(3 * BEAT)
        ahead = by + NOTABLE / 2  # slewed
    (change,) = clock_changes
    assert abs(change.by - by) < NOTABLE
    assert abs(change.at - began) < LONG
