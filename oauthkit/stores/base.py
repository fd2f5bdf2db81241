"""The contract of a token store.

A store keeps one token per key and lends out **leases**: the right to renew the token of a key,
which one holder at a time has, as far as the store reaches (a process, a machine, a fleet). A lease
runs out by itself, so a holder that dies blocks nobody for long, and it is *fenced*: a holder that
was stopped, woke up after its lease had run out, and still saves, is refused if somebody else has
had the lease since, or the token was changed. Where nobody came, its save is taken however late it
is: what the server gave may be the only refresh token that is still good. To delete under a lease
is fenced alike: a login that nobody has looked at is not deleted.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from weakref import WeakSet

from oauthkit.protocol.token import Token


class Lease(Protocol):
    """The right to renew the token of one key, while the lease is open."""

    @property
    def held(self) -> bool:
        """Whether this is the right to renew, now.

        It ends by itself when the lease runs out, for good: time alone decides here, as it is
        looked at before the server is asked. A process that was stopped, and wakes up late, must
        not present a refresh token that somebody else may have spent meanwhile.

        A store may answer a waiting `TokenStore.lease` early, without the right, once the stored
        token has changed while it waited: then `load` gives that token, and `save` is refused.
        """
        ...

    async def load(self) -> Token | None:
        """Return the token as it is stored now."""
        ...

    async def save(self, token: Token) -> None:
        """Store the token; when this returns, it is stored for good.

        It may be called again, with this token or a newer one, also after a `StoreError` that
        leaves open whether the token was stored.

        Raises:
            LeaseLost: Somebody else has had the lease since, or the token was changed by a login
                or a logout, or the lease was never had or was given back. Never merely because
                time passed, so also where `held` says no.
            StoreError: The store failed.
        """
        ...

    async def delete(self) -> None:
        """Forget the token, as at a logout; the lease ends by that, as `held` says at once.

        What is deleted is what `load` of this lease gave, or what it saved. A lease without this
        method, as it was before there was one, is looked at just before `TokenStore.delete` is
        called; what is saved between the two is deleted unseen.

        Raises:
            LeaseLost: As `save` does; then nothing was deleted.
            StoreError: The store failed.
        """
        ...


class TokenStore(Protocol):
    """Where tokens live between uses.

    Every method may raise `StoreError`. A key is any text that is not empty; oauthkit's own stores
    raise `ConfigurationError` for anything else. A store must be hashable and weakly referable, as
    objects of plain classes are. `place` may say what it is called (see `SealedStore`).
    """

    @property
    def lease_seconds(self) -> float:
        """How long a lease lives if nothing extends it; `math.inf` where leases never run out.

        A dead holder blocks the renewal of its key for so long. A session refuses a store whose
        leases do not outlive a renewal (`RenewalPolicy.timeout`).
        """
        ...

    async def load(self, key: str, /) -> Token | None:
        """Return the token of a key; None where there is none."""
        ...

    async def save(self, key: str, token: Token, /) -> None:
        """Store the token of a key, as after a login; a lease open on the key is lost by it."""
        ...

    async def delete(self, key: str, /) -> None:
        """Forget the token of a key, as at logout; a lease open on the key is lost by it."""
        ...

    def lease(self, key: str, /) -> AbstractAsyncContextManager[Lease]:
        """Wait for the right to renew the token of a key; leaving the block gives it back.

        Waiting may be cancelled. The lease must live longer than one renewal may take
        (`RenewalPolicy.timeout`).

        Raises:
            StoreError: The store failed.
        """
        ...


class Watcher(Protocol):
    """Somebody in this process who keeps copies of tokens."""

    def forget(self, key: str, /) -> None:
        """Look again before the copy of this key's token is used."""
        ...

    def in_use(self, key: str, /) -> bool:
        """Tell whether the copy of this key was used since this was last asked.

        See to it that the next use comes to the store. The store may be locked meanwhile, so
        nothing may be asked of it here.
        """
        ...


class WatchedStore:
    """Tell keepers of copies in this process of logins and logouts at once.

    The base of oauthkit's own stores; a store without it is simply looked at again after
    `RenewalPolicy.recheck` seconds, as is any store for what other processes do.
    """

    def __init__(self) -> None:
        """Start with nobody watching."""
        self._watchers: WeakSet[Watcher] = WeakSet()

    def watch(self, watcher: Watcher) -> None:
        """Tell the watcher of every later change, as long as it lives."""
        self._watchers.add(watcher)

    def _changed(self, key: str) -> None:
        for watcher in list(self._watchers):
            watcher.forget(key)

    def _in_use(self, key: str) -> bool:
        # Each of them is asked, whatever the others say: the next use must come here.
        answers = [watcher.in_use(key) for watcher in list(self._watchers)]
        return any(answers)
