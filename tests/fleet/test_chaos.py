"""A fleet to which everything happens at random, over refresh tokens that rotate."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from .chaos import Chaos, What
from .findings import Findings, findings
from .outages import Outages
from .running import fleet, opened_store

GRACE: Final = 8.0
"""Seconds: a lease (3), a timeout (1.5) and a save (1.5) together, and some for the next in line,
which may itself be stopped for a moment or told to come back in a second."""
KEYS: Final = 3
Disturbed = Callable[[float], Awaitable[Findings]]


@pytest.fixture
def disturbed(
    request: pytest.FixtureRequest,
    record_property: Callable[[str, str], None],
    outages: Outages,
    *,
    tmp_path: Path,
    seconds: float,
    seed: int,
) -> Disturbed:
    """Return what disturbs a fleet at a server with a grace window, and shows what came of it."""

    async def run(grace: float) -> Findings:
        async with (
            opened_store(outages.place) as store,
            fleet(tmp_path, outages.place, grace=grace) as running,
        ):
            running.keys = KEYS
            chaos = Chaos(running, store, outages, seed, spares=grace > 0)
            await chaos.run(seconds)
            found = await findings(chaos)
        record_property("measured", f"{request.node.name}\n{found}")
        return found

    return run


def check(found: Findings, seconds: float) -> None:
    """Refuse what is attributed to nothing, and a run in which too little happened to tell."""
    assert found.unattributed == [], str(found)
    assert found.crashes == []
    assert found.renewals > seconds / 4
    assert set(found.done) == set(What)


async def test_with_a_grace_window_no_login_is_ever_lost(
    disturbed: Disturbed, seconds: float
) -> None:
    found = await disturbed(GRACE)

    check(found, seconds)
    assert found.lost == 0, str(found)


async def test_without_a_grace_window_no_login_is_lost_but_for_a_cause_nobody_can_help(
    disturbed: Disturbed, seconds: float
) -> None:
    found = await disturbed(0.0)

    check(found, seconds)
    refused = [repetition for repetition in found.repeated if repetition.again.status != 200]
    assert 0 < found.lost <= len(refused)
