"""When a token is renewed, by whom, and with what; which HTTP library carries it is not known here.

A fresh token is looked at and returned. A stale one is renewed by one *flight* per store and key,
which everybody else waits for, or passes by with what is still valid. The store's lease makes it
one flight for as far as the store reaches.
"""

import copy
import math
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Final, TypeVar

import anyio
import attrs

from oauthkit.completion import Completion, current_loop
from oauthkit.copies import Copy, Flight, TokenState
from oauthkit.errors import (
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
    LeaseLost,
    OAuthKitError,
    ReauthorizationRequired,
    StoreError,
    TransportError,
)
from oauthkit.events import (
    Event,
    EventHook,
    RenewalFailed,
    StoreFailed,
    TokenAdopted,
    TokenRejected,
    TokenRenewed,
    emit,
)
from oauthkit.exchange import Exchange
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.grants import GrantStrategy, RefreshToken, Repeat
from oauthkit.protocol.secret import secrets_of
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore

T = TypeVar("T")

_MOST_LOOKS: Final = 5
_FIRST_PAUSE: Final = 1.0


class _LookAgainError(Exception):
    """The stored token changed while it was being renewed."""


@attrs.define(eq=False)
class Renewer:
    """Hand out the token of one key, and see to its renewal.

    Attributes:
        exchange: How a token is asked for.
        grant: The right to a first token; None is "only what the store holds".
        store: Where the token lives.
        key: Under which key.
        state: What this process knows about it; shared by all sessions over the store.
        completion: Sees renewals to their end.
        initial: A token to begin with, where the store has none.
        recheck: Seconds before the store is looked at again.
    """

    exchange: Exchange
    grant: GrantStrategy | None
    store: TokenStore
    key: str
    state: TokenState
    policy: RenewalPolicy
    completion: Completion
    on_event: EventHook | None = None
    initial: Token | None = None
    recheck: float = math.inf

    def peek(self) -> Copy | None:
        """Return the token at hand if it is fresh; this takes no lock, no I/O and no `await`."""
        at_hand = self.state.copy
        if at_hand is not None and self.exchange.clock.monotonic() < at_hand.good_until:
            return at_hand
        return None

    async def token(self, rejected: Token | None = None) -> Copy:
        """Return a token that can be used, renewed if it has to be.

        Args:
            rejected: A token that an API answered 401 to; another one is returned, or the same
                where asking again so soon would be futile.

        Raises:
            ReauthorizationRequired: There is nothing to renew it with.
            OAuthKitError: It could not be renewed; `recovery` says what to do.
        """
        if rejected is not None:
            self.reject(rejected)
        for _ in range(_MOST_LOOKS):
            at_hand = self._at_hand()
            if at_hand is not None:
                return at_hand
            flight = await self._joined()
            if flight.copy is not None and (flight.asked or not self._rejected(flight.copy.token)):
                return flight.copy
            if flight.error is not None:
                usable = self._usable()
                not_saved = flight.asked and isinstance(flight.error, StoreError)
                if usable is not None and not not_saved:
                    return usable
                raise _again(flight.error)
        raise _unsteady()

    async def renewed(self) -> Copy:
        """Return a new token, however fresh the one at hand is.

        Raises:
            OAuthKitError: As for `token`; the token at hand stays in use.
        """
        before = self.state.copy
        at_hand = await self.token()
        if at_hand is not before and at_hand.fetched:
            return at_hand
        unwanted = at_hand.token.access_token
        at_hand.good_until, at_hand.rejections, self.state.rejected = -math.inf, 0, unwanted
        try:
            return await self.token()
        finally:
            if self.state.rejected == unwanted:
                self.state.rejected = None

    def reject(self, rejected: Token) -> None:
        """Note that an API answered 401 to a token, so that it is renewed before the next use."""
        at_hand = self.state.copy
        if at_hand is None or at_hand.token.access_token != rejected.access_token:
            return
        if not self._rejected(rejected):
            self.state.rejected = rejected.access_token
            at_hand.good_until = -math.inf
            self._emit(TokenRejected(key=self.key))

    def _at_hand(self) -> Copy | None:
        """Return the token at hand if it can be used without waiting, and see to its renewal."""
        state, now = self.state, self.exchange.clock.monotonic()
        at_hand = state.copy
        if at_hand is None:
            return None
        if self._rejected(at_hand.token):
            futile = now < at_hand.taken_at + self._pause(at_hand.rejections - 1)
            return at_hand if futile else None
        if now < at_hand.good_until:
            return at_hand
        if now >= at_hand.expires_at or now >= max(at_hand.checked_until, state.resume_at):
            return None
        if now >= state.resume_at and state.flight is None:
            flight = state.flight = Flight()
            self.completion.start(partial(self._fly, flight))
        return at_hand

    def _usable(self) -> Copy | None:
        """Return the token at hand if it has not expired, however stale it is."""
        at_hand = self.state.copy
        if at_hand is None or self._rejected(at_hand.token):
            return None
        return at_hand if self.exchange.clock.monotonic() < at_hand.expires_at else None

    def _rejected(self, token: Token) -> bool:
        return token.access_token == self.state.rejected

    async def _joined(self) -> Flight:
        """Wait for the renewal on its way, or for a new one."""
        flight = self.state.flight
        if flight is not None and flight.loop is current_loop():
            await flight.done.wait()
            return flight
        pause = self.state.resume_at - self.exchange.clock.monotonic()
        if self.state.failure is not None and pause > 0:
            flight = Flight(error=_again(self.state.failure, retry_after=pause))
        else:
            flight = self.state.flight = Flight()
            await self.completion.run(partial(self._fly, flight))
        return flight

    async def _fly(self, flight: Flight) -> None:
        """Renew, and let everybody know; what goes wrong is theirs to raise."""
        try:
            flight.copy = await self._renewed(flight)
            self.state.failure, self.state.failures, self.state.resume_at = None, 0, -math.inf
        except OAuthKitError as error:
            flight.error = error
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a fault in a grant or format of the user's
            flight.error = error
        finally:
            if flight.copy is None and flight.error is None:
                flight.error = TransportError("the event loop ended before the renewal did")
            if self.state.flight is flight:
                self.state.flight = None
            flight.done.set()

    async def _renewed(self, flight: Flight) -> Copy:
        for _ in range(_MOST_LOOKS):
            try:
                found = await self._found()
                if found is not None:
                    return found
                async with self._lease() as lease:
                    return await self._renewed_under(lease, flight)
            except StoreError as error:
                if flight.asked or not self.policy.without_store:
                    raise
                self._emit(StoreFailed(key=self.key, error=error))
                return await self._renewed_under(_NoLease(self.state), flight)
            except _LookAgainError:
                continue
        raise _unsteady()

    async def _found(self) -> Copy | None:
        """Look at the store; return the token there if there is no need to renew it."""
        at_hand = self._usable()
        due = at_hand is not None and self.exchange.clock.monotonic() >= at_hand.checked_until
        stored = await self._asked(self.store.load(self.key))
        if self.state.unsaved is not None:
            return None
        if stored is None:
            self.state.copy = None  # a logout, maybe another process's
        elif self._serves(stored) or (due and at_hand is not None and stored == at_hand.token):
            return self._adopted(stored)
        return None

    async def _renewed_under(self, lease: Lease, flight: Flight) -> Copy:
        stored = await self._asked(lease.load())
        if self.state.unsaved is not None:
            before, token = self.state.unsaved
            self.state.unsaved = None
            if stored == before:
                return await self._kept(lease, before, token)
        if stored is None and self.initial is not None:
            stored, self.initial = self.initial, None
            if self._serves(stored):
                return await self._kept(lease, None, stored)
        if stored is not None and self._serves(stored):
            return self._adopted(stored)
        if not getattr(lease, "held", True):
            raise _LookAgainError
        return await self._fetched(lease, stored, flight)

    async def _fetched(self, lease: Lease, stored: Token | None, flight: Flight) -> Copy:
        refusal: InvalidGrant | None = None
        for right in self._rights(stored):
            started = self.exchange.clock.monotonic()
            try:
                token = await self._exchanged(right, stored)
            except InvalidGrant as error:
                self.state.spent.append(_digest(right))
                refusal = error
                if stored is not None and isinstance(right, RefreshToken):
                    stored = await self._without_refresh_token(lease, stored)
                continue
            flight.asked = True
            kept = await self._kept(lease, stored, token)
            if right.repeat is Repeat.ONCE and right is self.grant:
                self.state.spent.append(_digest(right))
            self._emit(
                TokenRenewed(
                    key=self.key,
                    grant_type=right.grant_type,
                    seconds=self.exchange.clock.monotonic() - started,
                    expires_at=token.expires_at,
                    requested_scope=getattr(right, "scope", None),
                    scope=token.scope,
                )
            )
            return kept
        if refusal is not None and not isinstance(right, RefreshToken):
            raise refusal
        message = (
            f"nothing is left to renew the token of {self.key!r} with; send the resource owner to "
            "log in, and save the new token under this key"
        )
        raise ReauthorizationRequired(message) from refusal

    def _rights(self, stored: Token | None) -> list[GrantStrategy]:
        """Return by what rights a next token may be asked for, the best one first."""
        rights: list[GrantStrategy | None] = []
        if stored is not None:
            ends = stored.refresh_expires_at
            if ends is not None and ends <= self.exchange.clock.time():
                stored = attrs.evolve(stored, refresh_token=None)
            first = self.grant or _STORED_RIGHT
            rights.append(first.renewal(stored))
        if self.grant not in rights:
            rights.append(self.grant)
        return [
            right
            for right in rights
            if right is not None
            and (right.repeat is Repeat.ALWAYS or _digest(right) not in self.state.spent)
        ]

    async def _exchanged(self, right: GrantStrategy, stored: Token | None) -> Token:
        try:
            token = await self.exchange.token(right, previous=stored)
        except ConfigurationError:
            raise
        except OAuthKitError as error:
            sent = not isinstance(error, TransportError) or error.sent
            if right.repeat is Repeat.NEVER and sent:
                self.state.spent.append(_digest(right))
            raise
        if right.repeat is Repeat.NEVER:
            self.state.spent.append(_digest(right))
        life = self.policy.default_life
        if token.expires_at is None and token.issued_at is not None and life is not None:
            return attrs.evolve(token, expires_at=token.issued_at + life)
        return token

    async def _without_refresh_token(self, lease: Lease, stored: Token) -> Token:
        """Drop a refresh token that was refused, unless the stored one changed meanwhile."""
        if await self._asked(self.store.load(self.key)) != stored:
            raise _LookAgainError
        dropped = attrs.evolve(stored, refresh_token=None, refresh_expires_at=None)
        try:
            await self._saved(lease, dropped)
        except StoreError as error:  # the right is in `spent`, so nothing depends on it here
            self._emit(StoreFailed(key=self.key, error=error))
        at_hand = self.state.copy
        if at_hand is not None and at_hand.token.access_token == dropped.access_token:
            at_hand.token = dropped
        return dropped

    async def _kept(self, lease: Lease, before: Token | None, token: Token) -> Copy:
        """Save a token, and only then let anybody use it."""
        old, rejections = self.state.copy, 0
        if old is not None and self._rejected(old.token):
            rejections = old.rejections + 1
        new = self._copy(token, fetched=True, rejections=rejections)
        try:
            await self._saved(lease, token)
        except StoreError as error:
            # The server may have rotated the refresh token: what it gave is kept at hand, and the
            # store is offered it again.
            self.state.unsaved = (before, token)
            new.good_until = new.checked_until = -math.inf
            self.state.copy, self.state.rejected = new, None
            message = "the token was renewed, and the store did not take it; it is kept at hand"
            raise StoreError(message) from error
        self.state.copy, self.state.rejected = new, None
        return new

    async def _saved(self, lease: Lease, token: Token) -> None:
        try:
            with anyio.fail_after(self.policy.save_timeout):
                await self._asked(lease.save(token))
        except LeaseLost:
            raise _LookAgainError from None
        except TimeoutError as error:
            message = f"the store did not take the token within {self.policy.save_timeout:g} s"
            raise StoreError(message) from error

    def _serves(self, stored: Token) -> bool:
        return not self._rejected(stored) and stored.fresh(
            now=self.exchange.clock.time(), leeway=self.policy.leeway
        )

    def _adopted(self, stored: Token) -> Copy:
        """Take a token from the store, or go on with the same one."""
        at_hand = self.state.copy
        if at_hand is not None and at_hand.token == stored:
            now = self.exchange.clock.monotonic()
            at_hand.checked_until = now + self.recheck
            at_hand.good_until = min(at_hand.stale_at, at_hand.checked_until)
            return at_hand
        self.state.copy = self._copy(stored, fetched=False)
        self._emit(TokenAdopted(key=self.key))
        return self.state.copy

    def _copy(self, token: Token, *, fetched: bool, rejections: int = 0) -> Copy:
        clock = self.exchange.clock
        return Copy.of(
            token,
            self.policy,
            now=clock.time(),
            monotonic=clock.monotonic(),
            recheck=self.recheck,
            fetched=fetched,
            rejections=rejections,
        )

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Lease]:
        """Hold the store's lease; waiting for it has an end, and giving it back cannot fail."""
        lease = None
        with anyio.CancelScope() as patience:
            patience.deadline = anyio.current_time() + self.policy.timeout
            manager = self.store.lease(self.key)
            lease = await self._asked(manager.__aenter__())
            patience.deadline = math.inf
            try:
                yield lease
            finally:
                patience.deadline = anyio.current_time() + self.policy.save_timeout
                try:
                    await self._asked(manager.__aexit__(None, None, None))
                except StoreError as error:  # it runs out by itself
                    self._emit(StoreFailed(key=self.key, error=error))
        if lease is None:
            message = (
                f"the lease of {self.key!r} could not be had within {self.policy.timeout:g} s: "
                "somebody else holds it for longer than a renewal may take"
            )
            raise StoreError(message)

    async def _asked(self, answer: Awaitable[T]) -> T:
        """Return what the store answers; whatever else it raises becomes a `StoreError`."""
        try:
            return await answer
        except OAuthKitError:
            raise
        except Exception as error:
            message = f"{type(self.store).__name__} failed with {type(error).__name__}"
            raise StoreError(message) from error

    def _failed(self, error: OAuthKitError) -> None:
        state, usable = self.state, self._usable() is not None
        state.failure, state.failures = error, state.failures + 1
        pause = error.retry_after
        if pause is None:
            pause = self._pause(state.failures - (0 if usable or isinstance(error, _COSTLY) else 1))
        if isinstance(error, _CHEAP) and not usable:
            pause = 0.0
        pause = min(pause, self.policy.longest_pause)
        state.resume_at = self.exchange.clock.monotonic() + pause
        self._emit(RenewalFailed(key=self.key, error=error, usable=usable, pause=pause))

    def _pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures: 0, 1, 2, 4 and so on."""
        if failures < 1:
            return 0.0
        return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), self.policy.longest_pause)

    def _emit(self, event: Event) -> None:
        emit(event, self.on_event)


@attrs.frozen
class _NoLease:
    """Stand in for the lease of a store that cannot be asked (`RenewalPolicy.without_store`)."""

    state: TokenState
    held: bool = True

    async def load(self) -> Token | None:
        return None if self.state.copy is None else self.state.copy.token

    async def save(self, token: Token) -> None:
        self.state.unsaved = (await self.load(), token)


_STORED_RIGHT: Final = RefreshToken(refresh_token="-")  # noqa: S106 - stands for any
"""What a session without a grant renews by: whatever refresh token is stored."""

_COSTLY: Final = (TransportError, InvalidClient, InvalidGrant)
"""After these the first pause comes at once: they were retried already, or may lock an account."""

_CHEAP: Final = (ReauthorizationRequired, ConfigurationError)
"""These are found without asking the server, and a login may end them at any moment."""


def _digest(right: GrantStrategy) -> str:
    return sha256("\0".join((right.grant_type, *sorted(secrets_of(right)))).encode()).hexdigest()


def _again(error: Exception, *, retry_after: float | None = None) -> Exception:
    """Return an error for one more waiter: a shared one would collect everybody's traceback."""
    if not isinstance(error, OAuthKitError):
        return error
    clone = copy.copy(error)
    clone.__cause__ = error.__cause__
    if retry_after is not None:
        clone.retry_after = retry_after
    return clone


def _unsteady() -> StoreError:
    message = "the stored token changed again and again while it was looked at; try later"
    return StoreError(message)
