"""The process from which workers and servers are forked."""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO, Final

import attrs

import oauthkit

from .settings import ServerSettings, WorkerSettings, to_line

PROCESSES: Final = Path(__file__).parent / "processes"


def environment() -> dict[str, str]:
    """Return what child processes need to find the oauthkit that is tested here, and the tests."""
    tested, tests = Path(oauthkit.__file__).parents[1], Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": f"{tested}{os.pathsep}{tests}"}


@attrs.define(eq=False)
class Forker:
    """Fork processes, and know what became of them.

    It answers within milliseconds, so nothing else goes on meanwhile.
    """

    _input: IO[str]
    _output: IO[str]

    def worker(self, settings: WorkerSettings) -> int:
        """Start a worker, and return its process."""
        return int(self._told(f"work {to_line(settings)}"))

    def server(self, settings: ServerSettings) -> int:
        """Start a server, and return its process."""
        return int(self._told(f"serve {to_line(settings)}"))

    def states(self) -> dict[int, str]:
        """Return what each process does; one that has ended is told of once."""
        return {int(pid): state for pid, state in json.loads(self._told("states")).items()}

    def _told(self, line: str) -> str:
        self._input.write(f"{line}\n")
        self._input.flush()
        return self._output.readline()


@cache
def the_forker() -> Forker:
    """Return the one of this run, which takes a second to start.

    At the end of its input it ends, and all that it has forked.
    """
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(PROCESSES / "forker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    atexit.register(process.communicate)
    assert process.stdin is not None
    assert process.stdout is not None
    return Forker(process.stdin, process.stdout)
