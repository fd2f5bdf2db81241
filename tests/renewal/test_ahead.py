"""Renewal ahead of the expiry, while the old token serves."""

import anyio
import pytest

from oauthkit import (
    MemoryStore,
    RenewalPolicy,
)
from oauthkit.testing import FakeAuthorizationServer, FakeClock
from tests.renewal.world import STEADY, crowd, stored


async def test_inside_the_leeway_the_valid_token_is_used_while_one_task_renews_it() -> None:
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session:
        first = await session.token()
        fake.advance(71)
        with anyio.fail_after(5), fake.hold() as held:
            for _ in range(10):
                assert await session.token() == first
            await held.arrived()
            assert await session.token() == first
        await session.settled()
        assert await session.token() != first
    assert len(fake.token_requests) == 2


async def test_a_token_is_fresh_until_the_leeway_begins() -> None:
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session:
        await session.token()
        fake.advance(69.9)
        await session.token()
        await session.settled()
    assert len(fake.token_requests) == 1


async def test_the_renewals_of_a_fleet_are_spread() -> None:
    """AT-82: no two processes come at the same moment, and none before the leeway begins."""
    fake, moments = FakeAuthorizationServer(expires_in=100), set[float]()
    for _ in range(20):
        async with fake.session(policy=RenewalPolicy(leeway=30, jitter=0.5)) as session:
            await session.token()
            at_hand = session._source.peek()
            assert at_hand is not None
            moments.add(at_hand.stale_at - fake.clock.monotonic())
    assert len(moments) == 20
    assert all(70 <= moment <= 85 for moment in moments)


async def test_a_session_that_is_seldom_used_renews_ahead_too() -> None:
    """Each call looks at the store first, and still sees that the token nears its end."""
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        first = await session.token()
        fake.advance(75)
        assert await session.token() == first
        await session.settled()
        assert len(fake.token_requests) == 1


async def test_a_stale_token_in_the_store_is_used_at_the_start() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    token = await stored(fake, store, expired=False)
    fake.advance(90)
    async with crowd(fake, store) as session:
        with fake.hold():
            with anyio.fail_after(5):
                assert await session.token() == token


@pytest.mark.parametrize("expires_in", [0, -5, "0.0", 1, 0.5])
async def test_odd_lifetimes_make_no_busy_loop(expires_in: object) -> None:
    """AT-80: Mailchimp says 0 and means never."""
    fake = FakeAuthorizationServer(expires_in=expires_in)
    async with fake.session(policy=STEADY) as session:
        for _ in range(100):
            await session.token()
            fake.advance(0.001)
        await session.settled()
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize("expires_in", [None, 2**63, "2e400", "nonsense"])
async def test_unknown_and_endless_lives_are_not_renewed(expires_in: object) -> None:
    """AT-80: unknown stays unknown."""
    fake = FakeAuthorizationServer(expires_in=expires_in)
    async with fake.session() as session:
        first = await session.token()
        fake.advance(30 * 86_400)
        assert await session.token() == first


async def test_an_unknown_life_can_be_given_a_length() -> None:
    fake = FakeAuthorizationServer(expires_in=None)
    async with fake.session(policy=RenewalPolicy(default_life=600)) as session:
        token = await session.token()
        assert token.expires_at == fake.clock.time() + 600
        fake.advance(601)
        assert await session.token() != token


async def test_a_life_shorter_than_the_leeway_is_used_for_half() -> None:
    """One rival replays a spent refresh token here, four times of five."""
    fake, store = FakeAuthorizationServer(expires_in=30), MemoryStore()
    await store.save("k", fake.issue())
    async with crowd(fake, store, policy=RenewalPolicy(leeway=60, jitter=0)) as session:
        for _ in range(40):
            await session.get("/")
            fake.advance(1)
        await session.settled()
    assert len(fake.token_requests) <= 3
    assert (fake.families_killed, fake.presented_twice) == (0, 0)


@pytest.mark.parametrize("jump", [-3600, -600, 600, 3600])
async def test_the_wall_clock_may_jump(jump: float) -> None:
    """AT-79: freshness in the process runs on the monotonic clock."""
    fake = FakeAuthorizationServer(expires_in=100)
    assert isinstance(fake.clock, FakeClock)
    async with fake.session(policy=STEADY) as session:
        first = await session.token()
        fake.clock.jump(jump)
        fake.advance(69)
        assert await session.token() == first
        fake.advance(32)
        assert await session.token() != first
    assert len(fake.token_requests) == 2


async def test_a_wall_clock_set_back_does_not_bring_an_expired_token_back() -> None:
    """AT-79: the store keeps absolute times, and the copy knows better."""
    fake, store = FakeAuthorizationServer(expires_in=60), MemoryStore()
    assert isinstance(fake.clock, FakeClock)
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        first = await session.token()
        fake.advance(61)
        fake.clock.jump(-3600)
        assert await session.token() != first
