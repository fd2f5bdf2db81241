"""The watch over machine and workers: what keeps a thread that only sleeps, and a clock set."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from .attribution import ClockChange, Stop
from .forker import environment
from .running import fleet, until
from .settings import Place
from .watch import BEAT, LONG, NOTABLE, watched

WATCHING = """
import sys, time
from tests.fleet.watch import watched

stops = []
with watched(stops.append):
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


async def test_a_worker_writes_down_that_it_stood_still_whoever_stopped_it(tmp_path: Path) -> None:
    async with fleet(tmp_path, Place(path=str(tmp_path / "tokens.db"))) as running:
        await running.start("w0")
        pid = running.workers["w0"]
        await until(lambda: bool(running.journal.lines("started")))
        await anyio.sleep(0.5)  # it watches by now
        running.signal(pid, signal.SIGSTOP)  # and not by an order, of which the driver has a note
        await anyio.sleep(LONG + 0.7)
        running.signal(pid, signal.SIGCONT)
        await until(lambda: bool(running.journal.lines("stood")))
        (stood,) = [stop for stop in (await running.record()).stops if stop.pid == pid]
    assert stood.seconds > LONG + 0.6


@pytest.mark.parametrize("by", [2.0, -2.0])
def test_a_clock_that_was_set_is_noted_with_how_far(by: float) -> None:
    stops, clock_changes, ahead = list[Stop](), list[ClockChange](), 0.0
    with watched(stops.append, clock_changes.append, wall=lambda: time.monotonic() + ahead):
        time.sleep(3 * BEAT)
        began = time.monotonic()
        ahead = by
        time.sleep(3 * BEAT)
        ahead = by + NOTABLE / 2  # slewed
    (change,) = clock_changes
    assert abs(change.by - by) < NOTABLE
    assert abs(change.at - began) < LONG
