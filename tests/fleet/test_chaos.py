"""A fleet that is killed, stopped, cancelled and cut off, over one rotating refresh token."""

import sys
from pathlib import Path
from typing import Any

import pytest

from .chaos import Chaos, Findings, findings
from .running import fleet, opened_store


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    minutes: float = request.config.getoption("--minutes", 1.0)
    request.node.add_marker(pytest.mark.timeout(minutes * 60 + 60))
    return minutes * 60


async def disturbed(
    request: pytest.FixtureRequest,
    directory: Path,
    place: dict[str, Any],
    seconds: float,
    *,
    grace: float,
) -> Findings:
    redis = request.getfixturevalue("redis_server") if "port" in place else None
    seed = request.config.getoption("--seed", 1)
    async with opened_store(place) as store, fleet(directory, place, grace=grace) as running:
        chaos = Chaos(running, store, redis, seed)
        await chaos.run(seconds)
        found = await findings(chaos)
    with request.getfixturevalue("capsys").disabled():
        print(f"\n{request.node.name}\n{found}", file=sys.stderr)
    return found


@pytest.mark.usefixtures("capsys")
async def test_with_a_grace_window_no_login_is_ever_lost(
    request: pytest.FixtureRequest, tmp_path: Path, place: dict[str, Any], seconds: float
) -> None:
    """One failure per renewal, and a grace window longer than lease and timeout together."""
    found = await disturbed(request, tmp_path, place, seconds, grace=5.0)

    assert found.unknown == []
    assert (found.lost, found.logins) == (0, 0)
    assert found.renewals > seconds / 5


@pytest.mark.usefixtures("capsys")
async def test_without_a_grace_window_each_lost_login_has_a_cause_nobody_can_prevent(
    request: pytest.FixtureRequest, tmp_path: Path, place: dict[str, Any], seconds: float
) -> None:
    found = await disturbed(request, tmp_path, place, seconds, grace=0.0)

    assert found.unknown == []
    assert found.lost <= len(found.repeated)
    assert found.renewals > seconds / 5
