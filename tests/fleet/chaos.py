"""What happens to a fleet: everything, at every moment of a renewal, at random and by a seed."""

import enum
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
import anyio.to_thread
import attrs
from anyio.abc import TaskGroup, TaskStatus

from oauthkit import OAuthKitError, TokenStore

from .orders import Claim, Phase
from .outages import Outages
from .running import Fleet, until
from .settings import LIFE, key_of
from .watch import BEAT

EVERY: Final = (0.15, 0.45)
"""Seconds between two things that are done, or ordered."""
SHORT: Final = (0.2, 0.8)
LONG: Final = (3.2, 4.0)
"""Seconds that a process is stopped: well within a lease, and beyond it."""
AWAY: Final = (0.3, 0.8)
"""Seconds that the store is away: the next one may begin while the lease was not extended yet."""
CALM: Final = 1.5
"""Seconds between two short disturbances of one thing, in which leases are extended."""
HURT: Final = 9.0
"""Seconds in which a renewal that was hit is spared: who takes it over may be long in coming."""
LONGEST_LAST: Final = 40.0
"""Seconds after which the last of what was done must be overcome; it fails whatever comes later."""
LONG_LIFE: Final = 2 * LONG[1]
"""Seconds that a token lives for which somebody who was stopped will come late: it is renewed in
the second half of its life, and then no grace window helps who has the one before."""
SLACK: Final = 0.25
"""Seconds by which a thing may last longer than it was to, and which every window has room for."""
BACKENDS: Final = ("asyncio", "asyncio", "asyncio", "trio")
TICK: Final = 0.015


class What(enum.StrEnum):
    """What happens to a process, or to the whole fleet while that process is stopped."""

    SHORT_STOP = "stopped within its lease"
    LONG_STOP = "stopped beyond its lease"
    KILL = "killed"
    END = "asked to end"
    CANCEL = "all its calls cancelled"
    AWAY = "store away"


class Fault(enum.StrEnum):
    """What the authorization server does to a request."""

    CUT = "cut off after the exchange"
    BUSY = "503 with Retry-After"
    LOST = "request lost before the exchange"
    SHUT = "connections refused"


OFTEN: Final = {
    What.SHORT_STOP: 3,
    What.LONG_STOP: 1,
    What.KILL: 1,
    What.END: 2,
    What.CANCEL: 2,
    What.AWAY: 2,
}
"""How often, beside the others: what costs a lease keeps a key from being renewed for all of it."""
COSTLY: Final = frozenset({What.LONG_STOP, What.KILL})
NEEDS_STORE: Final = frozenset({What.LONG_STOP, What.AWAY})
"""What is not done to a process that was stopped in the middle of a write: an SQLite file stays
locked then, to all others for longer than a lease, or to who is to lock it before it goes on."""
WORDS: Final = {Fault.CUT: "cut", Fault.BUSY: "busy", Fault.LOST: "lost"}


