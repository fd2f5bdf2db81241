"""What a shared store costs: with a fresh token nothing, and few round trips for a renewal."""

import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import httpx
import redis.asyncio

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientSecretBasic,
    MemoryStore,
    Token,
    TokenStore,
)
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

from .figures import Figure, cpu_seconds

LOOKS: Final = 2_000
ROUNDS: Final = 9
RENEWALS: Final = 20
WAITERS: Final = 200
PROCESSES: Final = 4
SLOW_RENEWAL: Final = 5.0
DEADLINE: Final = 10.0
START: Final = 60.0
SLACK: Final = 1.5
"""Of a machine that runs other things too: what is promised is the pause between two looks."""
KEY: Final = "key"
SERVER: Final = AuthorizationServer("https://auth.example/token")
CLIENT: Final = ClientSecretBasic("client", "secret")

WAITER: Final = """
import asyncio, json, sys, time
import redis.asyncio
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

async def main(place):
    store = SQLiteStore(place) if "/" in place else RedisStore(redis.asyncio.Redis(port=int(place)))
    seen = (await store.load("key")).access_token
    print("ready", flush=True)
    while True:
        async with store.lease("key") as lease:
            token = await lease.load()
        if token.access_token != seen:
            seen = token.access_token
            print(json.dumps([seen, time.monotonic()]), flush=True)
        await asyncio.sleep(0.001)

asyncio.run(main(sys.argv[1]))
"""
"""Wants the lease all the time, and says at which moment it has learned of a new token."""


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        sqlite = str(Path(directory, "tokens.db"))
        stores: dict[str, TokenStore] = {
            "SQLiteStore": await stack.enter_async_context(SQLiteStore(sqlite))
        }
        places = {"SQLiteStore": sqlite}
        if shutil.which("redis-server") is not None:
            port = await stack.enter_async_context(_redis_server(Path(directory)))
            client = await stack.enter_async_context(redis.asyncio.Redis(port=port))
            stores["RedisStore"], places["RedisStore"] = RedisStore(client), str(port)
            figures.append(await _round_trips(port))
            figures.append(await _crowd(client, stores["RedisStore"], port))
        figures += await _fresh(stores)
        figures.append(await _sqlite_crowd(stores["SQLiteStore"], sqlite))
        for name, store in stores.items():
            figures.append(await _learned(name, store, places[name]))
            figures.append(await _all_learned(name, store, places[name]))
    return figures


async def _fresh(stores: dict[str, TokenStore]) -> list[Figure]:
    """Compare a fresh token over each store with one over `MemoryStore`, a session per request."""
    figures: list[Figure] = []
    async with httpx.AsyncClient() as http:
        ways = {
            "for_key": _derived,
            "a new session": _constructed,
        }
        for way, look in ways.items():
            base = await look(http, MemoryStore())
            for name, store in stores.items():
                more = await _difference(await look(http, store), base)
                what = f"fresh token by {way}, {name} more than MemoryStore"
                figures.append(Figure(what, more * 1e6, "µs", limit=3.0))
            figures.append(Figure(f"fresh token by {way}", await _seconds(base) * 1e6, "µs"))
        for name, store in stores.items():
            asked = await _operations_of_fresh_looks(http, store)
            figures.append(Figure(f"store operations for a fresh token, {name}", asked, limit=0))
    return figures


Look = Callable[[], Awaitable[object]]


async def _derived(http: httpx.AsyncClient, store: TokenStore) -> Look:
    await store.save(KEY, _lasting("access"))
    app = AsyncTokenSession(http, server=SERVER, client_auth=CLIENT, store=store, key="app")

    async def look() -> None:
        await app.for_key(KEY).token()

    await look()
    return look


async def _constructed(http: httpx.AsyncClient, store: TokenStore) -> Look:
    await store.save(KEY, _lasting("access"))

    async def look() -> None:
        await AsyncTokenSession(
            http, server=SERVER, client_auth=CLIENT, store=store, key=KEY
        ).token()

    await look()
    return look


