"""What is said of a test run that took too long, and of a test that needed two tries."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import pytest

LONGEST: Final = 360.0
"""Seconds for all tests on the machine of the CI, as CONTRIBUTING says."""
SHOWN: Final = 10
MOST_SHOWN: Final = 6_000
"""Characters of a failure: its end says what failed."""


def warning(
    reports: Iterable[pytest.TestReport], seconds: float, *, limit: float = LONGEST
) -> list[str]:
    """Return the lines that a run of so many seconds deserves, the slowest tests in them."""
    if seconds <= limit:
        return []
    durations: dict[str, float] = defaultdict(float)
    for report in reports:
        durations[report.nodeid] += report.duration  # setup, call and teardown
    slowest = sorted(durations.items(), key=lambda item: item[1], reverse=True)
    return [
        f"WARNING: the tests took {seconds:.0f} s, more than {limit:.0f} s; the slowest are:",
        *(f"{spent:7.2f} s  {name}" for name, spent in slowest[:SHOWN]),
    ]


def reasons(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return why tests got a second try: what passes then would else leave no trace of it."""
    return [
        f"the first try of {report.nodeid}:\n{report.longreprtext[-MOST_SHOWN:]}"
        for report in reports
    ]
