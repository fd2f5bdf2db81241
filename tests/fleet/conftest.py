"""Real processes, and a Redis server of one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .redis_server import RedisServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run take longer than the minute each that CI gives it."""
    parser.addoption("--minutes", type=float, default=1.0, help="how long each fleet is disturbed")
    parser.addoption("--seed", type=int, default=1, help="what a fleet is disturbed by")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every test here take as long as it was asked to."""
    seconds = config.getoption("--minutes", 1.0) * 60 + 90
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Drive the processes from asyncio; some of them run on trio."""
    return "asyncio"


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
