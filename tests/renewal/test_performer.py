"""What a script wants done is done, with an end to every wait, and nothing is decided."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import pytest

from oauthkit import ClientCredentials, MemoryStore, RenewalPolicy, StoreError, Token
from oauthkit.events import StoreFailed, TokenAdopted
from oauthkit.protocol.tries import Wait
from oauthkit.renewal import performer as module
from oauthkit.renewal.effects import (
    Answered,
    Ask,
    Broken,
    Delete,
    Done,
    Effect,
    Ended,
    Failed,
    GiveBack,
    Leased,
    LetGo,
    Look,
    LookAgain,
    Lost,
    NotHeld,
    NotSent,
    Outcome,
    Overtaken,
    Pause,
    Refused,
    Save,
    Stored,
    TakeLease,
    Tell,
    TooLate,
)
from oauthkit.renewal.script import Wish
from oauthkit.renewal.shared import Renewal
from oauthkit.renewal.state import HeldToken, Moment, Unsaved
from oauthkit.renewal.turns import Turns, turns_at
from oauthkit.renewal.watch import Guard
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import ASYNCIO, PASSWORD, Elsewhere, Heard, ShakyStore, _ShakyLease, crowd

TOKEN: Final = Token("a1", refresh_token="r1")
QUICK: Final = RenewalPolicy(timeout=1.0, save_timeout=0.1, concurrency=1)


class Stage:
    """Have effects done, one after the other, and note what came of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.monkeypatch = monkeypatch
        self.settings = {"policy": QUICK, **settings}
        self.fake = FakeAuthorizationServer()
        self.store = ShakyStore(clock=self.fake.clock.monotonic)
        self.heard = Heard()
        self.guard = Guard()
        self.outcomes: list[Any] = []
        self.critical: list[bool] = []
        self.renewal: Renewal | None = None
        self.at_hand: dict[str, Any] = {}

    async def done(self, *effects: Any, wish: Wish | None = None) -> list[Any]:
        """Do them; a callable between two is called when it is reached."""
        outcomes, state = self.outcomes, self

        class Scripted:
            owes_store = False

            def __init__(self, state: object, *_: object) -> None:
                self.state = state

            def run(self) -> Generator[Effect, tuple[Outcome, Any], Ended]:
                for effect in effects:
                    if callable(effect):
                        effect()
                    else:
                        outcome, _ = yield effect
                        outcomes.append(outcome)
                        state.critical.append(state.guard.critical)
                return Ended(None)

        self.monkeypatch.setattr(module, "Script", Scripted)
        self.renewal = Renewal(wish or Wish())
        settings: dict[str, Any] = {"on_event": self.heard.append, **self.settings}
        async with crowd(self.fake, self.store, **settings) as session:
            source = session._source
            for where, token in self.at_hand.items():
                setattr(source.state, where, token)
            with anyio.fail_after(10):
                await source.performer.perform(source.state, self.renewal, self.guard)
        return outcomes


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def ask(*, until: float = 1e12, leased: bool = True) -> Ask:
    return Ask(PASSWORD, None, until, leased)


async def test_the_store_is_looked_at_and_written_to_under_the_lease(stage: Stage) -> None:
    await stage.store.save("k", TOKEN)
    other = Token("a2")
    outcomes = await stage.done(Look(), TakeLease(), LookAgain(), Save(other), GiveBack(), Look())
    assert outcomes == [
        Stored(TOKEN),
        Leased(held=True),
        Stored(TOKEN),
        Done(),
        Done(),
        Stored(other),
    ]


async def test_one_token_request_is_sent_and_what_came_of_it_is_told(stage: Stage) -> None:
    stage.fake.fail_next(503)
    lose = partial(stage.fake.lose_next_answer, 1)
    outcomes = await stage.done(TakeLease(), ask(), lose, ask(), ask(), GiveBack())
    assert [type(outcome) for outcome in outcomes[1:4]] == [Refused, Lost, Answered]
    assert len(stage.fake.token_requests) == 3


async def test_a_request_that_cannot_be_built_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from oauthkit import AuthorizationServer

    server = AuthorizationServer("http://auth.example/token", allow_plain_http=None)
    stage = Stage(monkeypatch, server=server)
    outcomes = await stage.done(TakeLease(), ask(), GiveBack())
    assert isinstance(outcomes[1], NotSent)


