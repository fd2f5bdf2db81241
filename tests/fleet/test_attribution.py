"""Attribution never gives the benefit of a doubt: each rule, in both directions."""

from typing import Any, Final

import attrs
import pytest

from .attribution import (
    EVERYBODY,
    Cause,
    ClockChange,
    Exchange,
    Record,
    Repetition,
    Request,
    Span,
    Stop,
    causes,
    read_record,
    repetitions,
)

LEASE: Final = 3.0
PATIENCE: Final = 0.15
FIRST: Final = Exchange(refresh_token="r1", presenter="a", pid=1, number=1, at=10.0, status=200)
AGAIN: Final = Exchange(refresh_token="r1", presenter="b", pid=2, number=1, at=13.5, status=400)
SENT: Final = {(1, 1): Request(9.98, 12.9, 9.99), (2, 1): Request(13.48, 16.4, 13.49)}


def cause(*exchanges: Exchange, **known: Any) -> Cause | None:
    known = {"requests": SENT, **known}
    record = Record(
        exchanges=exchanges or (FIRST, AGAIN), lease_seconds=LEASE, patience=PATIENCE, **known
    )
    (repetition,) = repetitions(record)
    return repetition.cause


def saved(at: float) -> dict[tuple[int, int], Request]:
    return {**SENT, (1, 1): attrs.evolve(SENT[1, 1], saved=at)}


def second(looked: float, until: float, sent: float) -> dict[tuple[int, int], Request]:
    return {**SENT, (2, 1): Request(looked, until, sent)}


def test_nothing_is_attributed_by_default() -> None:
    assert cause() is None


def test_different_refresh_tokens_are_no_repetition() -> None:
    other = attrs.evolve(AGAIN, refresh_token="r2")

    assert (
        repetitions(Record(exchanges=[FIRST, other], lease_seconds=LEASE, patience=PATIENCE)) == []
    )


# Cut off


def test_an_answer_that_was_cut_off_is_a_cause() -> None:
    struck = attrs.evolve(FIRST, struck="cut")

    assert cause(struck, attrs.evolve(AGAIN, at=10.1)) is Cause.CUT_OFF
    assert cause(struck, attrs.evolve(AGAIN, pid=1, number=2, at=10.1)) is Cause.CUT_OFF


def test_another_fault_of_the_server_is_no_cause() -> None:
    assert cause(attrs.evolve(FIRST, struck="delay"), AGAIN) is None


# Without an answer


@pytest.mark.parametrize("at, excused", [(10.0, True), (13.5, True), (13.6, False)])
def test_a_connection_that_broke_before_the_repetition_is_a_cause(
    at: float, *, excused: bool
) -> None:
    broken = {**SENT, (1, 1): attrs.evolve(SENT[1, 1], broken=at)}

    assert cause(requests=broken) is (Cause.UNANSWERED if excused else None)


@pytest.mark.parametrize(
    "at, excused", [(10.0, False), (10.13, False), (10.15, True), (13.5, True), (13.6, False)]
)
def test_an_answer_that_did_not_come_in_time_is_a_cause_if_it_was_waited_for(
    at: float, *, excused: bool
) -> None:
    given_up = {**SENT, (1, 1): attrs.evolve(SENT[1, 1], given_up=at)}

    assert cause(requests=given_up) is (Cause.UNANSWERED if excused else None)


@pytest.mark.parametrize("at, pid, excused", [(9.5, 1, True), (9.3, 1, False), (9.5, 2, False)])
def test_the_time_of_who_was_stopped_right_before_the_first_byte_ran_on(
    at: float, pid: int, *, excused: bool
) -> None:
    """It looked at 9.4, was stopped until 9.99, sent, and had 40 ms left."""
    given_up = {**SENT, (1, 1): Request(9.4, 12.4, 9.99, given_up=10.03)}
    stop = Stop(pid=pid, at=at, until=9.99)

    found = cause(requests=given_up, stops=[stop])
    assert found is (Cause.UNANSWERED if excused else None)


def test_an_answer_that_was_saved_was_had() -> None:
    saved_too = {**SENT, (1, 1): attrs.evolve(SENT[1, 1], broken=10.0, saved=10.1)}

    assert cause(requests=saved_too) is None


