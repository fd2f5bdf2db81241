import math
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
import redis
import redis.asyncio

from oauthkit.errors import ConfigurationError, LeaseLost, Recovery, StoreError
from oauthkit.protocol.token import Token
from oauthkit.stores.records import encode_token
from oauthkit.stores.redis import RedisStore
from oauthkit.stores.redis_client import redis_client, run_script
from oauthkit.stores.redis_scripts import ACQUIRE, RELEASE, SAVE
from tests.stores.conftest import FakeRedisPy, FakeRedisServer

DEADLINE = 10.0
TOKEN, LEASE = "oauthkit:{ada}:token", "oauthkit:{ada}:lease"


def client(server: FakeRedisServer) -> Any:
    return FakeRedisPy(server)


@pytest.fixture
def store(fake_redis: FakeRedisServer) -> RedisStore:
    return RedisStore(client(fake_redis))


async def warm(store: RedisStore, server: FakeRedisServer) -> None:
    """Let the server know the scripts."""
    async with store.lease("ada") as lease:
        await lease.save(Token("one"))
    server.calls.clear()


async def test_a_renewal_costs_four_round_trips(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    """One of them is the look before the renewal."""
    await warm(store, fake_redis)
    assert await store.load("ada") == Token("one")
    async with store.lease("ada") as lease:
        assert await lease.load() == Token("one")
        await lease.save(Token("two"))
    assert fake_redis.calls == ["HGET", "ACQUIRE", "SAVE", "RELEASE"]


async def test_a_waiter_is_answered_when_the_token_changes(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    """It does not queue for a lease that it needs no more, and cannot save."""
    await warm(store, fake_redis)
    answered = anyio.Event()

    async def wait() -> None:
        async with store.lease("ada") as lease:
            assert not lease.held
            assert await lease.load() == Token("two")
            with pytest.raises(LeaseLost):
                await lease.save(Token("three"))
        answered.set()

    with anyio.fail_after(DEADLINE):
        async with store.lease("ada") as first, anyio.create_task_group() as tasks:
            fake_redis.calls.clear()
            tasks.start_soon(wait)
            await fake_redis.heard.wait()
            await first.save(Token("two"))
            await answered.wait()
            assert "RELEASE" not in fake_redis.calls


async def test_a_token_that_is_deleted_answers_nobody(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    """There is nothing to adopt, so a waiter goes on waiting for the lease."""
    await warm(store, fake_redis)

    async def wait() -> None:
        async with store.lease("ada") as lease:
            assert lease.held
            assert await lease.load() is None

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks, store.lease("ada"):
            tasks.start_soon(wait)
            await fake_redis.heard.wait()
            del fake_redis.hashes[TOKEN]
            await fake_redis.heard.wait()
            await fake_redis.heard.wait()


async def test_a_restarted_server_learns_the_scripts_again(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    await warm(store, fake_redis)
    fake_redis.restart()
    await store.save("ada", Token("two"))
    assert fake_redis.calls == ["SAVE", "SAVE"]
    assert await store.load("ada") == Token("two")


def test_clients_of_other_kinds_are_refused() -> None:
    for other in ("redis://localhost", redis.Redis()):
        with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
            RedisStore(cast("Any", other))


@pytest.mark.parametrize("prefix", ["{oauthkit}:", "a{", "a}"])
def test_braces_in_the_prefix_are_refused(fake_redis: FakeRedisServer, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="braces"):
        RedisStore(client(fake_redis), prefix=prefix)


def test_a_lease_has_a_length(fake_redis: FakeRedisServer) -> None:
    with pytest.raises(ConfigurationError, match="lease_seconds"):
        RedisStore(client(fake_redis), lease_seconds=-1)


@pytest.mark.parametrize(
    "key, tag",
    [("ada", "ada"), (" ", " "), ("{a}", "%7Ba%7D"), ("a%", "a%25"), ("\ud83d", "%ED%A0%BD")],
)
async def test_token_and_lease_are_in_one_cluster_slot(
    fake_redis: FakeRedisServer, key: str, tag: str
) -> None:
    """Redis Cluster hashes what stands between the first braces."""
    store = RedisStore(client(fake_redis), prefix="app:")
    await store.save(key, Token("one"))
    async with store.lease(key):
        assert list(fake_redis.hashes) == [f"app:{{{tag}}}:token"]
        assert list(fake_redis.strings) == [f"app:{{{tag}}}:lease"]


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    "token, life",
    [
        (Token("a"), None),
        (Token("a", expires_at=NOW + 60), 360),
        (Token("a", expires_at=NOW - 60), 300),
        (Token("a", expires_at=NOW + 60, refresh_token="r"), None),
        (Token("a", refresh_token="r", refresh_expires_at=NOW + 3600), 3900),
        (Token("a", expires_at=NOW + 60, refresh_token="r", refresh_expires_at=NOW + 9), 360),
        (Token("a", expires_at=math.inf), None),
        (Token("a", refresh_token="r", refresh_expires_at=1e300), None),
    ],
    ids=[
        "unknown",
        "expires",
        "expired",
        "refresh",
        "refresh expires",
        "refresh expires first",
        "endless",
        "refresh endless",
    ],
)
async def test_a_token_is_kept_as_long_as_it_is_of_use(
    store: RedisStore,
    fake_redis: FakeRedisServer,
    monkeypatch: pytest.MonkeyPatch,
    token: Token,
    life: float | None,
) -> None:
    await store.save("ada", Token("before", expires_at=NOW))
    monkeypatch.setattr("oauthkit.stores.redis.time.time", lambda: NOW)
    await store.save("ada", token)
    ends_at = fake_redis.ends_at.get(TOKEN)
    assert (ends_at and ends_at - fake_redis.clock.time()) == life


@pytest.mark.parametrize("fault", [ConnectionError("canary"), RuntimeError("canary")])
async def test_a_server_that_cannot_be_asked_may_be_there_later(
    store: RedisStore, fake_redis: FakeRedisServer, fault: Exception
) -> None:
    fake_redis.fault = fault
    for attempt in (
        store.load("ada"),
        store.save("ada", Token("secret-canary")),
        store.delete("ada"),
        store.lease("ada").__aenter__(),
    ):
        with pytest.raises(StoreError, match="try again later") as caught:
            await attempt
        assert caught.value.recovery is Recovery.RETRY_LATER
        assert caught.value.__cause__ is fault
        assert "canary" not in str(caught.value)


async def test_a_release_that_fails_does_not_hide_the_renewal(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    """The token is saved, and the lease ends by itself."""
    async with store.lease("ada") as lease:
        await lease.save(Token("one"))
        fake_redis.fault = ConnectionError()
    fake_redis.fault = None
    assert await store.load("ada") == Token("one")
    assert LEASE in fake_redis.strings


async def test_an_answer_that_was_lost_leaves_no_lease_behind(
    store: RedisStore, fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warm(store, fake_redis)
    real = FakeRedisPy.evalsha

    async def lose(self: FakeRedisPy, *arguments: Any) -> Any:
        await real(self, *arguments)
        if self.server.calls == ["ACQUIRE"]:
            raise ConnectionError
        return 1

    monkeypatch.setattr(FakeRedisPy, "evalsha", lose)
    with pytest.raises(StoreError):
        await store.lease("ada").__aenter__()
    assert fake_redis.calls == ["ACQUIRE", "RELEASE"]
    assert LEASE not in fake_redis.strings


async def test_a_request_that_the_driver_repeats_has_the_lease(
    fake_redis: FakeRedisServer,
) -> None:
    seam = redis_client(client(fake_redis))
    arguments = ("owner", "60000", "")
    for _ in range(2):
        held, *_ = await run_script(seam, ACQUIRE, (TOKEN, LEASE), arguments)
        assert held == 1
    held, *_ = await run_script(seam, ACQUIRE, (TOKEN, LEASE), ("other", "60000", ""))
    assert held == 0


async def test_a_save_that_the_driver_repeats_is_taken_twice(fake_redis: FakeRedisServer) -> None:
    """Also when the lease is over, and it comes after an answer that was lost."""
    seam = redis_client(client(fake_redis))
    await run_script(seam, ACQUIRE, (TOKEN, LEASE), ("owner", "60000", ""))
    fake_redis.clock.advance(61)
    for version in ("v1", "v1", "v2"):
        arguments = ("owner", version, "", encode_token(Token(version)))
        assert await run_script(seam, SAVE, (TOKEN, LEASE), arguments) == 1
    assert fake_redis.hashes[TOKEN]["version"] == "v2"


async def test_a_save_whose_answer_was_lost_can_be_made_again(
    fake_redis: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore(client(fake_redis))
    await warm(store, fake_redis)
    real = FakeRedisPy.evalsha

    async def lose(self: FakeRedisPy, *arguments: Any) -> Any:
        answer = await real(self, *arguments)
        if self.server.calls == ["ACQUIRE", "SAVE"]:
            raise ConnectionError
        return answer

    monkeypatch.setattr(FakeRedisPy, "evalsha", lose)
    async with store.lease("ada") as lease:
        with pytest.raises(StoreError):
            await lease.save(Token("two"))
        fake_redis.clock.advance(3600)
        await lease.save(Token("two"))
    assert await store.load("ada") == Token("two")


async def test_a_login_by_an_older_version_is_seen_by_a_late_holder(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    """It knows nothing of the fence, but makes another version."""
    await warm(store, fake_redis)
    async with store.lease("ada") as lease:
        fake_redis.clock.advance(61)
        fake_redis.hashes[TOKEN] |= {"version": "of a login", "token": encode_token(Token("new"))}
        with pytest.raises(LeaseLost):
            await lease.save(Token("two"))
    assert await store.load("ada") == Token("new")


async def test_a_token_that_ends_does_not_take_the_fence_of_its_renewal_along(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    await store.save("ada", Token("one", expires_at=0.0))
    assert fake_redis.ends_at[TOKEN] == fake_redis.clock.time() + 300
    async with store.lease("ada") as lease:
        fake_redis.clock.advance(3600)
        await lease.save(Token("two"))
    assert await store.load("ada") == Token("two")


async def test_who_dies_before_a_first_token_leaves_nothing_for_ever(
    fake_redis: FakeRedisServer,
) -> None:
    seam = redis_client(client(fake_redis))
    await run_script(seam, ACQUIRE, (TOKEN, LEASE), ("owner", "60000", ""))
    fake_redis.clock.advance(24 * 3600 + 60)
    assert await run_script(seam, RELEASE, (TOKEN, LEASE), ("owner",)) == 0
    assert (fake_redis.hashes, fake_redis.strings) == ({}, {})


async def test_a_lease_without_a_save_leaves_nothing_behind(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    async with store.lease("ada"):
        assert TOKEN in fake_redis.hashes
    assert (fake_redis.hashes, fake_redis.strings, fake_redis.ends_at) == ({}, {}, {})
    await warm(store, fake_redis)
    assert set(fake_redis.hashes[TOKEN]) == {"version", "token"}


async def test_a_lease_is_extended_while_it_is_held(fake_redis: FakeRedisServer) -> None:
    """Also after a failure; and no more once it was lost."""
    store = RedisStore(client(fake_redis), lease_seconds=0.03)
    with anyio.fail_after(DEADLINE):
        async with store.lease("ada") as lease:
            before = fake_redis.ends_at[LEASE]
            fake_redis.clock.advance(0.02)
            fake_redis.fault = ConnectionError()
            await fake_redis.heard.wait()
            fake_redis.fault = None
            while fake_redis.ends_at[LEASE] == before:
                await fake_redis.heard.wait()
            await lease.save(Token("one"))
            await store.delete("ada")
            fake_redis.calls.clear()
            await fake_redis.heard.wait()
            await anyio.sleep(0.03)
            assert fake_redis.calls == ["EXTEND"]
            with pytest.raises(LeaseLost):
                await lease.save(Token("two"))


async def test_what_is_no_token_is_kept(store: RedisStore, fake_redis: FakeRedisServer) -> None:
    fake_redis.hashes[TOKEN] = {"version": "x", "token": '["secret-canary"]'}
    with pytest.raises(StoreError, match="not a token") as caught:
        await store.load("ada")
    assert "canary" not in str(caught.value)
    assert TOKEN in fake_redis.hashes


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("_redis_py_reads_no_metadata")
async def test_a_real_server_understands_the_scripts_as_the_fake_does(redis_port: int) -> None:
    """Repeats, the life of a token, and the text of an error that quotes what was sent."""
    untyped: Any = redis.asyncio.Redis(port=redis_port)
    async with untyped as real:
        await real.flushdb()
        store = RedisStore(real)
        seam = redis_client(real)
        for _ in range(2):
            held, *_ = await run_script(seam, ACQUIRE, (TOKEN, LEASE), ("owner", "60000", ""))
            assert held == 1
        await store.save("ada", Token("one", expires_at=0.0))
        assert 299_000 < await real.pttl(TOKEN) <= 300_000
        assert await real.exists(LEASE) == 0
        await store.save("ada", Token("one"))
        assert await real.pttl(TOKEN) == -1
        async with store.lease("ada"):
            assert 59_000 < await real.pttl(LEASE) <= 60_000
        await real.set(TOKEN, "a string, not a hash")
        with pytest.raises(StoreError, match="WRONGTYPE") as caught:
            await store.save("ada", Token("secret-canary"))
        assert "canary" not in f"{caught.value} {caught.value.__cause__}"
        await real.flushdb()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_cancellation_leaves_no_lease_behind(
    store: RedisStore, fake_redis: FakeRedisServer
) -> None:
    """AT-78: a shield of anyio does not stop it, so it may come while the lease is given back."""
    import asyncio

    async def renew() -> None:
        async with store.lease("ada"):
            pass

    for steps in range(40):
        task = asyncio.create_task(renew())
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        task.cancel()
        await asyncio.wait([task])
        assert LEASE not in fake_redis.strings
