"""What it costs to believe an ID Token whose key is at hand, compared with its signature alone."""

from typing import Any, Final

import httpx
from joserfc import jws

from oauthkit import verify_id_token
from oauthkit.jose.issuing import new_key
from oauthkit.testing import FakeAuthorizationServer

from .figures import Figure, Work, cpu_seconds

TOKENS: Final = 100
ROUNDS: Final = 15
RATIO: Final = 1.5
MORE: Final = 60.0
"""Microseconds for what stands around a signature: the claims, and whose token it is."""


async def measure() -> list[Figure]:
    """Return all figures of this module."""
    return [await _compared(algorithm) for algorithm in ("RS256", "ES256")]


async def _compared(algorithm: str) -> Figure:
    fake = FakeAuthorizationServer()
    fake.keys.algorithm = algorithm
    text = fake.draft({}, began=fake.clock.time()).signed()
    async with httpx.AsyncClient(transport=fake.transport()) as http:

        async def ours() -> None:
            for _ in range(TOKENS):
                await verify_id_token(http, server, client_auth, text, clock=fake.clock)

        server, client_auth = fake.server, fake.client_auth
        limit = await _least(_joserfcs(algorithm, text)) * RATIO + MORE
        taken = await _least(ours)
    return Figure(f"verify_id_token, {algorithm}, key at hand", taken, "µs", limit=round(limit, 1))


def _joserfcs(algorithm: str, text: str) -> Work:
    key: Any = new_key(algorithm, 1)

    async def work() -> None:
        for _ in range(TOKENS):
            jws.deserialize_compact(text, key, algorithms=[algorithm])

    return work


async def _least(work: Work) -> float:
    """Return the microseconds of one token in the best round: what disturbs only adds."""
    return min([await cpu_seconds(work) for _ in range(ROUNDS)]) / TOKENS * 1e6
