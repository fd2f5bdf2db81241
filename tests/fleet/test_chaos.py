"""A fleet that is killed, stopped, cancelled and cut off, over one rotating refresh token."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from .chaos import Chaos, Findings, findings
from .running import fleet, opened_store

Disturbed = Callable[[float], Awaitable[Findings]]


@pytest.fixture
def disturbed(
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    place: dict[str, Any],
    *,
    seconds: float,
    seed: int,
) -> Disturbed:
    """Return what disturbs a fleet at a server with a grace window, and shows what came of it."""
    redis = request.getfixturevalue("redis_server") if "port" in place else None
    directory: Path = request.getfixturevalue("tmp_path")

    async def run(grace: float) -> Findings:
        async with opened_store(place) as store, fleet(directory, place, grace=grace) as running:
            chaos = Chaos(running, store, redis, seed)
            await chaos.run(seconds)
            found = await findings(chaos)
        with capsys.disabled():
            sys.stdout.write(f"\n{request.node.name}\n{found}\n")
        return found

    return run


async def test_with_a_grace_window_no_login_is_ever_lost(
    disturbed: Disturbed, seconds: float
) -> None:
    """The window is longer than a lease and a timeout together, 5 s beside 2.5 s and 1.5 s."""
    found = await disturbed(5.0)

    assert found.unknown == []
    assert (found.lost, found.logins) == (0, 0)
    assert found.renewals > seconds / 4


async def test_without_a_grace_window_no_login_is_lost_but_for_a_cause_nobody_can_prevent(
    disturbed: Disturbed, seconds: float
) -> None:
    found = await disturbed(0.0)

    assert found.unknown == []
    assert found.lost <= len(found.repeated)
    assert found.renewals > seconds / 4
