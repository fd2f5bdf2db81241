"""One renewal as it is told: what it wants done, and what it makes of what came of it."""

from collections.abc import Sequence
from typing import Any, Final

import attrs
import pytest

from oauthkit import (
    AuthorizationCode,
    ClientCredentials,
    ConfigurationError,
    ErrorResponse,
    GrantStrategy,
    InvalidClient,
    InvalidGrant,
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
    secret,
)
from oauthkit.events import StoreFailed, TokenAdopted, TokenRenewed, TokenRestored
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.tries import Wait
from oauthkit.renewal.effects import (
    Answered,
    Ask,
    Broken,
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
from oauthkit.renewal.script import Plan, Script, Wish
from oauthkit.renewal.state import HeldToken, Moment, TokenState

NOW: Final = 1_700_000_000.0
OLD: Final = Token("a1", issued_at=NOW - 100, expires_at=NOW - 1, refresh_token="r1", scope="read")
NEW: Final = Token("a2", issued_at=NOW, expires_at=NOW + 100, refresh_token="r2", scope="read")
STALE: Final = attrs.evolve(NEW, access_token="a0", refresh_token="r0", expires_at=NOW + 10)
LAST_HALF_SECOND: Final = Token(
    "a0", issued_at=NOW - 100, expires_at=NOW + 0.5, refresh_token="r0", scope="read"
)
POLICY: Final = RenewalPolicy(jitter=0.0, save_timeout=3.0, timeout=30.0)
PASSWORD: Final = ResourceOwnerPassword(username="ada", password="lovelace")
AWAY: Final = StoreError("away")
BUSY: Final = ResponseError("busy", status_code=503, retry_after=2.0)
CUT: Final = TransportError("cut")
DEAD: Final = InvalidGrant("invalid_grant", status_code=400)
NO_WORDS: Final = ResponseError("refused", status_code=400)

LOOKED: Final = (Look, Stored(OLD))
LEASED: Final = (TakeLease, Leased(held=True))
LOOKED_AGAIN: Final = (LookAgain, Stored(OLD))
ASKED: Final = (Ask, Answered(NEW))
SAVED: Final = (Save, Done())
TOLD: Final = (Tell, Done())
GIVEN_BACK: Final = (GiveBack, Done())
BEGUN: Final = (LOOKED, LEASED, LOOKED_AGAIN)

Line = Sequence[tuple[type[Effect], Outcome] | tuple[type[Effect], Outcome, float]]


@attrs.define
class Telling:
    """A script that was told a line of outcomes, and what it wanted done.

    Attributes:
        effects: What it wanted done, one after the other.
        ended: How it ended; what it raised, where it did.
        owed: What it wanted done while only this process knew what the store should.
    """

    script: Script
    effects: list[Any]
    ended: Ended | Exception
    owed: list[type[Any]]

    @property
    def state(self) -> TokenState:
        return self.script.state

    @property
    def held(self) -> Token | None:
        return None if self.state.held is None else self.state.held.token

    def of(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def events(self) -> list[Any]:
        return [tell.event for tell in self.of(Tell)]

    @property
    def error(self) -> Any:
        assert isinstance(self.ended, Exception)
        return self.ended


def told(
    *line: Any,
    grant: GrantStrategy | None = None,
    state: TokenState | None = None,
    initial: Token | None = None,
    binding: Binding = Binding(),  # noqa: B008 - a frozen value
    **settings: Any,
) -> Telling:
    """Tell a script a line of outcomes, each with the effect that it must want by then.

    An outcome may be followed by the seconds that have passed on the event loop's clock.
    """
    wish, stored = settings.pop("wish", Wish()), settings.pop("stored", True)
    policy = attrs.evolve(POLICY, **settings)
    plan = Plan(
        key="k",
        grant=grant,
        policy=policy,
        recheck=5.0,
        initial=initial,
        binding=binding,
        stored=stored,
    )
    script = Script(state or TokenState(), plan, wish, moment(0.0))
    part, effects, owed, loop = script.run(), list[Any](), list[type[Any]](), 0.0
    effect: Any = next(part)
    for number, (kind, outcome, *passed) in enumerate(line, 1):
        assert isinstance(effect, kind), f"{effect} instead of {kind.__name__} after {effects}"
        effects.append(effect)
        if script.owes_store:
            owed.append(kind)
        loop += sum(passed)
        try:
            effect = part.send((outcome, moment(loop)))
        except StopIteration as end:
            ended = end.value
        except Exception as error:  # noqa: BLE001 - whatever it is, the test asks for it
            ended = error
        else:
            continue
        assert number == len(line), f"it ended after {effects}"
        return Telling(script, effects, ended, owed)
    raise AssertionError((effects, effect))


def moment(loop: float) -> Moment:
    return Moment(monotonic=1_000.0, time=NOW, loop=loop)


def knowing(token: Token, *, spent: Sequence[str] = ()) -> TokenState:
    """Return the state of a process that holds a token."""
    state = TokenState()
    state.held = HeldToken.of(token, POLICY, moment(0.0), recheck=5.0, fetched=False)
    for right in spent:
        state.spend(right)
    return state


# The way it goes


def test_look_take_the_lease_look_again_ask_save_and_only_then_use() -> None:
    telling = told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK)
    assert telling.ended == Ended(telling.state.held, fetched=True)
    assert telling.held == NEW
    assert telling.of(Ask)[0].right == RefreshToken(refresh_token="r1")
    assert telling.of(Save) == [Save(NEW)]
    assert telling.state.unsaved is None
    assert telling.state.held is not None
    assert telling.state.held.fetched is True


def test_a_renewal_that_a_401_asked_for_is_counted_with_the_token_it_brought() -> None:
    state = knowing(NEW)
    state.reject(NEW, POLICY, 1_000.0, renewing=False)
    stored, third = Stored(NEW), attrs.evolve(NEW, access_token="a3")
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored), (Ask, Answered(third))]
    telling = told(*line, SAVED, TOLD, GIVEN_BACK, state=state)
    assert telling.state.held is not None
    assert telling.state.held.rejections == 1


def test_nobody_uses_a_token_before_it_is_saved() -> None:
    """O2-36."""
    state = TokenState()

    part = Script(state, Plan("k", None, POLICY, 5.0), Wish(), moment(0.0)).run()
    next(part)
    for outcome in (Stored(OLD), Leased(held=True), Stored(OLD)):
        part.send((outcome, moment(0.0)))
    assert isinstance(part.send((Answered(NEW), moment(0.0))), Save)
    assert state.held is None
    assert state.unsaved is not None
    part.send((Done(), moment(0.0)))
    assert state.held is not None


