"""The rules of the renewal, as tables of literals: no loop, no server, no clock."""

import math
import re
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from oauthkit import (
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
    LeaseTaken,
    ReauthorizationRequired,
    RenewalPolicy,
    ResponseError,
    StoreError,
    Token,
    TransportError,
)
from oauthkit.events import TokenAdopted
from oauthkit.renewal.state import (
    Condition,
    HeldToken,
    Moment,
    Step,
    TokenState,
    pause_after,
    without_refresh_token,
)

EPOCH: Final = 1_700_000_000.0
BOOT: Final = 1_000.0
POLICY: Final = RenewalPolicy(leeway=30.0, jitter=0.0)
EVENT: Final = TokenAdopted(key="k")
TOKEN: Final = Token(
    "a1",
    issued_at=EPOCH,
    expires_at=EPOCH + 100,
    refresh_token="r1",
    refresh_expires_at=EPOCH + 1e6,
)
NEXT: Final = attrs.evolve(TOKEN, access_token="a2", refresh_token="r2")
OTHER: Final = attrs.evolve(TOKEN, access_token="a9", refresh_token="r9")


def at(seconds: float = 0.0, *, wall: float | None = None, chance: float = 0.0) -> Moment:
    """Return a moment so many seconds after the token came."""
    wall = seconds if wall is None else wall
    return Moment(monotonic=BOOT + seconds, time=EPOCH + wall, loop=0.0, chance=chance)


def held(token: Token = TOKEN, *, recheck: float = 50.0, **settings: Any) -> HeldToken:
    return HeldToken.of(token, POLICY, at(), recheck=recheck, fetched=True, **settings)


def state_with(token: Token = TOKEN, **settings: Any) -> TokenState:
    return TokenState(held=held(token, **settings))


# A token at hand


@pytest.mark.parametrize(
    "life, leeway, stale, expires",
    [
        (100.0, 30.0, 70.0, 100.0),
        (100.0, 0.0, 100.0, 100.0),
        (40.0, 30.0, 20.0, 40.0),  # at most half of its life
        (1.0, 30.0, 0.5, 1.0),
        (0.5, 30.0, 0.25, 0.5),
        (0.0, 30.0, 1.0, 1.0),  # a server that calls it expired is not asked again at once
        (-9.0, 30.0, 1.0, 1.0),
        (None, 30.0, math.inf, math.inf),
    ],
)
def test_a_token_is_stale_before_it_expires(
    life: float | None, leeway: float, stale: float, expires: float
) -> None:
    """AT-80."""
    ends = None if life is None else EPOCH + life
    token = attrs.evolve(TOKEN, expires_at=ends)
    policy = RenewalPolicy(leeway=leeway, jitter=0.0)
    kept = HeldToken.of(token, policy, at(), recheck=math.inf, fetched=True)
    assert (kept.stale_at - BOOT, kept.expires_at - BOOT) == (stale, expires)
    assert kept.good_until == kept.stale_at
    assert kept.fetched is True


def test_a_token_that_another_process_fetched_and_that_has_expired_is_not_revived() -> None:
    token = attrs.evolve(TOKEN, expires_at=EPOCH - 5)
    kept = HeldToken.of(token, POLICY, at(), recheck=50.0, fetched=False)
    assert kept.expires_at == BOOT - 5


@pytest.mark.parametrize(
    "jitter, chance, stale", [(0.2, 0.0, 70), (0.2, 1.0, 76), (0.5, 0.5, 77.5), (9.0, 1.0, 100)]
)
def test_the_renewals_of_a_fleet_are_spread_into_the_leeway(
    jitter: float, chance: float, stale: float
) -> None:
    policy = RenewalPolicy(leeway=30.0, jitter=jitter)
    kept = HeldToken.of(TOKEN, policy, at(chance=chance), recheck=math.inf, fetched=True)
    assert kept.stale_at - BOOT == pytest.approx(stale)


def test_the_store_is_looked_at_again_after_a_while() -> None:
    assert held(recheck=5.0).good_until == BOOT + 5


