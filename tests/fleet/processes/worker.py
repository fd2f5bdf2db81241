"""One worker of a fleet: tasks that call an API over one key of a shared store, without end.

What it does is written to its journal at once, a line of JSON each, so that it survives `kill -9`.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio
import attrs
import httpx

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientSecretBasic,
    Lease,
    OAuthKitError,
    Recovery,
    RenewalPolicy,
    StoreError,
    Token,
    TokenStore,
)
from oauthkit.events import Event, RenewalFailed, StoreFailed, TokenAdopted, TokenRenewed
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore

UNAUTHORIZED: Final = 401
TICK: Final = 0.5
CHANCE: Final = random.Random()  # noqa: S311 - who calls when is no secret


@attrs.define
class Journal:
    """A file of lines that each appear whole or not at all."""

    file: int

    def write(self, what: str, **more: Any) -> None:
        line = {"at": time.monotonic(), "pid": os.getpid(), "what": what, **more}
        os.write(self.file, json.dumps(line).encode() + b"\n")


@attrs.define
class Worker:
    session: AsyncTokenSession
    journal: Journal
    pause: float
    counted: Counter[str] = attrs.field(factory=Counter[str])
    longest: float = 0.0

    async def call(self) -> None:
        """Ask the API once, after a look at how long a token takes to be had."""
        began = time.monotonic()
        try:
            await self.session.token()
            response = await self.session.get("/report")
        except OAuthKitError as error:
            self.counted["no token"] += 1
            if error.recovery is Recovery.REAUTHORIZE:
                self.counted["login wanted"] += 1
            kind = "store" if isinstance(error, StoreError) else "server"
            self.counted[f"no token: {kind}"] += 1
            await anyio.sleep(0.1)
        except httpx.TransportError as error:
            self.counted[f"API not reached: {type(error).__name__}"] += 1
        else:
            self.counted[f"status {response.status_code}"] += 1
            if response.status_code == UNAUTHORIZED:
                await anyio.sleep(0.1)
        self.longest = max(self.longest, time.monotonic() - began)

    async def calls(self) -> None:
        """Call again and again, and sometimes leave in the middle of it."""
        while True:
            await anyio.sleep(CHANCE.uniform(0.5, 1.5) * self.pause)
            if CHANCE.random() < 0.1:
                await self.interrupted(CHANCE.expovariate(200))
            else:
                await self.call()

    async def interrupted(self, seconds: float) -> None:
        """Call, and be cancelled in one of the ways there are."""
        self.counted["cancelled"] += 1
        if "trio" in sys.modules and not asyncio_runs():
            with anyio.move_on_after(seconds):
                await self.call()
        elif CHANCE.random() < 0.5:
            try:
                async with asyncio.timeout(seconds):
                    await self.call()
            except TimeoutError:
                pass
        else:
            task = asyncio.create_task(self.call())
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.wait([task])

    async def ticks(self) -> None:
        while True:
            await anyio.sleep(TICK)
            self.tick()

    def tick(self) -> None:
        counted, self.counted = self.counted, Counter()
        longest, self.longest = self.longest, 0.0
        self.journal.write("tick", counted=counted, longest=longest)


def asyncio_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@asynccontextmanager
async def opened(settings: dict[str, Any]) -> AsyncGenerator[TokenStore]:
    """Open the store: redis-py on asyncio, coredis on trio."""
    lease_seconds = settings["lease_seconds"]
    if "path" in settings:
        async with SQLiteStore(settings["path"], lease_seconds=lease_seconds) as store:
            yield store
    elif asyncio_runs():
        import redis.asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import ExponentialBackoff

        retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 10)
        async with redis.asyncio.Redis(
            port=settings["port"], retry=retry, socket_timeout=1, socket_connect_timeout=1
        ) as client:
            yield RedisStore(client, lease_seconds=lease_seconds)
    else:
        import coredis
        from coredis.exceptions import ConnectionError as LostError
        from coredis.retry import ExponentialBackoffRetryPolicy

        policy = ExponentialBackoffRetryPolicy(
            (LostError,), retries=10, base_delay=0.02, max_delay=0.2
        )
        async with coredis.Redis[bytes](
            port=settings["port"], retry_policy=policy, stream_timeout=1, connect_timeout=1
        ) as client:
            yield RedisStore(client, lease_seconds=lease_seconds)


def written(journal: Journal) -> Any:
    """Return a hook that writes down what happens to the token."""

    def hook(event: Event) -> None:
        match event:
            case TokenRenewed():
                journal.write("saved", number=Sent.number)
            case TokenAdopted():
                journal.write("adopted")
            case RenewalFailed(error=error, usable=usable):
                why = f"{type(error).__name__}: {error} <- {error.__cause__!r}"
                journal.write("renewal failed", error=why, usable=usable)
            case StoreFailed(error=error):
                journal.write("store failed", error=f"{error} <- {error.__cause__!r}")
            case _:
                pass

    return hook


class Sent:
    """The number of the latest token request of this process."""

    number = 0


@attrs.define(eq=False)
class StoppingStore:
    """Stop the process itself, once, while it has a lease."""

    inner: TokenStore
    journal: Journal
    lease_seconds: float
    at_once: bool
    load: Any = attrs.field(init=False)
    save: Any = attrs.field(init=False)
    delete: Any = attrs.field(init=False)
    _stopped: bool = False

    def __attrs_post_init__(self) -> None:
        self.load, self.save, self.delete = self.inner.load, self.inner.save, self.inner.delete

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        async with self.inner.lease(key) as lease:
            if self._stopped or not lease.held:
                yield lease
                return
            self._stopped = True
            if self.at_once:
                stand_still(self.journal)
            yield lease if self.at_once else StoppingLease(lease, self.journal)


@attrs.define
class StoppingLease:
    """Stop the process itself between the server's answer and the save."""

    inner: Lease
    journal: Journal

    @property
    def held(self) -> bool:
        return self.inner.held

    async def load(self) -> Token | None:
        return await self.inner.load()

    async def save(self, token: Token) -> None:
        stand_still(self.journal)
        await self.inner.save(token)


