"""An SQLite file of our own: made, recognised, migrated, and used by one thread at a time.

Nothing here may open the file but SQLite itself: when a process closes any descriptor of a file, it
loses all its POSIX locks on it, SQLite's among them.
"""

import os
import secrets
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from oauthkit.errors import Recovery, StoreError
from oauthkit.stores.private_file import OWNER_ONLY, check_private
from oauthkit.stores.records import hidden

_APPLICATION_ID: Final = 0x6F617574  # "oaut"
_BUSY_SECONDS: Final = 5.0
_OVERWRITE_BUSY_MS: Final = 250
_SYNCHRONOUS: Final = "FULL"  # what is saved outlives a loss of power
"""How long the overwriting of what was deleted waits for readers; it is tried again."""

_MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # One fence counter for all keys, so that it grows beyond rows that were deleted.
        "CREATE TABLE fence (last INTEGER NOT NULL)",
        "INSERT INTO fence VALUES (0)",
        """CREATE TABLE token (
            key BLOB PRIMARY KEY,
            token TEXT,
            fence INTEGER NOT NULL,
            leased_until REAL NOT NULL,
            lease_seconds REAL NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        # Beside `leased_until`, not instead of it: a process of version 1 that has the file open
        # goes on with the columns it knows, and what it writes has no boot.
        "ALTER TABLE token ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE token ADD COLUMN monotonic_until REAL NOT NULL DEFAULT 0",
    ),
)
"""What leads from each version of the schema to the next; the first makes version 1 from nothing.

A change of the schema is one more entry here; an entry that was released is never altered.
"""

_LASTING: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


_Identity = tuple[int, int]
"""What tells a file from another one that has its name later."""


class SQLiteFile:
    """One process's connection to the file, opened at its first use.

    Every method blocks, so it belongs into a worker thread.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path = path
        self._mutex = threading.Lock()
        self._open: tuple[sqlite3.Connection, Path, _Identity] | None = None
        self._closed = False
        self._leftover = False  # whether the log may have what was deleted

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keep the process's other threads out."""
        with self._mutex:
            yield

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Have the connection to oneself, for one statement that reads."""
        with self._mutex, _store_errors(self._path):
            yield self._opened()

    @contextmanager
    def writing(self, *, deletes: bool = False) -> Generator[sqlite3.Connection]:
        """Have the file to oneself; what the block wrote is on the disk when it is left.

        Args:
            deletes: Whether a secret is deleted, which is then in no file any more, unless another
                program reads the file for long: then it is overwritten at a later write.
        """
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection
            self._leftover = self._leftover or deletes
            if self._leftover:
                self._leftover = not overwritten(connection)

    def close(self) -> None:
        """Close the connection for good."""
        with self._mutex, _store_errors(self._path):
            self._closed = True
            if self._open is not None:
                self._open[0].close()
                self._open = None

    def _opened(self) -> sqlite3.Connection:
        if self._closed:
            message = f"the token store {self._path} was closed"
            raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)
        if self._open is None:
            path = self._path.absolute()
            connection = _opened(path)
            self._open = connection, path, _identity(path)
            self._leftover = not overwritten(connection)  # a process may have died before it
        connection, path, identity = self._open
        _check_in_place(path, identity)
        return connection


def _opened(path: Path) -> sqlite3.Connection:
    check_private(path)
    if not path.exists():
        _make_blank(path)
        check_private(path)  # somebody else may have been first
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions begin where the code says so
        check_same_thread=False,  # one at a time: the mutex sees to it
    )
    connection.text_factory = hidden  # SQLite's own error would quote what is no text
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def overwritten(connection: sqlite3.Connection) -> bool:
    """Empty the log, in which what was deleted still stands, and tell whether that was possible.

    In the file itself SQLite overwrites it (`secure_delete`).
    """
    connection.execute(f"PRAGMA busy_timeout = {_OVERWRITE_BUSY_MS}")
    try:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # the deletion itself is done
        busy = 1
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_SECONDS * 1000)}")
    return not busy


def _identity(path: Path) -> _Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def _check_in_place(path: Path, opened: _Identity) -> None:
    """Refuse a file that was moved, deleted or replaced under an open connection.

    SQLite would go on with it, and what is saved there is nobody's: it is gone with this process,
    and other processes have leases of their own in the file that has the name now.
    """
    with suppress(FileNotFoundError):
        if _identity(path) == opened:
            return
    message = (
        f"the token store {path} was moved, deleted or replaced since this process opened it; put "
        "it back, or make the store anew (a restart does)"
    )
    raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)


def _make_blank(path: Path) -> None:
    """Make an empty file that was never readable to others."""
    blank = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(blank, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
    try:
        # Not the file itself: its descriptor could be closed while a connection of another
        # thread is at work.
        with suppress(FileExistsError):  # another process was first
            os.link(blank, path)
    finally:
        blank.unlink()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is ours, before anything is written, and bring it up to date."""
    connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS}")
    connection.execute("BEGIN")  # or another process may make the file between two questions
    with connection:
        version = _version(connection, path)
    if version < len(_MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            _migrate(connection, path)
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA secure_delete = ON")
    with suppress(sqlite3.OperationalError):  # in use just now: whoever opens it next does it
        connection.execute("PRAGMA journal_mode = WAL")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    application, version, tables = (
        int(connection.execute(question).fetchone()[0])
        for question in (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_master",
        )
    )
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != _APPLICATION_ID:
        message = (
            f"{path} is an SQLite database of another program, and was left as it is; "
            "name another path for the token store"
        )
        raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)
    if version > len(_MIGRATIONS):
        message = (
            f"{path} was written by a newer oauthkit (its schema is version {version}, this "
            f"oauthkit knows up to {len(_MIGRATIONS)}), and was left as it is; update oauthkit"
        )
        raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection, path)  # again: another process may have been first
    if version == 0:
        path.chmod(OWNER_ONLY)  # an empty file that was there before
    for statements in _MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


@contextmanager
def _store_errors(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(error, path) from error
    except OSError as error:
        message = f"the token store {path} cannot be opened: {error.strerror}"
        raise StoreError(message, recovery=_lasting(isinstance(error, _WRONG_PATH))) from error


_WRONG_PATH: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def _from_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        message = (
            f"{path} is not an SQLite database, and was left as it is; "
            "name another path for the token store"
        )
    elif code == sqlite3.SQLITE_CORRUPT:
        message = (
            f"the token store {path} is damaged, and was left as it is; put a copy in its place, "
            "or move it away and let the resource owners log in again"
        )
    else:
        message = f"the token store {path} failed: {error}"
    return StoreError(message, recovery=_lasting(code in _LASTING))


def _lasting(lasting: bool) -> Recovery:  # noqa: FBT001 - a private choice of two
    return Recovery.CHANGE_REQUEST if lasting else Recovery.RETRY_LATER
