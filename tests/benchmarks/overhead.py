"""What a session costs per request, compared with the same HTTP client and a fixed header."""

import asyncio
import inspect
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import FrameType, ModuleType
from typing import Any, Final

import httpx
import httpx2

from oauthkit import AsyncTokenSession, AuthorizationServer, ClientSecretBasic, Token

from .figures import Figure, Work, cpu_ratio, cpu_seconds

Get = Callable[[str], Awaitable[object]]

BASE_URL: Final = "https://api.example"
REQUESTS: Final = 400
TASKS: Final = 100
LOOKS: Final = 50_000
WARM_UP: Final = 50
TRACED: Final = 15
NUMBERS: Final = itertools.count()


class Immediate(httpx.AsyncBaseTransport):
    """Answers at once, with as little work as there can be."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)


class Immediate2(httpx2.AsyncBaseTransport):
    """Does the same for httpx2."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200)


class Yielding(Immediate):
    """Lets the other tasks run before it answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return await super().handle_async_request(request)


class Yielding2(Immediate2):
    """Does the same for httpx2."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)
        return await super().handle_async_request(request)


class Pooled(httpx.AsyncHTTPTransport):
    """Has a pool, and so a gate before it; answers at once."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)


class Pooled2(httpx2.AsyncHTTPTransport):
    """Does the same for httpx2."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200)


def mock(library: ModuleType) -> Any:
    """Return the library's own transport for tests."""

    def answer(request: object) -> Any:
        return library.Response(200)

    return library.MockTransport(answer)


def session_over(
    http: Any = None, *, base_url: str = BASE_URL, cookies: bool = False
) -> AsyncTokenSession:
    """Return a session that has a token of unending freshness."""
    return AsyncTokenSession(
        http,
        server=AuthorizationServer("https://auth.example/token"),
        client_auth=ClientSecretBasic("client", "secret"),
        token=Token("access", issued_at=time.time(), expires_at=time.time() + 86_400),
        base_url=base_url,
        cookies=cookies,
    )


def paths(prefix: str) -> Iterator[str]:
    """Return URLs that are used once in a run, so that no cache makes either side look good."""
    return (f"{prefix}/reports/{number}" for number in NUMBERS)


@asynccontextmanager
async def subject_and_baseline(
    library: ModuleType, transport: Callable[[], Any], *, cookies: bool = False
) -> AsyncGenerator[tuple[Get, Get]]:
    """Give the `get` of a session, and that of a client which sends a fixed header."""
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(
            library.AsyncClient(
                base_url=BASE_URL,
                headers={"Authorization": "Bearer access"},
                transport=transport(),
            )
        )
        http = await stack.enter_async_context(
            library.AsyncClient(base_url=BASE_URL, transport=transport())
        )
        session = await stack.enter_async_context(session_over(http, cookies=cookies))
        yield session.get, plain.get


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    figures: list[Figure] = []
    for library, at_once, after_others, pooled in (
        (httpx, Immediate, Yielding, Pooled),
        (httpx2, Immediate2, Yielding2, Pooled2),
    ):
        name, mocked = library.__name__, partial(mock, library)
        figures += [
            await _compared(f"{name}, one after another", library, at_once, one_after_another),
            await _compared(f"{name}, {TASKS} tasks", library, after_others, in_tasks),
            await _compared(f"{name} MockTransport", library, mocked, one_after_another),
            await _compared(f"{name} MockTransport, {TASKS} tasks", library, mocked, in_tasks),
            await _compared(f"{name}, relative URLs", library, at_once, relative),
            await _compared(
                f"{name}, cookies=True", library, at_once, one_after_another, cookies=True
            ),
        ]
        more = sum((await more_bytecodes(library, at_once)).values())
        figures.append(Figure(f"bytecodes per request more than {name}", more, limit=150))
        gated = sum((await more_bytecodes(library, pooled)).values())
        what = f"bytecodes per request more than {name}, behind the gate"
        figures.append(Figure(what, gated, limit=60))
    return [*figures, await _fresh_token()]


async def _compared(
    name: str,
    library: ModuleType,
    transport: Callable[[], Any],
    requests: Callable[[Get], Work],
    *,
    cookies: bool = False,
) -> Figure:
    async with subject_and_baseline(library, transport, cookies=cookies) as (subject, baseline):
        ratio = await cpu_ratio(requests(subject), requests(baseline))
    if cookies:  # which few APIs need, and which is compared to see what a jar costs
        return Figure(f"session.get / {name}", ratio, "x")
    return Figure(f"session.get / {name}", ratio, "x", limit=1.09, aim=1.05)


def one_after_another(get: Get, prefix: str = BASE_URL) -> Work:
    """Return the work of sending all requests from one task."""
    urls = paths(prefix)

    async def work() -> None:
        for url in itertools.islice(urls, REQUESTS):
            await get(url)

    return work


def relative(get: Get) -> Work:
    """Return the same work with URLs that the base URL completes."""
    return one_after_another(get, prefix="")


def in_tasks(get: Get) -> Work:
    """Return the work of sending all requests from many tasks."""
    urls = paths(BASE_URL)

    async def task() -> None:
        for url in itertools.islice(urls, REQUESTS // TASKS):
            await get(url)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(task())

    return work


async def more_bytecodes(library: ModuleType, transport: Callable[[], Any]) -> Counter[str]:
    """Return how many bytecodes each function runs per request beyond the baseline."""
    async with subject_and_baseline(library, transport) as (subject, baseline):
        counted = await _bytecodes(subject)
        counted.subtract(await _bytecodes(baseline))
    return counted


async def _bytecodes(get: Get) -> Counter[str]:
    """Return those of the middle one of many requests: now and then one fills a cache."""
    urls = paths(BASE_URL)
    counted = [await traced(get(url)) for url in itertools.islice(urls, WARM_UP + TRACED)]
    return sorted(counted[WARM_UP:], key=_total)[TRACED // 2]


def _total(counted: Counter[str]) -> int:
    return sum(counted.values())


async def traced(request: Awaitable[object]) -> Counter[str]:
    """Return how many bytecodes each function runs while a request is awaited."""
    counted: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        if event == "opcode":
            module = frame.f_globals.get("__name__")
            counted[f"{module}:{frame.f_code.co_qualname}"] += 1
        return trace

    own = inspect.currentframe()
    if own is not None:  # from Python 3.12 on, a frame has to ask before tracing begins
        own.f_trace_opcodes = True
    sys.settrace(trace)
    try:
        await request
    finally:
        sys.settrace(None)
    return counted


async def _fresh_token() -> Figure:
    async with httpx.AsyncClient(transport=Immediate()) as http, session_over(http) as session:

        async def looks() -> None:
            for _ in range(LOOKS):
                await session.token()

        await looks()
        seconds = min([await cpu_seconds(looks) for _ in range(9)])
    return Figure("session.token() while fresh", seconds / LOOKS * 1e6, "µs", limit=1.0)
