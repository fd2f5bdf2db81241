"""Redis for tests: a fake that knows what our scripts mean, and real servers of one's own."""

import math
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import anyio.lowlevel
import pytest

from oauthkit.stores.base import TokenStore
from oauthkit.stores.redis_logins import CLAIM, ENTER, FIND, FORGET, LEAVE, NOTE
from oauthkit.stores.redis_scripts import ACQUIRE, DELETE, EXTEND, RELEASE, SAVE, Script
from oauthkit.stores.sqlite import SQLiteStore
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
        self.sorted_sets: dict[str, dict[str, float]] = {}
        self.ends_at: dict[str, float] = {}
        self.calls: list[str] = []
        self.known: set[str] = set()
        self.fault: Exception | None = None
        self.heard = anyio.Event()
        self.lines: list[FakeLine] = []
        self.may_publish = self.may_subscribe = True
        self._scripts: dict[str, tuple[str, Callable[..., Answer]]] = {
            script.digest: (name, meaning)
            for name, script, meaning in (
                ("ACQUIRE", ACQUIRE, self._acquire),
                ("EXTEND", EXTEND, self._extend),
                ("SAVE", SAVE, self._save),
                ("RELEASE", RELEASE, self._release),
                ("DELETE", DELETE, self._delete),
                ("CLAIM", CLAIM, self._claim),
                ("NOTE", NOTE, self._note),
                ("FORGET", FORGET, self._forget),
                ("ENTER", ENTER, self._enter),
                ("LEAVE", LEAVE, self._leave),
                ("FIND", FIND, self._find),
            )
        }

    def pttl(self, name: str) -> Answer:
        self._hear("PTTL")
        if name not in self.strings:
            return -2
        left = self.ends_at.get(name, math.inf) - self.clock.time()
        return -1 if left == math.inf else math.ceil(left * 1000)

    def subscribe(self, channel: str, line: "FakeLine") -> None:
        self._hear("SUBSCRIBE")
        if not self.may_subscribe:
            message = "NOPERM this user has no permissions to access one of the channels"
            raise PermissionError(message)
        line.channels.add(channel)
        self.lines.append(line)

    def publish(self, channel: str) -> bool:
        """Say something on a channel, unless that is forbidden."""
        for line in self.lines if self.may_publish else ():
            if channel in line.channels:
                line.say("message")
        return self.may_publish

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
            self.forget(ended)

    def forget(self, *names: str) -> int:
        for name in names:
            self.ends_at.pop(name, None)
        return sum(
            any(
                kind.pop(name, None) is not None
                for kind in (self.hashes, self.strings, self.sorted_sets)
            )
            for name in names
        )

    def _expire(self, name: str, milliseconds: str) -> int:
        self.ends_at[name] = self.clock.time() + int(milliseconds) / 1000
        return 1

    def _acquire(self, record: str, lease: str, *arguments: str) -> Answer:
        owner, lease_ms, seen = arguments
        stored = self.hashes.get(record, {})
        version, content = stored.get("version", "none"), stored.get("token")
        answer: list[Any] = [0, version.encode(), content and content.encode(), 0]
        if seen and content and version != seen:
            return answer
        if self.strings.get(lease, owner) != owner:
            answer[3] = int(stored.get("tells") == self.strings[lease])
            return answer if version != seen else [*answer[:2], None, answer[3]]
        self.strings[lease] = owner
        self._expire(lease, lease_ms)
        tells = owner if self.publish(f"{lease}:tried") else ""
        self.hashes[record] = {**stored, "holder": owner, "base": version, "tells": tells}
        lasts_ms = int(lease_ms) + 24 * 3600 * 1000
        left_ms = (self.ends_at.get(record, math.inf) - self.clock.time()) * 1000
        if content is None or left_ms < lasts_ms:
            self._expire(record, str(lasts_ms))
        return [1, *answer[1:]]

    def _extend(self, _record: str, lease: str, owner: str, lease_ms: str) -> Answer:
        return self._expire(lease, lease_ms) if self.strings.get(lease) == owner else 0

    def _save(self, record: str, lease: str, *arguments: str) -> Answer:
        owner, version, life_ms, content = arguments
        stored = self.hashes.get(record, {})
        if not owner:
            self.forget(lease)
        elif self._is_theirs(stored, lease, owner):
            stored = {**stored, "base": version}
        else:
            return 0
        self.hashes[record] = {**stored, "version": version, "token": content}
        if life_ms:
            self._expire(record, life_ms)
        else:
            self.ends_at.pop(record, None)
        self.publish(lease)
        return 1

    def _is_theirs(self, stored: dict[str, str], lease: str, owner: str) -> bool:
        if lease in self.strings:
            return self.strings[lease] == owner
        unchanged = stored.get("base") == stored.get("version", "none")
        return unchanged and stored.get("holder") == owner

    def _release(self, record: str, lease: str, owner: str) -> Answer:
        stored = self.hashes.get(record, {})
        if stored.get("holder") == owner:
            del stored["holder"], stored["base"], stored["tells"]
            if not stored:
                self.forget(record)
        if self.strings.get(lease) != owner:
            return 0
        self.publish(lease)
        return self.forget(lease)

    def _delete(self, record: str, lease: str, owner: str) -> Answer:
        if owner and not self._is_theirs(self.hashes.get(record, {}), lease, owner):
            return 0
        self.publish(lease)
        self.forget(record, lease)
        return 1

    def _claim(self, name: str, owner: str, life_ms: str) -> Answer:
        if name in self.strings:
            return int(self.strings[name] == owner)
        self.strings[name] = owner
        return self._expire(name, life_ms)

    def _note(self, name: str, content: str, life_ms: str) -> Answer:
        before = self.strings.get(name)
        self.strings[name] = content
        self._expire(name, life_ms)
        return None if before is None else before.encode()

    def _forget(self, name: str) -> Answer:
        before = self.strings.get(name)
        self.forget(name)
        return None if before is None else before.encode()

    def _enter(self, name: str, member: str, ends_at: str, now: str, life_ms: str) -> Answer:
        kept = self.sorted_sets.get(name, {})
        kept = {one: end for one, end in kept.items() if end > float(now)}
        self.sorted_sets[name] = {**kept, member: float(ends_at)}
        if self.ends_at.get(name, 0.0) < self.clock.time() + int(life_ms) / 1000:
            self._expire(name, life_ms)
        return 1

    def _leave(self, name: str, member: str) -> Answer:
        left = self.sorted_sets.get(name, {}).pop(member, None)
        if not self.sorted_sets.get(name):
            self.forget(name)
        return int(left is not None)

    def _find(self, name: str, now: str) -> Answer:
        kept = self.sorted_sets.get(name, {})
        return [one.encode() for one, end in kept.items() if end > float(now)]


