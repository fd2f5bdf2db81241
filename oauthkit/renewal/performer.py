"""Do what a script wants done, against a real store and a real server; decide nothing.

Nobody can cancel a renewal that has an answer, so nothing in it may wait for ever: every wait has
its end here, and what anybody's store or grant raises becomes an outcome.
"""

import math
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial
from typing import Final, TypeVar

import anyio
import attrs

from oauthkit.activity import Activity, ActivityKind, Listener, measured
from oauthkit.errors import (
    ConfigurationError,
    LeaseLost,
    LeaseTaken,
    OAuthKitError,
    StoreError,
    TransportError,
    whereabouts,
)
from oauthkit.events import Event, EventHook, StoreFailed, emit
from oauthkit.exchange import Exchange, Ready
from oauthkit.protocol.echoes import quotes
from oauthkit.protocol.secret import secrets_of
from oauthkit.protocol.token import Token
from oauthkit.renewal.effects import (
    Answered,
    Ask,
    Broken,
    Delete,
    Done,
    Dropped,
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
    Revoke,
    Save,
    Stored,
    TakeLease,
    Tell,
    TooLate,
    Unrevoked,
)
from oauthkit.renewal.event_loop import is_stray
from oauthkit.renewal.revocation import Revocation
from oauthkit.renewal.script import Plan, Script
from oauthkit.renewal.shared import Renewal
from oauthkit.renewal.state import Moment, TokenState
from oauthkit.renewal.turns import Turn, Turns, turns_at
from oauthkit.renewal.watch import Guard
from oauthkit.stores.base import Lease, TokenStore
from oauthkit.stores.leasing import delete_leased

T = TypeVar("T")

_SHORTEST_TRY: Final = 0.1
"""Of the policy's timeout: a try with less time left could not end in time, and is not begun."""
_TICK: Final = 0.001
"""Seconds: less than that, left of a wait, is what its sums were rounded by."""
_PAUSE_AT_THE_END: Final = 0.05
_LONGEST_LEASES: Final = 10
"""Lease lengths for which a lease is kept at most, whatever its store does to extend it."""


class _NotHeldError(TransportError):
    """The lease is not held any more, and so nothing was sent."""


@attrs.define(eq=False)
class Performer:
    """Carry out the scripts of one key.

    Attributes:
        exchange: How a token is asked for.
        store: Where the token lives.
        plan: What may be done, and how long it may take.
        lease_seconds: How long the store's leases live.
        on_event: Told what happens.
    """

    exchange: Exchange
    store: TokenStore
    plan: Plan
    lease_seconds: float
    on_event: EventHook | None = None

    async def perform(self, state: TokenState, renewal: Renewal, guard: Guard) -> Ended | None:
        """Carry out one script to its end; None is that it rests, and is gone on with.

        Args:
            state: What the script decides by.
            renewal: Who waits for it.
            guard: Is told when nobody may stop it.

        Raises:
            OAuthKitError: As the script does.
        """
        begun, renewal.rested = renewal.rested, None
        return await (begun or self._begin(state, renewal, guard)).end()

    def _begin(self, state: TokenState, renewal: Renewal, guard: Guard) -> "_Performance":
        script: Script | Revocation
        if renewal.wish.revoke:
            script = Revocation(state, self.plan, self.now())
        else:
            script = Script(state, self.plan, renewal.wish, self.now())
        return _Performance(self, script, renewal, guard, _Play(script.run()))

    def now(self) -> Moment:
        """Return the moment, as a script is told it."""
        clock = self.exchange.clock
        return Moment(
            monotonic=clock.monotonic(),
            time=clock.time(),
            loop=anyio.current_time(),
            chance=random.random(),  # noqa: S311 - spreads a fleet
        )

    def emit(self, event: Event) -> None:
        """Tell what happened."""
        emit(event, self.on_event, server=self.exchange.line)

    def measured(self, activity: Activity) -> AbstractContextManager[Activity]:
        """Tell a listener of what is done in a block."""
        exchange = self.exchange
        return measured(activity, hook=self.on_event, clock=exchange.clock, server=exchange.line)


