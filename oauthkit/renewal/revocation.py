"""The end of a login, told as it happens: every decision, and nothing done (RFC 7009).

Take the lease, so that nobody is renewing the token; look which one is the newest; delete that one;
let everybody go on; and then have the server revoke it. What is dropped here first stays dropped,
whatever the server says, and however long it takes: nobody presents the token any more, and a
renewal that comes later finds a logout. The lease is not kept for the server: there is nothing left
that could be renewed meanwhile.

What was put there between the look and the deletion, by a login or by whoever had the lease since,
is not deleted unseen: all of it begins anew, and everything that was looked at is revoked.

What cannot be read, such as a token that was sealed with a key that is gone, is deleted and told
of: it would come back to life with the key. What cannot be read just now is left for a later try.
"""

from typing import Final

import attrs

from oauthkit.errors import (
    ErrorResponse,
    OAuthKitError,
    Recovery,
    ResponseError,
    StoreError,
)
from oauthkit.protocol.token import Token
from oauthkit.renewal.effects import (
    Delete,
    Dropped,
    Effect,
    Ended,
    Failed,
    GiveBack,
    Leased,
    Look,
    LookAgain,
    Outcome,
    Overtaken,
    Part,
    Revoke,
    Stored,
    TakeLease,
    Unrevoked,
)
from oauthkit.renewal.script import Plan
from oauthkit.renewal.state import Moment, TokenState

_MOST_LEASES: Final = 5
_UNSUPPORTED: Final = "unsupported_token_type"  # RFC 7009 §2.2.1


