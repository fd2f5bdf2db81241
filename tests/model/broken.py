"""Scripts that are broken on purpose, each in a way that somebody could take for a simplification.

What the explorer is worth is seen here: it must find every one of them.
"""

from typing import Any, Final, TypeVar

import attrs

from oauthkit import Token
from oauthkit.renewal.effects import (
    Ask,
    Delete,
    Done,
    Effect,
    Failed,
    GiveBack,
    Leased,
    Look,
    LookAgain,
    Lost,
    Outcome,
    Overtaken,
    Part,
    Revoke,
    Save,
    TakeLease,
)
from oauthkit.renewal.revocation import Revocation
from oauthkit.renewal.script import Script
from oauthkit.renewal.state import TokenState

from .world import DEAD

V = TypeVar("V", Ask, Failed)


def _changed(value: V, **members: object) -> V:
    """Return a value with other members."""
    kept: dict[str, Any] = {name: getattr(value, name) for name in value.__match_args__}
    made: Any = type(value)
    changed: V = made(**kept | members)
    return changed


@attrs.define
class SkipsTheSecondLook(Script):
    """Go by the first look at the store, under the lease too."""

    _seen: Outcome | None = None

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, LookAgain) and self._seen is not None:
            return self._seen
        outcome = yield from Script._do(self, effect)
        if isinstance(effect, Look):
            self._seen = outcome
        return outcome


@attrs.define
class TakesNoLease(Script):
    """Ask the server without the store's lease."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, TakeLease):
            return Leased(held=True)
        if isinstance(effect, Ask):
            effect = _changed(effect, leased=False)
        return (yield from Script._do(self, effect))


@attrs.define
class AsksWithoutALookAtTheLease(Script):
    """Take the lease, and ask without a look whether it is still held."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Ask):
            effect = _changed(effect, leased=False)
        return (yield from Script._do(self, effect))


@attrs.define
class RetriesWithoutALookAtTheLease(Script):
    """Look at the lease before the first try, and at no other."""

    _asked: bool = False

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Ask):
            effect = _changed(effect, leased=not self._asked)
            self._asked = True
        return (yield from Script._do(self, effect))


@attrs.define
class SavesAfterGivingBack(Script):
    """Give the lease back first, so that others wait less."""

    _later: Effect | None = None

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Save):
            self._later = effect
            return Done()
        outcome = yield from Script._do(self, effect)
        if isinstance(effect, GiveBack) and self._later is not None:
            later, self._later = self._later, None
            yield from Script._do(self, later)
        return outcome


@attrs.define
class NeverSaves(Script):
    """Hand the new token out, and keep it in memory alone."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Save):
            return Done()
        return (yield from Script._do(self, effect))


@attrs.define
class GivesBackWhenASaveFails(Script):
    """Leave the lease to others as soon as the store does not take the answer."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Script._do(self, effect)
        if isinstance(outcome, Failed):
            return _changed(outcome, held=False)
        return outcome


@attrs.define
class ForgetsWhatWasNotSaved(Script):
    """Let an answer go that the store did not take."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Script._do(self, effect)
        if isinstance(outcome, Failed):
            self.state.overtaken()
        return outcome


@attrs.define
class ForgetsWhatWasOvertaken(Script):
    """Let an answer go when the lease was lost, though nobody has put anything in its place."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Script._do(self, effect)
        if isinstance(outcome, Overtaken):
            self.state.overtaken()
        return outcome


@attrs.define
class TakesOvertakenForSaved(Script):
    """Think that a refused save was done."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Script._do(self, effect)
        return Done() if isinstance(outcome, Overtaken) else outcome


@attrs.define
class KeepsTheLease(Script):
    """End without giving the lease back."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, GiveBack):
            return Done()
        return (yield from Script._do(self, effect))


@attrs.define
class DropsTheRightWithItsAnswer(Script):
    """Take a lost answer for a refused refresh token."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Script._do(self, effect)
        return DEAD if isinstance(outcome, Lost) else outcome


@attrs.define
class AsksForEver(Script):
    """Repeat a refresh until there is an answer."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Script._do(self, effect)
        while isinstance(effect, Ask) and isinstance(outcome, Lost):
            outcome = yield from Script._do(self, effect)
        return outcome


@attrs.define
class UsesAnybodysToken(Script):
    """Go on with whatever the store has, another server's token too."""

    def _checked(self, stored: Token | None) -> Token | None:
        return stored