def test_a_good_token_in_the_store_is_all_that_is_needed() -> None:
    telling = told((Look, Stored(NEW)), TOLD)
    assert telling.ended == Ended(telling.state.held)
    assert telling.events == [TokenAdopted(key="k")]


def test_a_stale_token_is_news_at_the_first_look_and_renewed_at_the_second() -> None:
    first = told((Look, Stored(STALE)), TOLD)
    assert first.held == STALE
    assert first.state.held is not None
    first.state.held = attrs.evolve(first.state.held, stale_at=0.0)
    second = told(
        (Look, Stored(STALE)), LEASED, (LookAgain, Stored(STALE)), ASKED, SAVED, TOLD, GIVEN_BACK,
        state=first.state,
    )  # fmt: skip
    assert second.held == NEW


def test_whatever_is_left_of_a_token_is_used_at_the_first_look() -> None:
    telling = told((Look, Stored(LAST_HALF_SECOND)), TOLD)
    assert telling.held == LAST_HALF_SECOND


def test_a_stale_token_is_used_on_if_the_store_was_to_be_looked_at_and_has_no_other() -> None:
    """Not more was wanted: it is renewed beside, by the next call."""
    state = knowing(STALE)
    assert state.held is not None
    state.held = attrs.evolve(state.held, stale_at=0.0, checked_until=1_000.0)
    telling = told((Look, Stored(STALE)), state=state)
    assert telling.ended == Ended(state.held)
    assert state.held.checked_until == 1_005.0


def test_where_nobody_waits_a_stale_token_is_renewed_at_the_first_look() -> None:
    stale, state = Stored(STALE), knowing(STALE)
    assert state.held is not None
    state.held = attrs.evolve(state.held, stale_at=0.0, checked_until=0.0)
    telling = told(
        (Look, stale), LEASED, (LookAgain, stale), ASKED, SAVED, TOLD, GIVEN_BACK,
        wish=Wish(beside=True), state=state,
    )  # fmt: skip
    assert telling.held == NEW


def test_what_another_process_renewed_meanwhile_is_adopted_under_the_lease() -> None:
    telling = told(LOOKED, LEASED, (LookAgain, Stored(NEW)), TOLD, GIVEN_BACK)
    assert telling.held == NEW
    assert telling.ended == Ended(telling.state.held)


def test_a_store_may_answer_early_who_waits_for_its_lease() -> None:
    """A lease that is not held is no right to ask, and no reason to give up."""
    early = (TakeLease, Leased(held=False))
    telling = told(LOOKED, early, (LookAgain, Stored(NEW)), TOLD, GIVEN_BACK)
    assert telling.held == NEW
    again = told(
        (Look, Stored(None)),
        early,
        (LookAgain, Stored(None)),
        GIVEN_BACK,
        (Look, Stored(NEW)),
        TOLD,
    )
    assert again.held == NEW


def test_a_token_that_is_not_wanted_is_replaced_however_fresh_it_is() -> None:
    telling = told(
        (Look, Stored(NEW)), LEASED, (LookAgain, Stored(NEW)),
        (Ask, Answered(attrs.evolve(NEW, access_token="a3", refresh_token="r3"))),
        SAVED, TOLD, GIVEN_BACK,
        state=knowing(NEW), wish=Wish(unwanted="a2"),
    )  # fmt: skip
    assert telling.held is not None
    assert telling.held.access_token == "a3"


def test_while_the_server_is_given_a_pause_the_store_is_looked_at_all_the_same() -> None:
    looking = Wish(only_look=True)
    assert told(LOOKED, wish=looking).ended == Ended(None)
    assert told((Look, Stored(NEW)), TOLD, wish=looking).held == NEW
    owing = knowing(NEW, spent=["r1"])
    assert told(LOOKED, wish=looking, state=owing).ended == Ended(None)


# A token to begin with


def test_a_token_to_begin_with_is_saved_and_used_once() -> None:
    line = ((Look, Stored(None)), LEASED, (LookAgain, Stored(None)), SAVED, TOLD, GIVEN_BACK)
    telling = told(*line, initial=LAST_HALF_SECOND)
    assert telling.held == LAST_HALF_SECOND
    assert telling.of(Save) == [Save(LAST_HALF_SECOND)]
    assert telling.script.plan.initial is None


@pytest.mark.parametrize("outcome, error", [(Failed(AWAY), StoreError), (Overtaken(), None)])
def test_a_token_to_begin_with_that_is_not_saved_is_kept_for_the_next_time(
    outcome: Outcome, error: type[Exception] | None
) -> None:
    line: list[Any] = [(Look, Stored(None)), LEASED, (LookAgain, Stored(None)), (Save, outcome)]
    more: list[Any] = [GIVEN_BACK] if error else [GIVEN_BACK, (Look, Stored(NEW)), TOLD]
    telling = told(*line, *more, initial=OLD)
    assert telling.script.plan.initial == OLD
    assert error is None or isinstance(telling.error, error)


# Before every try the lease and the time are looked at


def test_before_every_try_the_lease_is_looked_at() -> None:
    """Stopped while the server had asked for a pause, woken after somebody else had renewed."""
    telling = told(
        *BEGUN, (Ask, Refused(BUSY)), (Pause, Done()), (Ask, NotHeld()), GIVEN_BACK,
        (Look, Stored(NEW)), TOLD,
    )  # fmt: skip
    assert telling.held == NEW
    assert all(ask.leased for ask in telling.of(Ask))


def test_a_lease_that_was_lost_before_the_first_try_costs_one_more_look() -> None:
    telling = told(*BEGUN, (Ask, NotHeld()), GIVEN_BACK, *BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK)
    assert telling.held == NEW


def test_a_lease_that_is_always_lost_is_given_up() -> None:
    line = (*BEGUN, (Ask, NotHeld()), GIVEN_BACK)
    telling = told(*(line * 5))
    assert isinstance(telling.error, StoreError)
    assert "again and again" in str(telling.error)


def test_a_try_that_could_not_end_in_time_is_not_begun() -> None:
    telling = told(*BEGUN, (Ask, TooLate()), GIVEN_BACK)
    assert isinstance(telling.error, TransportError)
    assert telling.error.sent is False
    assert "no time was left" in str(telling.error)


def test_no_pause_is_made_that_would_outlast_the_time() -> None:
    for asked in (29.9, 31.0):  # with the least pause of ours, 29.9 is 30.0
        busy = attrs_like(BUSY, retry_after=asked)
        telling = told(*BEGUN, (Ask, Refused(busy)), GIVEN_BACK)
        assert telling.error is busy
    busy = attrs_like(BUSY, retry_after=29.8)
    telling = told(*BEGUN, (Ask, Refused(busy)), (Pause, Done()), (Ask, TooLate()), GIVEN_BACK)
    assert telling.of(Pause) == [Pause(Wait(29.8, 0.1))]


