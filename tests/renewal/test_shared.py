"""What the sessions over one store share, by itself: who waits, who is forgotten, who was used."""

import math
from typing import Any, Final
from weakref import WeakValueDictionary

import anyio
import pytest

from oauthkit import Token
from oauthkit.events import TokenAdopted
from oauthkit.protocol.binding import Binding
from oauthkit.renewal.shared import Renewal, SharedToken, SharedTokens
from oauthkit.renewal.state import HeldToken, Moment
from oauthkit.testing import FakeClock
from tests.renewal.world import STEADY

LIFE: Final = 100.0


class Kept:
    """The tokens of a store that has room for so many keys."""

    def __init__(self, capacity: int = 1000) -> None:
        self.clock = FakeClock()
        self.capacity = capacity
        self.tokens = SharedTokens()

    def of(self, key: str, *, with_token: bool = True) -> SharedToken:
        """Return what is known of a key, as a session is given it; its token begins to live now."""
        shared = self.tokens.of(key, capacity=self.capacity, clock=self.clock)
        if with_token:
            shared.state.held = self.held(key)
        return shared

    def tokens_of(self, issuer: str) -> SharedToken:
        """Return what is known of the key `k` for a server, which has a token there."""
        shared = self.tokens.of(
            "k", capacity=self.capacity, clock=self.clock, binding=Binding(issuer)
        )
        shared.state.held = self.held(issuer)
        return shared

    def held(self, name: str) -> HeldToken:
        now = self.clock.time()
        token = Token(name, issued_at=now, expires_at=now + LIFE)
        at = Moment(self.clock.monotonic(), now, loop=0.0)
        return HeldToken.of(token, STEADY, at, recheck=math.inf, fetched=True)

    def unsaved(self, key: str) -> SharedToken:
        """Return a key whose token the store has not taken."""
        shared = self.of(key)
        shared.state.answered(self.held(key), follows=None, event=TokenAdopted(key=key))
        return shared

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.tokens.items()]


# Who waits


async def test_callers_that_are_let_go_with_an_error_are_not_at_the_end() -> None:
    renewal, error = Renewal(), OSError()
    renewal.tell(error)
    assert (renewal.error, renewal.told) == (error, True)
    assert (renewal.answered.is_set(), renewal.done.is_set()) == (True, False)


@pytest.mark.parametrize("told", [True, False])
async def test_at_the_end_everybody_goes(*, told: bool) -> None:
    renewal = Renewal()
    if told:
        renewal.tell(OSError())
    renewal.end()
    assert (renewal.answered.is_set(), renewal.done.is_set()) == (True, True)
    assert not renewal.told  # whoever comes now has waited for the end


async def test_the_renewal_of_another_event_loop_is_not_waited_for() -> None:
    async def elsewhere() -> Renewal | None:
        return shared.renewal_here()

    shared = SharedToken()
    assert shared.renewal_here() is None
    shared.renewal = Renewal()
    assert shared.renewal_here() is shared.renewal
    assert await anyio.to_thread.run_sync(anyio.run, elsewhere) is None


# Who is forgotten


async def test_what_would_be_lost_is_not_forgotten_for_want_of_room() -> None:
    kept = Kept(capacity=2)
    kept.unsaved("unsaved")
    kept.of("renewing").renewal = Renewal()
    kept.of("idle")
    kept.of("new")
    assert set(kept.keys) == {"unsaved", "renewing", "new"}


async def test_however_many_are_at_work_few_are_looked_at_to_make_room() -> None:
    class Looked(SharedToken):
        looks = 0

        @property
        def idle(self) -> bool:
            Looked.looks += 1
            return super().idle

    kept = Kept(capacity=1)
    for number in range(1000):
        kept.tokens._tokens[str(number), 0] = Looked(renewal=Renewal())
    kept.of("new")
    assert Looked.looks <= 10
    for number in range(1000):
        kept.tokens._tokens[str(number), 0].renewal = None
    for number in range(150):  # and once they are idle, there is soon room again
        kept.of(f"new {number}")
    assert len(kept.keys) == 1


async def test_what_would_be_lost_is_not_forgotten_because_it_has_expired() -> None:
    kept = Kept()
    kept.unsaved("unsaved")
    kept.of("renewing").renewal = Renewal()
    kept.clock.advance(LIFE)
    for number in range(3):
        kept.of(str(number))
    assert kept.keys == ["unsaved", "renewing", "0", "1", "2"]


def test_the_new_one_is_kept_although_nothing_makes_room_for_it() -> None:
    kept = Kept(capacity=1)
    kept.unsaved("unsaved")
    new = kept.of("new")
    assert kept.of("new") is new


def test_the_least_recently_used_one_makes_room() -> None:
    kept = Kept(capacity=3)
    for key in ("a", "b", "c", "a", "d"):
        kept.of(key)
    assert kept.keys == ["c", "a", "d"]


def test_what_has_not_expired_keeps_its_place_as_others_come() -> None:
    kept = Kept()
    for key in ("a", "b", "c", "d"):
        kept.of(key)
    assert kept.keys == ["a", "b", "c", "d"]


def test_what_is_still_to_be_used_does_not_hide_what_has_expired() -> None:
    """Only the oldest are looked at, so sessions that never came for a token move back."""
    kept = Kept()
    for key in ("unused 1", "unused 2"):
        kept.of(key, with_token=False)
    for key in ("gone 1", "gone 2"):
        kept.of(key)
    kept.clock.advance(LIFE)
    for number in range(3):
        kept.of(str(number))
    assert [key for key in kept.keys if key.startswith("gone")] == []
    assert {"unused 1", "unused 2"} < set(kept.keys)


