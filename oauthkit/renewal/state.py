"""What one process knows of one key's token: every rule about it, and every write to it.

Nothing here waits, asks or reads a clock: whoever calls says what time it is. The states in words
(`TokenState.condition`), and what a call does in each (`TokenState.step`):

=========== ======================================================== ==========================
state       meaning                                                  a call
=========== ======================================================== ==========================
none        no token is at hand                                      waits for a renewal
fresh       the leeway has not begun, the store was looked at lately  uses it
unchecked   the store is due to be looked at for a login or logout   waits for that look [1]_
due         the leeway has begun                                     uses it; it is renewed beside
expired     its life is over                                         waits for a renewal
rejected    an API answered 401 to it                                waits for a renewal [2]_
=========== ======================================================== ==========================

.. [1] While a renewal is on its way, or a pause after a failure lasts, an unexpired token is used:
   the renewal looks at the store anyway, and a store or server in trouble must not stop calls that
   have what they need. A login or logout in this very process is waited for all the same.
.. [2] Unless the tokens before it were rejected in a row too: then the next renewal waits, longer
   each time, and calls get their 401 meanwhile. A server that always says 401 is not stormed.

Across all of these stand three facts: the last try failed (`failure`, and nothing is tried before
`resume_at`), the store has not taken the newest token yet (`unsaved`), and some rights are spent.

What each event does:

================== ==================================================================
event              effect
================== ==================================================================
`adopt`            the stored token is held; a failure is not forgotten by it
`answered`         the server's answer is `unsaved`, so that nothing can lose it
`publish`          the new token is held; nothing is rejected any more
`saved`            nothing is unsaved
`reject`           the token at hand is rejected
`failed`           a pause begins: 0, 1, 2, 4 s, … or what the server asked for,
                   at most `longest_pause`
`succeeded`        no failure, no pause
`forget`           a login or logout in this process: look before the next use
`let_go`           a logout, or a login at another server under the same key: no
                   token is at hand
`spend`            a right is remembered as used up
================== ==================================================================
"""

import copy
import enum
import math
from typing import Final, Self

import attrs

from oauthkit.errors import (
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
    LeaseTaken,
    OAuthKitError,
    ReauthorizationRequired,
    ResponseError,
    StoreError,
    TransportError,
)
from oauthkit.events import Event
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.token import Token
from oauthkit.protocol.tries import growing_pause
from oauthkit.renewal.policy import RenewalPolicy
from oauthkit.renewal.spent import SpentRights

_FIRST_PAUSE: Final = 1.0
_SHORTEST_LIFE: Final = 1.0  # of a token that a server calls expired as it hands it out
_COSTLY: Final = (TransportError, InvalidClient, InvalidGrant)
"""After these the first pause comes at once: they were retried already, or may lock an account."""
_FREE: Final = (ReauthorizationRequired, ConfigurationError, LeaseTaken)
"""These are found without asking the server, and another process may end them at any moment, by a
login or as its lease ends: without a usable token, they begin no pause."""


class Step(enum.Enum):
    """What a call that wants the token does now."""

    USE = "use"
    """Use the token at hand."""
    USE_AND_RENEW = "use, and renew beside"
    """Use the token at hand, and see to it that it is renewed beside."""
    WAIT = "wait"
    """Wait for the renewal on its way, or begin one and wait for it."""


class Condition(enum.StrEnum):
    """The state of a key's token, in a word; the module's head says what each means."""

    NONE = "none"
    FRESH = "fresh"
    UNCHECKED = "unchecked"
    DUE = "due"
    EXPIRED = "expired"
    REJECTED = "rejected"


_USELESS: Final = frozenset({Condition.NONE, Condition.EXPIRED, Condition.REJECTED})


@attrs.frozen
class Moment:
    """When something was told.

    Attributes:
        monotonic: Seconds on a clock that is never set, for all that counts within the process.
        time: Seconds since the epoch, for what tokens say.
        loop: Seconds on the event loop's clock, for waits.
        chance: A number from 0 to 1, drawn anew each time; it spreads a fleet.
    """

    monotonic: float
    time: float
    loop: float
    chance: float = 0.0


def _good_until(held: "HeldToken") -> float:
    return min(held.stale_at, held.checked_until)


