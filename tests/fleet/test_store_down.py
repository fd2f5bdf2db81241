"""What a store that cannot be asked does to who has a token, and to who has none."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from oauthkit import (
    AsyncTokenSession,
    MemoryStore,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    StoreError,
    TokenStore,
)
from oauthkit.events import Event, RenewalFailed, StoreFailed
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.testing import FakeAuthorizationServer

from .redis_server import RedisServer
from .settings import Place

KEY = "ada"


@asynccontextmanager
async def redis_store(server: RedisServer) -> AsyncGenerator[RedisStore]:
    """Open a store whose client does not try again by itself."""
    async with redis.asyncio.Redis(
        port=server.port,
        socket_timeout=0.3,
        socket_connect_timeout=0.3,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        yield RedisStore(client)


@asynccontextmanager
async def opened(place: Place) -> AsyncGenerator[TokenStore]:
    if place.path is not None:
        async with SQLiteStore(place.path) as store:
            yield store
    else:
        async with redis.asyncio.Redis(port=place.port or 0) as client:
            yield RedisStore(client)


async def test_calls_go_on_with_a_valid_token_and_an_event_says_so(
    redis_server: RedisServer,
) -> None:
    events: list[Event] = []
    fake = FakeAuthorizationServer(expires_in=60, clock=time)
    async with (
        redis_store(redis_server) as store,
        fake.session(
            store=store, key=KEY, on_event=events.append, policy=RenewalPolicy(recheck=0.1)
        ) as session,
    ):
        token = await session.token()
        redis_server.kill()
        await anyio.sleep(0.2)

        for _ in range(50):
            assert (await session.get("/report")).status_code == 200

        assert await session.token() == token
        failed = [event for event in events if isinstance(event, RenewalFailed)]
        assert failed, "an event says so"
        assert all(event.usable and isinstance(event.error, StoreError) for event in failed)
        assert len(failed) == 1, "and once, not for each call"
        assert len(fake.token_requests) == 1


async def test_a_store_that_hangs_delays_few_calls_and_fails_none(
    redis_server: RedisServer,
) -> None:
    fake = FakeAuthorizationServer(expires_in=60, clock=time)
    async with (
        redis_store(redis_server) as store,
        fake.session(store=store, key=KEY, policy=RenewalPolicy(recheck=0.1)) as session,
    ):
        await session.token()
        redis_server.stop()
        await anyio.sleep(0.2)

        waits: list[float] = []
        for _ in range(50):
            began = time.monotonic()
            assert (await session.get("/report")).status_code == 200
            waits.append(time.monotonic() - began)
        redis_server.resume()

        assert max(waits) < 1.0
        assert sum(wait > 0.1 for wait in waits) == 1


async def test_without_a_token_the_error_says_try_later_and_nothing_is_sent(
    redis_server: RedisServer,
) -> None:
    fake = FakeAuthorizationServer(clock=time)
    async with (
        redis_store(redis_server) as store,
        fake.session(store=store, key=KEY) as session,
    ):
        redis_server.kill()

        with pytest.raises(StoreError) as caught:
            await session.get("/report")

        assert caught.value.recovery is Recovery.RETRY_LATER
        assert fake.token_requests == []
        await anyio.to_thread.run_sync(redis_server.start)
        assert (await session.get("/report")).status_code == 200


async def test_a_policy_may_allow_to_renew_without_the_store(redis_server: RedisServer) -> None:
    """What was fetched meanwhile is saved as soon as the store is back."""
    events: list[Event] = []
    fake = FakeAuthorizationServer(expires_in=60, clock=time)
    policy = RenewalPolicy(renew_without_lease=True, recheck=0.1)
    async with (
        redis_store(redis_server) as store,
        fake.session(store=store, key=KEY, policy=policy, on_event=events.append) as session,
    ):
        redis_server.kill()
        token = await session.token()
        assert len(fake.token_requests) == 1
        assert any(isinstance(event, StoreFailed) for event in events)

        await anyio.to_thread.run_sync(redis_server.start)
        with anyio.fail_after(10):
            while await store.load(KEY) is None:
                await session.token()
                await anyio.sleep(0.05)
        assert await store.load(KEY) == token
        assert len(fake.token_requests) == 1


async def test_a_restart_of_the_store_between_answer_and_save_loses_nothing(
    redis_server: RedisServer,
) -> None:
    """The lease is kept, and the token saved as soon as the store is back."""
    fake = FakeAuthorizationServer(expires_in=60, clock=time)
    first = fake.issue()
    async with redis_store(redis_server) as store:
        await store.save(KEY, first)
        async with fake.session(store=store, key=KEY, grant=None) as session:
            with fake.hold() as held:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(session.renew)
                    await held.arrived()
                    redis_server.kill()
                    held.release()
                    await anyio.sleep(0.5)
                    await anyio.to_thread.run_sync(redis_server.start)
            token = await session.token()
            assert token != first
            assert await store.load(KEY) == token
        assert len(fake.token_requests) == 1


async def used_for(session: AsyncTokenSession, *, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        while True:
            await session.token()
            await anyio.sleep(0.01)


@pytest.mark.parametrize("recheck", [0.5, 1.5])
async def test_another_process_s_logout_is_noticed_in_time(
    place: Place, tmp_path: Path, recheck: float
) -> None:
    """Two stores over one place are two processes; each knows nothing of the other."""
    fake = FakeAuthorizationServer(expires_in=3600, clock=time)
    policy = RenewalPolicy(recheck=recheck)
    async with opened(place) as here, opened(place) as there:
        await there.save(KEY, fake.issue())
        async with fake.session(store=here, key=KEY, grant=None, policy=policy) as session:
            await session.token()
            await there.delete(KEY)
            began = time.monotonic()
            with pytest.raises(ReauthorizationRequired):
                await used_for(session, seconds=10)
            noticed = time.monotonic() - began
    assert noticed <= recheck + 0.3


def test_the_default_bound_is_five_seconds() -> None:
    assert RenewalPolicy().recheck == 5.0


async def test_a_logout_in_this_process_is_noticed_at_once() -> None:
    fake = FakeAuthorizationServer()
    store = MemoryStore()
    await store.save(KEY, fake.issue())
    async with fake.session(store=store, key=KEY, grant=None) as session:
        await session.token()
        await store.delete(KEY)
        with pytest.raises(ReauthorizationRequired):
            await session.token()
