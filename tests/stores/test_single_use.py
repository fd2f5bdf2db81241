"""What is good once, in all processes."""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from oauthkit.errors import ConfigurationError, LeaseTaken, StoreError
from oauthkit.protocol.logout_token import LogoutToken
from oauthkit.protocol.token import Token
from oauthkit.stores.ending import EndingMap
from oauthkit.stores.memory import MemoryStore
from oauthkit.stores.redis_logins import RedisSingleUseStore
from oauthkit.stores.single_use import LeasedSingleUseStore, MemorySingleUseStore, SingleUseStore
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.stores.sqlite_logins import SQLiteSingleUseStore
from oauthkit.testing import FakeClock
from tests.stores.conftest import FakeCoredis, FakeRedisPy, FakeRedisServer
from tests.stores.login_places import (
    COREDIS_LEAVES_STREAMS_OPEN,
    ON_ASYNCIO_ALONE,
    FakeRedis,
    File,
    Place,
    RealCluster,
    RealCoredis,
    RealRedis,
)


class Contract(Place):
    """What every such store does."""

    make: Callable[..., Any]

    @asynccontextmanager
    async def stores(self) -> AsyncGenerator[tuple[SingleUseStore, SingleUseStore]]:
        async with self.twice(type(self).make) as both:
            yield both

    async def test_a_name_is_claimed_once_in_all_processes(self) -> None:
        """AT-12, BL-08: until it has ended."""
        async with self.stores() as (one, two):
            ends = self.clock.time() + 600
            assert await one.claim("login", expires_at=ends)
            assert not await one.claim("login", expires_at=ends)
            assert not await two.claim("login", expires_at=ends)
            assert await two.claim("logi", expires_at=ends)
            await self.advance(599)
            assert not await two.claim("login", expires_at=ends)
            await self.advance(1)
            assert await two.claim("login", expires_at=ends + 600)

    async def test_of_many_at_once_one_has_it(self) -> None:
        """AT-12."""
        told: list[bool] = []
        async with self.stores() as both, anyio.create_task_group() as tasks:

            async def claim(store: SingleUseStore) -> None:
                told.append(await store.claim("login", expires_at=self.clock.time() + 600))

            for number in range(10):
                tasks.start_soon(claim, both[number % 2])
        assert sorted(told) == [False] * 9 + [True]

    async def test_a_use_that_came_to_nothing_is_forgotten(self) -> None:
        """AT-12: and no other one is."""
        async with self.stores() as (one, two):
            ends = self.clock.time() + 600
            for name in ("login", "another"):
                assert await one.claim(name, expires_at=ends)
            await two.release("login")
            await two.release("login")
            await two.release("never used")
            assert not await two.claim("another", expires_at=ends)
            assert await two.claim("login", expires_at=ends)
            assert not await one.claim("login", expires_at=ends)

    async def test_what_has_ended_already_is_remembered_for_a_while(self) -> None:
        """BL-08: the clocks of two machines differ."""
        async with self.stores() as (one, two):
            assert await one.claim("jti", expires_at=self.clock.time() - 5)
            assert not await two.claim("jti", expires_at=self.clock.time() - 5)

    async def test_any_text_is_a_name(self) -> None:
        async with self.stores() as (one, _):
            for name in ("ä", "\ud800", "a" * 10_000, "a\0b", "a b", "{a}"):
                assert await one.claim(name, expires_at=self.clock.time() + 600)
                assert not await one.claim(name, expires_at=self.clock.time() + 600)

    @pytest.mark.parametrize("name", ["", None, 5], ids=repr)
    async def test_nothing_is_no_name(self, name: Any) -> None:
        async with self.stores() as (one, _):
            with pytest.raises(ConfigurationError, match="name must be a text"):
                await one.claim(name, expires_at=1.0)

    @pytest.mark.parametrize("end", [math.inf, math.nan, 1e13, None, "soon"], ids=repr)
    async def test_what_is_no_moment_is_no_end(self, end: Any) -> None:
        async with self.stores() as (one, _):
            with pytest.raises(ConfigurationError, match="expires_at="):
                await one.claim("name", expires_at=end)


class TestMemory(Contract):
    make = MemorySingleUseStore


class TestSQLite(Contract, File):
    make = SQLiteSingleUseStore


class TestFakeRedisPy(Contract, FakeRedis):
    make = RedisSingleUseStore