def attrs_like(error: ResponseError, **changes: Any) -> ResponseError:
    return ResponseError(error.args[0], status_code=error.status_code, **changes)


def test_all_tries_of_all_rights_share_one_end() -> None:
    telling = told(
        *BEGUN, (Ask, Refused(DEAD), 10.0), LOOKED_AGAIN, SAVED, ASKED, SAVED, TOLD, GIVEN_BACK,
        grant=PASSWORD,
    )  # fmt: skip
    assert [ask.until for ask in telling.of(Ask)] == [30.0, 30.0]


# How often it is asked


@pytest.mark.parametrize(
    "grant, outcome, asks",
    [
        (None, Lost(CUT), 2),
        (None, NotSent(TransportError(sent=False)), 3),
        (ClientCredentials(), Lost(CUT), 3),
        (AuthorizationCode(code="c"), Lost(CUT), 1),
        (AuthorizationCode(code="c"), NotSent(TransportError(sent=False)), 3),
        (ClientCredentials(), Refused(BUSY), 3),
        (ClientCredentials(), Refused(InvalidClient("invalid_client", status_code=401)), 1),
    ],
)
def test_a_request_is_repeated_as_its_right_allows(
    grant: GrantStrategy | None, outcome: Any, asks: int
) -> None:
    """AT-81, O2-18."""
    stored = Stored(OLD if grant is None else None)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored)]
    for number in range(asks):
        line += [(Ask, outcome)] if number == asks - 1 else [(Ask, outcome), (Pause, Done())]
    telling = told(*line, GIVEN_BACK, grant=grant)
    assert telling.error is outcome.error


def test_the_tries_of_one_right_cost_another_none() -> None:
    never_sent = (Ask, NotSent(TransportError(sent=False)))
    telling = told(
        *BEGUN, never_sent, (Pause, Done()), (Ask, Refused(DEAD)), LOOKED_AGAIN, SAVED,
        never_sent, (Pause, Done()), never_sent, (Pause, Done()), ASKED, SAVED, TOLD, GIVEN_BACK,
        grant=PASSWORD,
    )  # fmt: skip
    assert telling.held == NEW


def test_tries_are_counted_beyond_a_lost_lease() -> None:
    telling = told(
        *BEGUN, (Ask, Lost(CUT)), (Pause, Done()), (Ask, NotHeld()), GIVEN_BACK,
        *BEGUN, (Ask, Lost(CUT)), GIVEN_BACK,
    )  # fmt: skip
    assert telling.error is CUT


@pytest.mark.parametrize("outcome", [Lost(CUT), Refused(BUSY), Broken(ZeroDivisionError())])
def test_a_code_that_may_have_been_sent_is_spent(outcome: Any) -> None:
    """O2-18."""
    code, stored = AuthorizationCode(code="c"), Stored(None)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored), (Ask, outcome)]
    telling = told(*line, GIVEN_BACK, grant=code)
    again = told(
        (Look, stored), LEASED, (LookAgain, stored), GIVEN_BACK, grant=code, state=telling.state
    )
    assert isinstance(again.error, ReauthorizationRequired)
    other = told(
        (Look, stored), LEASED, (LookAgain, stored), ASKED, SAVED, TOLD, GIVEN_BACK,
        grant=AuthorizationCode(code="d"), state=telling.state,
    )  # fmt: skip
    assert other.held == NEW


@attrs.frozen
class Nested:
    """A part of a grant that is made anew for each login."""

    number: int


@attrs.frozen(kw_only=True)
class OnePart(GrantStrategy):
    """A grant without a secret, which is used once."""

    grant_type = "urn:example:part"
    repeat = Repeat.NEVER

    part: Any

    def parameters(self) -> dict[str, str]:
        return {"part": repr(self.part)}


@pytest.mark.parametrize("one,other", [("a", "b"), (Nested(1), (1,))])
def test_rights_without_a_secret_are_told_apart_by_all_they_have(one: Any, other: Any) -> None:
    """Even where two of their parts have the same members: what is not the same is not spent."""
    stored = Stored(None)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored)]
    state = told(*line, (Ask, Lost(CUT)), GIVEN_BACK, grant=OnePart(part=one)).state
    again = told(*line, GIVEN_BACK, grant=OnePart(part=one), state=state)
    assert isinstance(again.error, ReauthorizationRequired)
    telling = told(*line, ASKED, SAVED, TOLD, GIVEN_BACK, grant=OnePart(part=other), state=state)
    assert telling.held == NEW


def test_a_code_that_was_never_sent_is_not_spent() -> None:
    """O2-18: the connection was refused, or its time had come before it was sent."""
    code, stored = AuthorizationCode(code="c"), Stored(None)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored)]
    never_sent = NotSent(ConfigurationError("no"))
    state = told(*line, (Ask, never_sent), GIVEN_BACK, grant=code).state
    assert told(*line, ASKED, SAVED, TOLD, GIVEN_BACK, grant=code, state=state).held == NEW


def test_a_code_is_spent_by_an_answer_without_a_refresh_token() -> None:
    """O2-18: that neither has one is no refresh token that goes on."""
    code, stored = AuthorizationCode(code="c"), Stored(None)
    answered = Answered(attrs.evolve(NEW, refresh_token=None))
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored)]
    state = told(*line, (Ask, answered), SAVED, TOLD, GIVEN_BACK, grant=code).state
    again = told(*line, GIVEN_BACK, grant=code, state=state)
    assert isinstance(again.error, ReauthorizationRequired)


def test_a_fault_in_a_grant_of_ones_own_is_raised_as_it_is() -> None:
    fault = ZeroDivisionError()
    assert told(*BEGUN, (Ask, Broken(fault)), GIVEN_BACK).error is fault


# Rights that are dead


@pytest.mark.parametrize(
    "refusal",
    [
        DEAD,
        NO_WORDS,
        ResponseError("no", status_code=403),
        ErrorResponse("invalid_request", status_code=400),
        ErrorResponse("bad_refresh_token", status_code=400),
    ],
)
def test_a_dead_refresh_token_is_recognized_however_it_is_refused(refusal: Any) -> None:
    """O2-39: after a second look at the store; the next right is tried."""
    refused = (Ask, Refused(refusal))
    alone = told(*BEGUN, refused, LOOKED_AGAIN, SAVED, GIVEN_BACK)
    assert isinstance(alone.error, ReauthorizationRequired)
    assert alone.error.__cause__ is refusal
    assert alone.of(Save)[0].token.refresh_token is None
    beside = told(
        *BEGUN, refused, LOOKED_AGAIN, SAVED, ASKED, SAVED, TOLD, GIVEN_BACK,
        grant=PASSWORD,
    )  # fmt: skip
    assert [ask.right.grant_type for ask in beside.of(Ask)] == ["refresh_token", "password"]


