"""What two processes and a person do at the same time, one case each."""

from pathlib import Path

import anyio
import pytest

from oauthkit import TokenStore

from .attribution import Cause
from .cases import one_renewal
from .orders import Phase
from .running import KEY, fleet, opened_store
from .settings import Place


@pytest.fixture
def backend(place: Place) -> str:
    """Use both event loops, and not each with each store: every test takes seconds."""
    return "trio" if place.path else "asyncio"


async def watched(store: TokenStore, seconds: float) -> list[int]:
    """Return the numbers of the stored refresh tokens, in the order in which they were there."""
    seen: list[int] = []
    with anyio.move_on_after(seconds):
        while True:
            token = await store.load(KEY)
            if token is not None and token.refresh_token is not None:
                seen.append(int(token.refresh_token.rpartition("-")[2]))
            await anyio.sleep(0.01)
    return seen


async def test_a_logout_while_a_token_is_renewed_is_final(
    tmp_path: Path, place: Place, backend: str
) -> None:
    async with one_renewal(tmp_path, place) as case:
        await case.fleet.told("delay", seconds=0.5)
        await case.fleet.start("a", backend=backend)
        await case.fleet.start("b", backend=backend)
        await case.renewed()

        await case.store.delete(KEY)

        for _ in range(75):
            assert await case.store.load(KEY) is None
            await anyio.sleep(0.02)
        await case.fleet.end()
        assert case.fleet.journal.counted("login wanted") > 0
        assert case.fleet.journal.lines("saved") == []


async def test_a_process_that_wakes_up_never_replaces_a_newer_token(
    tmp_path: Path, place: Place, backend: str
) -> None:
    async with one_renewal(tmp_path, place, grace=10.0) as case:
        await case.fleet.told("lives", seconds=1.0)
        case.fleet.orders.place(Phase.EXCHANGED)
        sleeper = await case.fleet.start("sleeper", backend=backend)
        claim = await case.fleet.at(Phase.EXCHANGED)
        other = await case.fleet.start("other", backend=backend)
        await case.noted("saved", other)
        case.fleet.resume(claim)

        seen = await watched(case.store, 3.0)

        assert seen == sorted(seen)
        saved = case.fleet.journal.lines("saved", pid=sleeper)
        assert all(line["number"] > 1 for line in saved), "its late save was refused"
        assert case.fleet.journal.lines("adopted", pid=sleeper)
        assert await case.causes() == [Cause.STOPPED]
        assert await case.lost() == 0


async def test_the_death_of_who_renews_goes_unnoticed_with_leeway_enough(
    tmp_path: Path, place: Place, backend: str
) -> None:
    """The leeway, 5 s of a life of 10 s, is longer than lease and timeout together."""
    async with (
        opened_store(place) as store,
        fleet(tmp_path, place, grace=10.0, expires_in=10.0) as running,
    ):
        running.orders.place(Phase.EXCHANGED)
        running.tasks, running.pause = 20, 0.2
        for name in ("a", "b", "c"):
            await running.start(name, backend=backend)
        await anyio.sleep(3.0)  # a token that ages while processes start would tell little
        await running.login(store)
        claim = await running.at(Phase.EXCHANGED)
        running.kill(claim.pid)
        with anyio.fail_after(20):
            while not running.journal.lines("saved"):  # noqa: ASYNC110 - of another process
                await anyio.sleep(0.05)
        await anyio.sleep(3.0)  # the token from before has expired by now
        await running.end()

        assert running.journal.counted("no token") == 0
        assert running.journal.counted("status 200") > 500
        found = [repetition.cause for repetition in await running.repetitions()]
        assert found == [Cause.KILLED]
        assert (await running.told("state"))["lost"] == 0


async def test_wall_clocks_that_differ_let_no_two_processes_renew_at_once(
    tmp_path: Path,
) -> None:
    """A file's leases end by the machine's monotonic clock, which both processes share."""
    place = Place(path=str(tmp_path / "tokens.db"))
    async with one_renewal(tmp_path, place) as case:
        await case.fleet.told("lives", seconds=1.0)
        case.fleet.tasks, case.fleet.pause = 10, 0.2
        ahead = await case.fleet.start("ahead", clock_ahead=30.0)
        right = await case.fleet.start("right", backend="trio")
        for phase in (Phase.EXCHANGED, Phase.ANSWERED) * 2:
            case.fleet.orders.place(phase)
            claim = await case.fleet.at(phase)
            await anyio.sleep(case.fleet.times.lease_seconds / 2)
            stop = case.fleet.resume(claim)
            await case.noted("saved", claim.pid, since=stop.until)
        await anyio.sleep(3.0)
        await case.fleet.end()

        assert case.fleet.journal.lines("saved", pid=ahead)
        assert case.fleet.journal.lines("saved", pid=right) or case.fleet.journal.lines(
            "adopted", pid=right
        )
        await case.stored()
        assert await case.causes() == []
        assert await case.lost() == 0
