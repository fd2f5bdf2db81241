"""Every world that can come to be, up to a bound."""

import gc
import time
from collections import deque
from typing import Final

import attrs

from oauthkit.renewal.revocation import Revocation
from oauthkit.renewal.script import Script
from oauthkit.renewal.state import TokenState

from .automaton import Automaton, EndlessError
from .invariants import ViolationError, check, check_end
from .physics import Physics
from .world import Bounds, World

KINDS: Final = frozenset(
    {
        "cancel",
        "crash",
        "failing save",
        "foreign login",
        "login",
        "logout",
        "lost answer",
        "lost request",
        "refused connection",
        "revoke",
        "stop",
        "store away",
        "store set back",
        "torn down",
    }
)


@attrs.frozen
class Explored:
    """What was found.

    Attributes:
        worlds: How many different ones were seen.
        steps: How many steps led from one to another.
        ends: How many worlds there are in which nothing is left to happen.
        replays: How many histories of a script were replayed.
        seconds: How long it took.
        violation: What does not hold; empty where everything does.
        story: How it came to that.
    """

    worlds: int
    steps: int
    ends: int
    replays: int
    seconds: float
    violation: str = ""
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in a line, and tell the story where there is one."""
        line = (
            f"{self.worlds:,} worlds, {self.steps:,} steps, {self.ends:,} ends, "
            f"{self.replays:,} histories replayed, {self.seconds:.1f} s"
        )
        if self.violation:
            line += f"\n{self.violation}\n  " + "\n  ".join(self.story)
        return line


def explore(
    processes: int,
    bounds: Bounds,
    broken: type[Script] | type[Revocation] | type[TokenState] | None = None,
) -> Explored:
    """Go to every world, the nearest first, and stop at the first one that may not be.

    Args:
        processes: How many there are.
        bounds: How far to go.
        broken: What stands in the place of the production's script, or of its state.
    """
    gc.disable()  # nothing here goes in circles, and there is very much of it
    try:
        return _explored(processes, Physics(_automaton(broken), bounds))
    finally:
        gc.enable()


def _automaton(broken: type[Script] | type[Revocation] | type[TokenState] | None) -> Automaton:
    if broken is None:
        return Automaton()
    if issubclass(broken, Script):
        return Automaton(script=broken)
    if issubclass(broken, Revocation):
        return Automaton(revocation=broken)
    return Automaton(state=broken)


def _explored(processes: int, physics: Physics) -> Explored:
    began, steps, ends = time.perf_counter(), 0, 0
    first = physics.beginning(processes)
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    line = deque([first])
    violation, last = "", (first, "")
    while line and not violation:
        world = line.popleft()
        quiet = True
        try:
            last = (world, "nothing more happens")
            for what, reached in physics.steps(world):
                steps += 1
                last = (world, what)
                if reached.faults == world.faults:
                    quiet = False
                after = reached.canonical()
                if after in came_from:
                    continue
                came_from[after] = (world, what)
                check(after, grace=physics.bounds.grace)
                line.append(after)
            if quiet:
                ends += 1
                check_end(world)
        except ViolationError as error:
            violation = str(error)
        except EndlessError:
            violation = "a script does not end"
    seconds = time.perf_counter() - began
    story = _story(came_from, last) if violation else ()
    replays = physics.automaton.replays
    return Explored(len(came_from), steps, ends, replays, seconds, violation, story)


def _story(
    came_from: dict[World, tuple[World, str] | None], last: tuple[World, str]
) -> tuple[str, ...]:
    world, what = last
    story = [what]
    before = came_from[world]
    while before is not None:
        world, what = before
        story.append(what)
        before = came_from[world]
    return tuple(reversed(story))