@pytest.mark.parametrize(
    "name, told", [("parameters", NotSent), ("carried_over", Broken)], ids=["before", "after"]
)
async def test_a_fault_of_the_users_is_told_as_it_is_and_whether_something_was_sent(
    stage: Stage, name: str, told: type[NotSent | Broken]
) -> None:
    def fail(*_: object) -> Any:
        raise fault

    fault = ZeroDivisionError()
    faulty = type("Faulty", (ClientCredentials,), {name: fail})()
    outcomes = await stage.done(TakeLease(), Ask(faulty, None, 1e12, leased=True), GiveBack())
    assert outcomes[1] == told(fault)
    assert len(stage.fake.token_requests) == (told is Broken)


async def test_the_lease_is_looked_at_before_the_request(stage: Stage) -> None:
    def stop() -> None:
        stage.fake.advance(61)

    outcomes = await stage.done(TakeLease(), stop, ask(), ask(leased=False), GiveBack())
    assert outcomes[1] == NotHeld()
    assert isinstance(outcomes[2], Answered)
    assert len(stage.fake.token_requests) == 1


async def test_the_lease_is_looked_at_as_late_as_can_be(stage: Stage) -> None:
    """Once more when the request is about to leave."""
    looks = 0
    real = ShakyStore.lease

    class Ending:
        def __init__(self, lease: Any) -> None:
            self.lease = lease

        @property
        def held(self) -> bool:
            nonlocal looks
            looks += 1
            return looks <= 2  # as it is taken, and as the request is built

    @asynccontextmanager
    async def lease(store: ShakyStore, key: str) -> AsyncGenerator[Any]:
        async with real(store, key) as inner:
            yield Ending(inner)

    stage.monkeypatch.setattr(ShakyStore, "lease", lease)
    outcomes = await stage.done(TakeLease(), ask(), GiveBack())
    assert outcomes[1] == NotHeld()
    assert stage.fake.token_requests == []


@pytest.mark.parametrize("left", [-1.0, 0.0, 0.09])
async def test_a_try_that_could_not_end_in_time_is_not_begun(stage: Stage, left: float) -> None:
    until = anyio.current_time() + left
    outcomes = await stage.done(TakeLease(), ask(until=until), GiveBack())
    assert outcomes[1] == TooLate()
    assert stage.fake.token_requests == []


async def test_work_that_is_to_end_asks_for_nothing_more_and_pauses_no_more(stage: Stage) -> None:
    stage.guard.ending.set()
    began = anyio.current_time()
    outcomes = await stage.done(TakeLease(), Pause(Wait(60.0, 0.0)), ask(), GiveBack())
    assert outcomes[2] == TooLate()
    # Short, yet no pause at all would be a storm of offers.
    assert 0.04 <= anyio.current_time() - began < 5


async def test_a_pause_lasts_as_long_as_was_asked_for(stage: Stage) -> None:
    began = anyio.current_time()
    await stage.done(Pause(Wait(0.1, 0.1)))
    assert 0.15 <= anyio.current_time() - began < 2


async def test_callers_are_let_go_while_the_script_goes_on(stage: Stage) -> None:
    error = StoreError("away")
    seen: list[Any] = []

    def look() -> None:
        assert stage.renewal is not None
        seen.extend([stage.renewal.answered.is_set(), stage.renewal.done.is_set()])
        seen.append(stage.renewal.error)

    await stage.done(LetGo(error), look)
    assert seen == [True, False, error]
    assert stage.guard.idle.is_set()


async def test_what_happened_is_told(stage: Stage) -> None:
    await stage.done(Tell(TokenAdopted(key="k")))
    assert stage.heard == [TokenAdopted(key="k")]


async def test_nobody_may_stop_a_request_that_is_on_its_way(stage: Stage) -> None:
    await stage.done(Look(), TakeLease(), ask(), GiveBack())
    # This script keeps no answer, so what comes after it may be stopped again.
    assert stage.critical == [False, False, True, False]