def test_nobody_may_stop_it_between_an_answer_and_the_save_nor_a_refusal_and_the_drop() -> None:
    assert told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK).owed == [Save]
    refused = (Ask, Refused(DEAD))
    dropped = told(*BEGUN, refused, LOOKED_AGAIN, SAVED, GIVEN_BACK)
    assert dropped.owed == [LookAgain, Save]
    assert not dropped.script.owes_store
    # somebody else has changed it, so nothing is owed while it is looked at once more
    changed = (LookAgain, Stored(NEW))
    overtaken = told(*BEGUN, refused, changed, GIVEN_BACK, *BEGUN[:2], changed, TOLD, GIVEN_BACK)
    assert overtaken.owed == [LookAgain]


@pytest.mark.parametrize(
    "refusal",
    [
        InvalidClient("invalid_client", status_code=401),
        ErrorResponse("invalid_scope", status_code=400),
        ErrorResponse("temporarily_unavailable", status_code=400),
        ResponseError("not found", status_code=404),
        ResponseError("out of order", status_code=500),
    ],
)
def test_what_is_not_about_the_refresh_token_costs_it_nothing(refusal: Any) -> None:
    telling = told(*BEGUN, (Ask, Refused(refusal)), GIVEN_BACK, grant=PASSWORD)
    assert telling.error is refusal
    assert not telling.state.is_spent("r1")


def test_before_a_right_is_dropped_the_store_is_looked_at_once_more() -> None:
    """O2-39."""
    telling = told(
        *BEGUN,
        (Ask, Refused(DEAD)),
        (LookAgain, Stored(NEW)),
        GIVEN_BACK,
        (Look, Stored(NEW)),
        TOLD,
    )
    assert telling.held == NEW
    assert telling.of(Save) == []


@pytest.mark.parametrize("outcome", [Failed(AWAY), Overtaken()])
def test_a_dead_right_is_not_tried_again_although_the_store_kept_it(outcome: Outcome) -> None:
    more: list[Any] = [TOLD, GIVEN_BACK]
    if outcome == Overtaken():
        more = [GIVEN_BACK, *BEGUN, GIVEN_BACK]
    telling = told(*BEGUN, (Ask, Refused(DEAD)), LOOKED_AGAIN, (Save, outcome), *more)
    assert isinstance(telling.error, ReauthorizationRequired)
    assert telling.events == ([StoreFailed(key="k", error=AWAY)] if TOLD in more else [])
    again = told(*BEGUN, GIVEN_BACK, state=telling.state)
    assert isinstance(again.error, ReauthorizationRequired)


def test_where_no_right_is_left_the_error_says_whose_and_what_came_and_what_to_do() -> None:
    words = "nothing is left to renew {} with; {}"
    kept = words.format("the token of 'k'", "send the resource owner to log in, and save the new ")
    own = words.format("this session's token", "give the session a grant=, or a token= from a ")
    reason = f"; the last answer was {DEAD}"
    without: list[Any] = [(Look, Stored(None)), LEASED, (LookAgain, Stored(None)), GIVEN_BACK]
    dead: list[Any] = [*BEGUN, (Ask, Refused(DEAD)), LOOKED_AGAIN, SAVED, GIVEN_BACK]

    assert str(told(*without).error) == f"{kept}token under this key"
    assert str(told(*dead).error) == f"{kept}token under this key{reason}"
    assert str(told(*without, stored=False).error) == f"{own}new login"
    assert str(told(*dead, stored=False).error) == f"{own}new login{reason}"


def test_a_dead_refresh_token_is_dropped_from_the_token_at_hand() -> None:
    telling = told(
        *BEGUN, (Ask, Refused(DEAD)), LOOKED_AGAIN, SAVED, GIVEN_BACK, state=knowing(OLD)
    )
    assert telling.held is not None
    assert telling.held.refresh_token is None


def test_a_rejected_token_whose_right_is_refused_stays_rejected() -> None:
    """There was a right, so it is not all there is."""
    state, stored = knowing(NEW), Stored(NEW)
    state.reject(NEW, POLICY, 1_000.0, renewing=False)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored), (Ask, Refused(DEAD))]
    telling = told(*line, (LookAgain, stored), SAVED, GIVEN_BACK, state=state)
    assert isinstance(telling.error, ReauthorizationRequired)
    assert state.rejected == "a2"


def test_after_a_password_that_is_refused_in_other_words_no_other_right_is_tried() -> None:
    ended = Stored(attrs.evolve(OLD, refresh_expires_at=NOW - 1))
    line: list[Any] = [(Look, ended), LEASED, (LookAgain, ended), (Ask, Refused(NO_WORDS))]
    assert told(*line, GIVEN_BACK, grant=PASSWORD).error is NO_WORDS


def test_a_refresh_token_that_was_never_stored_may_be_refused() -> None:
    stored = Stored(None)
    line = [(Look, stored), LEASED, (LookAgain, stored), (Ask, Refused(DEAD)), GIVEN_BACK]
    telling = told(*line, grant=RefreshToken(refresh_token="r9"))
    assert isinstance(telling.error, ReauthorizationRequired)
    assert telling.error.__cause__ is DEAD


def test_a_right_that_is_refused_is_tried_once_in_a_renewal_and_again_in_the_next() -> None:
    """A client's own right is not used up by a refusal, as a refresh token is."""
    grant = ClientCredentials()
    first = told(*BEGUN, (Ask, Refused(DEAD)), GIVEN_BACK, grant=grant)
    assert first.error is DEAD
    again = told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK, grant=grant, state=first.state)
    assert again.held == NEW


def test_a_wrong_password_is_the_resource_owners_to_know() -> None:
    stored = Stored(None)
    line = [(Look, stored), LEASED, (LookAgain, stored), (Ask, Refused(DEAD)), GIVEN_BACK]
    assert told(*line, grant=PASSWORD).error is DEAD


def test_a_password_that_is_refused_in_other_words_is_no_dead_right() -> None:
    stored = Stored(None)
    line = [(Look, stored), LEASED, (LookAgain, stored), (Ask, Refused(NO_WORDS)), GIVEN_BACK]
    assert told(*line, grant=PASSWORD).error is NO_WORDS


