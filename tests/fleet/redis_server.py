"""A Redis server of one's own, which keeps what it acknowledged and can be killed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

import attrs
import pytest
import redis.asyncio

PATIENCE: Final = 20.0


def free_port() -> int:
    """Return a port that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@attrs.define
class RedisServer:
    """Run `redis-server`; every acknowledged write survives it.

    It hands them to the operating system before it answers, and does not wait for the disk: nobody
    pulls the plug here, and on a busy disk a server that waits stands still for seconds.
    """

    directory: Path
    port: int = attrs.field(factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and wait until it answers."""
        executable = shutil.which("redis-server")
        if executable is None:
            if os.environ.get("CI"):
                pytest.fail("redis-server is not installed, and a CI run may not go without")
            pytest.skip("redis-server is not installed")
        command = [
            *(executable, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "no"),
        ]
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the server found on the search path
                command, cwd=self.directory, stdout=log, stderr=log
            )
        self._wait()

    def kill(self) -> None:
        """End it, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it hang: connections stay open, and no answer comes."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def client(self) -> redis.asyncio.Redis:
        """Return a client of its own, for who looks behind everybody's back."""
        return redis.asyncio.Redis(port=self.port)

    def command(self, *words: str) -> str:
        """Ask it in the inline form of its protocol."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65_536).decode()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if "PONG" in self.command("PING"):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        pytest.fail(f"redis-server did not answer within {PATIENCE:g} s")
