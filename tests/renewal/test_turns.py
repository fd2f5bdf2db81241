"""So many renewals at work at one token endpoint, the others in a line."""

import gc
import inspect
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from oauthkit import ClientCredentials, MemoryStore, RenewalPolicy, TransportError
from oauthkit.activity import Activity, ActivityKind, Listener
from oauthkit.events import Event, RenewalFailed
from oauthkit.renewal.performer import Performer
from oauthkit.renewal.turns import Turns, turns_at
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import crowd, fail

ENDPOINT = "https://auth.example/token?tenant=canary"


class Line:
    """Take turns, and note who is at work and how many at most."""

    def __init__(self, width: int = 2, patience: float = 5.0) -> None:
        self.turns = Turns(ENDPOINT)
        self.width = width
        self.patience = patience
        self.order: list[int] = []
        self.at_work = 0
        self.most = 0
        self.go_on = anyio.Event()

    async def work(self, number: int = 0) -> None:
        async with self.turns.turn(self.width, patience=self.patience):
            self.order.append(number)
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            await self.go_on.wait()
            await anyio.lowlevel.checkpoint()
            self.at_work -= 1


async def test_so_many_are_at_work_and_the_others_follow_in_their_order() -> None:
    line = Line(width=2)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(line.work, number)
                await anyio.wait_all_tasks_blocked()
            assert line.order == [0, 1]
            line.go_on.set()
    # two that are called at once come in any order
    assert all(abs(place - number) <= 1 for place, number in enumerate(line.order))
    assert (line.most, line.at_work) == (2, 0)


async def test_who_has_room_does_not_wait_behind_who_has_none() -> None:
    """A session that wants to be alone at the endpoint holds nobody up while it cannot be."""
    line = Line(width=1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(line.work, number)
                await anyio.wait_all_tasks_blocked()
            line.width = 3
            for number in range(3, 6):
                tasks.start_soon(line.work, number)
                await anyio.wait_all_tasks_blocked()
            assert line.order == [0, 3, 4]
            line.go_on.set()
    assert line.order[:3] == [0, 3, 4]
    assert line.most == 3


async def test_the_head_of_the_line_is_not_overtaken_for_ever() -> None:
    """Once only those who passed it keep it from its turn, nobody passes it any more."""
    turns, order = Turns(ENDPOINT), list[str]()
    go_on = {name: anyio.Event() for name in ("elder", "narrow", "wide 1", "wide 2")}

    async def work(name: str, width: int) -> None:
        async with turns.turn(width, patience=5.0):
            order.append(name)
            await go_on[name].wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for name, width in [("elder", 3), ("narrow", 1), ("wide 1", 3)]:
                tasks.start_soon(work, name, width)
                await anyio.wait_all_tasks_blocked()
            assert order == ["elder", "wide 1"]
            go_on["elder"].set()
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(work, "wide 2", 3)
            await anyio.wait_all_tasks_blocked()
            assert order == ["elder", "wide 1"]
            go_on["wide 1"].set()
            await anyio.wait_all_tasks_blocked()
            assert sorted(order[2:]) == ["narrow", "wide 2"]  # called at once: in any order
            for event in go_on.values():
                event.set()


async def test_a_head_that_gives_up_holds_nobody_up_any_more() -> None:
    line, scope = Line(width=1), anyio.CancelScope()
    passed = anyio.Event()

    async def give_up() -> None:
        with scope:
            await line.work(1)

    async def leave_when_told() -> None:
        async with line.turns.turn(3, patience=5.0):
            await passed.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave_when_told)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(give_up)
            await anyio.wait_all_tasks_blocked()
            line.width = 3
            tasks.start_soon(line.work, 2)
            await anyio.wait_all_tasks_blocked()
            passed.set()
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(line.work, 3)
            await anyio.wait_all_tasks_blocked()
            assert line.order == [2]
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert line.order == [2, 3]
            line.go_on.set()


