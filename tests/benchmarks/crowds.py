"""Crowds: keys that expire together, slow renewals, open streams, busy tasks; on real sockets."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import attrs
import httpx
import httpx2
from httpx_aiohttp import AiohttpTransport

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientSecretBasic,
    MemoryStore,
    RenewalPolicy,
    Token,
)

from .figures import Figure

KEYS: Final = 3_000
STREAMS: Final = 100
BUSY: Final = 300
BUSY_SECONDS: Final = 3.0
PAUSE: Final = 0.005
"""Seconds between two calls of somebody who stands by."""
SLOW_SECONDS: Final = 3.0
"""How long a slow token endpoint takes; longer than the session's `recheck` in that measurement."""
DEADLINE: Final = 120.0
CLIENT: Final = ClientSecretBasic("client", "secret")

SERVER: Final = """
import asyncio, json, sys
import uvicorn

SLOW = float(sys.argv[1])
now = most = asked = 0

async def answer(scope, receive, send):
    global now, most, asked
    path, body = scope["path"], b"{}"
    if path == "/token":
        now, asked = now + 1, asked + 1
        most = max(most, now)
        number = asked
        await receive()
        await asyncio.sleep(SLOW)
        now -= 1
        body = json.dumps({"access_token": f"a{number}", "token_type": "Bearer",
                           "expires_in": 3600, "refresh_token": f"r{number}"}).encode()
    elif path == "/counted":
        body = json.dumps({"most": most, "asked": asked}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/stream":
        for _ in range(600):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": body})

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)

# A connection that is closed as it rests may just be taken again
Server(
    uvicorn.Config(answer, port=0, lifespan="off", log_config=None, timeout_keep_alive=600)
).run()
"""


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    figures: list[Figure] = []
    async with _server(0.02) as url:
        figures += await _key_storm(url)
        figures += await _key_storm_over_httpx2(url)
        figures += await _open_streams(url)
        figures += await _busy_tasks(url)
        figures += await _pool_timeout(url)
    async with _server(SLOW_SECONDS) as url:
        figures += await _slow_renewal(url)
    return figures


@asynccontextmanager
async def _server(slow: float) -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(slow)), stdout=asyncio.subprocess.PIPE
    )
    if process.stdout is None:
        message = "the server's output is not piped"
        raise RuntimeError(message)
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), DEADLINE))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


@attrs.define
class Bystander:
    """Call again and again while something else goes on, and note how long each call takes."""

    call: Callable[[], Awaitable[object]]
    seconds: list[float] = attrs.field(factory=list[float])

    @asynccontextmanager
    async def standing_by(self) -> AsyncGenerator[None]:
        await self.call()
        task = asyncio.create_task(self._calls())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _calls(self) -> None:
        while True:
            began = time.perf_counter()
            await self.call()
            self.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[-1]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def _token(name: str, *, expired: bool) -> Token:
    now = time.time()
    ends = now - 1 if expired else now + 3600
    return Token(name, issued_at=now - 3600, expires_at=ends, refresh_token=f"first-{name}")


async def _session(
    stack: AsyncExitStack, url: str, store: MemoryStore, http: Any = None, **policy: Any
) -> AsyncTokenSession[Any]:
    session: AsyncTokenSession[Any] = AsyncTokenSession(
        http,
        server=AuthorizationServer(f"{url}/token"),
        client_auth=CLIENT,
        base_url=url,
        store=store,
        key="app",
        policy=RenewalPolicy(**policy),
    )
    return await stack.enter_async_context(session)


async def _busy_client(url: str) -> Bystander:
    """Stand by while as many tasks as renew at once send what they send, with httpx alone.

    What a bystander's call takes there is the price of httpx's own work on this machine, and what
    the other is compared with.
    """
    pairs = iter(range(KEYS))
    async with httpx.AsyncClient(base_url=url) as http:
        bystander = Bystander(lambda: http.get("/report"))

        async def work() -> None:
            for _ in pairs:
                await http.post("/token", data={"grant_type": "refresh_token"})
                await http.get("/report")

        async with bystander.standing_by():
            await asyncio.gather(*(work() for _ in range(RenewalPolicy().concurrency)))
    return bystander


async def _key_storm(url: str) -> list[Figure]:
    """Let thousands of keys expire together, on httpx's defaults, while one key is fresh."""
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        session = await _session(stack, url, store)
        failures, seconds, bystander = await _storm(session, store)
    counted = await _counted(url)
    alone = await _busy_client(url)
    beside = bystander.p99 / alone.p99
    storm, others = f"{KEYS} keys expire together", "beside 16 tasks of httpx alone"
    return [
        Figure(f"{storm}: failures", failures, limit=0),
        Figure(f"{storm}: how long it took", seconds, "s"),
        Figure(f"{storm}: token requests", counted["asked"], limit=KEYS),
        Figure(f"{storm}: token requests at once", counted["most"], limit=32, aim=16),
        Figure(f"{storm}: a bystander's p99", bystander.p99 * 1e3, "ms", limit=250.0),
        Figure(f"{storm}: a bystander's p99 / {others}", beside, "x"),
        Figure(f"{storm}: a bystander's median", bystander.median * 1e3, "ms"),
        Figure(f"{storm}: a bystander's median / {others}", bystander.median / alone.median, "x"),
    ]


