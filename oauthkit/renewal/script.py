"""One renewal, told as it happens: every decision, and nothing done.

Look at the store; take its lease; look again; ask the server by the best right there is; save; and
only then let anybody use it.

A script is a generator. It yields what it wants done (an effect), is sent what came of it (an
outcome, and the moment it was told), and returns how it ended; `effects` lists them all. Who
carries it out is no matter here: `performer` does so against a real store and a real server; a test
does so against any world it can think of, in any order of events.
"""

from typing import Final

import attrs

from oauthkit.errors import (
    InvalidGrant,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    StoreError,
    TransportError,
)
from oauthkit.events import (
    Event,
    StoreFailed,
    TokenAdopted,
    TokenRenewed,
    TokenRestored,
)
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.grants import GrantStrategy, RefreshToken, Repeat
from oauthkit.protocol.refusals import refuses_right
from oauthkit.protocol.secret import secrets_of
from oauthkit.protocol.token import Token
from oauthkit.protocol.tries import Tries, Wait, growing_pause
from oauthkit.renewal.effects import (
    Answered,
    Ask,
    Broken,
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
    Part,
    Pause,
    Refused,
    Save,
    Stored,
    TakeLease,
    Tell,
    TooLate,
)
from oauthkit.renewal.policy import RenewalPolicy
from oauthkit.renewal.state import HeldToken, Moment, TokenState, without_refresh_token

_MOST_LOOKS: Final = 5
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_FEWEST_SAVES: Final = 2  # a process that was stopped finds its first try out of time


# What a script is about


@attrs.frozen
class Wish:
    """What a renewal is for.

    Attributes:
        unwanted: An access token that is to be replaced however fresh it is.
        beside: Nobody waits for it, so a token that is valid and stale is not enough.
        only_look: The server is not asked now; the store may have another's token all the same.
        only_offer: The store is offered what it did not take, and nothing is asked for.
        revoke: It is no renewal: the token is dropped and revoked; see `revocation`.
    """

    unwanted: str | None = attrs.field(default=None, repr=False)
    beside: bool = False
    only_look: bool = False
    only_offer: bool = False
    revoke: bool = False


@attrs.define
class Plan:
    """What the renewals of one key may do.

    Attributes:
        key: The key.
        grant: The right to a first token; None is "only what the store holds".
        policy: When a token is renewed, and how long anything may take.
        recheck: Seconds before the store is looked at again.
        initial: A token to begin with, where the store has none; it is used once.
        binding: Whose tokens these are. One of another server or client is not used, not asked
            with and not replaced.
        stored: Whether the store is the user's, who can save a token there.
    """

    key: str
    grant: GrantStrategy | None
    policy: RenewalPolicy
    recheck: float
    initial: Token | None = None
    binding: Binding = attrs.field(factory=Binding)
    stored: bool = True


class _LookAgainError(Exception):
    """The stored token may have changed while it was being renewed."""


class _RefusedError(Exception):
    """A right is dead."""

    def __init__(self, refusal: OAuthKitError) -> None:
        super().__init__()
        self.refusal = refusal


_STORED_RIGHT: Final = RefreshToken(refresh_token="-")  # noqa: S106 - stands for any
"""What a session without a grant renews by: whatever refresh token is stored."""


