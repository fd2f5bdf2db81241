"""A process that is killed in the middle of a renewal, one case for each phase."""

from pathlib import Path
from typing import Final

import pytest

from .attribution import Cause
from .cases import one_renewal
from .orders import Phase
from .settings import Place

NOTHING_SPENT: Final = [Phase.LEASED, Phase.WINDOW]
ON_ITS_WAY: Final = [Phase.ARRIVED, Phase.EXCHANGED, Phase.ANSWERED]


@pytest.fixture
def backend(place: Place) -> str:
    """Use both event loops, and not each with each store: every test takes seconds."""
    return "trio" if place.path else "asyncio"


@pytest.mark.parametrize("phase", [*NOTHING_SPENT, Phase.SAVED])
async def test_a_kill_before_the_request_or_after_the_save_costs_nobody_a_login(
    tmp_path: Path, place: Place, backend: str, phase: Phase, round_: int
) -> None:
    async with one_renewal(tmp_path, place) as case:
        case.fleet.orders.place(phase)
        await case.fleet.start("killed", backend=backend)
        claim = await case.fleet.at(phase)

        case.fleet.kill(claim.pid)

        following = await case.fleet.start("following", backend=backend)
        await case.served(following)
        await case.end_with_the_same_token(following)
        assert await case.presented() == 1
        assert await case.lost() == 0


@pytest.mark.parametrize("grace", [0.0, 10.0], ids=["no grace", "grace"])
@pytest.mark.parametrize("phase", ON_ITS_WAY)
async def test_a_kill_between_the_request_and_the_save_costs_a_login_that_a_grace_window_saves(
    tmp_path: Path, place: Place, backend: str, *, phase: Phase, grace: float, round_: int
) -> None:
    """What only the killed one was to be told, nobody knows."""
    async with one_renewal(tmp_path, place, grace=grace) as case:
        case.fleet.orders.place(phase)
        await case.fleet.start("killed", backend=backend)
        claim = await case.fleet.at(phase)
        await case.renewed()

        case.fleet.kill(claim.pid)

        await case.fleet.start("following", backend=backend)
        await case.presented_again()
        assert await case.causes() == [Cause.KILLED]
        assert await case.lost() == (0 if grace else 1)
