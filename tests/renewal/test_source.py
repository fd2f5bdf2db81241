"""Who uses what is at hand, who waits for which renewal, and what becomes of what is not saved."""

import math
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Final

import anyio
import anyio.lowlevel
import pytest

from oauthkit import OAuthKitError, RenewalPolicy, StoreError, Token, TransportError
from oauthkit.events import Event, RenewalFailed, TokenAdopted, TokenRejected, TokenUnsaved
from oauthkit.renewal import source as module
from oauthkit.renewal.completion import Completion
from oauthkit.renewal.effects import Ended
from oauthkit.renewal.latch import Latch
from oauthkit.renewal.script import Plan, Wish
from oauthkit.renewal.shared import Renewal, SharedToken
from oauthkit.renewal.source import Handed, TokenSource
from oauthkit.renewal.state import HeldToken, Moment, TokenState
from oauthkit.renewal.watch import Guard, Job, Work
from oauthkit.testing import FakeClock
from tests.renewal.world import Heard, fail

LIFE: Final = 100.0
POLICY: Final = RenewalPolicy(jitter=0.0)

Part = Callable[["Stage", Renewal, Guard], Awaitable[Ended]]


class Stage:
    """Sources whose renewals are played by the test: each takes the next of the given parts."""

    def __init__(self, *parts: Part) -> None:
        self.parts: list[Part] = list(parts)
        self.wishes: list[Wish] = []
        self.heard = Heard()
        self.clock = FakeClock()
        self.shared = SharedToken()
        self.state: TokenState = self.shared.state
        self.begun = anyio.Event()
        self.go_on = anyio.Event()
        self.source = self.sibling(self.shared)

    def sibling(
        self, shared: SharedToken, completion: Completion | None = None, **grace: float
    ) -> TokenSource:
        plan = Plan("k", None, POLICY, recheck=math.inf)
        exchange = SimpleNamespace(clock=self.clock)
        performer: Any = SimpleNamespace(
            plan=plan,
            exchange=exchange,
            perform=self.perform,
            emit=self.heard.append,
            measured=nullcontext,
        )
        times = {"grace": 1.0, "linger": 1.0, **grace}  # a test that fails ends soon too
        return TokenSource(performer, shared, completion or Completion(**times))

    async def perform(self, state: TokenState, renewal: Renewal, guard: Guard) -> Ended:
        self.wishes.append(renewal.wish)
        await anyio.lowlevel.checkpoint()
        part = self.parts.pop(0) if len(self.parts) > 1 else self.parts[0]
        return await part(self, renewal, guard)

    def held(self, name: str, *, checked_for: float = math.inf) -> HeldToken:
        at = Moment(self.clock.monotonic(), self.clock.time(), loop=0.0)
        token = Token(name, issued_at=at.time, expires_at=at.time + LIFE)
        return HeldToken.of(token, POLICY, at, recheck=checked_for, fetched=True)

    def of(self, kind: type[Event]) -> list[Any]:
        return self.heard.of(kind)


# Parts of renewals


