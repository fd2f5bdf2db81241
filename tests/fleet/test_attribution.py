"""Attribution never gives the benefit of a doubt."""

from typing import Any

import attrs
import pytest

from .attribution import Exchange, Record, Repetition, Stop, causes, repetitions

LEASE = 2.5
FIRST = Exchange(refresh_token="r1", presenter="a", pid=1, number=1, at=10.0, status=200)
AGAIN = Exchange(refresh_token="r1", presenter="b", pid=2, number=1, at=13.0, status=400)


def cause(*exchanges: Exchange, **known: Any) -> str | None:
    record = Record(exchanges=exchanges or (FIRST, AGAIN), lease_seconds=LEASE, **known)
    (repetition,) = repetitions(record)
    return repetition.cause


def test_nothing_is_attributed_by_default() -> None:
    assert cause() is None


def test_different_refresh_tokens_are_no_repetition() -> None:
    other = attrs.evolve(AGAIN, refresh_token="r2")

    assert repetitions(Record(exchanges=[FIRST, other], lease_seconds=LEASE)) == []


def test_an_answer_that_was_cut_off_is_a_cause() -> None:
    assert cause(attrs.evolve(FIRST, struck="cut"), attrs.evolve(AGAIN, at=10.1)) == "cut off"


@pytest.mark.parametrize(
    "killed,expected", [(10.01, "killed"), (12.9, "killed"), (9.0, None), (13.5, None)]
)
def test_a_presenter_killed_in_between_is_a_cause(killed: float, expected: str | None) -> None:
    assert cause(kills={1: killed}) == expected


def test_a_presenter_killed_while_its_request_was_on_its_way_is_a_cause() -> None:
    assert cause(kills={1: 9.5}) is None
    assert cause(kills={1: 9.5}, sent={(1, 1): 9.4}) == "killed"


def test_another_process_killed_is_no_cause() -> None:
    assert cause(kills={2: 11.0}) is None


def test_a_killed_presenter_is_no_cause_while_its_lease_still_ran() -> None:
    assert cause(FIRST, attrs.evolve(AGAIN, at=11.0), kills={1: 10.5}) is None


def test_a_presenter_that_had_saved_is_no_cause_whatever_became_of_it() -> None:
    saved = {(1, 1): 10.02}

    assert cause(kills={1: 11.0}, saved=saved) is None
    assert cause(attrs.evolve(FIRST, struck="cut"), AGAIN, saved=saved) is None
    assert cause(stops=[Stop(pid=1, at=10.5, until=15.0)], saved=saved) is None


def test_a_save_after_the_repetition_is_no_excuse_and_no_obstacle() -> None:
    assert cause(stops=[Stop(pid=1, at=10.0, until=14.0)], saved={(1, 1): 14.1}) == "stopped"


@pytest.mark.parametrize(
    "at,until,expected",
    [
        (10.0, 14.0, "stopped"),
        (10.0, 12.6, "stopped"),
        (10.0, 11.0, None),  # woke up within its lease
        (5.0, 9.0, None),  # before it presented anything
        (12.9, 16.0, None),  # the other had begun to wait long before
    ],
)
def test_only_a_presenter_stopped_beyond_its_lease_is_a_cause(
    at: float, until: float, expected: str | None
) -> None:
    assert cause(stops=[Stop(pid=1, at=at, until=until)]) == expected


def test_each_repetition_has_its_own_cause() -> None:
    third = attrs.evolve(AGAIN, pid=3, at=16.0)
    found = repetitions(
        Record(exchanges=[FIRST, AGAIN, third], kills={1: 10.1}, lease_seconds=LEASE)
    )

    assert causes(found) == {"killed": 1, "unknown": 1}
    assert found[1] == Repetition(AGAIN, third, None)
