import asyncio
import copy
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationCode,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
    Lease,
    LeaseLost,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    RefreshToken,
    RenewalPolicy,
    Repeat,
    ResourceOwnerPassword,
    ResponseError,
    StoreError,
    Token,
    TransportError,
)
from oauthkit.copies import TokenStates, states_of
from oauthkit.events import (
    Event,
    RenewalFailed,
    StoreFailed,
    TokenAdopted,
    TokenRejected,
    TokenRenewed,
)
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer, FakeClock

ASYNCIO: Final = pytest.mark.parametrize("anyio_backend", ["asyncio"])
PASSWORD: Final = ResourceOwnerPassword(username="ada", password="lovelace")
JSON_TYPE: Final = {"content-type": "application/json"}
STEADY: Final = RenewalPolicy(jitter=0.0, save_timeout=0.2)


class ShakyStore(MemoryStore):
    """Be a store that can be counted, slowed down and broken."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.error: Exception = OSError("no store")
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await anyio.lowlevel.checkpoint()
        if name in self.before:
            await self.before[name]()
        if name in self.broken:
            raise self.error

    async def load(self, key: str, /) -> Token | None:
        await self._called("load")
        return await super().load(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        await self._called("lease")
        async with super().lease(key) as lease:
            yield _ShakyLease(self, lease)
        await self._called("release")

    async def called(self, name: str) -> None:
        await self._called(name)


@attrs.frozen
class _ShakyLease:
    store: ShakyStore
    lease: Lease

    @property
    def held(self) -> bool:
        return self.lease.held

    async def load(self) -> Token | None:
        await self.store.called("lease.load")
        return await self.lease.load()

    async def save(self, token: Token) -> None:
        await self.store.called("save")
        await self.lease.save(token)


class Heard(list[Event]):
    """Be a list of events that came."""

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


async def stored(
    fake: FakeAuthorizationServer, store: MemoryStore, *, expired: bool = True
) -> Token:
    """Put a token as after a login under the key `k`, and let it expire."""
    token = fake.issue()
    await store.save("k", token)
    if expired:
        fake.advance(61)
    return token


def crowd(fake: FakeAuthorizationServer, store: MemoryStore, **settings: Any) -> Any:
    """Return a session over a store, which has what it needs there."""
    keywords: dict[str, Any] = {"grant": None, "store": store, "key": "k", **settings}
    return fake.session(**keywords)


async def fail(what: Awaitable[object]) -> OAuthKitError:
    """Return the error that comes."""
    with pytest.raises(OAuthKitError) as caught:
        await what
    return caught.value


# One for all


async def test_many_waiters_make_one_token_request() -> None:
    """BC-15, AT-75: ten thousand tasks see the expiry."""
    fake, tokens = FakeAuthorizationServer(), set[str]()

    async def use() -> None:
        tokens.add((await session.token()).access_token)

    async with fake.session() as session:
        with anyio.fail_after(30):
            with fake.hold() as held:
                async with anyio.create_task_group() as tasks:
                    for _ in range(10_000):
                        tasks.start_soon(use)
                    await held.arrived()
                    held.release()
    assert (len(fake.token_requests), tokens) == (1, {"access-token-1"})


async def test_a_fresh_token_costs_no_lock_no_io_and_no_task_switch() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        store.calls.clear()
        for _ in range(1000):
            call = session.token()
            with pytest.raises(StopIteration):  # it ends without ever having waited
                call.send(None)
    assert store.calls == []
    assert fake.token_requests == []


async def test_two_sessions_over_one_store_renew_once() -> None:
    """BC-15: the running renewal is shared, not only its result."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as one, crowd(fake, store) as other:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for session in (one, other) * 10:
                    tasks.start_soon(session.get, "/report")
                await held.arrived()
                held.release()
    assert len(fake.token_requests) == 1
    assert fake.families_killed == 0


async def test_a_session_per_request_over_one_store_renews_once() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)

    async def request() -> None:
        async with crowd(fake, store) as session:
            await session.get("/report")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(request)
        for _ in range(5):
            await request()
    assert len(fake.token_requests) == 1


async def test_processes_over_one_store_renew_once() -> None:
    """BC-15: states that are not shared stand for other processes; the lease decides."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as one, crowd(fake, store) as other:
        apart(other, store)
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.get, "/report")
                await held.arrived()
                tasks.start_soon(other.get, "/report")
                await anyio.wait_all_tasks_blocked()
                held.release()
        assert (await one.token()) == (await other.token())
    assert len(fake.token_requests) == 1


def apart(session: AsyncTokenSession[Any], store: MemoryStore) -> None:
    """Let a session know nothing of what this process knows, as if it ran in another one."""
    replacement = session._renewer.replacement
    state = TokenStates().of(replacement.key, capacity=1)
    session._renewer = type(session._renewer)(
        attrs.evolve(replacement, state=state), session._renewer.completion
    )
    session._auth = session.auth_for(session.http)


async def test_a_cancelled_waiter_disturbs_nobody() -> None:
    """AT-75: gcloud-aio-auth's both fail."""
    fake, tokens = FakeAuthorizationServer(), list[Token]()

    async def use(scope: anyio.CancelScope | None = None) -> None:
        with scope or anyio.CancelScope():
            tokens.append(await session.token())

    scope = anyio.CancelScope()
    async with fake.session() as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use)
                await held.arrived()
                tasks.start_soon(use, scope)
                tasks.start_soon(use)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.wait_all_tasks_blocked()
                assert tokens == []
                held.release()
    assert len(tokens) == 2
    assert len(fake.token_requests) == 1


