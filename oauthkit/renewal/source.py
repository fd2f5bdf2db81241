"""Hand out the token of one key: who uses what is at hand, and who waits for which renewal."""

from functools import partial
from typing import Final

import anyio
import attrs

from oauthkit.activity import Activity, ActivityKind, ActivityOutcome
from oauthkit.clock import Clock
from oauthkit.errors import (
    ConfigurationError,
    OAuthKitError,
    StoreError,
    TransportError,
    for_another,
)
from oauthkit.events import RenewalFailed, TokenRejected, TokenUnsaved
from oauthkit.protocol.token import Token
from oauthkit.renewal.completion import Completion
from oauthkit.renewal.event_loop import current_loop
from oauthkit.renewal.performer import Performer
from oauthkit.renewal.script import Plan, Wish
from oauthkit.renewal.shared import Renewal, SharedToken
from oauthkit.renewal.state import HeldToken, Moment, Step, TokenState, pause_after
from oauthkit.renewal.status import SessionStatus, status_of
from oauthkit.renewal.watch import Guard, Job

_MOST_RENEWALS: Final = 5
_PAUSE_AT_THE_END: Final = 0.1


@attrs.frozen
class Handed:
    """What a call was handed.

    Attributes:
        held: The token.
        fetched: Whether it was got from the server while this very call waited.
    """

    held: HeldToken
    fetched: bool = False