@attrs.frozen
class HeldToken:
    """A token at hand; all moments are seconds on the monotonic clock.

    Attributes:
        presentation: Its `Authorization` header value; empty where it is not for APIs.
        taken_at: When it came.
        stale_at: From then on it is renewed.
        expires_at: From then on it is of no use.
        checked_until: Until then the store need not be looked at.
        fetched: Whether this process got it from the server itself.
        rejections: How many renewals in a row, this token's own the last, a 401 asked for.
        futile_until: Until then a 401 to it is no reason to renew: the last ones did not help.
        in_doubt: Whether a login or logout in this process came after it.
        good_until: Until then it is handed out with no further thought. It follows from the
            others, and is kept because it is all that a call with a fresh token looks at.
    """

    token: Token
    presentation: str = attrs.field(repr=False)
    taken_at: float
    stale_at: float
    expires_at: float
    checked_until: float
    fetched: bool
    rejections: int = 0
    futile_until: float = -math.inf
    in_doubt: bool = False
    good_until: float = attrs.field(init=False, default=attrs.Factory(_good_until, takes_self=True))

    @classmethod
    def of(
        cls,
        token: Token,
        policy: RenewalPolicy,
        at: Moment,
        *,
        recheck: float,
        fetched: bool,
        rejections: int = 0,
    ) -> Self:
        """Return a token as it is held from now on.

        Args:
            token: What is held.
            policy: When it is renewed.
            at: Now.
            recheck: Seconds before the store is looked at again.
            fetched: Whether this process got it from the server itself.
            rejections: How many renewals in a row a 401 asked for.
        """
        life = math.inf if token.expires_at is None else token.expires_at - at.time
        if fetched and life <= 0:
            life = _SHORTEST_LIFE
        leeway = min(token.leeway(policy.leeway), life / 2)
        spread = at.chance * min(policy.jitter, 1.0)
        return cls(
            token=token,
            presentation=_presentation(token),
            taken_at=at.monotonic,
            stale_at=at.monotonic + life - leeway * (1 - spread),
            expires_at=at.monotonic + life,
            checked_until=at.monotonic + recheck,
            fetched=fetched,
            rejections=rejections,
            futile_until=at.monotonic + pause_after(rejections - 1, policy),
        )


def _presentation(token: Token) -> str:
    try:
        return BEARER.authorization(token)
    except ResponseError:
        return ""  # it may be renewed and kept all the same; whoever presents it gets the error


@attrs.frozen
class Unsaved:
    """A token that the server gave and the store has not taken.

    Attributes:
        follows: What the store had when it was asked for; the store is offered the token while it
            still has that.
        event: What is told once the store has it.
    """

    held: HeldToken
    follows: Token | None
    event: Event

    @property
    def token(self) -> Token:
        """The token."""
        return self.held.token

    def fits(self, record: Token | None) -> bool:
        """Tell whether the store still has what this token follows.

        Somebody who found its refresh token spent, by this very process, may have dropped that.
        """
        if self.follows is None:
            return record is None
        return record in {self.follows, without_refresh_token(self.follows)}


