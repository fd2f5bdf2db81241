"""The production script as an automaton: what it wants next, after all that it was told.

A generator cannot be copied, so a node is replayed from what its script was told. Few histories are
shared by very many states of the world, so each is replayed once.
"""

import copy
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, cast

import attrs

from oauthkit import RenewalPolicy, Token
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.tries import Tries
from oauthkit.renewal.effects import (
    Answered,
    Ask,
    Dropped,
    Effect,
    LetGo,
    Lost,
    Outcome,
    Pause,
    Refused,
    Tell,
)
from oauthkit.renewal.effects import Done as WasDone
from oauthkit.renewal.revocation import Revocation
from oauthkit.renewal.script import Plan, Script, Wish
from oauthkit.renewal.spent import SpentRights
from oauthkit.renewal.state import Moment, TokenState

NOW: Final = 1_000.0
PAST: Final = NOW - 500.0
FUTURE: Final = NOW + 500.0
ISSUER: Final = "https://auth.example"
POLICY: Final = RenewalPolicy(jitter=0.0)
LONGEST_SCRIPT: Final = 80
"""Effects; a script that is longer waits for ever, as far as anybody can tell."""

Told = tuple[Outcome, float]
"""An outcome, and the moment on the event loop's clock at which it was told."""


class EndlessError(Exception):
    """A script does not end."""


@attrs.frozen(eq=False)
class Node:
    """A script after all that it was told.

    Attributes:
        effect: What it wants done; None at its end.
        state: What the process knows by now, as a value.
        error: What the script raised, by name; empty where it did not.
        held: The token that the process hands out by now.
        fetched: Whether that token came from the server to this process.
        unsaved: The token that the store has not taken.
        asks: How many times the script has presented one refresh token.
    """

    start: "Start"
    told: tuple[Told, ...]
    effect: Any
    state: int
    error: str
    held: Token | None
    fetched: bool
    unsaved: Token | None
    asks: int


@attrs.frozen
class Start:
    """How a script begins.

    Attributes:
        state: What the process knows, as a value.
        wish: What the renewal is for.
    """

    state: int
    wish: Wish


class Automaton:
    """Answer what a script wants next."""

    def __init__(
        self,
        script: type[Script] = Script,
        state: type[TokenState] = TokenState,
        revocation: type[Revocation] = Revocation,
    ) -> None:
        """Take the production's own scripts and state, or broken ones."""
        self._script = script
        self._revocation = revocation
        self._state = state
        self._states: list[tuple[Any, ...]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._starts: dict[Start, Node] = {}
        self._next: dict[tuple[int, Told], Node] = {}
        self._nodes: dict[Any, Node] = {}
        self.replays = 0
        self.blank = self.number(state())

    def number(self, state: TokenState) -> int:
        """Return the number of a state: equal ones have the same."""
        value = _values(state)
        named = tuple(map(_value, value))
        if named not in self._numbers:
            self._numbers[named] = len(self._states)
            self._states.append(value)
        return self._numbers[named]

    def state(self, number: int) -> TokenState:
        """Return a state of one's own, from its number."""
        state = self._state(*self._states[number])
        state.spent = copy.copy(state.spent)  # the one part of a state that changes in its place
        return state

    def start(self, state: int, wish: Wish) -> Node:
        """Return a script that has begun."""
        start = Start(state, wish)
        node = self._starts.get(start)
        if node is None:
            node = self._starts[start] = self._replayed(start, ())
        return node

    def tell(self, node: Node, outcome: Outcome, *, at: float = 0.0) -> Node:
        """Return the script after one more outcome."""
        key = id(node), (outcome, at)
        after = self._next.get(key)
        if after is None:
            after = self._next[key] = self._replayed(node.start, (*node.told, (outcome, at)))
        return after

    def _replayed(self, start: Start, told: tuple[Told, ...]) -> Node:
        """Return the script after what it was told, and after what concerns nobody else."""
        self.replays += 1
        state = self.state(start.state)
        plan = Plan(key="k", grant=None, policy=POLICY, recheck=5.0, binding=Binding(issuer=ISSUER))
        part = (
            self._revocation(state, plan, _moment(0.0))
            if start.wish.revoke
            else self._script(state, plan, start.wish, _moment(0.0))
        ).run()
        effect: Effect | None = next(part)
        error, asks = "", Counter[str]()
        line = list(told)
        at = 0.0
        for step in range(LONGEST_SCRIPT + 1):
            if step == LONGEST_SCRIPT:
                raise EndlessError
            if isinstance(effect, Tell | LetGo | Pause | Dropped):
                outcome: Outcome = WasDone()
            elif line:
                outcome, at = line.pop(0)
                if isinstance(effect, Ask) and isinstance(outcome, Answered | Refused | Lost):
                    asks[str(effect.right.presents)] += 1
            else:
                break
            try:
                effect = part.send((outcome, _moment(at)))
            except StopIteration:
                effect = None
                break
            except Exception as raised:  # noqa: BLE001 - whatever it is, the explorer judges it
                effect, error = None, type(raised).__name__
                break
        number = self.number(state)
        most = max(asks.values(), default=0)
        here = (number, effect, error, most, _place(part) if effect is not None else None)
        part.close()
        if here not in self._nodes:
            held, unsaved = state.held, state.unsaved
            self._nodes[here] = Node(
                start,
                told,
                effect,
                number,
                error,
                None if held is None else held.token,
                held is not None and held.fetched,
                None if unsaved is None else unsaved.token,
                most,
            )
        return self._nodes[here]


def _place(part: Any) -> tuple[Any, ...]:
    """Return where a generator is, and all that it knows: two that are alike go on alike."""
    place: list[Any] = []
    while part is not None:
        frame = part.gi_frame
        known = [(name, _value(value)) for name, value in sorted(frame.f_locals.items())]
        place.append((part.gi_code.co_name, frame.f_lasti, tuple(known)))
        part = part.gi_yieldfrom
    return tuple(place)


def _value(value: Any) -> Any:
    """Return a local variable as something that can be compared and hashed."""
    if isinstance(value, TokenState):
        return "state"  # its number is part of the place already
    if isinstance(value, Exception):
        return type(value).__name__, str(value)
    if isinstance(value, list | tuple):
        return tuple(map(_value, cast("Iterable[object]", value)))
    if isinstance(value, dict):
        return _value(sorted(cast("dict[str, object]", value).items()))
    if isinstance(value, Script | Revocation | Plan | Tries | SpentRights):
        return tuple(map(_value, _values(value)))
    return value


def _values(of: Script | Revocation | Plan | Tries | SpentRights | TokenState) -> tuple[Any, ...]:
    return tuple(getattr(of, field.name) for field in attrs.fields(type(of)))


def _moment(loop: float) -> Moment:
    return Moment(monotonic=NOW, time=NOW, loop=loop)
