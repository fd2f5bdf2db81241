"""Two processes, one refresh token, and everything that may go wrong, in every order.

What is explored is the production's own script and state. A world is bounded by the faults in it
and by how often a process begins a renewal; within the bound there is no other world. `nox -s
model` goes further.
"""

from collections.abc import Callable
from typing import Final

import pytest

from oauthkit.renewal.revocation import Revocation
from oauthkit.renewal.script import Script
from oauthkit.renewal.state import TokenState

from .broken import BROKEN
from .explorer import KINDS, explore
from .world import Bounds

BOUNDS: Final = {
    "any one fault": Bounds(faults=1, kinds=KINDS, again=0),
    "any one fault, with a grace window": Bounds(faults=1, kinds=KINDS, again=0, grace=True),
    "no fault, two further renewals": Bounds(faults=0, kinds=KINDS, again=2),
}


MOST_FAULTS: Final = 2
"""More than two is what no broken script needs."""


@pytest.mark.parametrize("name", BOUNDS)
def test_nothing_is_lost_in_any_order_of_events(
    name: str, record_property: Callable[[str, str], None]
) -> None:
    """AT-75, AT-78, BC-15, RV-07: whatever happens, within the bound."""
    found = explore(2, BOUNDS[name])
    record_property("measured", f"2 processes, {name}: {found}")
    assert found.violation == "", found.story
    assert found.ends > 0


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_script_is_found(
    broken: type[Script] | type[Revocation] | type[TokenState],
) -> None:
    """The explorer is worth what it finds: each of these somebody might call a simplification."""
    kinds = BROKEN[broken]
    found = explore(2, Bounds(faults=MOST_FAULTS if kinds else 0, kinds=kinds, again=0), broken)
    assert found.violation != ""
    assert len(found.story) > 1


def test_the_same_bounds_lead_to_the_same_worlds() -> None:
    """Which is what makes their number worth printing."""
    bounds = BOUNDS["no fault, two further renewals"]
    assert explore(2, bounds).worlds == explore(2, bounds).worlds
