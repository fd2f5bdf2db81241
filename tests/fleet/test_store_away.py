"""A store that is away, or was set back, in the middle of a renewal."""

import sqlite3
from pathlib import Path
from typing import Final

import anyio
import pytest

from .cases import one_renewal
from .orders import Phase
from .outages import Outages
from .redis_server import RedisServer
from .running import KEY
from .settings import Place, Times

SHORT_SAVES: Final = Times(timeout=1.5, save_timeout=0.5, lease_seconds=4.0)
IN_REDIS: Final = f"oauthkit:{{{KEY}}}:token"
LONG_LEASE: Final = Times(timeout=1.5, save_timeout=0.5, lease_seconds=8.0)


@pytest.fixture
def backend(place: Place) -> str:
    """Use both event loops, and not each with each store: every test takes seconds."""
    return "trio" if place.path else "asyncio"


@pytest.mark.parametrize("kind", ["locked", "restarted", "stopped"])
async def test_a_store_away_for_longer_than_a_save_may_take_costs_nobody_a_login(
    tmp_path: Path, outages: Outages, backend: str, kind: str, round_: int
) -> None:
    """The answer waits to be saved, and the lease outlasts the outage."""
    if kind not in outages.kinds:
        pytest.skip(f"this store is never {kind}")
    async with one_renewal(tmp_path, outages.place, times=SHORT_SAVES) as case:
        case.fleet.orders.place(Phase.ANSWERED)
        holder = await case.fleet.start("holder", backend=backend)
        claim = await case.fleet.at(Phase.ANSWERED)
        other = await case.fleet.start("other", backend=backend)
        async with outages.away(kind):
            case.fleet.resume(claim)
            await anyio.sleep(5 * SHORT_SAVES.save_timeout)

        await case.noted("saved", holder)
        await case.noted("adopted", other)
        await case.end_with_the_same_token(holder, other)
        (span,) = outages.spans
        assert SHORT_SAVES.save_timeout < span.seconds < SHORT_SAVES.lease_seconds
        assert await case.presented() == 1
        assert await case.lost() == 0


async def test_a_file_locked_for_longer_than_sqlite_waits_costs_nobody_a_login(
    tmp_path: Path, round_: int
) -> None:
    """SQLite itself waits for five seconds, with all else in line behind it."""
    place = Place(path=str(tmp_path / "tokens.db"))
    outages = Outages(place, None)
    async with one_renewal(tmp_path, place, times=LONG_LEASE) as case:
        case.fleet.orders.place(Phase.ANSWERED)
        holder = await case.fleet.start("holder", backend="asyncio")
        claim = await case.fleet.at(Phase.ANSWERED)
        other = await case.fleet.start("other", backend="trio")
        async with outages.away("locked"):
            case.fleet.resume(claim)
            await anyio.sleep(6.0)

        await case.noted("saved", holder)
        await case.noted("adopted", other)
        await case.end_with_the_same_token(holder, other)
        assert await case.presented() == 1
        assert await case.lost() == 0


@pytest.mark.parametrize("phase", [Phase.LEASED, Phase.ARRIVED, Phase.EXCHANGED, Phase.SAVED])
async def test_a_store_away_for_less_than_a_lease_costs_nobody_a_login_in_any_phase(
    tmp_path: Path, outages: Outages, backend: str, phase: Phase, round_: int
) -> None:
    async with one_renewal(tmp_path, outages.place) as case:
        case.fleet.orders.place(phase)
        holder = await case.fleet.start("holder", backend=backend)
        claim = await case.fleet.at(phase)
        other = await case.fleet.start("other", backend=backend)
        async with outages.away(outages.kinds[-1]):
            case.fleet.resume(claim)
            await anyio.sleep(case.fleet.times.lease_seconds / 2)

        await case.noted("saved", holder)
        await case.noted("adopted", other)
        await case.end_with_the_same_token(holder, other)
        assert await case.presented() == 1
        assert await case.lost() == 0


async def test_a_store_that_was_set_back_is_given_the_newer_token_by_who_spent_the_older(
    tmp_path: Path, place: Place, backend: str, request: pytest.FixtureRequest, round_: int
) -> None:
    """So does a replica that lagged behind and took over, or a backup that was restored."""
    async with one_renewal(tmp_path, place) as case:
        await case.fleet.told("lives", seconds=2.0)
        older = await kept(request, place)
        renewer = await case.fleet.start("renewer", backend=backend)
        await case.noted("saved", renewer)
        await case.fleet.told("lives", seconds=60.0)

        await put_back(request, place, older)
        assert await case.store.load(KEY) == case.first

        await case.noted("restored", renewer)
        await case.renewed(times=2)
        await case.end_with_the_same_token(renewer)
        assert await case.causes() == []
        assert await case.lost() == 0


async def kept(request: pytest.FixtureRequest, place: Place) -> bytes:
    """Return what the store has, as the store writes it."""
    if place.path is not None:
        with sqlite3.connect(place.path) as connection:
            (text,) = connection.execute("SELECT token FROM token").fetchone()
        connection.close()
        return str(text).encode()
    server: RedisServer = request.getfixturevalue("redis_server")
    async with server.client() as client:
        return bytes(await client.dump(IN_REDIS) or b"")


async def put_back(request: pytest.FixtureRequest, place: Place, older: bytes) -> None:
    """Write down what the store had, behind everybody's back and without any lease."""
    if place.path is not None:
        with sqlite3.connect(place.path) as connection:
            connection.execute("UPDATE token SET token = ?", (older.decode(),))
        connection.close()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with server.client() as client:
        await client.delete(IN_REDIS)
        await client.restore(IN_REDIS, 0, older)