# Ahead of the expiry


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
        await session._renewer.completion.drain()
        assert await session.token() != first
    assert len(fake.token_requests) == 2


async def test_a_token_is_fresh_until_the_leeway_begins() -> None:
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session:
        await session.token()
        fake.advance(69.9)
        await session.token()
        await session._renewer.completion.drain()
    assert len(fake.token_requests) == 1


async def test_the_renewals_of_a_fleet_are_spread() -> None:
    """AT-82: no two processes come at the same moment, and none before the leeway begins."""
    fake, moments = FakeAuthorizationServer(expires_in=100), set[float]()
    for _ in range(20):
        async with fake.session(policy=RenewalPolicy(leeway=30, jitter=0.5)) as session:
            await session.token()
            at_hand = session._renewer.peek()
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
        await session._renewer.completion.drain()
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
        await session._renewer.completion.drain()
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
        await session._renewer.completion.drain()
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


# Cancelled


async def used(session: AsyncTokenSession[Any]) -> None:
    await session.get("/report")


async def test_a_cancelled_leaders_rotated_token_is_saved() -> None:
    """AT-78, O2-36: authlib loses the session here."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    with anyio.fail_after(5):
        async with crowd(fake, store) as session:
            with fake.hold() as held:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(used, session)
                    await held.arrived()
                    tasks.cancel_scope.cancel()
                    held.release()
        async with crowd(fake, store) as session:
            await session.get("/report")
    assert (fake.families_killed, fake.presented_twice) == (0, 0)
    assert len(fake.token_requests) == 1


async def by_timeout(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    async def expire(limit: asyncio.Timeout) -> None:
        await begun.wait()
        limit.reschedule(0)

    async def limited() -> None:
        async with asyncio.timeout(None) as limit:
            tasks.append(asyncio.ensure_future(expire(limit)))
            await leader()

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(TimeoutError):
        await limited()


async def by_cancel(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    task = asyncio.ensure_future(leader())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_task_group(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    async def fall() -> None:
        await begun.wait()
        raise ZeroDivisionError

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run(leader))
            tasks.create_task(fall())

    with pytest.raises(ExceptionGroup):
        await group()


async def by_move_on_after(leader: Callable[[], Awaitable[None]], begun: anyio.Event) -> None:
    async def expire() -> None:
        await begun.wait()
        scope.deadline = anyio.current_time()

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(expire)
        with scope:
            await leader()
    assert scope.cancelled_caught


async def run(leader: Callable[[], Awaitable[None]]) -> None:
    await leader()


@ASYNCIO
@pytest.mark.parametrize("cancel", [by_timeout, by_cancel, by_task_group, by_move_on_after])
async def test_however_asyncio_cancels_the_leader_the_token_is_saved_under_the_lease(
    cancel: Callable[[Callable[[], Awaitable[None]], anyio.Event], Awaitable[None]],
) -> None:
    """AT-78: a shield of anyio does not stop any but the last of these."""
    fake, store, begun = FakeAuthorizationServer(), ShakyStore(), anyio.Event()
    await stored(fake, store)
    leased: list[bool] = []

    async def look() -> None:
        leased.append(store._rows["k"].fence != 0)

    store.before["save"] = look

    with anyio.fail_after(5):
        async with crowd(fake, store) as session:
            with fake.hold() as held:

                async def arrived() -> None:
                    await held.arrived()
                    begun.set()

                watching = asyncio.ensure_future(arrived())
                await cancel(lambda: used(session), begun)  # it leaves at once
                assert store._rows["k"].fence != 0  # and the renewal goes on
                await watching
                held.release()
        # the end of the session waited for the end of the renewal
        assert store._rows["k"].fence == 0
        assert leased == [True]
        async with crowd(fake, store) as session:
            await session.get("/report")
    assert (len(fake.token_requests), fake.families_killed) == (1, 0)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_leader_cancelled_on_trio_leaves_after_the_save() -> None:
    """AT-78."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    with anyio.fail_after(5), fake.hold() as held:
        async with crowd(fake, store) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                tasks.cancel_scope.cancel()
                held.release()
            assert store._rows["k"].fence == 0
            token = await store.load("k")
    assert token is not None
    assert token.refresh_token == "refresh-token-3"


