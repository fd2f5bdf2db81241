"""Three processes, and more that goes wrong: minutes instead of seconds (`nox -s model`)."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.model.explorer import KINDS, explore
from tests.model.world import Bounds

BOUNDS: Final = {
    "2 processes, any two faults": (2, Bounds(faults=2, kinds=KINDS, again=0)),
    "2 processes, any two faults, with a grace window": (
        2,
        Bounds(faults=2, kinds=KINDS, again=0, grace=True),
    ),
    "2 processes, any one fault, two further renewals": (
        2,
        Bounds(faults=1, kinds=KINDS, again=2),
    ),
    "3 processes, any one fault": (3, Bounds(faults=1, kinds=KINDS, again=0, runs=1)),
    "3 processes, any one fault, with a grace window": (
        3,
        Bounds(faults=1, kinds=KINDS, again=0, runs=1, grace=True),
    ),
    "3 processes, no fault, one further renewal": (3, Bounds(faults=0, kinds=KINDS, again=1)),
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BOUNDS)
def test_nothing_is_lost_in_any_order_of_events(
    name: str, record_property: Callable[[str, str], None]
) -> None:
    """AT-75, AT-78, BC-15: whatever happens, within the bound."""
    processes, bounds = BOUNDS[name]
    found = explore(processes, bounds)
    record_property("measured", f"{name}: {found}")
    assert found.violation == "", found.story
    assert found.ends > 0
