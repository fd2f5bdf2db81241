"""The table of tokens and leases in an SQLite file. Everything here blocks: for worker threads."""

import sqlite3
from pathlib import Path
from typing import Final, Protocol

import attrs

from oauthkit.stores.boot import boot_id
from oauthkit.stores.leasing import lease_lost
from oauthkit.stores.sqlite_file import SQLiteFile

_COLUMNS: Final = "token, fence, leased_until, lease_seconds, boot, monotonic_until"


class Clock(Protocol):
    """A source of time, as the standard library's `time` module is."""

    def time(self) -> float:
        """Return seconds since the epoch, on a clock that may be set."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that is never set."""
        ...


@attrs.frozen
class Row:
    """What is stored under a key.

    Attributes:
        text: The token, where there is one.
        fence: The number of the latest lease or login.
        leased_until: When the lease ends, in seconds since the epoch; 0 where there is none.
        lease_seconds: How long that lease was to live.
        boot: In which boot of the machine the lease was had, where that is known.
        monotonic_until: When the lease ends, on that boot's monotonic clock.
    """

    text: str | None = attrs.field(default=None, repr=False)  # secrets included
    fence: int = 0
    leased_until: float = 0.0
    lease_seconds: float = 0.0
    boot: str = ""
    monotonic_until: float = 0.0


@attrs.define(eq=False)
class Claim:
    """One attempt at a lease, shared between the task that wants it and the thread at work.

    Attributes:
        key: Of the token.
        fence: The lease's number, from when it is had until it is given back.
        good_until: When the lease ends for its holder, on the monotonic clock.
        given_up: Whether the task has gone: the thread may come too late, and must leave no lease.
        asked: Whether it may have its fence: it has, or a thread may still be at work.
        seen: The row at the last look, and the state of the file then.
    """

    key: str
    fence: int | None = None
    good_until: float = 0.0
    given_up: bool = False
    asked: bool = False
    seen: tuple[Row, tuple[int, int]] | None = None


