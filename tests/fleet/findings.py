"""What came out of a fleet to which everything happened."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import attrs

from .attribution import EVERYBODY, ClockChange, Record, Repetition, Stop, causes
from .chaos import Chaos, What
from .running import Fleet

BETWEEN_TICKS: Final = 1.0
"""Seconds between two notes of a worker on itself, and some more."""


@attrs.frozen
class Findings:
    """What came out of a run.

    Attributes:
        rows: What a reader wants to see.
        repeated: The refresh tokens that were presented twice.
        lost: How many logins the server ended.
        renewals: How many refresh tokens it exchanged.
        done: What was done to the fleet.
        crashes: How processes ended that nobody had killed, other than well.
    """

    rows: Mapping[str, Any]
    repeated: Sequence[Repetition]
    lost: int
    renewals: int
    done: Mapping[What, int]
    crashes: Sequence[str]

    @property
    def unattributed(self) -> list[Repetition]:
        """Refresh tokens presented twice for no reason that is proven."""
        return [repetition for repetition in self.repeated if repetition.cause is None]

    def __str__(self) -> str:
        """Return a table."""
        width = max(len(name) for name in self.rows)
        return "\n".join(f"  {name:<{width}}  {value}" for name, value in self.rows.items())


async def findings(chaos: Chaos) -> Findings:
    """Read the server's report, the driver's notes and the workers' journals together."""
    fleet = chaos.fleet
    state, record = await fleet.told("state"), await fleet.record()
    repeated = await fleet.repetitions()
    done, phases = Counter[What](), Counter[str]()
    for (what, phase), count in chaos.done.items():
        done[what] += count
        phases[phase or "anywhere"] += count
    ticks = fleet.journal.lines("tick")
    counted = Counter[str]()
    for tick in ticks:
        counted.update(tick["counted"])
    unsaved = fleet.journal.lines("unsaved")
    rows: dict[str, Any] = {
        "seed": chaos.seed,
        "done": _listed(done),
        "where": _listed(phases),
        "by the server": _listed(chaos.faults),
        "store away, seconds at most": max((s.seconds for s in chaos.outages.spans), default=0.0),
        "longer than meant, seconds in sum": f"{chaos.overrun:.2f}",
        "whole machine stood still": sum(stop.pid == EVERYBODY for stop in fleet.stops),
        "clock set, seconds forward": _listed_changes(fleet.clock_changes),
        "workers started again": chaos.restarts,
        "seconds to the end that was asked for, at most": max(chaos.ends, default=0.0),
        "renewals": state["renewals"],
        "refresh tokens presented twice": len(repeated),
        "  seconds after the exchange, at most": max((r.late for r in repeated), default=0.0),
        "  by cause": _listed(causes(repeated)),
        "logins lost": state["lost"],
        "unsaved at the end of a process": len(unsaved),
        "API calls answered": sum(n for what, n in counted.items() if what.startswith("status")),
        "  with 401": counted["status 401"],
        "API calls failed for want of a token": counted["no token"],
        "  until a login": counted["login wanted"],
        "calls cancelled": counted["cancelled"],
        "longest wait": f"{_longest_wait(ticks, record.stops):.2f} s",
    }
    if chaos.spares:
        refused = [
            repetition for repetition in repeated if repetition.again.status != HTTPStatus.OK
        ]
        for number, repetition in enumerate(refused, 1):
            rows[f"  lost {number}"] = _story(fleet, record, repetition)
    for number, line in enumerate(unsaved, 1):
        rows[f"  unsaved {number}"] = _history(fleet, line)
    rows |= {what: n for what, n in sorted(counted.items()) if what.startswith("API not")}
    unattributed = [repetition for repetition in repeated if repetition.cause is None]
    for number, repetition in enumerate(unattributed, 1):
        rows[f"  unattributed {number}"] = _story(fleet, record, repetition)
    return Findings(rows, repeated, state["lost"], state["renewals"], done, fleet.crashes)


def _story(fleet: Fleet, record: Record, lost: Repetition) -> str:
    """Return what came between a refresh token's exchange and its repetition, in seconds after it.

    That is everything, for what it takes to be late has more than one cause.
    """
    began, pids, key = lost.before.at, {lost.before.pid, lost.again.pid}, lost.again.key
    told = [
        *((stop.at, f"{stop.pid} stopped for {stop.seconds:.2f}") for stop in record.stops),
        *((at, f"{pid} killed") for pid, at in fleet.kills.items()),
        *((away.at, f"store away for {away.seconds:.2f}") for away in fleet.outages),
        *((line["at"], f"{line['pid']} {line['what']}") for line in _notes(fleet, pids, key)),
        *((e.at, f"{e.pid} answered {e.status}") for e in record.exchanges if e.key == key),
    ]
    listed = [
        f"{at - began:.2f} {what}" for at, what in sorted(told) if -1 < at - began < lost.late + 1
    ]
    exchanged = f"{key}: {lost.before.pid} exchanged it, {lost.again.pid} after {lost.late:.2f}"
    return f"{exchanged} ({lost.cause}); {', '.join(listed)}"


def _notes(fleet: Fleet, pids: set[int], key: str) -> Iterable[Mapping[str, Any]]:
    """Return what processes wrote down that were concerned, and all failures with a key."""
    for line in fleet.journal.lines():
        failed = line["what"] in {"renewal failed", "store failed"} and repr(key) in line["error"]
        if failed or (line["pid"] in pids and line["what"] in {"sent", "saved", "started", "over"}):
            yield line


def _history(fleet: Fleet, line: Mapping[str, Any]) -> str:
    """Return what was done to a process before it wrote something down, in seconds before it."""
    at, pid = line["at"], line["pid"]
    stops = [(round(stop.at - at, 2), round(stop.until - at, 2)) for stop in fleet.stops_of(pid)]
    asked = fleet.asked.get(pid, math.inf) - at
    return f"{line['error']}; stopped {stops}, asked to end {asked:.2f}"


def _listed(counted: Mapping[Any, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counted.items()))


def _listed_changes(changes: Iterable[ClockChange]) -> str:
    return ", ".join(f"{change.by:+.2f}" for change in changes) or "never"


def _longest_wait(ticks: Iterable[Mapping[str, Any]], stops: Sequence[Stop]) -> float:
    """Return the longest time a call took in a process that was not stopped meanwhile."""
    return max(
        (
            tick["longest"]
            for tick in ticks
            if not any(
                stop.pid == tick["pid"]
                and stop.at < tick["at"]
                and stop.until > tick["at"] - tick["longest"] - BETWEEN_TICKS
                for stop in stops
            )
        ),
        default=0.0,
    )
