"""What happens to a fleet: kills, stops, cut connections, a store that is restarted."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import anyio
import anyio.to_thread
import attrs
from anyio.abc import TaskGroup

from oauthkit import OAuthKitError, TokenStore

from .attribution import Repetition, Stop, causes, repetitions
from .redis_server import RedisServer
from .running import Fleet

STOPPED: Final = (3.0, 4.0)
"""Seconds; a lease ends meanwhile."""

TICK: Final = 1.0
"""Seconds between a worker's notes on itself, and some more."""

BACKENDS: Final = ("asyncio", "asyncio", "asyncio", "trio")


@attrs.define
class Chaos:
    """Disturb a fleet for a while.

    Attributes:
        done: How many times what was done.
    """

    fleet: Fleet
    store: TokenStore
    redis: RedisServer | None
    seed: int
    workers: int = 8
    done: Counter[str] = attrs.field(factory=Counter[str])
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - what happens is to be repeatable

    async def run(self, seconds: float) -> None:
        """Start the workers, disturb them, and let them end."""
        await self.fleet.login(self.store)
        for number in range(self.workers):
            self._start(f"w{number}")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._revive)
            tasks.start_soon(self._log_in_again)
            async with anyio.create_task_group() as stops:
                with anyio.move_on_after(seconds):
                    await self._disturb(stops)
            tasks.cancel_scope.cancel()
        await anyio.sleep(3.0)  # the last lease of somebody dead ends
        await self.fleet.end()

    def _start(self, name: str) -> None:
        self.fleet.start(name, backend=BACKENDS[int(name[1:]) % len(BACKENDS)])

    async def _disturb(self, stops: TaskGroup) -> None:
        await anyio.sleep(2.0)
        while True:
            await anyio.sleep(self._random.uniform(0.3, 1.1))
            what = self._random.choices(
                ["cut", "strike dead", "strike still", "kill", "stop", "restart the store"],
                [25, 8, 8, 20, 20, 10 if self.redis else 0],
            )[0]
            await self._do(what, stops)

    async def _do(self, what: str, stops: TaskGroup) -> None:
        seconds = self._random.uniform(*STOPPED)
        name = self._random.choice(sorted(self.fleet.running()) or [""])
        if what in {"cut", "strike dead", "strike still"}:
            if (await self.fleet.told("state"))["orders"]:
                return
            order = {"cut": "cut", "strike dead": "kill", "strike still": "stop"}[what]
            await self.fleet.told("order", what=order, seconds=seconds)
        elif what == "kill" and name:
            self.fleet.kill(name)
        elif what == "stop" and name:
            stops.start_soon(self.fleet.stop, name, seconds)
        elif self.redis is not None:
            self.redis.kill()
            await anyio.sleep(self._random.uniform(0.0, 0.5))
            await anyio.to_thread.run_sync(self.redis.start)
        self.done[what] += 1

    async def _revive(self) -> None:
        while True:
            await anyio.sleep(0.3)
            for name in self.fleet.dead():
                self._start(name)
                self.fleet.restarts += 1

    async def _log_in_again(self) -> None:
        """Be the resource owner, who is sent to log in when a family is lost."""
        while True:
            await anyio.sleep(0.1)
            if not (await self.fleet.told("state"))["alive"]:
                try:
                    await self.fleet.login(self.store)
                except OAuthKitError:
                    continue  # the store is being restarted


@attrs.frozen
class Findings:
    """What came out of a run."""

    rows: dict[str, Any]
    repeated: list[Repetition]
    lost: int
    logins: int
    renewals: int

    @property
    def unknown(self) -> list[Repetition]:
        """Refresh tokens presented twice for no reason that is proven."""
        return [repetition for repetition in self.repeated if repetition.cause is None]

    def __str__(self) -> str:
        """Return a table."""
        width = max(len(name) for name in self.rows)
        return "\n".join(f"  {name:<{width}}  {value}" for name, value in self.rows.items())


async def findings(chaos: Chaos) -> Findings:
    """Read the server's report, the driver's notes and the workers' journals together."""
    fleet = chaos.fleet
    state = await fleet.told("state")
    record = await fleet.record()
    repeated = repetitions(record)
    ticks = fleet.journal.lines("tick")
    counted: Counter[str] = Counter()
    for tick in ticks:
        counted.update(tick["counted"])
    rows = {
        "seed": chaos.seed,
        "done": ", ".join(f"{what} {count}" for what, count in sorted(chaos.done.items())),
        "workers started again": fleet.restarts,
        "renewals": state["renewals"],
        "refresh tokens presented twice": len(repeated),
        "  by cause": ", ".join(f"{cause} {n}" for cause, n in sorted(causes(repeated).items())),
        "families lost": state["lost"],
        "logins after the first": fleet.logins - 1,
        "API calls answered": sum(n for what, n in counted.items() if what.startswith("status")),
        "  with 401": counted["status 401"],
        "API calls failed for want of a token": counted["no token"],
        "  until a login": counted["login wanted"],
        "calls cancelled": counted["cancelled"],
        "longest wait": f"{_longest_wait(ticks, record.stops):.2f} s",
    }
    rows |= {what: n for what, n in sorted(counted.items()) if what.startswith("API not")}
    rows |= {
        f"  unknown {number}": repetition
        for number, repetition in enumerate(repeated, 1)
        if repetition.cause is None
    }
    return Findings(rows, repeated, state["lost"], fleet.logins - 1, state["renewals"])


def _longest_wait(ticks: Iterable[Mapping[str, Any]], stops: Sequence[Stop]) -> float:
    """Return the longest time a call took in a process that was not stopped meanwhile."""
    return max(
        (
            tick["longest"]
            for tick in ticks
            if not any(
                stop.pid == tick["pid"]
                and stop.at < tick["at"]
                and stop.until > tick["at"] - tick["longest"] - TICK
                for stop in stops
            )
        ),
        default=0.0,
    )
