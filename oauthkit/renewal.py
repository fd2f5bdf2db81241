"""When a token is renewed, and who waits for it; which HTTP library carries it is not known here.

A fresh token is looked at and returned. A stale one is renewed by one *flight* per store and key,
which everybody else waits for, or passes by with what is still valid.
"""

import copy
import math
from functools import partial
from typing import Final

import attrs

from oauthkit.completion import Completion, current_loop
from oauthkit.copies import Copy, Flight, TokenState
from oauthkit.errors import (
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
    OAuthKitError,
    ReauthorizationRequired,
    StoreError,
    TransportError,
)
from oauthkit.events import RenewalFailed, TokenRejected
from oauthkit.exchange import Clock
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.token import Token
from oauthkit.replacement import Replacement, unsteady

__all__ = ["RenewalPolicy", "Renewer"]

_MOST_FLIGHTS: Final = 5
_FIRST_PAUSE: Final = 1.0
_COSTLY: Final = (TransportError, InvalidClient, InvalidGrant)
"""After these the first pause comes at once: they were retried already, or may lock an account."""
_CHEAP: Final = (ReauthorizationRequired, ConfigurationError)
"""These are found without asking the server, and a login may end them at any moment."""


@attrs.define(eq=False)
class Renewer:
    """Hand out the token of one key, and see to its renewal.

    Attributes:
        replacement: How one renewal is done.
        completion: Sees renewals to their end.
    """

    replacement: Replacement
    completion: Completion
    state: TokenState = attrs.field(init=False)
    clock: Clock = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put what every call looks at within reach."""
        self.state = self.replacement.state
        self.clock = self.replacement.exchange.clock

    def peek(self) -> Copy | None:
        """Return the token at hand if it is fresh; this takes no lock, no I/O and no `await`."""
        at_hand = self.state.copy
        if at_hand is not None and self.clock.monotonic() < at_hand.good_until:
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
        for _ in range(_MOST_FLIGHTS):
            at_hand = self._at_hand()
            if at_hand is not None:
                return at_hand
            flight = await self._joined()
            if flight.copy is not None and (
                flight.asked or not self.state.is_rejected(flight.copy.token)
            ):
                return self._at_hand() or flight.copy  # it may be stale: then see to that, too
            if flight.error is not None:
                usable = self.state.usable(now=self.clock.monotonic())
                saved = not (flight.asked and isinstance(flight.error, StoreError))
                if usable is not None and saved and usable.token != rejected:
                    return usable
                raise _once_more(flight.error)
        raise unsteady()

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
        for _ in range(_MOST_FLIGHTS):
            flight = self._flight_here()
            if flight is None:
                flight = await self._flown(Flight(unwanted=unwanted))
            else:
                await flight.done.wait()
            if flight.error is not None:
                raise _once_more(flight.error)
            if flight.copy is not None and flight.copy.token.access_token != unwanted:
                return flight.copy
            if flight.unwanted == unwanted and flight.copy is not None:
                return flight.copy  # the server gave the same one again
        raise unsteady()

    def reject(self, rejected: Token) -> None:
        """Note that an API answered 401 to a token, so that it is renewed before the next use."""
        at_hand = self.state.copy
        if at_hand is None or at_hand.token.access_token != rejected.access_token:
            return
        if not self.state.is_rejected(rejected):
            self.state.rejected = rejected.access_token
            at_hand.good_until = -math.inf
            self.replacement.emit(TokenRejected(key=self.replacement.key))

    def _at_hand(self) -> Copy | None:
        """Return the token at hand if it can be used without waiting, and see to its renewal."""
        state, now = self.state, self.clock.monotonic()
        at_hand = state.copy
        if at_hand is None:
            return None
        if self.state.is_rejected(at_hand.token):
            futile = now < at_hand.taken_at + self._pause(at_hand.rejections - 1)
            return at_hand if futile else None
        if now < at_hand.good_until:
            return at_hand
        if now >= at_hand.expires_at or now >= max(at_hand.checked_until, state.resume_at):
            return None
        if now >= state.resume_at and self._flight_here() is None:
            flight = state.flight = Flight()
            self.completion.start(partial(self._fly, flight), partial(self._landed, flight))
        return at_hand

    async def _joined(self) -> Flight:
        """Wait for the renewal on its way, or for a new one."""
        flight = self._flight_here()
        if flight is not None:
            await flight.done.wait()
            return flight
        pause = self.state.resume_at - self.clock.monotonic()
        if self.state.failure is not None and pause > 0:
            refusal = _again(self.state.failure, retry_after=pause)
            if isinstance(refusal, StoreError):
                return Flight(error=refusal)
            return await self._flown(Flight(refusal=refusal))
        return await self._flown(Flight())

    def _flight_here(self) -> Flight | None:
        """Return the renewal on its way in this event loop; another loop's cannot be waited for."""
        flight = self.state.flight
        return flight if flight is not None and flight.loop is current_loop() else None

    async def _flown(self, flight: Flight) -> Flight:
        self.state.flight = flight
        await self.completion.run(partial(self._fly, flight), partial(self._landed, flight))
        return flight

    async def _fly(self, flight: Flight) -> None:
        """Renew, and let everybody know; what goes wrong is theirs to raise."""
        try:
            flight.copy = await self.replacement.copy(flight)
            self.state.failure, self.state.failures, self.state.resume_at = None, 0, -math.inf
        except OAuthKitError as error:
            flight.error = error
            if error is not flight.refusal:
                self._failed(error)
        except Exception as error:  # noqa: BLE001 - a fault in a grant or format of the user's
            flight.error = error

    def _landed(self, flight: Flight) -> None:
        if flight.copy is None and flight.error is None:
            flight.error = TransportError("the event loop ended before the renewal did")
        if self.state.flight is flight:
            self.state.flight = None
        flight.done.set()

    def _failed(self, error: OAuthKitError) -> None:
        state, now = self.state, self.clock.monotonic()
        usable = state.usable(now=now)
        state.failure, state.failures = error, state.failures + 1
        pause, costly = error.retry_after, isinstance(error, _COSTLY)
        if pause is None:
            pause = self._pause(state.failures - (1 if usable is None and not costly else 0))
        if isinstance(error, _CHEAP) and usable is None:
            pause = 0.0
        pause = min(pause, self.replacement.policy.longest_pause)
        if usable is not None and error.retry_after is None:
            pause = min(pause, usable.expires_at - now)  # then it is worth a try whatever came
        state.resume_at = now + pause
        self.replacement.emit(
            RenewalFailed(
                key=self.replacement.key, error=error, usable=usable is not None, pause=pause
            )
        )

    def _pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures: 0, 1, 2, 4 and so on."""
        if failures < 1:
            return 0.0
        return min(
            _FIRST_PAUSE * 2.0 ** min(failures - 1, 16), self.replacement.policy.longest_pause
        )


def _once_more(error: Exception) -> Exception:
    return _again(error) if isinstance(error, OAuthKitError) else error


def _again(error: OAuthKitError, *, retry_after: float | None = None) -> OAuthKitError:
    """Return an error for one more waiter: a shared one would collect everybody's traceback."""
    clone = copy.copy(error)
    clone.__cause__ = error.__cause__
    if retry_after is not None:
        clone.retry_after = retry_after
    return clone