@pytest.mark.parametrize("token", [attrs.evolve(TOKEN, token_type="mac"), Token("a b")])
def test_a_token_that_is_not_for_apis_is_held_without_a_header(token: Token) -> None:
    """Its refresh token may be rotated, so it is kept; whoever presents it gets the error."""
    assert held(token).presentation == ""
    assert held().presentation == "Bearer a1"


# What a call does


@pytest.mark.parametrize(
    "now, condition, step, while_renewing",
    [
        (0, "fresh", Step.USE, Step.USE),
        (49, "fresh", Step.USE, Step.USE),
        (50, "unchecked", Step.WAIT, Step.USE),
        (75, "unchecked", Step.WAIT, Step.USE),
        (100, "expired", Step.WAIT, Step.WAIT),
    ],
)
def test_what_a_call_does_as_a_token_grows_old(
    now: float, condition: str, step: Step, while_renewing: Step
) -> None:
    state = state_with(recheck=50.0)
    assert state.condition(BOOT + now) == condition
    assert state.step(BOOT + now) is step
    assert state.step(BOOT + now, renewing=True) is while_renewing


@pytest.mark.parametrize(
    "now, condition, step, while_renewing",
    [
        (69, "fresh", Step.USE, Step.USE),
        (70, "due", Step.USE_AND_RENEW, Step.USE),
        (99, "due", Step.USE_AND_RENEW, Step.USE),
        (100, "expired", Step.WAIT, Step.WAIT),
    ],
)
def test_what_a_call_does_when_the_store_need_not_be_looked_at(
    now: float, condition: str, step: Step, while_renewing: Step
) -> None:
    state = state_with(recheck=math.inf)
    assert state.condition(BOOT + now) == condition
    assert state.step(BOOT + now) is step
    assert state.step(BOOT + now, renewing=True) is while_renewing


@pytest.mark.parametrize(
    "now, step",
    [
        (50, Step.USE),
        (69, Step.USE),
        (70, Step.USE_AND_RENEW),
        (99, Step.USE_AND_RENEW),
        (100, Step.WAIT),
    ],
)
def test_who_has_waited_for_a_look_at_the_store_waits_for_no_other(now: float, step: Step) -> None:
    state = state_with(recheck=50.0)
    assert state.step(BOOT + now, looked=True) is step
    state.look_before_next_use()
    assert state.step(BOOT + now, looked=True) is step
    state.forget()  # after that look, maybe
    assert state.step(BOOT + now, looked=True) is Step.WAIT


def test_without_a_token_a_call_waits() -> None:
    assert TokenState().condition(BOOT) is Condition.NONE
    assert TokenState().step(BOOT) is Step.WAIT
    assert TokenState().usable(BOOT) is None
    assert TokenState().in_doubt is False


@pytest.mark.parametrize("now, step", [(79, Step.USE), (80, Step.USE_AND_RENEW)])
def test_a_pause_is_over_at_its_end(now: float, step: Step) -> None:
    state = state_with(recheck=math.inf)
    state.resume_at = BOOT + 80
    assert state.step(BOOT + now) is step


@pytest.mark.parametrize("now, step", [(60, Step.USE), (80, Step.USE), (100, Step.WAIT)])
def test_in_a_pause_after_a_failure_what_is_valid_is_used(now: float, step: Step) -> None:
    state = state_with(recheck=50.0)
    state.resume_at = BOOT + 1000
    assert state.step(BOOT + now) is step


def test_after_a_login_or_logout_here_the_store_is_looked_at_whatever_else_goes_on() -> None:
    state = state_with()
    state.resume_at = BOOT + 1000
    state.forget()
    assert state.step(BOOT + 1) is Step.WAIT
    assert state.step(BOOT + 1, renewing=True) is Step.WAIT
    assert state.held is not None
    assert state.held.good_until == -math.inf  # which is all that a call with a token looks at


@pytest.mark.parametrize(
    "now, resume_at, over",
    [(99, -math.inf, False), (100, -math.inf, True), (100, 101, False), (101, 101, True)],
)
def test_what_is_known_of_an_expired_token_is_over_with_the_pause(
    now: float, resume_at: float, *, over: bool
) -> None:
    state = state_with(recheck=math.inf)
    state.resume_at = BOOT + resume_at
    assert state.is_over(BOOT + now) is over
    assert not TokenState().is_over(BOOT + now)


