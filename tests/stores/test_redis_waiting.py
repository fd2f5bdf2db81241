"""How whoever waits for a lease in Redis learns of its end, and what that costs."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import attrs
import pytest

from oauthkit.errors import StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores import redis_client, redis_waiting
from oauthkit.stores.redis import RedisStore
from oauthkit.testing.holders import holding
from tests.stores.conftest import FakeCoredis, FakeLine, FakeRedisPy, FakeRedisServer

DEADLINE = 10.0
PROMPT = 1.0  # on a machine that does other things too; what is not told takes 8 s
TOKEN, LEASE = "oauthkit:{ada}:token", "oauthkit:{ada}:lease"

Open = Callable[[], RedisStore]


@pytest.fixture(params=[FakeRedisPy, FakeCoredis])
def open_store(request: pytest.FixtureRequest, fake_redis: FakeRedisServer) -> Open:
    """Return a way to be one more process."""

    def opened() -> RedisStore:
        return RedisStore(request.param(fake_redis), clock=fake_redis.clock.monotonic)

    return opened


@attrs.define
class Waiter:
    """Somebody who waits for a lease, and what came of it."""

    answered: anyio.Event = attrs.field(factory=anyio.Event)
    held: bool = False
    token: Token | None = None
    error: Exception | None = None

    async def wait(self, store: RedisStore, key: str) -> None:
        try:
            async with store.lease(key) as lease:
                self.held, self.token = lease.held, await lease.load()
        except StoreError as error:
            self.error = error
        self.answered.set()

    async def learn(self) -> tuple[bool, Token | None]:
        """Require an answer soon, and return it."""
        with anyio.fail_after(PROMPT):
            await self.answered.wait()
        return self.held, self.token


@asynccontextmanager
async def waiting(store: RedisStore, key: str = "ada") -> AsyncGenerator[Waiter]:
    """Let somebody wait while the block runs, which begins when the wait does."""
    async with anyio.create_task_group() as tasks:
        waiter = Waiter()
        tasks.start_soon(waiter.wait, store, key)
        await anyio.sleep(0.05)
        yield waiter
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def held_and_waited_for(
    server: FakeRedisServer, open_store: Open
) -> AsyncGenerator[tuple[Any, Waiter]]:
    """Let somebody hold the lease of a token, and somebody else wait for it."""
    holder = open_store()
    await holder.save("ada", Token("one"))
    async with holding(holder, "ada") as first:
        server.calls.clear()
        async with waiting(open_store()) as waiter:
            yield first, waiter


async def test_who_waits_asks_nothing_until_it_is_told(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        asked = list(fake_redis.calls)
        assert asked == ["ACQUIRE", "SUBSCRIBE", "HGET", "PTTL"]
        await anyio.sleep(0.2)
        assert fake_redis.calls == asked
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))
        assert fake_redis.calls == [*asked, "SAVE", "HGET"]
        assert fake_redis.lines == []


async def test_a_lease_that_is_given_back_is_told(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        first.leave()
        assert await waiter.learn() == (True, Token("one"))
        assert (fake_redis.lines, fake_redis.strings) == ([], {})


async def log_in(store: RedisStore) -> None:
    await store.save("ada", Token("login"))


async def log_out(store: RedisStore) -> None:
    await store.delete("ada")


@pytest.mark.parametrize("act, found", [(log_in, (False, Token("login"))), (log_out, (True, None))])
async def test_a_login_and_a_logout_are_told(
    open_store: Open,
    fake_redis: FakeRedisServer,
    act: Callable[[RedisStore], Awaitable[None]],
    found: tuple[bool, Token | None],
) -> None:
    async with held_and_waited_for(fake_redis, open_store) as (_, waiter):
        await act(open_store())
        assert await waiter.learn() == found


async def test_one_listens_on_a_channel_with_the_name_of_the_lease(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """So the prefix, and the tag that decides about cluster slots, are in it."""
    async with held_and_waited_for(fake_redis, open_store):
        (line,) = fake_redis.lines
        assert line.channels == {LEASE}


@pytest.mark.parametrize("saves", [True, False])
async def test_what_happens_before_one_listens_is_not_missed(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch, *, saves: bool
) -> None:
    """After the first look, in vain, and before the server knows that somebody listens."""
    subscribe = FakeLine.subscribe
    holder = open_store()
    await holder.save("ada", Token("one"))

    async def late(line: FakeLine, channel: str) -> None:
        if saves:
            await first.lease.save(Token("two"))
        else:
            first.leave()
            await first.gone.wait()
        await subscribe(line, channel)

    monkeypatch.setattr(FakeLine, "subscribe", late)
    async with holding(holder, "ada") as first, waiting(open_store()) as waiter:
        found = (False, Token("two")) if saves else (True, Token("one"))
        assert await waiter.learn() == found


async def test_the_lease_of_the_dead_is_looked_at_when_it_ends(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """Nobody tells of it."""
    fake_redis.strings[LEASE] = "dead"
    fake_redis.ends_at[LEASE] = fake_redis.clock.time() + 0.1
    fake_redis.hashes[TOKEN] = {"version": "v", "token": '{"access_token":"one"}', "tells": "dead"}
    async with waiting(open_store()) as waiter:
        assert fake_redis.calls == ["ACQUIRE", "ACQUIRE", "SUBSCRIBE", "HGET", "PTTL"]
        fake_redis.clock.advance(0.1)
        assert await waiter.learn() == (True, Token("one"))
        assert fake_redis.calls[5:] == ["ACQUIRE", "RELEASE", "RELEASE"]


@pytest.mark.parametrize("ends", [True, False])
async def test_a_message_may_be_lost(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    """Whoever listens looks all the same, now and then; also where the lease has no end."""

    def silent(*_: object) -> None:
        """Lose it."""

    monkeypatch.setattr(redis_waiting, "_RARELY", (0.1, 0.1))
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        if not ends:
            del fake_redis.ends_at[LEASE]
        await anyio.sleep(0.3)
        assert not waiter.answered.is_set()
        assert 2 <= fake_redis.calls.count("PTTL") <= 4
        monkeypatch.setattr(FakeLine, "say", silent)
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


@pytest.mark.parametrize("forbidden", ["may_publish", "may_subscribe"])
async def test_a_server_that_forbids_messages_is_looked_at(
    open_store: Open, fake_redis: FakeRedisServer, forbidden: str
) -> None:
    setattr(fake_redis, forbidden, False)
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        with anyio.fail_after(PROMPT):
            while fake_redis.calls.count("ACQUIRE") < 4:
                await fake_redis.heard.wait()
        assert fake_redis.calls.count("SUBSCRIBE") == (forbidden == "may_subscribe")
        assert fake_redis.lines == []
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


async def test_a_holder_that_does_not_tell_is_looked_at(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """It may be of an older version; when another one takes over, that is told again."""
    fake_redis.strings[LEASE] = "older"
    fake_redis.hashes[TOKEN] = {"version": "v", "token": '{"access_token":"one"}'}
    async with waiting(open_store()) as waiter:
        assert "SUBSCRIBE" not in fake_redis.calls
        fake_redis.strings[LEASE] = fake_redis.hashes[TOKEN]["tells"] = "newer"
        await anyio.sleep(0.1)
        asked = list(fake_redis.calls)
        assert asked[-3:] == ["SUBSCRIBE", "HGET", "PTTL"]
        fake_redis.strings[LEASE] = "older"
        fake_redis.publish(LEASE)
        await anyio.sleep(0.1)
        assert fake_redis.calls.count("ACQUIRE") == asked.count("ACQUIRE")
        fake_redis.forget(LEASE)
        fake_redis.publish(LEASE)
        assert await waiter.learn() == (True, Token("one"))


async def test_where_listening_was_refused_it_is_not_tried_again_for_a_minute(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    fake_redis.may_subscribe = False
    holder, store = open_store(), open_store()
    async with holding(holder, "ada"):
        del fake_redis.ends_at[LEASE]
        for seconds, tries in ((0, 1), (59, 1), (1, 2)):
            fake_redis.clock.advance(seconds)
            async with waiting(store):
                with anyio.fail_after(10):
                    while fake_redis.calls.count("SUBSCRIBE") < tries:  # noqa: ASYNC110 - no event
                        await anyio.sleep(0.01)
                assert fake_redis.calls.count("SUBSCRIBE") == tries


async def test_a_line_that_breaks_off_is_replaced_by_looks(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        asked = len(fake_redis.calls)
        fake_redis.lines[0].break_off(ConnectionError())
        await anyio.sleep(0.1)
        assert fake_redis.lines == []
        assert set(fake_redis.calls[asked:]) == {"ACQUIRE"}
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


async def test_a_driver_that_forgets_the_time_is_given_up(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may try to reconnect for long, and say nothing of it."""
    monkeypatch.setattr(redis_client, "_OVERTIME_SECONDS", 0.05)
    monkeypatch.setattr(redis_waiting, "_RARELY", (0.01, 0.01))
    get_message = FakeLine.get_message

    async def hang(line: FakeLine, **arguments: Any) -> Any:
        if arguments["timeout"] < 1:  # not on the way in
            await anyio.sleep_forever()
        return await get_message(line, **arguments)

    monkeypatch.setattr(FakeLine, "get_message", hang)
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))
        assert fake_redis.lines == []