def test_without_a_right_a_rejected_token_goes_on_and_the_next_401_says_so_again() -> None:
    token = attrs.evolve(NEW, refresh_token=None)
    state = knowing(token)
    state.reject(token, POLICY, 1_000.0, renewing=False)
    telling = told(
        (Look, Stored(token)), LEASED, (LookAgain, Stored(token)), GIVEN_BACK, state=state
    )
    assert isinstance(telling.error, ReauthorizationRequired)
    assert state.rejected is None


@pytest.mark.parametrize("ends", [NOW - 1, NOW])
def test_a_refresh_token_that_is_dead_by_the_clock_is_tried_once_as_the_last_right(
    ends: float,
) -> None:
    """This machine's clock may be a day ahead."""
    ended = attrs.evolve(OLD, refresh_expires_at=ends)
    stored = Stored(ended)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored)]
    alone = told(*line, ASKED, SAVED, TOLD, GIVEN_BACK)
    assert alone.held == NEW
    beside = told(*line, (Ask, Refused(DEAD)), ASKED, SAVED, TOLD, GIVEN_BACK, grant=PASSWORD)
    assert [ask.right.grant_type for ask in beside.of(Ask)] == ["password", "refresh_token"]


def test_a_refresh_token_that_ends_later_is_the_first_right() -> None:
    stored = Stored(attrs.evolve(OLD, refresh_expires_at=NOW + 1))
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored), ASKED, SAVED, TOLD, GIVEN_BACK]
    telling = told(*line, grant=PASSWORD)
    assert telling.of(Ask)[0].right.grant_type == "refresh_token"


# What a right carries on


def test_a_scope_that_the_server_does_not_echo_whole_is_asked_for_again() -> None:
    """O2-37: many drop offline_access; what the login granted is the server's to know."""
    grant = RefreshToken(refresh_token="r0", scope="read offline_access")
    telling = told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK, grant=grant)
    right = telling.of(Ask)[0].right
    assert (right.scope, right.refresh_token) == ("read offline_access", "r1")
    assert telling.events[0].requested_scope == "read offline_access"


@attrs.frozen(kw_only=True)
class Curious(GrantStrategy):
    """A grant of the user's own that looks at the scope of the token to be renewed."""

    grant_type = "refresh_token"
    repeat = Repeat.ONCE
    scope: str | None = None
    seen: str | None = None

    def parameters(self) -> dict[str, str]:
        return {"scope": self.scope} if self.scope else {}

    def renewal(self, token: Token) -> GrantStrategy | None:
        return attrs.evolve(self, seen=token.scope)


@pytest.mark.parametrize(
    "asked, stored, seen",
    [
        (None, "read", "read"),
        (None, None, None),
        ("write", None, None),
        ("write", "read", "read write"),  # the login may have granted more than the last answer
    ],
)
def test_a_grant_sees_what_may_have_been_granted(
    asked: str | None, stored: str | None, seen: str | None
) -> None:
    """RFC 6749 §6."""
    record = Stored(attrs.evolve(OLD, scope=stored))
    line: list[Any] = [(Look, record), LEASED, (LookAgain, record), ASKED, SAVED, TOLD, GIVEN_BACK]
    telling = told(*line, grant=Curious(scope=asked))
    assert telling.of(Ask)[0].right.seen == seen


@attrs.frozen(kw_only=True)
class OwnRefresh(GrantStrategy):
    """A refreshing grant of the user's own, which is derived from nothing."""

    grant_type = "refresh_token"
    repeat = Repeat.ONCE
    refresh_token: str = secret()

    def parameters(self) -> dict[str, str]:
        return {"refresh_token": self.refresh_token, "tenant": "x"}

    def renewal(self, token: Token) -> GrantStrategy | None:
        if token.refresh_token is None:
            return None
        return OwnRefresh(refresh_token=token.refresh_token)


def test_a_refreshing_grant_of_ones_own_is_as_good_as_ours() -> None:
    grant = OwnRefresh(refresh_token="r0")
    telling = told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK, grant=grant)
    ask = telling.of(Ask)[0]
    assert ask.right == OwnRefresh(refresh_token="r1")
    assert ask.right.carried_over(ask.previous) == OLD
    assert telling.state.is_spent("r1")
    refused = told(*BEGUN, (Ask, Refused(DEAD)), LOOKED_AGAIN, SAVED,
                   (Ask, Refused(DEAD)), (LookAgain, Stored(attrs.evolve(OLD, refresh_token=None))),
                   SAVED, GIVEN_BACK, grant=grant)  # fmt: skip
    assert isinstance(refused.error, ReauthorizationRequired)


def test_a_refresh_token_whose_answer_was_lost_is_not_spent() -> None:
    """Nobody knows whether the server has spent it; the next renewal finds out."""
    telling = told(*BEGUN, (Ask, Lost(CUT)), (Pause, Done()), (Ask, Lost(CUT)), GIVEN_BACK)
    assert not telling.state.is_spent("r1")


def test_a_right_that_is_never_used_up_takes_no_place_among_those_that_are() -> None:
    telling = told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK, grant=ClientCredentials())
    assert telling.state.spent.digests == b""


def test_a_refresh_token_that_goes_on_is_not_spent() -> None:
    kept = attrs.evolve(NEW, refresh_token="r1")
    telling = told(*BEGUN, (Ask, Answered(kept)), SAVED, TOLD, GIVEN_BACK)
    assert not telling.state.is_spent("r1")


def test_a_life_that_is_not_known_can_be_given_a_length() -> None:
    endless = attrs.evolve(NEW, expires_at=None)
    telling = told(*BEGUN, (Ask, Answered(endless)), SAVED, TOLD, GIVEN_BACK, default_life=600.0)
    assert telling.held is not None
    assert telling.held.expires_at == NOW + 600
    unknown = told(*BEGUN, (Ask, Answered(endless)), SAVED, TOLD, GIVEN_BACK)
    assert unknown.held == endless


@pytest.mark.parametrize("token", [NEW, attrs.evolve(NEW, expires_at=None, issued_at=None)])
def test_a_life_that_is_known_or_began_nobody_knows_when_is_left_as_it_is(token: Token) -> None:
    telling = told(*BEGUN, (Ask, Answered(token)), SAVED, TOLD, GIVEN_BACK, default_life=600.0)
    assert telling.held == token


def test_what_was_asked_for_and_granted_is_told_once_it_is_saved() -> None:
    """O2-16."""
    telling = told(*BEGUN, ASKED, SAVED, TOLD, GIVEN_BACK)
    assert telling.events == [
        TokenRenewed(
            key="k",
            grant_type="refresh_token",
            seconds=0.0,
            expires_at=NEW.expires_at,
            requested_scope=None,
            scope="read",
        )
    ]


# A save that fails


