"""Tokens in the memory of one process."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import checked
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, WatchedStore
from oauthkit.stores.keys import check_key, check_saved
from oauthkit.stores.leasing import lease_lost, pauses


@attrs.define
class _Row:
    token: Token | None = None
    fence: int = 0
    leased_until: float = 0.0


class MemoryStore(WatchedStore):
    """Keep tokens as long as the process lives; renewal is exclusive within the process.

    Sessions in several threads or event loops may share one.

    Example:
        >>> store = MemoryStore()

    Args:
        capacity: The most keys that are kept; one that was not used for long is forgotten first,
            and none while its token is renewed.
        lease_seconds: How long a lease lives; longer than `RenewalPolicy.timeout`.
        clock: Seconds on a clock that is never set, for the leases.
    """

    @checked
    def __init__(
        self,
        *,
        capacity: int = 100_000,
        lease_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start empty."""
        if capacity < 1 or lease_seconds <= 0:
            message = "MemoryStore needs a capacity of at least 1 and lease_seconds above 0"
            raise ConfigurationError(message)
        super().__init__()
        self.lease_seconds = lease_seconds
        self._capacity = capacity
        self._clock = clock
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._fence = 0  # one for all keys, so that it grows beyond rows that were forgotten
        self._mutex = threading.Lock()
        self.place: Final = f"memory {secrets.token_hex(8)}"

    async def load(self, key: str, /) -> Token | None:
        """Return the token of a key; None where there is none."""
        check_key(key)
        with self._mutex:
            row = self._rows.get(key)
            if row is None:
                return None
            self._rows.move_to_end(key)
            return row.token

    async def save(self, key: str, token: Token, /) -> None:
        """Store the token of a key; a lease open on it is lost."""
        check_saved(key, token)
        with self._mutex:
            self._put(key, token)
        self._changed(key)

    async def delete(self, key: str, /) -> None:
        """Forget the token of a key; a lease open on it is lost."""
        check_key(key)
        with self._mutex:
            self._rows.pop(key, None)
        self._changed(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        """Wait for the right to renew the token of a key."""
        check_key(key)
        pause = pauses()
        while (fence := self._acquired(key)) is None:  # noqa: ASYNC110 - held in any thread's loop
            await anyio.sleep(next(pause))
        try:
            yield _MemoryLease(self, key, fence)
        finally:
            self._release(key, fence)

    def _acquired(self, key: str) -> int | None:
        with self._mutex:
            row = self._rows.get(key)
            now = self._clock()
            if row is not None and row.fence and now < row.leased_until:
                return None
            if row is None:
                row = self._put(key, None)
            self._fence += 1
            row.fence, row.leased_until = self._fence, now + self.lease_seconds
            return self._fence

    def _release(self, key: str, fence: int) -> None:
        with self._mutex:
            row = self._rows.get(key)
            if row is not None and row.fence == fence:
                row.fence = 0
                if row.token is None:
                    del self._rows[key]

    def _put(self, key: str, token: Token | None) -> _Row:
        row = self._rows[key] = _Row(token)
        self._rows.move_to_end(key)
        surplus = len(self._rows) - self._capacity
        while surplus > 0 and (unused := self._least_used(but=key)) is not None:
            del self._rows[unused]
            surplus -= 1
        return row

    def _least_used(self, *, but: str) -> str | None:
        """Return the key to be forgotten next, if any may be.

        A token that is used again and again is seldom asked for here: whoever keeps a copy is asked
        whether it was used. That is done once it would be forgotten and not with each use, which
        must cost nothing; a key in use then gets a second chance, at the young end.
        """
        in_use: list[str] = []
        unused: str | None = None
        for key, row in self._rows.items():
            if row.fence or key == but:
                continue
            if not self._in_use(key):
                unused = key
                break
            in_use.append(key)
        if unused is None and in_use:
            unused = in_use.pop(0)  # all are: then the oldest one
        for key in in_use:
            self._rows.move_to_end(key)
        return unused

    def holds(self, key: str, fence: int) -> bool:
        """Tell whether a lease is the latest one, and has not run out."""
        with self._mutex:
            row = self._rows.get(key)
            return row is not None and row.fence == fence and self._clock() < row.leased_until

    def save_leased(self, key: str, fence: int, token: Token) -> None:
        """Store a token under a lease, also a late one where nobody else came."""
        check_saved(key, token)
        with self._mutex:
            row = self._rows.get(key)
            if row is None or row.fence != fence:
                raise lease_lost()
            row.token = token

    def delete_leased(self, key: str, fence: int) -> None:
        """Forget a token under a lease, also late where nobody else came."""
        with self._mutex:
            row = self._rows.get(key)
            if row is None or row.fence != fence:
                raise lease_lost()
            del self._rows[key]
        self._changed(key)


@attrs.frozen
class _MemoryLease:
    _store: MemoryStore
    _key: str
    _fence: int

    @property
    def held(self) -> bool:
        return self._store.holds(self._key, self._fence)

    async def load(self) -> Token | None:
        return await self._store.load(self._key)

    async def save(self, token: Token) -> None:
        self._store.save_leased(self._key, self._fence, token)

    async def delete(self) -> None:
        self._store.delete_leased(self._key, self._fence)
