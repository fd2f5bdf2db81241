"""A run that takes too long says so, and which tests are to blame."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from tests.duration import LONGEST, MOST_SHOWN, reasons, warning

ROOT = Path(__file__).parents[1]


def report(
    name: str, seconds: float, when: Literal["setup", "call", "teardown"] = "call"
) -> pytest.TestReport:
    return pytest.TestReport(name, ("", 0, name), {}, "passed", None, when, duration=seconds)


def test_a_run_in_time_says_nothing() -> None:
    assert warning([report("t", 300.0)], LONGEST) == []


def test_a_run_that_was_too_long_names_the_ten_slowest_and_the_slowest_first() -> None:
    reports = [report(f"t{number}", float(number)) for number in range(12)]

    first, *slowest = warning([*reports, report("t3", 50.0, "setup")], 361.0)

    assert first == "WARNING: the tests took 361 s, more than 360 s; the slowest are:"
    assert len(slowest) == 10
    assert [line.split() for line in slowest[:2]] == [["53.00", "s", "t3"], ["11.00", "s", "t11"]]


def test_why_a_test_got_a_second_try_is_told_by_its_end() -> None:
    first = pytest.TestReport(
        "t", ("", 0, "t"), {}, "failed", "a" * 2 * MOST_SHOWN + "E  the reason", "call"
    )

    (told,) = reasons([first])

    assert told.startswith("the first try of t:\naaa")
    assert told.endswith("E  the reason")
    assert len(told) < MOST_SHOWN + 100


@pytest.mark.parametrize("limit, processes, warned", [("0", "1", True), ("59", "0", False)])
def test_pytest_shows_it(limit: str, processes: str, *, warned: bool) -> None:
    """What one of its processes runs is shown by the one that a person looks at."""
    test = "tests/protocol/test_pkce.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "no:cacheprovider"]

    done = subprocess.run(  # noqa: S603 - our own tests
        [*command, f"--slow-after={limit}", test],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ("WARNING: the tests took" in done.stdout) is warned
    assert (f" s  {test}::" in done.stdout) is warned
