"""Real processes, and a Redis server of one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from .redis_server import RedisServer

MINUTES: Final = 1.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run take longer than the minute each that CI gives it."""
    parser.addoption(
        "--minutes", type=float, default=MINUTES, help="how long each fleet is disturbed"
    )
    parser.addoption("--seed", type=int, default=1, help="what a fleet is disturbed by")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every test here take as long as it was asked to."""
    minutes: Any = config.getoption("--minutes", MINUTES)
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(minutes * 60 + 90))


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


@pytest.fixture(params=["SQLite", "Redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Say where the fleet's store is."""
    if request.param == "SQLite":
        return {"path": str(tmp_path / "tokens.db")}
    server: RedisServer = request.getfixturevalue("redis_server")
    return {"port": server.port}
