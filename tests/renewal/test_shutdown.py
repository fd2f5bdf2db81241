"""What happens to a renewal when its event loop, or its session, comes to an end."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs
import httpx
import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from oauthkit import (
    AsyncTokenSession,
    Lease,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    RenewalPolicy,
    SQLiteStore,
    StoreError,
    Token,
    TokenStore,
)
from oauthkit.events import TokenUnsaved
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import Elsewhere, Heard, ShakyStore, crowd, fail, stored

STEPS: Final = {"memory": 80, "sqlite": 30}
"""A file is made for each step, which takes as long as the disk likes."""
QUICK: Final = RenewalPolicy(jitter=0.0, save_timeout=0.3)


def session_over(
    fake: FakeAuthorizationServer, store: TokenStore, **settings: Any
) -> AsyncTokenSession[httpx.Response]:
    """Return a session that nobody closes."""
    keywords: dict[str, Any] = {"policy": RenewalPolicy(jitter=0.0), **settings}
    return AsyncTokenSession(
        httpx.AsyncClient(transport=fake.transport()),
        server=fake.server,
        client_auth=fake.client_auth,
        base_url="https://api.example",
        store=store,
        key="k",
        clock=fake.clock,
        **keywords,
    )


def stores(tmp_path: Path) -> dict[str, Callable[[int], MemoryStore | SQLiteStore]]:
    return {
        "memory": lambda _: MemoryStore(),
        "sqlite": lambda step: SQLiteStore(tmp_path / f"{step}.db"),
    }


async def close(store: TokenStore) -> None:
    """Close the store's file, where it has one, in an event loop after that of the test."""
    if isinstance(store, SQLiteStore):
        await store.aclose()


# of a task that is cancelled before its first step asyncio says nothing, and Python this
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_in_the_middle_of_a_renewal_loses_nothing(
    kind: str, backend: str, tmp_path: Path
) -> None:
    """AT-78: without `aclose`, before the n-th switch of tasks, for every n."""
    asked = 0
    for step in range(STEPS[kind]):
        fake, store = FakeAuthorizationServer(), stores(tmp_path)[kind](step)

        async def first(
            step: int = step, fake: FakeAuthorizationServer = fake, store: TokenStore = store
        ) -> None:
            await stored(fake, store)  # type: ignore[arg-type]
            session = session_over(fake, store)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(attempt, session)
                if kind == "sqlite":  # it works in threads, which have a time of their own
                    await anyio.sleep(step * 0.0008)
                for _ in range(step):
                    await anyio.lowlevel.checkpoint()
                if step % 2:
                    raise KeyboardInterrupt
                tasks.cancel_scope.cancel()

        async def second(fake: FakeAuthorizationServer = fake, store: TokenStore = store) -> int:
            session = session_over(fake, Elsewhere(store))  # type: ignore[arg-type]
            response = await session.get("/report")
            await close(store)
            return response.status_code

        with suppress(KeyboardInterrupt, BaseExceptionGroup):  # however the loop hands it on
            anyio.run(first, backend=backend)
        asked += len(fake.token_requests)
        assert anyio.run(second, backend=backend) == 200
        assert (fake.families_killed, fake.presented_twice) == (0, 0)
    gc.collect()
    assert asked > STEPS[kind] / 4  # many of these ends came in the middle


class Slow(httpx.AsyncBaseTransport):
    """Carry an answer that takes its time, and say when the server has worked on the request."""

    def __init__(self, fake: FakeAuthorizationServer) -> None:
        self.inner = fake.transport()
        self.worked = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        self.worked.set()
        await anyio.sleep(0.1)
        return response


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_answer_that_is_on_its_way_when_the_event_loop_ends_is_saved(
    kind: str, backend: str, tmp_path: Path
) -> None:
    """AT-78: whatever tasks the store has beside to keep its lease."""
    fake, store = FakeAuthorizationServer(), stores(tmp_path)[kind](0)

    async def first() -> None:
        await stored(fake, store)  # type: ignore[arg-type]
        slow = Slow(fake)
        session = session_over(fake, store, token_http=httpx.AsyncClient(transport=slow))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, session)
            await slow.worked.wait()
            tasks.cancel_scope.cancel()

    async def kept() -> Token | None:
        token = await store.load("k")
        await close(store)
        return token

    anyio.run(first, backend=backend)
    token = anyio.run(kept, backend=backend)
    assert token is not None
    assert token.refresh_token == "refresh-token-3"


