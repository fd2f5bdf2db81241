"""One worker of a fleet: tasks that call an API over some keys of a shared store, without end."""

import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
import attrs
import coredis
import httpx
import redis.asyncio
from coredis.exceptions import ConnectionError as LostError
from coredis.retry import ExponentialBackoffRetryPolicy
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientSecretBasic,
    OAuthKitError,
    RenewalPolicy,
    StoreError,
    TokenStore,
)
from oauthkit.events import (
    Event,
    RenewalFailed,
    StoreFailed,
    TokenAdopted,
    TokenRenewed,
    TokenRestored,
    TokenUnsaved,
)
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore
from tests.fleet.attribution import Stop
from tests.fleet.orders import orders_in
from tests.fleet.processes.calls import Calls, asyncio_runs
from tests.fleet.processes.journal import Journal
from tests.fleet.processes.phases import NO_TLS, Numbers, PhasedStore, PhasedTransport, Renewals
from tests.fleet.settings import WorkerSettings, journal_in, key_of, named
from tests.fleet.watch import watched

ORDERED: Final = (signal.SIGTERM, signal.SIGUSR1)


@asynccontextmanager
async def opened(settings: WorkerSettings) -> AsyncGenerator[TokenStore]:
    """Open the store: redis-py on asyncio, coredis on trio."""
    lease_seconds = settings.times.lease_seconds
    if settings.place.path is not None:
        async with SQLiteStore(
            settings.place.path, lease_seconds=lease_seconds, clock=settings.clock
        ) as store:
            yield store
    elif asyncio_runs():
        retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 10)
        async with redis.asyncio.Redis(
            port=settings.place.port or 0, retry=retry, socket_timeout=1, socket_connect_timeout=1
        ) as client:
            yield RedisStore(client, lease_seconds=lease_seconds)
    else:
        policy = ExponentialBackoffRetryPolicy(
            (LostError,), retries=10, base_delay=0.02, max_delay=0.2
        )
        async with coredis.Redis[bytes](
            port=settings.place.port or 0, retry_policy=policy, stream_timeout=1, connect_timeout=1
        ) as client:
            yield RedisStore(client, lease_seconds=lease_seconds)


def written(renewals: Renewals) -> Callable[[Event], None]:
    """Return a hook that writes down what happens to a token."""
    journal = renewals.journal

    def hook(event: Event) -> None:
        match event:
            case TokenRenewed():
                journal.write("saved", number=renewals.number)
            case TokenAdopted():
                journal.write("adopted")
            case TokenRestored():
                journal.write("restored")
            case TokenUnsaved(error=error):
                journal.write("unsaved", error=_said(error))
            case RenewalFailed(error=error, usable=usable):
                journal.write("renewal failed", error=_said(error), usable=usable)
            case StoreFailed(error=error):
                journal.write("store failed", error=_said(error))
            case _:
                pass

    return hook


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error} <- {error.__cause__!r}"


@attrs.define(eq=False)
class Worker:
    """The sessions of one process, one for each key."""

    settings: WorkerSettings
    journal: Journal
    calls: Calls
    numbers: Numbers = attrs.field(factory=Numbers)
    left: AsyncExitStack = attrs.field(factory=AsyncExitStack)

    async def work(self) -> None:
        """Call until it is asked to end."""
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(opened(self.settings))
            http = await stack.enter_async_context(self._http())
            sessions = [
                await self._session(stack, http, store, key_of(number))
                for number in range(self.settings.keys)
            ]
            await self._call(store, sessions)
            for session in sessions:
                self._note(session)
            self.calls.note()
            if self.settings.leaves_open:
                self.left = stack.pop_all()  # a program returns from its main function, and is gone
        self.journal.write("ended")

    def _http(self) -> httpx.AsyncClient:
        limits = httpx.Limits(
            max_connections=self.settings.keys * self.settings.tasks, max_keepalive_connections=10
        )
        return httpx.AsyncClient(base_url=self.settings.url, limits=limits, verify=NO_TLS)

    async def _session(
        self, stack: AsyncExitStack, http: httpx.AsyncClient, store: TokenStore, key: str
    ) -> AsyncTokenSession:
        renewals = Renewals(key, orders_in(self.settings.directory), self.journal)
        transport = PhasedTransport(self.settings.name, self.numbers, renewals)
        token_http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, trust_env=False)
        )
        times = self.settings.times
        session: AsyncTokenSession = AsyncTokenSession(
            http,
            token_http=token_http,
            server=AuthorizationServer(self.settings.token_url),
            client_auth=ClientSecretBasic("client", "secret"),
            store=PhasedStore(store, renewals),
            key=key,
            policy=RenewalPolicy(timeout=times.timeout, save_timeout=times.save_timeout),
            clock=self.settings.clock,
            on_event=written(renewals),
        )
        return await stack.enter_async_context(session)

    async def _call(self, store: TokenStore, sessions: list[AsyncTokenSession]) -> None:
        async with anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(*ORDERED) as signals:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERED)
                tasks.start_soon(self._begin, store, sessions)
                async for number in signals:
                    if number == signal.SIGTERM:
                        break
                    self.calls.cancel()
            tasks.cancel_scope.cancel()

    async def _begin(self, store: TokenStore, sessions: list[AsyncTokenSession]) -> None:
        """Wait for the logins, then call."""
        for session in sessions:
            while not await _logged_in(store, session.status().key):  # noqa: ASYNC110 - elsewhere
                await anyio.sleep(0.02)
        self.journal.write("begun")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.calls.tick, os.getppid())
            for session in sessions:
                for _ in range(self.settings.tasks):
                    tasks.start_soon(self.calls.go_on, session)

    def _note(self, session: AsyncTokenSession) -> None:
        """Write down which token is at hand, in a way that tells nothing of it."""
        held = session._source.state.newest()
        self.journal.write("holds", key=session.status().key, token=named(held))


def hold_signals() -> None:
    """Keep signals waiting until somebody listens: they would end the process as it is."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ORDERED)


async def _logged_in(store: TokenStore, key: str | None) -> bool:
    try:
        return key is not None and await store.load(key) is not None
    except OAuthKitError as error:
        if isinstance(error, StoreError):
            return False
        raise


def run(settings: WorkerSettings) -> None:
    """Be a worker."""
    journal = Journal.opened(journal_in(settings.directory))
    journal.write("started", name=settings.name)
    worker = Worker(settings, journal, Calls(journal, settings.pause))

    def note(stop: Stop) -> None:
        journal.write("stood", since=stop.at, until=stop.until)

    with watched(note, pid=os.getpid()):
        anyio.run(worker.work, backend=settings.backend)
    journal.write("over")
