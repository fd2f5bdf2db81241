"""What must cost nobody a login, through a whole session: each of these did once."""

from typing import Any, Final

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ConfigurationError,
    GrantStrategy,
    MemoryStore,
    ReauthorizationRequired,
    RefreshToken,
    RenewalPolicy,
    Repeat,
    StoreError,
    Token,
    secret,
)
from oauthkit.events import TokenRestored
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import (
    JSON_TYPE,
    PASSWORD,
    STEADY,
    Elsewhere,
    Heard,
    ShakyStore,
    crowd,
    fail,
    quiet,
    stored,
    used,
)

PATIENT: Final = RenewalPolicy(jitter=0.0, save_timeout=0.2, timeout=10.0)


async def test_a_holder_that_is_stopped_while_the_server_wants_a_pause_presents_nothing_after() -> (
    None
):
    """Another process renewed meanwhile: the lease is looked at before every try."""
    fake = FakeAuthorizationServer(expires_in=600)
    store = MemoryStore(clock=fake.clock.monotonic)
    await store.save("k", fake.issue())
    fake.advance(601)
    fake.fail_next(503, headers={"retry-after": "1"})
    async with crowd(fake, store) as one, crowd(fake, Elsewhere(store)) as other:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, one)
                while not fake.token_requests:  # noqa: ASYNC110 - the fake sets no event here
                    await anyio.sleep(0.01)
                fake.advance(61)  # it is stopped, as far as its lease is concerned
                await used(other)
        assert await one.token() == await other.token()
    assert (fake.presented_twice, fake.families_killed) == (0, 0)


async def test_a_store_that_is_away_for_less_than_the_lease_costs_nothing() -> None:
    """The holder keeps its lease and goes on offering, beside the callers that it had to let go."""
    fake, store = FakeAuthorizationServer(expires_in=600), ShakyStore()
    await store.save("k", fake.issue())
    fake.advance(601)
    store.broken = {"save"}
    async with (
        crowd(fake, store, policy=PATIENT) as one,
        crowd(fake, Elsewhere(store), policy=PATIENT) as other,
    ):
        assert isinstance(await fail(one.token()), StoreError)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, other)  # it waits for the lease
                await anyio.sleep(0.5)
                assert len(fake.token_requests) == 1
                store.broken = set()
        assert await one.token() == await other.token()
    assert (len(fake.token_requests), fake.presented_twice) == (1, 0)


async def test_a_process_stopped_between_answer_and_save_saves_where_nobody_took_over() -> None:
    fake = FakeAuthorizationServer(expires_in=600)
    store = ShakyStore(clock=fake.clock.monotonic)
    await store.save("k", fake.issue())
    fake.advance(601)

    async def stop() -> None:
        fake.advance(61)  # longer than the lease

    store.before["save"] = stop
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200
        assert await store.load("k") == await session.token()
    assert len(fake.token_requests) == 1


async def test_a_process_stopped_between_answer_and_save_adopts_where_somebody_took_over() -> None:
    fake = FakeAuthorizationServer(expires_in=600, grace=1000)
    store = ShakyStore(clock=fake.clock.monotonic)
    await store.save("k", fake.issue())
    fake.advance(601)
    others: list[Token] = []

    async def stop() -> None:
        del store.before["save"]
        fake.advance(61)
        async with crowd(fake, Elsewhere(store)) as other:
            others.append(await other.token())

    store.before["save"] = stop
    async with crowd(fake, store) as session:
        assert [await session.token()] == others
    assert fake.families_killed == 0


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_store_that_is_set_back_gets_the_newer_token_again(*, fresh: bool) -> None:
    """A replica that lagged behind took over, or a backup was restored."""
    fake, store, heard = FakeAuthorizationServer(expires_in=600), MemoryStore(), Heard()
    first = await stored(fake, store, expired=False)
    async with crowd(fake, store, on_event=heard.append, policy=STEADY) as session:
        renewed = await session.renew()
        await Elsewhere(store).save("k", first)
        fake.advance(6 if fresh else 601)
        token = await session.token()
        assert await store.load("k") == token
        assert (token == renewed) is fresh
    assert len(heard.of(TokenRestored)) == 1
    assert (fake.presented_twice, fake.families_killed) == (0, 0)


