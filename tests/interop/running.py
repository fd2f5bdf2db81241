"""A server of another project's in a process of its own, which ends with this one."""

import json
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

PATIENCE: Final = 30.0


def required(what: object, *, name: str) -> None:
    """Fail where something is not installed: without `CI` set, `conftest.py` leaves it out."""
    if not what:
        pytest.fail(f"{name} is not installed, and a CI run may not go without")


@contextmanager
def running(
    command: Sequence[str], settings: Mapping[str, Any], *, directory: Path, log: Path
) -> Generator[Mapping[str, str]]:
    """Run a server, and give what it says of itself.

    It reads its settings from the first line of its input, says where it is in the first line of
    its output, and ends when its input does: also when the tests are killed.

    Args:
        command: What starts it.
        settings: What it is to know, as JSON.
        directory: Where it is started.
        log: Where all else that it says is written to.
    """
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - a server of these tests
            command,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin, process.stdout:
            process.stdin.write(f"{json.dumps(settings)}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"{command} did not start: {log.read_text(encoding='utf-8')}")
            yield json.loads(line)
    finally:
        process.wait(PATIENCE)