def _lasting(access_token: str) -> Token:
    now = time.time()
    return Token(access_token, issued_at=now, expires_at=now + 86_400, refresh_token="refresh")


async def _difference(subject: Look, base: Look) -> float:
    """Return the seconds by which one look is dearer, as the median of alternating rounds."""
    differences: list[float] = []
    for number in range(ROUNDS):
        if number % 2:
            own, other = await _seconds(subject), await _seconds(base)
        else:
            other, own = await _seconds(base), await _seconds(subject)
        differences.append(own - other)
    return statistics.median(differences)


async def _seconds(look: Look) -> float:
    async def work() -> None:
        for _ in range(LOOKS):
            await look()

    await look()  # the store may be due to be looked at again
    return await cpu_seconds(work) / LOOKS


async def _operations_of_fresh_looks(http: httpx.AsyncClient, store: TokenStore) -> int:
    """Return how often the store itself was asked for many fresh tokens."""
    look = await _derived(http, store)
    asked = 0
    load = store.load

    async def counted(key: str, /) -> Token | None:
        nonlocal asked
        asked += 1
        return await load(key)

    store.load = counted  # type: ignore[method-assign]
    try:
        for _ in range(100):
            await look()
    finally:
        del store.load
    return asked


class Counted(redis.asyncio.Redis):
    """Count the commands that are sent: the server also counts those inside scripts."""

    sent = 0

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Send a command."""
        self.sent += 1
        untyped: Any = super()
        return await untyped.execute_command(*arguments, **options)


async def _round_trips(port: int) -> Figure:
    """Count the commands of renewals."""
    now = time.time()
    answer = {
        "access_token": "next",
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token": "next",
    }
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    counts: list[int] = []
    async with httpx.AsyncClient(transport=transport) as http, Counted(port=port) as client:
        store = RedisStore(client)
        for number in range(RENEWALS + 1):
            stale = Token("old", issued_at=now - 60, expires_at=now - 1, refresh_token="refresh")
            key = f"renewed-{number}"
            await store.save(key, stale)
            session = AsyncTokenSession(
                http, server=SERVER, client_auth=CLIENT, store=store, key=key
            )
            client.sent = 0
            await session.token()
            await session.settled()
            counts.append(client.sent)
    return Figure("round trips of a renewal over RedisStore", max(counts[1:]), limit=4)


async def _learned(name: str, store: TokenStore, place: str) -> Figure:
    """Measure how soon a waiter in another process knows of a token that was renewed."""
    delays: list[float] = []
    async with _waiter(store, place) as heard:
        for number in range(RENEWALS):
            async with store.lease(KEY) as lease:
                await asyncio.sleep(0.2)  # so long asks the server; the waiter's pauses have grown
                saved = time.monotonic()
                await lease.save(_lasting(str(number)))
                line = await asyncio.wait_for(heard.readline(), DEADLINE)
            delays.append(json.loads(line)[1] - saved)
    what = f"a waiter in another process learns of a renewal, {name}"
    value = statistics.quantiles(delays, n=10)[-1] * 1e3
    return Figure(what, value, "ms", limit=50.0 * SLACK, aim=50.0)


CROWD: Final = """
import asyncio, json, sys, time
import redis.asyncio
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.stores.sqlite_table import TokenTable

looks = 0
claim = TokenTable.claim

def counted(*arguments):
    global looks
    looks += 1
    return claim(*arguments)

TokenTable.claim = counted

