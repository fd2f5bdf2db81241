"""Many resource owners through one session of an application."""

import gc
import sys
import tracemalloc
from typing import Final
from urllib.parse import parse_qs

import anyio
import httpx

from oauthkit import AsyncTokenSession, AuthorizationServer, MemoryStore, PublicClient, Token

SERVER: Final = AuthorizationServer("https://auth.example/token")
CAPACITY: Final = 2_000
MOST_CALLS: Final = 150
"""Functions that `for_key` may call, those of the interpreter among them."""
MOST_PER_KEY: Final = 2_000
"""Bytes, with tokens of a hundred characters; docs/stores.md says so."""
MOST_OBJECTS: Final = 100
"""That the garbage collector goes through for a key in line, whose caller is a task."""


async def test_a_store_in_memory_is_bounded_too() -> None:
    store = MemoryStore(capacity=CAPACITY)
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        for key in range(3 * CAPACITY):
            await store.save(str(key), Token(f"{key:->100}", refresh_token=f"{key:=>100}"))
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < CAPACITY * MOST_PER_KEY


async def test_a_session_for_another_key_costs_little_and_the_same_for_the_thousandth() -> None:
    """Counted in calls of functions, which no other work on the machine changes."""

    def calls(key: str) -> int:
        events: list[str] = []
        sys.setprofile(lambda _frame, event, _what: events.append(event))
        try:
            kept.append(session.for_key(key))
        finally:
            sys.setprofile(None)
        return sum(event in {"call", "c_call"} for event in events)

    kept: list[object] = []
    async with httpx.AsyncClient() as http:
        session: AsyncTokenSession = AsyncTokenSession(
            http, server=SERVER, client_auth=PublicClient("app"), store=MemoryStore(), key="app"
        )
        session.for_key("not yet warm")
        counts = [calls(str(key)) for key in range(1_000)]
    assert counts[-1] <= counts[0] <= MOST_CALLS


async def test_renewals_of_different_keys_never_wait_for_each_other() -> None:
    """One key's server answer is held back; a thousand others are renewed meanwhile."""
    arrived, held = anyio.Event(), anyio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        (refresh_token,) = parse_qs(request.content.decode())["refresh_token"]
        if refresh_token == "slow":
            arrived.set()
            await held.wait()
        fields = {"access_token": f"new-{refresh_token}", "token_type": "Bearer", "expires_in": 60}
        return httpx.Response(200, json=fields)

    store, got = MemoryStore(), dict[str, str]()
    for key in ["slow", *map(str, range(1_000))]:
        await store.save(key, Token("old", issued_at=0, expires_at=1, refresh_token=key))

    async def renewed(key: str) -> None:
        got[key] = (await session.for_key(key).token()).access_token

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        session: AsyncTokenSession = AsyncTokenSession(
            http, server=SERVER, client_auth=PublicClient("app"), store=store, key="app"
        )
        with anyio.fail_after(30):
            async with anyio.create_task_group() as slow:
                slow.start_soon(renewed, "slow")
                await arrived.wait()
                async with anyio.create_task_group() as others:
                    for number in range(1_000):
                        others.start_soon(renewed, str(number))
                assert len(got) == 1_000, "all but the slow one"
                held.set()
    assert got["slow"] == "new-slow"


async def test_a_key_that_waits_in_line_is_little_work_for_the_garbage_collector() -> None:
    """It goes through all objects at once, and nobody else goes on meanwhile."""
    held, store, counts = anyio.Event(), MemoryStore(), list[int]()

    async def answer(request: httpx.Request) -> httpx.Response:
        await held.wait()
        return httpx.Response(200, json={"access_token": "new", "token_type": "Bearer"})

    for key in range(250):
        await store.save(str(key), Token("old", issued_at=0, expires_at=1, refresh_token=str(key)))
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        session: AsyncTokenSession = AsyncTokenSession(
            http, server=SERVER, client_auth=PublicClient("app"), store=store, key="app"
        )
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for keys in (range(50), range(50, 250)):
                    for key in keys:
                        tasks.start_soon(session.for_key(str(key)).token)
                    await anyio.wait_all_tasks_blocked()
                    gc.collect()
                    counts.append(len(gc.get_objects()))
                held.set()
    assert counts[1] - counts[0] < 200 * MOST_OBJECTS
