"""Redis for tests: a fake that knows what our scripts mean, and real servers of one's own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import anyio.lowlevel
import pytest

from oauthkit.stores.redis import ACQUIRE, DELETE, EXTEND, RELEASE, SAVE
from oauthkit.stores.redis_client import Script
from oauthkit.testing import FakeClock

Answer = bytes | int | None | list[Any]


class NoScriptError(Exception):
    """Named as in each driver."""


class FakeRedisServer:
    """Do what a Redis server does with our scripts, without Lua."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.hashes: dict[str, dict[str, str]] = {}
        self.strings: dict[str, str] = {}
        self.ends_at: dict[str, float] = {}
        self.calls: list[str] = []
        self.known: set[str] = set()
        self.fault: Exception | None = None
        self.heard = anyio.Event()
        self._scripts: dict[str, tuple[str, Callable[..., Answer]]] = {
            script.digest: (name, meaning)
            for name, script, meaning in (
                ("ACQUIRE", ACQUIRE, self._acquire),
                ("EXTEND", EXTEND, self._extend),
                ("SAVE", SAVE, self._save),
                ("RELEASE", RELEASE, self._release),
                ("DELETE", DELETE, self._delete),
            )
        }

    def hget(self, name: str, field: str) -> Answer:
        self._hear("HGET")
        found = self.hashes.get(name, {}).get(field)
        return None if found is None else found.encode()

    def evalsha(self, digest: str, keys: Sequence[str], arguments: Sequence[str]) -> Answer:
        name, meaning = self._scripts[digest]
        self._hear(name)
        if digest not in self.known:
            message = "NOSCRIPT No matching script."
            raise NoScriptError(message)
        return meaning(*keys, *arguments)

    def eval(self, source: str, keys: Sequence[str], arguments: Sequence[str]) -> Answer:
        self.known.add(Script.of(source).digest)
        return self.evalsha(Script.of(source).digest, keys, arguments)

    def restart(self) -> None:
        """Forget the scripts, as a server does that was restarted."""
        self.known.clear()

    def _hear(self, name: str) -> None:
        self.calls.append(name)
        self.heard.set()
        self.heard = anyio.Event()
        if self.fault is not None:
            raise self.fault
        now = self.clock.time()
        for ended in [name for name, end in self.ends_at.items() if end <= now]:
            self._forget(ended)

    def _forget(self, *names: str) -> int:
        for name in names:
            self.ends_at.pop(name, None)
        return sum(
            self.hashes.pop(name, None) is not None or self.strings.pop(name, None) is not None
            for name in names
        )

    def _expire(self, name: str, milliseconds: str) -> int:
        self.ends_at[name] = self.clock.time() + int(milliseconds) / 1000
        return 1

    def _acquire(self, token: str, lease: str, *arguments: str) -> Answer:
        owner, lease_ms, seen = arguments
        stored = {name: text.encode() for name, text in self.hashes.get(token, {}).items()}
        version, content = stored.get("version", b"none"), stored.get("token")
        if seen and content and version != seen.encode():
            return [0, version, content]
        if lease not in self.strings:
            self.strings[lease] = owner
            self._expire(lease, lease_ms)
        held = int(self.strings[lease] == owner)
        return [held, version, content if held or version != seen.encode() else None]

    def _extend(self, _token: str, lease: str, owner: str, lease_ms: str) -> Answer:
        return self._expire(lease, lease_ms) if self.strings.get(lease) == owner else 0

    def _save(self, token: str, lease: str, *arguments: str) -> Answer:
        owner, version, life_ms, content = arguments
        if not owner:
            self._forget(lease)
        elif self.strings.get(lease) != owner:
            return 0
        self.hashes[token] = {"version": version, "token": content}
        if life_ms:
            self._expire(token, life_ms)
        else:
            self.ends_at.pop(token, None)
        return 1

    def _release(self, _token: str, lease: str, owner: str) -> Answer:
        return self._forget(lease) if self.strings.get(lease) == owner else 0

    def _delete(self, token: str, lease: str) -> Answer:
        return self._forget(token, lease)


class _FakeClient:
    def __init__(self, server: FakeRedisServer, *, decode: bool = False) -> None:
        self.server = server
        self._decode = decode

    async def hget(self, name: str, field: str) -> Any:
        return await self._ask(self.server.hget, name, field)

    async def _ask(self, ask: Callable[..., Answer], *arguments: Any) -> Any:
        await anyio.lowlevel.checkpoint()  # on the way there
        answer = ask(*arguments)
        await anyio.lowlevel.checkpoint()  # and back: the server has done it
        return self._decoded(answer)

    def _decoded(self, answer: Answer) -> Any:
        if isinstance(answer, list):
            return [self._decoded(part) for part in answer]
        return answer.decode() if self._decode and isinstance(answer, bytes) else answer


class FakeRedisPy(_FakeClient):
    """Take calls as redis.asyncio does."""

    __module__ = "redis.asyncio.fake"

    async def evalsha(self, sha: str, numkeys: int, *rest: str) -> Any:
        return await self._ask(self.server.evalsha, sha, rest[:numkeys], rest[numkeys:])

    async def eval(self, script: str, numkeys: int, *rest: str) -> Any:
        return await self._ask(self.server.eval, script, rest[:numkeys], rest[numkeys:])


class FakeCoredis(_FakeClient):
    """Take calls as coredis does."""

    __module__ = "coredis.fake"

    async def evalsha(self, sha1: str, keys: Sequence[str], args: Sequence[str]) -> Any:
        return await self._ask(self.server.evalsha, sha1, keys, args)

    async def eval(self, script: str, keys: Sequence[str], args: Sequence[str]) -> Any:
        return await self._ask(self.server.eval, script, keys, args)


_START_SECONDS: Final = 20.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(port: int, *words: str) -> str:
    """Ask a server in the inline form of its protocol."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65_536).decode()


def _wait_for(port: int, wanted: str, *words: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if wanted in _command(port, *words):
                return
        except OSError:
            pass
        time.sleep(0.02)
    pytest.fail(f"redis-server did not answer {words} by {wanted!r} in {_START_SECONDS:g} s")


def _serve(directory: Path, *options: str) -> Iterator[int]:
    server = shutil.which("redis-server")
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed, and a CI run may not go without")
        pytest.skip("redis-server is not installed")
    port = _free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, cwd=directory, stdout=log, stderr=log) as process,  # noqa: S603 - ours
    ):
        try:
            _wait_for(port, "PONG", "PING")
            yield port
        finally:
            process.kill()


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a Redis server of one's own."""
    yield from _serve(tmp_path_factory.mktemp("redis"))


@pytest.fixture(scope="session")
def redis_cluster_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a Redis Cluster of one server, which refuses keys of different slots all the same."""
    for port in _serve(
        tmp_path_factory.mktemp("cluster"),
        *("--cluster-enabled", "yes", "--cluster-port", str(_free_port())),
    ):
        _command(port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        _wait_for(port, "cluster_state:ok", "CLUSTER", "INFO")
        yield port


@pytest.fixture
def _redis_py_reads_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare redis-py a look at the disk for each connection, which is none of our blocking."""
    monkeypatch.setattr("redis.utils.get_lib_version", lambda: "0")


@pytest.fixture
def fake_redis() -> FakeRedisServer:
    return FakeRedisServer()