@attrs.define
class Script:
    """Tell one renewal.

    Attributes:
        state: What the process knows; every write to it is one of its methods.
        plan: What may be done.
        wish: What the renewal is for.
        at: When the last outcome was told.
    """

    state: TokenState
    plan: Plan
    wish: Wish
    at: Moment
    _leased: bool = True
    _until: float = 0.0
    _was_answered: bool = False
    _let_callers_go: bool = False
    _dropping: bool = False
    _tries: dict[str, Tries] = attrs.field(factory=dict[str, Tries], repr=False)

    @property
    def owes_store(self) -> bool:
        """Whether only this process knows what the store should: a token, or that one is dead."""
        return self.state.unsaved is not None or self._dropping

    def run(self) -> Part[Ended]:
        """Tell the renewal.

        Raises:
            ReauthorizationRequired: There is nothing to renew with.
            ConfigurationError: What is stored is of another server or client.
            OAuthKitError: It could not be renewed, or not be saved.
        """
        try:
            return (yield from self._look_until_steady())
        except StoreError as error:
            if self._was_answered or not self.plan.policy.renew_without_lease:
                raise
            yield from self._tell(StoreFailed(key=self.plan.key, error=error))
        return (yield from self._go_without_lease())

    def _look_until_steady(self) -> Part[Ended]:
        for _ in range(_MOST_LOOKS):
            try:
                ended = yield from self._look()
                return (yield from self._take_lease()) if ended is None else ended
            except _LookAgainError:
                continue
        message = "the stored token changed again and again while it was looked at; try later"
        raise StoreError(message)

    # Look at the store

    def _look(self) -> Part[Ended | None]:
        """Return the end, if what is stored is all that is needed now."""
        usable = self.state.usable(self.at.monotonic)
        due = usable is None or self.at.monotonic >= usable.checked_until
        stored = yield from self._stored(Look())
        if not self._owes(stored) and stored is not None and self._serves(stored, leeway=0.0):
            # One that is valid and stale is news at the first look: it is used, and renewed beside.
            leeway = self.plan.policy.leeway
            enough = (due and not self.wish.beside) or self._serves(stored, leeway=leeway)
            yield from self._adopt(stored)
            if enough:
                return Ended(self.state.held)
        return Ended(None) if self.wish.only_look else None

    def _owes(self, stored: Token | None) -> bool:
        """Tell whether the store is to be given a token, whatever else is wanted; see a logout."""
        unsaved = self.state.unsaved
        if unsaved is not None and unsaved.token != stored:
            return True
        self._see(stored)
        return self.state.newer_than(stored) is not None

    # Take the lease, and look again

    def _take_lease(self) -> Part[Ended]:
        taken = yield from self._do(TakeLease())
        if not isinstance(taken, Leased):
            raise _error_of(taken)
        self._until = self.at.loop + self.plan.policy.timeout
        try:
            ended = yield from self._renew(held=taken.held)
        except Exception:
            yield from self._do(GiveBack())
            raise
        yield from self._do(GiveBack())
        return ended

    def _renew(self, *, held: bool) -> Part[Ended]:
        record = yield from self._stored(LookAgain())
        record = yield from self._offer(record)
        leeway = self.plan.policy.leeway
        if record is None:
            record, leeway = (yield from self._begin()), 0.0
        if record is not None and self._serves(record, leeway=leeway):
            yield from self._adopt(record)
            return Ended(self.state.held)
        if self.wish.only_offer:
            return Ended(None)
        if not held:
            raise _LookAgainError
        return (yield from self._ask(record))

    def _offer(self, record: Token | None) -> Part[Token | None]:
        """Offer the store what it did not take or has lost, and return what it has then."""
        newer = self.state.newer_than(record)
        if newer is None:
            self._see(record)
            return record
        held = self.state.held
        if self.state.unsaved is None and held is not None:
            self.state.answered(held, follows=record, event=TokenRestored(key=self.plan.key))
        self._was_answered = True
        yield from self._save(newer)
        return newer

    def _begin(self) -> Part[Token | None]:
        """Return the token to begin with, saved; it is used once."""
        initial = self._initial()
        if initial is not None:
            saved = yield from self._do(Save(initial))
            if isinstance(saved, Failed):
                raise saved.error
            if isinstance(saved, Overtaken):
                raise _LookAgainError
            self.plan.initial = None
        return initial

    # Ask the server by the best right there is

    def _ask(self, record: Token | None) -> Part[Ended]:
        refusal: OAuthKitError | None = None
        refused: GrantStrategy | None = None
        rights = self._rights(record)
        for right in rights:
            began = self.at.monotonic
            try:
                token = yield from self._token(right, record)
            except _RefusedError as error:
                refusal, refused = error.refusal, right
                self.state.spend(_name(right))
                if record is not None and right.presents is not None:
                    record = yield from self._without_refresh_token(record)
                continue
            yield from self._keep(token, record, self._renewed_event(right, token, began))
            return Ended(self.state.held, fetched=True)
        if refusal is not None and refused is not None and refused.presents is None:
            raise refusal
        raise self._at_an_end(refusal)

    def _rights(self, record: Token | None) -> list[GrantStrategy]:
        """Return by what rights a next token may be asked for, the best one first."""
        rights: list[GrantStrategy | None] = [self.plan.grant]
        if record is not None:
            ends = record.refresh_expires_at
            if ends is not None and ends <= self.at.time:
                # By this machine's clock it is dead. The clock may be wrong: it is tried last.
                without = attrs.evolve(record, refresh_token=None)
                rights = [self._renewal(without), *rights, self._renewal(record)]
            else:
                rights = [self._renewal(record), *rights]
        return [
            right
            for number, right in enumerate(rights)
            if right is not None and right not in rights[:number] and not self._is_spent(right)
        ]

    def _renewal(self, record: Token) -> GrantStrategy | None:
        first = self.plan.grant or _STORED_RIGHT
        asked = first.requested_scope
        if asked is not None and record.scope is not None:
            # The scope of a refreshed token is that token's own. What the login granted may be
            # wider (RFC 6749 §6), and the server alone knows it.
            record = attrs.evolve(record, scope=f"{record.scope} {asked}")
        return first.renewal(record)

    def _is_spent(self, right: GrantStrategy) -> bool:
        return right.repeat is not Repeat.ALWAYS and self.state.is_spent(_name(right))

    def _token(self, right: GrantStrategy, record: Token | None) -> Part[Token]:
        """Return what the server gives, after as many tries as the right allows.

        Raises:
            _RefusedError: The right is dead.
        """
        name = _name(right)
        tries = self._tries.setdefault(name, Tries(right.repeat))
        while True:
            outcome = yield from self._do(Ask(right, record, self._until, self._leased))
            if isinstance(outcome, Answered):
                return self._paid(right, outcome.token)
            if isinstance(outcome, NotHeld):
                raise _LookAgainError
            error = _error_of(outcome)
            if isinstance(outcome, TooLate):
                raise error
            if right.repeat is Repeat.NEVER and not isinstance(outcome, NotSent):
                self.state.spend(name)
            if isinstance(outcome, Refused) and _is_dead(right, outcome.error):
                raise _RefusedError(outcome.error)
            wait = tries.wait_after(error) if isinstance(error, OAuthKitError) else None
            if wait is None or self.at.loop + wait.longest >= self._until:
                raise error
            yield from self._do(Pause(wait))

    def _paid(self, right: GrantStrategy, token: Token) -> Token:
        """Note what the answer used up, and return the token with the life that it has."""
        if right.repeat is not Repeat.ALWAYS and not _is_kept(right, token):
            self.state.spend(_name(right))
        life = self.plan.policy.default_life
        if token.expires_at is None and token.issued_at is not None and life is not None:
            return attrs.evolve(token, expires_at=token.issued_at + life)
        return token

    def _without_refresh_token(self, record: Token) -> Part[Token]:
        """Drop a refresh token that was refused, unless the stored one changed meanwhile."""
        dropped = without_refresh_token(record)
        if self._leased:
            self._dropping = True
            try:
                yield from self._drop(record, dropped)
            finally:
                self._dropping = False
        self.state.dropped(dropped)
        return dropped

    def _drop(self, record: Token, dropped: Token) -> Part[None]:
        if (yield from self._stored(LookAgain())) != record:
            raise _LookAgainError
        saved = yield from self._do(Save(dropped))
        if isinstance(saved, Overtaken):
            raise _LookAgainError
        if isinstance(saved, Failed):  # it is remembered as spent: nothing depends on this
            yield from self._tell(StoreFailed(key=self.plan.key, error=saved.error))

    def _at_an_end(self, refusal: OAuthKitError | None) -> ReauthorizationRequired:
        if refusal is None:
            self.state.accept_rejected()
        whose = f"the token of {self.plan.key!r}" if self.plan.stored else "this session's token"
        remedy = (
            "send the resource owner to log in, and save the new token under this key"
            if self.plan.stored
            else "give the session a grant=, or a token= from a new login"
        )
        reason = f"; the last answer was {refusal}" if refusal is not None else ""
        message = f"nothing is left to renew {whose} with; {remedy}{reason}"
        error = ReauthorizationRequired(message)
        error.__cause__ = refusal
        return error

    # Save, and only then let anybody use it

    def _keep(self, token: Token, record: Token | None, event: Event) -> Part[None]:
        # The server may have rotated the refresh token. Whatever happens from here on, what it gave
        # is kept, and the store is offered it as long as it has what this token follows.
        self._was_answered = True
        unsaved = self.state.unsaved
        follows = record if self._leased or unsaved is None else unsaved.follows
        self.state.answered(self._hold(token), follows=follows, event=event)
        if self._leased:
            try:
                yield from self._save(token)
            except _LookAgainError:
                if record is None:  # where the store had nothing, that may be a logout
                    self.state.overtaken()
                raise
        else:
            self.state.publish()

    def _save(self, token: Token) -> Part[None]:
        """Save under the lease, however often it takes: a store is restarted within seconds.

        To give the lease back instead would let another process spend the old refresh token again.
        Callers that have waited long enough go on meanwhile, with an error.
        """
        began, saves = self.at.loop, 0
        while True:
            outcome = yield from self._do(Save(token))
            if isinstance(outcome, Overtaken):
                raise _LookAgainError
            if not isinstance(outcome, Failed):
                break
            saves += 1
            enough = saves >= _FEWEST_SAVES
            late = enough and self.at.loop - began >= self.plan.policy.save_timeout
            lost = enough and not outcome.held  # the store itself knows whether anybody took it
            hopeless = lost or outcome.error.recovery is not Recovery.RETRY_LATER
            if late or hopeless:
                yield from self._let_go(outcome.error)
            if hopeless:
                raise outcome.error
            pause = growing_pause(saves, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
            yield from self._do(Pause(Wait(0.0, pause)))
        unsaved = self.state.unsaved
        if unsaved is None:  # a login or logout in this process came while the save was answered
            raise _LookAgainError
        self.state.publish()
        self.state.saved()
        yield from self._tell(unsaved.event)

    def _let_go(self, cause: OAuthKitError) -> Part[None]:
        """Let who waits go on with the token at hand, and know that the store has not got it."""
        if not self._let_callers_go:
            self._let_callers_go = True
            self.state.publish()
            message = (
                "the token was renewed, and the store did not take it; it is kept at hand and "
                "offered again"
            )
            error = StoreError(message)
            error.__cause__ = cause
            yield from self._do(LetGo(error))

    # Without the lease

    def _go_without_lease(self) -> Part[Ended]:
        """Renew a token whose store cannot be asked (`RenewalPolicy.renew_without_lease`)."""
        self._leased = False
        self._until = self.at.loop + self.plan.policy.timeout
        record = self.state.newest()
        if record is None and (initial := self._initial()) is not None:
            record, self.plan.initial = initial, None
            event = TokenAdopted(key=self.plan.key)
            self.state.answered(self._hold(record), follows=None, event=event)
        if record is not None and self._serves(record, leeway=0.0):
            yield from self._adopt(record)
            return Ended(self.state.held)
        return (yield from self._ask(record))

    # The small parts

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome, self.at = yield effect
        return outcome

    def _tell(self, event: Event) -> Part[None]:
        yield from self._do(Tell(event))

    def _stored(self, look: Look | LookAgain) -> Part[Token | None]:
        outcome = yield from self._do(look)
        if isinstance(outcome, Stored):
            return self._checked(outcome.token)
        raise _error_of(outcome)

    def _checked(self, stored: Token | None) -> Token | None:
        """Return what the store has, unless it is of another server or client.

        Then somebody has logged in there under this key: what was known before is of no use any
        more, as after a logout.

        Raises:
            ConfigurationError: It is another's.
        """
        if stored is not None and not self.plan.binding.fits(stored):
            self._see(None)
            self.plan.binding.check(stored, key=self.plan.key)
        return stored

    def _initial(self) -> Token | None:
        """Return the token to begin with.

        Raises:
            ConfigurationError: It is of another server or client.
        """
        initial = self.plan.initial
        if initial is not None:
            self.plan.binding.check(initial, key=self.plan.key)
        return initial

    def _see(self, stored: Token | None) -> None:
        """Note what the store has, where that is the last word."""
        unsaved = self.state.unsaved
        if unsaved is not None and unsaved.token == stored:
            self.state.saved()  # by a save of which no answer came
        else:
            self.state.overtaken()
        if stored is None:
            self.state.let_go()

    def _serves(self, stored: Token, *, leeway: float) -> bool:
        return self.state.serves(stored, self.at, leeway=leeway, unwanted=self.wish.unwanted)

    def _adopt(self, stored: Token) -> Part[None]:
        """Use the stored token."""
        if self.state.adopt(stored, self.plan.policy, self.at, recheck=self.plan.recheck):
            yield from self._tell(TokenAdopted(key=self.plan.key))

    def _hold(self, token: Token) -> HeldToken:
        """Return a token that was just read, as it is held from now on."""
        return HeldToken.of(
            token,
            self.plan.policy,
            self.at,
            recheck=self.plan.recheck,
            fetched=True,
            rejections=self.state.rejections,
        )

    def _renewed_event(self, right: GrantStrategy, token: Token, began: float) -> TokenRenewed:
        return TokenRenewed(
            key=self.plan.key,
            grant_type=right.grant_type,
            seconds=self.at.monotonic - began,
            expires_at=token.expires_at,
            requested_scope=right.requested_scope,
            scope=token.scope,
        )


def _error_of(outcome: Outcome) -> Exception:
    """Return what an outcome that is no success raises."""
    match outcome:
        case Failed(error) | Refused(error) | Lost(error) | NotSent(error) | Broken(error):
            return error
        case _:
            message = "no time was left to ask the server: what came before took it all"
            return TransportError(message, sent=False)


def _is_dead(right: GrantStrategy, error: OAuthKitError) -> bool:
    """Tell whether a refusal says that the right is good no more."""
    if right.presents is None:
        return isinstance(error, InvalidGrant)
    return refuses_right(error)


def _is_kept(right: GrantStrategy, token: Token) -> bool:
    """Tell whether the refresh token that was presented goes on."""
    return right.presents is not None and right.presents == token.refresh_token


def _name(right: GrantStrategy) -> str:
    """Return what tells a right from others: the refresh token, all its secrets, or all it has."""
    if right.presents is not None:
        return right.presents
    told = sorted(secrets_of(right)) or [repr(attrs.astuple(right, recurse=False))]
    return "\0".join((right.grant_type, *told))