@pytest.mark.parametrize("what", ["load", "lease", "lease.load", "save"])
@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_a_store_in_trouble_is_an_outcome(stage: Stage, what: str, how: str) -> None:
    if how == "fails":
        stage.store.broken = {what}
    else:
        stage.store.before[what] = anyio.sleep_forever
    effects: list[Any] = [Look(), TakeLease()]
    if what in {"lease.load", "save"}:
        effects += [LookAgain(), Save(TOKEN), GiveBack()]
    elif what == "load":
        effects += [GiveBack()]
    failed = [outcome for outcome in await stage.done(*effects) if isinstance(outcome, Failed)]
    assert len(failed) == 1
    assert isinstance(failed[0].error, StoreError)
    assert failed[0].held is (what in {"lease.load", "save"})


@pytest.mark.parametrize("leased", [True, False])
async def test_what_was_not_looked_at_is_deleted_only_where_that_is_wanted(
    stage: Stage, *, leased: bool
) -> None:
    async def log_in() -> None:
        await ShakyStore.save(stage.store, "k", TOKEN)

    stage.store.before["lease.load"] = log_in
    outcomes = await stage.done(TakeLease(), LookAgain(), Delete(leased=leased), GiveBack(), Look())
    assert outcomes[2:] == (
        [Overtaken(), Done(), Stored(TOKEN)] if leased else [Done(), Done(), Stored(None)]
    )


@pytest.mark.parametrize("what", ["load", "lease", "lease.load", "save"])
async def test_what_a_store_raises_as_it_is_called_is_an_outcome(stage: Stage, what: str) -> None:
    """Before there is anything to wait for: not every store's methods are `async def`."""
    fault = OSError("no store")

    def broken(*_: object) -> Any:
        raise fault

    on_lease = {"lease.load": "load", "save": "save"}
    if what in on_lease:
        stage.monkeypatch.setattr(_ShakyLease, on_lease[what], broken)
    else:
        stage.monkeypatch.setattr(ShakyStore, what, broken)
    effects: list[Any] = [TakeLease()]
    if what == "load":
        effects = [Look()]
    elif what in on_lease:
        effects += [LookAgain(), Save(TOKEN), GiveBack()]
    failed = [outcome for outcome in await stage.done(*effects) if isinstance(outcome, Failed)]
    assert len(failed) == 1
    assert isinstance(failed[0].error, StoreError)
    assert failed[0].error.__cause__ is fault


@pytest.mark.parametrize("where", ["held", "unsaved"])
@pytest.mark.parametrize("secret", ["a1-canary", "r1-canary"])
async def test_what_quotes_a_token_at_hand_is_no_cause(
    stage: Stage, where: str, secret: str
) -> None:
    at = Moment(monotonic=0.0, time=0.0, loop=0.0, chance=0.0)
    token = Token("a1-canary", refresh_token="r1-canary")
    held = HeldToken.of(token, QUICK, at, recheck=5.0, fetched=True)
    stage.at_hand = {where: held if where == "held" else Unsaved(held, None, TokenAdopted(key="k"))}
    stage.store.broken = {"load"}
    stage.store.error = OSError(f"row {secret} is damaged")
    (quoting,) = await stage.done(Look())
    assert quoting.error.__cause__ is None
    assert secret not in str(quoting.error)
    stage.store.error = OSError("a row is damaged")
    await stage.done(Look())
    assert stage.outcomes[-1].error.__cause__ is stage.store.error


async def test_a_lease_that_cannot_say_whether_it_is_held_is_not(stage: Stage) -> None:
    fault = OSError("no store")

    def broken(_: object) -> bool:
        raise fault

    stage.monkeypatch.setattr(_ShakyLease, "held", property(broken))
    outcomes = await stage.done(TakeLease(), ask(), GiveBack())
    assert outcomes == [Leased(held=False), NotHeld(), Done()]
    assert stage.fake.token_requests == []
    told = stage.heard.of(StoreFailed)
    assert [event.error.__cause__ for event in told] == [fault, fault]


@ASYNCIO
@pytest.mark.parametrize("what", ["load", "lease", "lease.load", "save"])
async def test_a_cancellation_that_is_nobodys_is_a_fault_of_the_store(
    stage: Stage, what: str
) -> None:
    """As where it waits for a task of its own, and that one was cancelled."""
    import asyncio

    async def wait() -> None:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        task.cancel()
        await task

    stage.store.before[what] = wait
    effects: list[Any] = [TakeLease()]
    if what == "load":
        effects = [Look()]
    elif what != "lease":
        effects += [LookAgain(), Save(TOKEN), GiveBack()]
    failed = [outcome for outcome in await stage.done(*effects) if isinstance(outcome, Failed)]
    assert len(failed) == 1
    assert isinstance(failed[0].error, StoreError)