@attrs.define
class Revocation:
    """Tell how one login is ended.

    Attributes:
        state: What the process knows; every write to it is one of its methods.
        plan: Whose token it is.
        at: When the last outcome was told.
    """

    state: TokenState
    plan: Plan
    at: Moment
    _unseen: OAuthKitError | None = None
    _undeleted: OAuthKitError | None = None
    _seen: tuple[Token, ...] = ()

    @property
    def owes_store(self) -> bool:
        """Whether it must not be stopped now; it is at no time half done."""
        return True

    def run(self) -> Part[Ended]:
        """Tell it.

        Raises:
            ConfigurationError: What is stored is of another server or client; it is left there.
            OAuthKitError: Something may live on, at the server or in the store.
        """
        yield from self._drop()
        yield from self._do(Dropped())
        error = None
        for token in self._seen:
            failed = yield from self._revoke(token)
            error = error or failed
        self._raise_what_failed(error)
        return Ended(None)

    # Drop it here

    def _drop(self) -> Part[None]:
        """Forget what is stored and at hand, and see which tokens that were.

        Raises:
            ConfigurationError: The stored one is another's.
            OAuthKitError: The store cannot be asked, and nothing is known without it.
        """
        for _ in range(_MOST_LEASES):
            taken = yield from self._do(TakeLease())
            if isinstance(taken, Failed):
                self._unseen = taken.error
                break
            held = isinstance(taken, Leased) and taken.held
            try:
                dropped = held and (yield from self._drop_stored(leased=True))
            except OAuthKitError:
                yield from self._do(GiveBack())
                raise
            yield from self._do(GiveBack())
            if dropped:
                return
        else:
            message = "the stored token changed again and again while it was looked at"
            self._unseen = StoreError(message)
        yield from self._drop_stored(leased=False)

    def _drop_stored(self, *, leased: bool) -> Part[bool]:
        """Forget the newest token; False where another one was stored in its place meanwhile.

        Raises:
            ConfigurationError: The stored one is another's.
            OAuthKitError: The store cannot be asked, and nothing is known without it.
        """
        looked = yield from self._do(LookAgain() if leased else Look())
        record = looked.token if isinstance(looked, Stored) else None
        self._check(record)
        token = self._newest(record)
        if token is None and isinstance(looked, Failed) and _may_pass(looked.error):
            raise looked.error  # deleted unseen, it would live on at the server: later it is seen
        self._see(token)
        deleted = yield from self._do(Delete(leased))
        if isinstance(deleted, Overtaken):
            return False
        if isinstance(looked, Failed):
            self._unseen = self._unseen or looked.error
        if isinstance(deleted, Failed):
            self._undeleted = deleted.error
        self._forget()
        return True

    def _see(self, token: Token | None) -> None:
        if token is not None and token not in self._seen:
            self._seen = token, *self._seen

    def _check(self, record: Token | None) -> None:
        if record is not None and not self.plan.binding.fits(record):
            self._forget()
            self.plan.binding.check(record, key=self.plan.key)

    def _newest(self, record: Token | None) -> Token | None:
        """Return the token that lives at the server: what the store has may be behind."""
        state, initial = self.state, self.plan.initial
        if initial is not None and not self.plan.binding.fits(initial):
            initial = None
        return state.newer_than(record) or record or state.newest() or initial

    def _forget(self) -> None:
        self.state.forget()
        self.state.let_go()
        self.plan.initial = None
        presented = None if self.plan.grant is None else self.plan.grant.presents
        if presented is not None and presented in {token.refresh_token for token in self._seen}:
            self.state.spend(presented)  # else the grant would bring back what was dropped

    # Have the server revoke it

    def _revoke(self, token: Token) -> Part[Exception | None]:
        """Return what the server, or the way to it, has against it.

        With the refresh token a server ends the access tokens as well (RFC 7009 §2.1); that one
        alone is revoked where it revokes no refresh tokens, or there is none.
        """
        if token.refresh_token is None:
            return (yield from self._asked(token.access_token, "access_token"))
        error = yield from self._asked(token.refresh_token, "refresh_token")
        if isinstance(error, ErrorResponse) and error.error == _UNSUPPORTED:
            yield from self._asked(token.access_token, "access_token")
        return error

    def _asked(self, text: str, hint: str) -> Part[Exception | None]:
        outcome = yield from self._do(Revoke(text, hint))
        return outcome.error if isinstance(outcome, Unrevoked) else None

    def _raise_what_failed(self, error: Exception | None) -> None:
        stays = self._undeleted
        if self._unseen is not None and not self._seen:
            what = "was dropped" if stays is None else f"was not deleted either ({stays})"
            message = (
                f"the stored token could not be read, and {what}; it may live on at the server: "
                f"{self._unseen}"
            )
            raise _because(self._unseen, message)
        if error is not None:
            where = (
                "the token was dropped here"
                if stays is None
                else f"the token was dropped from memory, and the store did not delete it ({stays})"
            )
            raise _told(error, f"{where}; it may live on at the server")
        if stays is not None:
            message = f"the token was revoked, and the store did not delete it: {stays}"
            raise _because(stays, message)
        if self._unseen is not None:
            message = (
                "the token was revoked and dropped, but whether another process had renewed it "
                f"meanwhile could not be seen, and what that got may live on: {self._unseen}"
            )
            raise _because(self._unseen, message)

    def _do(self, effect: Effect) -> Part[Outcome]:
        outcome, self.at = yield effect
        return outcome


def _may_pass(error: OAuthKitError) -> bool:
    """Whether the same question may be answered later; what cannot be read stays unreadable."""
    return error.recovery is not Recovery.CHANGE_REQUEST


def _because(cause: OAuthKitError, message: str) -> StoreError:
    error = StoreError(message, recovery=cause.recovery, retry_after=cause.retry_after)
    error.__cause__ = cause
    return error


def _told(error: Exception, what: str) -> Exception:
    """Return an error that says, too, what became of the token."""
    if isinstance(error, ErrorResponse | ResponseError):
        error.hint = f"{error.hint}; {what}" if error.hint else what
    elif isinstance(error, OAuthKitError):
        error.args = (f"{error.args[0]}; {what}",)
    else:
        error.add_note(what)
    return error