async def test_cancelled_at_any_point_nothing_is_lost() -> None:
    """AT-78: cancelled before the n-th switch of tasks, for every n."""
    for patience in range(60):
        fake, store = FakeAuthorizationServer(), ShakyStore()
        await stored(fake, store)
        with anyio.fail_after(5):
            async with (
                crowd(fake, store) as session,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(used, session)
                for _ in range(patience):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            async with crowd(fake, store) as session:
                response = await session.get("/report")
        assert response.status_code == 200
        assert (fake.families_killed, fake.presented_twice) == (0, 0)
        assert store._rows["k"].fence == 0


@ASYNCIO
async def test_a_task_cancelled_at_any_point_loses_nothing() -> None:
    """AT-78: by asyncio's own cancellation."""
    for patience in range(60):
        fake, store = FakeAuthorizationServer(), ShakyStore()
        await stored(fake, store)
        async with asyncio.timeout(5):
            async with crowd(fake, store) as session:
                task = asyncio.ensure_future(used(session))
                for _ in range(patience):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() or task.exception() is None
            async with crowd(fake, store) as session:
                response = await session.get("/report")
        assert response.status_code == 200
        assert (fake.families_killed, fake.presented_twice) == (0, 0)


@ASYNCIO
@pytest.mark.parametrize("patience", range(12))
async def test_a_framework_that_cancels_every_task_leaves_nobody_hanging(patience: int) -> None:
    """AT-78: the renewal itself is hit, and what follows asks anew."""
    fake = FakeAuthorizationServer()
    before = asyncio.all_tasks()
    async with asyncio.timeout(5):
        async with fake.session() as session:
            task = asyncio.ensure_future(used(session))
            for _ in range(patience):
                await asyncio.sleep(0)
            for running in asyncio.all_tasks() - before:
                running.cancel()
            await asyncio.wait([task])
            assert (await session.get("/report")).status_code == 200


def test_a_loop_that_ended_during_a_renewal_does_not_stop_the_next_one() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore(lease_seconds=31)
    store._clock = fake.clock.monotonic

    async def first() -> None:
        await store.save("k", fake.issue())
        session = AsyncTokenSession(
            httpx.AsyncClient(transport=fake.transport()),
            server=fake.server,
            client_auth=fake.client_auth,
            store=store,
            key="k",
            clock=fake.clock,
            policy=STEADY,
        )
        await session.token()
        fake.advance(75)
        held = fake.hold()
        with held as requests:
            await session.token()
            await requests.arrived()
            raise KeyboardInterrupt

    async def second() -> str:
        async with crowd(fake, store, policy=STEADY) as session:
            return str((await session.token()).access_token)

    loop = asyncio.new_event_loop()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(first())
    assert states_of(store).of("k", capacity=1).flight is not None
    fake.advance(40)  # the lease runs out with the loop that held it
    loop.run_until_complete(asyncio.sleep(0))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert isinstance(asyncio.run(second_or_error(second)), str)
    gc.collect()


async def second_or_error(second: Callable[[], Awaitable[str]]) -> str:
    async with asyncio.timeout(5):
        try:
            return await second()
        except OAuthKitError as error:  # the loop took the rotated token with it
            return type(error).__name__


async def test_what_a_dead_event_loop_left_behind_does_not_stop_renewing_ahead() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    await stored(fake, store, expired=False)

    async def foreign() -> object:
        from oauthkit.copies import Flight

        return Flight()

    async with crowd(fake, store, policy=STEADY) as session:
        first = await session.token()
        flight: Any = await anyio.to_thread.run_sync(anyio.run, foreign)
        states_of(store).of("k", capacity=1).flight = flight
        fake.advance(75)
        await session.token()
        await session._renewer.completion.drain()
        assert await session.token() != first
        states_of(store).of("k", capacity=1).flight = flight
        fake.advance(101)
        with anyio.fail_after(5):
            assert (await session.get("/")).status_code == 200
    assert fake.families_killed == 0


async def in_a_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await anyio.to_thread.run_sync(anyio.run, work)


async def test_an_event_loop_in_another_thread_shares_the_renewal_through_the_store() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)

    async def elsewhere() -> None:
        async with crowd(fake, store) as session:
            await session.get("/report")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(in_a_thread, elsewhere)
            await elsewhere()
    assert (fake.families_killed, fake.presented_twice) == (0, 0)


# The server fails


def refused(fake: FakeAuthorizationServer) -> httpx.AsyncClient:
    """Return a client whose connections to the token endpoint are refused, and count."""

    async def handle(request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        fake.token_requests.append(None)  # type: ignore[arg-type]
        raise httpx.ConnectError(str(request.url))

    return httpx.AsyncClient(transport=httpx.MockTransport(handle))


async def test_a_crowd_at_a_token_endpoint_that_answers_500_asks_a_few_times_alone() -> None:
    """AT-75: not once per waiter."""
    fake, errors = FakeAuthorizationServer(), list[OAuthKitError]()
    fake.fail_next(500, times=100)

    async def use() -> None:
        errors.append(await fail(session.get("/report")))

    async with fake.session() as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(use)
            for _ in range(10):
                await use()
    assert len(errors) == 60
    assert {error.recovery for error in errors} == {Recovery.RETRY_LATER}
    assert len(fake.token_requests) <= 3
    assert errors[-1].retry_after is not None


async def test_a_crowd_at_a_token_endpoint_that_refuses_connections_tries_a_few_times_alone() -> (
    None
):
    fake, errors = FakeAuthorizationServer(), list[OAuthKitError]()

    async def use() -> None:
        errors.append(await fail(session.get("/report")))

    async with refused(fake) as http, fake.session(http=http) as session:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(use)
            await use()
    assert len(errors) == 51
    assert all(isinstance(error, TransportError) and not error.sent for error in errors)
    assert len(fake.token_requests) <= 3


async def test_each_waiter_gets_an_error_of_its_own() -> None:
    """A shared one would collect everybody's traceback."""
    fake, errors = FakeAuthorizationServer(), list[OAuthKitError]()
    fake.fail_next(500)

    async def use() -> None:
        errors.append(await fail(session.token()))

    async with fake.session() as session, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(use)
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors}) == 1