def test_a_look_that_is_asked_for_before_the_next_use_is_no_doubt() -> None:
    state = state_with()
    state.look_before_next_use()
    assert state.condition(BOOT + 1) is Condition.UNCHECKED
    assert state.step(BOOT + 1, renewing=True) is Step.USE
    TokenState().look_before_next_use()


def test_while_the_newest_token_is_not_saved_it_is_used() -> None:
    state = TokenState()
    state.answered(held(NEXT), follows=TOKEN, event=EVENT)
    state.publish()
    assert state.step(BOOT + 1) is Step.USE
    assert state.held is not None
    assert state.held.token == NEXT


# Tokens that an API rejects


def test_a_rejected_token_is_renewed_once() -> None:
    """BT-08."""
    state = state_with()
    assert state.reject(TOKEN, POLICY, BOOT + 10, renewing=False)
    assert not state.reject(TOKEN, POLICY, BOOT + 10, renewing=False)
    assert state.condition(BOOT + 10) is Condition.REJECTED
    assert state.step(BOOT + 10) is Step.WAIT
    assert state.usable(BOOT + 10) is None


@pytest.mark.parametrize("state", [TokenState(), state_with(OTHER)])
def test_a_late_401_to_a_token_that_is_not_at_hand_is_no_news(state: TokenState) -> None:
    assert not state.reject(TOKEN, POLICY, BOOT, renewing=False)
    assert state.rejected is None


@pytest.mark.parametrize(
    "in_row, served, renewing, rejections",
    [
        (0, 0.0, False, 1),
        (1, 0.0, False, 2),
        (4, 1.0, False, 5),
        (4, 16.0, False, 1),  # it served longer than the pause that its rejection would bring
        (9, 60.0, False, 1),
        (4, 0.0, True, 0),  # the server killed it as it gave the next one
    ],
)
def test_only_renewals_that_did_not_help_are_counted(
    in_row: int, served: float, *, renewing: bool, rejections: int
) -> None:
    """AT-83: and a renewal that was started by age is none of them."""
    state = state_with(rejections=in_row)
    state.reject(TOKEN, POLICY, BOOT + served, renewing=renewing)
    assert state.rejections == rejections
    state.answered(held(NEXT, rejections=state.rejections), follows=TOKEN, event=EVENT)
    state.publish()
    assert state.held is not None
    assert (state.held.rejections, state.rejected, state.rejections) == (rejections, None, 0)


@pytest.mark.parametrize(
    "in_row, futile", [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (7, 32), (9, 60)]
)
def test_renewals_that_do_not_help_are_made_more_and_more_seldom(in_row: int, futile: int) -> None:
    """AT-83: meanwhile calls get their 401; a renewal on its way is waited for all the same."""
    state = state_with(rejections=in_row, recheck=math.inf)
    state.reject(TOKEN, POLICY, BOOT, renewing=False)
    if futile:
        assert state.step(BOOT + futile - 0.1) is Step.USE
        assert state.step(BOOT + futile - 0.1, renewing=True) is Step.WAIT
    assert state.step(BOOT + futile) is Step.WAIT


def test_a_rejected_token_that_is_all_there_is_goes_on() -> None:
    state = state_with()
    state.reject(TOKEN, POLICY, BOOT, renewing=False)
    state.accept_rejected()
    assert state.condition(BOOT) is Condition.UNCHECKED
    assert state.rejections == 0


def test_an_adopted_token_breaks_the_row_of_renewals_that_did_not_help() -> None:
    state = state_with(rejections=5)
    state.reject(TOKEN, POLICY, BOOT, renewing=False)
    assert state.adopt(OTHER, POLICY, at(), recheck=5.0)
    assert state.rejections == 0
    state.reject(OTHER, POLICY, BOOT, renewing=False)
    assert state.rejections == 1


# What the store has


