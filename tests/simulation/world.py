"""A fleet in one process: many stores over one Redis, on a clock that jumps to the next event.

Nothing is measured here but what the code decides: the latencies are drawn from a distribution, and
the clock is the event loop's own, so that a run says the same on every machine.
"""

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import attrs
import httpx
import trio
import trio.testing

from oauthkit import AsyncTokenSession, RenewalPolicy
from oauthkit.stores.redis import RedisStore
from oauthkit.testing import FakeAuthorizationServer
from tests.stores.conftest import FakeRedisServer

KEY: Final = "shared"
EPOCH: Final = time.time()
SERVER_SECONDS: Final = 0.2
"""How long the authorization server takes, there and back."""


class VirtualClock:
    """Tell the event loop's time, as the sessions, the server and Redis see it."""

    def time(self) -> float:
        return EPOCH + trio.current_time()

    def monotonic(self) -> float:
        return trio.current_time()


@attrs.define
class Latency:
    """Times on the way: most are alike, some are ten times as long."""

    chance: random.Random
    median: float
    spread: float

    def __call__(self) -> float:
        return self.median * self.chance.lognormvariate(0.0, self.spread)


class SimulatedClient:
    """Be one process's connection to Redis, as redis.asyncio is."""

    __module__ = "redis.asyncio.simulated"

    def __init__(self, server: FakeRedisServer, latency: Latency) -> None:
        self._server = server
        self._latency = latency

    def die(self) -> None:
        """Let nothing that this process does reach Redis any more."""
        self._server = FakeRedisServer()

    async def hget(self, name: str, field: str) -> Any:
        return await self._asked(lambda: self._server.hget(name, field))

    async def evalsha(self, sha: str, numkeys: int, *rest: str) -> Any:
        return await self._asked(lambda: self._server.evalsha(sha, rest[:numkeys], rest[numkeys:]))

    async def eval(self, script: str, numkeys: int, *rest: str) -> Any:
        return await self._asked(lambda: self._server.eval(script, rest[:numkeys], rest[numkeys:]))

    async def _asked(self, ask: Callable[[], Any]) -> Any:
        await anyio.sleep(self._latency() / 2)
        answer = ask()
        await anyio.sleep(self._latency() / 2)
        return answer


@attrs.define
class World:
    """A server, a Redis, and so many workers.

    Attributes:
        waits: How long each call waited for a token, in seconds.
    """

    workers: int
    life: float
    policy: RenewalPolicy
    seed: int = 1
    redis: FakeRedisServer = attrs.field(factory=FakeRedisServer)
    clock: VirtualClock = attrs.field(factory=VirtualClock)
    fake: FakeAuthorizationServer = attrs.field(init=False)
    sessions: list[AsyncTokenSession] = attrs.field(factory=list[AsyncTokenSession])
    waits: list[float] = attrs.field(factory=list[float])
    _chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - a repeatable draw
        self.fake = FakeAuthorizationServer(expires_in=self.life, clock=self.clock)
        self.redis.clock = self.clock  # type: ignore[assignment]

    def run(self, story: Callable[["World"], Awaitable[None]]) -> None:
        """Let a story happen, as fast as the machine can tell it."""
        random.seed(self.seed)  # what the package itself draws: jitter and back-off

        async def told() -> None:
            async with httpx.AsyncClient(transport=_Distant(self.fake)) as http:
                self.sessions = [self.session(http, self.store()) for _ in range(self.workers)]
                await story(self)

        trio.run(told, clock=trio.testing.MockClock(autojump_threshold=0))

    async def login(self) -> None:
        """Save a first token."""
        await self.store().save(KEY, self.fake.issue())

    async def token(self, session: AsyncTokenSession) -> str:
        """Let a worker ask for the token, and note how long it waits."""
        began = trio.current_time()
        token = await session.token()
        self.waits.append(trio.current_time() - began)
        return token.access_token

    def counted(self) -> int:
        """Return how many operations came to Redis since this was asked last."""
        operations = len(self.redis.calls)
        self.redis.calls.clear()
        return operations

    def client(self) -> SimulatedClient:
        """Return the connection of one more process: Redis is half a millisecond off, or a few."""
        return SimulatedClient(self.redis, Latency(self._chance, 0.0005, 0.8))

    def store(self, client: SimulatedClient | None = None) -> RedisStore:
        """Return the store of one more process.

        Args:
            client: Its connection; None is a new one.
        """
        simulated: Any = client or self.client()
        return RedisStore(simulated)

    def session(
        self, http: httpx.AsyncClient, store: RedisStore, key: str = KEY
    ) -> AsyncTokenSession:
        """Return a session that has what is stored, and nothing else."""
        return AsyncTokenSession(
            http,
            server=self.fake.server,
            client_auth=self.fake.client_auth,
            store=store,
            key=key,
            # each worker stands for a process, with turns of its own
            policy=attrs.evolve(self.policy, concurrency=max(self.workers, 1)),
            clock=self.clock,
        )


@attrs.define
class _Distant(httpx.AsyncBaseTransport):
    """Carry token requests to a server that is some way off."""

    fake: FakeAuthorizationServer
    inner: httpx.AsyncBaseTransport = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.inner = self.fake.transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.sleep(SERVER_SECONDS / 2)
        response = await self.inner.handle_async_request(request)
        await anyio.sleep(SERVER_SECONDS / 2)
        return response
