"""What a fleet of workers does together, and what must be true of it whatever its size."""

import random
from itertools import pairwise
from typing import Final

import anyio
import trio

from oauthkit import RenewalPolicy

from .world import SERVER_SECONDS, World

HOUR: Final = 3600.0
LIFE: Final = 60.0
LEEWAY: Final = RenewalPolicy().leeway
LIVES: Final = {10: 10, 100: 3, 1000: 1}
"""For how many lives of the token a fleet of this size is watched."""


def lasted(workers: int) -> float:
    """Return for how many seconds a fleet of this size is watched at work."""
    return LIFE * LIVES[workers] + 10.0


async def outage_over(world: World) -> None:
    """Let all workers find at the same moment that the token expired long ago."""
    await world.login()
    await anyio.sleep(world.life + 1)
    world.counted()
    async with anyio.create_task_group() as tasks:
        for session in world.sessions:
            tasks.start_soon(world.token, session)


def find_the_token_expired(workers: int) -> None:
    """Require that a fleet asks once, and waits hardly longer than for the server."""
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

    with trio.move_on_after(lasted(world.workers)):
        async with anyio.create_task_group() as tasks:
            for number in range(world.workers):
                tasks.start_soon(worker, number)


def be_at_work(workers: int) -> None:
    """Require that a fleet at work asks once per expiry, and hardly waits."""
    world = World(workers, life=LIFE, policy=RenewalPolicy())

    world.run(at_work)

    asked_at = [request.at for request in world.fake.token_requests]
    assert len(asked_at) >= LIVES[workers]
    assert all(later - at > LIFE - LEEWAY - 1 for at, later in pairwise(asked_at)), "one each time"
    assert world.fake.presented_twice == 0
    assert max(world.waits) <= 0.02
    assert world.counted() / workers / lasted(workers) * HOUR <= 720