class SlowToLook(MemoryStore):
    """Wait for a while in each look under a lease, and say when one has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.looked = anyio.Event()

    @asynccontextmanager
    async def lease(self, key: str) -> AsyncGenerator[Lease]:
        async with super().lease(key) as lease:
            yield SlowLook(self, lease)


@attrs.define(eq=False)
class SlowLook(Lease):
    store: SlowToLook
    lease: Lease

    @property
    def held(self) -> bool:
        return self.lease.held

    async def load(self) -> Token | None:
        self.store.looks += 1
        if self.store.looks == 2:
            self.store.looked.set()
            await anyio.sleep(0.1)
        return await self.lease.load()

    async def save(self, token: Token) -> None:
        await self.lease.save(token)

    async def delete(self) -> None:
        await self.lease.delete()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_refresh_token_that_was_refused_as_the_event_loop_ends_is_not_presented_again(
    backend: str,
) -> None:
    """The process that learns of it tells the store, and only then ends."""
    fake, store = FakeAuthorizationServer(), SlowToLook()

    async def first() -> None:
        token = await stored(fake, store)
        fake.revoke(token)
        session = session_over(fake, store)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, session)
            await store.looked.wait()
            tasks.cancel_scope.cancel()

    async def second() -> None:
        with pytest.raises(ReauthorizationRequired):
            await session_over(fake, Elsewhere(store)).get("/report")

    anyio.run(first, backend=backend)
    anyio.run(second, backend=backend)
    assert len(fake.token_requests) == 1


# nobody closes the client here, so its sockets are left to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_an_answer_on_a_socket_is_saved_though_the_event_loop_ends(
    library: Any, backend: str, tmp_path: Path
) -> None:
    """AT-78: whatever tasks stand beside to end the wait in time."""
    fake, store = FakeAuthorizationServer(clock=time), SQLiteStore(tmp_path / "tokens.db")
    fake.slow_next(0.3)

    async def first(url: str) -> None:
        await store.save("k", attrs.evolve(fake.issue(), expires_at=time.time() - 1))
        session: AsyncTokenSession[Any] = AsyncTokenSession(
            library.AsyncClient(),
            server=fake.server,
            client_auth=fake.client_auth,
            base_url=url,
            store=store,
            key="k",
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, session)
            with anyio.fail_after(10):
                while not fake.token_requests:  # noqa: ASYNC110 - another thread sets no event here
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    async def kept() -> Token | None:
        token = await store.load("k")
        await close(store)
        return token

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(fake.serve()) as url:
        anyio.run(first, url, backend=backend)
        gc.collect()
    token = anyio.run(kept, backend=backend)
    assert token is not None
    assert token.refresh_token == "refresh-token-3"


async def attempt(session: AsyncTokenSession[httpx.Response]) -> None:
    try:
        await session.get("/report")
    except OAuthKitError:
        return


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_while_the_store_is_away_says_what_is_lost(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake, store, heard = FakeAuthorizationServer(), ShakyStore(), Heard()

    async def first() -> None:
        await stored(fake, store)
        store.broken = {"save"}
        session = session_over(fake, store, on_event=heard.append, policy=QUICK)
        assert isinstance(await fail(session.token()), StoreError)

    with caplog.at_level(logging.ERROR, logger="oauthkit"):
        anyio.run(first, backend=backend)
    (event,) = heard.of(TokenUnsaved)
    assert isinstance(event.error, OAuthKitError)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_offers_once_more_what_the_store_has_not_taken(
    backend: str,
) -> None:
    fake, store, heard = FakeAuthorizationServer(), ShakyStore(), Heard()
    token: list[Token] = []

    async def first() -> None:
        await stored(fake, store)
        store.broken = {"save", "lease", "load"}
        store.broken = {"save"}
        session = session_over(fake, store, on_event=heard.append, policy=QUICK)
        await fail(session.token())
        token.append(await session.token())
        store.broken = set()

    anyio.run(first, backend=backend)
    assert heard.of(TokenUnsaved) == []

    async def kept() -> Token | None:
        return await store.load("k")

    assert anyio.run(kept) == token[0]


async def test_closing_a_session_offers_what_the_store_has_not_taken() -> None:
    fake, store, heard = FakeAuthorizationServer(), ShakyStore(), Heard()
    await stored(fake, store)
    store.broken = {"save"}
    async with crowd(fake, store, policy=QUICK, on_event=heard.append) as session:
        await fail(session.token())
        token = await session.token()
        store.broken = set()
    assert await store.load("k") == token
    assert heard.of(TokenUnsaved) == []


@pytest.mark.parametrize("broken", [{"save"}, {"save", "load", "lease"}])
async def test_closing_a_session_takes_a_bounded_time_and_says_loudly_what_is_not_saved(
    broken: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    fake, store, heard = FakeAuthorizationServer(), ShakyStore(), Heard()
    await stored(fake, store)
    store.broken = {"save"}
    with anyio.fail_after(5), caplog.at_level(logging.ERROR, logger="oauthkit"):
        async with crowd(fake, store, policy=QUICK, on_event=heard.append) as session:
            await fail(session.token())
            store.broken = broken
    assert len(heard.of(TokenUnsaved)) == 1
    assert len(caplog.records) == 1
    assert "refresh-token" not in caplog.text


async def test_what_a_closed_session_could_not_save_is_saved_by_the_next_one() -> None:
    fake, store = FakeAuthorizationServer(expires_in=600), ShakyStore()
    await stored(fake, store, expired=False)
    fake.advance(601)
    store.broken = {"save"}
    async with crowd(fake, store, policy=QUICK) as session:
        await fail(session.token())
        token = await session.token()
    store.broken = set()
    async with crowd(fake, store, policy=QUICK) as session:
        assert session.status().unsaved
        fake.advance(6)  # the store is due to be looked at
        assert await session.token() == token
        assert await store.load("k") == token
    assert fake.presented_twice == 0


async def test_what_the_store_has_not_taken_is_offered_without_a_further_call() -> None:
    """The lease ran out meanwhile, so it is a renewal of its own that offers it."""
    fake = FakeAuthorizationServer(expires_in=600)
    store = ShakyStore(clock=fake.clock.monotonic)
    await stored(fake, store, expired=False)
    fake.advance(601)
    store.broken = {"save"}
    async with crowd(fake, store, policy=QUICK) as session:
        await fail(session.token())
        fake.advance(61)
        await anyio.sleep(0.5)
        store.broken = set()
        with anyio.fail_after(10):
            while session.status().unsaved:  # noqa: ASYNC110 - no event tells of it
                await anyio.sleep(0.02)
        assert await store.load("k") == await session.token()
    assert len(fake.token_requests) == 1


async def test_what_a_logout_elsewhere_has_overtaken_is_offered_no_more() -> None:
    fake = FakeAuthorizationServer(expires_in=600)
    store = ShakyStore(clock=fake.clock.monotonic)
    await stored(fake, store, expired=False)
    fake.advance(601)
    store.broken = {"save"}
    async with crowd(fake, store, policy=QUICK) as session:
        await fail(session.token())
        fake.advance(61)  # the lease is over
        await Elsewhere(store).delete("k")
        store.broken = set()
        with anyio.fail_after(10):
            while session.status().unsaved:  # noqa: ASYNC110 - no event tells of it
                await anyio.sleep(0.02)
        assert await store.load("k") is None
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_cancelling_every_task_of_asyncio_does_not_drop_an_answer() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    if not isinstance(asyncio.events._get_running_loop(), asyncio.AbstractEventLoop):
        return
    async with crowd(fake, store) as session:
        before = asyncio.all_tasks()
        with fake.hold() as held:
            task = asyncio.ensure_future(attempt(session))
            await held.arrived()
            for running in asyncio.all_tasks() - before:
                running.cancel()
            await asyncio.wait([task])
            held.release()
        await session.settled()
        token = await store.load("k")
        assert token is not None
        assert token.refresh_token == "refresh-token-3"
    assert fake.presented_twice == 0
