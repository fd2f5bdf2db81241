"""Real processes, and a Redis server of one's own."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from .outages import Outages
from .redis_server import RedisServer
from .settings import Place

MINUTES: Final = 1.0
MEMORY: Final = "/dev/shm"  # noqa: S108 - a directory of its own is made in it
AROUND: Final = 120
"""Seconds that a test may take beside what it was asked to."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run take longer than the minute each that CI gives it."""
    parser.addoption(
        "--minutes", type=float, default=MINUTES, help="how long each fleet is disturbed"
    )
    parser.addoption("--seed", type=int, default=1, help="what a fleet is disturbed by")
    parser.addoption("--rounds", type=int, default=1, help="how often each single case is tried")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each single case as often as asked."""
    if "round_" in metafunc.fixturenames:
        rounds: Any = metafunc.config.getoption("--rounds", 1)
        metafunc.parametrize("round_", range(rounds))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every test here take as long as it was asked to."""
    minutes: Any = config.getoption("--minutes", MINUTES)
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(minutes * 60 + AROUND))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Drive the processes from asyncio; some of them run on trio."""
    return "asyncio"


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """Return how long each fleet is disturbed."""
    minutes: Any = request.config.getoption("--minutes", MINUTES)
    return float(minutes * 60)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return what decides how a fleet is disturbed."""
    seed: Any = request.config.getoption("--seed", 1)
    return int(seed)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis server that can be killed and started again."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Give a directory that no other program's writes keep waiting, where the system has such.

    A disk that takes seconds for a write keeps a process from its store, and nobody has noted it.
    Who is killed or stopped finds the same file there as on a disk.
    """
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as directory:
        yield Path(directory)


@pytest.fixture(params=["SQLite", "Redis"])
def place(request: pytest.FixtureRequest, in_memory: Path) -> Place:
    """Say where the fleet's store is."""
    if request.param == "SQLite":
        return Place(path=str(in_memory / "tokens.db"))
    server: RedisServer = request.getfixturevalue("redis_server")
    return Place(port=server.port)


@pytest.fixture
def outages(request: pytest.FixtureRequest, place: Place) -> Outages:
    """Return what takes the fleet's store away."""
    redis = request.getfixturevalue("redis_server") if place.path is None else None
    return Outages(place, redis)