@pytest.mark.parametrize(
    "seconds, wall, leeway, serves",
    [
        (0, 0, 30.0, True),
        (69, 69, 30.0, True),
        (70, 70, 30.0, False),
        (99, 99, 0.0, True),
        (100, 100, 0.0, False),
        (10, 5000, 30.0, True),  # the wall clock was set, and what is at hand knows better
        (101, -5000, 0.0, False),
    ],
)
def test_the_token_at_hand_serves_by_the_clock_that_is_never_set(
    seconds: float, wall: float, leeway: float, *, serves: bool
) -> None:
    """AT-79."""
    moment = at(seconds, wall=wall)
    assert state_with().serves(TOKEN, moment, leeway=leeway) is serves


@pytest.mark.parametrize("wall, serves", [(0, True), (69, True), (70, False), (5000, False)])
def test_another_token_serves_by_what_it_says(wall: float, *, serves: bool) -> None:
    assert state_with(OTHER).serves(TOKEN, at(0, wall=wall), leeway=30.0) is serves
    assert TokenState().serves(TOKEN, at(0, wall=wall), leeway=30.0) is serves


def test_what_is_rejected_or_unwanted_does_not_serve() -> None:
    state = state_with()
    assert not state.serves(TOKEN, at(), leeway=0.0, unwanted="a1")
    state.reject(TOKEN, POLICY, BOOT, renewing=False)
    assert not state.serves(TOKEN, at(), leeway=0.0)
    assert state.serves(OTHER, at(), leeway=0.0)


def test_the_same_token_is_held_on_and_another_is_news() -> None:
    state = state_with(recheck=5.0)
    state.forget()
    before = state.held
    assert before is not None
    assert not state.adopt(TOKEN, POLICY, at(40), recheck=5.0)
    assert state.held == attrs.evolve(before, checked_until=BOOT + 45, in_doubt=False)
    assert state.adopt(OTHER, POLICY, at(40), recheck=5.0)
    assert state.held is not None
    assert state.held.fetched is False
    assert state.held.taken_at == BOOT + 40


# What the store has not taken, or has lost


@pytest.mark.parametrize(
    "record, offered",
    [
        (TOKEN, True),
        (without_refresh_token(TOKEN), True),  # who found it spent, by us, has dropped it
        (OTHER, False),
        (NEXT, False),
        (None, False),
    ],
)
def test_what_was_not_saved_is_offered_while_the_store_has_what_it_follows(
    record: Token | None, *, offered: bool
) -> None:
    state = TokenState()
    state.answered(held(NEXT), follows=TOKEN, event=EVENT)
    assert state.newer_than(record) == (NEXT if offered else None)


def test_the_same_token_again_is_not_offered_over_itself() -> None:
    state = TokenState()
    state.answered(held(TOKEN), follows=TOKEN, event=EVENT)
    assert state.newer_than(TOKEN) is None


@pytest.mark.parametrize("record, offered", [(None, True), (OTHER, False)])
def test_a_first_token_follows_nothing(record: Token | None, *, offered: bool) -> None:
    state = TokenState()
    state.answered(held(NEXT), follows=None, event=EVENT)
    assert state.newer_than(record) == (NEXT if offered else None)


@pytest.mark.parametrize(
    "spent, record, offered",
    [
        (["r1"], TOKEN, True),  # the store went back to what this process has spent
        ([], TOKEN, False),
        (["r1"], OTHER, False),
        (["r1"], NEXT, False),
        (["r1"], None, False),  # a logout
        (["r1"], without_refresh_token(TOKEN), False),
        (["r1", "r2"], TOKEN, False),  # what this process has is no better
    ],
)
def test_a_store_that_was_set_back_is_given_the_newer_token(
    spent: list[str], record: Token | None, *, offered: bool
) -> None:
    state = state_with(NEXT)
    for right in spent:
        state.spend(right)
    assert state.newer_than(record) == (NEXT if offered else None)


def test_without_a_token_there_is_nothing_to_offer() -> None:
    state = TokenState()
    state.spend("r1")
    assert state.newest() is None
    assert state.newer_than(TOKEN) is None


