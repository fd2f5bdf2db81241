"""Start workers and servers at once: fork them from a process that has imported all they need.

It is told one line after the other on its standard input, and answers each with a line. Where that
is over, it ends, and whoever it has forked sees it and ends too.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial

from tests.fleet.processes import server, worker
from tests.fleet.settings import ServerSettings, WorkerSettings, from_line

States = dict[int, str]


def what_to_run() -> Callable[[], None]:
    """Do what is told; return in a process that was forked alone, with what it is to be."""
    states: States = {}
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "states":
            look(states)
            answer = json.dumps(states)
            states = {pid: state for pid, state in states.items() if "ended" not in state}
        else:
            pid = os.fork()
            if pid == 0:
                leave_pipes()
                if word == "serve":
                    return partial(server.run, from_line(ServerSettings, rest))
                return partial(worker.run, from_line(WorkerSettings, rest))
            states[pid] = "running"
            answer = str(pid)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    sys.exit()


def leave_pipes() -> None:
    """Leave the forker's own pipes to it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)


def look(states: States) -> None:
    """Bring up to date what is known of the processes."""
    options = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
    for pid in states:
        while "ended" not in states[pid]:
            found, status = os.waitpid(pid, options)
            if not found:
                break
            states[pid] = state_of(status)


def state_of(status: int) -> str:
    """Return a word for what a process does now."""
    if os.WIFSTOPPED(status):
        return "stopped"
    if os.WIFCONTINUED(status):
        return "running"
    return f"ended {os.waitstatus_to_exitcode(status)}"


worker.hold_signals()  # a worker that does not listen yet is born so
what_to_run()()