# Killed


@pytest.mark.parametrize(
    "killed,expected",
    [
        (10.01, Cause.KILLED),
        (13.4, Cause.KILLED),
        (9.995, Cause.KILLED),  # while its request was on its way
        (9.98, None),  # before it had sent
        (13.6, None),  # after the repetition
    ],
)
def test_a_presenter_killed_between_its_request_and_the_repetition_is_a_cause(
    killed: float, expected: Cause | None
) -> None:
    assert cause(kills={1: killed}) is expected


def test_another_process_killed_is_no_cause() -> None:
    assert cause(kills={2: 11.0}) is None
    assert cause(kills={3: 11.0}) is None


def test_nobody_killed_or_stopped_is_a_cause_while_the_lease_still_ran() -> None:
    """Two had it at once then, and that is a fault of the store."""
    early = attrs.evolve(AGAIN, at=12.8)

    assert cause(FIRST, early, kills={1: 10.5}) is None
    assert cause(FIRST, early, stops=[Stop(pid=1, at=10.0, until=14.0)]) is None


# Stopped after sending


@pytest.mark.parametrize(
    "at,until,expected",
    [
        (10.0, 14.0, Cause.STOPPED),
        (10.0, 13.1, Cause.STOPPED),
        (9.985, 13.4, Cause.STOPPED),  # before the first byte, and after the last look
        (9.97, 13.4, None),  # before its last look
        (11.4, 14.3, Cause.STOPPED),  # two thirds of its lease were left, or less
        (11.6, 14.4, None),  # more must have been left
        (11.6, 14.7, Cause.STOPPED),  # for all of a lease, whatever was left
        (10.0, 12.9, None),  # for less than its lease
        (10.0, 10.8, None),
        (5.0, 9.0, None),  # before it presented anything
        (13.6, 17.0, None),  # after the repetition
    ],
)
def test_only_a_first_presenter_stopped_beyond_its_lease_after_its_last_look_is_a_cause(
    at: float, until: float, expected: Cause | None
) -> None:
    assert cause(stops=[Stop(pid=1, at=at, until=until)]) is expected


def test_a_machine_that_stood_still_stopped_everybody() -> None:
    assert cause(stops=[Stop(pid=EVERYBODY, at=10.0, until=13.1)]) is Cause.STOPPED
    assert cause(stops=[Stop(pid=EVERYBODY, at=10.0, until=12.9)]) is None
    woken = [Stop(pid=EVERYBODY, at=10.5, until=13.45)]
    assert cause(stops=woken, requests=second(10.4, 13.4, 13.46)) is Cause.WOKEN


@pytest.mark.parametrize(
    "at,until,expected",
    [
        (10.0, 13.4, Cause.AWAY),
        (9.0, 11.1, Cause.AWAY),  # it began before the first byte
        (11.2, 13.2, Cause.AWAY),
        (11.2, 13.1, None),  # for less than was left of any lease
        (7.0, 9.98, None),  # before it presented anything
        (13.6, 17.0, None),  # after the repetition
    ],
)
def test_a_store_that_was_away_until_a_lease_was_over_is_a_cause(
    at: float, until: float, expected: Cause | None
) -> None:
    assert cause(outages=[Span(at, until)]) is expected


def test_whoever_comes_before_the_end_of_the_lease_is_not_excused_by_an_outage() -> None:
    soon = attrs.evolve(AGAIN, at=12.8)

    assert cause(FIRST, soon, outages=[Span(10.0, 12.7)]) is None
    assert cause(outages=[Span(10.0, 13.4)], requests=saved(13.3)) is None


def test_two_short_stops_are_not_one_long_one() -> None:
    stops = [Stop(pid=1, at=10.0, until=11.6), Stop(pid=1, at=11.7, until=13.3)]

    assert cause(stops=stops) is None


def test_another_process_stopped_is_no_cause() -> None:
    assert cause(stops=[Stop(pid=3, at=10.0, until=14.0)]) is None


