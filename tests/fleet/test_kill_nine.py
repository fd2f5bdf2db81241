"""`kill -9` at any moment leaves the last saved token intact."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from oauthkit.stores.sqlite import SQLiteStore

from .forker import PROCESSES, environment

KILLS = 32
FRESH_EVERY = 4


def killed_writer(path: Path, *, backend: str, seconds: float, begun: bool) -> int:
    """Let a process save tokens for a while, kill it, and return the last one it reported.

    Args:
        path: The file.
        backend: The event loop of the process.
        seconds: After which it is killed.
        begun: Whether they count from its first report, however long it takes to start.
    """
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(PROCESSES / "writer.py"), str(path), backend],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as writer:
        reports = writer.stdout
        assert reports is not None
        output = reports.readline() if begun else b""
        time.sleep(seconds)
        writer.kill()
        output += reports.read()
    # the last line may be cut off by the kill
    lines = output.decode().splitlines(keepends=True)
    return max((int(line) for line in lines if "\n" in line), default=0)


async def stored(path: Path) -> int:
    async with SQLiteStore(path, lease_seconds=0.2) as store:
        token = await store.load("key")
        if token is None:
            return 0
        number = int(token.access_token)
        assert token.refresh_token == "r" * (number % 5_000)
        async with store.lease("key") as lease:  # nobody dead keeps the others out for long
            assert lease.held
        return number


async def test_the_last_saved_token_survives(tmp_path: Path) -> None:
    """A reported token is there; the one on its way may be there too, whole."""
    chance = random.Random(9)  # noqa: S311 - a repeatable draw
    path, reported_in_all, path_before = tmp_path / "0.db", 0, 0
    for number in range(KILLS):
        fresh = number % FRESH_EVERY == 0  # killed also while the file is being made
        if fresh:
            path, path_before = tmp_path / f"{number}.db", 0
        backend = "trio" if number % 2 else "asyncio"
        seconds = chance.uniform(0.25, 0.75) if fresh else chance.uniform(0.0, 0.5)
        reported = killed_writer(path, backend=backend, seconds=seconds, begun=not fresh)
        found = await stored(path)
        assert found in {max(reported, path_before), max(reported, path_before) + 1}
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        reported_in_all += max(reported - path_before, 0)
        path_before = found
    assert reported_in_all > KILLS
