"""What belongs to logins beside their tokens, in an SQLite file: what was used, and who is who."""

import os
import sqlite3
import time
from collections.abc import Callable

from oauthkit.kinds import checked
from oauthkit.stores.ending import checked_end
from oauthkit.stores.keys import check_key
from oauthkit.stores.logout_index import checked_visit, wanted_names
from oauthkit.stores.single_use import mark_of
from oauthkit.stores.sqlite_side import SideTables


class SQLiteSingleUseStore(SideTables):
    """Remember what was used in a file that all processes of one machine share.

    What is noted is on the disk, and is forgotten once it has ended.

    Example:
        >>> used = SQLiteSingleUseStore("tokens.db")

    Args:
        path: The file; it may be that of an `SQLiteStore`. Its directory must exist.
        clock: Seconds since the epoch.
    """

    tables = (
        """CREATE TABLE IF NOT EXISTS single_use (
            mark TEXT PRIMARY KEY,
            expires_at REAL NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX IF NOT EXISTS single_use_ends ON single_use (expires_at)",
    )

    @checked
    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        """Touch nothing yet."""
        super().__init__(path, clock=clock)

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        """Note that something is used now; tell whether that is the first time.

        Raises:
            StoreError: The file cannot be read or written.
        """
        mark, now = mark_of(name), self._clock()
        ends_at = checked_end(expires_at, now=now)

        def claim(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM single_use WHERE expires_at <= ?", (now,))
            noted = connection.execute(
                "INSERT OR IGNORE INTO single_use VALUES (?, ?)", (mark, ends_at)
            )
            return noted.rowcount == 1

        return await self.written(claim)

    async def release(self, name: str, /) -> None:
        """Forget a use that came to nothing.

        Raises:
            StoreError: The file cannot be read or written.
        """
        mark = mark_of(name)
        await self.written(
            lambda connection: connection.execute("DELETE FROM single_use WHERE mark = ?", (mark,))
        )


class SQLiteLogoutIndex(SideTables):
    """Remember whose the tokens are in a file that all processes of one machine share.

    Example:
        >>> index = SQLiteLogoutIndex("tokens.db")

    Args:
        path: The file; it may be that of an `SQLiteStore`. Its directory must exist.
        clock: Seconds since the epoch.
    """

    tables = (
        """CREATE TABLE IF NOT EXISTS visit (
            name TEXT NOT NULL,
            key BLOB NOT NULL,
            expires_at REAL NOT NULL,
            PRIMARY KEY (name, key)
        ) WITHOUT ROWID""",
        "CREATE INDEX IF NOT EXISTS visit_keys ON visit (key)",
        "CREATE INDEX IF NOT EXISTS visit_ends ON visit (expires_at)",
    )

    @checked
    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        """Touch nothing yet."""
        super().__init__(path, clock=clock)

    async def add(
        self,
        key: str,
        /,
        *,
        issuer: str,
        subject: str,
        session_id: str | None = None,
        expires_at: float,
    ) -> None:
        """Note whose the token of a key is.

        Raises:
            StoreError: The file cannot be read or written.
        """
        visit, now = checked_visit(key, issuer, subject, session_id), self._clock()
        ends_at, stored = checked_end(expires_at, now=now), _stored(key)

        def add(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM visit WHERE key = ? OR expires_at <= ?", (stored, now))
            connection.executemany(
                "INSERT INTO visit VALUES (?, ?, ?)",
                [(name, stored, ends_at) for name in visit.names],
            )

        await self.written(add)

    async def find(
        self, *, issuer: str, subject: str | None = None, session_id: str | None = None
    ) -> frozenset[str]:
        """Return the keys of whom a logout is about.

        Raises:
            StoreError: The file cannot be read.
        """
        names, now = wanted_names(issuer, subject, session_id), self._clock()

        def find(connection: sqlite3.Connection) -> frozenset[str]:
            found = [
                connection.execute(
                    "SELECT key FROM visit WHERE name = ? AND expires_at > ?", (name, now)
                ).fetchall()
                for name in names
            ]
            return frozenset[str].intersection(
                *(frozenset(_read(stored) for (stored,) in rows) for rows in found)
            )

        return await self.written(find)

    async def remove(self, key: str, /) -> None:
        """Forget a key.

        Raises:
            StoreError: The file cannot be read or written.
        """
        check_key(key)
        await self.written(
            lambda connection: connection.execute(
                "DELETE FROM visit WHERE key = ?", (_stored(key),)
            )
        )


def _stored(key: str) -> bytes:
    return key.encode(errors="surrogatepass")


def _read(stored: bytes) -> str:
    return stored.decode(errors="surrogatepass")