class TestFakeRedisPyThatDecodes(TestFakeRedisPy):
    decode = True


class TestFakeCoredis(TestFakeRedisPy):
    client = FakeCoredis


@ON_ASYNCIO_ALONE
class TestRedisPy(Contract, RealRedis):
    make = RedisSingleUseStore


@COREDIS_LEAVES_STREAMS_OPEN
class TestCoredis(Contract, RealCoredis):
    make = RedisSingleUseStore


@ON_ASYNCIO_ALONE
class TestRedisPyCluster(Contract, RealCluster):
    make = RedisSingleUseStore


class TestLeasedMemory(Contract):
    @asynccontextmanager
    async def stores(self) -> AsyncGenerator[tuple[SingleUseStore, SingleUseStore]]:
        tokens = MemoryStore()
        yield tuple(LeasedSingleUseStore(tokens, clock=self.clock.time) for _ in range(2))  # type: ignore[misc]


class TestLeasedSQLite(Contract, File):
    @asynccontextmanager
    async def stores(self) -> AsyncGenerator[tuple[SingleUseStore, SingleUseStore]]:
        async with SQLiteStore(self.path) as one, SQLiteStore(self.path) as two:
            yield (
                LeasedSingleUseStore(one, clock=self.clock.time),
                LeasedSingleUseStore(two, clock=self.clock.time),
            )


# Each of them


async def test_a_logout_token_counts_once() -> None:
    """BL-08: by its issuer and its own name, which another issuer may give, too."""
    used, clock = MemorySingleUseStore(), FakeClock()
    told: list[bool] = []
    for issuer in ("https://a.example", "https://a.example", "https://b.example"):
        said = LogoutToken(
            issuer=issuer, subject="ada", session_id=None, token_id="1", expires_at=clock.time()
        )
        told.append(await used.claim(said.once_id, expires_at=said.expires_at))

    assert told == [True, False, True]


async def test_memory_is_bounded_and_forgets_what_ends_first() -> None:
    """AT-15."""
    clock = FakeClock()
    used = MemorySingleUseStore(capacity=2, clock=clock.time)
    for name, seconds in (("late", 900), ("soon", 300), ("later", 1_000)):
        assert await used.claim(name, expires_at=clock.time() + seconds)

    assert not await used.claim("late", expires_at=clock.time() + 900)
    assert not await used.claim("later", expires_at=clock.time() + 900)
    assert await used.claim("soon", expires_at=clock.time() + 300)


@pytest.mark.parametrize("capacity", [0, -1])
def test_memory_has_room_for_one(capacity: int) -> None:
    with pytest.raises(ConfigurationError, match="capacity="):
        MemorySingleUseStore(capacity=capacity)
    MemorySingleUseStore(capacity=1)


def test_what_is_replaced_and_forgotten_over_and_over_takes_no_room() -> None:
    """AT-15: its end may be far away."""
    kept = EndingMap[int](10)
    for number in range(1_000):
        kept.put("a", number, ends_at=1e6 + number)
        kept.put("b", number, ends_at=1e6)
        assert kept.pop("b") == number

    assert kept.get("a", now=0) == 999
    assert len(kept) == 1
    assert len(vars_of(kept)) < 100
    assert list(kept.dropped(now=2e6)) == [999]
    assert kept.pop("a") is None


def test_what_ends_first_goes_first_whatever_was_forgotten_in_between() -> None:
    """AT-15."""
    kept = EndingMap[int](100)
    for number in range(20):
        kept.put(str(number), number, ends_at=1_000.0 - number)
    for _ in range(200):
        kept.put("again", -1, ends_at=2_000.0)

    assert list(kept.dropped(now=990.0)) == list(range(19, 9, -1))
    assert len(kept) == 11


def vars_of(kept: EndingMap[int]) -> list[Any]:
    return list(kept._ends)


async def test_a_file_forgets_what_has_ended(tmp_path: Any) -> None:
    """AT-15: and a store of tokens may have the same file."""
    clock = FakeClock()
    path = tmp_path / "tokens.db"
    async with SQLiteSingleUseStore(path, clock=clock.time) as used, SQLiteStore(path) as tokens:
        await tokens.save("ada", Token("one"))
        for number in range(20):
            assert await used.claim(str(number), expires_at=clock.time() + 600)
            clock.advance(60)
        rows = await used.written(
            lambda connection: connection.execute("SELECT count(*) FROM single_use").fetchone()
        )
        assert rows == (10,)
        assert await tokens.load("ada") == Token("one")