class TokenTable:
    """One process's way to the table."""

    def __init__(self, path: Path, *, lease_seconds: float, clock: Clock) -> None:
        """Open nothing yet."""
        self._file = SQLiteFile(path)
        self._lease_seconds = lease_seconds
        self._clock = clock

    def close(self) -> None:
        """Close the file for good."""
        self._file.close()

    def read(self, key: str) -> Row:
        """Return the row of a key, or an empty one."""
        with self._file.reading() as connection:
            return _row(connection, key)

    def put(self, key: str, text: str) -> None:
        """Store a token; a lease on it is lost."""
        with self._file.writing(deletes=True) as connection:  # what was there before it
            _store(connection, key, Row(text, _next_fence(connection)))

    def remove(self, key: str) -> None:
        """Forget a token; a lease on it is lost, as no fence is given twice."""
        with self._file.writing(deletes=True) as connection:
            connection.execute("DELETE FROM token WHERE key = ?", (_name(key),))

    def claim(self, claim: Claim, first: Row | None = None, overdue: Row | None = None) -> Row:
        """Take the lease where it is free, and return the row as it was found.

        Args:
            claim: Gets its fence, where the lease was free and the token still the first one.
            first: What one who waits found at the first look.
            overdue: A row whose lease has been watched for its whole length: whatever the wall
                clock says, it is over.
        """
        row = self._look(claim)  # without the file's one write lock: most looks are in vain
        if renewed(row, first) or self._leased(row, overdue):
            return row
        began = self._clock.monotonic()
        with self._file.writing() as connection:
            row = _row(connection, claim.key)
            if claim.given_up or renewed(row, first) or self._leased(row, overdue):
                return row
            fence, (until, monotonic_until) = _next_fence(connection), self._ends()
            _store(
                connection,
                claim.key,
                Row(row.text, fence, until, self._lease_seconds, boot_id(), monotonic_until),
            )
            claim.fence, claim.good_until = fence, began + self._lease_seconds
        return row

    def extend(self, claim: Claim) -> bool:
        """Let the lease live on from now, and say whether it was still held."""
        with self._file.writing() as connection:
            now = self._clock.monotonic()
            if now >= claim.good_until:
                return False
            held = connection.execute(
                "UPDATE token SET leased_until = ?, monotonic_until = ?"
                " WHERE key = ? AND fence = ?",
                (*self._ends(), _name(claim.key), claim.fence),
            ).rowcount
            claim.good_until = now + self._lease_seconds if held else 0.0
        return bool(held)

    def put_leased(self, claim: Claim, text: str) -> None:
        """Store a token under a lease, also a late one where nobody else came.

        Raises:
            LeaseLost: Another lease, a login or a logout came after it, or it was given back.
        """
        with self._file.writing() as connection:
            stored = connection.execute(
                "UPDATE token SET token = ? WHERE key = ? AND fence = ?",
                (text, _name(claim.key), claim.fence),
            ).rowcount
            if stored != 1:
                raise lease_lost()

    def remove_leased(self, claim: Claim) -> None:
        """Forget a token under a lease, also late where nobody else came; the lease ends by it.

        Raises:
            LeaseLost: Another lease, a login or a logout came after it, or it was given back.
        """
        with self._file.writing(deletes=True) as connection:
            removed = connection.execute(
                "DELETE FROM token WHERE key = ? AND fence = ?", (_name(claim.key), claim.fence)
            ).rowcount
            if removed != 1:
                raise lease_lost()
            claim.good_until = 0.0

    def release(self, claim: Claim) -> None:
        """Give the lease back, where it was had and is still held.

        The claim must have been given up before: then a thread that is still to claim it will not.
        """
        with self._file.alone():
            fence = claim.fence
        if fence is None:
            return
        with self._file.writing() as connection:
            mine = (_name(claim.key), fence)
            connection.execute(
                "DELETE FROM token WHERE key = ? AND fence = ? AND token IS NULL", mine
            )
            connection.execute(
                "UPDATE token SET leased_until = 0, monotonic_until = 0"
                " WHERE key = ? AND fence = ?",
                mine,
            )
        claim.fence = None  # not sooner: a save whose task was cancelled goes on in its thread

    def _look(self, claim: Claim) -> Row:
        """Return the row of a claim; it is read only where something in the file has changed."""
        with self._file.reading() as connection:
            state = _state(connection)  # before the row: what changes in between is seen next time
            if claim.seen is None or claim.seen[1] != state:
                claim.seen = _row(connection, claim.key), state
            return claim.seen[0]

    def _ends(self) -> tuple[float, float]:
        """Return when a lease ends that is had now, on the wall clock and the monotonic one."""
        return (
            self._clock.time() + self._lease_seconds,
            self._clock.monotonic() + self._lease_seconds,
        )

    def _leased(self, row: Row, overdue: Row | None) -> bool:
        if row == overdue:
            return False
        boot = boot_id()
        if boot and row.boot:  # nobody who had a lease before a reboot is alive
            return row.boot == boot and row.monotonic_until > self._clock.monotonic()
        return row.leased_until > self._clock.time()


def renewed(row: Row, first: Row | None) -> bool:
    """Tell whether another token has come since the first look."""
    return first is not None and row.text not in {None, first.text}


def _name(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return what is another number after each commit, by other connections and by this one."""
    (by_others,) = connection.execute("PRAGMA data_version").fetchone()
    return int(by_others), connection.total_changes


def _row(connection: sqlite3.Connection, key: str) -> Row:
    question = f"SELECT {_COLUMNS} FROM token WHERE key = ?"  # noqa: S608 - a constant
    found = connection.execute(question, (_name(key),)).fetchone()
    return Row() if found is None else Row(*found)


def _store(connection: sqlite3.Connection, key: str, row: Row) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO token (key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        (_name(key), *attrs.astuple(row)),
    )


def _next_fence(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE fence SET last = last + 1")
    return int(connection.execute("SELECT last FROM fence").fetchone()[0])
