"""Why a refresh token was presented twice: each case has its own cause, or none.

What no client can help, and nothing else, is a cause:

- who presented it first was killed, or cut off by the server, after it had sent and before it had
  saved; or it got no answer: its connection broke, or it had waited as long as it may, a stop right
  before the first byte included; or it was stopped, or kept from the store, beyond the end of its
  lease after its last look at it,
- who presented it second was stopped between its last look at its lease and the first byte, until
  that lease was over.

Whoever takes over from one of them must have waited for the end of the lease that
was seen at that last look: before, there would be two holders at once, which nothing excuses. A
store that is away for less than two thirds of a lease is no cause, nor is a stop of less, a process
that was asked to end, a call that was cancelled, a server that is busy or not reached.

On a busy machine what was to last a moment may last for seconds. So what counts is not what was
ordered but what was measured: a time in which the whole machine stood still stops everybody, and
one in which not even a sleeping thread of a process went on stops that process, whoever did it.
Redis ends its leases by the machine's wall clock: where that was set forward, they ended earlier.
"""

import enum
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import attrs

EVERYBODY: Final = 0
"""In the place of a process: the whole machine."""


class Cause(enum.StrEnum):
    """What nobody could have helped."""

    CUT_OFF = "first presenter cut off"
    UNANSWERED = "first presenter got no answer in time"
    KILLED = "first presenter killed"
    STOPPED = "first presenter stopped beyond its lease"
    AWAY = "first presenter kept from the store beyond its lease"
    CLOCK = "Redis's clock set forward while the first presenter had its lease"
    WOKEN = "second presenter stopped beyond its lease before the first byte"


@attrs.frozen(kw_only=True)
class Exchange:
    """A refresh token that the server worked on; all moments are on the machine's own clock.

    Attributes:
        number: The process's own count of its token requests.
        struck: What the server did right after the exchange.
    """

    refresh_token: str
    presenter: str
    pid: int
    number: int
    at: float
    status: int
    struck: str = ""

    @property
    def key(self) -> str:
        """Which key it was of: the last word on its presenter."""
        return self.presenter.split()[-1]


@attrs.frozen
class Span:
    """A time in which something was so, such as the store away."""

    at: float
    until: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.until - self.at


@attrs.frozen(kw_only=True)
class Stop(Span):
    """A time in which a process was stopped, or everybody."""

    pid: int


@attrs.frozen
class ClockChange:
    """A moment at which the clock of the store was set, by so many seconds forward."""

    at: float
    by: float


@attrs.frozen
class Request:
    """A token request, as its sender noted it.

    Attributes:
        looked: When it last saw that it held the lease.
        until: How long that lease was good for, if nothing extended it.
        sent: When the first byte left.
        saved: When what came of it was saved.
        broken: When its connection broke before an answer.
        given_up: When it was given up without one.
    """

    looked: float
    until: float
    sent: float
    saved: float = math.inf
    broken: float = math.inf
    given_up: float = math.inf


@attrs.frozen(kw_only=True)
class Record:
    """All that is known of a run.

    Attributes:
        requests: What each process noted of its requests, by process and number.
        kills: When each process was killed.
        stops: When each process was stopped.
        outages: When the store was away.
        clock_changes: When the clock was set by which the store ends its leases.
        lease_seconds: How long a lease lives.
        patience: The least seconds that an answer is waited for; given up before, it is no cause.
    """

    exchanges: Sequence[Exchange]
    requests: Mapping[tuple[int, int], Request] = attrs.field(
        factory=dict[tuple[int, int], Request]
    )
    kills: Mapping[int, float] = attrs.field(factory=dict[int, float])
    stops: Sequence[Stop] = ()
    outages: Sequence[Span] = ()
    clock_changes: Sequence[ClockChange] = ()
    lease_seconds: float
    patience: float


@attrs.frozen
class Repetition:
    """One refresh token that came again.

    Attributes:
        cause: What nobody could have helped; None where nothing is proven.
    """

    before: Exchange
    again: Exchange
    cause: Cause | None

    @property
    def late(self) -> float:
        """How many seconds after the exchange it came again."""
        return self.again.at - self.before.at


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
    return Counter(str(repetition.cause or "no proven cause") for repetition in found)


def _cause(record: Record, before: Exchange, again: Exchange) -> Cause | None:
    first = record.requests.get((before.pid, before.number))
    second = record.requests.get((again.pid, again.number))
    if second is not None and _was_woken(record, again, second):
        return Cause.WOKEN
    if first is None or first.saved <= again.at:
        return None  # it was saved: whoever came after should have found it
    if before.struck == "cut":
        return Cause.CUT_OFF
    if _was_unanswered(record, before, first, again):
        return Cause.UNANSWERED
    return _lost(record, before, first, again)


