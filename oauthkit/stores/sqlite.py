"""Tokens in a file that all processes of one machine share; the standard library is enough."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
import attrs

from oauthkit.kinds import checked
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, WatchedStore
from oauthkit.stores.keys import check_key, check_saved
from oauthkit.stores.leasing import (
    checked_lease_seconds,
    extended,
    give_back,
    pauses,
)
from oauthkit.stores.per_loop import PerLoop
from oauthkit.stores.records import decode_token, encode_token
from oauthkit.stores.rounds import Round, Rounds
from oauthkit.stores.sqlite_table import Claim, Clock, Row, TokenTable, renewed

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


@attrs.frozen(eq=False)
class _AtWork:
    """What a store has in one event loop: a thread at a time, and those who wait for leases."""

    limiter: anyio.CapacityLimiter = attrs.field(factory=lambda: anyio.CapacityLimiter(1))
    rounds: Rounds[Row] = attrs.field(factory=Rounds[Row])


_AT_WORK: Final = PerLoop[_AtWork]("oauthkit.stores.sqlite")


class SQLiteStore(WatchedStore):
    """Keep tokens in one file; renewal is exclusive among the processes of the machine.

    A saved token is on the disk: it survives `kill -9` and a power cut. The file is made at the
    first use, readable by its owner alone. One store may be shared by threads and event loops, and
    by processes that fork. The file belongs on a local disk, not on a network share.

    Leases end by the machine's monotonic clock, which nobody can set; a reboot ends them all. Where
    a boot has no name that processes can read (systems other than Linux), they end by the wall
    clock. Set back, it then delays the end of a dead holder's lease by no more than its length,
    because whoever waits also counts on a clock that is never set. Set forward, it may end a lease
    early, so that two processes ask the server; the fence keeps the older answer from replacing the
    newer one.

    Example:
        >>> store = SQLiteStore("tokens.db")

    Args:
        path: The file; its directory must exist. A relative path counts from the working directory
            at the first use.
        lease_seconds: How long a lease lives; longer than `RenewalPolicy.timeout`. It is extended
            while its holder is at work.
        clock: The time; for tests.
    """

    @checked
    def __init__(
        self, path: str | os.PathLike[str], *, lease_seconds: float = 60.0, clock: Clock = time
    ) -> None:
        """Touch nothing yet.

        Raises:
            ConfigurationError: `lease_seconds` is not above 0.
        """
        super().__init__()
        self.lease_seconds: Final = checked_lease_seconds(lease_seconds)
        self._path = Path(path)
        self.place: Final = f"sqlite {self._path.name}"
        self._clock = clock
        self._tables: dict[int, TokenTable] = {}

    async def __aenter__(self) -> Self:
        """Return the store."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the store."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file; the store cannot be used any more."""
        with anyio.CancelScope(shield=True):
            await self._in_thread(self._table.close)

    async def load(self, key: str, /) -> Token | None:
        """Return the token of a key; None where there is none.

        Raises:
            StoreError: The file or the row cannot be read.
        """
        check_key(key)
        return _token(await self._in_thread(self._table.read, key))

    async def save(self, key: str, token: Token, /) -> None:
        """Store the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be stored.
        """
        check_saved(key, token)
        await self._in_thread(self._table.put, key, encode_token(token))
        self._changed(key)

    async def delete(self, key: str, /) -> None:
        """Forget the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be forgotten.
        """
        check_key(key)
        await self._in_thread(self._table.remove, key)
        self._changed(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        """Wait for the right to renew the token of a key.

        Raises:
            StoreError: The file cannot be read or written.
        """
        check_key(key)
        claim = Claim(key)
        try:
            row = await self._waited_for(claim)
            if claim.fence is None:
                yield _SQLiteLease(self, claim, row)
                return
            async with extended(
                lambda: self._in_thread(self._table.extend, claim), lease_seconds=self.lease_seconds
            ):
                yield _SQLiteLease(self, claim, row)
        finally:
            claim.given_up = True
            if claim.asked:  # else there is nothing to give back
                await give_back(lambda: self._in_thread(self._table.release, claim))

    def holds(self, claim: Claim) -> bool:
        """Tell whether a lease was had, has not run out, and was not given back."""
        return not claim.given_up and self._clock.monotonic() < claim.good_until

    async def save_leased(self, claim: Claim, token: Token) -> None:
        """Store a token under a lease."""
        check_saved(claim.key, token)
        await self._in_thread(self._table.put_leased, claim, encode_token(token))

    async def delete_leased(self, claim: Claim) -> None:
        """Forget a token under a lease."""
        await self._in_thread(self._table.remove_leased, claim)
        self._changed(claim.key)

    async def _waited_for(self, claim: Claim) -> Row:
        """Return the row once the claim has its fence, or the token has changed."""
        first = await self._claimed(claim)
        if claim.fence is not None:
            return first

        def answer(row: Row) -> Row | None:
            return row if renewed(row, first) else None

        rounds = _AT_WORK.of(self, _AtWork).rounds
        return await rounds.wait(claim.key, partial(self._search, claim, first), answer)

    async def _search(self, claim: Claim, first: Row, turn: Round[Row], late: bool) -> Row:  # noqa: FBT001 - as Rounds calls it
        row, since, overdue = first, self._clock.monotonic(), None
        pause = pauses()
        while claim.fence is None and not renewed(row, first):
            if not late:
                await anyio.sleep(next(pause))
            late, last = False, row
            row = await turn.look(partial(self._claimed, claim, first, overdue))
            now = self._clock.monotonic()
            if row != last:
                since = now
            elif now - since >= row.lease_seconds:
                overdue = row
        return row

    async def _claimed(
        self, claim: Claim, first: Row | None = None, overdue: Row | None = None
    ) -> Row:
        claim.asked = True
        row = await self._in_thread(self._table.claim, claim, first, overdue)
        claim.asked = claim.fence is not None
        return row

    @property
    def _table(self) -> TokenTable:
        """Return this process's own table: a connection must not be carried across a fork."""
        process = os.getpid()
        table = self._tables.get(process)
        if table is None:
            table = TokenTable(self._path, lease_seconds=self.lease_seconds, clock=self._clock)
            table = self._tables.setdefault(process, table)
        return table

    async def _in_thread(self, work: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Work in a thread, which is not given up: what was begun is done, also when cancelled."""
        limiter = _AT_WORK.of(self, _AtWork).limiter
        return await anyio.to_thread.run_sync(work, *args, limiter=limiter)


@attrs.define
class _SQLiteLease:
    """The first `load` gives what was found when the lease was had; later ones look again."""

    _store: SQLiteStore
    _claim: Claim
    _found: Row | None

    @property
    def held(self) -> bool:
        return self._store.holds(self._claim)

    async def load(self) -> Token | None:
        found, self._found = self._found, None
        return await self._store.load(self._claim.key) if found is None else _token(found)

    async def save(self, token: Token) -> None:
        await self._store.save_leased(self._claim, token)

    async def delete(self) -> None:
        await self._store.delete_leased(self._claim)


def _token(row: Row) -> Token | None:
    return None if row.text is None else decode_token(row.text)