class FakeLine:
    """Take the calls by which each driver listens."""

    def __init__(self, server: FakeRedisServer) -> None:
        self.channels: set[str] = set()
        self.fault: Exception | None = None
        self._server = server
        self._messages: list[dict[str, Any]] = []
        self._said = anyio.Event()

    def say(self, kind: str) -> None:
        self._messages.append({"type": kind})
        self._said.set()

    def break_off(self, fault: Exception) -> None:
        """Let the driver give up on the connection."""
        self.fault = fault
        self._said.set()

    async def subscribe(self, channel: str) -> None:
        await anyio.lowlevel.checkpoint()
        self._server.subscribe(channel, self)
        self.say("subscribe")
        await anyio.lowlevel.checkpoint()

    async def unsubscribe(self, channel: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.channels.discard(channel)

    async def get_message(self, *, timeout: float) -> Any:  # noqa: ASYNC109 - named as in each driver
        with anyio.move_on_after(timeout):
            await self._said.wait()
        if self.fault is not None:
            raise self.fault
        if not self._messages:
            return None
        if len(self._messages) == 1:
            self._said = anyio.Event()
        return self._messages.pop(0)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self in self._server.lines:
            self._server.lines.remove(self)


class _FakeClient:
    def __init__(self, server: FakeRedisServer, *, decode: bool = False) -> None:
        self.server = server
        self._decode = decode

    async def hget(self, name: str, field: str) -> Any:
        return await self._ask(self.server.hget, name, field)

    async def pttl(self, name: str) -> Any:
        return await self._ask(self.server.pttl, name)

    def pubsub(self, **_: Any) -> FakeLine:
        return FakeLine(self.server)

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


async def close(store: TokenStore) -> None:
    """Close the file of a store that has one, also of a sealed one."""
    inner = getattr(store, "_store", store)
    if isinstance(inner, SQLiteStore):
        await inner.aclose()


@pytest.fixture
def fake_redis() -> FakeRedisServer:
    return FakeRedisServer()
