"""Renewal on demand."""

import anyio
import pytest

from oauthkit import (
    MemoryStore,
    StoreError,
    Token,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import ShakyStore, crowd, fail, stored


async def test_renew_gives_a_new_token_however_fresh_the_old_one_is() -> None:
    fake, store = FakeAuthorizationServer(expires_in=3600), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        first = await session.token()
        second = await session.renew()
        assert first != second == await session.token() == await store.load("k")
    assert len(fake.token_requests) == 1


async def test_renew_without_a_token_fetches_one() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.renew()
    assert len(fake.token_requests) == 1


async def test_many_that_renew_share_one_renewal() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(session.renew)
                await held.arrived()
                held.release()
    assert len(fake.token_requests) == 2


async def test_others_use_the_old_token_while_one_renews_on_demand() -> None:
    """Also when that fails: no call fails while there is a valid token."""
    fake, statuses = FakeAuthorizationServer(expires_in=3600), list[int]()

    async def use() -> None:
        statuses.append((await session.get("/")).status_code)

    async with fake.session() as session:
        first = await session.token()
        fake.fail_next(500)
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail, session.renew())
                await held.arrived()
                await use()
                tasks.start_soon(use)
                held.release()
        assert await session.token() == first
    assert statuses == [200, 200]


async def test_renew_waits_for_a_look_at_the_store_and_renews_then() -> None:
    fake, store = FakeAuthorizationServer(expires_in=600), ShakyStore()
    first = await stored(fake, store, expired=False)
    looked, go_on, renewed = anyio.Event(), anyio.Event(), list[Token]()

    async def wait() -> None:
        looked.set()
        await go_on.wait()

    async def renew() -> None:
        renewed.append(await session.renew())

    async with crowd(fake, store) as session:
        await session.token()
        store.before["load"] = wait
        fake.advance(6)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.token)
                await looked.wait()
                tasks.start_soon(renew)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
    assert renewed != [first]
    assert len(fake.token_requests) == 1


async def test_renew_gives_up_when_looks_at_the_store_keep_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from oauthkit.renewal.shared import Renewal

    async def end(look: Renewal) -> None:
        await anyio.wait_all_tasks_blocked()
        look.end()

    monkeypatch.setattr("oauthkit.renewal.source._MOST_RENEWALS", 1)
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
        shared = session._source.shared
        look = shared.renewal = Renewal(held=shared.state.held)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end, look)
            with pytest.raises(StoreError, match="again and again"):
                await session.renew()


async def test_a_server_that_gives_the_same_access_token_again_makes_no_loop() -> None:
    """As some do within one second."""
    fake = FakeAuthorizationServer(extra={"access_token": "same"})
    async with fake.session() as session:
        await session.token()
        assert (await session.renew()).access_token == "same"
    assert len(fake.token_requests) == 2