def test_a_save_that_fails_is_tried_again_under_the_lease() -> None:
    """To give the lease back would let another process spend the old refresh token again."""
    failing = (Save, Failed(AWAY, held=True))
    telling = told(
        *BEGUN, (*ASKED, 10.0), failing, (Pause, Done()), failing, (Pause, Done()), SAVED, TOLD,
        GIVEN_BACK,
    )  # fmt: skip
    assert telling.held == NEW
    assert telling.of(LetGo) == []
    assert telling.of(Pause) == [Pause(Wait(0.0, 0.05)), Pause(Wait(0.0, 0.1))]


def test_while_the_store_is_away_it_is_offered_the_token_at_least_each_second() -> None:
    failing, waited = (Save, Failed(AWAY, held=True)), (Pause, Done())
    telling = told(*BEGUN, ASKED, *(failing, waited) * 8, SAVED, TOLD, GIVEN_BACK)
    longest = [pause.wait.longest for pause in telling.of(Pause)]
    assert longest == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("seconds", [1.5, 2.0])
def test_callers_that_have_waited_long_enough_are_told_and_the_token_is_offered_on(
    seconds: float,
) -> None:
    """They wait for 3 seconds from the answer on, however long that had taken."""
    failing = (Save, Failed(AWAY, held=True), seconds)
    telling = told(
        *BEGUN, (*ASKED, 10.0), failing, (Pause, Done()), failing, (LetGo, Done()), (Pause, Done()),
        failing, (Pause, Done()), SAVED, TOLD, GIVEN_BACK,
    )  # fmt: skip
    (let_go,) = telling.of(LetGo)
    assert isinstance(let_go.error, StoreError)
    assert let_go.error.__cause__ is AWAY
    assert telling.held == NEW


def test_a_process_that_was_stopped_tries_a_second_time_before_it_tells_anybody() -> None:
    """It finds its first try out of time, whatever the store would have said."""
    telling = told(
        *BEGUN,
        ASKED,
        (Save, Failed(AWAY, held=True), 60.0),
        (Pause, Done()),
        SAVED,
        TOLD,
        GIVEN_BACK,
    )
    assert telling.of(LetGo) == []


TWICE: Final = ((Save, Failed(AWAY)), (Pause, Done()), (Save, Failed(AWAY)))
"""The first try of who was stopped is out of time as it wakes up, and says nothing of the store."""


def test_what_cannot_be_saved_without_the_lease_is_kept_at_hand() -> None:
    telling = told(*BEGUN, ASKED, *TWICE, (LetGo, Done()), GIVEN_BACK)
    assert telling.error is AWAY
    assert telling.held == NEW
    assert telling.state.unsaved is not None


def test_what_the_store_will_never_take_is_kept_at_hand_after_one_try() -> None:
    failure = Failed(StoreError(recovery=Recovery.CHANGE_REQUEST), held=True)
    telling = told(*BEGUN, ASKED, (Save, failure), (LetGo, Done()), GIVEN_BACK)
    assert telling.error is failure.error
    assert telling.held == NEW
    assert telling.state.unsaved is not None


def test_who_was_stopped_across_its_lease_saves_at_the_second_try_where_nobody_took_over() -> None:
    """Its callers notice nothing: the store, and not the time, says whether the lease was lost."""
    woken = ((Save, Failed(AWAY), 100.0), (Pause, Done()))
    telling = told(*BEGUN, ASKED, *woken, SAVED, TOLD, GIVEN_BACK)
    assert telling.of(LetGo) == []
    assert telling.held == NEW
    assert telling.state.unsaved is None


def kept_at_hand() -> TokenState:
    """Return the state of a process whose store did not take the newest token."""
    return told(*BEGUN, ASKED, *TWICE, (LetGo, Done()), GIVEN_BACK).state


def test_what_was_not_saved_is_offered_before_anything_else() -> None:
    state = kept_at_hand()
    telling = told(*BEGUN, SAVED, TOLD, GIVEN_BACK, state=state, wish=Wish(only_offer=True))
    assert telling.of(Save) == [Save(NEW)]
    assert isinstance(telling.events[0], TokenRenewed)
    assert state.unsaved is None


def test_an_offer_asks_the_server_for_nothing() -> None:
    state = kept_at_hand()
    assert state.held is not None
    state.held = attrs.evolve(state.held, expires_at=0.0, stale_at=0.0)
    telling = told(*BEGUN, SAVED, TOLD, GIVEN_BACK, state=state, wish=Wish(only_offer=True))
    assert telling.ended == Ended(None)


def test_a_save_of_which_no_answer_came_was_done_after_all() -> None:
    state = kept_at_hand()
    telling = told((Look, Stored(NEW)), state=state)
    assert telling.held == NEW
    assert state.unsaved is None


@pytest.mark.parametrize("stored", [None, attrs.evolve(NEW, access_token="a9", refresh_token="r9")])
def test_what_was_not_saved_gives_way_to_what_the_user_did(stored: Token | None) -> None:
    state = kept_at_hand()
    line: list[Any] = [(Look, Stored(stored)), LEASED, (LookAgain, Stored(stored))]
    telling = told(*line, *([TOLD] if stored else []), GIVEN_BACK, state=state)
    assert telling.held == stored
    assert state.unsaved is None


def test_a_logout_elsewhere_leaves_no_token_at_hand() -> None:
    line = [(Look, Stored(None)), LEASED, (LookAgain, Stored(None)), GIVEN_BACK]
    telling = told(*line, state=knowing(NEW))
    assert isinstance(telling.error, ReauthorizationRequired)
    assert telling.held is None


def test_what_a_login_elsewhere_came_after_is_not_used_on_even_if_that_cannot_be_renewed() -> None:
    login = Stored(attrs.evolve(OLD, access_token="a9", refresh_token="r9"))
    line: list[Any] = [(Look, login), LEASED, (LookAgain, login), (Ask, TooLate()), GIVEN_BACK]
    telling = told(*line, state=kept_at_hand())
    assert telling.held is None


def test_who_was_overtaken_adopts() -> None:
    """Stopped between the answer and the save, while somebody took over."""
    newer = attrs.evolve(NEW, access_token="a3", refresh_token="r3")
    telling = told(
        *BEGUN, ASKED, (Save, Overtaken()), GIVEN_BACK,
        (Look, Stored(newer)), LEASED, (LookAgain, Stored(newer)), TOLD, GIVEN_BACK,
    )  # fmt: skip
    assert telling.held == newer
    assert telling.state.unsaved is None


def test_who_was_overtaken_by_somebody_that_saved_nothing_saves() -> None:
    telling = told(*BEGUN, ASKED, (Save, Overtaken()), GIVEN_BACK, *BEGUN, SAVED, TOLD, GIVEN_BACK)
    assert telling.held == NEW
    assert len(telling.of(Ask)) == 1


