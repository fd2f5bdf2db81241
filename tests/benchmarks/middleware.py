"""What `token_middleware` costs on a real socket: CPU time and bytecodes, beside a fixed header."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from oauthkit.integrations.aiohttp import token_middleware

from .figures import Figure, Work, cpu_ratio
from .overhead import session_over, traced
from .sockets import AT_ONCE, HEADER, REQUESTS, Status, by_aiohttp, server

ROUNDS: Final = 9
"""Of the comparison that leaves room."""
WARM_UP: Final = 50
TRACED: Final = 15
OURS: Final = ("oauthkit.", "aiohttp.client_middlewares")
"""What would not run without a middleware; how much the event loop does differs each time."""


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    async with server() as url, AsyncExitStack() as stack:
        session = await stack.enter_async_context(session_over(base_url=url))
        await session.token()
        plain = await stack.enter_async_context(aiohttp.ClientSession(headers=HEADER))
        with_token = await stack.enter_async_context(
            aiohttp.ClientSession(middlewares=(token_middleware(session),))
        )
        http = await stack.enter_async_context(httpx.AsyncClient(transport=AiohttpTransport()))
        over = await stack.enter_async_context(session_over(http, base_url=url))

        async def by_httpx() -> int:
            return (await over.get("/report")).status_code

        subject = _in_tasks(by_aiohttp(with_token, url))
        to_plain = await cpu_ratio(subject, _in_tasks(by_aiohttp(plain, url)))
        to_httpx = await cpu_ratio(subject, _in_tasks(by_httpx), rounds=ROUNDS)
        bytecodes = await _bytecodes(by_aiohttp(with_token, url))
    what = f"CPU time of aiohttp with token_middleware, {AT_ONCE} at once"
    return [
        Figure(f"{what} / with a fixed header", to_plain, "x", limit=1.1, aim=1.05),
        Figure(f"{what} / of a session over httpx on aiohttp", to_httpx, "x", limit=0.4),
        Figure("bytecodes per request for token_middleware", bytecodes, limit=170),
    ]


def _in_tasks(call: Status) -> Work:
    async def task() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            status = await call()
            if status != 200:
                message = f"the server answered {status}"
                raise RuntimeError(message)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(task())

    return work


async def _bytecodes(call: Status) -> int:
    counted = [_ours(await traced(call())) for _ in range(WARM_UP + TRACED)]
    return sorted(counted[WARM_UP:])[TRACED // 2]


def _ours(counted: Counter[str]) -> int:
    return sum(count for name, count in counted.items() if name.startswith(OURS))
