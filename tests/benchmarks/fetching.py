"""How long a token fetch keeps the event loop from other tasks."""

import asyncio
import statistics
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from unittest import mock

import anyio.lowlevel
import attrs
import httpx

from oauthkit import AsyncTokenSession, AuthorizationServer, ClientCredentials, ClientSecretBasic

from .figures import Figure

FETCHES: Final = 50
ANSWER: Final = {"access_token": "access", "token_type": "Bearer", "expires_in": 3600, "scope": "a"}


@attrs.define
class Holds:
    """The longest run of one callback, in seconds of this thread's CPU time."""

    longest: float = 0.0


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    await anyio.lowlevel.checkpoint()  # loads anyio's event loop, as any request would have done
    holds = [await _longest_hold() for _ in range(FETCHES)]
    return [
        Figure("longest hold of the loop, first token fetch", holds[0] * 1e3, "ms", limit=5.0),
        Figure(
            "longest hold of the loop, later ones",
            statistics.median(holds[1:]) * 1e3,
            "ms",
            limit=5.0,
        ),
    ]


async def _longest_hold() -> float:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return httpx.Response(200, json=ANSWER)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
        AsyncTokenSession(
            http,
            server=AuthorizationServer("https://auth.example/token"),
            client_auth=ClientSecretBasic("client", "secret"),
            grant=ClientCredentials(),
        ) as session,
    ):
        await asyncio.sleep(0)
        with _watched() as holds:
            await asyncio.create_task(session.renew())
            await asyncio.sleep(0)
    return holds.longest


@contextmanager
def _watched() -> Generator[Holds]:
    holds, run = Holds(), asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        start = time.thread_time()
        run(handle)
        holds.longest = max(holds.longest, time.thread_time() - start)

    with mock.patch.object(asyncio.Handle, "_run", timed):
        yield holds
