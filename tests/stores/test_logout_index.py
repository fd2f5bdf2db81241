"""Which tokens belong to a logout that a server announces."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from oauthkit.errors import ConfigurationError, StoreError
from oauthkit.stores.logout_index import LogoutIndex, MemoryLogoutIndex
from oauthkit.stores.redis_logins import RedisLogoutIndex
from oauthkit.stores.sqlite_logins import SQLiteLogoutIndex
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

A, B = "https://a.example", "https://b.example"


class Contract(Place):
    """What every such index does."""

    make: Callable[..., Any]

    @asynccontextmanager
    async def indexes(self) -> AsyncGenerator[tuple[LogoutIndex, LogoutIndex]]:
        async with self.twice(type(self).make) as both:
            yield both

    async def visits(self, index: LogoutIndex) -> None:
        """Let ada visit twice by one server, and others beside her."""
        ends = self.clock.time() + 600
        await index.add("1", issuer=A, subject="ada", session_id="s1", expires_at=ends)
        await index.add("2", issuer=A, subject="ada", session_id="s2", expires_at=ends + 600)
        await index.add("3", issuer=A, subject="bob", session_id="s3", expires_at=ends)
        await index.add("4", issuer=B, subject="ada", session_id="s1", expires_at=ends)
        await index.add("5", issuer=A, subject="ada", expires_at=ends)

    async def test_a_session_is_one_and_a_subject_is_all_of_theirs(self) -> None:
        """BL-02, OC-28: each at its own issuer, for a subject is one by its issuer alone."""
        async with self.indexes() as (one, two):
            await self.visits(one)
            assert await two.find(issuer=A, session_id="s1") == {"1"}
            assert await two.find(issuer=A, subject="ada") == {"1", "2", "5"}
            assert await two.find(issuer=A, subject="ada", session_id="s2") == {"2"}
            assert await two.find(issuer=B, subject="ada") == {"4"}

    async def test_what_is_not_known_is_nobody(self) -> None:
        """AT-85: also a session of somebody else, and a subject that is called as a session is."""
        async with self.indexes() as (one, two):
            await self.visits(one)
            assert await two.find(issuer=A, session_id="s9") == set()
            assert await two.find(issuer=A, subject="bob", session_id="s1") == set()
            assert await two.find(issuer=A, subject="s1") == set()
            assert await two.find(issuer=A, session_id="ada") == set()
            assert await two.find(issuer=f"{A}/", subject="ada") == set()

    async def test_who_is_removed_is_found_no_more(self) -> None:
        """BL-10."""
        async with self.indexes() as (one, two):
            await self.visits(one)
            for _ in range(2):
                await two.remove("1")
                await two.remove("unknown")
            assert await one.find(issuer=A, session_id="s1") == set()
            assert await one.find(issuer=A, subject="ada") == {"2", "5"}
            assert await one.find(issuer=B, session_id="s1") == {"4"}

    async def test_a_visit_ends_by_itself(self) -> None:
        """AT-15."""
        async with self.indexes() as (one, two):
            await self.visits(one)
            await self.advance(601)
            assert await two.find(issuer=A, subject="ada") == {"2"}
            assert await two.find(issuer=A, session_id="s1") == set()
            ends = self.clock.time() + 60
            await one.add("6", issuer=A, subject="ada", expires_at=ends)
            assert await two.find(issuer=A, subject="ada") == {"2", "6"}
            await self.advance(700)
            assert await two.find(issuer=A, subject="ada") == set()

    async def test_a_key_belongs_to_who_had_it_last(self) -> None:
        async with self.indexes() as (one, two):
            await self.visits(one)
            ends = self.clock.time() + 600
            await two.add("1", issuer=A, subject="bob", session_id="s1", expires_at=ends)
            assert await one.find(issuer=A, subject="ada") == {"2", "5"}
            assert await one.find(issuer=A, subject="bob") == {"1", "3"}
            assert await one.find(issuer=A, session_id="s1") == {"1"}
            await two.add("1", issuer=A, subject="bob", expires_at=ends)
            assert await one.find(issuer=A, session_id="s1") == set()

    async def test_a_visit_that_was_noted_anew_lasts_as_long_as_said_then(self) -> None:
        async with self.indexes() as (one, other):
            for life in (100, 1_000):
                ends = self.clock.time() + life
                await one.add("1", issuer=A, subject="ada", expires_at=ends)
            await self.advance(500)
            await one.add("2", issuer=A, subject="bob", expires_at=self.clock.time() + 600)

            assert await other.find(issuer=A, subject="ada") == {"1"}

    async def test_any_text_is_a_key(self) -> None:
        async with self.indexes() as (one, two):
            keys = {"ä", "\ud800", "a b", "a%20b", "a\0b", "{x}", "k" * 2_000}
            for key in keys:
                await one.add(key, issuer=A, subject="ä b", expires_at=self.clock.time() + 600)
            assert await two.find(issuer=A, subject="ä b") == keys

    async def test_a_logout_of_everybody_cannot_be_asked_for(self) -> None:
        """BL-06."""
        async with self.indexes() as (one, _):
            with pytest.raises(ConfigurationError, match="a subject or a session"):
                await one.find(issuer=A)
            several: list[dict[str, Any]] = [{"subject": ""}, {"session_id": ""}, {"subject": 5}]
            for wanted in several:
                with pytest.raises(ConfigurationError, match="must be a text"):
                    await one.find(issuer=A, **wanted)
            with pytest.raises(ConfigurationError, match="issuer"):
                await one.find(issuer="", subject="ada")

    @pytest.mark.parametrize(
        "visit, words",
        [
            ({"key": ""}, "key is empty"),
            ({"issuer": ""}, "issuer"),
            ({"subject": ""}, "subject"),
            ({"session_id": ""}, "session_id"),
            ({"expires_at": float("inf")}, "expires_at="),
        ],
        ids=repr,
    )
    async def test_what_is_no_visit_is_not_noted(self, visit: Any, words: str) -> None:
        told: dict[str, Any] = {"issuer": A, "subject": "ada", "expires_at": 1.0, **visit}
        async with self.indexes() as (one, _):
            with pytest.raises(ConfigurationError, match=words):
                await one.add(told.pop("key", "1"), **told)
            with pytest.raises(ConfigurationError, match="key is empty"):
                await one.remove("")


class TestMemory(Contract):
    make = MemoryLogoutIndex


class TestSQLite(Contract, File):
    make = SQLiteLogoutIndex


class TestFakeRedisPy(Contract, FakeRedis):
    make = RedisLogoutIndex


class TestFakeRedisPyThatDecodes(TestFakeRedisPy):
    decode = True


class TestFakeCoredis(TestFakeRedisPy):
    client = FakeCoredis


@ON_ASYNCIO_ALONE
class TestRedisPy(Contract, RealRedis):
    make = RedisLogoutIndex


@COREDIS_LEAVES_STREAMS_OPEN
class TestCoredis(Contract, RealCoredis):
    make = RedisLogoutIndex


@ON_ASYNCIO_ALONE
class TestRedisPyCluster(Contract, RealCluster):
    make = RedisLogoutIndex


async def test_memory_is_bounded() -> None:
    """AT-15: who ends first is forgotten first, in every way to be found."""
    clock = FakeClock()
    index = MemoryLogoutIndex(capacity=2, clock=clock.time)
    for key, seconds in (("late", 900), ("soon", 300), ("later", 1_000)):
        await index.add(
            key, issuer=A, subject="ada", session_id=key, expires_at=clock.time() + seconds
        )

    assert await index.find(issuer=A, subject="ada") == {"late", "later"}
    assert await index.find(issuer=A, session_id="soon") == set()
    assert len(index._keys) == 3


async def test_one_file_has_all_that_belongs_to_logins(tmp_path: Path) -> None:
    async with SQLiteLogoutIndex(tmp_path / "x.db") as index:
        await index.add("1", issuer=A, subject="ada", expires_at=9e9)
    with pytest.raises(StoreError, match="closed"):
        await index.find(issuer=A, subject="ada")
    async with SQLiteLogoutIndex(tmp_path / "x.db") as again:
        assert await again.find(issuer=A, subject="ada") == {"1"}


async def test_a_server_that_is_away_says_so(fake_redis: FakeRedisServer) -> None:
    index = RedisLogoutIndex(FakeRedisPy(fake_redis))  # type: ignore[arg-type]
    fake_redis.fault = ConnectionError("canary")

    with pytest.raises(StoreError, match="could not be asked"):
        await index.find(issuer=A, subject="ada")
    with pytest.raises(StoreError, match="could not be asked"):
        await index.add("1", issuer=A, subject="ada", expires_at=9e9)


async def test_redis_keeps_nobody_by_name(fake_redis: FakeRedisServer) -> None:
    """O2-40: a subject may be a mail address."""
    index = RedisLogoutIndex(FakeRedisPy(fake_redis))  # type: ignore[arg-type]
    await index.add("1", issuer=A, subject="canary", session_id="canary", expires_at=9e9)

    assert "canary" not in str((fake_redis.strings, fake_redis.sorted_sets))