@attrs.define(eq=False)
class Chaos:
    """Disturb a fleet for a while.

    Attributes:
        spares: Whether a renewal that was hit is spared until it is over, as a grace window needs.
        done: How many times what was done, in which phase where that is known.
        ends: How long processes took to end that were asked to.
        overrun: Seconds by which something took longer than it was to, in sum.
    """

    fleet: Fleet
    store: TokenStore
    outages: Outages
    seed: int
    spares: bool
    workers: int = 8
    done: Counter[tuple[What, Phase | None]] = attrs.field(
        factory=Counter[tuple[What, Phase | None]]
    )
    faults: Counter[Fault] = attrs.field(factory=Counter[Fault])
    restarts: int = 0
    ends: list[float] = attrs.field(factory=list[float])
    overrun: float = 0.0
    _random: random.Random = attrs.field(init=False)
    _intended: dict[Phase, What] = attrs.field(factory=dict[Phase, What])
    _hurt: dict[str, float] = attrs.field(factory=dict[str, float])
    _shaken: dict[int, float] = attrs.field(factory=dict[int, float])
    _locks: dict[int, anyio.Lock] = attrs.field(factory=dict[int, anyio.Lock])
    _to_come: int = 0
    _away: bool = False
    _back: float = 0.0
    _started: int = 0

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - what happens is to be repeatable
        self.fleet.outages = self.outages.spans

    async def run(self, seconds: float) -> None:
        """Start the workers, disturb them, and let them end."""
        for number in range(self.fleet.keys):
            await self.fleet.login(self.store, key_of(number))
        for number in range(self.workers):
            await self._start(f"w{number}")
        await until(lambda: len(self.fleet.journal.lines("begun")) == self.workers)
        await self._shake(seconds)
        await self.fleet.end()

    async def _shake(self, seconds: float) -> None:
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._revive)
            helpers.start_soon(self._log_in_again)
            if self.spares and self.outages.redis is not None:
                helpers.start_soon(self._follow_clock)
            async with anyio.create_task_group() as events:
                async with anyio.create_task_group() as driver:
                    driver.start_soon(self._deal, events)
                    with anyio.move_on_after(seconds):
                        await self._disturb(events)
                    driver.cancel_scope.cancel()
                for phase in list(self._intended):
                    self.fleet.orders.withdraw(phase)
            await self._deal_with_the_last()
            await self._settle()
            helpers.cancel_scope.cancel()

    async def _deal_with_the_last(self) -> None:
        for claim in self.fleet.orders.taken():
            if await self.fleet.stopped(claim.pid):
                self.fleet.resume(claim)

    async def _settle(self) -> None:
        """Wait until every login is alive, and the store has the last that the server gave for it.

        The last lease of somebody dead has to end before, and the last lost login to be noticed.
        """
        with anyio.fail_after(LONGEST_LAST):
            for number in range(self.fleet.keys):
                while not await self._is_stored(key_of(number)):  # noqa: ASYNC110 - elsewhere
                    await anyio.sleep(0.05)

    async def _is_stored(self, key: str) -> bool:
        token = await self.store.load(key)
        return token is not None and bool(
            await self.fleet.told("unspent", refresh_token=token.refresh_token)
        )

    # Workers, and their user

    async def _start(self, name: str) -> None:
        self._started += 1
        backend = BACKENDS[int(name[1:]) % len(BACKENDS)]
        # A client of coredis is a block that must be left, and then nothing is open any more.
        may_leave = backend == "asyncio" or self.outages.redis is None
        leaves_open = may_leave and self._started % 2 == 0
        await self.fleet.start(name, backend=backend, leaves_open=leaves_open)

    async def _revive(self) -> None:
        while True:
            await anyio.sleep(0.1)
            for name in await self.fleet.dead():
                pid = self.fleet.workers[name]
                if pid in self.fleet.asked and pid not in self.fleet.kills:
                    self.ends.append(time.monotonic() - self.fleet.asked[pid])
                await self._start(name)
                self.restarts += 1

    async def _log_in_again(self) -> None:
        """Be the resource owner, who is sent to log in when a login is lost."""
        while True:
            await anyio.sleep(0.1)
            for key in (await self.fleet.told("state"))["dead"]:
                with suppress(OAuthKitError):  # the store is away
                    await self.fleet.login(self.store, key)

    async def _follow_clock(self) -> None:
        """Widen the grace window where Redis's clock was set back: its leases are longer then."""
        changes, known = self.fleet.clock_changes, 0
        while True:
            await anyio.sleep(BEAT)
            back = sum(max(0.0, -change.by) for change in changes[known:])
            known = len(changes)
            if back:
                await self.fleet.told("forgive", seconds=back)

    # What happens

    async def _disturb(self, events: TaskGroup) -> None:
        choices: list[Callable[[TaskGroup], Awaitable[None]]] = [
            self._order,
            self._fail,
            self._strike_anywhere,
        ]
        while True:
            await anyio.sleep(self._random.uniform(*EVERY))
            (choice,) = self._random.choices(choices, [8, 2, 2])
            await choice(events)

    async def _order(self, events: TaskGroup) -> None:
        """Have something happen to whoever comes to a phase next."""
        free = [phase for phase in Phase if phase not in self._intended]
        if not free:
            return
        phase = self._random.choice(free)
        self._intend(phase, self._something())
        if phase is Phase.PAUSING:  # nobody pauses without a reason
            await self._fail_so(self._random.choice([Fault.BUSY, Fault.LOST]))
        if phase is Phase.SAVING and Phase.ANSWERED not in self._intended:
            self._intend(Phase.ANSWERED, What.AWAY)

    def _something(self) -> What:
        (what,) = self._random.choices(list(OFTEN), list(OFTEN.values()))
        return what

    def _intend(self, phase: Phase, what: What) -> None:
        self._intended[phase] = what
        self.fleet.orders.place(phase)

    async def _fail(self, events: TaskGroup) -> None:
        """Have the server fail."""
        await self._fail_so(self._random.choice(list(Fault)))

    async def _fail_so(self, fault: Fault) -> None:
        if fault is Fault.SHUT:
            await self.fleet.told("shut", seconds=self._random.uniform(0.1, 0.4))
        elif (await self.fleet.told("state"))["faults"]:
            return
        else:
            await self.fleet.told("fault", what=WORDS[fault])
        self.faults[fault] += 1

    async def _strike_anywhere(self, events: TaskGroup) -> None:
        """Have something happen to some worker, whatever it does just now."""
        what = self._something()
        names = await self.fleet.running()
        if what is What.AWAY:
            events.start_soon(self._go_away)
        elif names:
            pid = self.fleet.workers[self._random.choice(sorted(names))]
            events.start_soon(self._strike, self.fleet.halt(pid), what)

    async def _deal(self, events: TaskGroup) -> None:
        """See who has taken an order, and do what was intended."""
        while True:
            for claim in self.fleet.orders.taken():
                assert claim.phase is not None
                what = self._intended.pop(claim.phase)
                events.start_soon(self._strike, claim, what)
            await anyio.sleep(TICK)

    async def _strike(self, claim: Claim, what: What) -> None:
        """Do something to a process that is stopped, or about to be."""
        async with self._locks.setdefault(claim.pid, anyio.Lock()):
            if not await self.fleet.stopped(claim.pid):
                return  # somebody else has let it go on, or killed it
            if not await self._is_allowed(claim, what):
                self.fleet.resume(claim)
                return
            self.done[what, claim.phase] += 1
            await self._do(claim, what)

    async def _do(self, claim: Claim, what: What) -> None:
        if what is What.KILL:
            self.fleet.kill(claim.pid)
            return
        if what in {What.SHORT_STOP, What.LONG_STOP}:
            longest = SHORT if what is What.SHORT_STOP else LONG
            seconds = self._random.uniform(*longest)
            async with self._late(claim):
                await anyio.sleep(seconds)
            await self._forgive(time.monotonic() - claim.at - seconds)
        elif what is What.END:
            self.fleet.ask_to_end(claim.pid)
        elif what is What.CANCEL:
            self.fleet.cancel_calls(claim.pid)
        else:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._go_away)
                self.fleet.resume(claim)
            return
        self.fleet.resume(claim)
        self._shaken[claim.pid] = time.monotonic()

    @asynccontextmanager
    async def _late(self, claim: Claim) -> AsyncGenerator[None]:
        """Let tokens live for longer while somebody is stopped right before the first byte."""
        if claim.phase is not Phase.WINDOW or not self.spares:
            yield
            return
        self._to_come += 1
        await self.fleet.told("lives", seconds=LONG_LIFE)
        try:
            yield
        finally:
            self._to_come -= 1
            if not self._to_come:
                await self.fleet.told("lives", seconds=LIFE)

    async def _is_allowed(self, claim: Claim, what: What) -> bool:
        now = time.monotonic()
        if what is What.SHORT_STOP and now - self._shaken.get(claim.pid, 0.0) < CALM:
            return False  # two of them could be as long as a lease
        if what is What.AWAY and (self._away or now - self._back < CALM):
            return False
        if what in NEEDS_STORE and not await anyio.to_thread.run_sync(self.outages.is_free):
            return False
        if what in COSTLY and self.spares:
            keys = [claim.key] if claim.key else [key_of(n) for n in range(self.fleet.keys)]
            if any(now - self._hurt.get(key, 0.0) < HURT for key in keys):
                return False
            self._hurt.update(dict.fromkeys(keys, now))
        return True

    async def _go_away(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take the store away for a while."""
        seconds = self._random.uniform(*AWAY)
        kind = self._random.choice(self.outages.kinds)
        if not self._away and time.monotonic() - self._back >= CALM:
            self._away = True
            async with self.outages.away(kind):
                task_status.started()
                await anyio.sleep(seconds)
            self._away, self._back = False, time.monotonic()
            await self._forgive(self.outages.spans[-1].seconds - seconds)
        else:
            task_status.started()

    async def _forgive(self, seconds: float) -> None:
        """Widen the grace window by what something took longer than it was to.

        How wide a window must be follows from how long things take.
        """
        if seconds < SLACK:
            return
        self.overrun += seconds
        if self.spares:
            await self.fleet.told("forgive", seconds=seconds)