async def _key_storm_over_httpx2(url: str) -> list[Figure]:
    """Let them expire over httpx2, whose pool lets nobody wait behind who came later."""
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient())
        session = await _session(stack, url, store, http)
        failures, seconds, bystander = await _storm(session, store)
    storm = f"{KEYS} keys expire together, httpx2"
    return [
        Figure(f"{storm}: failures", failures, limit=0),
        Figure(f"{storm}: how long it took", seconds, "s"),
        Figure(f"{storm}: a bystander's p99", bystander.p99 * 1e3, "ms", limit=250.0),
        Figure(f"{storm}: a bystander's median", bystander.median * 1e3, "ms"),
    ]


async def _storm(
    session: AsyncTokenSession[Any], store: MemoryStore
) -> tuple[int, float, Bystander]:
    """Return how many calls failed, how long all of them took, and who stood by."""
    keys = [f"user {number}" for number in range(KEYS)]
    for key in keys:
        await store.save(key, _token(key, expired=True))
    await store.save("by", _token("by", expired=False))
    fresh = session.for_key("by")
    bystander = Bystander(lambda: fresh.get("/report"))
    async with bystander.standing_by():
        began = time.perf_counter()
        failures = await _failures(session.for_key(key).get("/report") for key in keys)
        return failures, time.perf_counter() - began, bystander


async def _slow_renewal(url: str) -> list[Figure]:
    """Call with a token that is valid while its renewal outlasts `recheck`."""
    store, now = MemoryStore(), time.time()
    token = Token("a", issued_at=now - 3600, expires_at=now + 10, refresh_token="first")
    await store.save("app", token)
    async with AsyncExitStack() as stack:
        session = await _session(stack, url, store, leeway=9.9, jitter=0.0, recheck=0.5)
        await session.token()
        longest, ends = 0.0, time.perf_counter() + 6 + SLOW_SECONDS
        while time.perf_counter() < ends and (await session.token()).access_token == "a":
            began = time.perf_counter()
            await session.get("/report")
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(PAUSE)
    what = f"longest call with a valid token while it is renewed for {SLOW_SECONDS:g} s"
    return [Figure(what, longest, "s", limit=0.3)]


async def _open_streams(url: str) -> list[Figure]:
    """Renew while as many streams are open as the pool carries."""
    store = MemoryStore()
    await store.save("app", _token("app", expired=False))
    async with AsyncExitStack() as stack:
        session = await _session(stack, url, store)
        opened, wanted = 0, asyncio.Event()

        async def stream() -> None:
            nonlocal opened
            async with session.stream("GET", "/stream"):
                opened += 1
                await wanted.wait()

        streams = [asyncio.create_task(stream()) for _ in range(STREAMS)]
        await asyncio.sleep(1.0)
        began = time.perf_counter()
        await asyncio.wait_for(session.renew(), DEADLINE)
        seconds = time.perf_counter() - began
        wanted.set()
        await asyncio.gather(*streams)
    crowd = f"{STREAMS} streams want to be open"
    return [
        Figure(f"{crowd}: a renewal", seconds, "s", limit=1.0),
        Figure(f"{crowd}: those that are", opened),
    ]


async def _busy_tasks(url: str) -> list[Figure]:
    """Stand by while hundreds of tasks call as fast as they can, over the aiohttp transport."""
    store = MemoryStore()
    await store.save("app", _token("app", expired=False))
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(transport=AiohttpTransport()))
        session = await _session(stack, url, store, http)
        bystander = Bystander(lambda: session.get("/report"))
        calls = 0

        async def busy() -> None:
            nonlocal calls
            while True:
                await session.get("/report")
                calls += 1

        async with bystander.standing_by():
            tasks = [asyncio.create_task(busy()) for _ in range(BUSY)]
            await asyncio.sleep(BUSY_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    crowd = f"{BUSY} busy tasks, aiohttp"
    return [
        Figure(f"{crowd}: longest call beside them", max(bystander.seconds), "s", limit=1.0),
        Figure(f"{crowd}: their calls", calls / BUSY_SECONDS, "per s"),
    ]


async def _pool_timeout(url: str) -> list[Figure]:
    """Wait for a connection that does not come free, with a pool timeout of a second."""
    store = MemoryStore()
    await store.save("app", _token("app", expired=False))
    limits = httpx.Limits(max_connections=1)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, limits=limits))
        session = await _session(stack, url, store, http)
        async with session.stream("GET", "/stream"):
            began = time.perf_counter()
            try:
                await session.get("/report", timeout=httpx.Timeout(5.0, pool=1.0))
            except httpx.PoolTimeout:
                seconds = time.perf_counter() - began
            else:
                seconds = DEADLINE
    return [Figure("a pool timeout of 1 s ends a wait after", seconds, "s", limit=1.5)]


async def _failures(calls: Iterable[Awaitable[Any]]) -> int:
    done = asyncio.gather(*calls, return_exceptions=True)
    results = await asyncio.wait_for(done, DEADLINE)
    return sum(getattr(result, "status_code", None) != 200 for result in results)


async def _counted(url: str) -> dict[str, int]:
    async with httpx.AsyncClient() as http:
        answer: dict[str, int] = json.loads((await http.get(f"{url}/counted")).content)
        return answer
