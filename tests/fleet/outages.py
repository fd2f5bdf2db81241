"""A store that is away for a while, and back with all that it had."""

import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread
import attrs

from .attribution import Span
from .redis_server import RedisServer
from .settings import Place

BUSY_SECONDS: Final = 30.0


@attrs.define
class Outages:
    """Take a store away, in the ways that there are.

    Attributes:
        spans: When it was away.
    """

    place: Place
    redis: RedisServer | None
    spans: list[Span] = attrs.field(factory=list[Span])

    @property
    def kinds(self) -> list[str]:
        """The ways."""
        return ["locked"] if self.redis is None else ["restarted", "stopped"]

    @asynccontextmanager
    async def away(self, kind: str) -> AsyncGenerator[None]:
        """Have the store away while the block is open."""
        way = {"locked": self._locked, "restarted": self._restarted, "stopped": self._stopped}[kind]
        async with way():
            began = time.monotonic()
            yield
        self.spans.append(Span(began, time.monotonic()))

    def is_free(self) -> bool:
        """Tell whether nobody keeps others from the store: a stopped process keeps its locks."""
        if self.place.path is None:
            return True
        connection = _connected(self.place.path, seconds=0.2)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True

    @asynccontextmanager
    async def _locked(self) -> AsyncGenerator[None]:
        """Hold the write lock of an SQLite file, as a backup or a slow writer does."""
        connection = _connected(self.place.path or "", seconds=BUSY_SECONDS)
        try:
            await anyio.to_thread.run_sync(connection.execute, "BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    @asynccontextmanager
    async def _restarted(self) -> AsyncGenerator[None]:
        """Kill a Redis server, and start it again with its data."""
        assert self.redis is not None
        self.redis.kill()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.redis.start)

    @asynccontextmanager
    async def _stopped(self) -> AsyncGenerator[None]:
        """Let a Redis server hang."""
        assert self.redis is not None
        self.redis.stop()
        try:
            yield
        finally:
            self.redis.resume()


def _connected(path: str, *, seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)
