"""What every test shares: both event loops, and a guard against blocking one of them."""

import gc
import os
import tempfile
import time
from collections.abc import Generator, Iterator
from typing import IO, Any
from unittest.mock import patch

import certifi
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from oauthkit.stores import sqlite_file
from tests.duration import LONGEST, reasons, warning

BEGAN = pytest.StashKey[float]()
REDIS = {"redis_port", "redis_cluster_port"}
AUTHORITY = pytest.StashKey[tuple[IO[str], str | None]]()

settings.register_profile(
    "oauthkit",
    settings.get_profile("ci" if "CI" in os.environ else "default"),
    deadline=None,
)
settings.load_profile("oauthkit")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run say when it counts as slow."""
    parser.addoption(
        "--slow-after",
        type=float,
        default=LONGEST,
        help="seconds after which the ten slowest tests are shown with a warning",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Note when the run began, and let each client read one root certificate instead of all.

    Each reads them anew, for 35 ms of CPU time, and no test needs those of the world. Until the
    tests are collected, and where they are only counted, there is no garbage worth looking for.
    """
    gc.disable()
    config.stash[BEGAN] = time.monotonic()
    if not hasattr(config, "workerinput"):  # a worker of a parallel run has that of the whole run
        end = "-----END CERTIFICATE-----\n"
        first = certifi.contents().partition(end)[0]
        before = os.environ.get("SSL_CERT_FILE")
        file = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115 - until the end
        file.write(first + end)
        file.flush()
        os.environ["SSL_CERT_FILE"] = file.name
        config.stash[AUTHORITY] = file, before


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    file, before = config.stash.get(AUTHORITY, (None, None))
    if file is not None:
        file.close()
        del os.environ["SSL_CERT_FILE"]
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Have each worker of a parallel run begin at another file of a directory.

    Where nothing is compiled yet, each would else compile every file itself, as the others do. What
    is parametrized must not depend on what was imported before.
    """
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker and isinstance(collector, pytest.Dir):
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        first = len(report.result) * number // count
        report.result = report.result[first:] + report.result[:first]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is tested against a real Redis server, which pip cannot bring.

    Of a parallel run, give the same order to each worker, wherever it began.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path)
    for item in items:
        if isinstance(item, pytest.Function) and REDIS & {*item.fixturenames}:
            item.add_marker("redis")


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of each later collection of garbage.

    Some tests collect garbage, to find what was left open. Thousands of collected tests make each
    such collection take a fifth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured (`record_property("measured", …)`), and what made a run slow."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    for report in reports:
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(str(value))
    for reason in reasons(terminalreporter.getreports("rerun")):
        terminalreporter.write_line(reason, yellow=True)
    config = terminalreporter.config
    seconds = time.monotonic() - config.stash[BEGAN]
    limit: Any = config.getoption("--slow-after")
    for line in warning(reports, seconds, limit=limit):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Fail a test in which the package blocks a running asyncio loop."""
    with blockbuster_ctx("oauthkit") as blocking:
        # Measuring coverage takes a lock of its own at each file that a thread comes to first; an
        # error there would come out of the package in the middle of any line.
        blocking.functions["threading.Lock.acquire"].can_block_in(
            "coverage/collector.py", {"lock_data"}
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def synchronous() -> Iterator[str]:
    """Wait for no disk, which matters where power is lost alone; give what is said to SQLite else.

    Child processes, as those of the fleet, wait.
    """
    said = sqlite_file._SYNCHRONOUS
    with patch.object(sqlite_file, "_SYNCHRONOUS", "OFF"):
        yield said