async def test_a_failing_renewal_ahead_is_tried_after_growing_pauses_while_the_token_serves() -> (
    None
):
    fake, heard = FakeAuthorizationServer(expires_in=1000), Heard()
    policy = RenewalPolicy(leeway=100, jitter=0)
    async with fake.session(policy=policy, on_event=heard.append) as session:
        first = await session.token()
        fake.advance(901)
        fake.fail_next(500, times=100)
        for _ in range(900):
            assert await session.token() == first
            await session._renewer.completion.drain()
            fake.advance(0.1)
    failures = heard.of(RenewalFailed)
    assert [event.pause for event in failures] == [1, 2, 4, 8, 16, 32, pytest.approx(36, abs=2)]
    assert all(event.usable for event in failures)


async def test_a_pause_ends_with_the_token() -> None:
    """What came before the expiry is no reason not to ask at the expiry."""
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session:
        first = await session.token()
        fake.advance(70)
        fake.fail_next(500, times=5)
        for _ in range(299):
            await session.token()
            await session._renewer.completion.drain()
            fake.advance(0.1)
        fake.advance(0.2)
        assert await session.token() != first


async def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    """AT-82: with a cap."""
    fake, heard = FakeAuthorizationServer(), Heard()
    fake.fail_next(503, headers={"retry-after": "40"})
    async with fake.session(on_event=heard.append) as session:
        error = await fail(session.token())
        assert (error.retry_after, heard.of(RenewalFailed)[0].pause) == (40, 40)
        fake.advance(39)
        assert (await fail(session.token())).retry_after == pytest.approx(1)
        fake.advance(1)
        await session.token()
        fake.fail_next(503, headers={"retry-after": "86400"})
        fake.advance(61)
        await fail(session.token())
        assert heard.of(RenewalFailed)[-1].pause == 60
    assert len(fake.token_requests) == 3


async def test_after_a_success_pauses_begin_anew() -> None:
    fake, heard = FakeAuthorizationServer(), Heard()
    async with fake.session(on_event=heard.append) as session:
        for _ in range(2):
            fake.fail_next(500, times=2)
            for _ in range(2):
                await fail(session.token())
            fake.advance(1)
            await session.token()
            fake.advance(61)
    assert [event.pause for event in heard.of(RenewalFailed)] == [0, 1, 0, 1]


async def test_invalid_client_is_one_request() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(client_auth=ClientSecretBasic("client", "wrong")) as session:
        for _ in range(10):
            assert isinstance(await fail(session.token()), InvalidClient)
    assert len(fake.token_requests) == 1


async def test_a_lost_answer_is_asked_for_once_more_with_the_same_refresh_token() -> None:
    """A server with a grace window answers it."""
    fake, store = FakeAuthorizationServer(grace=10), MemoryStore()
    await stored(fake, store)
    fake.lose_next_answer()
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200
    assert (len(fake.token_requests), fake.families_killed) == (2, 0)


async def test_an_answer_that_stays_lost_keeps_the_stored_token() -> None:
    """py-identity-model sends the refresh token four times."""
    fake, store = FakeAuthorizationServer(grace=1000), MemoryStore()
    token = await stored(fake, store)
    fake.lose_next_answer(times=2)
    async with crowd(fake, store) as session:
        error = await fail(session.get("/"))
        assert isinstance(error, TransportError)
        assert await store.load("k") == token
        assert len(fake.token_requests) == 2
        fake.advance(2)
        assert (await session.get("/")).status_code == 200


async def test_a_lost_answer_to_client_credentials_is_asked_for_again() -> None:
    """AT-81: nothing is spent by it."""
    fake = FakeAuthorizationServer()
    fake.lose_next_answer(times=2)
    async with fake.session() as session:
        await session.token()
    assert len(fake.token_requests) == 3


def code_of(fake: FakeAuthorizationServer) -> AuthorizationCode:
    """Return the code of a login."""
    from oauthkit import AuthorizationRequest

    login = AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri="https://app.example/cb"
    )
    return login.accept(fake.authorize(login.url))


async def test_a_code_is_exchanged_once_and_its_refresh_token_goes_on() -> None:
    """O2-18."""
    fake = FakeAuthorizationServer()
    async with fake.session(grant=code_of(fake)) as session:
        for _ in range(3):
            assert (await session.get("/")).status_code == 200
            fake.advance(61)
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["authorization_code", "refresh_token", "refresh_token"]


