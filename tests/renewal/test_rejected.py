"""Tokens that an API rejects."""

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    MemoryStore,
    ReauthorizationRequired,
    StoreError,
    Token,
)
from oauthkit.events import (
    Event,
    TokenAdopted,
    TokenRejected,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import Heard, ShakyStore, crowd, fail, stored, used


async def test_a_storm_of_401_renews_once() -> None:
    """BT-08: and each request is repeated once."""
    fake, statuses = FakeAuthorizationServer(), list[int]()

    async def use() -> None:
        statuses.append((await session.get("/report")).status_code)

    async with fake.session() as session:
        await session.token()
        fake.revoke_access_tokens()
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(use)
    assert statuses == [200] * 50
    assert len(fake.token_requests) == 2
    assert len(fake.api_requests) == 100


async def test_a_late_401_to_an_old_token_renews_nothing() -> None:
    fake, heard = FakeAuthorizationServer(), Heard()
    async with fake.session(on_event=heard.append) as session:
        old = await session.token()
        new = await session.renew()
        assert (await session._source.token(rejected=old)).held.token == new
    assert heard.of(TokenRejected) == []
    assert len(fake.token_requests) == 2


async def test_renewals_that_do_not_help_are_made_more_and_more_seldom() -> None:
    """AT-83, BT-08: an API that always says 401."""
    fake, api = FakeAuthorizationServer(expires_in=3600), list[int]()

    def always(request: httpx.Request) -> httpx.Response:
        api.append(1)
        return httpx.Response(401)

    async with fake.session(always) as session:
        await session.token()
        for _ in range(100):
            assert (await session.get("/")).status_code == 401
            fake.advance(0.1)
    assert len(fake.token_requests) <= 7
    assert len(api) <= 107


async def test_a_rejected_token_that_another_process_replaced_is_replaced_without_a_request() -> (
    None
):
    fake, store = FakeAuthorizationServer(expires_in=600), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        fake.revoke_access_tokens()
        store._rows["k"].token = new = fake.issue()
        assert (await session.get("/")).status_code == 200
        assert await session.token() == new
    assert fake.token_requests == []


async def test_a_rejected_token_that_nothing_can_replace_is_the_end() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = attrs.evolve(fake.issue(), refresh_token=None)
    await store.save("k", token)
    fake.revoke_access_tokens()
    async with crowd(fake, store) as session:
        assert isinstance(await fail(session.get("/")), ReauthorizationRequired)
        assert isinstance(await fail(session.get("/")), ReauthorizationRequired)
    assert fake.token_requests == []


async def test_a_renewal_on_its_way_when_a_token_is_rejected_is_looked_at_twice() -> None:
    """A look at the store that brought the rejected token itself is no answer."""
    fake, store = FakeAuthorizationServer(expires_in=600), ShakyStore()
    token = await stored(fake, store, expired=False)
    looked, go_on = anyio.Event(), anyio.Event()

    async def wait() -> None:
        looked.set()
        await go_on.wait()

    async with crowd(fake, store) as session:
        await session.token()
        fake.advance(6)
        store.before["load"] = wait
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.token)
                await looked.wait()
                session._source.reject(token)
                tasks.start_soon(used, session)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
        assert await session.token() != token
    assert len(fake.token_requests) == 1


async def test_a_token_rejected_in_the_moment_it_was_adopted_is_replaced() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = await stored(fake, store, expired=False)

    def hook(event: Event) -> None:
        if isinstance(event, TokenAdopted):
            session._source.reject(token)

    async with crowd(fake, store, on_event=hook) as session:
        assert await session.token() != token
    assert len(fake.token_requests) == 1


async def test_tokens_that_are_all_rejected_as_they_are_adopted_are_given_up() -> None:
    fake, heard = FakeAuthorizationServer(), Heard()

    class Changing(MemoryStore):
        async def load(self, key: str, /) -> Token:
            return Token(f"token-{len(heard)}")

    def hook(event: Event) -> None:
        heard.append(event)
        at_hand = session._source.state.held
        if isinstance(event, TokenAdopted) and at_hand is not None:
            session._source.reject(at_hand.token)

    async with crowd(fake, Changing(), on_event=hook) as session:
        with pytest.raises(StoreError, match="again and again"):
            await session.token()
    assert len(heard.of(TokenAdopted)) == 5


async def test_a_renewal_leaves_that_of_another_event_loop_alone() -> None:
    from oauthkit.renewal.shared import Renewal

    fake, store = FakeAuthorizationServer(), MemoryStore()
    other = Renewal(loop=object())
    await stored(fake, store)
    async with crowd(fake, store) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                session._source.shared.renewal = other
                held.release()
        assert session._source.shared.renewal is other


async def test_a_401_without_an_error_code_costs_no_login_and_can_be_read() -> None:
    """BT-09: the API does not say that the token is dead, and so nothing is thrown away."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    refused = [httpx.Response(401, headers={"www-authenticate": 'Bearer realm="x"'})] * 2

    def api(request: httpx.Request) -> httpx.Response:
        return refused.pop() if refused else httpx.Response(200)

    async with fake.session(api, grant=None, store=store, key="k") as session:
        response = await session.get("/")
        kept = await store.load("k")
        again = await session.get("/")
    assert (response.status_code, again.status_code) == (401, 200)
    assert response.headers["www-authenticate"] == 'Bearer realm="x"'
    assert [request.parameters["grant_type"] for request in fake.token_requests] == [
        "refresh_token"
    ]
    assert kept is not None
    assert kept.refresh_token is not None
