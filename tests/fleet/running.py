"""A fleet of real processes around some keys of one store, and what is known of it."""

import json
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import httpx
import redis.asyncio

from oauthkit import Token, TokenStore
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

from .attribution import ClockChange, Record, Repetition, Span, Stop, read_record, repetitions
from .forker import Forker, the_forker
from .orders import Claim, Orders, Phase, orders_in
from .settings import (
    LIFE,
    Place,
    ServerSettings,
    SteadyClock,
    Times,
    WorkerSettings,
    journal_in,
    key_of,
    urls_in,
)
from .watch import watched

PATIENCE: Final = 30.0
KEY: Final = key_of(0)


async def until(condition: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait until something is so; the deadline is an error."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - another process sets no event here
            await anyio.sleep(0.02)


@attrs.define
class Journal:
    """What all workers wrote down."""

    path: Path

    def lines(self, what: str | None = None, *, pid: int | None = None) -> list[dict[str, Any]]:
        """Return the lines, of one kind or all, of one process or all."""
        if not self.path.exists():
            return []
        # a process killed while it wrote leaves no half line: each is one `write`
        lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        return [
            line for line in lines if what in {None, line["what"]} and pid in {None, line["pid"]}
        ]

    def counted(self, what: str) -> int:
        """Return how many calls came to something."""
        return sum(tick["counted"].get(what, 0) for tick in self.lines("tick"))


@asynccontextmanager
async def opened_store(place: Place, *, lease_seconds: float = 3.0) -> AsyncGenerator[TokenStore]:
    """Open the fleet's store, as one more member of it."""
    if place.path is not None:
        async with SQLiteStore(place.path, lease_seconds=lease_seconds) as store:
            yield store
    else:
        async with redis.asyncio.Redis(port=place.port or 0, socket_timeout=5) as client:
            yield RedisStore(client, lease_seconds=lease_seconds)


@attrs.define(eq=False)
class Fleet:
    """Workers, and the server they ask.

    Attributes:
        url: Of the API.
        token_url: Of the token endpoint.
        place: Where the store is.
        directory: For files.
        keys: How many keys there are.
        tasks: How many tasks a worker has for each.
        pause: Seconds between two calls of a task, on average.
        kills: When each process was killed.
        stops: When processes were stopped.
        outages: When the store was away.
        clock_changes: When the machine's wall clock was set.
        asked: When processes were asked to end.
        crashes: How processes ended that nobody had killed, other than well.
    """

    url: str
    token_url: str
    place: Place
    directory: Path
    forker: Forker
    times: Times
    clock: SteadyClock
    keys: int = 1
    tasks: int = 5
    pause: float = 1.0
    kills: dict[int, float] = attrs.field(factory=dict[int, float])
    stops: list[Stop] = attrs.field(factory=list[Stop])
    outages: list[Span] = attrs.field(factory=list[Span])
    clock_changes: list[ClockChange] = attrs.field(factory=list[ClockChange])
    asked: dict[int, float] = attrs.field(factory=dict[int, float])
    crashes: list[str] = attrs.field(factory=list[str])
    logins: int = 0
    workers: dict[str, int] = attrs.field(factory=dict[str, int])
    _states: dict[int, str] = attrs.field(factory=dict[int, str])
    _control: httpx.AsyncClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._control = httpx.AsyncClient(base_url=f"{self.url}/control", timeout=PATIENCE)
        self.orders.prepare()

    @property
    def journal(self) -> Journal:
        return Journal(journal_in(self.directory))

    @property
    def orders(self) -> Orders:
        return orders_in(self.directory)

    async def told(self, what: str, /, **order: Any) -> Any:
        """Tell or ask the server something."""
        return (await self._control.post(what, json=order)).json()

    async def login(self, store: TokenStore, key: str = KEY, *, expired: bool = False) -> Token:
        """Send the resource owner to log in.

        Args:
            store: Where the token is saved.
            key: Under which key.
            expired: Whether it was long ago: who comes next has to renew.
        """
        token = Token.from_dict(await self.told("login", key=key))
        if expired:
            token = attrs.evolve(token, expires_at=token.issued_at)
        await store.save(key, token)
        self.logins += 1
        return token

    # Workers

    async def start(
        self,
        name: str,
        *,
        backend: str = "asyncio",
        leaves_open: bool = False,
        clock_ahead: float = 0.0,
    ) -> int:
        """Start a worker, and return its process.

        Args:
            name: How the server and the journal call it.
            backend: The event loop.
            leaves_open: Whether it closes nothing when it is asked to end.
            clock_ahead: Seconds by which its wall clock is ahead.
        """
        settings = WorkerSettings(
            name=name,
            url=self.url,
            token_url=self.token_url,
            place=self.place,
            directory=str(self.directory),
            times=self.times,
            backend=backend,
            leaves_open=leaves_open,
            keys=self.keys,
            tasks=self.tasks,
            pause=self.pause,
            clock=self.clock.ahead(clock_ahead),
        )
        pid = self.forker.worker(settings)
        self.workers[name], self._states[pid] = pid, "running"
        return pid

    async def look(self) -> None:
        """Bring up to date what is known of the processes."""
        for pid, state in self.forker.states().items():
            if pid not in self._states:
                continue  # the server
            self._states[pid] = state
            if state.startswith("ended") and state != "ended 0" and pid not in self.kills:
                self.crashes.append(f"{pid} {state}")

    async def state(self, pid: int) -> str:
        """Return whether a process is running, stopped or ended."""
        await self.look()
        return self._states[pid].partition(" ")[0]

    async def dead(self) -> list[str]:
        """Return the names of workers that have ended."""
        await self.look()
        return [name for name, pid in self.workers.items() if self._states[pid][:5] == "ended"]

    async def running(self) -> list[str]:
        """Return the names of workers that have neither ended nor are stopped."""
        await self.look()
        return [name for name, pid in self.workers.items() if self._states[pid] == "running"]

    async def gone(self, pid: int, *, seconds: float = PATIENCE) -> None:
        """Wait for the end of a process."""
        with anyio.fail_after(seconds):
            while await self.state(pid) != "ended":  # noqa: ASYNC110 - another process sets no event
                await anyio.sleep(0.02)

    # What is done to them

    async def at(self, phase: Phase, *, seconds: float = PATIENCE) -> Claim:
        """Wait until somebody is stopped in a phase for which there is an order."""
        with anyio.fail_after(seconds):
            while True:
                for claim in self.orders.taken():
                    if claim.phase is phase:
                        await self.stopped(claim.pid)
                        return claim
                await anyio.sleep(0.01)

    def halt(self, pid: int) -> Claim:
        """Stop a process wherever it is."""
        claim = Claim(None, pid, "", time.monotonic())
        self.signal(pid, signal.SIGSTOP)
        return claim

    async def stopped(self, pid: int, *, seconds: float = 5.0) -> bool:
        """Wait until a process that is being stopped stands still, and tell whether it does."""
        with anyio.move_on_after(seconds):
            while await self.state(pid) == "running":  # noqa: ASYNC110 - likewise
                await anyio.sleep(0.003)
        return self._states[pid] == "stopped"

    def resume(self, claim: Claim) -> Stop:
        """Let a process go on, and note how long it was stopped."""
        stop = Stop(pid=claim.pid, at=claim.at, until=time.monotonic())
        self.stops.append(stop)
        self.signal(claim.pid, signal.SIGCONT)
        return stop

    def stops_of(self, pid: int) -> list[Stop]:
        """Return when a process was stopped."""
        return [stop for stop in self.stops if stop.pid == pid]

    def kill(self, pid: int) -> None:
        """Kill a process, as `kill -9` does."""
        self.kills[pid] = time.monotonic()
        self.signal(pid, signal.SIGKILL)

    def ask_to_end(self, pid: int) -> None:
        """Ask a process to end, as who shuts a machine down does; once, for twice would kill it."""
        if pid not in self.asked:
            self.asked[pid] = time.monotonic()
            self.signal(pid, signal.SIGTERM)

    def cancel_calls(self, pid: int) -> None:
        """Have a process cancel every call that is on its way, as soon as it goes on."""
        if pid not in self.asked:  # nobody listens at its end
            self.signal(pid, signal.SIGUSR1)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal, unless the process has ended."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    async def end(self) -> None:
        """Ask every worker to end, and wait for it."""
        for pid in self.workers.values():
            self.signal(pid, signal.SIGCONT)
            self.ask_to_end(pid)
        for pid in self.workers.values():
            await self.gone(pid)

    async def record(self) -> Record:
        """Return all that is known of the run."""
        return read_record(
            await self.told("report"),
            self.journal.lines(),
            kills=self.kills,
            stops=self.stops,
            outages=self.outages,
            # an SQLite file's leases go by the monotonic clock
            clock_changes=self.clock_changes if self.place.path is None else (),
            lease_seconds=self.times.lease_seconds,
            patience=self.times.timeout / 10,  # a try with less time left is not begun
        )

    async def repetitions(self) -> list[Repetition]:
        """Return the refresh tokens that were presented twice."""
        return repetitions(await self.record())

    async def aclose(self) -> None:
        """Leave no process behind."""
        for pid in self.workers.values():
            if await self.state(pid) != "ended":
                self.signal(pid, signal.SIGKILL)
                await self.gone(pid)
        await self._control.aclose()


@asynccontextmanager
async def fleet(
    directory: Path,
    place: Place,
    *,
    grace: float = 0.0,
    expires_in: float = LIFE,
    times: Times | None = None,
) -> AsyncGenerator[Fleet]:
    """Start the server, and give a fleet without workers."""
    forker, told, clock = the_forker(), urls_in(directory), SteadyClock()
    settings = ServerSettings(
        grace=grace, expires_in=expires_in, directory=str(directory), clock=clock
    )
    server = forker.server(settings)
    try:
        await until(told.exists)
        urls = json.loads(told.read_text(encoding="utf-8"))
        running = Fleet(
            url=urls["url"],
            token_url=urls["token_url"],
            place=place,
            directory=directory,
            forker=forker,
            times=times or Times(),
            clock=clock,
        )
        try:
            with watched(running.stops.append, running.clock_changes.append):
                yield running
        finally:
            with anyio.CancelScope(shield=True):
                await running.aclose()
    finally:
        os.kill(server, signal.SIGKILL)