async def test_a_save_that_is_refused_is_overtaken(stage: Stage) -> None:
    async def log_out() -> None:
        await Elsewhere(stage.store).delete("k")

    await stage.store.save("k", TOKEN)
    stage.store.before["save"] = log_out
    outcomes = await stage.done(TakeLease(), Save(TOKEN), GiveBack())
    assert outcomes[1] == Overtaken()


async def test_giving_back_may_fail_and_hang(stage: Stage) -> None:
    stage.store.broken = {"release"}
    assert (await stage.done(TakeLease(), GiveBack(), Look()))[1] == Done()
    assert len(stage.heard.of(StoreFailed)) == 1
    stage.store.broken = set()
    stage.store.before["release"] = anyio.sleep_forever
    await stage.done(TakeLease(), GiveBack(), Look())


async def test_a_lease_is_not_kept_for_ever(stage: Stage) -> None:
    """Whatever its store does to extend it."""
    stage.monkeypatch.setattr(module, "_LONGEST_LEASES", 0)
    outcomes = await stage.done(TakeLease(), ask(), GiveBack())
    assert outcomes[:2] == [Leased(held=False), NotHeld()]


async def test_a_lease_that_somebody_keeps_is_waited_for_with_an_end(stage: Stage) -> None:
    async with MemoryStore.lease(stage.store, "k"):
        outcomes = await stage.done(TakeLease())
    (failed,) = outcomes
    assert "holds it for longer" in str(failed.error)


async def test_a_turn_that_does_not_come_is_an_outcome(stage: Stage) -> None:
    async with others_turn(stage):
        stage.settings["policy"] = RenewalPolicy(timeout=0.1, concurrency=1)
        (failed,) = await stage.done(TakeLease())
    assert isinstance(failed, Failed)
    assert "are at work at" in str(failed.error)


def others_turn(stage: Stage) -> Any:
    """Return a turn of another renewal's, at the endpoint of the stage."""
    return turns_at(stage.fake.server.token_endpoint).turn(1, patience=1.0)


async def test_a_request_without_a_lease_takes_a_turn(stage: Stage) -> None:
    stage.settings["policy"] = RenewalPolicy(timeout=0.1, concurrency=1)
    turn = others_turn(stage)
    async with turn:
        refused, taken = await stage.done(ask(leased=False), turn.leave, ask(leased=False))
    assert isinstance(refused, NotSent)
    assert "are at work at" in str(refused.error)
    assert isinstance(taken, Answered)
    assert len(stage.fake.token_requests) == 1
    async with others_turn(stage):  # it was given back
        pass


async def test_the_wait_for_a_turn_without_a_lease_takes_nothing_from_the_request(
    stage: Stage,
) -> None:
    async with others_turn(stage) as turn, anyio.create_task_group() as tasks:

        async def leave() -> None:
            await anyio.sleep(0.3)
            turn.leave()

        tasks.start_soon(leave)
        await stage.done(ask(until=anyio.current_time() + 0.2, leased=False))
    assert [type(outcome) for outcome in stage.outcomes] == [Answered]


async def test_work_that_is_to_end_goes_to_no_line(stage: Stage) -> None:
    stage.guard.ending.set()
    async with others_turn(stage):
        assert await stage.done(ask(leased=False)) == [TooLate()]


async def test_a_turn_ends_with_a_save_that_fails_while_the_lease_goes_on(stage: Stage) -> None:
    """Who only offers its token again keeps nobody from the server; a first save is no storm."""
    turn, seen = others_turn(stage), list[bool]()
    stage.store.broken = {"save"}

    async def come_and_go() -> None:
        with anyio.move_on_after(0.05):
            await turn.take()
        seen.append(turn.had)
        turn.leave()

    stage.store.before["save"] = come_and_go
    again = Save(TOKEN)
    outcomes = await stage.done(TakeLease(), ask(), again, again, again, ask(), GiveBack())
    assert seen == [False, True, True]
    assert isinstance(outcomes[5], Answered)
    async with turn:  # it was given back
        pass