async def test_who_is_cancelled_leaves_the_line_and_who_was_called_passes_the_call_on() -> None:
    line = Line(width=1)
    scopes = [anyio.CancelScope() for _ in range(4)]

    async def work(number: int) -> None:
        with scopes[number]:
            await line.work(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(work, number)
                await anyio.wait_all_tasks_blocked()
            scopes[1].cancel()
            await anyio.wait_all_tasks_blocked()
            scopes[0].cancel()  # 2 is called by it, and cancelled before it can come
            scopes[2].cancel()
            await anyio.wait_all_tasks_blocked()
            assert line.order[-1] == 3
            line.go_on.set()
    assert not line.turns._at_work


async def test_who_leaves_the_middle_of_the_line_lets_nobody_in() -> None:
    line, scope = Line(width=1), anyio.CancelScope()

    async def leave() -> None:
        with scope:
            await line.work(2)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for work in (line.work, partial(line.work, 1), leave):
                tasks.start_soon(work)
                await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert line.order == [0]
            line.go_on.set()
    assert (line.order, line.most) == ([0, 1], 1)


async def test_a_crowd_that_gives_up_costs_no_more_than_a_crowd() -> None:
    """In any order of leaving: ten times as many may not cost a hundred times as much."""

    async def seconds(waiters: int) -> float:
        line = Line(width=1)
        scopes = [anyio.CancelScope() for _ in range(waiters)]

        async def work(scope: anyio.CancelScope) -> None:
            with scope:
                await line.work()

        began = spent = 0.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.work)
            await anyio.wait_all_tasks_blocked()
            for scope in scopes:
                tasks.start_soon(work, scope)
            await anyio.wait_all_tasks_blocked()
            began = time.process_time()
            for scope in reversed(scopes):
                scope.cancel()
            await anyio.wait_all_tasks_blocked()
            spent = time.process_time() - began
            line.go_on.set()
        return spent

    few = await seconds(500)
    many = await seconds(5000)
    assert many < 40 * few


async def test_a_turn_can_be_left_early_and_twice_and_taken_again() -> None:
    line = Line(width=1)
    turn = line.turns.turn(1, patience=5.0)
    with anyio.fail_after(5):
        async with turn, anyio.create_task_group() as tasks:
            await turn.take()  # nothing, where it is had
            turn.leave()
            turn.leave()
            tasks.start_soon(line.work, 1)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(line.work, 2)
            await anyio.wait_all_tasks_blocked()
            assert line.order == [1]
            line.go_on.set()
            await turn.take()
        assert line.order == [1, 2]
        assert not turn.had
        assert not line.turns._at_work


async def test_a_line_that_stands_still_is_left_with_words_and_without_a_secret() -> None:
    line = Line(width=1, patience=0.05)
    error: Any = None
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.work)
            await anyio.wait_all_tasks_blocked()
            error = await fail(line.work())
            line.go_on.set()
    assert isinstance(error, TransportError)
    assert not error.sent
    assert "1 renewals are at work at https://auth.example/token," in str(error)
    assert "canary" not in str(error)


async def test_a_line_that_moves_is_waited_in() -> None:
    line = Line(width=1, patience=0.2)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.work)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(line.work, 1)
            for _ in range(8):
                await anyio.sleep(0.05)
                line.turns.move()
            line.go_on.set()
    assert line.order == [0, 1]