@pytest.mark.parametrize("fault", ["lost", "500", "invalid_grant"])
async def test_a_code_whose_exchange_failed_is_never_sent_again(fault: str) -> None:
    """O2-18, AT-81: refused locally."""
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    if fault == "lost":
        fake.lose_next_answer()
    elif fault == "500":
        fake.fail_next(500)
    else:
        fake.advance(61)
    async with fake.session(grant=code) as session:
        first = await fail(session.token())
        fake.advance(61)
        second = await fail(session.token())
    assert isinstance(
        first, {"lost": TransportError, "500": ResponseError}.get(fault, InvalidGrant)
    )
    assert isinstance(second, ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_a_code_that_was_never_sent_is_still_good() -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    async with fake.session(grant=code) as session:
        async with refused(fake) as http, fake.session(http=http, grant=code) as cut:
            await fail(cut.token())
        assert (await session.get("/")).status_code == 200


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_error_member_of_an_answer_that_is_none_is_not_believed(status: int) -> None:
    """A proxy's page must cost nobody the refresh token."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = await stored(fake, store)
    fake.fail_next(status, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
    async with crowd(fake, store) as session:
        error = await fail(session.get("/"))
        assert error.recovery is Recovery.RETRY_LATER
        assert await store.load("k") == token
        assert (await session.get("/")).status_code == 200


async def test_an_error_with_status_200_is_an_error() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    fake.fail_next(200, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
    async with crowd(fake, store) as session:
        assert isinstance(await fail(session.get("/")), ReauthorizationRequired)


# A right is spent


async def test_invalid_grant_is_one_request_and_everybody_learns_at_once() -> None:
    """O2-39: no retry loop, and the stored credentials are marked dead."""
    fake, store, errors = FakeAuthorizationServer(), MemoryStore(), list[OAuthKitError]()
    token = await stored(fake, store)
    fake.revoke(token)

    async def use() -> None:
        errors.append(await fail(session.get("/report")))

    async with crowd(fake, store) as session:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(use)
        for _ in range(3):
            await use()
    assert {type(error) for error in errors} == {ReauthorizationRequired}
    assert {error.recovery for error in errors} == {Recovery.REAUTHORIZE}
    assert len(fake.token_requests) == 1
    dead = await store.load("k")
    assert dead is not None
    assert dead.refresh_token is None


async def test_a_valid_token_serves_to_its_end_although_its_refresh_token_is_dead() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    token = await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        fake.fail_next(400, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
        for _ in range(99):
            assert (await session.token()).access_token == token.access_token
            await session._renewer.completion.drain()
            fake.advance(1)
        fake.advance(2)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_after_a_new_login_under_the_key_the_session_goes_on() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    fake.revoke(await stored(fake, store))
    async with crowd(fake, store) as session:
        await fail(session.token())
        await store.save("k", fake.issue())
        assert (await session.get("/")).status_code == 200


async def test_a_password_starts_anew_when_the_refresh_token_is_dead() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(grant=PASSWORD) as session:
        token = await session.token()
        fake.advance(61)
        fake.revoke(token)
        assert (await session.get("/")).status_code == 200
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["password", "refresh_token", "password"]


async def test_all_rights_of_one_renewal_share_one_end() -> None:
    """So that a lease which lives longer than the policy's timeout outlives the renewal."""
    fake, ends = FakeAuthorizationServer(), list[float]()
    async with fake.session(grant=PASSWORD, policy=RenewalPolicy(timeout=5)) as session:
        fake.revoke(await session.token())
        fake.advance(61)
        exchange = session._renewer.replacement.exchange
        send = exchange.send

        async def watched(request: HTTPRequest, /, *, timeout: float) -> HTTPResponse:  # noqa: ASYNC109 - the seam's own
            ends.append(anyio.current_time() + timeout)
            await anyio.sleep(0.05)
            return await send(request, timeout=timeout)

        exchange.send = watched
        await session.token()
    assert len(ends) == 2
    assert ends[1] == pytest.approx(ends[0], abs=0.02)


async def test_a_wrong_password_is_not_tried_again_and_again() -> None:
    """It may lock the account."""
    fake = FakeAuthorizationServer()
    grant = ResourceOwnerPassword(username="ada", password="wrong")
    async with fake.session(grant=grant) as session:
        for _ in range(10):
            assert isinstance(await fail(session.token()), InvalidGrant)
    assert len(fake.token_requests) == 1


async def test_client_credentials_are_repeated_and_a_refresh_token_is_not_relied_on() -> None:
    """O2-25."""
    fake = FakeAuthorizationServer(extra={"refresh_token": "no"})
    async with fake.session() as session:
        await session.token()
        fake.advance(61)
        await session.token()
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["client_credentials"] * 2


async def test_a_refresh_token_known_to_be_dead_is_not_tried() -> None:
    fake = FakeAuthorizationServer(refresh_expires_in=100)
    async with fake.session(grant=PASSWORD) as session:
        await session.token()
        fake.advance(101)
        await session.token()
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["password", "password"]


@pytest.mark.parametrize("rotate", [True, False])
async def test_a_refresh_token_from_a_first_login_goes_on_for_ever(*, rotate: bool) -> None:
    """O2-35: also at servers that do not rotate, whose answers have no refresh token."""
    fake = FakeAuthorizationServer(rotate=rotate)
    grant = RefreshToken(refresh_token=str(fake.issue().refresh_token))
    async with fake.session(grant=grant) as session:
        for _ in range(4):
            assert (await session.get("/")).status_code == 200
            fake.advance(61)
    assert len(fake.token_requests) == 4
    assert fake.presented_twice == 0


async def test_a_refresh_token_from_a_first_login_is_not_presented_again_when_its_line_ends() -> (
    None
):
    fake = FakeAuthorizationServer()
    grant = RefreshToken(refresh_token=str(fake.issue().refresh_token))
    async with fake.session(grant=grant) as session:
        token = await session.token()
        fake.advance(61)
        fake.revoke(token)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 2
    assert fake.presented_twice == 0


@attrs.frozen(kw_only=True)
class OneTime(GrantStrategy):
    """A right of the user's own that is used up by an answer."""

    grant_type = "client_credentials"
    repeat = Repeat.ONCE

    def parameters(self) -> dict[str, str]:
        return {}


async def test_a_right_of_ones_own_that_is_used_up_is_not_used_again() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(grant=OneTime()) as session:
        await session.token()
        fake.advance(61)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_an_error_response_of_another_kind_is_raised() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(400, headers=JSON_TYPE, content=b'{"error":"invalid_scope"}', times=9)
    async with fake.session() as session:
        error = await fail(session.token())
    assert isinstance(error, ErrorResponse)
    assert error.error == "invalid_scope"


async def test_a_fault_in_a_grant_of_ones_own_is_raised_as_it_is() -> None:
    class Broken(ClientCredentials):
        def parameters(self) -> dict[str, Any]:
            raise ZeroDivisionError

    fake = FakeAuthorizationServer()
    async with fake.session(grant=Broken()) as session:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await session.token()


async def test_a_setting_that_does_not_fit_is_no_request_and_no_pause() -> None:
    from oauthkit import PublicClient

    fake = FakeAuthorizationServer()
    async with fake.session(client_auth=PublicClient("client")) as session:
        for _ in range(3):
            error = await fail(session.token())
            assert isinstance(error, ConfigurationError)
            assert error.retry_after is None
    assert fake.token_requests == []


async def test_nothing_to_begin_with_says_what_to_do() -> None:
    fake = FakeAuthorizationServer()
    async with crowd(fake, MemoryStore()) as session:
        with pytest.raises(ReauthorizationRequired, match="save the new token under this key"):
            await session.token()
    assert fake.token_requests == []


# A token to begin with


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


# Another process


async def test_a_token_that_another_process_renewed_is_adopted() -> None:
    fake, store, heard = FakeAuthorizationServer(), MemoryStore(), Heard()
    await stored(fake, store)
    async with crowd(fake, store) as other, crowd(fake, store, on_event=heard.append) as session:
        apart(session, store)
        await other.token()
        await session.token()
    assert len(heard.of(TokenAdopted)) == 1
    assert heard.of(TokenRenewed) == []
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize("store_down", [False, True])
async def test_who_failed_adopts_what_another_process_renewed_before_asking_again(
    *,
    store_down: bool,
) -> None:
    """A pause is for the server's sake; the store may be looked at all the time."""
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    async with crowd(fake, store) as session, crowd(fake, store) as other:
        apart(other, store)
        fake.fail_next(503, headers={"retry-after": "50"})
        await fail(session.token())
        await fail(session.token())
        token = await other.token()
        if store_down:
            store.broken = {"load"}
            assert isinstance(await fail(session.token()), ResponseError)
            store.broken = set()
        assert await session.token() == token
        fake.advance(1)
        assert await session.token() == token
    assert len(fake.token_requests) == 2


async def test_before_a_right_is_discarded_the_store_is_read_once_more() -> None:
    """O2-39: another process, which had waited for no lease, was faster."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store) as session:
        fake.fail_next(400, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
        new = fake.issue()
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                store._rows["k"].token = new
                held.release()
        assert await session.token() == new == await store.load("k")
    assert len(fake.token_requests) == 1


async def test_a_login_of_another_process_is_noticed_after_the_recheck() -> None:
    fake, store = FakeAuthorizationServer(expires_in=1000), MemoryStore()
    first = await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        assert await session.token() == first
        second = fake.issue()
        store._rows["k"].token = second
        fake.advance(4.9)
        assert await session.token() == first
        fake.advance(0.2)
        assert await session.token() == second


async def test_a_login_of_this_process_is_noticed_at_once() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        second = fake.issue()
        await store.save("k", second)
        assert await session.token() == second


async def test_a_logout_is_the_end_of_the_token_at_hand() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store, expired=False)
    async with crowd(fake, store) as session:
        await session.token()
        await store.delete("k")
        assert isinstance(await fail(session.token()), ReauthorizationRequired)


@pytest.mark.parametrize("first", [True, False])
async def test_a_token_deleted_while_it_is_renewed_is_not_resurrected(*, first: bool) -> None:
    """Logout wins, be it the first token of the key or a later one."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    code = code_of(fake)
    if not first:
        await stored(fake, store)
    async with crowd(fake, store, grant=code if first else None) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail, session.token())
                await held.arrived()
                await store.delete("k")
                held.release()
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert await store.load("k") is None