@attrs.define(eq=False)
class TokenSource:
    """Hand out the token of one key, and see to its renewal.

    Attributes:
        performer: Carries renewals out.
        shared: What all sessions over the store know of the key.
        completion: Sees renewals to their end.
    """

    performer: Performer
    shared: SharedToken
    completion: Completion
    state: TokenState = attrs.field(init=False)
    clock: Clock = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put what every call looks at within reach."""
        self.state = self.shared.state
        self.clock = self.performer.exchange.clock

    @property
    def plan(self) -> Plan:
        """What the renewals of this key may do."""
        return self.performer.plan

    def peek(self) -> HeldToken | None:
        """Return the token at hand if it is fresh; this takes no lock, no I/O and no `await`."""
        held = self.state.held
        if held is not None and self.clock.monotonic() < held.good_until:
            return held
        return None

    async def token(self, *, rejected: Token | None = None) -> Handed:
        """Return a token that can be used, renewed if it has to be.

        Args:
            rejected: A token that an API answered 401 to; another one is returned, or the same
                where asking again so soon would be futile.

        Raises:
            ReauthorizationRequired: There is nothing to renew it with.
            OAuthKitError: It could not be renewed; `recovery` says what to do.
        """
        self.shared.used = True
        if rejected is not None:
            self.reject(rejected)
        for _ in range(_MOST_RENEWALS):
            handed = self._at_hand()
            if handed is None:
                handed = await self._waited(rejected)
            if handed is not None:
                return handed
        raise _unsteady()

    async def renewed(self) -> HeldToken:
        """Return a new token, however fresh the one at hand is.

        Raises:
            OAuthKitError: As for `token`; the token at hand stays in use.
        """
        handed = await self.token()
        if handed.fetched:
            return handed.held
        unwanted = handed.held.token.access_token
        for _ in range(_MOST_RENEWALS):
            renewal = await self._another(unwanted)
            # A server may give the same one again: then that is what this renewal came to.
            held, for_this = renewal.held, renewal.wish.unwanted == unwanted
            if held is not None and (for_this or held.token.access_token != unwanted):
                return held
        raise _unsteady()

    async def revoke(self) -> None:
        """Drop the token, stored and at hand, and have the server revoke it.

        Nobody stops it once it was begun: a caller that is cancelled only stops waiting.

        Raises:
            ConfigurationError: What is stored is of another server or client; it is left there.
            OAuthKitError: Something may live on; the message says what, and where.
        """
        await self._alone()
        failure: list[Exception] = [TransportError("the event loop ended before the revocation")]
        renewal = self.shared.renewal = Renewal(Wish(revoke=True))
        work = partial(self._revoke, renewal, failure)
        await self.completion.wait(self.completion.start(work, partial(self._end_of, renewal)))
        if failure:
            raise failure.pop()

    def status(self, *, key: str | None) -> SessionStatus:
        """Return how it stands with the token.

        Args:
            key: What the key is called there.
        """
        at = Moment(self.clock.monotonic(), self.clock.time(), loop=0.0)
        return status_of(self.state, at, key=key, renewing=self.shared.renewing)

    async def settled(self) -> None:
        """Wait for the renewals on their way, this source's and its siblings'."""
        await self.completion.drain()
        await self.answered()

    async def answered(self) -> None:
        """Wait for the renewal of this key on its way, as far as its callers wait for it."""
        renewal = self.shared.renewal_here()
        if renewal is not None:
            await renewal.answered.wait()

    def reject(self, rejected: Token) -> None:
        """Note that an API answered 401 to a token, so that it is renewed before the next use."""
        renewing = self.shared.renewal_here() is not None
        now = self.clock.monotonic()
        if self.state.reject(rejected, self.plan.policy, now, renewing=renewing):
            self.performer.emit(TokenRejected(key=self.plan.key))

    def begin(self, wish: Wish, *, refusal: OAuthKitError | None = None) -> Renewal:
        """Begin a renewal beside the caller.

        Args:
            wish: What it is for.
            refusal: What its callers get where a mere look at the store finds nothing.
        """
        renewal = self.shared.renewal = Renewal(wish)
        self.completion.start(partial(self._renew, renewal, refusal), partial(self._end, renewal))
        return renewal

    # Who waits for what

    def _at_hand(self, *, looked: bool = False) -> Handed | None:
        """Return the token at hand if it can be used without waiting, and see to its renewal."""
        held, now = self.state.held, self.clock.monotonic()
        renewing = self.shared.renewal_here() is not None
        step = self.state.step(now, renewing=renewing, looked=looked)
        if step is Step.WAIT or held is None:
            return None
        if step is Step.USE_AND_RENEW:
            self.begin(Wish(beside=True))
        return Handed(held)

    async def _waited(self, rejected: Token | None) -> Handed | None:
        """Wait for a renewal, and return what it leads to; None is one more round."""
        with self.performer.measured(Activity(kind=ActivityKind.WAIT)) as wait:
            renewal = await self._awaited()
            wait.during = renewal.activity
            return self._handed_by(renewal, rejected)

    async def _another(self, unwanted: str) -> Renewal:
        """Wait for the renewal on its way, or for a new one that replaces a token."""
        with self.performer.measured(Activity(kind=ActivityKind.WAIT)) as wait:
            renewal = self.shared.renewal_here()
            if renewal is None:
                renewal = self.begin(Wish(unwanted=unwanted))
                await self.completion.wait(renewal.answered)
            else:
                await self._until_told(renewal)
            wait.during = renewal.activity
            if renewal.error is not None:
                raise for_another(renewal.error)
            return renewal

    async def _awaited(self) -> Renewal:
        """Wait for the renewal on its way, or for a new one."""
        renewal = self.shared.renewal_here()
        if renewal is not None:
            await self._until_told(renewal)
            return renewal
        failure, pause = self.state.failure, self.state.resume_at - self.clock.monotonic()
        if failure is None or pause <= 0:
            renewal = self.begin(Wish())
        else:
            refusal = for_another(failure, retry_after=pause)
            if not isinstance(refusal, OAuthKitError) or isinstance(refusal, StoreError):
                raise refusal
            # The server is not asked now; another process may have been luckier.
            renewal = self.begin(Wish(only_look=True), refusal=refusal)
        await self.completion.wait(renewal.answered)
        return renewal

    async def _until_told(self, renewal: Renewal) -> None:
        """Wait for what callers wait for; of a renewal that goes on without them, for its end.

        That is waited for as long as another renewal could take: its lease may be kept for longer.
        """
        if not renewal.answered.is_set():
            await renewal.answered.wait()
            return
        policy = self.plan.policy
        with anyio.move_on_after(policy.timeout + policy.save_timeout):
            await renewal.done.wait()

    def _handed_by(self, renewal: Renewal, rejected: Token | None) -> Handed | None:
        """Return what a renewal that was waited for leads to; None is one more round."""
        if renewal.error is not None:
            usable = self.state.usable(self.clock.monotonic())
            if usable is not None and not renewal.told and usable.token != rejected:
                return Handed(usable)
            raise for_another(renewal.error)
        # Whatever `recheck` is, one look is enough for who has waited for it.
        handed = self._at_hand(looked=renewal.held is not None)
        if handed is None or not renewal.fetched or renewal.held is None:
            return handed
        return attrs.evolve(handed, fetched=handed.held.token == renewal.held.token)

    # One renewal

    async def _renew(self, renewal: Renewal, refusal: OAuthKitError | None, guard: Guard) -> None:
        """Renew, and let everybody know; what goes wrong is theirs to raise."""
        with self.performer.measured(renewal.activity) as activity:
            await self._carry_out(renewal, refusal, guard)
            activity.outcome, activity.error = _outcome(renewal, refusal), renewal.error

    async def _carry_out(
        self, renewal: Renewal, refusal: OAuthKitError | None, guard: Guard
    ) -> None:
        if renewal.rested is None:
            renewal.began = self.clock.monotonic()
        try:
            ended = await self.performer.perform(self.state, renewal, guard)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not make a storm
            self._failed(renewal, error, refusal)
            return
        if ended is None:
            return  # it rests
        renewal.held, renewal.fetched, renewal.error = ended.held, ended.fetched, None
        if ended.held is not None:
            self.state.succeeded(self.clock.monotonic())
        else:
            renewal.error = refusal

    def _failed(self, renewal: Renewal, error: Exception, refusal: OAuthKitError | None) -> None:
        if refusal is not None:  # the pause goes on as it is
            # Another server's token in the store is nothing that a pause will mend.
            renewal.error = error if isinstance(error, ConfigurationError) else refusal
            return
        renewal.error = error
        now, policy = self.clock.monotonic(), self.plan.policy
        usable = self.state.usable(now) is not None
        pause = self.state.failed(error, policy, now)
        self.performer.emit(
            RenewalFailed(
                key=self.plan.key,
                error=error,
                usable=usable,
                pause=pause,
                grant_type=renewal.activity.grant_type,
                seconds=now - renewal.began,
            )
        )

    # One revocation

    async def _alone(self) -> None:
        """Wait for a renewal on its way, so that what it gets is known, and is revoked.

        One that goes on without its callers is not waited for: it offers the store what that does
        not take, and this process knows what that is.
        """
        policy = self.plan.policy
        with anyio.move_on_after(policy.timeout + policy.save_timeout):
            while (renewal := self.shared.renewal_here()) is not None and not renewal.told:
                await renewal.answered.wait()

    async def _revoke(self, renewal: Renewal, failure: list[Exception], guard: Guard) -> None:
        try:
            with self.performer.measured(renewal.activity):
                await self.performer.perform(self.state, renewal, guard)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to know
            failure[:] = [error]
        else:
            failure.clear()

    def _end_of(self, renewal: Renewal, _: Guard) -> None:
        if self.shared.renewal is renewal:
            self.shared.renewal = None
        renewal.end()

    def _end(self, renewal: Renewal, guard: Guard) -> None:
        if renewal.held is None and renewal.error is None and not renewal.wish.only_offer:
            renewal.error = TransportError("the event loop ended before the renewal did")
        if self.shared.renewal is renewal:
            self.shared.renewal = None
        renewal.end()
        if self.state.unsaved is not None and not renewal.wish.only_offer:
            if guard.ending.is_set():
                self._tell_unsaved()
            else:
                self._offer_beside()

    # What the store has not taken

    def _offer_beside(self) -> None:
        """Offer the store what it has not taken, again and again, whether calls come or not."""
        here = current_loop()
        if self.shared.offering is not here:  # one that has ended offers nothing any more
            self.shared.offering = here
            self.completion.start(self._offer, self._end_offers)

    async def _offer(self, guard: Job) -> None:
        guard.critical = True
        guard.idle.set()
        offers = 0
        while self.state.unsaved is not None:
            offers += 1
            with anyio.move_on_after(pause_after(offers, self.plan.policy)):
                await guard.ending.wait()
                await anyio.sleep(_PAUSE_AT_THE_END)
            # In this very task: an event loop that is shut down begins no other.
            renewal = self.shared.renewal = Renewal(Wish(only_offer=True))
            try:
                await guard.pace()
                await self._renew(renewal, None, guard)
            finally:
                self._end(renewal, guard)

    def _end_offers(self, guard: Guard) -> None:
        self.shared.offering = None
        if self.state.unsaved is not None:
            self._tell_unsaved()

    def _tell_unsaved(self) -> None:
        failure = self.state.failure
        error = failure if isinstance(failure, OAuthKitError) else StoreError("it was not asked")
        self.performer.emit(TokenUnsaved(key=self.plan.key, error=error))


def _outcome(renewal: Renewal, refusal: OAuthKitError | None) -> ActivityOutcome:
    """Return how a renewal ended."""
    if renewal.error is not None:
        return ActivityOutcome.PAUSED if renewal.error is refusal else ActivityOutcome.FAILED
    if renewal.wish.only_offer:
        return ActivityOutcome.OFFERED
    return ActivityOutcome.RENEWED if renewal.fetched else ActivityOutcome.ADOPTED


def _unsteady() -> StoreError:
    message = "the token at hand changed again and again while it was waited for; try later"
    return StoreError(message)
