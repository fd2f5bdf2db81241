"""Which of the servers are there."""

import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import pytest

HERE: Final = Path(__file__).parent


def installed() -> Mapping[str, object]:
    """Return what is there for the tests of each folder, something false where nothing is."""
    return {
        "oidc_provider": shutil.which("node") and os.environ.get("OIDC_PROVIDER"),
        "django_toolkit": find_spec("oauth2_provider"),
    }


def left_out() -> list[str]:
    """Return the folders whose server is not there; a CI run, which may not go without, fails."""
    return [] if "CI" in os.environ else [name for name, there in installed().items() if not there]


def pytest_ignore_collect(collection_path: Path) -> Literal[True] | None:
    """Leave a folder out."""
    return True if collection_path in {HERE / name for name in left_out()} else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was left out."""
    for name in left_out():
        line = f"tests/interop/{name} was left out: its server comes with `nox -s interop`"
        terminalreporter.write_line(line, yellow=True)
