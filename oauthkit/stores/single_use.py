"""What is good once, in all processes: the logins that were ended, the tokens that were seen.

A process remembers by itself which logins it has accepted (`oauthkit.protocol.single_use`). Several
of them share one of these, so that a callback which is brought to two processes, or a Logout Token
that is sent twice (Back-Channel Logout 1.0 §2.6), counts once.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final, Protocol, cast

import anyio

from oauthkit.errors import ConfigurationError, LeaseTaken, Recovery, StoreError
from oauthkit.kinds import checked
from oauthkit.protocol.secret import check_given
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, TokenStore
from oauthkit.stores.ending import EndingMap, checked_end

_MEMBER: Final = "used"
_RELEASE_SECONDS: Final = 5.0


class SingleUseStore(Protocol):
    """Where it is remembered that something was used, until it is good for nothing by itself."""

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        """Note that something is used now; tell whether that is the first time.

        Of any number who claim one name at once, one is told so.

        Args:
            name: What it is known by, such as `AuthorizationRequest.once_id`. It is kept as a
                digest.
            expires_at: Until when it is remembered, in seconds since the epoch.

        Raises:
            StoreError: That could not be found out; it must not be used then.
        """
        ...

    async def release(self, name: str, /) -> None:
        """Forget a use that came to nothing; only who has claimed the name may do that.

        Args:
            name: As for `claim`.

        Raises:
            StoreError: It could not be forgotten.
        """
        ...


class MemorySingleUseStore:
    """Remember in this process what was used.

    Example:
        >>> import anyio
        >>> async def main():
        ...     used = MemorySingleUseStore()
        ...     print(await used.claim("a", expires_at=time.time() + 600))
        ...     print(await used.claim("a", expires_at=time.time() + 600))
        >>> anyio.run(main)
        True
        False

    Args:
        capacity: How many names are remembered; of more, those that end first are forgotten.
        clock: Seconds since the epoch.
    """

    @checked
    def __init__(self, *, capacity: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        """Start with nothing used."""
        self._used = EndingMap[bool](capacity)
        self._clock = clock
        self._mutex = threading.Lock()

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        """Note that something is used now; tell whether that is the first time."""
        mark, now = mark_of(name), self._clock()
        ends_at = checked_end(expires_at, now=now)
        with self._mutex:
            if self._used.get(mark, now=now):
                return False
            self._used.put(mark, True, ends_at=ends_at)  # noqa: FBT003 - the value of a mapping
            for _ in self._used.dropped(now=now):
                pass
        return True

    async def release(self, name: str, /) -> None:
        """Forget a use that came to nothing."""
        mark = mark_of(name)
        with self._mutex:
            self._used.pop(mark)


class LeasedSingleUseStore:
    """Remember what was used in any token store, as far as its leases reach.

    The names are kept in a fixed number of records beside the tokens, each of which forgets what
    has ended when it is used again. So nothing grows, also in a store that forgets nothing by
    itself. A claim takes a lease, a look and a save; the stores that are made for it are faster.

    Example:
        >>> from oauthkit.stores.memory import MemoryStore
        >>> used = LeasedSingleUseStore(MemoryStore())

    Args:
        store: Where the records are kept; the caller closes it.
        prefix: How the keys of the records begin; no token of yours may have such a key.
        records: How many records there are. Two claims wait for each other if they meet in one.
        timeout: Seconds that a claim may take.
        clock: Seconds since the epoch.
    """

    @checked
    def __init__(
        self,
        store: TokenStore,
        *,
        prefix: str = "single-use:",
        records: int = 256,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask nothing yet."""
        if records < 1 or not timeout > 0:
            message = "LeasedSingleUseStore needs at least one record, and a timeout above 0"
            raise ConfigurationError(message)
        self._store = store
        self._prefix = prefix
        self._records = records
        self._timeout = timeout
        self._clock = clock

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        """Note that something is used now; tell whether that is the first time.

        Raises:
            StoreError: That could not be found out.
        """
        ends_at = checked_end(expires_at, now=self._clock())
        return await self._kept(mark_of(name), ends_at)

    async def release(self, name: str, /) -> None:
        """Forget a use that came to nothing.

        Raises:
            StoreError: It could not be forgotten.
        """
        await self._kept(mark_of(name), None)

    async def _kept(self, mark: str, ends_at: float | None) -> bool:
        """Keep a mark until its end, or no more; tell whether that is a change."""
        key = f"{self._prefix}{int(mark, 16) % self._records}"
        with anyio.move_on_after(self._timeout):
            while True:
                async with self._store.lease(key) as lease:
                    if lease.held:  # a store may answer before, where the record has changed
                        return await self._noted(lease, mark, ends_at)
        message = f"it could not be noted within {self._timeout:g} s what is used"
        raise LeaseTaken(message)

    async def _noted(self, lease: Lease, mark: str, ends_at: float | None) -> bool:
        now = self._clock()
        used = {name: end for name, end in _used(await lease.load()).items() if end > now}
        if (mark in used) is (ends_at is not None):
            return False
        if ends_at is None:
            del used[mark]
        else:
            used[mark] = ends_at
        ends = max(used.values(), default=now)
        await lease.save(Token(_MEMBER, expires_at=ends, extra={_MEMBER: used}))
        return True


async def released(used: SingleUseStore, name: str) -> bool:
    """Forget a use that came to nothing, also for who is cancelled; tell whether that is done.

    Args:
        used: Where it was claimed.
        name: As for `claim`.
    """
    with (
        anyio.CancelScope(shield=True),
        suppress(StoreError),
        anyio.move_on_after(_RELEASE_SECONDS),
    ):
        await used.release(name)
        return True
    return False


def mark_of(name: str) -> str:
    """Return what is kept in place of a name.

    Raises:
        ConfigurationError: It is empty, or no text.
    """
    check_given(name=name)
    return sha256(name.encode(errors="surrogatepass")).hexdigest()


def _used(record: Token | None) -> Mapping[str, float]:
    """Return what a record remembers.

    Raises:
        StoreError: It is a token.
    """
    if record is None:
        return {}
    used: Any = record.extra.get(_MEMBER)
    ends: list[object] = (
        list(cast("dict[str, object]", used).values()) if isinstance(used, dict) else [""]
    )
    if not all(isinstance(end, int | float) for end in ends):
        message = (
            "a token is kept under a key of LeasedSingleUseStore, and was left as it is; give "
            "that a prefix= of its own"
        )
        raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)
    return cast("dict[str, float]", used)
