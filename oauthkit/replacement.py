"""How the stored token of one key is replaced by a next one.

Look at the store; take its lease; look again; ask the server by the best right there is; save; and
only then let anybody use it.
"""

import math
from hashlib import sha256
from typing import Final, Self

import anyio
import attrs

from oauthkit.copies import Copy, Flight, TokenState
from oauthkit.errors import (
    ConfigurationError,
    InvalidGrant,
    LeaseLost,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    StoreError,
    TransportError,
)
from oauthkit.events import Event, EventHook, StoreFailed, TokenAdopted, TokenRenewed, emit
from oauthkit.exchange import Exchange
from oauthkit.patience import PatientStore
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.grants import GrantStrategy, RefreshToken, Repeat
from oauthkit.protocol.secret import secrets_of
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore

_MOST_LOOKS: Final = 5
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class _LookAgainError(Exception):
    """The stored token changed while it was being renewed."""


@attrs.define(eq=False)
class Replacement:
    """See to the stored token of one key.

    Attributes:
        exchange: How a token is asked for.
        grant: The right to a first token; None is "only what the store holds".
        store: Where the token lives.
        key: Under which key.
        state: What this process knows about it; shared by all sessions over the store.
        policy: How long anything may take.
        on_event: Told what happens.
        initial: A token to begin with, where the store has none.
        recheck: Seconds before the store is looked at again.
    """

    exchange: Exchange
    grant: GrantStrategy | None
    store: TokenStore
    key: str
    state: TokenState
    policy: RenewalPolicy
    on_event: EventHook | None = None
    initial: Token | None = None
    recheck: float = math.inf
    _patient: PatientStore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put an end to every wait for the store."""
        self._patient = PatientStore(self.store, self.key, self.policy, self._store_failed)

    async def copy(self, flight: Flight) -> Copy:
        """Return a token that serves, from the store or from the server; it is saved by then.

        Raises:
            ReauthorizationRequired: There is nothing to renew it with.
            OAuthKitError: It could not be renewed, or not be saved.
        """
        if flight.refusal is not None:
            return await self._spared(flight, flight.refusal)
        for _ in range(_MOST_LOOKS):
            try:
                found = await self._found(flight)
                if found is not None:
                    return found
                async with self._patient.lease() as lease:
                    await self._settle(lease)
                    return await self._replaced(lease, flight)
            except StoreError as error:
                if flight.asked or not self.policy.without_store:
                    raise
                self._store_failed(error)
                return await self._replaced(_NoLease.of(self.state), flight)
            except _LookAgainError:
                continue
        raise unsteady()

    async def _spared(self, flight: Flight, refusal: OAuthKitError) -> Copy:
        """Return what another process put into the store, while the server is not asked here."""
        try:
            found = await self._found(flight)
        except StoreError:
            found = None
        if found is None:
            raise refusal
        return found

    async def _found(self, flight: Flight) -> Copy | None:
        """Look at the store; return the token there unless it is to be renewed now.

        One that is valid and stale is news at the first look: it is handed out, and renewed
        beside.
        """
        now = self.exchange.clock.monotonic()
        at_hand = self.state.usable(now=now)
        due = at_hand is None or now >= at_hand.checked_until
        stored = await self._patient.load()
        if self.state.unsaved is not None:
            return None
        if stored is None:
            self.state.copy = None  # a logout, maybe another process's
            return None
        if not self._serves(stored, flight, leeway=0.0):
            return None
        found = self._adopted(stored)
        return found if due or self._serves(stored, flight) else None

    async def _settle(self, lease: Lease) -> None:
        """Offer the store again what it did not take, unless its own changed meanwhile."""
        if self.state.unsaved is None:
            return
        before, token = self.state.unsaved
        if await self._patient.answered(lease.load()) == before:
            await self._saved(lease, token)
        self.state.unsaved = None

    async def _replaced(self, lease: Lease, flight: Flight) -> Copy:
        stored = await self._patient.answered(lease.load())
        if stored is None:
            self.state.copy = None
        if stored is None and self.initial is not None:
            stored = self.initial
            await self._saved(lease, stored)
            self.initial = None
            if self._serves(stored, flight, leeway=0.0):
                return self._adopted(stored)
        if stored is not None and self._serves(stored, flight):
            return self._adopted(stored)
        if not getattr(lease, "held", True):  # never had, or over: this process was stopped
            raise _LookAgainError
        return await self._fetched(lease, stored, flight)

    async def _fetched(self, lease: Lease, stored: Token | None, flight: Flight) -> Copy:
        refusal: InvalidGrant | None = None
        refused: GrantStrategy | None = None
        ends = anyio.current_time() + self.policy.timeout
        for right in self._rights(stored):
            started = self.exchange.clock.monotonic()
            try:
                token = await self._exchanged(right, stored, seconds=ends - anyio.current_time())
            except InvalidGrant as error:
                self.state.spent.append(_digest(right))
                refusal, refused = error, right
                if stored is not None and isinstance(right, RefreshToken):
                    stored = await self._without_refresh_token(lease, stored)
                continue
            flight.asked = True
            if right is self.grant and _used_up(right, token):
                self.state.spent.append(_digest(right))
            kept = await self._kept(lease, stored, token)
            self.emit(
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
        if refusal is not None and not isinstance(refused, RefreshToken):
            raise refusal
        if refusal is None:
            self.state.rejected = None  # it is all there is, and the next 401 says so again
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

    async def _exchanged(
        self, right: GrantStrategy, stored: Token | None, *, seconds: float
    ) -> Token:
        try:
            token = await self.exchange.token(right, previous=stored, seconds=seconds)
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
        if await self._patient.answered(lease.load()) != stored:
            raise _LookAgainError
        dropped = attrs.evolve(stored, refresh_token=None, refresh_expires_at=None)
        try:
            await self._saved(lease, dropped)
        except StoreError as error:  # the right is in `spent`, so nothing depends on it here
            self._store_failed(error)
        at_hand = self.state.copy
        if at_hand is not None and at_hand.token.access_token == dropped.access_token:
            at_hand.token = dropped
        return dropped

    async def _kept(self, lease: Lease, before: Token | None, token: Token) -> Copy:
        """Save a token, and only then let anybody use it."""
        old, rejections = self.state.copy, 0
        if old is not None and self.state.is_rejected(old.token):
            rejections = old.rejections + 1
        new = self._copy(token, fetched=True, rejections=rejections)
        # The server may have rotated the refresh token. Whatever happens now, what it gave is kept
        # at hand, and the store is offered it again while it still has what this token follows.
        pending = self.state.unsaved = (before, token)
        try:
            await self._saved_at_last(lease, token)
        except _LookAgainError:
            if before is None:  # where the store has nothing, that may be a logout
                self.state.unsaved = None
            raise
        except StoreError as error:
            new.good_until = new.checked_until = -math.inf
            self.state.copy, self.state.rejected = new, None
            message = "the token was renewed, and the store did not take it; it is kept at hand"
            raise StoreError(message) from error
        if self.state.unsaved is pending:
            self.state.unsaved = None
        self.state.copy, self.state.rejected = new, None
        return new

    async def _saved_at_last(self, lease: Lease, token: Token) -> None:
        """Save under the lease, however often it takes: a store is restarted within seconds.

        To give the lease back instead would let another process spend the old refresh token again.
        """
        ends, pause = anyio.current_time() + self.policy.save_timeout, _FIRST_PAUSE
        while True:
            try:
                return await self._saved(lease, token)
            except StoreError as error:
                over = anyio.current_time() + pause > ends
                if over or error.recovery is not Recovery.RETRY_LATER:
                    raise
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _saved(self, lease: Lease, token: Token) -> None:
        try:
            await self._patient.answered(lease.save(token))
        except LeaseLost:
            raise _LookAgainError from None

    def _serves(self, stored: Token, flight: Flight, *, leeway: float | None = None) -> bool:
        """Tell whether a stored token is what this renewal is for."""
        wanted = not self.state.is_rejected(stored) and stored.access_token != flight.unwanted
        at_hand, clock = self.state.copy, self.exchange.clock
        if at_hand is not None and at_hand.token == stored:  # the wall clock may have been set
            ends = at_hand.stale_at if leeway is None else at_hand.expires_at
            return wanted and clock.monotonic() < ends
        leeway = self.policy.leeway if leeway is None else leeway
        return wanted and stored.fresh(now=clock.time(), leeway=leeway)

    def _adopted(self, stored: Token) -> Copy:
        """Take a token from the store, or go on with the same one."""
        at_hand = self.state.copy
        if at_hand is not None and at_hand.token == stored:
            now = self.exchange.clock.monotonic()
            at_hand.checked_until = now + self.recheck
            at_hand.good_until = min(at_hand.stale_at, at_hand.checked_until)
            return at_hand
        self.state.copy = self._copy(stored, fetched=False)
        self.emit(TokenAdopted(key=self.key))
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

    def _store_failed(self, error: StoreError) -> None:
        self.emit(StoreFailed(key=self.key, error=error))

    def emit(self, event: Event) -> None:
        """Tell what happened."""
        emit(event, self.on_event)


@attrs.frozen
class _NoLease:
    """Stand in for the lease of a store that cannot be asked (`RenewalPolicy.without_store`)."""

    state: TokenState
    before: Token | None
    held: bool = True

    @classmethod
    def of(cls, state: TokenState) -> Self:
        at_hand = None if state.copy is None else state.copy.token
        return cls(state, at_hand if state.unsaved is None else state.unsaved[0])

    async def load(self) -> Token | None:
        return None if self.state.copy is None else self.state.copy.token

    async def save(self, token: Token) -> None:
        self.state.unsaved = (self.before, token)


_STORED_RIGHT: Final = RefreshToken(refresh_token="-")  # noqa: S106 - stands for any
"""What a session without a grant renews by: whatever refresh token is stored."""


def _used_up(right: GrantStrategy, token: Token) -> bool:
    kept = isinstance(right, RefreshToken) and right.refresh_token == token.refresh_token
    return right.repeat is Repeat.ONCE and not kept


def _digest(right: GrantStrategy) -> str:
    return sha256("\0".join((right.grant_type, *sorted(secrets_of(right)))).encode()).hexdigest()


def unsteady() -> StoreError:
    """Return the error for a token that changes faster than it can be read."""
    message = "the stored token changed again and again while it was looked at; try later"
    return StoreError(message)