@attrs.define(eq=False)
class TokenState:
    """What this process knows about one key; see the module's head.

    Attributes:
        held: The token at hand.
        rejected: The access token that an API answered 401 to, until the next one is fetched.
        rejections: What `HeldToken.rejections` of the next token will be.
        unsaved: The newest token, while the store has not taken it.
        failure: What the last try failed with, until one succeeds.
        failures: How many failed in a row.
        counted: How many of these the next pause grows by.
        failed_at: When the last one did, on the monotonic clock.
        resume_at: Before then nothing is tried, likewise.
        spent: The rights that were used up.
    """

    held: HeldToken | None = None
    rejected: str | None = attrs.field(default=None, repr=False)
    rejections: int = 0
    unsaved: Unsaved | None = None
    failure: Exception | None = None
    failures: int = 0
    counted: int = 0
    failed_at: float = -math.inf
    resume_at: float = -math.inf
    spent: SpentRights = attrs.field(factory=SpentRights)

    # What is so

    def step(self, now: float, *, renewing: bool = False, looked: bool = False) -> Step:
        """Return what a call does that wants the token.

        Args:
            now: Seconds on the monotonic clock.
            renewing: Whether a renewal is on its way.
            looked: Whether the call has waited for a look at the store, however long ago that was.
        """
        condition = self.condition(now, looked=looked)
        if condition is Condition.REJECTED:
            return Step.USE if not renewing and self._is_futile(now) else Step.WAIT
        if condition in _USELESS or self.in_doubt:
            return Step.WAIT
        if condition is Condition.FRESH or renewing or now < self.resume_at:
            return Step.USE
        return Step.WAIT if condition is Condition.UNCHECKED else Step.USE_AND_RENEW

    def condition(self, now: float, *, looked: bool = False) -> Condition:
        """Return the state in a word.

        Args:
            now: Seconds on the monotonic clock.
            looked: Whether the store was looked at for who asks.
        """
        held = self.held
        if held is None:
            return Condition.NONE
        if self.is_rejected(held.token):
            return Condition.REJECTED
        if now >= held.expires_at:
            return Condition.EXPIRED
        if now >= held.checked_until and not looked:
            return Condition.UNCHECKED
        return Condition.DUE if now >= held.stale_at else Condition.FRESH

    @property
    def in_doubt(self) -> bool:
        """Whether a login or logout in this process came after the token at hand."""
        return self.held is not None and self.held.in_doubt

    def usable(self, now: float) -> HeldToken | None:
        """Return the token at hand if it has not expired, however stale it is.

        Args:
            now: Seconds on the monotonic clock.
        """
        return None if self.condition(now) in _USELESS else self.held

    def is_over(self, now: float) -> bool:
        """Tell whether what was known is of no more use: the token at hand has expired.

        Args:
            now: Seconds on the monotonic clock.
        """
        return self.condition(now) is Condition.EXPIRED and now >= self.resume_at

    def is_rejected(self, token: Token) -> bool:
        """Tell whether an API answered 401 to this token."""
        return token.access_token == self.rejected

    def serves(
        self, stored: Token, at: Moment, *, leeway: float, unwanted: str | None = None
    ) -> bool:
        """Tell whether a stored token may be used instead of asking for one.

        Args:
            stored: What the store has.
            at: Now.
            leeway: Seconds that it must be good for yet.
            unwanted: An access token that is to be replaced however fresh it is.
        """
        if self.is_rejected(stored) or stored.access_token == unwanted:
            return False
        held = self.held
        if held is not None and held.token == stored:
            # The wall clock may have been set since; the monotonic one was not.
            ends = held.expires_at if leeway == 0 else held.stale_at
            return at.monotonic < ends
        return stored.fresh(now=at.time, leeway=leeway)

    def newer_than(self, record: Token | None) -> Token | None:
        """Return the token that belongs into the store in the place of a record, if there is one.

        That is the newest one where the store still has what it follows; and where the store has
        gone back (a replica that lagged behind took over, a backup was restored) to a refresh token
        that this process has spent, what this process got for it.

        Args:
            record: What the store has; None after a logout, which nothing supersedes.
        """
        newest = self.newest()
        if newest is None or newest == record:
            return None
        if self.unsaved is not None and self.unsaved.fits(record):
            return newest
        if record is None or not self.is_spent(record.refresh_token):
            return None
        return None if self.is_spent(newest.refresh_token) else newest

    def newest(self) -> Token | None:
        """Return the newest token that this process knows of."""
        if self.unsaved is not None:
            return self.unsaved.token
        return None if self.held is None else self.held.token

    def is_spent(self, right: str | None) -> bool:
        """Tell whether a right, named by its secrets, is known to be used up."""
        return right is not None and right in self.spent

    def _holds(self, token: Token) -> bool:
        return self.held is not None and self.held.token == token

    def _is_futile(self, now: float) -> bool:
        return self.held is not None and now < self.held.futile_until

    # What happens

    def adopt(self, stored: Token, policy: RenewalPolicy, at: Moment, *, recheck: float) -> bool:
        """Hold the stored token, and tell whether that is another one than before."""
        held = self.held
        if held is not None and held.token == stored:
            checked_until = at.monotonic + recheck
            self.held = attrs.evolve(held, checked_until=checked_until, in_doubt=False)
            return False
        self.held = HeldToken.of(stored, policy, at, recheck=recheck, fetched=False)
        self.rejections = 0
        return True

    def answered(self, held: HeldToken, *, follows: Token | None, event: Event) -> None:
        """Keep what the server gave, from the moment it was read until the store has it.

        Args:
            held: The token, as it is held from that moment on.
            follows: What the store had when it was asked for.
            event: What is told once the store has it.
        """
        self.unsaved = Unsaved(held, follows, event)

    def publish(self) -> None:
        """Let everybody use the token that the server gave, saved or not."""
        if self.unsaved is not None and not self._holds(self.unsaved.token):
            self.held = self.unsaved.held
            self.rejected, self.rejections = None, 0

    def saved(self) -> None:
        """Note that the store has the newest token."""
        self.unsaved = None

    def overtaken(self) -> None:
        """Note that somebody else's token has come after the newest of this process."""
        unsaved, self.unsaved = self.unsaved, None
        if unsaved is not None and self._holds(unsaved.token):
            self.held = None

    def dropped(self, token: Token) -> None:
        """Note that a token goes on without its refresh token, which is dead."""
        held = self.held
        if held is not None and held.token.access_token == token.access_token:
            self.held = attrs.evolve(held, token=token)

    def reject(self, rejected: Token, policy: RenewalPolicy, now: float, *, renewing: bool) -> bool:
        """Note that an API answered 401, and tell whether that is news.

        Args:
            rejected: The token that it answered to; one that is not at hand any more is no news.
            policy: Has the longest pause.
            now: Seconds on the monotonic clock.
            renewing: Whether a renewal is on its way. Some servers kill the old access token as
                they give a new one: a 401 then is no sign that the new one will be rejected too.
        """
        held = self.held
        if held is None or held.token.access_token != rejected.access_token:
            return False
        if self.is_rejected(rejected):
            return False
        in_row = held.rejections + 1
        if renewing:
            in_row = 0
        elif now - held.taken_at >= pause_after(in_row, policy):
            in_row = 1  # it served for a while, so renewing helps
        self.rejected, self.rejections = held.token.access_token, in_row
        self.look_before_next_use()
        return True

    def failed(self, error: Exception, policy: RenewalPolicy, now: float) -> float:
        """Note that a renewal failed, and return the seconds before the next try.

        Args:
            error: Why, whatever it is: an exception that nobody expected must not make a storm.
            policy: Has the longest pause.
            now: Seconds on the monotonic clock.
        """
        usable = self.usable(now)
        free = usable is None and isinstance(error, _FREE)
        self.failure, self.failed_at = _kept(error), now
        self.failures, self.counted = self.failures + 1, self.counted + (not free)
        asked = error.retry_after if isinstance(error, OAuthKitError) else None
        first_is_free = usable is None and not isinstance(error, _COSTLY)
        pause = pause_after(self.counted - first_is_free, policy) if asked is None else asked
        if free:
            pause = 0.0
        pause = min(pause, policy.longest_pause)
        if usable is not None and asked is None:
            pause = min(pause, usable.expires_at - now)  # then it is worth a try whatever came
        self.resume_at = now + pause
        return pause

    def succeeded(self, now: float = math.inf) -> None:
        """Note that a renewal succeeded, this process's or another's.

        Args:
            now: Seconds on the monotonic clock. A look at the store that found the same stale token
                again says nothing of the server, and ends no pause that the server is given.
        """
        held = self.held
        looked = held is not None and held.stale_at <= now < held.expires_at
        if not looked or isinstance(self.failure, StoreError):
            self.failure, self.failures, self.counted = None, 0, 0
            self.resume_at = -math.inf

    def forget(self) -> None:
        """Look at the store before the next use: what stands there is the user's word."""
        if self.held is not None:
            self.held = attrs.evolve(self.held, checked_until=-math.inf, in_doubt=True)
        self.unsaved = None
        self.succeeded()

    def look_before_next_use(self) -> None:
        """Have the next use come to the store, so that it is seen there."""
        if self.held is not None:
            self.held = attrs.evolve(self.held, checked_until=-math.inf)

    def let_go(self) -> None:
        """Hold no token: there was a logout, or a login at another server."""
        self.held = None

    def accept_rejected(self) -> None:
        """Go on with a rejected token: it is all there is, and the next 401 says so again."""
        self.rejected, self.rejections = None, 0

    def spend(self, right: str) -> None:
        """Remember that a right, named by its secrets, is used up."""
        self.spent.add(right)


def without_refresh_token(token: Token) -> Token:
    """Return a token as it goes on when its refresh token is dead."""
    return attrs.evolve(token, refresh_token=None, refresh_expires_at=None)


def pause_after(failures: int, policy: RenewalPolicy) -> float:
    """Return the seconds to wait after so many failures: 0, 1, 2, 4 and so on.

    Args:
        failures: How many in a row.
        policy: Has the longest pause.
    """
    return growing_pause(failures, first=_FIRST_PAUSE, longest=policy.longest_pause)


def _kept(error: Exception) -> Exception:
    """Return an error as it is remembered: a traceback would keep all that was at work then."""
    try:
        kept = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception of another's that cannot be copied
        return error
    if isinstance(error.__cause__, Exception):
        kept.__cause__ = _kept(error.__cause__)
    return kept
