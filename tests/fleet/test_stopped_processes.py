"""A process that is stopped in the middle of a renewal, one case for each phase."""

from pathlib import Path

import anyio
import pytest

from .attribution import Cause
from .cases import Case, one_renewal
from .orders import Claim, Phase
from .settings import Place


@pytest.fixture
def backend(place: Place) -> str:
    """Use both event loops, and not each with each store: every test takes seconds."""
    return "trio" if place.path else "asyncio"


async def overtaken(case: Case, phase: Phase, backend: str) -> tuple[int, int, Claim]:
    """Stop a process in a phase until another has renewed; return both, and what is resumed."""
    case.fleet.orders.place(phase)
    sleeper = await case.fleet.start("sleeper", backend=backend)
    claim = await case.fleet.at(phase)
    other = await case.fleet.start("other", backend=backend)
    await case.noted("saved", other)
    return sleeper, other, claim


async def test_who_was_stopped_between_two_tries_does_not_try_again_with_what_another_spent(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """The server had asked it to wait a second."""
    async with one_renewal(tmp_path, place) as case:
        await case.fleet.told("fault", what="busy")
        case.fleet.orders.place(Phase.PAUSING)
        sleeper = await case.fleet.start("sleeper", backend=backend)
        claim = await case.fleet.at(Phase.PAUSING)
        other = await case.fleet.start("other", backend=backend)
        await case.renewed()
        await case.noted("saved", other)

        stop = case.fleet.resume(claim)

        await case.noted("adopted", sleeper, since=stop.until)
        await case.end_with_the_same_token(sleeper, other)
        assert await case.presented() == 1
        assert await case.lost() == 0


async def test_who_was_stopped_with_its_lease_before_it_asked_presents_nothing(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """The server has no grace window: one late request, and the login would be lost."""
    async with one_renewal(tmp_path, place) as case:
        sleeper, other, claim = await overtaken(case, Phase.LEASED, backend)

        stop = case.fleet.resume(claim)

        await case.noted("adopted", sleeper, since=stop.until)
        await case.end_with_the_same_token(sleeper, other)
        assert await case.presented() == 1
        assert await case.lost() == 0


async def test_who_was_stopped_as_it_waited_for_the_lease_presents_nothing(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """When it wakes up, its patience and the other's renewal are both over."""
    async with one_renewal(tmp_path, place) as case:
        case.fleet.orders.place(Phase.LEASED)
        holder = await case.fleet.start("holder", backend=backend)
        held = await case.fleet.at(Phase.LEASED)
        case.fleet.orders.place(Phase.WAITING)
        sleeper = await case.fleet.start("sleeper", backend=backend)
        claim = await case.fleet.at(Phase.WAITING)
        case.fleet.resume(held)
        await case.noted("saved", holder)

        stop = case.fleet.resume(claim)

        await case.noted("adopted", sleeper, since=stop.until)
        await case.end_with_the_same_token(sleeper, holder)
        assert await case.presented() == 1
        assert await case.lost() == 0


async def test_a_stop_between_the_last_look_and_the_first_byte_is_a_window_that_no_client_closes(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """What the docs promise is no more than that: here it is seen, and attributed."""
    async with one_renewal(tmp_path, place) as case:
        sleeper, _other, claim = await overtaken(case, Phase.WINDOW, backend)

        stop = case.fleet.resume(claim)

        await case.noted("renewal failed", sleeper)
        assert stop.until - stop.at > case.fleet.times.lease_seconds
        assert await case.causes() == [Cause.WOKEN]
        assert await case.lost() == 1


async def test_a_grace_window_forgives_who_was_stopped_right_before_the_first_byte(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """The successor of what it presents late is not spent yet, and is given to it again."""
    async with one_renewal(tmp_path, place, grace=10.0) as case:
        sleeper, other, claim = await overtaken(case, Phase.WINDOW, backend)

        stop = case.fleet.resume(claim)

        await case.noted("adopted", sleeper, since=stop.until)
        await case.end_with_the_same_token(sleeper, other)
        assert await case.causes() == [Cause.WOKEN]
        assert await case.lost() == 0


async def test_no_grace_window_forgives_who_was_stopped_so_until_the_successor_was_spent(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """Tokens have to live for longer than that: these live for a second."""
    async with one_renewal(tmp_path, place, grace=10.0) as case:
        await case.fleet.told("lives", seconds=1.0)
        case.fleet.orders.place(Phase.WINDOW)
        sleeper = await case.fleet.start("sleeper", backend=backend)
        claim = await case.fleet.at(Phase.WINDOW)
        await case.fleet.start("other", backend=backend)
        await case.renewed(times=2)

        case.fleet.resume(claim)

        await case.noted("renewal failed", sleeper)
        assert await case.causes() == [Cause.WOKEN]
        assert await case.lost() == 1


async def test_who_was_stopped_before_its_save_saves_where_nobody_took_over(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """However late it is, and its callers notice nothing but the wait."""
    async with one_renewal(tmp_path, place) as case:
        case.fleet.orders.place(Phase.ANSWERED)
        lone = await case.fleet.start("lone", backend=backend)
        claim = await case.fleet.at(Phase.ANSWERED)
        await anyio.sleep(case.fleet.times.lease_seconds + 1)

        case.fleet.resume(claim)

        await case.noted("saved", lone)
        await case.end_with_the_same_token(lone)
        assert case.fleet.journal.lines("renewal failed") == []
        assert case.fleet.journal.counted("no token") == 0
        assert await case.presented() == 1


async def test_who_was_stopped_before_its_save_adopts_what_came_of_a_takeover(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """Its own answer is refused by the store, and its callers notice nothing but the wait."""
    async with one_renewal(tmp_path, place, grace=10.0) as case:
        sleeper, other, claim = await overtaken(case, Phase.ANSWERED, backend)

        stop = case.fleet.resume(claim)

        await case.noted("adopted", sleeper, since=stop.until)
        await case.end_with_the_same_token(sleeper, other)
        assert case.fleet.journal.lines("saved", pid=sleeper) == []
        assert case.fleet.journal.lines("renewal failed", pid=sleeper) == []
        assert await case.causes() == [Cause.STOPPED]
        assert await case.lost() == 0


async def test_who_was_stopped_for_less_than_its_lease_goes_on_as_if_nothing_was(
    tmp_path: Path, place: Place, backend: str, round_: int
) -> None:
    """In each phase in turn, one stop a renewal."""
    async with one_renewal(tmp_path, place) as case:
        phases = [Phase.LEASED, Phase.WINDOW, Phase.ARRIVED, Phase.EXCHANGED, Phase.ANSWERED]
        await case.fleet.told("lives", seconds=0.5)
        await case.fleet.start("sleeper", backend=backend)
        await case.fleet.start("other", backend=backend)
        for phase in phases:
            case.fleet.orders.place(phase)
            claim = await case.fleet.at(phase)
            await anyio.sleep(case.fleet.times.lease_seconds / 3)
            stop = case.fleet.resume(claim)
            await case.noted("saved", claim.pid, since=stop.until)
        await case.fleet.end()

        await case.stored()
        assert await case.causes() == []
        assert await case.lost() == 0
        assert case.fleet.crashes == []