def stand_still(journal: Journal) -> None:
    """Stop this process until somebody lets it go on."""
    journal.write("stopping")
    os.kill(os.getpid(), signal.SIGSTOP)


async def main() -> None:
    settings = json.loads(sys.argv[1])
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    journal = Journal(os.open(settings["journal"], flags, 0o600))
    journal.write("started", name=settings["name"])

    async def stamp(request: httpx.Request) -> None:
        Sent.number += 1
        request.headers["x-presenter"] = f"{settings['name']} {os.getpid()} {Sent.number}"
        if settings["stop"] == "before sending" and Sent.number == 1:
            stand_still(journal)
        journal.write("sent", number=Sent.number)

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(settings))
        if settings["stop"] in {"under the lease", "before saving"}:
            at_once = settings["stop"] == "under the lease"
            store = StoppingStore(store, journal, settings["lease_seconds"], at_once)
        limits = httpx.Limits(max_connections=settings["tasks"], max_keepalive_connections=10)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=settings["url"], limits=limits)
        )
        token_http = await stack.enter_async_context(
            httpx.AsyncClient(event_hooks={"request": [stamp]})
        )
        session: AsyncTokenSession = AsyncTokenSession(
            http,
            token_http=token_http,
            server=AuthorizationServer(f"{settings['url']}/token"),
            client_auth=ClientSecretBasic("client", "secret"),
            store=store,
            key="shared",
            policy=RenewalPolicy(timeout=settings["timeout"], save_timeout=settings["timeout"]),
            on_event=written(journal),
        )
        worker = Worker(session, journal, settings["pause"])
        async with session, anyio.create_task_group() as tasks:
            for _ in range(settings["tasks"]):
                tasks.start_soon(worker.calls)
            tasks.start_soon(worker.ticks)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            tasks.cancel_scope.cancel()
        worker.tick()
    journal.write("ended")


anyio.run(main, backend=json.loads(sys.argv[1])["backend"])
