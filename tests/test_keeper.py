"""Renewal ahead, whatever the traffic."""

import math
from collections.abc import Callable
from typing import Any

import anyio
import attrs
import pytest

from oauthkit import (
    AsyncTokenSession,
    ClientCredentials,
    ConfigurationError,
    MemoryStore,
    RefreshToken,
    RenewalPolicy,
    ResourceOwnerPassword,
    keeper,
)
from oauthkit.events import RenewalFailed
from oauthkit.renewal.keeping import Keeping
from oauthkit.renewal.shared import shared_tokens
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import STEADY, Elsewhere, Heard, ShakyStore, crowd, stored


@pytest.fixture(autouse=True)
def _naps_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is the fake server's, so a nap need not last."""
    monkeypatch.setattr("oauthkit.renewal.keeping._NAP", 0.005)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the deadline is an error."""
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - the keeper sets no event
            await anyio.sleep(0.005)


def is_fresh(session: AsyncTokenSession[Any], fake: FakeAuthorizationServer) -> bool:
    """Tell whether a token need not be renewed, whether or not the store is to be looked at."""
    return (session.status().fresh_until or 0.0) > fake.clock.time()


async def a_while() -> None:
    """Let the keeper look around more than once."""
    await anyio.sleep(0.05)


async def test_a_keeper_fetches_the_first_token_and_renews_each_without_a_call() -> None:
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session, keeper(session):
        for renewals in range(1, 5):
            await until(lambda renewals=renewals: len(fake.token_requests) == renewals)  # type: ignore[misc]
            await session.settled()
            fake.advance(69)
            await a_while()
            assert len(fake.token_requests) == renewals
            fake.advance(2)


async def test_a_call_that_comes_seldom_never_waits() -> None:
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session, keeper(session):
        for _ in range(3):
            await until(lambda: session.status().condition == "fresh")
            call = session.token()
            with pytest.raises(StopIteration):  # it ends without ever having waited
                call.send(None)
            fake.advance(101)
            await until(lambda: session.status().condition != "expired")


async def test_an_idle_refresh_token_is_used_before_it_dies() -> None:
    fake = FakeAuthorizationServer(expires_in=1_000_000)
    policy = attrs.evolve(STEADY, idle_life=1000.0)
    async with fake.session(grant=PASSWORD, policy=policy) as session, keeper(session):
        await until(lambda: len(fake.token_requests) == 1)
        await session.settled()
        fake.advance(899)
        await a_while()
        assert len(fake.token_requests) == 1
        fake.advance(2)
        await until(lambda: len(fake.token_requests) == 2)
        await a_while()
        assert len(fake.token_requests) == 2


PASSWORD = ResourceOwnerPassword(username="ada", password="lovelace")


@pytest.mark.parametrize("without", ["refresh_token", "issued_at"])
async def test_what_has_no_idle_life_has_no_end_of_it(without: str) -> None:
    fake, store = FakeAuthorizationServer(expires_in=1_000_000), MemoryStore()
    changes: dict[str, Any] = {without: None}
    await store.save("k", attrs.evolve(fake.issue(), **changes))
    policy = attrs.evolve(STEADY, idle_life=1000.0)
    async with crowd(fake, store, policy=policy) as session, keeper(session):
        await until(lambda: session.status().condition == "fresh")
        fake.advance(901)
        await a_while()
        assert session.status().failures == 0
    assert fake.token_requests == []


async def test_an_idle_refresh_token_of_a_key_in_use_is_used_too() -> None:
    fake, store = FakeAuthorizationServer(expires_in=1_000_000), MemoryStore()
    await store.save("busy", fake.issue())
    policy = attrs.evolve(STEADY, idle_life=1000.0)
    async with crowd(fake, store, policy=policy, grant=ClientCredentials()) as session:
        await session.token()
        await session.for_key("busy").token()
        fake.advance(901)
        async with keeper(session, in_use=True):
            await until(lambda: len(fake.token_requests) == 2)


async def test_one_process_of_the_fleet_renews_and_the_others_adopt() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    await stored(fake, store, expired=False)
    async with (
        crowd(fake, store, policy=STEADY) as one,
        crowd(fake, Elsewhere(store), policy=STEADY) as other,
        keeper(one),
        keeper(other),
    ):
        await a_while()
        for renewals in range(1, 4):
            fake.advance(90)
            await until(lambda renewals=renewals: len(fake.token_requests) == renewals)  # type: ignore[misc]
            await until(lambda: "fresh" in {one.status().condition, other.status().condition})
            fake.advance(6)
            await one.token()
            await other.token()
    assert len(fake.token_requests) == 3
    assert fake.presented_twice == 0


async def test_the_keys_in_use_are_kept_and_the_others_are_let_go() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()

    def requests_for(condition: Callable[[Any], bool]) -> int:
        return sum(condition(request.parameters) for request in fake.token_requests)

    for key in ("busy", "gone"):
        await store.save(key, fake.issue())
    async with crowd(fake, store, policy=STEADY, grant=ClientCredentials()) as session:
        busy, gone = (session.for_key(key, grant=ClientCredentials()) for key in ("busy", "gone"))
        await busy.token()
        await gone.token()
        async with keeper(session, in_use=True):
            for _ in range(4):
                await a_while()
                await busy.token()
                fake.advance(71)
                await until(lambda: is_fresh(busy, fake))
            await a_while()
            assert gone.status().condition == "expired"
    refreshes = requests_for(lambda parameters: parameters["grant_type"] == "client_credentials")
    assert refreshes >= 8


async def test_each_key_in_use_is_kept_as_its_own_session_would() -> None:
    """By its own grant and its own way to write, and a resource owner's by the refresh token."""
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    await store.save("ada", fake.issue())
    written = RefreshToken(
        refresh_token=fake.issue().refresh_token or "", additional={"tenant": "t"}
    )
    async with crowd(fake, store, policy=STEADY, grant=ClientCredentials()) as session:
        ada, bob = session.for_key("ada"), session.for_key("bob", grant=written)
        await ada.token()
        await bob.token()
        asked = len(fake.token_requests)
        async with keeper(session, in_use=True):
            await until(lambda: session.status().condition == "fresh")
            fake.advance(71)
            await until(lambda: is_fresh(ada, fake) and is_fresh(bob, fake))
    parameters = [request.parameters for request in fake.token_requests[asked:]]
    refreshes = [p.get("tenant") for p in parameters if p["grant_type"] == "refresh_token"]
    assert sorted(map(str, refreshes)) == ["None", "t"]