def test_a_process_that_presents_it_again_itself_has_no_stop_for_an_excuse() -> None:
    """Nobody took over, and the answer was there when it woke up."""
    itself = attrs.evolve(AGAIN, pid=1, number=2)

    assert cause(FIRST, itself, stops=[Stop(pid=1, at=10.0, until=13.4)]) is None


# Saved


@pytest.mark.parametrize(
    "known",
    [
        {"kills": {1: 11.0}},
        {"stops": [Stop(pid=1, at=10.5, until=15.0)]},
    ],
)
def test_a_presenter_that_had_saved_is_no_cause_whatever_became_of_it(
    known: dict[str, Any],
) -> None:
    assert cause(**known) is not None
    assert cause(**known, requests=saved(10.02)) is None


def test_who_was_cut_off_and_saved_all_the_same_is_no_cause() -> None:
    struck = attrs.evolve(FIRST, struck="cut")

    assert cause(struck, AGAIN, requests=saved(10.3)) is None


def test_a_save_after_the_repetition_is_no_excuse_and_no_obstacle() -> None:
    stops = [Stop(pid=1, at=10.0, until=14.0)]

    assert cause(stops=stops, requests=saved(14.1)) is Cause.STOPPED
    assert cause(requests=saved(14.1)) is None


# Woken before the first byte


@pytest.mark.parametrize(
    "at,until,expected",
    [
        (9.9, 13.4, Cause.WOKEN),
        (9.9, 12.6, Cause.WOKEN),
        (9.9, 12.4, None),  # its lease was good when it woke up
        (9.7, 13.4, None),  # it looked at its lease after it woke up, or should have
        (13.495, 17.0, None),  # after the first byte, which had arrived before it woke up
    ],
)
def test_a_second_presenter_stopped_between_its_last_look_and_the_first_byte_is_a_cause(
    at: float, until: float, expected: Cause | None
) -> None:
    """Whether or not the first one had saved: the second one cannot know."""
    known = {"stops": [Stop(pid=2, at=at, until=until)]}
    requests = second(9.8, 12.5, 13.49)

    assert cause(**known, requests=requests) is expected
    assert cause(**known, requests={**requests, (1, 1): saved(10.02)[1, 1]}) is expected


def test_a_stop_right_after_the_note_of_the_first_byte_came_before_that_byte() -> None:
    stops = [Stop(pid=2, at=9.91, until=13.4)]

    assert cause(stops=stops, requests=second(9.8, 12.5, 9.9)) is Cause.WOKEN


def test_a_request_that_arrived_while_its_sender_was_stopped_had_left_before() -> None:
    stops = [Stop(pid=2, at=9.9, until=13.6)]

    assert cause(stops=stops, requests=second(9.8, 12.5, 13.49)) is None


def test_another_process_stopped_before_its_first_byte_is_no_cause() -> None:
    assert cause(stops=[Stop(pid=3, at=9.9, until=13.4)], requests=second(9.8, 12.5, 13.49)) is None


# A clock that was set


@pytest.mark.parametrize(
    "at,clock_changes,expected",
    [
        (12.0, [ClockChange(11.0, 0.9)], Cause.CLOCK),
        (12.0, [ClockChange(11.0, 0.8)], None),  # the lease still ran
        (12.0, [ClockChange(11.0, 1.5), ClockChange(11.5, -1.5)], None),
        (12.0, [ClockChange(9.9, 5.0)], None),  # before the last look, which was right after it
        (12.0, [ClockChange(12.1, 5.0)], None),
        (12.0, [ClockChange(11.0, -5.0)], None),
        (13.5, [ClockChange(11.0, 5.0)], None),  # it was over anyway
    ],
)
def test_a_store_whose_clock_was_set_forward_ends_a_lease_early(
    at: float, clock_changes: list[ClockChange], expected: Cause | None
) -> None:
    again = attrs.evolve(AGAIN, at=at)

    assert cause(FIRST, again, clock_changes=clock_changes) is expected


def test_what_else_befell_the_first_presenter_is_the_cause_where_a_clock_was_set_too() -> None:
    early, clock_changes = attrs.evolve(AGAIN, at=12.0), [ClockChange(11.0, 2.0)]

    assert cause(FIRST, early, kills={1: 10.5}, clock_changes=clock_changes) is Cause.KILLED