def test_an_offer_that_fails_is_no_reason_to_ask_without_the_lease() -> None:
    telling = told(
        *BEGUN, *TWICE, (LetGo, Done()), GIVEN_BACK,
        state=kept_at_hand(), renew_without_lease=True,
    )  # fmt: skip
    assert telling.error is AWAY


def test_a_first_token_is_not_saved_over_a_logout() -> None:
    stored = Stored(None)
    line: list[Any] = [(Look, stored), LEASED, (LookAgain, stored)]
    telling = told(
        *line, ASKED, (Save, Overtaken()), GIVEN_BACK, *line, GIVEN_BACK,
        grant=AuthorizationCode(code="c"),
    )  # fmt: skip
    assert isinstance(telling.error, ReauthorizationRequired)
    assert telling.held is None


# A store that was set back


def test_a_store_that_went_back_is_given_what_came_of_the_spent_refresh_token() -> None:
    state = knowing(NEW, spent=["r1"])
    telling = told(*BEGUN, SAVED, TOLD, GIVEN_BACK, state=state)
    assert telling.of(Ask) == []
    assert telling.of(Save) == [Save(NEW)]
    assert telling.events == [TokenRestored(key="k")]
    assert telling.held == NEW


def test_a_store_that_went_back_is_given_it_even_while_the_older_token_is_valid() -> None:
    record = Stored(STALE)
    telling = told(
        (Look, record), LEASED, (LookAgain, record), SAVED, TOLD, GIVEN_BACK,
        state=knowing(NEW, spent=["r0"]),
    )  # fmt: skip
    assert telling.of(Save) == [Save(NEW)]
    assert telling.held == NEW


def test_what_a_store_that_went_back_does_not_take_follows_what_it_has() -> None:
    telling = told(
        *BEGUN, *TWICE, (LetGo, Done()), GIVEN_BACK,
        state=knowing(NEW, spent=["r1"]),
    )  # fmt: skip
    assert telling.state.unsaved is not None
    assert telling.state.unsaved.follows == OLD


def test_a_refresh_token_that_this_process_has_spent_is_never_presented_by_it_again() -> None:
    telling = told(*BEGUN, GIVEN_BACK, state=knowing(OLD, spent=["r1"]))
    assert isinstance(telling.error, ReauthorizationRequired)


# A store that is away


@pytest.mark.parametrize(
    "line",
    [
        [(Look, Failed(AWAY))],
        [LOOKED, (TakeLease, Failed(AWAY))],
        [LOOKED, LEASED, (LookAgain, Failed(AWAY)), GIVEN_BACK],
    ],
)
def test_without_its_store_nothing_is_asked(line: list[Any]) -> None:
    assert told(*line).error is AWAY


def test_without_its_store_a_right_is_used_if_that_was_asked_for() -> None:
    telling = told(
        (Look, Failed(AWAY)), TOLD, ASKED, grant=ClientCredentials(), renew_without_lease=True
    )
    assert telling.events == [StoreFailed(key="k", error=AWAY)]
    assert telling.of(Ask)[0].leased is False
    assert telling.of(Ask)[0].until == 30.0
    assert telling.held == NEW
    assert telling.state.unsaved is not None


def test_without_its_store_the_next_renewal_follows_what_the_store_had() -> None:
    first = told((Look, Failed(AWAY)), TOLD, ASKED, state=knowing(OLD), renew_without_lease=True)
    third = attrs.evolve(NEW, access_token="a3", refresh_token="r3")
    assert first.state.held is not None
    first.state.held = attrs.evolve(first.state.held, expires_at=0.0, stale_at=0.0)
    second = told(
        (Look, Failed(AWAY)), TOLD, (Ask, Answered(third)), state=first.state,
        renew_without_lease=True,
    )  # fmt: skip
    assert second.of(Ask)[0].right.refresh_token == "r2"
    assert second.state.unsaved is not None
    assert second.state.unsaved.follows == OLD


def test_without_its_store_a_dead_refresh_token_leads_to_the_next_right() -> None:
    telling = told(
        (Look, Failed(AWAY)), TOLD, (Ask, Refused(DEAD)), ASKED,
        grant=PASSWORD, state=knowing(OLD), renew_without_lease=True,
    )  # fmt: skip
    assert [ask.right.grant_type for ask in telling.of(Ask)] == ["refresh_token", "password"]


def test_without_its_store_a_token_to_begin_with_is_used() -> None:
    telling = told(
        (Look, Failed(AWAY)), TOLD, TOLD, initial=LAST_HALF_SECOND, renew_without_lease=True
    )
    assert telling.held == LAST_HALF_SECOND
    assert telling.ended == Ended(telling.state.held)
    assert telling.script.plan.initial is None
    unsaved = telling.state.unsaved
    assert unsaved is not None
    assert unsaved.token == LAST_HALF_SECOND
    assert unsaved.follows is None
    assert unsaved.event == TokenAdopted(key="k")


def test_without_its_store_a_token_at_hand_comes_before_one_to_begin_with() -> None:
    telling = told(
        (Look, Failed(AWAY)), TOLD, ASKED, state=knowing(OLD), initial=STALE,
        renew_without_lease=True,
    )  # fmt: skip
    assert telling.of(Ask)[0].right == RefreshToken(refresh_token="r1")
    assert telling.script.plan.initial == STALE


def test_an_answer_that_the_store_did_not_take_is_no_reason_to_ask_again() -> None:
    telling = told(*BEGUN, ASKED, *TWICE, (LetGo, Done()), GIVEN_BACK, renew_without_lease=True)
    assert telling.error is AWAY


@pytest.mark.parametrize("at_hand", [None, OLD])
def test_what_a_login_in_this_process_overtook_during_its_save_is_told_to_nobody(
    at_hand: Token | None,
) -> None:
    """And the login is looked at: neither what was got for the old one is used, nor that itself."""
    login = attrs.evolve(NEW, access_token="a9", refresh_token="r9")
    state = TokenState()
    if at_hand is not None:
        state.adopt(at_hand, POLICY, moment(0.0), recheck=5.0)
    plan = Plan(key="k", grant=None, policy=POLICY, recheck=5.0)
    part = Script(state, plan, Wish(unwanted=OLD.access_token), moment(0.0)).run()
    effect: Any = next(part)
    for kind, outcome in (*BEGUN, ASKED):
        assert isinstance(effect, kind)
        effect = part.send((outcome, moment(0.0)))
    assert effect == Save(NEW)
    state.forget()
    rest: list[Any] = [(Done(), GiveBack), (Done(), Look), (Stored(login), Tell)]
    for came, wanted in rest:
        effect = part.send((came, moment(0.0)))
        assert isinstance(effect, wanted)
    assert effect == Tell(TokenAdopted(key="k"))
    with pytest.raises(StopIteration) as end:
        part.send((Done(), moment(0.0)))
    assert end.value.value == Ended(state.held)
    assert state.held is not None
    assert state.held.token == login