def test_what_was_overtaken_is_not_used_on() -> None:
    state = TokenState()
    state.answered(held(NEXT), follows=TOKEN, event=EVENT)
    state.publish()
    state.overtaken()
    assert (state.unsaved, state.held) == (None, None)


def test_being_overtaken_costs_only_what_was_overtaken() -> None:
    state = state_with(OTHER)
    state.overtaken()
    assert state.held is not None
    state.answered(held(NEXT), follows=TOKEN, event=EVENT)
    state.overtaken()
    assert state.held is not None
    assert state.held.token == OTHER


def test_publishing_twice_publishes_once() -> None:
    state = TokenState()
    state.publish()
    assert state.held is None
    state.answered(held(NEXT), follows=TOKEN, event=EVENT)
    state.publish()
    state.reject(NEXT, POLICY, BOOT, renewing=False)
    state.publish()
    assert state.rejected is not None  # the same token does not come back unrejected


def test_a_dead_refresh_token_is_dropped_from_the_token_at_hand() -> None:
    state = state_with()
    state.dropped(without_refresh_token(OTHER))
    assert state.held is not None
    assert state.held.token == TOKEN
    state.dropped(without_refresh_token(TOKEN))
    assert state.held.token.refresh_token is None
    TokenState().dropped(TOKEN)


def test_a_logout_leaves_no_token() -> None:
    state = state_with()
    state.let_go()
    assert state.condition(BOOT) is Condition.NONE


# Rights that are used up


def test_a_spent_right_is_remembered() -> None:
    state = TokenState()
    assert not state.is_spent("r1")
    assert not state.is_spent(None)
    state.spend("r1")
    assert state.is_spent("r1")
    assert not state.is_spent("r2")


# Failures


@pytest.mark.parametrize(
    "error, usable, pauses",
    [
        (ResponseError(status_code=500), False, [0, 1, 2, 4]),
        (StoreError(), False, [0, 1, 2, 4]),
        (ZeroDivisionError(), False, [0, 1, 2, 4]),  # a fault in a grant of the user's
        (TransportError(), False, [1, 2, 4, 8]),  # it was retried already
        (InvalidClient("invalid_client"), False, [1, 2, 4, 8]),  # it may lock an account
        (InvalidGrant("invalid_grant"), False, [1, 2, 4, 8]),
        (ReauthorizationRequired(), False, [0, 0, 0, 0]),  # a login may end it at any moment
        (ConfigurationError(), False, [0, 0, 0, 0]),
        (LeaseTaken(), False, [0, 0, 0, 0]),  # it was waited for long enough
        (ResponseError(status_code=500), True, [1, 2, 4, 8]),
        (ReauthorizationRequired(), True, [1, 2, 4, 8]),
        (LeaseTaken(), True, [1, 2, 4, 8]),
        (ResponseError(status_code=503, retry_after=40.0), False, [40, 40, 40, 40]),
        (ResponseError(status_code=503, retry_after=1e9), False, [60, 60, 60, 60]),
    ],
)
def test_the_pauses_after_failures_grow(
    error: Exception, pauses: list[float], *, usable: bool
) -> None:
    """AT-82: whatever the failure is, it sets one."""
    state = state_with() if usable else TokenState()
    assert [state.failed(error, POLICY, BOOT + 10) for _ in pauses] == pauses
    assert (repr(state.failure), state.failures) == (repr(error), 4)
    assert state.resume_at == BOOT + 10 + pauses[-1]


def test_what_asked_nobody_makes_no_later_pause_longer() -> None:
    state, busy = TokenState(), ResponseError(status_code=503)
    for _ in range(9):
        state.failed(LeaseTaken(), POLICY, BOOT)
    assert [state.failed(busy, POLICY, BOOT) for _ in range(3)] == [0, 1, 2]
    assert state.failed(LeaseTaken(), POLICY, BOOT) == 0
    assert state.failures == 13


def test_a_pause_ends_with_the_token() -> None:
    state = state_with()
    state.counted = 9
    assert state.failed(ResponseError(status_code=500), POLICY, BOOT + 95) == 5


