"""Tables beside that of the tokens, in an SQLite file of ours."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, TypeVar

import anyio
import anyio.to_thread

from oauthkit.stores.per_loop import PerLoop
from oauthkit.stores.sqlite_file import SQLiteFile

_T = TypeVar("_T")
_LIMITERS: Final = PerLoop[anyio.CapacityLimiter]("oauthkit.stores.sqlite_side")


class SideTables:
    """Be the base of what is kept in tables of its own, in the file of an `SQLiteStore` or another.

    The tables are made when they are first needed, and no version of the file counts them: a
    process of an earlier oauthkit, that knows nothing of them, goes on with its own.

    Args:
        path: The file; its directory must exist.
        clock: Seconds since the epoch.
    """

    tables: tuple[str, ...]
    """What makes the tables, where they are not there."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float]) -> None:
        """Touch nothing yet."""
        self._path = Path(path)
        self._clock = clock
        self._files: dict[int, SQLiteFile] = {}

    async def __aenter__(self) -> Self:
        """Return it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the file."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file; nothing can be asked any more."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._file.close, limiter=self._limiter)

    async def written(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Have the file to oneself in a thread; what was written is on the disk afterwards.

        Raises:
            StoreError: The file cannot be read or written.
        """

        def write() -> _T:
            with self._file.writing() as connection:
                for statement in self.tables:
                    connection.execute(statement)
                return work(connection)

        return await anyio.to_thread.run_sync(write, limiter=self._limiter)

    @property
    def _file(self) -> SQLiteFile:
        """This process's own file: a connection must not be carried across a fork."""
        return self._files.setdefault(os.getpid(), SQLiteFile(self._path))

    @property
    def _limiter(self) -> anyio.CapacityLimiter:
        return _LIMITERS.of(self, lambda: anyio.CapacityLimiter(1))
