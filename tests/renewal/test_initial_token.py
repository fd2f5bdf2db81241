"""A token to begin with."""

from oauthkit import (
    MemoryStore,
    ReauthorizationRequired,
    ResponseError,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import crowd, fail, stored


async def test_a_token_to_begin_with_is_used_and_saved() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = fake.issue()
    async with crowd(fake, store, token=token) as session:
        assert (await session.get("/")).status_code == 200
    assert await store.load("k") == token
    assert fake.token_requests == []


async def test_an_expired_token_to_begin_with_is_refreshed_also_after_a_failure() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = fake.issue()
    fake.advance(61)
    fake.fail_next(500)
    async with crowd(fake, store, token=token) as session:
        assert isinstance(await fail(session.get("/")), ResponseError)
        assert (await session.get("/")).status_code == 200
    assert (fake.families_killed, fake.presented_twice) == (0, 0)


async def test_a_token_to_begin_with_does_not_replace_a_stored_one() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    stored_token = await stored(fake, store, expired=False)
    async with crowd(fake, store, token=fake.issue()) as session:
        assert await session.token() == stored_token


async def test_a_token_to_begin_with_does_not_come_back_after_a_logout() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(fake, store, token=fake.issue()) as session:
        await session.token()
        await store.delete("k")
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