# Who was used


def test_each_use_is_told_once() -> None:
    kept = Kept()
    kept.of("k")
    assert [kept.tokens.in_use("k"), kept.tokens.in_use("k")] == [True, False]
    kept.of("k", with_token=False)  # a session is made for it again
    assert [kept.tokens.in_use("k"), kept.tokens.in_use("k")] == [True, False]
    assert not kept.tokens.in_use("unknown")


def test_the_first_use_after_one_was_asked_about_is_seen() -> None:
    kept = Kept()
    shared = kept.of("k")
    for used in (True, False):
        assert kept.tokens.in_use("k") is used
        held = shared.state.held
        assert held is not None
        assert held.good_until == -math.inf  # so the next call comes to the store
        at = Moment(kept.clock.monotonic(), kept.clock.time(), loop=0.0)
        shared.state.adopt(held.token, STEADY, at, recheck=math.inf)


def test_what_is_used_need_not_be_seen() -> None:
    kept = Kept()
    shared = kept.of("k")
    shared.see_next_use()
    assert shared.state.held is not None
    assert shared.state.held.good_until > kept.clock.monotonic()


def test_a_renewal_is_needed_for_a_use_until_it_has_led_to_another_token() -> None:
    kept = Kept()
    shared = kept.of("k")
    assert [shared.take_need(), shared.take_need()] == [True, True]  # the first one failed
    shared.state.held = kept.held("next")
    assert not shared.take_need()
    shared.used = True
    assert shared.take_need()


def test_without_a_token_every_use_is_a_need_once() -> None:
    shared = Kept().of("k", with_token=False)
    assert [shared.take_need(), shared.take_need()] == [True, False]


# Logins


def test_a_login_is_waited_for_before_the_next_use() -> None:
    kept = Kept()
    shared = kept.of("k")
    kept.tokens.forget("unknown")
    assert not shared.state.in_doubt
    kept.tokens.forget("k")
    assert shared.state.in_doubt


# Whose tokens they are


def test_each_server_and_client_has_a_state_of_its_own_under_one_key() -> None:
    kept = Kept()
    ours, theirs = (kept.tokens_of(issuer) for issuer in ("https://a.example", "https://b.example"))
    assert ours is not theirs
    assert ours is kept.tokens_of("https://a.example")
    assert kept.keys == ["k", "k"]
    kept.capacity = 1
    kept.tokens_of("https://c.example")
    assert len(kept.keys) == 1


def test_a_login_is_told_to_all_of_them() -> None:
    kept = Kept()
    both = [kept.tokens_of(issuer) for issuer in ("https://a.example", "https://b.example")]
    kept.tokens.forget("k")
    kept.tokens.forget("another")
    assert [shared.state.in_doubt for shared in both] == [True, True]


def test_a_key_is_in_use_if_any_of_them_was_used() -> None:
    """And each of them is asked, so that the next use of each is seen."""
    kept = Kept()
    both = [kept.tokens_of(issuer) for issuer in ("https://a.example", "https://b.example")]
    for used in ([True, True], [True, False], [False, True]):
        for shared, one in zip(both, used, strict=True):
            shared.used = one
        assert kept.tokens.in_use("k")
        assert [shared.used for shared in both] == [False, False]
    assert not kept.tokens.in_use("k")
    assert [shared.watched for shared in both] == [shared.state.held for shared in both]


def test_servers_and_clients_that_are_gone_leave_nothing_behind() -> None:
    kept = Kept(capacity=10)
    for number in range(1000):
        kept.tokens_of(f"https://{number}.example")
    for number in range(1000):
        kept.of(f"key {number}")
    assert len(kept.keys) == 10
    assert len(kept.tokens._bindings) < 100
    assert len(kept.tokens._numbers) < 100


def test_however_many_servers_there_are_a_key_is_asked_for_with_its_own_alone() -> None:
    class Counted(WeakValueDictionary[tuple[str, int], SharedToken]):
        looks = 0

        def get(self, key: tuple[str, int], default: Any = None) -> Any:
            self.looks += 1
            return super().get(key, default)

    kept = Kept()
    kept.tokens._alive = alive = Counted()
    sessions = [
        kept.tokens.of(
            f"key {number}", capacity=1000, clock=kept.clock, binding=Binding(str(number))
        )
        for number in range(100)
    ]
    for number in range(100):
        kept.tokens.forget(f"key {number}")
        assert kept.tokens.in_use(f"key {number}")
    assert alive.looks <= 3 * len(sessions)


def test_what_was_spent_is_known_to_who_names_the_server_otherwise_while_a_session_lives() -> None:
    kept = Kept(capacity=10)
    ours = kept.tokens_of("https://a.example")
    ours.state.spend("right")
    for number in range(1000):  # so that it is forgotten, but for the session that has it
        kept.tokens.of(
            f"key {number}", capacity=10, clock=kept.clock, binding=Binding(f"https://{number}")
        )
    assert "k" not in kept.keys
    assert not kept.tokens.in_use("k")
    assert kept.tokens_of("https://b.example").state.is_spent("right")
    assert kept.tokens_of("https://a.example") is ours