async def test_a_login_while_the_old_token_is_renewed_wins() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    login = fake.issue()
    async with crowd(fake, store) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                await store.save("k", login)
                held.release()
        assert await session.token() == await store.load("k") == login


async def test_a_lease_that_ran_out_while_nobody_else_came_costs_no_family() -> None:
    """The process was stopped and woke up: what the server gave is saved under a new lease."""
    fake = FakeAuthorizationServer()
    store = MemoryStore(clock=fake.clock.monotonic)
    await stored(fake, store)
    fake.slow_next(70)
    fake.expires_in = 3600
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200
    kept = await store.load("k")
    assert kept is not None
    assert kept.access_token == "access-token-4"
    assert (len(fake.token_requests), fake.families_killed) == (1, 0)


async def test_a_lease_whose_holder_died_is_waited_for_and_taken_over() -> None:
    """BC-15: the stored token is read again under the new lease."""
    fake = FakeAuthorizationServer()
    store = MemoryStore(clock=fake.clock.monotonic)
    await stored(fake, store)
    assert store._acquired("k") is not None  # by a process that is no more
    async with crowd(fake, store) as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                while session._renewer.state.flight is None:
                    await anyio.lowlevel.checkpoint()
                assert fake.token_requests == []
                fake.advance(61)
    assert len(fake.token_requests) == 1


