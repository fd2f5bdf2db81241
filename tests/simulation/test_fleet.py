"""Fleets of 10, 100 and 1,000 workers over one store; docs/fleet.md shows these bounds."""

import random
from typing import Final

import anyio
import pytest
import trio

from oauthkit import AsyncTokenSession, Recovery, RenewalPolicy, StoreError

from .world import SERVER_SECONDS, World

HOUR: Final = 3600.0
LIFE: Final = 120.0
LIVES: Final = {10: 10, 100: 3, 1000: 1}

SIZES: Final = pytest.mark.parametrize("workers", [10, 100, 1000])


async def outage_over(world: World) -> None:
    """Let all workers find at the same moment that the token expired long ago."""
    await world.login()
    await anyio.sleep(world.life + 1)
    world.counted()
    async with anyio.create_task_group() as tasks:
        for session in world.sessions:
            tasks.start_soon(world.token, session)


@SIZES
def test_a_fleet_that_finds_its_token_expired_asks_the_server_once(workers: int) -> None:
    world = World(workers, life=LIFE, policy=RenewalPolicy())

    world.run(outage_over)

    assert len(world.fake.token_requests) == 1
    assert world.fake.presented_twice == 0
    assert len(world.waits) == workers
    assert max(world.waits) - SERVER_SECONDS <= 0.08
    assert world.counted() / workers <= 16


async def at_work(world: World) -> None:
    """Let every worker ask every two seconds or so, for some lives of the token."""
    await world.login()

    async def worker(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a repeatable draw
        while True:
            await anyio.sleep(chance.uniform(1.0, 3.0))
            await world.token(world.sessions[number])

    with trio.move_on_after(LIFE * LIVES[world.workers] + 20.0):
        async with anyio.create_task_group() as tasks:
            for number in range(world.workers):
                tasks.start_soon(worker, number)


@SIZES
def test_a_fleet_at_work_asks_the_server_once_per_expiry_and_hardly_waits(workers: int) -> None:
    world = World(workers, life=LIFE, policy=RenewalPolicy())

    world.run(at_work)

    lasted = LIFE * LIVES[workers] + 20.0
    assert LIVES[workers] <= len(world.fake.token_requests) <= lasted / (LIFE - 30.0)
    assert world.fake.presented_twice == 0
    assert max(world.waits) <= 0.02
    assert world.counted() / workers / lasted * HOUR <= 720


def test_most_store_operations_of_a_fleet_at_work_are_looks_for_a_logout() -> None:
    """A longer `recheck` saves them."""
    world = World(100, life=LIFE, policy=RenewalPolicy(recheck=60.0))

    world.run(at_work)

    assert world.counted() / 100 / (LIFE * LIVES[100] + 20.0) * HOUR <= 130


async def store_away(world: World) -> None:
    """Let the store fail from before the server's answer until two seconds after it."""
    await world.login()
    await anyio.sleep(world.life + 1)
    errors: list[StoreError] = []

    async def worker(session: AsyncTokenSession) -> None:
        try:
            await world.token(session)
        except StoreError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for session in world.sessions:
            tasks.start_soon(worker, session)
        await anyio.sleep(SERVER_SECONDS / 2)
        world.redis.fault = ConnectionError()
        await anyio.sleep(SERVER_SECONDS / 2 + 2.0)
        world.redis.fault = None
    assert len(errors) == world.workers - 1, "all who only waited for the lease"
    assert {error.recovery for error in errors} == {Recovery.RETRY_LATER}
    assert len({await world.token(session) for session in world.sessions}) == 1


def test_who_has_the_answer_keeps_the_lease_until_the_store_is_back() -> None:
    """Given back, it would let another process spend the same refresh token."""
    world = World(10, life=LIFE, policy=RenewalPolicy())

    world.run(store_away)

    assert len(world.fake.token_requests) == 1
    assert world.fake.presented_twice == 0
