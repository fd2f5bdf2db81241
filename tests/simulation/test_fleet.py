"""Fleets of 10 and 100 workers over one store; those of 1,000 are in `deeper`.

docs/fleet.md shows these bounds.
"""

from typing import Final

import anyio
import httpx
import pytest

from oauthkit import AsyncTokenSession, Recovery, RenewalPolicy, StoreError

from .stories import HOUR, LIFE, at_work, be_at_work, find_the_token_expired, lasted
from .world import KEY, SERVER_SECONDS, World

LEASE: Final = 60.0
"""Seconds: the stores' own `lease_seconds`."""
SIZES: Final = pytest.mark.parametrize("workers", [10, 100])


@SIZES
def test_a_fleet_that_finds_its_token_expired_asks_the_server_once(workers: int) -> None:
    find_the_token_expired(workers)


@SIZES
def test_a_fleet_at_work_asks_the_server_once_per_expiry_and_hardly_waits(workers: int) -> None:
    be_at_work(workers)


def test_most_store_operations_of_a_fleet_at_work_are_looks_for_a_logout() -> None:
    """A longer `recheck` saves them."""
    world = World(100, life=LIFE, policy=RenewalPolicy(recheck=60.0))

    world.run(at_work)

    assert world.counted() / 100 / lasted(100) * HOUR <= 130


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


async def holder_dead(world: World) -> None:
    """Let somebody die with the lease while all the others ask for a token again and again."""
    await world.login()
    await anyio.sleep(world.life + 1)
    client = world.client()

    async def worker(session: AsyncTokenSession) -> None:
        while True:
            try:
                await world.token(session)
                break
            except StoreError:
                await anyio.sleep(0.1)

    async with world.store(client).lease(KEY):
        client.die()
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for session in world.sessions:
                tasks.start_soon(worker, session)
        world.waits[:] = [anyio.current_time() - began]


def test_a_lease_whose_holder_died_is_taken_over_as_it_ends_however_long_that_took() -> None:
    """Who waited for it in vain waits again at once: a grace window does not wait."""
    world = World(10, life=LIFE, policy=RenewalPolicy(timeout=10.0))

    world.run(holder_dead)

    late = max(world.waits) - LEASE - SERVER_SECONDS
    assert late <= 10.0 / 20 + 0.1, "the pause between two looks is a twentieth of the wait"
    assert len(world.fake.token_requests) == 1


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