async def test_a_lease_that_was_taken_over_is_lost() -> None:
    """The fence refuses the save; what the other one saved is adopted."""
    fake = FakeAuthorizationServer(grace=1000, expires_in=1000)
    store = MemoryStore(clock=fake.clock.monotonic)
    await store.save("k", fake.issue())
    fake.advance(1001)
    async with crowd(fake, store) as one, crowd(fake, store) as other:
        apart(other, store)
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, one)
                await held.arrived()
                fake.advance(61)
                tasks.start_soon(used, other)
                await held.arrived(2)
                held.release()
        assert (await one.token()) == (await other.token())
    assert fake.families_killed == 0


async def test_a_store_whose_token_changes_all_the_time_is_given_up() -> None:
    fake = FakeAuthorizationServer()

    class Unsteady(MemoryStore):
        def save_leased(self, key: str, fence: int, token: Token) -> None:
            raise LeaseLost

    async with crowd(fake, Unsteady(), grant=ClientCredentials()) as session:
        error = await fail(session.token())
    assert isinstance(error, StoreError)
    assert "again and again" in str(error)
    assert len(fake.token_requests) == 5


async def test_a_store_may_answer_who_waits_for_its_lease_with_a_renewed_token() -> None:
    """A lease that is not held is no right to ask the server."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    new = fake.issue()
    leases = 0

    class Early(ShakyStore):
        @asynccontextmanager
        async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
            nonlocal leases
            leases += 1
            if leases == 1:
                yield _NotHeld(self)  # before the token is there
                self._rows["k"].token = new
            else:
                yield _NotHeld(self)

    early = Early()
    early._rows = store._rows
    async with crowd(fake, early) as session:
        assert await session.token() == new
    assert fake.token_requests == []


@attrs.frozen
class _NotHeld:
    store: MemoryStore
    held: bool = False

    async def load(self) -> Token | None:
        return await MemoryStore.load(self.store, "k")

    async def save(self, token: Token) -> None:
        raise LeaseLost


# The store fails


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
        assert await store.load("k") == await session.token()
        fake.advance(101)
        assert (await session.get("/")).status_code == 200
    assert (len(fake.token_requests), fake.families_killed) == (2, 0)


@pytest.mark.parametrize("first", [True, False])
async def test_a_save_that_failed_is_not_made_good_after_a_logout(*, first: bool) -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    if not first:
        await store.save("k", fake.issue())
        fake.advance(101)
    store.broken = {"save"}
    async with crowd(fake, store, grant=code_of(fake) if first else None) as session:
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
        row = store._rows["k"]
        row.token = {"logout": None, "login": login, "saved": at_hand}[elsewhere]
        if elsewhere == "logout":
            assert isinstance(await fail(session.token()), ReauthorizationRequired)
        else:
            assert await session.token() == row.token
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
    """RenewalPolicy.without_store; when the store is back, it gets what it missed."""
    fake, store, heard = FakeAuthorizationServer(expires_in=100), ShakyStore(), Heard()
    await store.save("k", fake.issue())
    policy = RenewalPolicy(without_store=True, jitter=0)
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
    policy = RenewalPolicy(without_store=True)
    async with crowd(fake, store, grant=PASSWORD, policy=policy) as session:
        assert (await session.get("/")).status_code == 200
        store.broken = set()
        fake.advance(6)
        assert await session.token() == await store.load("k")
    assert len(fake.token_requests) == 1


async def test_without_its_store_a_token_to_begin_with_is_used() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    store.broken = {"load"}
    policy, token = RenewalPolicy(without_store=True), fake.issue()
    async with crowd(fake, store, token=token, policy=policy) as session:
        assert await session.token() == token
        store.broken = set()
        fake.advance(6)
        assert await session.token() == token == await store.load("k")


async def test_without_its_store_a_dead_refresh_token_leads_to_the_password() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), ShakyStore()
    policy = RenewalPolicy(without_store=True)
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


# 401


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
        assert (await session._renewer.token(rejected=old)).token == new
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
                session._renewer.reject(token)
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
            session._renewer.reject(token)

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
        at_hand = session._renewer.state.copy
        if isinstance(event, TokenAdopted) and at_hand is not None:
            session._renewer.reject(at_hand.token)

    async with crowd(fake, Changing(), on_event=hook) as session:
        with pytest.raises(StoreError, match="again and again"):
            await session.token()
    assert len(heard.of(TokenAdopted)) == 5


async def test_a_renewal_leaves_that_of_another_event_loop_alone() -> None:
    from oauthkit.copies import Flight

    fake, store = FakeAuthorizationServer(), MemoryStore()
    other = Flight(loop=object())
    await stored(fake, store)
    async with crowd(fake, store) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(used, session)
                await held.arrived()
                session._renewer.state.flight = other
                held.release()
        assert session._renewer.state.flight is other


# On demand


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
                states_of(store).of("k", capacity=1).copy.checked_until += 60  # type: ignore[union-attr]
                states_of(store).of("k", capacity=1).copy.good_until += 60  # type: ignore[union-attr]
                tasks.start_soon(renew)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
    assert renewed != [first]
    assert len(fake.token_requests) == 1


async def test_renew_gives_up_when_looks_at_the_store_keep_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from oauthkit.copies import Flight

    monkeypatch.setattr("oauthkit.renewal._MOST_FLIGHTS", 1)
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
        state = session._renewer.state
        state.flight = Flight(copy=state.copy)
        state.flight.done.set()
        with pytest.raises(StoreError, match="again and again"):
            await session.renew()


async def test_a_server_that_gives_the_same_access_token_again_makes_no_loop() -> None:
    """As some do within one second."""
    fake = FakeAuthorizationServer(extra={"access_token": "same"})
    async with fake.session() as session:
        await session.token()
        assert (await session.renew()).access_token == "same"
    assert len(fake.token_requests) == 2


# What is told, and what is kept


async def test_a_renewal_is_told_with_what_was_asked_for_and_granted() -> None:
    """O2-16."""
    fake, heard = FakeAuthorizationServer(extra={"scope": "read"}), Heard()
    fake.slow_next(2.0)
    grant = ClientCredentials(scope="read write")
    async with fake.session(grant=grant, on_event=heard.append) as session:
        token = await session.token()
    assert heard == [
        TokenRenewed(
            key=session._renewer.replacement.key,
            grant_type="client_credentials",
            seconds=2.0,
            expires_at=token.expires_at,
            requested_scope="read write",
            scope="read",
        )
    ]


async def test_no_more_states_are_kept_than_asked_for() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with crowd(
        fake, store, grant=ClientCredentials(), policy=RenewalPolicy(capacity=10)
    ) as session:
        for number in range(100):
            await session.for_key(str(number)).token()
    assert len(states_of(store)._states) == 10


async def test_a_state_with_a_renewal_on_its_way_is_kept() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    policy = RenewalPolicy(capacity=1)
    async with crowd(fake, store, grant=ClientCredentials(), policy=policy) as session:
        with anyio.fail_after(5), fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(session.for_key(str(number)).token)
                    await held.arrived(number + 1)
                assert len(states_of(store)._states) == 5
                held.release()
        session.for_key("last")
    assert len(states_of(store)._states) == 1


async def test_threads_share_the_states_of_a_store() -> None:
    states = TokenStates()

    def use(offset: int) -> None:
        for number in range(2000):
            states.of(str((number + offset) % 50), capacity=10)
            states.forget(str(number % 50))

    async with anyio.create_task_group() as tasks:
        for offset in range(4):
            tasks.start_soon(anyio.to_thread.run_sync, use, offset)
    assert len(states._states) == 10


async def test_what_is_known_of_a_store_ends_with_it() -> None:
    import weakref

    store = MemoryStore()
    states = weakref.ref(states_of(store))
    del store
    gc.collect()
    assert states() is None


def test_a_store_that_cannot_be_told_apart_is_refused() -> None:
    @attrs.define
    class Unhashable(MemoryStore):
        pass

    with pytest.raises(ConfigurationError, match="hashable and weakly referable"):
        states_of(Unhashable.__new__(Unhashable))


async def test_a_store_that_tells_of_no_changes_is_looked_at_again() -> None:
    fake, inner = FakeAuthorizationServer(expires_in=600), MemoryStore()

    class Plain:
        load = staticmethod(inner.load)
        save = staticmethod(inner.save)
        delete = staticmethod(inner.delete)
        lease = staticmethod(inner.lease)

    store: Any = Plain()
    await store.save("k", fake.issue())
    async with crowd(fake, store) as session:
        await session.token()
        await store.delete("k")
        await session.token()
        fake.advance(6)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    states_of(store).forget("unknown")


@pytest.mark.parametrize("index", range(7))
async def test_the_errors_of_renewals_survive_being_copied(index: int) -> None:
    """Each waiter gets a copy."""
    errors: list[OAuthKitError] = [
        TransportError("t", sent=False, retry_after=1),
        ResponseError("r", status_code=500, excerpt="e"),
        InvalidGrant("invalid_grant", "d", "u", status_code=400, www_authenticate=["Basic"]),
        ErrorResponse("x", recovery=Recovery.RETRY_LATER),
        ReauthorizationRequired("a"),
        StoreError("s"),
        ConfigurationError("c"),
    ]
    error = errors[index]
    clone = copy.copy(error)
    assert (type(clone), str(clone), vars(clone)) == (type(error), str(error), vars(error))
