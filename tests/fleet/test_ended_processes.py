"""A process that is asked to end in the middle of a renewal: what it was given is in the store."""

from pathlib import Path
from typing import Final

import anyio
import pytest

from .cases import one_renewal
from .orders import Phase
from .outages import Outages
from .settings import Place, Times

SHORT_SAVES: Final = Times(timeout=1.5, save_timeout=1.0, lease_seconds=4.0)
WAYS: Final = {"closed": False, "left open": True}


@pytest.fixture
def backend(place: Place) -> str:
    """Use both event loops; a client of coredis cannot be left open."""
    return "trio" if place.path else "asyncio"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("phase", [Phase.ARRIVED, Phase.EXCHANGED, Phase.ANSWERED, Phase.SAVED])
async def test_who_ends_after_it_has_asked_leaves_the_answer_in_the_store(
    tmp_path: Path, place: Place, backend: str, *, phase: Phase, way: str, round_: int
) -> None:
    """Whether the session is closed, or the event loop ends with everything open."""
    async with one_renewal(tmp_path, place) as case:
        case.fleet.orders.place(phase)
        ended = await case.fleet.start("ended", backend=backend, leaves_open=WAYS[way])
        claim = await case.fleet.at(phase)

        case.fleet.ask_to_end(ended)
        case.fleet.resume(claim)

        await case.fleet.gone(ended)
        assert await case.stored() != case.first
        following = await case.fleet.start("following", backend=backend)
        await case.noted("adopted", following)
        await case.end_with_the_same_token(following)
        assert await case.presented() == 1
        assert await case.lost() == 0


async def test_on_asyncio_too_a_file_has_the_answer_of_who_ends(
    tmp_path: Path, round_: int
) -> None:
    """The threads that work for an event loop are still there at its end."""
    place = Place(path=str(tmp_path / "tokens.db"))
    async with one_renewal(tmp_path, place) as case:
        case.fleet.orders.place(Phase.EXCHANGED)
        ended = await case.fleet.start("ended", leaves_open=True)
        claim = await case.fleet.at(Phase.EXCHANGED)

        case.fleet.ask_to_end(ended)
        case.fleet.resume(claim)

        await case.fleet.gone(ended)
        assert await case.stored() != case.first
        assert await case.presented() == 1


@pytest.mark.parametrize("way", WAYS)
async def test_who_ends_before_it_has_asked_leaves_the_lease_or_the_answer_to_the_next(
    tmp_path: Path, place: Place, backend: str, way: str, round_: int
) -> None:
    """A session that is closed lets its renewals end; an event loop that ends cuts them off."""
    async with one_renewal(tmp_path, place) as case:
        case.fleet.orders.place(Phase.LEASED)
        ended = await case.fleet.start("ended", backend=backend, leaves_open=WAYS[way])
        claim = await case.fleet.at(Phase.LEASED)

        case.fleet.ask_to_end(ended)
        case.fleet.resume(claim)

        await case.fleet.gone(ended)
        following = await case.fleet.start("following", backend=backend)
        await case.served(following)
        await case.end_with_the_same_token(following)
        assert await case.presented() == 1
        assert await case.lost() == 0


@pytest.mark.parametrize("way", WAYS)
async def test_who_ends_while_the_store_is_away_waits_for_it_for_a_bounded_time(
    tmp_path: Path, outages: Outages, backend: str, way: str, round_: int
) -> None:
    """The answer is there before the process is gone, if the store is back within that time."""
    async with one_renewal(tmp_path, outages.place, times=SHORT_SAVES) as case:
        case.fleet.orders.place(Phase.ANSWERED)
        ended = await case.fleet.start("ended", backend=backend, leaves_open=WAYS[way])
        claim = await case.fleet.at(Phase.ANSWERED)
        async with outages.away(outages.kinds[0]):
            case.fleet.ask_to_end(ended)
            case.fleet.resume(claim)
            await anyio.sleep(1.2 * SHORT_SAVES.save_timeout)

        await case.fleet.gone(ended)
        assert await case.stored() != case.first
        assert await case.presented() == 1
        assert case.fleet.crashes == []


async def test_who_ends_while_the_store_stays_away_says_what_is_lost(
    tmp_path: Path, outages: Outages, backend: str, round_: int
) -> None:
    """It does not wait for ever."""
    async with one_renewal(tmp_path, outages.place, times=SHORT_SAVES) as case:
        case.fleet.orders.place(Phase.ANSWERED)
        ended = await case.fleet.start("ended", backend=backend)
        claim = await case.fleet.at(Phase.ANSWERED)
        async with outages.away(outages.kinds[0]):
            case.fleet.ask_to_end(ended)
            case.fleet.resume(claim)
            await case.fleet.gone(ended)

        assert len(case.fleet.journal.lines("unsaved", pid=ended)) == 1
        assert await case.store.load("key0") == case.first
