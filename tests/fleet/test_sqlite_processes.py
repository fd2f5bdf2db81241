"""One SQLite file under processes that are killed, stopped and many."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

import anyio.from_thread
import pytest

from oauthkit.protocol.token import Token
from oauthkit.stores.sqlite import SQLiteStore

DEADLINE: Final = 30.0
LEASE_SECONDS: Final = 0.4
ROUNDS: Final = 15

WORKER: Final = """
import os, signal, sys
import anyio.from_thread
from oauthkit.errors import LeaseLost
from oauthkit.protocol.token import Token
from oauthkit.stores.sqlite import SQLiteStore

path, lease_seconds, times, stop = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

async def count(store):
    held = False
    while not held:
        async with store.lease("ada") as lease:
            token, held = await lease.load(), lease.held
            if held:
                number = 1 if token is None else int(token.access_token) + 1
                if stop == "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                await lease.save(Token(str(number)))
                print(number, flush=True)

async def main():
    async with SQLiteStore(path, lease_seconds=lease_seconds) as store:
        for _ in range(times):
            try:
                await count(store)
            except LeaseLost:
                print("lost", flush=True)

anyio.run(main)
"""


@contextmanager
def worker(
    path: Path, *, lease_seconds: float = LEASE_SECONDS, times: int = 1_000_000, stop: str = ""
) -> Generator[subprocess.Popen[str]]:
    arguments = [str(path), str(lease_seconds), str(times), stop]
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def stored(path: Path) -> int:
    async def load() -> Token | None:
        async with SQLiteStore(path) as store:
            return await store.load("ada")

    token = anyio.run(load)
    return 0 if token is None else int(token.access_token)


@pytest.mark.timeout(120)
def test_what_was_reported_as_saved_survives_kill_9(tmp_path: Path) -> None:
    """Killed at any moment, a worker leaves the last token, and a lease that runs out."""
    path, reported = tmp_path / "tokens.db", 0
    for _ in range(ROUNDS):
        with worker(path) as process:
            reported = int(output(process).readline())
            time.sleep(random.uniform(0, 0.05))  # noqa: S311 - any moment
            process.kill()
            reported = max([reported, *map(int, output(process).read().split("\n")[:-1])])
        assert reported <= stored(path) <= reported + 1
    assert reported > ROUNDS


@pytest.mark.timeout(120)
def test_a_file_that_was_being_made_when_its_maker_was_killed_is_used(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        path = tmp_path / str(number) / "tokens.db"
        path.parent.mkdir()
        with worker(path) as process:
            deadline = time.monotonic() + DEADLINE
            while not any(path.parent.iterdir()):
                assert time.monotonic() < deadline
            time.sleep(random.uniform(0, 0.01))  # noqa: S311 - any moment
            process.kill()
        assert stored(path) >= 0
        with worker(path, times=1) as process:
            assert int(output(process).readline()) == stored(path)


def test_a_process_that_was_stopped_never_overwrites_a_newer_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"

    async def renew() -> None:
        async with SQLiteStore(path) as store, store.lease("ada") as lease:
            await lease.save(Token("100"))

    with worker(path, times=1, stop="stop") as process:
        os.waitpid(process.pid, os.WUNTRACED)  # it has the lease, and has stopped
        with anyio.from_thread.start_blocking_portal() as portal:
            portal.call(renew)  # as soon as the lease has run out
        process.send_signal(signal.SIGCONT)
        assert output(process).readline() == "lost\n"
    assert stored(path) == 100


@pytest.mark.timeout(120)
def test_many_processes_take_turns(tmp_path: Path) -> None:
    """No renewal is lost and none is done twice."""
    path, times, processes = tmp_path / "tokens.db", 25, 6
    with ExitStack() as exits:
        running = [
            exits.enter_context(worker(path, lease_seconds=60, times=times))
            for _ in range(processes)
        ]
        numbers = [int(line) for process in running for line in process.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, times * processes + 1))
    assert stored(path) == times * processes
