"""A store that fails."""

from typing import Final

import anyio
import pytest

from oauthkit import (
    MemoryStore,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    ResponseError,
    StoreError,
)
from oauthkit.events import (
    RenewalFailed,
    StoreFailed,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import (
    PASSWORD,
    STEADY,
    Elsewhere,
    Heard,
    ShakyStore,
    code_of,
    crowd,
    fail,
    quiet,
    stored,
)


async def test_a_save_that_fails_is_told_once_and_made_good_later() -> None:
    fake, store, heard = FakeAuthorizationServer(expires_in=100), ShakyStore(), Heard()
    await store.save("k", fake.issue())
    fake.advance(101)
    store.broken = {"save"}
    async with crowd(fake, store, on_event=heard.append, policy=STEADY) as session:
        error = await fail(session.get("/"))
        assert isinstance(error, StoreError)
        assert error.recovery is Recovery.RETRY_LATER
        assert isinstance(error.__cause__, StoreError)
        for _ in range(3):
            assert (await session.get("/")).status_code == 200
        store.broken = set()
        fake.advance(1.5)
        assert (await session.get("/")).status_code == 200
        await quiet(session)
        assert await store.load("k") == await session.token()
        fake.advance(101)
        assert (await session.get("/")).status_code == 200
    assert (len(fake.token_requests), fake.families_killed) == (2, 0)


async def test_who_wants_another_token_while_a_save_fails_waits_as_long_as_a_renewal_may_take() -> (
    None
):
    """The lease is kept for up to ten times its length, and the save tried until then."""
    fake, store = FakeAuthorizationServer(expires_in=1000), ShakyStore()
    await stored(fake, store, expired=False)
    policy = RenewalPolicy(timeout=0.3, save_timeout=0.1)
    async with crowd(fake, store, policy=policy) as session:
        await session.token()
        store.broken = {"save"}
        with anyio.fail_after(5):
            for _ in range(2):
                error = await fail(session.renew())
                assert "the store did not take it" in str(error)
                assert session.status().renewing
            rejected = await session.token()
            error = await fail(session._source.token(rejected=rejected))
            assert "the store did not take it" in str(error)
            store.broken = set()
            await quiet(session)
            assert (await session._source.token(rejected=rejected)).held.token != rejected
    assert len(fake.token_requests) == 2


@pytest.mark.parametrize("first", [True, False])
async def test_a_save_that_failed_is_not_made_good_after_a_logout(*, first: bool) -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    if not first:
        await store.save("k", fake.issue())
        fake.advance(101)
    store.broken = {"save"}
    grant = code_of(fake) if first else None
    async with crowd(fake, store, grant=grant, policy=STEADY) as session:
        assert isinstance(await fail(session.token()), StoreError)
        store.broken = set()
        await store.delete("k")
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert await store.load("k") is None


@pytest.mark.parametrize("elsewhere", ["logout", "login", "saved"])
async def test_a_save_that_failed_is_not_made_good_over_what_another_process_did(
    elsewhere: str,
) -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    await store.save("k", fake.issue())
    fake.advance(101)
    store.broken = {"save"}
    async with crowd(fake, store, policy=STEADY) as session:
        await fail(session.token())
        at_hand = await session.token()
        store.broken = set()
        fake.advance(5)
        login = fake.issue()
        if elsewhere == "logout":
            await Elsewhere(store).delete("k")
            await quiet(session)
            assert isinstance(await fail(session.token()), ReauthorizationRequired)
        else:
            other = {"login": login, "saved": at_hand}[elsewhere]
            await Elsewhere(store).save("k", other)
            await quiet(session)
            assert await session.token() == other == await store.load("k")
    assert len(fake.token_requests) == 1


async def test_an_unsaved_token_that_expired_is_saved_and_then_renewed() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    await store.save("k", fake.issue())
    fake.advance(101)
    store.broken = {"save"}
    async with crowd(fake, store, policy=STEADY) as session:
        await fail(session.token())
        fake.advance(101)
        store.broken = set()
        assert (await session.get("/")).status_code == 200
    assert (len(fake.token_requests), fake.families_killed) == (2, 0)


@pytest.mark.parametrize("method", ["load", "lease", "lease.load"])
async def test_a_store_that_is_down_is_an_error_without_a_token(method: str) -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    store.broken = {method}
    async with crowd(fake, store, grant=PASSWORD) as session:
        for _ in range(20):
            error = await fail(session.token())
            assert isinstance(error, StoreError)
            assert isinstance(error.__cause__, OSError)
        assert store.calls.count(method) == 2
        fake.advance(1)
        store.broken = set()
        assert (await session.get("/")).status_code == 200
    assert len(fake.token_requests) == 1


async def test_a_store_that_is_down_does_not_matter_while_the_token_is_valid() -> None:
    fake, store, heard = FakeAuthorizationServer(expires_in=1000), ShakyStore(), Heard()
    await store.save("k", fake.issue())
    async with crowd(fake, store, on_event=heard.append) as session:
        first = await session.token()
        store.broken, store.error = {"load"}, StoreError("down")
        for _ in range(100):
            fake.advance(5)
            assert await session.token() == first
        assert heard.of(RenewalFailed)
        assert len(store.calls) < 20
        store.broken = set()
        fake.advance(60)
        assert await session.token() == first


async def test_a_release_that_fails_harms_nobody() -> None:
    fake, store, heard = FakeAuthorizationServer(), ShakyStore(), Heard()
    store.broken = {"release"}
    async with crowd(fake, store, grant=PASSWORD, on_event=heard.append) as session:
        assert (await session.get("/")).status_code == 200
    assert len(heard.of(StoreFailed)) == 1
    assert heard.of(RenewalFailed) == []


HASTY: Final = RenewalPolicy(timeout=0.05, save_timeout=0.05)


@pytest.mark.parametrize("method", ["load", "lease", "lease.load"])
async def test_a_store_that_hangs_is_an_error_in_time(method: str) -> None:
    """Every wait has an end."""
    fake, store = FakeAuthorizationServer(), ShakyStore()
    store.before[method] = anyio.sleep_forever
    async with crowd(fake, store, grant=PASSWORD, policy=HASTY) as session:
        with anyio.fail_after(5):
            assert isinstance(await fail(session.token()), StoreError)
    assert fake.token_requests == []


async def test_a_save_that_hangs_is_an_error_in_time_and_the_token_is_kept() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    store.before["save"] = anyio.sleep_forever
    async with crowd(fake, store, grant=PASSWORD, policy=HASTY) as session:
        with anyio.fail_after(5):
            assert isinstance(await fail(session.token()), StoreError)
            assert (await session.token()).access_token == "access-token-2"
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize("fault", [None, 500])
async def test_a_release_that_hangs_changes_nothing(fault: int | None) -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    store.before["release"] = anyio.sleep_forever
    if fault:
        fake.fail_next(fault, times=9)
    async with crowd(fake, store, grant=PASSWORD, policy=HASTY) as session:
        with anyio.fail_after(5):
            if fault:
                assert isinstance(await fail(session.token()), ResponseError)
            else:
                await session.token()
    assert len(fake.token_requests) == 1


async def test_the_lease_is_waited_for_with_an_end() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with store.lease("k"), crowd(fake, store, policy=HASTY) as session:
        with anyio.fail_after(5), pytest.raises(StoreError, match="holds it for longer"):
            await session.token()


async def test_a_lease_that_comes_at_the_very_end_of_the_wait_is_given_back() -> None:
    """The deadline and the lease come in the same moment: nothing is asked, nothing hangs."""
    fake, store = FakeAuthorizationServer(), ShakyStore()

    async def late() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.1)

    store.before["lease"] = late
    async with crowd(fake, store, grant=PASSWORD, policy=HASTY) as session:
        with anyio.fail_after(5), pytest.raises(StoreError, match="could not be had"):
            await session.token()
    assert store.calls.count("lease") == 1
    assert fake.token_requests == []
    assert not store._rows


