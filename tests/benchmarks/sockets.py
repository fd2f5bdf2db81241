"""Real loopback sockets: a burst through a default session, and throughput of HTTP clients."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
import httpx
import httpx2
from httpx_aiohttp import AiohttpTransport

from oauthkit.integrations.aiohttp import token_middleware

from .figures import Figure
from .overhead import session_over

BURST: Final = 1_000
AT_ONCE: Final = 100
REQUESTS: Final = 1_000
ROUNDS: Final = 5
DEADLINE: Final = 60.0

HEADER: Final = {"Authorization": "Bearer access"}

SERVER: Final = """
import uvicorn

async def answer(scope, receive, send):
    headers = [(b"content-length", b"2"), (b"content-type", b"application/json")]
    authorized = dict(scope["headers"]).get(b"authorization") == b"Bearer access"
    status = 200 if authorized else 401
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)

# A connection that is closed as it rests may just be taken again
Server(
    uvicorn.Config(answer, port=0, lifespan="off", log_config=None, timeout_keep_alive=600)
).run()
"""

Status = Callable[[], Awaitable[int]]


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    async with server() as url:
        failures, seconds = await _burst(url)
        return [
            Figure(f"{BURST} requests at once: failures", failures, limit=0),
            Figure(f"{BURST} requests at once: how long they took", seconds, "s"),
            *await _throughput(url),
        ]


@asynccontextmanager
async def server() -> AsyncGenerator[str]:
    """Run a server that wants the token of a session, and give its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER), stdout=asyncio.subprocess.PIPE
    )
    try:
        port = await asyncio.wait_for(_first_line(process), DEADLINE)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _first_line(process: asyncio.subprocess.Process) -> int:
    if process.stdout is None:
        message = "the server's output is not piped"
        raise RuntimeError(message)
    return int(await process.stdout.readline())


async def _burst(url: str) -> tuple[int, float]:
    async with session_over(base_url=url) as session:
        start = time.perf_counter()
        calls = [session.get("/report") for _ in range(BURST)]
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), DEADLINE)
        seconds = time.perf_counter() - start
    good = sum(getattr(result, "status_code", None) == 200 for result in results)
    return BURST - good, seconds


async def _throughput(url: str) -> list[Figure]:
    async with AsyncExitStack() as stack:
        contenders = await _contenders(stack, url)
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, get in contenders.items():
                rates[name].append(await _requests_per_second(get))
    medians = {name: statistics.median(measured[1:]) for name, measured in rates.items()}
    base = medians.pop("httpx")
    name = f"throughput of httpx, {AT_ONCE} at once"
    return [
        Figure(name, base, "requests/s"),
        *(
            Figure(f"throughput of {name} / httpx", rate / base, "x")
            for name, rate in medians.items()
        ),
    ]


async def _contenders(stack: AsyncExitStack, url: str) -> dict[str, Status]:
    clients: dict[str, Callable[[], Any]] = {
        "httpx": lambda: httpx.AsyncClient(base_url=url, headers=HEADER),
        "httpx2": lambda: httpx2.AsyncClient(base_url=url, headers=HEADER),
        "httpx on aiohttp": lambda: httpx.AsyncClient(
            base_url=url, headers=HEADER, transport=AiohttpTransport()
        ),
    }
    contenders: dict[str, Status] = {}
    for name, client in clients.items():
        contenders[name] = _status_of((await stack.enter_async_context(client())).get)
    for name, client in clients.items():
        session = session_over(await stack.enter_async_context(client()), base_url=url)
        get = (await stack.enter_async_context(session)).get
        contenders[f"a session over {name}"] = _status_of(get)
    session = await stack.enter_async_context(session_over(base_url=url))
    with_token = token_middleware(session)
    for name, own in {
        "aiohttp": aiohttp.ClientSession(headers=HEADER),
        "aiohttp with token_middleware": aiohttp.ClientSession(middlewares=(with_token,)),
    }.items():
        contenders[name] = by_aiohttp(await stack.enter_async_context(own), url)
    return contenders


def by_aiohttp(client: aiohttp.ClientSession, url: str) -> Status:
    """Return what calls by a client of aiohttp itself."""

    async def status() -> int:
        async with client.get(f"{url}/report") as answer:
            await answer.read()
            return answer.status

    return status


def _status_of(get: Callable[[str], Awaitable[Any]]) -> Status:
    async def status() -> int:
        return int((await get("/report")).status_code)

    return status


async def _requests_per_second(get: Status) -> float:
    async def task() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            status = await get()
            if status != 200:
                message = f"the server answered {status}"
                raise RuntimeError(message)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(task())
    return REQUESTS / (time.perf_counter() - start)