# What somebody may have helped


@pytest.mark.parametrize(
    "stops",
    [
        [],
        [Stop(pid=1, at=10.0, until=10.8), Stop(pid=2, at=13.0, until=13.4)],
    ],
    ids=["nothing", "short stops of both"],
)
def test_what_a_client_must_bear_is_no_cause(stops: list[Stop]) -> None:
    """A record knows no ends that were asked for, and no calls that were cancelled."""
    assert cause(stops=stops) is None
    assert {field.name for field in attrs.fields(Record)} == {
        *("exchanges", "requests", "kills", "stops", "outages", "clock_changes"),
        *("lease_seconds", "patience"),
    }


def test_a_third_presenter_needs_a_cause_of_its_own() -> None:
    """The first one was killed, the second had the answer and time to save it."""
    third = attrs.evolve(AGAIN, pid=3, number=1, at=20.0)
    requests = {**SENT, (3, 1): Request(19.9, 22.9, 19.95)}
    record = Record(
        exchanges=[FIRST, AGAIN, third],
        requests=requests,
        kills={1: 11.0},
        stops=[Stop(pid=1, at=10.0, until=14.0)],
        lease_seconds=LEASE,
        patience=PATIENCE,
    )

    assert [found.cause for found in repetitions(record)] == [Cause.KILLED, None]


# What is not known


def test_a_request_of_which_its_sender_noted_nothing_has_no_excuse() -> None:
    stops = [Stop(pid=1, at=10.0, until=14.0), Stop(pid=2, at=9.9, until=13.4)]

    assert cause(kills={1: 11.0}, stops=stops, requests={}) is None


def test_each_repetition_has_its_own_cause() -> None:
    third = attrs.evolve(AGAIN, pid=3, at=17.0)
    record = Record(
        exchanges=[third, AGAIN, FIRST],
        requests=SENT,
        kills={1: 10.1},
        lease_seconds=LEASE,
        patience=PATIENCE,
    )
    found = repetitions(record)

    assert causes(found) == {Cause.KILLED: 1, "no proven cause": 1}
    assert found[1] == Repetition(AGAIN, third, None)


def test_a_record_is_read_from_what_everybody_noted() -> None:
    journal = [
        {"what": "sent", "pid": 1, "number": 1, "looked": 9.98, "until": 12.9, "at": 9.99},
        {"what": "tick", "pid": 1, "at": 10.0},
        {"what": "saved", "pid": 1, "number": 1, "at": 10.02},
        {"what": "sent", "pid": 1, "number": 2, "looked": 10.03, "until": 13.1, "at": 10.04},
        {"what": "broken", "pid": 1, "number": 2, "at": 10.05},
        {"what": "sent", "pid": 1, "number": 3, "looked": 10.06, "until": 13.2, "at": 10.07},
        {"what": "given_up", "pid": 1, "number": 3, "at": 10.37},
        {"what": "stood", "pid": 2, "since": 10.4, "until": 11.4, "at": 11.41},
    ]
    report = {"exchanges": [attrs.asdict(FIRST)]}
    stops = [Stop(pid=1, at=1.0, until=2.0)]

    outages, clock_changes = [Span(3.0, 4.0)], [ClockChange(6.0, -1.0)]

    record = read_record(
        report,
        journal,
        kills={4: 5.0},
        stops=stops,
        outages=outages,
        clock_changes=clock_changes,
        lease_seconds=LEASE,
        patience=PATIENCE,
    )

    assert record.exchanges == [FIRST]
    assert record.requests == {
        (1, 1): Request(9.98, 12.9, 9.99, 10.02),
        (1, 2): Request(10.03, 13.1, 10.04, broken=10.05),
        (1, 3): Request(10.06, 13.2, 10.07, given_up=10.37),
    }
    assert (record.kills, record.outages) == ({4: 5.0}, outages)
    assert record.stops == [*stops, Stop(pid=2, at=10.4, until=11.4)]
    assert record.clock_changes == clock_changes