async def main(place, tasks):
    store = SQLiteStore(place) if "/" in place else RedisStore(redis.asyncio.Redis(port=int(place)))
    await store.load("key")
    print("ready", flush=True)

    async def wait():
        async with store.lease("key") as lease:
            await lease.load()
            return time.monotonic()

    print(json.dumps([await asyncio.gather(*(wait() for _ in range(tasks))), looks]), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
"""Many who want the lease once, and say when each of them had its answer."""


async def _all_learned(name: str, store: TokenStore, place: str) -> Figure:
    """Measure how soon nine of ten know, of all who wait in a few processes."""
    delays, _ = await _waited(store, place)
    what = f"{WAITERS} waiters in {PROCESSES} processes learn of a renewal, {name}"
    value = statistics.quantiles(delays, n=10)[-1] * 1e3
    return Figure(what, value, "ms", limit=50.0 * SLACK, aim=50.0)


async def _sqlite_crowd(store: TokenStore, place: str) -> Figure:
    _, looks = await _waited(store, place)
    what = f"looks per second of {WAITERS} waiters in {PROCESSES} processes, SQLiteStore"
    return Figure(what, looks / SLOW_RENEWAL, "per s", limit=400.0)


async def _waited(store: TokenStore, place: str) -> tuple[list[float], int]:
    """Let a crowd wait for one slow renewal; return how late each knows, and all their looks."""
    await store.save(KEY, _lasting("first"))
    command = (sys.executable, "-c", CROWD, place, str(WAITERS // PROCESSES))
    async with store.lease(KEY) as lease:
        crowd = [
            await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            for _ in range(PROCESSES)
        ]
        heard = [cast("asyncio.StreamReader", process.stdout) for process in crowd]
        for lines in heard:
            await asyncio.wait_for(lines.readline(), START)
        await asyncio.sleep(SLOW_RENEWAL)
        saved = time.monotonic()
        await lease.save(_lasting("next"))
        told = [json.loads(await asyncio.wait_for(line.readline(), DEADLINE)) for line in heard]
    for process in crowd:
        await process.wait()
    return [moment - saved for moments, _ in told for moment in moments], sum(n for _, n in told)


async def _crowd(client: redis.asyncio.Redis, store: TokenStore, port: int) -> Figure:
    """Count what many cost who wait for one slow renewal, each with a client of its own.

    They stand for as many processes: what these ask is counted here, how soon they learn is not.
    """
    await store.save(KEY, _lasting("first"))
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        stores = [
            RedisStore(await stack.enter_async_context(redis.asyncio.Redis(port=port)))
            for _ in range(WAITERS)
        ]
        before = await _operations(client)
        async with store.lease(KEY) as lease:
            waiting = [tasks.create_task(_wait(store)) for store in stores]
            await asyncio.sleep(SLOW_RENEWAL)
            await lease.save(_lasting("next"))
            await asyncio.wait(waiting)
        asked = await _operations(client) - before
    what = f"operations per second of {WAITERS} waiters on a renewal of {SLOW_RENEWAL:g} s"
    return Figure(f"{what}, RedisStore", asked / SLOW_RENEWAL, "per s", limit=400.0)


async def _wait(store: TokenStore) -> None:
    async with store.lease(KEY) as lease:
        await lease.load()


async def _operations(client: redis.asyncio.Redis) -> int:
    """Return how many the server counts, those inside scripts among them."""
    answer: Awaitable[dict[str, Any]] = cast("Any", client).info("commandstats")
    stats = await answer
    return sum(int(stat["calls"]) for name, stat in stats.items() if name != "cmdstat_info")


@asynccontextmanager
async def _waiter(store: TokenStore, place: str) -> AsyncGenerator[asyncio.StreamReader]:
    """Run a process that wants the lease, and give what it says."""
    await store.save(KEY, _lasting("first"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WAITER, place), stdout=asyncio.subprocess.PIPE
    )
    if process.stdout is None:
        message = "the waiter's output is not piped"
        raise RuntimeError(message)
    try:
        await process.stdout.readline()
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _redis_server(directory: Path) -> AsyncGenerator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
        cwd=directory,
        stdout=subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(_listening(port), DEADLINE)
        yield port
    finally:
        process.kill()
        await process.wait()


async def _listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return