async def test_without_its_store_a_session_can_go_on_if_that_was_asked_for() -> None:
    """RenewalPolicy.renew_without_lease; when the store is back, it gets what it missed."""
    fake, store, heard = FakeAuthorizationServer(expires_in=100), ShakyStore(), Heard()
    await store.save("k", fake.issue())
    policy = RenewalPolicy(renew_without_lease=True, jitter=0)
    async with crowd(fake, store, policy=policy, on_event=heard.append) as session:
        await session.token()
        store.broken = {"load"}
        for _ in range(3):  # three renewals, each with the refresh token of the one before
            fake.advance(101)
            assert (await session.get("/")).status_code == 200
            fake.advance(6)
            assert (await session.get("/")).status_code == 200
        store.broken = set()
        fake.advance(6)
        token = await session.token()
        assert await store.load("k") == token
        fake.advance(101)
        assert (await session.get("/")).status_code == 200
    assert heard.of(StoreFailed)
    assert (len(fake.token_requests), fake.presented_twice) == (4, 0)


async def test_without_its_store_a_first_token_is_fetched_and_saved_later() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    store.broken = {"load", "lease"}
    policy = RenewalPolicy(renew_without_lease=True)
    async with crowd(fake, store, grant=PASSWORD, policy=policy) as session:
        assert (await session.get("/")).status_code == 200
        store.broken = set()
        fake.advance(6)
        assert await session.token() == await store.load("k")
    assert len(fake.token_requests) == 1


async def test_without_its_store_a_token_to_begin_with_is_used() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    store.broken = {"load"}
    policy, token = RenewalPolicy(renew_without_lease=True), fake.issue()
    async with crowd(fake, store, token=token, policy=policy) as session:
        assert await session.token() == token
        store.broken = set()
        fake.advance(6)
        assert await session.token() == token == await store.load("k")


async def test_without_its_store_a_dead_refresh_token_leads_to_the_password() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    policy = RenewalPolicy(renew_without_lease=True, save_timeout=0.2)
    async with crowd(fake, store, grant=PASSWORD, policy=policy) as session:
        fake.revoke(await session.token())
        fake.advance(101)
        store.broken = {"load"}
        assert (await session.get("/")).status_code == 200
    assert len(fake.token_requests) == 3


async def test_a_refused_refresh_token_is_not_tried_again_although_the_store_kept_it() -> None:
    fake, store, heard = FakeAuthorizationServer(), ShakyStore(), Heard()
    fake.revoke(await stored(fake, store))
    store.broken = {"save"}
    async with crowd(fake, store, on_event=heard.append) as session:
        for _ in range(3):
            assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert heard.of(StoreFailed)
    assert len(fake.token_requests) == 1