# Another server's token, or another client's

OURS: Final = Binding("https://auth.example", "https://auth.example/token", "app")
ANOTHERS: Final = {
    "another server's": Binding("https://other.example", "https://other.example/token", "app"),
    "another endpoint's": Binding(None, "https://other.example/token", "app"),
    "another client's": Binding("https://auth.example", "https://auth.example/token", "other"),
}
THEIRS: Final = pytest.mark.parametrize("theirs", ANOTHERS.values(), ids=ANOTHERS.keys())
KEPT_TOKENS: Final = pytest.mark.parametrize("kept", [OLD, STALE, NEW], ids=["old", "stale", "new"])


def refused(telling: Telling, *effects: type[Any]) -> None:
    """Require that nothing was asked, saved or handed out, and that the error says why."""
    assert isinstance(telling.error, ConfigurationError)
    assert "the token kept under 'k'" in str(telling.error)
    assert "nothing was sent" in str(telling.error)
    assert [type(effect) for effect in telling.effects] == list(effects)
    assert telling.held is None
    assert telling.state.unsaved is None


@THEIRS
@KEPT_TOKENS
def test_anothers_token_is_found_at_the_first_look(theirs: Binding, kept: Token) -> None:
    """Whatever is wanted, and whatever right there is beside."""
    found = Stored(theirs.bind(kept))
    refused(told((Look, found), binding=OURS), Look)
    refused(told((Look, found), binding=OURS, grant=PASSWORD), Look)
    refused(told((Look, found), binding=OURS, wish=Wish(only_look=True)), Look)
    refused(told((Look, found), binding=OURS, wish=Wish(beside=True)), Look)


@THEIRS
@KEPT_TOKENS
def test_anothers_token_is_found_under_the_lease(theirs: Binding, kept: Token) -> None:
    """It came between the looks; the lease is given back, and nothing was asked."""
    for first in (Stored(None), Stored(OURS.bind(OLD))):
        telling = told(
            (Look, first), LEASED, (LookAgain, Stored(theirs.bind(kept))), GIVEN_BACK,
            binding=OURS, grant=PASSWORD, initial=OURS.bind(NEW),
        )  # fmt: skip
        refused(telling, Look, TakeLease, LookAgain, GiveBack)


def test_what_was_held_is_let_go_when_another_has_logged_in_under_the_key() -> None:
    """As after a logout: what stands in the store is the user's word."""
    state = knowing(OURS.bind(NEW))
    telling = told(
        (Look, Stored(ANOTHERS["another server's"].bind(NEW))), binding=OURS, state=state
    )
    refused(telling, Look)
    assert telling.state.usable(1_000.0) is None


def test_what_was_unsaved_is_not_offered_over_anothers_token() -> None:
    state = knowing(OURS.bind(OLD))
    held = HeldToken.of(OURS.bind(NEW), POLICY, moment(0.0), recheck=5.0, fetched=True)
    state.answered(held, follows=OURS.bind(OLD), event=TokenAdopted(key="k"))
    theirs = Stored(ANOTHERS["another client's"].bind(OLD))
    refused(told((Look, theirs), binding=OURS, state=state, wish=Wish(only_offer=True)), Look)


def test_anothers_token_that_came_while_a_dead_refresh_token_was_dropped_stays() -> None:
    ours = Stored(OURS.bind(OLD))
    telling = told(
        (Look, ours), LEASED, (LookAgain, ours), (Ask, Refused(DEAD)),
        (LookAgain, Stored(ANOTHERS["another server's"].bind(OLD))), GIVEN_BACK,
        binding=OURS,
    )  # fmt: skip
    refused(telling, Look, TakeLease, LookAgain, Ask, LookAgain, GiveBack)


@THEIRS
def test_a_token_to_begin_with_must_be_of_this_server(theirs: Binding) -> None:
    line: list[Any] = [(Look, Stored(None)), LEASED, (LookAgain, Stored(None)), GIVEN_BACK]
    telling = told(*line, binding=OURS, initial=theirs.bind(NEW), grant=PASSWORD)
    refused(telling, Look, TakeLease, LookAgain, GiveBack)
    assert telling.script.plan.initial is not None  # and it is found again by the next call


@THEIRS
def test_a_token_to_begin_with_must_be_of_this_server_without_a_store_too(theirs: Binding) -> None:
    telling = told(
        (Look, Failed(AWAY)), TOLD,
        binding=OURS, initial=theirs.bind(OLD), renew_without_lease=True,
    )  # fmt: skip
    refused(telling, Look, Tell)


@pytest.mark.parametrize(
    "same",
    [
        OURS,
        Binding(),
        attrs.evolve(OURS, issuer=None),
        attrs.evolve(OURS, issuer=None, token_endpoint="https://auth.example/before"),
        attrs.evolve(OURS, client_id=None),
    ],
)
def test_a_token_of_this_server_is_used_and_renewed(same: Binding) -> None:
    """Also one that was made by hand, or before the issuer was named."""
    used = told((Look, Stored(same.bind(NEW))), TOLD, binding=OURS)
    assert used.held == same.bind(NEW)
    old = Stored(same.bind(OLD))
    line: list[Any] = [(Look, old), LEASED, (LookAgain, old), ASKED, SAVED, TOLD, GIVEN_BACK]
    assert told(*line, binding=OURS).held == NEW
    begun: list[Any] = [(Look, Stored(None)), LEASED, (LookAgain, Stored(None)), SAVED]
    initial = same.bind(NEW)
    assert told(*begun, TOLD, GIVEN_BACK, binding=OURS, initial=initial).held == initial


def test_effects_and_outcomes_are_equal_to_their_own_kind_with_the_same_members() -> None:
    assert Save(NEW) == Save(NEW) != Save(OLD)
    assert {Look(), Look(), LookAgain(), Leased(held=True)} == {
        Leased(held=True),
        LookAgain(),
        Look(),
    }
    assert Refused(DEAD) != Broken(DEAD)
    assert Leased(held=True) != Leased(held=False)


def test_effects_and_outcomes_print_what_they_have_and_no_secret() -> None:
    assert repr(GiveBack()) == "GiveBack()"
    assert repr(Leased(held=True)) == "Leased(held=True)"
    assert "r1" not in repr(Save(attrs.evolve(NEW, refresh_token="r1-canary")))
    assert repr(Save(NEW)) == f"Save(token={NEW!r})"