def test_what_the_server_asks_for_is_kept_beyond_the_token() -> None:
    state = state_with()
    busy = ResponseError(status_code=503, retry_after=40.0)
    assert state.failed(busy, POLICY, BOOT + 95) == 40


@pytest.mark.parametrize(
    "failure, now, over",
    [
        (ResponseError(status_code=500), 10, True),  # a new token came
        (ResponseError(status_code=500), 70, False),
        (ResponseError(status_code=500), 80, False),  # the same stale one was found again
        (StoreError(), 80, True),  # the store answers again
        (ResponseError(status_code=500), 100, True),
    ],
)
def test_a_success_ends_the_pauses_of_what_succeeded(
    failure: Exception, now: float, *, over: bool
) -> None:
    state = state_with()
    state.failed(failure, POLICY, BOOT)
    state.succeeded(BOOT + now)
    assert (state.failures == 0) is over
    assert (state.counted == 0) is over
    assert (state.failure is None) is over
    assert (state.resume_at == -math.inf) is over


def test_a_login_here_ends_every_pause_and_every_offer() -> None:
    state = TokenState()
    state.failed(TransportError(), POLICY, BOOT)
    state.answered(held(NEXT), follows=TOKEN, event=EVENT)
    state.forget()
    assert (state.failures, state.unsaved, state.held) == (0, None, None)


@pytest.mark.parametrize(
    "failures, pause", [(-1, 0), (0, 0), (1, 1), (2, 2), (6, 32), (7, 60), (10_000, 60)]
)
def test_a_pause_doubles_up_to_the_longest(failures: int, pause: float) -> None:
    assert pause_after(failures, POLICY) == pause


# What is said of it


def test_no_state_prints_a_secret() -> None:
    """O2-40."""
    state = state_with(attrs.evolve(TOKEN, access_token="canary", refresh_token="canary"))
    state.answered(held(attrs.evolve(TOKEN, access_token="canary")), follows=TOKEN, event=EVENT)
    state.reject(attrs.evolve(TOKEN, access_token="canary"), POLICY, BOOT, renewing=False)
    state.spend("canary")
    assert "canary" not in repr(state)


def test_the_page_on_renewal_has_the_states_and_what_a_call_does_in_each() -> None:
    page = (Path(__file__).parents[2] / "docs" / "renewal.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(\w+)\*\* \|[^|]*\| ([^|]*) \| ([^|]*) \|$", page, re.MULTILINE)
    examples = {
        Condition.NONE: (TokenState(), 0),
        Condition.FRESH: (state_with(), 0),
        Condition.UNCHECKED: (state_with(recheck=5.0), 6),
        Condition.DUE: (state_with(recheck=math.inf), 80),
        Condition.EXPIRED: (state_with(), 100),
        Condition.REJECTED: (state_with(), 1),
    }
    examples[Condition.REJECTED][0].reject(TOKEN, POLICY, BOOT, renewing=False)
    expected = [
        (
            condition.value,
            state.step(BOOT + now).value,
            state.step(BOOT + now, renewing=True).value,
        )
        for condition, (state, now) in examples.items()
    ]
    assert all(state.condition(BOOT + now) is word for word, (state, now) in examples.items())
    assert rows == expected


class Uncopyable(Exception):  # noqa: N818 - the name says what it is
    """An exception of another's that cannot be made again from what it holds."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)


@pytest.mark.parametrize("cause", [OSError("cut"), Uncopyable(reason="no"), KeyboardInterrupt()])
def test_a_remembered_failure_keeps_no_frames(cause: BaseException) -> None:
    """They hold everything that was at work as it was raised, for each key that fails."""
    state = TokenState()
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    error = StoreError("away").with_traceback(caught.tb)
    error.__cause__ = cause
    state.failed(error, POLICY, BOOT)
    assert isinstance(state.failure, StoreError)
    assert state.failure.__traceback__ is None
    if isinstance(cause, OSError):
        assert repr(state.failure.__cause__) == repr(cause)


def test_a_failure_that_cannot_be_copied_is_remembered_as_it_is() -> None:
    state, error = TokenState(), Uncopyable(reason="no")
    state.failed(error, POLICY, BOOT)
    assert state.failure is error