async def test_a_driver_that_cannot_open_a_line_in_time_is_given_up(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "_OPENING_SECONDS", 0.05)

    async def hang(*_: Any) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(FakeLine, "subscribe", hang)
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


@pytest.mark.parametrize("way", ["unsubscribe", "aclose"])
async def test_a_line_that_cannot_be_closed_harms_nobody(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async def fail(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(FakeLine, way, fail)
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


async def test_a_store_that_fails_meanwhile_says_so(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """In its own words, not in a group."""
    async with held_and_waited_for(fake_redis, open_store) as (_, waiter):
        fake_redis.fault = ConnectionError()
        fake_redis.publish(LEASE)
        with anyio.fail_after(PROMPT):
            await waiter.answered.wait()
        assert "could not be asked (builtins.ConnectionError)" in str(waiter.error)
        assert fake_redis.lines == []
        fake_redis.fault = None


async def test_a_client_without_messages_is_looked_at(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("tests.stores.conftest._FakeClient.pubsub")
    async with held_and_waited_for(fake_redis, open_store) as (first, waiter):
        assert set(fake_redis.calls) == {"ACQUIRE"}
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


async def test_of_all_who_wait_for_a_key_one_listens_for_all(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """Also where each has a store of its own over the same client."""
    holder, first, *others = (open_store() for _ in range(12))
    stores = [first, *(RedisStore(first._client.given, clock=first._clock) for _ in others)]
    await holder.save("ada", Token("one"))
    async with holding(holder, "ada") as held, anyio.create_task_group() as tasks:
        fake_redis.calls.clear()
        waiters = [Waiter() for _ in stores]
        for store, waiter in zip(stores, waiters, strict=True):
            tasks.start_soon(waiter.wait, store, "ada")
        await anyio.sleep(0.1)
        assert len(fake_redis.lines) == 1
        assert sorted(fake_redis.calls) == [*["ACQUIRE"] * 11, "HGET", "PTTL", "SUBSCRIBE"]
        await held.lease.save(Token("two"))
        assert [await waiter.learn() for waiter in waiters] == [(False, Token("two"))] * 11
        assert fake_redis.calls[14:] == ["SAVE", "HGET"]


@pytest.mark.parametrize("way", ["given back", "cancelled"])
async def test_one_who_no_longer_listens_is_replaced_by_the_next(
    open_store: Open, fake_redis: FakeRedisServer, way: str
) -> None:
    holder, store = open_store(), open_store()
    await holder.save("ada", Token("one"))
    others = [Waiter() for _ in range(3)]
    expected = (True, Token("one")) if way == "given back" else (False, Token("two"))
    async with holding(holder, "ada") as held, anyio.create_task_group() as tasks:
        async with waiting(store) as waiter:
            for other in others:
                tasks.start_soon(other.wait, store, "ada")
            await anyio.sleep(0.05)
            if way == "given back":
                held.leave()
                assert await waiter.learn() == expected
        await anyio.sleep(0.05)
        if way == "cancelled":
            assert len(fake_redis.lines) == 1
            await held.lease.save(Token("two"))
        for other in others:
            assert await other.learn() == expected
    assert fake_redis.lines == []


async def test_all_who_wait_are_told_at_once_that_the_store_fails(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """Not one after the other, when each may wait for an answer that never comes."""
    store, waiters = open_store(), [Waiter() for _ in range(3)]
    async with holding(open_store(), "ada"), anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter.wait, store, "ada")
        await anyio.sleep(0.05)
        fake_redis.calls.clear()
        fake_redis.fault = ConnectionError()
        fake_redis.publish(LEASE)
        for waiter in waiters:
            await waiter.learn()
            assert "could not be asked (builtins.ConnectionError)" in str(waiter.error)
        assert fake_redis.calls.count("HGET") == 1
        fake_redis.fault = None


async def test_what_was_read_before_one_began_to_wait_is_not_taken_for_news(
    open_store: Open, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be older than what one has seen since."""
    holder, store = open_store(), open_store()
    await holder.save("ada", Token("zero"))
    reached, go_on = anyio.Event(), anyio.Event()
    hget = FakeRedisPy.hget  # as both have it

    async def slow(client: Any, name: str, field: str) -> Any:
        found = await hget(client, name, field)
        if b"one" in found:
            reached.set()
            await go_on.wait()
        return found

    async with holding(holder, "ada") as held, anyio.create_task_group() as tasks:
        tasks.start_soon(Waiter().wait, store, "ada")
        await anyio.sleep(0.05)
        monkeypatch.setattr("tests.stores.conftest._FakeClient.hget", slow)
        await held.lease.save(Token("one"))
        await reached.wait()
        monkeypatch.undo()
        await open_store().save("ada", Token("two"))
        fake_redis.strings[LEASE] = fake_redis.hashes[TOKEN]["tells"] = "another"
        late = Waiter()
        tasks.start_soon(late.wait, store, "ada")
        await anyio.sleep(0.05)
        go_on.set()
        await anyio.sleep(0.05)
        assert not late.answered.is_set()
        await open_store().save("ada", Token("three"))
        assert await late.learn() == (False, Token("three"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_end_of_the_loop_that_cancels_a_line_leaves_whoever_waits(
    fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of asyncio.run cancels every task by itself, also one that only stands beside."""
    import asyncio

    def opened() -> RedisStore:
        return RedisStore(cast("Any", FakeCoredis(fake_redis)), clock=fake_redis.clock.monotonic)

    monkeypatch.setattr(redis_waiting, "_RARELY", (0.1, 0.1))  # nothing is heard any more
    async with held_and_waited_for(fake_redis, opened) as (first, waiter):
        (beside,) = [task for task in asyncio.all_tasks() if "_CoredisLine" in task.get_name()]
        beside.cancel()
        await asyncio.wait([beside])
        assert fake_redis.lines == []
        await first.lease.save(Token("two"))
        assert await waiter.learn() == (False, Token("two"))


async def test_few_of_a_crowd_listen_and_the_others_look_rarely(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """However many keys one process waits for, it takes few connections of its client."""
    store, keys = open_store(), [f"user-{number}" for number in range(300)]
    for key in keys:
        names = cast("Any", store)._names(key)
        fake_redis.strings[names[1]] = "other"
        fake_redis.hashes[names[0]] = {"tells": "other"}
    waiters = [Waiter() for _ in keys]
    async with anyio.create_task_group() as tasks:
        for waiter, key in zip(waiters, keys, strict=True):
            tasks.start_soon(waiter.wait, store, key)
        with anyio.fail_after(DEADLINE):
            while fake_redis.calls.count("ACQUIRE") < len(keys) or len(fake_redis.lines) < 16:
                await fake_redis.heard.wait()
        await anyio.sleep(0.3)
        assert len(fake_redis.lines) == 16
        fake_redis.calls.clear()
        await anyio.sleep(0.5)
        assert fake_redis.calls.count("ACQUIRE") < 200
        for key in keys:
            await store.save(key, Token(key))
        with anyio.fail_after(DEADLINE):
            for waiter in waiters:
                await waiter.answered.wait()
    assert [waiter.token for waiter in waiters] == [Token(key) for key in keys]
    assert fake_redis.lines == []


@pytest.mark.parametrize(
    "most, connections, lines",
    [(None, 16, 16), (2**31, 16, 16), (64, 16, 16), (8, 2, 2), (3, 1, 0)],
)
@pytest.mark.parametrize("client", [FakeRedisPy, FakeCoredis])
def test_a_small_pool_is_left_to_whom_it_belongs(
    fake_redis: FakeRedisServer,
    client: type[FakeRedisPy | FakeCoredis],
    most: int | None,
    connections: int,
    lines: int,
) -> None:
    pooled: Any = client(fake_redis)
    if most is not None:
        pooled.connection_pool = SimpleNamespace(max_connections=most)
    seam = redis_client.redis_client(pooled)
    assert (seam.connections, seam.lines) == (connections, lines)


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(
    open_store: Open, fake_redis: FakeRedisServer
) -> None:
    """At whatever step, and whatever it is told meanwhile."""
    holder, store = open_store(), open_store()
    await holder.save("ada", Token("one"))
    for steps in range(60):
        async with holding(holder, "ada") as first, anyio.create_task_group() as tasks:
            tasks.start_soon(Waiter().wait, store, "ada")
            for _ in range(steps // 2):
                await anyio.lowlevel.checkpoint()
            first.leave()
            for _ in range(steps - steps // 2):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert (fake_redis.lines, fake_redis.strings) == ([], {})


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_cancellation_leaves_nothing_behind(
    fake_redis: FakeRedisServer, open_store: Open
) -> None:
    import asyncio

    holder, store = open_store(), open_store()
    await holder.save("ada", Token("one"))
    for steps in range(60):
        async with holding(holder, "ada") as first:
            task = asyncio.create_task(Waiter().wait(store, "ada"))
            for _ in range(steps // 2):
                await anyio.lowlevel.checkpoint()
            first.leave()
            for _ in range(steps - steps // 2):
                await anyio.lowlevel.checkpoint()
            task.cancel()
            await asyncio.wait([task])
        assert (fake_redis.lines, fake_redis.strings) == ([], {})
