"""Why a refresh token was presented twice: each case has its own cause, or none."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import attrs

MOST_OF_A_LEASE: Final = 0.6
"""A lease begins before its holder sends, by as much as a busy machine takes for it; two holders at
once, on the other hand, would be seen within milliseconds."""


@attrs.frozen(kw_only=True)
class Exchange:
    """A refresh token that reached the server; all moments are on the machine's own clock.

    Attributes:
        number: The process's own count of its token requests.
        struck: What the server did to the presenter right after the exchange.
    """

    refresh_token: str
    presenter: str
    pid: int
    number: int
    at: float
    status: int
    struck: str = ""


@attrs.frozen(kw_only=True)
class Stop:
    """A time in which a process was stopped."""

    pid: int
    at: float
    until: float


@attrs.frozen(kw_only=True)
class Record:
    """All that is known of a run.

    Attributes:
        kills: When each process was killed.
        sent: When a process sent its request of this number.
        saved: When that request had led to a saved token.
        lease_seconds: How long a lease lives.
    """

    exchanges: Sequence[Exchange]
    kills: Mapping[int, float] = attrs.field(factory=dict[int, float])
    stops: Sequence[Stop] = ()
    sent: Mapping[tuple[int, int], float] = attrs.field(factory=dict[tuple[int, int], float])
    saved: Mapping[tuple[int, int], float] = attrs.field(factory=dict[tuple[int, int], float])
    lease_seconds: float


@attrs.frozen
class Repetition:
    """One refresh token that came again.

    Attributes:
        cause: What became of who had presented it before; None where nothing is known.
    """

    before: Exchange
    again: Exchange
    cause: str | None


def repetitions(record: Record) -> list[Repetition]:
    """Return every refresh token that was presented again after it had been exchanged."""
    by_token: defaultdict[str, list[Exchange]] = defaultdict(list)
    for exchange in sorted(record.exchanges, key=lambda exchange: exchange.at):
        by_token[exchange.refresh_token].append(exchange)
    return [
        Repetition(before, again, _cause(record, before, again))
        for exchanges in by_token.values()
        for before, again in pairwise(exchanges)
    ]


def causes(found: Iterable[Repetition]) -> Counter[str]:
    """Count repetitions by their cause."""
    return Counter(repetition.cause or "unknown" for repetition in found)


def _cause(record: Record, before: Exchange, again: Exchange) -> str | None:
    """Return what kept the earlier presenter from saving, if that is proven."""
    request = before.pid, before.number
    if record.saved.get(request, again.at) < again.at:
        return None  # it was saved: whoever came after should have found it
    if before.struck == "cut":
        return "cut off"
    # Whoever takes over has to wait for the end of the lease.
    most = record.lease_seconds * MOST_OF_A_LEASE
    sent = min(record.sent.get(request, before.at), before.at)
    waited = again.at - sent >= most
    killed = record.kills.get(before.pid)
    if killed is not None and sent <= killed <= again.at and waited:
        return "killed"
    for stop in record.stops:
        during = stop.at <= again.at and stop.until >= sent
        if stop.pid == before.pid and during and min(stop.until, again.at) - stop.at >= most:
            return "stopped"
    return None


def read_record(
    report: Mapping[str, Any],
    journal: Iterable[Mapping[str, Any]],
    *,
    kills: Mapping[int, float],
    stops: Iterable[Stop],
    lease_seconds: float,
) -> Record:
    """Return the record that a server's report, the workers' journals and a driver make.

    Args:
        report: Of the server.
        journal: Lines of all workers.
        kills: The driver's.
        stops: The driver's.
        lease_seconds: What the workers' store was opened with.
    """
    moments: dict[str, dict[tuple[int, int], float]] = {"sent": {}, "saved": {}}
    for line in journal:
        if line["what"] in moments:
            moments[line["what"]][line["pid"], line["number"]] = line["at"]
    return Record(
        exchanges=[Exchange(**exchange) for exchange in report["exchanges"]],
        kills={**{int(pid): float(at) for pid, at in report["kills"]}, **kills},
        stops=[*(Stop(**stop) for stop in report["stops"]), *stops],
        **moments,
        lease_seconds=lease_seconds,
    )
