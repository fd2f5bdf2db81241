"""A fleet of real processes around one key of one store, and what is known of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import attrs
import httpx
import redis.asyncio

import oauthkit
from oauthkit import Token, TokenStore
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

from .attribution import Record, Stop, read_record

PROCESSES: Final = Path(__file__).parent / "processes"
PATIENCE: Final = 30.0
LEASE_SECONDS: Final = 2.5
TIMEOUT: Final = 1.5
KEY: Final = "shared"


def started(
    script: str, settings: dict[str, Any], *, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start one of the scripts beside this file, with the oauthkit that is tested here."""
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(PROCESSES / script), json.dumps(settings)],
        stdout=stdout,
        env=os.environ | {"PYTHONPATH": str(Path(oauthkit.__file__).parents[1])},
    )


def first_line(process: subprocess.Popen[bytes]) -> str:
    """Return what a process says when it is ready."""
    if process.stdout is None:
        message = "the output of the process is not piped"
        raise RuntimeError(message)
    return process.stdout.readline().decode().strip()


async def until(condition: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait until something is so; the deadline is an error."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - another process sets no event here
            await anyio.sleep(0.02)


@attrs.define
class Journal:
    """What all workers wrote down."""

    path: Path

    def lines(self, what: str | None = None) -> list[dict[str, Any]]:
        """Return the lines, of one kind or all."""
        if not self.path.exists():
            return []
        # a process killed while it wrote leaves no half line: each is one `write`
        lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if what in {None, line["what"]}]


@asynccontextmanager
async def opened_store(place: dict[str, Any]) -> AsyncGenerator[TokenStore]:
    """Open the fleet's store, as one more member of it."""
    if "path" in place:
        async with SQLiteStore(place["path"], lease_seconds=LEASE_SECONDS) as store:
            yield store
    else:
        async with redis.asyncio.Redis(port=place["port"], socket_timeout=5) as client:
            yield RedisStore(client, lease_seconds=LEASE_SECONDS)


@attrs.define
class Fleet:
    """Workers, and the server they ask.

    Attributes:
        url: Of the server.
        place: Where the store is, as the workers take it.
        directory: For files.
        pause: Seconds between two calls of a task, on average.
    """

    url: str
    place: dict[str, Any]
    directory: Path
    tasks: int = 50
    pause: float = 1.0
    kills: dict[int, float] = attrs.field(factory=dict[int, float])
    stops: list[Stop] = attrs.field(factory=list[Stop])
    logins: int = 0
    restarts: int = 0
    _workers: dict[str, subprocess.Popen[bytes]] = attrs.field(
        factory=dict[str, subprocess.Popen[bytes]]
    )
    _stopped: set[int] = attrs.field(factory=set[int])
    _control: httpx.AsyncClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._control = httpx.AsyncClient(base_url=f"{self.url}/control", timeout=PATIENCE)

    @property
    def journal(self) -> Journal:
        return Journal(self.directory / "journal")

    async def told(self, what: str, /, **order: Any) -> Any:
        """Tell or ask the server something."""
        return (await self._control.post(what, json=order)).json()

    async def login(self, store: TokenStore) -> Token:
        """Send the resource owner to log in."""
        token = Token.from_dict(await self.told("login"))
        await store.save(KEY, token)
        self.logins += 1
        return token

    def start(self, name: str, *, backend: str = "asyncio", stop: str = "") -> None:
        """Start a worker.

        Args:
            name: How the server and the journal call it.
            backend: The event loop.
            stop: Where it stops itself, once; nowhere if this is empty.
        """
        settings = {
            "name": name,
            "backend": backend,
            "stop": stop,
            "url": self.url,
            "journal": str(self.journal.path),
            "tasks": self.tasks,
            "pause": self.pause,
            "timeout": TIMEOUT,
            "lease_seconds": LEASE_SECONDS,
            **self.place,
        }
        self._workers[name] = started("worker.py", settings)

    def pid(self, name: str) -> int:
        """Return the process of a worker."""
        return self._workers[name].pid

    def dead(self) -> list[str]:
        """Return the names of workers that have ended."""
        return [name for name, process in self._workers.items() if process.poll() is not None]

    def running(self) -> list[str]:
        """Return the names of workers that are neither dead nor stopped."""
        return [
            name
            for name, process in self._workers.items()
            if process.poll() is None and process.pid not in self._stopped
        ]

    def kill(self, name: str) -> None:
        """Kill a worker, as `kill -9` does."""
        process = self._workers[name]
        self.kills[process.pid] = time.monotonic()
        process.kill()

    async def stop(self, name: str, seconds: float) -> None:
        """Stop a worker for a while."""
        process = self._workers[name]
        self._stopped.add(process.pid)
        at = time.monotonic()
        process.send_signal(signal.SIGSTOP)
        await anyio.sleep(seconds)
        self.stops.append(Stop(pid=process.pid, at=at, until=time.monotonic()))
        process.send_signal(signal.SIGCONT)
        self._stopped.discard(process.pid)

    def resume(self, name: str) -> None:
        """Let a worker go on that has stopped itself."""
        self._workers[name].send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Ask every worker to end, and wait for it."""
        for process in self._workers.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._workers.values():
            try:
                await anyio.to_thread.run_sync(process.wait, PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    async def record(self) -> Record:
        """Return all that is known of the run."""
        return read_record(
            await self.told("report"),
            self.journal.lines(),
            kills=self.kills,
            stops=self.stops,
            lease_seconds=LEASE_SECONDS,
        )

    async def aclose(self) -> None:
        """Leave no process behind."""
        for process in self._workers.values():
            process.kill()
            await anyio.to_thread.run_sync(process.wait)
        await self._control.aclose()


@asynccontextmanager
async def fleet(
    directory: Path, place: dict[str, Any], *, grace: float = 0.0, expires_in: float = 1.0
) -> AsyncGenerator[Fleet]:
    """Start the server, and give a fleet without workers."""
    settings = {"grace": grace, "expires_in": expires_in}
    server = started("server.py", settings, stdout=subprocess.PIPE)
    try:
        url = await anyio.to_thread.run_sync(first_line, server)
        running = Fleet(url, place, directory)
        try:
            yield running
        finally:
            with anyio.CancelScope(shield=True):
                await running.aclose()
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