async def test_a_turn_that_is_taken_again_is_waited_for_as_long_as_there_is_time(
    stage: Stage,
) -> None:
    """Under a lease: somebody else may want it."""
    turn = others_turn(stage)

    async def take() -> None:
        await turn.take()

    stage.store.broken = {"save"}
    stage.store.before["lease.load"] = take
    began = anyio.current_time()
    late = ask(until=began + 0.3)
    outcomes = await stage.done(TakeLease(), Save(TOKEN), LookAgain(), late, GiveBack())
    turn.leave()
    assert outcomes[3] == TooLate()
    assert anyio.current_time() - began < 0.9
    assert stage.fake.token_requests == []


async def test_who_only_offers_a_token_to_the_store_needs_no_turn(stage: Stage) -> None:
    async with others_turn(stage):
        outcomes = await stage.done(
            TakeLease(), Save(TOKEN), GiveBack(), wish=Wish(only_offer=True)
        )
    assert outcomes == [Leased(held=True), Done(), Done()]


async def test_a_script_that_ends_under_its_lease_gives_it_back_all_the_same(stage: Stage) -> None:
    await stage.done(TakeLease())
    assert stage.store.calls[-1] == "release"


async def test_the_line_is_told_that_the_server_answers(stage: Stage) -> None:
    """Whatever it says; a lost answer is none."""
    moves: list[int] = []

    def move(_: Turns) -> None:
        moves.append(len(stage.outcomes))

    stage.monkeypatch.setattr(Turns, "move", move)
    stage.fake.fail_next(503)
    lose = partial(stage.fake.lose_next_answer, 1)
    await stage.done(TakeLease(), ask(), lose, ask(), ask(), GiveBack())
    assert moves == [1, 3]


async def test_who_made_way_for_the_line_comes_back_for_its_lease(stage: Stage) -> None:
    stage.monkeypatch.setattr("oauthkit.renewal.turns._BLOCKED_SECONDS", 0.02)
    turns = turns_at(stage.fake.server.token_endpoint)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, MemoryStore.lease(stage.store, "k"):
            tasks.start_soon(stage.done, TakeLease(), GiveBack())
            await anyio.wait_all_tasks_blocked()
            async with turns.turn(1, patience=5.0):
                assert stage.outcomes == []
    assert stage.outcomes == [Leased(held=True), Done()]


async def test_a_lease_that_comes_as_the_wait_ends_is_given_back(stage: Stage) -> None:
    real = ShakyStore.lease

    @asynccontextmanager
    async def lease(store: ShakyStore, key: str) -> AsyncGenerator[Any]:
        async with real(store, key) as inner:
            with anyio.CancelScope(shield=True):  # as a thread that cannot be stopped
                await anyio.sleep(0.15)
            yield inner

    stage.monkeypatch.setattr(ShakyStore, "lease", lease)
    stage.settings["policy"] = RenewalPolicy(timeout=0.1, save_timeout=0.1, concurrency=1)
    (failed,) = await stage.done(TakeLease())
    assert "holds it for longer" in str(failed.error)
    assert stage.store.calls == ["lease", "release"]


async def test_what_is_done_under_the_lease_may_take_longer_than_the_wait_for_it(
    stage: Stage,
) -> None:
    stage.settings["policy"] = RenewalPolicy(timeout=0.05, save_timeout=0.1, concurrency=1)
    await stage.done(TakeLease(), Pause(Wait(0.1, 0.1)), GiveBack(), Look())
    assert stage.outcomes == [Leased(held=True), Done(), Done(), Stored(None)]


async def test_an_error_of_the_script_is_raised_once_its_lease_is_given_back(
    stage: Stage,
) -> None:
    error = StoreError("no")

    def raise_it() -> None:
        raise error

    with pytest.raises(StoreError) as caught:
        await stage.done(TakeLease(), raise_it)
    assert caught.value is error
    assert stage.store.calls[-1] == "release"


async def test_a_lease_that_was_given_back_is_asked_nothing(stage: Stage) -> None:
    def break_it() -> None:
        stage.store.broken = {"load"}

    outcomes = await stage.done(TakeLease(), GiveBack(), break_it, Look())
    assert isinstance(outcomes[2], Failed)
    assert not outcomes[2].held
    assert stage.heard == []


async def test_what_is_not_for_now_is_a_fault_of_the_script(stage: Stage) -> None:
    with pytest.raises(AssertionError, match="not for now"):
        await stage.done(Save(TOKEN))