async def test_a_key_of_another_server_is_left_to_its_own_session() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    elsewhere = FakeAuthorizationServer(clock=fake.clock, expires_in=100)
    await store.save("ada", elsewhere.issue())
    async with (
        crowd(fake, store, policy=STEADY, grant=ClientCredentials()) as session,
        crowd(elsewhere, store, policy=STEADY, key="ada") as ada,
    ):
        await ada.token()
        async with keeper(session, in_use=True):
            await until(lambda: session.status().condition == "fresh")
            fake.advance(71)
            await a_while()
        assert ada.status().condition in {"due", "unchecked"}
    assert {request.parameters["grant_type"] for request in fake.token_requests} == {
        "client_credentials"
    }


async def test_what_is_in_use_is_tried_again_after_a_failure() -> None:
    fake, store = FakeAuthorizationServer(expires_in=1000), MemoryStore()
    await store.save("ada", fake.issue())
    policy = RenewalPolicy(leeway=100, jitter=0)
    async with crowd(fake, store, policy=policy, grant=ClientCredentials()) as session:
        ada = session.for_key("ada")
        await ada.token()
        async with keeper(session, in_use=True):
            await until(lambda: session.status().condition == "fresh")
            fake.advance(901)
            fake.fail_next(503, times=2)
            for _ in range(5):
                await a_while()
                fake.advance(1)
            await until(lambda: is_fresh(ada, fake))


async def test_a_token_that_is_always_rejected_is_renewed_ever_more_rarely() -> None:
    fake = FakeAuthorizationServer(expires_in=3600)
    async with fake.session() as session, keeper(session):
        await until(lambda: session.status().condition == "fresh")
        for _ in range(40):
            session._source.reject(await session.token())
            await a_while()
            fake.advance(1)
    assert len(fake.token_requests) <= 8


async def test_a_keeper_of_one_key_leaves_the_others_alone() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    await store.save("other", fake.issue())
    async with crowd(fake, store, policy=STEADY, grant=ClientCredentials()) as session:
        other = session.for_key("other", grant=ClientCredentials())
        await other.token()
        async with keeper(session):
            await until(lambda: session.status().condition == "fresh")
            fake.advance(71)
            await a_while()
            assert other.status().condition in {"due", "unchecked"}


async def test_what_fails_for_good_is_not_tried_every_second() -> None:
    fake, heard = FakeAuthorizationServer(), Heard()
    async with crowd(fake, MemoryStore(), on_event=heard.append) as session, keeper(session):
        await until(lambda: len(heard.of(RenewalFailed)) == 1)
        await a_while()
        assert len(heard.of(RenewalFailed)) == 1
        fake.advance(61)
        await until(lambda: len(heard.of(RenewalFailed)) == 2)


async def test_what_fails_for_now_is_tried_after_growing_pauses() -> None:
    fake, heard = FakeAuthorizationServer(expires_in=1000), Heard()
    policy = RenewalPolicy(leeway=100, jitter=0)
    async with fake.session(policy=policy, on_event=heard.append) as session:
        await session.token()
        fake.advance(901)
        fake.fail_next(500, times=100)
        async with keeper(session):
            for _ in range(20):
                await a_while()
                fake.advance(1)
    assert [event.pause for event in heard.of(RenewalFailed)][:4] == [1, 2, 4, 8]


