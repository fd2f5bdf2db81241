"""A hundred thousand resource owners through one session of an application, in bounded memory."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import httpx

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    Lease,
    PublicClient,
    RenewalPolicy,
    Token,
)

KEYS: Final = 40_000
AT_HAND: Final = 10_000
MOST_PER_KEY: Final = 3_000
"""Bytes, with tokens of a hundred characters; docs/stores.md says so."""


class DistantStore:
    """Have a token for every key, and keep none in this process."""

    lease_seconds = 60.0

    async def load(self, key: str, /) -> Token | None:
        now = time.time()
        access_token, refresh_token = f"access-{key:->93}", f"{key:->100}"
        return Token(
            access_token, issued_at=now, expires_at=now + 3600, refresh_token=refresh_token
        )

    async def save(self, key: str, token: Token, /) -> None:
        raise NotImplementedError

    async def delete(self, key: str, /) -> None:
        raise NotImplementedError

    def lease(self, key: str, /) -> AbstractAsyncContextManager[Lease]:
        raise NotImplementedError


async def used(session: AsyncTokenSession, keys: range) -> int:
    """Use each key once, and return how many bytes are held afterwards."""
    for key in keys:
        assert (await session.for_key(str(key)).token()).access_token.endswith(str(key))
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_memory_is_bounded_however_many_keys_pass_through(
    record_property: Callable[[str, str], None],
) -> None:
    """What is kept for `RenewalPolicy.capacity` keys is all that is ever kept."""
    async with httpx.AsyncClient() as http:
        session: AsyncTokenSession = AsyncTokenSession(
            http,
            server=AuthorizationServer("https://auth.example/token"),
            client_auth=PublicClient("app"),
            store=DistantStore(),
            key="app",
            policy=RenewalPolicy(capacity=AT_HAND),
        )
        await session.for_key("first").token()
        gc.collect()
        tracemalloc.start(1)
        try:
            before = tracemalloc.get_traced_memory()[0]
            full = await used(session, range(2 * AT_HAND)) - before
            after = await used(session, range(2 * AT_HAND, KEYS)) - before
        finally:
            tracemalloc.stop()
    held = f"{after / 1e6:.1f} MB held, {full / AT_HAND:.0f} bytes for each of {AT_HAND}"
    record_property("measured", f"{KEYS} keys: {held}")
    assert full < AT_HAND * MOST_PER_KEY
    assert after < 1.02 * full