async def test_a_refresh_token_that_a_wrong_clock_calls_dead_is_tried_all_the_same() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = attrs.evolve(fake.issue(), refresh_expires_at=fake.clock.time() - 86_400)
    await store.save("k", token)
    fake.advance(61)
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200


@pytest.mark.parametrize(
    "status, content",
    [
        (400, b""),
        (403, b""),
        (400, b"no"),
        (400, b'{"error":"invalid_request"}'),
        (400, b'{"error":"bad_refresh_token"}'),
        (403, b'{"message":"nothing"}'),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
async def test_a_dead_refresh_token_leads_on_however_it_is_refused(
    status: int, content: bytes, *, beside: bool
) -> None:
    """To the password where there is one, else to a login; it is not presented each time."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    fake.fail_next(status, headers=JSON_TYPE, content=content)
    async with crowd(fake, store, grant=PASSWORD if beside else None) as session:
        if beside:
            assert (await session.get("/")).status_code == 200
        else:
            for _ in range(3):
                assert isinstance(await fail(session.get("/")), ReauthorizationRequired)
    assert len(fake.token_requests) == (2 if beside else 1)


async def test_a_server_may_call_a_dead_refresh_token_what_it_likes() -> None:
    from oauthkit import ErrorRule

    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    rule = ErrorRule("invalid_grant", member="error", values=("unauthorized_client",), status=403)
    server = attrs.evolve(fake.server, errors=(rule,))
    refusal = b'{"error":"unauthorized_client"}'
    fake.fail_next(403, headers=JSON_TYPE, content=refusal)
    async with crowd(fake, store, server=server) as session:
        assert isinstance(await fail(session.get("/")), ReauthorizationRequired)


async def test_a_scope_that_is_not_echoed_whole_is_asked_for_every_time() -> None:
    """Many servers do not name offline_access again."""
    fake = FakeAuthorizationServer(extra={"scope": "read"})
    token = str(fake.issue("read offline_access").refresh_token)
    grant = RefreshToken(refresh_token=token, scope="read offline_access")
    async with fake.session(grant=grant) as session:
        for _ in range(4):
            assert (await session.get("/")).status_code == 200
            fake.advance(61)
    scopes = [request.parameters["scope"] for request in fake.token_requests]
    assert scopes == ["read offline_access"] * 4


@attrs.frozen(kw_only=True)
class OwnRefresh(GrantStrategy):
    """A refreshing grant that is derived from nothing of ours."""

    grant_type = "refresh_token"
    repeat = Repeat.ONCE
    refresh_token: str = secret()

    def parameters(self) -> dict[str, str]:
        return {"refresh_token": self.refresh_token, "tenant": "x"}

    def renewal(self, token: Token) -> GrantStrategy | None:
        if token.refresh_token is None:
            return None
        return OwnRefresh(refresh_token=token.refresh_token)


@pytest.mark.parametrize("rotate", [True, False])
async def test_a_refreshing_grant_of_ones_own_loses_nothing(*, rotate: bool) -> None:
    """Where the answer is silent, refresh token, scope and ID Token go on (RFC 6749 §6)."""
    fake, store = FakeAuthorizationServer(rotate=rotate, extra={"scope": None}), MemoryStore()
    first = attrs.evolve(fake.issue(), scope="read", id_token="e.y.J")
    await store.save("k", first)
    grant = OwnRefresh(refresh_token=str(first.refresh_token))
    async with crowd(fake, store, grant=grant) as session:
        for _ in range(3):
            fake.advance(61)
            token = await session.token()
            assert token.refresh_token is not None
            assert (token.scope, token.id_token) == ("read", "e.y.J")
    assert len(fake.token_requests) == 3


async def test_what_is_refused_about_the_client_costs_no_refresh_token() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = await stored(fake, store)
    fake.fail_next(401, headers=JSON_TYPE, content=b'{"error":"invalid_client"}')
    async with crowd(fake, store) as session:
        await fail(session.get("/"))
        assert await store.load("k") == token


async def test_a_store_that_takes_a_save_and_does_not_say_so_costs_nothing() -> None:
    fake, store = FakeAuthorizationServer(expires_in=600), ShakyStore()
    await store.save("k", fake.issue())
    fake.advance(601)
    failures = 0

    async def done_and_not_said() -> None:
        nonlocal failures
        failures += 1
        if failures < 3:
            row = store._rows["k"]
            row.token = session._source.state.unsaved.token
            raise OSError

    store.before["save"] = done_and_not_said
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200
        await quiet(session)
    assert len(fake.token_requests) == 1


async def test_a_setting_that_does_not_fit_costs_no_right() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = await stored(fake, store)
    wrong: Any = {"server": AuthorizationServer("http://auth.example/token", allow_plain_http=None)}
    async with crowd(fake, store, **wrong) as session:
        assert isinstance(await fail(session.token()), ConfigurationError)
    assert await store.load("k") == token
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200


class Killing(httpx.AsyncBaseTransport):
    """Be a server that kills every older access token as it gives a new one."""

    def __init__(self, fake: FakeAuthorizationServer) -> None:
        self.fake = fake
        self.inner = fake.transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            self.fake.revoke_access_tokens()
        return await self.inner.handle_async_request(request)


async def test_a_server_that_kills_the_old_token_at_a_refresh_fails_no_call() -> None:
    """Calls on the old token get a 401 while the renewal is on its way: they wait and repeat."""
    fake, statuses = FakeAuthorizationServer(expires_in=100), list[int]()

    async def use() -> None:
        statuses.append((await session.get("/report")).status_code)

    async with (
        httpx.AsyncClient(transport=Killing(fake)) as http,
        fake.session(http=http, policy=STEADY) as session,
    ):
        await use()
        for _ in range(12):
            fake.advance(71)
            with anyio.fail_after(10), fake.hold() as held:
                async with anyio.create_task_group() as tasks:
                    await session.token()
                    await held.arrived()
                    for _ in range(20):
                        tasks.start_soon(use)
                    await anyio.wait_all_tasks_blocked()
                    held.release()
    assert set(statuses) == {200}
    assert len(fake.token_requests) == 13


async def test_a_token_that_is_revoked_now_and_then_is_renewed_at_once_each_time() -> None:
    """Renewals that helped are not counted among those that did not."""
    fake = FakeAuthorizationServer(expires_in=3600)
    async with fake.session() as session:
        for _ in range(12):
            assert (await session.get("/")).status_code == 200
            fake.advance(10)
            fake.revoke_access_tokens()
        assert (await session.get("/")).status_code == 200


async def test_an_exception_that_nobody_expected_makes_no_storm() -> None:
    asked = 0

    class Faulty(RefreshToken):
        def parameters(self) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            raise ZeroDivisionError

    fake = FakeAuthorizationServer()
    async with fake.session(grant=Faulty(refresh_token="r")) as session:
        for _ in range(100):
            with pytest.raises(ZeroDivisionError):
                await session.token()
        assert asked < 20
        assert session.status().failures == 2


async def test_a_fault_that_cannot_be_copied_is_raised_as_it_is() -> None:
    class OddError(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one + two)

    class Faulty(RefreshToken):
        def parameters(self) -> dict[str, Any]:
            raise OddError(1, 2)

    fake = FakeAuthorizationServer()
    async with fake.session(grant=Faulty(refresh_token="r")) as session:
        for _ in range(5):
            with pytest.raises(OddError):
                await session.token()


async def test_while_a_renewal_is_on_its_way_a_valid_token_is_used_whatever_recheck_says() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    first = await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        await session.token()
        fake.advance(4)
        await session.token()
        fake.advance(67)
        await session.token()
        with anyio.fail_after(5), fake.hold() as held:
            assert await session.token() == first
            await held.arrived()
            for _ in range(4):
                fake.advance(6)  # the store would be due to be looked at
                assert await session.token() == first
            held.release()
        await session.settled()
        assert await session.token() != first


async def test_a_logout_here_is_noticed_although_a_renewal_is_on_its_way() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    first = await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        await session.token()
        fake.advance(4)
        await session.token()
        fake.advance(67)
        await session.token()
        with anyio.fail_after(5), fake.hold() as held:
            assert await session.token() == first
            await held.arrived()
            await store.delete("k")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail, session.token())
                await anyio.wait_all_tasks_blocked()
                held.release()
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