@attrs.define
class RevokesWithoutTheLease(Revocation):
    """Delete and revoke what is stored, whoever is renewing it."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, TakeLease):
            return Leased(held=True)
        if isinstance(effect, Delete):
            effect = Delete(leased=False)
        return (yield from Revocation._do(self, effect))


@attrs.define
class RevokesAndKeepsWhatItHolds(Revocation):
    """Leave the token at hand where it is."""

    def _forget(self) -> None:
        """Forget nothing."""


@attrs.define
class RevokesAndKeepsWhatIsStored(Revocation):
    """Leave the stored token where it is."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Delete):
            return Done()
        return (yield from Revocation._do(self, effect))


@attrs.define
class RevokesAnybodysToken(Revocation):
    """Delete whatever the store has, another server's token too."""

    def _check(self, record: Token | None) -> None:
        """Check nothing."""


@attrs.define
class DeletesAndRevokesNothing(Revocation):
    """End the login here alone."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Revoke):
            return Done()
        return (yield from Revocation._do(self, effect))


@attrs.define
class SaysNothingOfWhatLivesOn(Revocation):
    """Take a server that cannot be asked for one that has revoked."""

    def _raise_what_failed(self, error: Exception | None) -> None:
        """Raise nothing."""


@attrs.define
class DeletesWhatIsThereByThen(Revocation):
    """Look at what is stored, and delete whatever is stored a moment later."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        if isinstance(effect, Delete):
            effect = Delete(leased=False)
        return (yield from Revocation._do(self, effect))


@attrs.define
class TakesAnOvertakenDeletionForDone(Revocation):
    """Take a token that was left, as it is not the one that was looked at, for deleted."""

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome = yield from Revocation._do(self, effect)
        return Done() if isinstance(outcome, Overtaken) else outcome


class RemembersNothingSpent(TokenState):
    """Know no right as spent."""

    __slots__ = ()

    def spend(self, right: str) -> None:
        """Remember nothing."""


class OffersOverEverything(TokenState):
    """Offer an answer that was not saved over whatever the user did meanwhile."""

    __slots__ = ()

    def newer_than(self, record: Token | None) -> Token | None:
        """Return the newest token, whatever came after it."""
        unsaved = self.unsaved
        return None if unsaved is None or unsaved.token == record else unsaved.token


class NeverOffersAgain(TokenState):
    """Forget an answer with the renewal that could not save it."""

    __slots__ = ()

    def newer_than(self, record: Token | None) -> Token | None:
        """Return nothing."""
        return None


BROKEN: Final[dict[type[Script] | type[Revocation] | type[TokenState], frozenset[str]]] = {
    AsksForEver: frozenset({"lost answer", "lost request"}),
    AsksWithoutALookAtTheLease: frozenset({"stop"}),
    DeletesAndRevokesNothing: frozenset({"revoke"}),
    DeletesWhatIsThereByThen: frozenset({"login", "revoke"}),
    DropsTheRightWithItsAnswer: frozenset({"lost request"}),
    ForgetsWhatWasNotSaved: frozenset({"store away"}),
    ForgetsWhatWasOvertaken: frozenset({"stop"}),
    GivesBackWhenASaveFails: frozenset({"failing save"}),
    KeepsTheLease: frozenset({"logout"}),
    NeverOffersAgain: frozenset({"store away"}),
    NeverSaves: frozenset(),
    OffersOverEverything: frozenset({"logout"}),
    RemembersNothingSpent: frozenset({"store set back"}),
    RetriesWithoutALookAtTheLease: frozenset({"refused connection", "stop"}),
    RevokesAnybodysToken: frozenset({"foreign login", "revoke"}),
    RevokesAndKeepsWhatIsStored: frozenset({"revoke"}),
    RevokesAndKeepsWhatItHolds: frozenset({"revoke"}),
    RevokesWithoutTheLease: frozenset({"revoke"}),
    SavesAfterGivingBack: frozenset(),
    SaysNothingOfWhatLivesOn: frozenset({"lost request", "revoke"}),
    SkipsTheSecondLook: frozenset(),
    TakesAnOvertakenDeletionForDone: frozenset({"revoke", "stop"}),
    TakesNoLease: frozenset(),
    TakesOvertakenForSaved: frozenset({"logout"}),
    UsesAnybodysToken: frozenset({"foreign login"}),
}
"""Every broken script, and the kinds of faults that it takes to see it."""