@attrs.define(eq=False)
class _Play:
    """A script, as far as it was told.

    Attributes:
        effect: What it wants done next; None at its end.
    """

    _part: Part[Ended]
    effect: Effect | None = attrs.field(init=False)
    _ended: Ended | None = None
    _error: Exception | None = None

    def __attrs_post_init__(self) -> None:
        self.effect = next(self._part)

    def wants(self, kind: type[Effect]) -> bool:
        return isinstance(self.effect, kind)

    def tell(self, outcome: Outcome, at: Moment) -> None:
        try:
            self.effect = self._part.send((outcome, at))
        except StopIteration as end:
            self.effect, self._ended = None, end.value
        except Exception as error:  # noqa: BLE001 - raised at the end, once everything is given back
            self.effect, self._error = None, error

    def end(self) -> Ended:
        if self._ended is None:
            raise self._error or StoreError("the renewal was cut off")
        return self._ended


@attrs.define(eq=False)
class _Performance:
    """One script being carried out."""

    performer: Performer
    script: Script | Revocation
    renewal: Renewal
    guard: Guard
    play: _Play
    turns: Turns = attrs.field(init=False)
    turn: Turn = attrs.field(init=False)
    lease: Lease | None = None
    lease_ends: float = 0.0

    def __attrs_post_init__(self) -> None:
        policy = self.performer.plan.policy
        self.turns = turns_at(self.performer.exchange.line)
        self.turn = self.turns.turn(policy.concurrency, patience=policy.timeout)

    async def end(self) -> Ended | None:
        try:
            await self._go_on()
        finally:
            if self.renewal.rested is None:
                self.turn.leave()
        return self.play.end() if self.renewal.rested is None else None

    async def _go_on(self) -> None:
        while (effect := self.play.effect) is not None:
            if not isinstance(effect, TakeLease):
                self._tell(await self._outcome(effect))
            elif self._may_rest and self.guard.rests(self.turn):
                self.renewal.rested = self
                return
            else:
                await self._take_lease()

    @property
    def _needs_turn(self) -> bool:
        """Whether a token is asked for; what only asks the store waits for no server that hangs."""
        return not (self.renewal.wish.only_offer or self.renewal.wish.revoke)

    @property
    def _may_rest(self) -> bool:
        """Whether it may go on in another task; an activity that is told of is in one."""
        return self._needs_turn and not isinstance(self.performer.on_event, Listener)

    def _tell(self, outcome: Outcome) -> None:
        self.play.tell(outcome, self.performer.now())
        self.guard.critical = self.script.owes_store

    # The lease

    async def _take_lease(self) -> None:
        """Wait for a turn and the lease, and carry out what the script wants done under it.

        The turn comes first: nobody should have to wait for a lease whose holder stands in line.
        """
        seconds = self.performer.plan.policy.timeout
        turn = self.turn if self._needs_turn else nullcontext()
        while self.play.wants(TakeLease):
            began = anyio.current_time()
            try:
                async with turn:
                    began = anyio.current_time()
                    await self._lease_within(seconds)
            except OAuthKitError as error:
                self._tell(Failed(error))
                return
            seconds -= anyio.current_time() - began
            if self.play.wants(TakeLease) and seconds < _TICK:
                self._tell(Failed(self._too_long_held()))

    async def _lease_within(self, seconds: float) -> None:
        """Carry out what is wanted under the lease; nothing, where it cannot be had in time.

        Raises:
            StoreError: The store failed as it was asked for the lease.
        """
        performer = self.performer
        with anyio.CancelScope(deadline=anyio.current_time() + seconds) as wait:
            with self.turn.leasing(wait), self._part("lease"):
                manager, self.lease = await self._asked(self._open_lease)
            try:
                if not wait.cancel_called:
                    wait.deadline = math.inf
                    await self._under_lease()
            finally:
                self.lease = None
                wait.deadline = anyio.current_time() + performer.plan.policy.save_timeout
                try:
                    with self._part("release"):
                        await self._asked(partial(manager.__aexit__, None, None, None))
                except OAuthKitError as error:  # it runs out by itself
                    performer.emit(StoreFailed(key=performer.plan.key, error=error))
        if self.play.wants(GiveBack):
            self._tell(Done())

    async def _open_lease(self) -> tuple[AbstractAsyncContextManager[Lease], Lease]:
        manager = self.performer.store.lease(self.performer.plan.key)
        return manager, await manager.__aenter__()

    async def _under_lease(self) -> None:
        lasts = _LONGEST_LEASES * self.performer.lease_seconds
        self.lease_ends = anyio.current_time() + lasts
        self._tell(Leased(held=self._held()))
        while (effect := self.play.effect) is not None and not isinstance(effect, GiveBack):
            self._tell(await self._outcome(effect))

    def _held(self) -> bool:
        """Tell whether the lease is held; one that fails as it is asked counts as not held."""
        if self.lease is None or anyio.current_time() >= self.lease_ends:
            return False
        try:
            return self.lease.held
        except Exception as cause:  # noqa: BLE001 - anybody's store; nothing is sent on a guess
            performer = self.performer
            performer.emit(StoreFailed(key=performer.plan.key, error=self._fault(cause)))
            return False

    def _too_long_held(self) -> LeaseTaken:
        plan = self.performer.plan
        message = (
            f"the lease of {plan.key!r} could not be had within {plan.policy.timeout:g} s: "
            "somebody else holds it for longer than a renewal may take"
        )
        return LeaseTaken(message)

    # One effect

    async def _outcome(self, effect: Effect) -> Outcome:
        match effect:
            case Look():
                return await self._look(partial(self.performer.store.load, self.performer.plan.key))
            case LookAgain() if self.lease is not None:
                return await self._look(self.lease.load)
            case Save(token) if self.lease is not None:
                return await self._save(self.lease, token)
            case Ask():
                return await self._ask(effect)
            case Pause(wait):
                await self._pause(wait.seconds(self.performer.now().chance))
            case LetGo(error):
                self.renewal.tell(error)
                self.guard.idle.set()
            case Tell(event):
                self.performer.emit(event)
            case Delete() | Dropped() | Revoke():
                return await self._end_login(effect)
            case _:
                message = f"{effect} is not for now"
                raise AssertionError(message)
        return Done()

    async def _pause(self, seconds: float) -> None:
        """Wait; not for long when the work is to end, so that the last offers are made in time."""
        with anyio.move_on_after(seconds):
            await self.guard.ending.wait()
            await anyio.sleep(_PAUSE_AT_THE_END)

    async def _look(self, load: Callable[[], Awaitable[Token | None]]) -> Outcome:
        try:
            return Stored(await self._within("load", load))
        except OAuthKitError as error:
            return Failed(error, held=self._held())

    async def _save(self, lease: Lease, token: Token) -> Outcome:
        try:
            await self._within("save", partial(lease.save, token))
        except LeaseLost:
            return Overtaken()
        except OAuthKitError as error:
            # A first save belongs to the turn, so that a slow store is not flooded by a fast
            # server. A store that takes none is no reason to keep others from the server.
            self.turn.leave()
            return Failed(error, held=self._held())
        return Done()

    async def _end_login(self, effect: Delete | Dropped | Revoke) -> Outcome:
        if isinstance(effect, Delete):
            return await self._delete(leased=effect.leased)
        if isinstance(effect, Revoke):
            return await self._revoke(effect)
        self.renewal.end()
        return Done()

    async def _delete(self, *, leased: bool) -> Outcome:
        store, key = self.performer.store, self.performer.plan.key
        delete: Callable[[], Awaitable[None]] = partial(store.delete, key)
        if leased and self.lease is not None:
            delete = partial(delete_leased, store, key, self.lease)
        try:
            await self._within("delete", delete)
        except LeaseLost:
            return Overtaken()
        except OAuthKitError as error:
            return Failed(error)
        return Done()

    async def _revoke(self, revoke: Revoke) -> Outcome:
        try:
            with self._part("revocation", kind=ActivityKind.REQUEST):
                await self.performer.exchange.revoke(revoke.text, hint=revoke.hint)
        except Exception as error:  # noqa: BLE001 - anybody's client authentication
            return Unrevoked(error)
        return Done()

    async def _ask(self, ask: Ask) -> Outcome:
        left = ask.until - anyio.current_time()
        if not self.turn.had and not self._is_late(left):
            try:
                left = await self._take_turn(ask, left)
            except TransportError as error:
                return NotSent(error)
        if self._is_late(left):
            return TooLate()
        self.guard.critical = True
        outcome = await self._try(ask, left)
        if isinstance(outcome, Answered | Refused):
            self.turns.move()
        return outcome

    async def _take_turn(self, ask: Ask, left: float) -> float:
        """Wait for a turn to ask in, and return how many seconds are left for the request then.

        Without a lease the time in the line takes nothing from it, as it does before a lease.

        Raises:
            TransportError: The line stood still for too long.
        """
        if not ask.leased:
            await self.turn.take()
            return left
        with anyio.move_on_after(left):
            await self.turn.take()
        return ask.until - anyio.current_time()

    def _is_late(self, left: float) -> bool:
        """Tell whether a request with so many seconds left is not to be begun."""
        shortest = self.performer.plan.policy.timeout * _SHORTEST_TRY
        return left < shortest or self.guard.ending.is_set()

    async def _try(self, ask: Ask, seconds: float) -> Outcome:
        built = False

        def check() -> None:
            if ask.leased and not self._held():
                message = "the lease was lost before anything was sent"
                raise _NotHeldError(message, sent=False)

        def ready() -> None:
            nonlocal built
            built = True
            check()

        try:
            check()
            token = await self._asked_for_token(ask, seconds, ready)
        except _NotHeldError:
            return NotHeld()
        except TransportError as error:
            return Lost(error) if error.sent else NotSent(error)
        except ConfigurationError as error:
            return NotSent(error)
        except OAuthKitError as error:
            return Refused(error)
        except Exception as error:  # noqa: BLE001 - a fault in a grant or format of the user's
            return Broken(error) if built else NotSent(error)
        return Answered(token)

    async def _asked_for_token(self, ask: Ask, seconds: float, ready: Ready) -> Token:
        grant_type = self.renewal.activity.grant_type = ask.right.grant_type
        with self._part("token", kind=ActivityKind.REQUEST, grant_type=grant_type):
            return await self.performer.exchange.one_try(
                ask.right, previous=ask.previous, seconds=seconds, ready=ready
            )

    # Every wait for a store

    async def _within(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the store, or a lease of it, answers in time.

        Raises:
            StoreError: It failed, or did not answer in time.
        """
        seconds = self.performer.plan.policy.save_timeout
        with self._part(operation):
            try:
                with anyio.fail_after(seconds):
                    return await self._asked(call)
            except TimeoutError as error:
                message = f"{self._store_name} did not answer within {seconds:g} s"
                raise StoreError(message) from error

    def _part(
        self,
        operation: str,
        *,
        kind: ActivityKind = ActivityKind.STORE,
        grant_type: str | None = None,
    ) -> AbstractContextManager[Activity]:
        """Tell a listener of a part of the renewal that is done in a block."""
        part = Activity(
            kind=kind, operation=operation, grant_type=grant_type, during=self.renewal.activity
        )
        return self.performer.measured(part)

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the store answers; it may fail as it is called, too, or as it is waited for.

        Raises:
            StoreError: It failed.
        """
        try:
            return await call()
        except OAuthKitError:
            raise
        except BaseException as error:
            # Also what a user's own store, or a driver, raises that is no Exception: a cancellation
            # that is not ours must not cut off a save.
            if not isinstance(error, Exception) and not is_stray(error):
                raise
            failure = self._fault(error)
        # Raised out here, so that what came is the cause alone, if it may be.
        raise failure

    def _fault(self, cause: BaseException) -> StoreError:
        """Return the error for what a store raised; that is its cause, unless it quotes a token."""
        error = StoreError(f"{self._store_name} failed with {whereabouts(cause)}")
        state = self.script.state
        known = [at_hand.token for at_hand in (state.held, state.unsaved) if at_hand is not None]
        secrets = frozenset[str]().union(*map(secrets_of, known))
        if not quotes(cause, secrets):
            error.__cause__ = cause
        return error

    @property
    def _store_name(self) -> str:
        return type(self.performer.store).__name__
