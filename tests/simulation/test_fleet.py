"""Fleets of 10, 100 and 1,000 workers over one store; docs/fleet.md shows these bounds."""

import random
from itertools import pairwise
from typing import Final

import anyio
import httpx
import pytest
import trio

from oauthkit import AsyncTokenSession, Recovery, RenewalPolicy, StoreError

from .world import KEY, SERVER_SECONDS, World

HOUR: Final = 3600.0
LIFE: Final = 60.0
LEEWAY: Final = RenewalPolicy().leeway
LIVES: Final = {10: 20, 100: 6, 1000: 1}

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
    assert max(world.waits) - SERVER_SECONDS <= 0.06
    assert world.counted() / workers <= 16


async def at_work(world: World) -> None:
    """Let every worker ask every two seconds or so, for some lives of the token."""
    await world.login()

    async def worker(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a repeatable draw
        while True:
            await anyio.sleep(chance.uniform(1.0, 3.0))
            await world.token(world.sessions[number])

    with trio.move_on_after(LIFE * LIVES[world.workers] + 10.0):
        async with anyio.create_task_group() as tasks:
            for number in range(world.workers):
                tasks.start_soon(worker, number)


@SIZES
def test_a_fleet_at_work_asks_the_server_once_per_expiry_and_hardly_waits(workers: int) -> None:
    world = World(workers, life=LIFE, policy=RenewalPolicy())

    world.run(at_work)

    lasted = LIFE * LIVES[workers] + 10.0
    asked_at = [request.at for request in world.fake.token_requests]
    assert len(asked_at) >= LIVES[workers]
    assert all(later - at > LIFE - LEEWAY - 1 for at, later in pairwise(asked_at)), "one each time"
    assert world.fake.presented_twice == 0
    assert max(world.waits) <= 0.02
    assert world.counted() / workers / lasted * HOUR <= 720


def test_most_store_operations_of_a_fleet_at_work_are_looks_for_a_logout() -> None:
    """A longer `recheck` saves them."""
    world = World(100, life=LIFE, policy=RenewalPolicy(recheck=60.0))

    world.run(at_work)

    assert world.counted() / 100 / (LIFE * LIVES[100] + 10.0) * HOUR <= 130


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


async def two_expiries(world: World) -> None:
    """Renew once so that Redis knows the scripts, and once more to be counted."""
    await world.login()
    for _ in range(2):
        await anyio.sleep(world.life + 1)
        world.counted()
        await world.token(world.sessions[0])


def test_a_renewal_takes_four_round_trips() -> None:
    world = World(1, life=LIFE, policy=RenewalPolicy())

    world.run(two_expiries)

    assert world.redis.calls == ["HGET", "ACQUIRE", "SAVE", "RELEASE"]


async def session_per_request(world: World) -> None:
    """Look at a fresh token a hundred times by a session of its own each."""
    await world.login()
    store = world.store()
    async with httpx.AsyncClient() as http:
        await world.token(world.session(http, store))
        world.counted()
        for _ in range(100):
            await world.token(world.session(http, store))
            await world.token(world.session(http, store, key="another").for_key(KEY))


def test_a_fresh_token_costs_no_store_operation_with_a_session_per_request() -> None:
    world = World(0, life=LIFE, policy=RenewalPolicy())

    world.run(session_per_request)

    assert world.redis.calls == []
    assert max(world.waits[1:]) == 0.0