async def test_while_nothing_is_due_the_store_is_left_alone() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session, keeper(session):
        await until(lambda: session.status().condition == "fresh")
        await session.settled()
        store.calls.clear()
        await a_while()
        assert store.calls == []


async def test_while_a_renewal_is_on_its_way_no_other_is_begun() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    async with crowd(fake, store, policy=STEADY) as session:
        with fake.hold() as held:
            async with keeper(session):
                await held.arrived()
                store.calls.clear()
                await a_while()
                assert store.calls == []
                held.release()
                await session.settled()


def keeping(session: AsyncTokenSession[Any], store: MemoryStore) -> Keeping:
    """Return what keeps all keys of a session."""
    return Keeping(session._source, shared_tokens(store))


async def test_while_a_key_in_use_is_renewed_no_other_renewal_of_it_is_begun() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    await store.save("ada", fake.issue())
    async with crowd(fake, store, policy=STEADY, grant=ClientCredentials()) as session:
        await session.token()
        await session.for_key("ada").token()
        fake.advance(71)
        with fake.hold() as held:
            async with keeper(session, in_use=True):
                await held.arrived(2)
                store.calls.clear()
                await a_while()
                assert store.calls == []
                held.release()
                await session.settled()


async def test_what_another_process_renewed_is_adopted_though_its_access_token_is_the_same() -> (
    None
):
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    token = await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        await session.token()
        fake.advance(71)
        assert token.expires_at is not None
        longer = attrs.evolve(token, expires_at=token.expires_at + 100)
        await Elsewhere(store).save("k", longer)
        async with keeper(session):
            await until(lambda: is_fresh(session, fake))
    assert fake.token_requests == []


async def test_a_token_that_followed_rejected_ones_is_renewed_ahead_like_any_other() -> None:
    """A 401 to it would be futile for a while; its own end is not."""
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session, keeper(session):
        await until(lambda: session.status().condition == "fresh")
        state = session._source.state
        assert state.held is not None
        state.held = attrs.evolve(state.held, futile_until=math.inf)
        fake.advance(71)
        await until(lambda: len(fake.token_requests) == 2)


async def test_other_tasks_have_their_turn_while_many_keys_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, store, turns = FakeAuthorizationServer(), MemoryStore(), list[int]()

    async def checkpoint() -> None:
        turns.append(1)

    async with crowd(fake, store) as session:
        for number in range(149):
            session.for_key(str(number))._source.shared.used = False
        monkeypatch.setattr("oauthkit.renewal.keeping.anyio.lowlevel.checkpoint", checkpoint)
        shared = shared_tokens(store)
        await Keeping(session._source, shared)._tend_all(shared)
        monkeypatch.undo()
    assert len(turns) == 3


async def test_the_own_key_is_kept_whether_it_is_used_or_not_so_its_use_is_left_to_the_store() -> (
    None
):
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(fake, store) as session:
        shared = shared_tokens(store)
        await Keeping(session._source, shared)._tend_all(shared)
        assert shared.in_use("k")


async def test_a_rejected_token_is_replaced_before_the_next_call() -> None:
    fake = FakeAuthorizationServer(expires_in=3600)
    async with fake.session() as session, keeper(session):
        await until(lambda: session.status().condition == "fresh")
        session._source.reject(await session.token())
        await until(lambda: len(fake.token_requests) == 2)


async def test_after_its_block_a_keeper_keeps_nothing() -> None:
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session:
        async with keeper(session):
            await until(lambda: session.status().condition == "fresh")
        fake.advance(71)
        await a_while()
    assert len(fake.token_requests) == 1


async def test_an_error_in_its_block_is_raised_as_it_is() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        with pytest.raises(ZeroDivisionError):
            async with keeper(session):
                raise ZeroDivisionError


async def test_a_session_that_is_closed_ends_its_keeper() -> None:
    fake = FakeAuthorizationServer()
    with anyio.fail_after(5):
        async with fake.session() as session:
            kept = keeper(session)
            await kept.__aenter__()
        await kept.__aexit__(None, None, None)


async def test_a_keeper_is_cancelled_with_its_block() -> None:
    fake = FakeAuthorizationServer()
    with anyio.fail_after(5):
        async with fake.session() as session:
            with anyio.move_on_after(0.05) as scope:
                async with keeper(session):
                    await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_keeper_says_what_it_takes() -> None:
    wrong: Any = "session"
    with pytest.raises(ConfigurationError, match="session takes an AsyncTokenSession, not a str"):
        async with keeper(wrong):
            pass