def _was_unanswered(record: Record, before: Exchange, first: Request, again: Exchange) -> bool:
    """Tell whether the first presenter had no answer, nor hope of one, when the second came.

    Its time ran on while it was stopped right before the first byte, too.
    """
    stood = any(
        stop.pid in {before.pid, EVERYBODY} and first.looked <= stop.at <= first.sent
        for stop in record.stops
    )
    began = first.looked if stood else first.sent
    waited = first.given_up - began >= record.patience
    return first.broken <= again.at or (waited and first.given_up <= again.at)


def _was_woken(record: Record, again: Exchange, second: Request) -> bool:
    """Tell whether the second presenter lost its lease between its last look and the first byte.

    That byte leaves a moment after its sender has noted it, and a stop may come between the two:
    what arrives after the end of a stop had not left before.
    """
    return any(
        stop.pid in {again.pid, EVERYBODY}
        and second.looked <= stop.at
        and second.until <= stop.until <= again.at
        for stop in record.stops
    )


def _lost(record: Record, before: Exchange, first: Request, again: Exchange) -> Cause | None:
    """Return what kept the first presenter from saving, if that is proven."""
    earlier = _set_forward(record, first.looked, again.at)
    if again.pid == before.pid or again.at < first.until - earlier:
        return None  # nobody took over, or nobody was allowed to
    killed = record.kills.get(before.pid)
    if killed is not None and first.sent <= killed <= again.at:
        return Cause.KILLED
    stopped = any(
        stop.pid in {before.pid, EVERYBODY}
        and first.looked <= stop.at <= again.at
        and _outlasts_lease(record, stop, again)
        for stop in record.stops
    )
    if stopped:
        return Cause.STOPPED
    away = any(
        first.sent <= outage.until and outage.at <= again.at and _lets_lapse(record, outage)
        for outage in record.outages
    )
    if away:
        return Cause.AWAY
    return Cause.CLOCK if again.at < first.until else None


def _set_forward(record: Record, since: float, until: float) -> float:
    """Return by how many seconds the store's clock was set forward, and not back again."""
    return max(
        0.0, sum(change.by for change in record.clock_changes if since <= change.at <= until)
    )


def _lets_lapse(record: Record, outage: Span) -> bool:
    """Tell whether a lease may end while the store is away: two thirds of it are left at least."""
    return outage.seconds >= record.lease_seconds * 2 / 3


def _outlasts_lease(record: Record, stop: Stop, again: Exchange) -> bool:
    """Tell whether a lease ended while its holder was stopped.

    That of who was stopped for all of a lease did. It is extended after each third, so two thirds
    of it are left as a rule: who is still stopped after that when another has the lease has lost it
    to that one.
    """
    if stop.seconds >= record.lease_seconds:
        return True
    return stop.until >= again.at and again.at - stop.at >= record.lease_seconds * 2 / 3


def read_record(
    report: Mapping[str, Any],
    journal: Iterable[Mapping[str, Any]],
    *,
    kills: Mapping[int, float],
    stops: Iterable[Stop],
    outages: Iterable[Span],
    clock_changes: Iterable[ClockChange],
    lease_seconds: float,
    patience: float,
) -> Record:
    """Return the record that a server's report, the workers' journals and a driver make.

    Args:
        report: Of the server.
        journal: Lines of all workers.
        kills: The driver's.
        stops: The driver's.
        outages: The driver's.
        clock_changes: The driver's.
        lease_seconds: What the workers' store was opened with.
        patience: Seconds that a try has at least by the workers' policy.
    """
    requests: dict[tuple[int, int], Request] = {}
    stood: list[Stop] = []
    for line in journal:
        if line["what"] == "stood":
            stood.append(Stop(pid=line["pid"], at=line["since"], until=line["until"]))
        elif line["what"] == "sent":
            requests[line["pid"], line["number"]] = Request(
                line["looked"], line["until"], line["at"]
            )
        elif line["what"] in {"saved", "broken", "given_up"}:
            request = line["pid"], line["number"]
            requests[request] = attrs.evolve(requests[request], **{line["what"]: line["at"]})
    return Record(
        exchanges=[Exchange(**exchange) for exchange in report["exchanges"]],
        requests=requests,
        kills=kills,
        stops=[*stops, *stood],
        outages=[*outages],
        clock_changes=[*clock_changes],
        lease_seconds=lease_seconds,
        patience=patience,
    )
