"""How it stands with a session's token, as it is told."""

import math
from typing import Any, Final

import anyio
import pytest

from oauthkit import (
    MemoryStore,
    RenewalPolicy,
    ResponseError,
    SessionStatus,
    StoreError,
    Token,
    TransportError,
)
from oauthkit.events import TokenAdopted
from oauthkit.renewal.state import Condition, HeldToken, Moment, TokenState
from oauthkit.renewal.status import status_of
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import STEADY, ShakyStore, crowd, fail, stored

AT: Final = Moment(monotonic=1_000.0, time=1_700_000_000.0, loop=0.0)
TOKEN: Final = Token("canary", issued_at=AT.time, expires_at=AT.time + 100, refresh_token="canary")


def held(token: Token = TOKEN) -> HeldToken:
    return HeldToken.of(token, STEADY, AT, recheck=math.inf, fetched=True)


def test_without_a_token_there_is_nothing_to_tell() -> None:
    status = status_of(TokenState(), AT, key="k", renewing=False)
    assert status == SessionStatus(key="k", condition=Condition.NONE)
    assert str(status) == "none"


def test_moments_are_told_on_the_wall_clock() -> None:
    status = status_of(TokenState(held=held()), AT, key=None, renewing=True)
    assert (status.fresh_until, status.expires_at) == (AT.time + 70, AT.time + 100)
    assert str(status) == "fresh, renewing"


def test_what_has_no_end_has_none() -> None:
    endless = Token("a", issued_at=AT.time)
    status = status_of(TokenState(held=held(endless)), AT, key=None, renewing=False)
    assert (status.condition, status.fresh_until, status.expires_at) == ("fresh", None, None)


@pytest.mark.parametrize("error, pause", [(TransportError("cut"), 1.0), (StoreError("away"), None)])
def test_failures_are_told_with_the_next_try(error: Exception, pause: float | None) -> None:
    state = TokenState()
    state.failed(error, RenewalPolicy(), AT.monotonic)
    status = status_of(state, AT, key="k", renewing=False)
    assert (status.failures, repr(status.failure)) == (1, repr(error))
    assert status.next_try_at == (None if pause is None else AT.time + pause)
    assert str(status) == f"none, failed 1 times in a row ({type(error).__name__})"


def test_what_is_not_saved_is_told_and_no_secret_with_it() -> None:
    state = TokenState()
    state.answered(held(), follows=None, event=TokenAdopted(key="k"))
    state.publish()
    status = status_of(state, AT, key="k", renewing=False)
    assert status.unsaved
    assert str(status) == "fresh, not saved yet"
    assert "canary" not in repr(status)


async def test_a_session_tells_how_it_stands() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    async with crowd(fake, store, policy=STEADY) as session:
        assert repr(session) == "<AsyncTokenSession https://auth.example/token key='k': none>"
        await stored(fake, store, expired=False)
        await session.token()
        assert session.status().condition == "fresh"
        assert session.status().expires_at == fake.clock.time() + 100
        fake.advance(101)
        assert session.status().condition == "expired"
        fake.fail_next(500)
        error = await fail(session.token())
        assert isinstance(error, ResponseError)
        assert session.status().failures == 1
        with fake.hold() as requests:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.token)
                await requests.arrived()
                assert session.status().renewing
                assert repr(session).endswith(
                    "expired, renewing, failed 1 times in a row (ResponseError)>"
                )
                requests.release()
        assert session.status().failures == 0


def test_how_it_stands_can_be_asked_without_an_event_loop() -> None:
    from oauthkit import AsyncTokenSession, AuthorizationServer, PublicClient

    session: Any = None

    async def make() -> None:
        nonlocal session
        session = AsyncTokenSession(
            server=AuthorizationServer("https://auth.example/token"),
            client_auth=PublicClient("app"),
        )

    anyio.run(make)
    assert session.status().condition == "none"
    assert repr(session) == "<AsyncTokenSession https://auth.example/token: none>"


async def test_settled_waits_for_a_renewal_that_another_session_began() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as one, crowd(fake, store) as other:
        with anyio.fail_after(5), fake.hold() as requests:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.token)
                await requests.arrived()
                tasks.start_soon(other.settled)
                await anyio.wait_all_tasks_blocked()
                requests.release()
        assert not other.status().renewing


async def test_settled_does_not_wait_for_what_is_offered_beside() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    store.broken = {"save"}
    policy = RenewalPolicy(save_timeout=0.2)
    async with crowd(fake, store, policy=policy) as session:
        await fail(session.token())
        with anyio.fail_after(1):
            await session.settled()
        assert session.status().unsaved
        store.broken = set()