async def test_a_closed_file_says_so(tmp_path: Any) -> None:
    used = SQLiteSingleUseStore(tmp_path / "logins.db")
    await used.aclose()

    with pytest.raises(StoreError, match="closed"):
        await used.claim("a", expires_at=1.0)


async def test_a_driver_that_sends_a_claim_twice_has_it(fake_redis: FakeRedisServer) -> None:
    """AT-12: its first answer was lost on the way."""
    client: Any = FakeRedisPy(fake_redis)
    answered = client.evalsha

    async def twice(sha: str, keys: int, *rest: str) -> Any:
        await answered(sha, keys, *rest)
        return await answered(sha, keys, *rest)

    client.evalsha = twice
    used = RedisSingleUseStore(client)
    assert await used.claim("a", expires_at=1.0)
    assert not await used.claim("a", expires_at=1.0)


async def test_a_server_that_is_away_says_so(fake_redis: FakeRedisServer) -> None:
    fake_redis.fault = ConnectionError("canary")
    used = RedisSingleUseStore(FakeRedisPy(fake_redis))  # type: ignore[arg-type]

    with pytest.raises(StoreError, match="could not be asked") as caught:
        await used.claim("a", expires_at=1.0)
    assert "canary" not in str(caught.value)


async def test_no_name_is_stored(fake_redis: FakeRedisServer) -> None:
    """O2-40: it may be a secret."""
    used = RedisSingleUseStore(FakeRedisPy(fake_redis))  # type: ignore[arg-type]
    tokens = MemoryStore()
    leased = LeasedSingleUseStore(tokens, records=1)
    for store in (used, leased):
        assert await store.claim("canary", expires_at=1.0)

    assert "canary" not in str(fake_redis.strings)
    assert "canary" not in str((await tokens.load("single-use:0") or Token("")).to_dict())


async def test_records_beside_tokens_are_few_and_forget() -> None:
    """AT-15: in a store that forgets nothing by itself."""
    clock, tokens = FakeClock(), MemoryStore()
    used = LeasedSingleUseStore(tokens, records=2, clock=clock.time)
    for number in range(50):
        assert await used.claim(str(number), expires_at=clock.time() + 600)
        clock.advance(100)

    records = [await tokens.load(f"single-use:{number}") for number in range(2)]
    kept = [record.extra["used"] for record in records if record is not None]
    assert sum(map(len, kept)) < 15


async def test_a_token_under_such_a_key_is_left_as_it_is() -> None:
    tokens = MemoryStore()
    used = LeasedSingleUseStore(tokens, records=1)
    for token in (Token("ada's"), Token("a", extra={"used": {"x": "y"}})):
        await tokens.save("single-use:0", token)
        with pytest.raises(StoreError, match="prefix="):
            await used.claim("a", expires_at=1.0)
        assert await tokens.load("single-use:0") == token


async def test_a_claim_has_an_end() -> None:
    """A lease that somebody holds must not hold up a login for ever."""
    tokens = MemoryStore()
    used = LeasedSingleUseStore(tokens, records=1, timeout=0.02)

    async with tokens.lease("single-use:0"):
        with pytest.raises(LeaseTaken, match="within"):
            await used.claim("a", expires_at=1.0)
    assert await used.claim("a", expires_at=1.0)


async def test_an_answer_without_the_lease_is_none(fake_redis: FakeRedisServer) -> None:
    """AT-12: `RedisStore` answers who waits once the record has changed."""
    from oauthkit.stores.redis import RedisStore

    tokens = RedisStore(FakeRedisPy(fake_redis))  # type: ignore[arg-type]
    used = LeasedSingleUseStore(tokens, records=1)
    told: list[bool] = []

    async def claim(name: str) -> None:
        told.append(await used.claim(name, expires_at=1.0))

    async with anyio.create_task_group() as tasks:
        for name in "aabbccdd":
            tasks.start_soon(claim, name)
    assert sorted(told) == [False] * 4 + [True] * 4


@pytest.mark.parametrize("settings", [{"records": 0}, {"timeout": 0}, {"timeout": -1.0}], ids=repr)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="LeasedSingleUseStore"):
        LeasedSingleUseStore(MemoryStore(), **settings)