@pytest.mark.parametrize("first", ["the line", "the wait"])
async def test_who_waits_for_a_lease_does_not_keep_others_from_their_turn_for_long(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauthkit.renewal.turns._BLOCKED_SECONDS", 0.05)
    line = Line(width=1)
    line.go_on.set()
    begun = anyio.Event()

    async def wait() -> None:
        async with line.turns.turn(1, patience=5.0) as turn:
            if first == "the line":
                await begun.wait()
            with anyio.CancelScope(deadline=anyio.current_time() + 60) as scope:
                with turn.leasing(scope):
                    await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(line.work, 1)
            await anyio.wait_all_tasks_blocked()
            begun.set()
    assert line.order == [1]


async def test_who_waits_for_a_lease_alone_waits_as_long_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oauthkit.renewal.turns._BLOCKED_SECONDS", 0.01)
    turns = Turns(ENDPOINT)
    with anyio.CancelScope(deadline=anyio.current_time() + 60) as scope:
        async with turns.turn(1, patience=1.0) as turn:
            with turn.leasing(scope):
                await anyio.sleep(0.05)
    assert not scope.cancelled_caught


async def test_who_waits_for_a_lease_without_a_turn_is_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oauthkit.renewal.turns._BLOCKED_SECONDS", 0.01)
    line = Line(width=1)
    with anyio.CancelScope(deadline=anyio.current_time() + 60) as scope:
        async with anyio.create_task_group() as tasks:
            with line.turns.turn(1, patience=1.0).leasing(scope):
                tasks.start_soon(line.work, 1)
                tasks.start_soon(line.work, 2)
                await anyio.sleep(0.05)
            line.go_on.set()
    assert not scope.cancelled_caught


async def test_who_comes_in_at_once_hurries_nobody() -> None:
    turns = Turns(ENDPOINT)
    with anyio.CancelScope(deadline=anyio.current_time() + 60) as scope:
        async with turns.turn(2, patience=1.0):
            with turns.leasing(scope):
                async with turns.turn(2, patience=1.0):
                    assert scope.deadline > anyio.current_time() + 30


async def test_one_endpoint_has_one_line_in_an_event_loop() -> None:
    async def elsewhere() -> Turns:
        return turns_at(ENDPOINT)

    here = turns_at(ENDPOINT)
    assert here is turns_at(ENDPOINT)
    assert here is not turns_at("https://other.example/token")
    assert here is not await anyio.to_thread.run_sync(anyio.run, elsewhere)


async def test_a_line_in_which_nobody_stands_is_kept_by_nobody() -> None:
    """A process may ask thousands of servers, one after the other."""
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
    gc.collect()
    line = weakref.ref(turns_at(fake.server.token_endpoint))
    assert line() is None
    turn = turns_at(ENDPOINT).turn(1, patience=1.0)
    gc.collect()
    assert turns_at(ENDPOINT) is turn._turns


class Counted:
    """Count token requests on their way."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def around(self, transport: Any) -> Any:
        inner: Callable[[Any], Any] = transport.handle_async_request

        async def handle(request: Any) -> Any:
            token = request.url.path == "/token"
            self.now += token
            self.most = max(self.most, self.now)
            await anyio.sleep(0.001)
            try:
                return await inner(request)
            finally:
                self.now -= token

        transport.handle_async_request = handle
        return transport


@pytest.mark.parametrize("concurrency", [1, 4, 16])
async def test_keys_that_expire_together_are_no_storm(concurrency: int) -> None:
    fake, counted, tokens = FakeAuthorizationServer(), Counted(), set[str]()
    policy = RenewalPolicy(concurrency=concurrency)

    async def use(number: int) -> None:
        mine = session.for_key(str(number), grant=ClientCredentials())
        tokens.add((await mine.token()).access_token)

    from httpx import AsyncClient

    transport = _loose(fake, counted)
    async with (
        AsyncClient(transport=transport) as http,
        fake.session(http=http, policy=policy, grant=ClientCredentials()) as session,
    ):
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                with fake.hold() as held:
                    for number in range(100):
                        tasks.start_soon(use, number)
                    await held.arrived(concurrency)
                    await anyio.wait_all_tasks_blocked()
                    assert counted.most == concurrency
    assert len(tokens) == len(fake.token_requests) == 100
    assert counted.most == concurrency


def _loose(fake: FakeAuthorizationServer, counted: Counted) -> Any:
    from httpx import AsyncBaseTransport, Request, Response

    inner = fake.transport()

    class Transport(AsyncBaseTransport):
        async def handle_async_request(self, request: Request) -> Response:
            return await inner.handle_async_request(request)

    return counted.around(Transport())


async def test_a_key_whose_lease_somebody_else_has_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oauthkit.renewal.turns._BLOCKED_SECONDS", 0.1)
    fake, store = FakeAuthorizationServer(), MemoryStore()
    policy = RenewalPolicy(concurrency=1, timeout=1.5)

    async def use() -> None:
        assert isinstance(await fail(session.token()), Exception)

    async with (
        crowd(fake, store, grant=ClientCredentials(), policy=policy) as session,
        store.lease("k"),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        await session.for_key("other", grant=ClientCredentials()).token()
        assert anyio.current_time() - began < 1.0
    assert len(fake.token_requests) == 1


async def test_all_who_stand_in_a_line_that_stands_still_are_let_go() -> None:
    """Those too that have no task while they are far from their turn."""
    fake, errors = FakeAuthorizationServer(), list[Any]()
    policy = RenewalPolicy(concurrency=1, timeout=0.3)

    async def use(number: int) -> None:
        key = session.for_key(str(number), grant=ClientCredentials())
        errors.append(await fail(key.token()))

    turn = turns_at(fake.server.token_endpoint).turn(1, patience=1.0)
    async with fake.session(policy=policy, grant=ClientCredentials()) as session:
        with anyio.fail_after(5):
            async with turn, anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(use, number)
    assert [type(error) for error in errors] == [TransportError] * 50
    assert not fake.token_requests


def renewing() -> int:
    """Return how many renewals have a task, or are part of one."""
    coroutines = (what for what in gc.get_objects() if inspect.iscoroutine(what))
    return sum(coroutine.__qualname__ == Performer.perform.__qualname__ for coroutine in coroutines)


async def test_renewals_that_are_far_from_their_turn_have_no_task() -> None:
    """What thousands of tasks are made of keeps the garbage collector, and everybody with it."""
    fake, policy = FakeAuthorizationServer(), RenewalPolicy(concurrency=2)
    async with fake.session(policy=policy, grant=ClientCredentials()) as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                with fake.hold() as held:
                    for number in range(50):
                        key = session.for_key(str(number), grant=ClientCredentials())
                        tasks.start_soon(key.token)
                    await held.arrived(2)
                    await anyio.wait_all_tasks_blocked()
                    assert renewing() == 3, "two at work, and the next one"
    assert len(fake.token_requests) == 50


async def test_a_login_is_ended_however_long_the_line_is() -> None:
    """What asks for no token waits for no server that hangs."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await store.save("ada", fake.issue())
    turn = turns_at(fake.server.token_endpoint).turn(1, patience=1.0)
    policy = RenewalPolicy(concurrency=1)
    async with fake.session(
        policy=policy, grant=ClientCredentials(), store=store, key="k"
    ) as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks, turn:
                for number in range(3):
                    key = session.for_key(str(number), grant=ClientCredentials())
                    tasks.start_soon(key.token)
                await anyio.wait_all_tasks_blocked()
                await session.for_key("ada").revoke()
                assert fake.token_requests == []
    assert await store.load("ada") is None


class Noting(Listener):
    """Note in which task each activity begins and ends."""

    def __init__(self) -> None:
        self.tasks = defaultdict[Activity, list[int]](list)

    def __call__(self, event: Event, /) -> None:
        pass

    def began(self, activity: Activity, /) -> None:
        self.tasks[activity].append(anyio.get_current_task().id)

    ended = began


async def test_a_renewal_that_is_measured_is_in_one_task_however_far_back_it_stands() -> None:
    fake, noting = FakeAuthorizationServer(), Noting()
    policy = RenewalPolicy(concurrency=1)
    turn = turns_at(fake.server.token_endpoint).turn(1, patience=1.0)
    async with fake.session(policy=policy, grant=ClientCredentials(), on_event=noting) as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks, turn:
                for number in range(5):
                    key = session.for_key(str(number), grant=ClientCredentials())
                    tasks.start_soon(key.token)
                await anyio.wait_all_tasks_blocked()
    renewals = [
        tasks for activity, tasks in noting.tasks.items() if activity.kind is ActivityKind.RENEWAL
    ]
    assert len(renewals) == 5
    assert all(len(tasks) == 2 and len(set(tasks)) == 1 for tasks in renewals)


async def test_a_renewal_that_failed_has_taken_the_time_in_the_line_too() -> None:
    fake, told = FakeAuthorizationServer(), list[Event]()
    turn = turns_at(fake.server.token_endpoint).turn(1, patience=1.0)
    policy = RenewalPolicy(concurrency=1)

    async def use(number: int) -> None:
        await fail(session.for_key(str(number), grant=ClientCredentials()).token())

    async with fake.session(
        policy=policy, grant=ClientCredentials(), on_event=told.append
    ) as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks, turn:
                for number in range(3):
                    tasks.start_soon(use, number)
                await anyio.wait_all_tasks_blocked()
                fake.advance(7)
                fake.fail_next(500, times=3)
    assert [event.seconds for event in told if isinstance(event, RenewalFailed)] == [7.0] * 3