async def fetch(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
    """Get a new token."""
    stage.state.held = stage.held(f"new {len(stage.wishes)}")
    return Ended(stage.state.held, fetched=True)


async def fetch_later(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
    stage.begun.set()
    await stage.go_on.wait()
    return await fetch(stage, renewal, guard)


async def find_nothing(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
    return Ended(None)


async def find_nothing_later(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
    stage.begun.set()
    await stage.go_on.wait()
    return Ended(None)


def failing(error: Exception) -> Part:
    async def part(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
        raise error

    return part


async def fail_to_save(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
    """Get a new token that the store does not take, as a script does."""
    error = StoreError("no save")
    if stage.state.unsaved is None:
        stage.state.answered(stage.held("unsaved"), follows=None, event=TokenAdopted(key="k"))
        guard.critical = True
        stage.state.publish()
        renewal.tell(error)
        for _ in range(3):  # callers go while it goes on
            await anyio.lowlevel.checkpoint()
    raise error


async def save(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
    stage.state.saved()
    return Ended(stage.state.held)


async def leave_unsaved(stage: Stage, source: TokenSource) -> None:
    """Have a call fail because its new token is not saved, and wait until that is seen to."""
    assert str(await fail(source.token())) == "no save"
    await until(lambda: stage.shared.offering is not None)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the deadline is an error."""
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(0.002)


async def soon(what: Callable[[], Awaitable[object]]) -> object:
    with anyio.fail_after(5):
        return await what()


# Renew on demand


async def test_who_renews_takes_what_a_renewal_on_its_way_brings() -> None:
    stage = Stage(fetch_later)
    stage.state.held = stage.held("old")
    got: list[HeldToken] = []

    async def renew() -> None:
        got.append(await stage.source.renewed())

    stage.source.begin(Wish(beside=True))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await stage.begun.wait()
            tasks.start_soon(renew)
            await anyio.wait_all_tasks_blocked()
            stage.go_on.set()
    assert got == [stage.state.held]
    assert stage.wishes == [Wish(beside=True)]


async def test_who_renews_does_not_take_what_a_renewal_leaves_as_it_is() -> None:
    """An offer on its way may come to nothing, and that is no error."""
    stage = Stage(find_nothing_later, fetch)
    stage.state.held = old = stage.held("old")
    stage.source.begin(Wish(only_offer=True))
    got: list[HeldToken] = []

    async def renew() -> None:
        got.append(await stage.source.renewed())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await stage.begun.wait()
            tasks.start_soon(renew)
            await anyio.wait_all_tasks_blocked()
            stage.go_on.set()
    assert got == [stage.state.held] != [old]
    assert stage.wishes[1:] == [Wish(unwanted="old")]


@pytest.mark.parametrize("call", ["token", "renewed"])
async def test_who_is_cancelled_leaves_at_once_on_asyncio_and_after_the_renewal_on_trio(
    call: str, anyio_backend: str
) -> None:
    stage, scope = Stage(fetch_later), anyio.CancelScope()
    if call == "renewed":
        stage.state.held = stage.held("old")
    done_when_left: list[bool] = []

    async def use() -> None:
        with scope:
            try:
                await getattr(stage.source, call)()
            finally:
                done_when_left.append(stage.shared.renewal is None)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            await stage.begun.wait()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            stage.go_on.set()
        await stage.source.settled()
    assert done_when_left == [anyio_backend == "trio"]


# Wait until nothing is on its way


@pytest.mark.parametrize("whose", ["a sibling's", "another session's"])
async def test_settled_waits_for_the_renewals_that_a_call_could_wait_for(whose: str) -> None:
    stage, settled = Stage(fetch_later), anyio.Event()
    if whose == "a sibling's":
        other = stage.sibling(SharedToken(), stage.source.completion)
    else:
        other = stage.sibling(stage.shared)
    other.begin(Wish())

    async def settle() -> None:
        await stage.source.settled()
        settled.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await stage.begun.wait()
            tasks.start_soon(settle)
            await anyio.wait_all_tasks_blocked()
            assert not settled.is_set()
            stage.go_on.set()
        await other.settled()


# Tokens that are rejected


async def test_a_token_that_is_rejected_is_told_once() -> None:
    stage = Stage(fetch)
    stage.state.held = old = stage.held("old")
    stage.source.reject(old.token)
    stage.source.reject(old.token)
    assert stage.heard == [TokenRejected(key="k")]
    assert (await stage.source.token(rejected=old.token)).held.token != old.token


# After a failure


async def test_in_a_pause_after_the_server_failed_the_store_is_looked_at_all_the_same() -> None:
    stage = Stage(failing(TransportError("cut")), find_nothing, failing(StoreError("away")), fetch)
    errors = [await fail(stage.source.token()) for _ in range(3)]
    assert stage.wishes == [Wish(), Wish(only_look=True), Wish(only_look=True)]
    assert [str(error) for error in errors] == ["cut"] * 3
    assert [error.retry_after for error in errors] == [None, 1.0, 1.0]
    # What the looks came to changes nothing about the pause.
    assert (stage.state.failures, len(stage.of(RenewalFailed))) == (1, 1)
    stage.clock.advance(1)
    assert (await stage.source.token()).fetched
    assert stage.wishes[-1] == Wish()


class OddError(Exception):
    """A fault of somebody else's."""


@pytest.mark.parametrize("error", [StoreError("away"), OddError("odd")])
async def test_in_a_pause_after_a_failure_of_the_store_nothing_is_tried(error: Exception) -> None:
    stage = Stage(failing(error))
    for _ in range(2):  # the first pause is none
        with pytest.raises(type(error)):
            await stage.source.token()
    with pytest.raises(type(error)) as caught:
        await stage.source.token()
    assert stage.wishes == [Wish(), Wish()]
    assert hasattr(caught.value, "retry_after") is isinstance(error, OAuthKitError)


async def test_a_failed_look_at_the_store_does_not_stop_who_has_a_valid_token() -> None:
    stage = Stage(failing(StoreError("away")))
    stage.state.held = unchecked = stage.held("old", checked_for=0.0)
    assert await stage.source.token() == Handed(unchecked)
    assert stage.wishes == [Wish()]


async def test_who_is_told_that_a_token_is_not_saved_gets_that_error() -> None:
    stage = Stage(fail_to_save, save)
    await leave_unsaved(stage, stage.source)
    assert stage.source.peek() == stage.state.held is not None
    await soon(stage.source.completion.finish)


async def test_a_token_that_a_login_overtook_is_not_handed_out_by_the_renewal() -> None:
    async def fetch_late(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
        ended = await fetch(stage, renewal, guard)
        stage.state.forget()
        return ended

    stage = Stage(fetch_late, fetch)
    assert (await stage.source.token()).held.token.access_token == "new 2"


async def test_who_waits_for_a_renewal_that_is_stopped_is_told() -> None:
    stage, errors = Stage(fetch_later), list[Exception]()

    async def use() -> None:
        errors.append(await fail(stage.source.token()))

    source = stage.source = stage.sibling(stage.shared, grace=0.0)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            await stage.begun.wait()
            await source.completion.finish()
    assert [str(error) for error in errors] == ["the event loop ended before the renewal did"]
    assert stage.wishes == [Wish()]


# What the store has not taken


async def test_what_is_not_saved_is_offered_beside_until_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pause_after(offers: int, policy: RenewalPolicy) -> float:
        return 0.01

    monkeypatch.setattr(module, "pause_after", pause_after)
    stage = Stage(fail_to_save, fail_to_save, fail_to_save, save)
    await leave_unsaved(stage, stage.source)
    await until(lambda: stage.shared.offering is None)
    assert stage.wishes[1:] == [Wish(only_offer=True)] * 3
    assert (stage.state.unsaved, stage.shared.renewal) == (None, None)
    assert stage.of(TokenUnsaved) == []


async def test_each_offer_waits_until_it_may_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of keys that the store has not taken are offered in the same moment."""
    stage, paced, pace = Stage(fail_to_save, fail_to_save, save), list[int](), Job.pace

    async def noted(job: Job) -> None:
        await pace(job)
        paced.append(len(stage.wishes))

    def pause_after(offers: int, policy: RenewalPolicy) -> float:
        return 0.01

    monkeypatch.setattr(module, "pause_after", pause_after)
    monkeypatch.setattr(Job, "pace", noted)
    await leave_unsaved(stage, stage.source)
    await until(lambda: stage.shared.offering is None)
    assert paced == [1, 2]


async def test_between_two_offers_there_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[int] = []

    def pause_after(offers: int, policy: RenewalPolicy) -> float:
        pauses.append(offers)
        return 60.0 if offers > 1 else 0.01

    monkeypatch.setattr(module, "pause_after", pause_after)
    monkeypatch.setattr(module, "_PAUSE_AT_THE_END", 0.0)
    stage = Stage(fail_to_save)
    await leave_unsaved(stage, stage.source)
    await until(lambda: pauses == [1, 2])
    # Nobody has to wait for what goes on beside.
    await soon(stage.source.settled)
    await anyio.sleep(0.02)
    assert stage.wishes[1:] == [Wish(only_offer=True)]
    stage.parts = [save]
    await soon(stage.source.completion.finish)
    assert stage.state.unsaved is None


async def test_as_a_session_is_closed_offers_come_quickly_and_are_given_up() -> None:
    stage = Stage(fail_to_save)
    source = stage.sibling(stage.shared, linger=0.25)
    await leave_unsaved(stage, source)
    await soon(source.completion.finish)
    assert 1 <= len(stage.wishes[1:]) <= 3
    (unsaved,) = stage.of(TokenUnsaved)
    assert str(unsaved.error) == "no save"


async def test_a_renewal_that_is_ending_as_its_save_fails_leaves_nothing_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event loop that is shut down begins no other task."""

    async def fail_to_save_later(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
        guard.critical = True
        await guard.ending.wait()
        return await fail_to_save(stage, renewal, guard)

    stage, started = Stage(fail_to_save_later), list[Work]()
    source = stage.sibling(stage.shared, grace=0.01)
    start = source.completion.start

    def noted(work: Work, ended: Callable[[Guard], None]) -> Latch:
        started.append(work)
        return start(work, ended)

    monkeypatch.setattr(source.completion, "start", noted)
    source.begin(Wish(beside=True))
    while not stage.wishes:
        await anyio.lowlevel.checkpoint()
    await soon(source.completion.finish)
    assert len(started) == 1
    assert stage.wishes == [Wish(beside=True)]
    assert len(stage.of(TokenUnsaved)) == 1


async def test_a_renewal_that_is_ending_with_everything_saved_has_nothing_to_tell() -> None:
    async def fetch_to_the_end(stage: Stage, renewal: Renewal, guard: Guard) -> Ended:
        guard.critical = True
        await guard.ending.wait()
        return await fetch(stage, renewal, guard)

    stage = Stage(fetch_to_the_end)
    source = stage.sibling(stage.shared, grace=0.01)
    source.begin(Wish(beside=True))
    await soon(source.completion.finish)
    assert stage.state.held is not None
    assert stage.heard == []


async def test_what_is_not_saved_is_offered_by_one_for_all() -> None:
    """However many renewals end while it is."""
    stage = Stage(fail_to_save)
    source = stage.sibling(stage.shared, linger=0.05)
    await leave_unsaved(stage, source)
    source.begin(Wish(beside=True))
    await until(lambda: stage.shared.renewal is None)
    await soon(source.completion.finish)
    assert len(stage.of(TokenUnsaved)) == 1
