"""Whose turn it is: so many renewals at work at one token endpoint, the others in a line.

Ten thousand keys that expire together would else be ten thousand requests at once, for the server,
for the connection pool, for the store, and for the event loop that has other things to do.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from typing import Final, Self
from weakref import WeakValueDictionary

import anyio
import attrs
from anyio.lowlevel import RunVar

from oauthkit.errors import TransportError
from oauthkit.renewal.latch import Latch

_BLOCKED_SECONDS: Final = 1.0
"""So long may a renewal that waits for another process's lease keep others from their turn."""


@attrs.define(eq=False)
class Place:
    """A place in the line, and then at work.

    Attributes:
        width: How many may be at work at once, for who has it.
        came: Who came before whom: to the line, and once called, to work.
        since: When it came to the line, on the event loop's clock.
        near: Called when it has become the head of its line.
        called: Set when it is at work.
    """

    width: int
    came: int
    since: float
    near: Callable[[], object] | None = None
    called: Latch = attrs.field(factory=Latch)

    def come_near(self) -> None:
        """Let it know that its turn is near."""
        near, self.near = self.near, None
        if near is not None:
            near()


class Turns:
    """Let so many in at once, the others in the order they came, as long as the line moves.

    Sessions over one endpoint may differ in how many they let be at work. Whoever has room by its
    own number goes, also past a head of the line that has none; but once only those who passed it
    keep the head from its turn, nobody passes it any more.
    """

    def __init__(self, endpoint: str) -> None:
        """Begin with nobody at work."""
        self._endpoint = endpoint.partition("?")[0]  # a query may hold a secret
        self._numbers = count()
        self._at_work: set[Place] = set()
        # A line for each width, for a call looks at the first of each only: there are as many as
        # there are policies. In order, and left in constant time by who is cancelled: a deque would
        # make a crowd that gives up cost the square of its size.
        self._lines: dict[int, OrderedDict[Place, None]] = {}
        self._leasing: dict[anyio.CancelScope, float] = {}
        self._moved_at = 0.0

    def turn(self, width: int, *, patience: float) -> "Turn":
        """Return a turn, to be taken.

        Args:
            width: How many may be at work at once.
            patience: How many seconds the line may stand still.
        """
        return Turn(self, width, patience)

    def move(self) -> None:
        """Note that the server answers: who stands in line may go on hoping."""
        self._moved_at = anyio.current_time()

    def line_up(self, width: int) -> Place:
        """Return a place at the end of the line, or at work where there is room.

        Args:
            width: How many may be at work at once.
        """
        place = Place(width, next(self._numbers), anyio.current_time())
        self._lines.setdefault(width, OrderedDict())[place] = None
        self._call_next()
        if self._lines:
            self._hurry()
        return place

    def is_far(self, place: Place) -> bool:
        """Tell whether others are before a place in its line."""
        return not place.called.is_set() and place is not next(iter(self._lines[place.width]))

    def leave(self, place: Place) -> None:
        """Leave the line, or the work, and let the next ones in."""
        if place.called.is_set():
            self._at_work.remove(place)
        else:
            self._leave_line(place)
        self._call_next()

    @contextmanager
    def leasing(self, wait: anyio.CancelScope) -> Generator[None]:
        """Wait for a lease, at work but idle: when others stand in line the wait ends soon.

        Args:
            wait: What the wait happens in; its deadline is set earlier.
        """
        self._leasing[wait] = anyio.current_time() + _BLOCKED_SECONDS
        if self._lines:
            self._hurry()
        try:
            yield
        finally:
            del self._leasing[wait]

    async def stand(self, place: Place, patience: float) -> None:
        """Stand in the line until a place is at work.

        Args:
            place: The place.
            patience: How many seconds the line may stand still.

        Raises:
            TransportError: It stood still for so long; nothing was sent.
        """
        while not place.called.is_set():
            until = max(place.since, self._moved_at) + patience
            if anyio.current_time() >= until:
                message = (
                    f"{len(self._at_work)} renewals are at work at {self._endpoint}, and none got "
                    f"an answer for {patience:g} s; nothing was sent for this one"
                )
                raise TransportError(message, sent=False)
            with anyio.CancelScope(deadline=until):
                await place.called.wait()

    def _call_next(self) -> None:
        while (place := self._next()) is not None:
            self._leave_line(place)
            place.came = next(self._numbers)
            self._at_work.add(place)
            place.called.set()

    def _next(self) -> Place | None:
        """Return whose turn it is: the first to come of those who have room."""
        at_work = len(self._at_work)
        first = sorted((next(iter(line)) for line in self._lines.values()), key=_came)
        if first and at_work >= first[0].width:
            elders = sum(place.came < first[0].came for place in self._at_work)
            if elders < first[0].width:
                return None  # those who passed the head alone keep it from its turn
        return next((place for place in first if at_work < place.width), None)

    def _leave_line(self, place: Place) -> None:
        line = self._lines[place.width]
        del line[place]
        if line:
            next(iter(line)).come_near()
        else:
            del self._lines[place.width]

    def _hurry(self) -> None:
        for wait, until in self._leasing.items():
            wait.deadline = min(wait.deadline, until)


@attrs.define(eq=False)
class Turn:
    """One renewal's turn: taken, left early where the server is asked no more, taken again."""

    _turns: Turns
    _width: int
    _patience: float
    _place: Place | None = None

    @property
    def had(self) -> bool:
        """Whether it is taken, and not left."""
        return self._place is not None and self._place.called.is_set()

    def is_far(self, call: Callable[[], object]) -> bool:
        """Take a place in the line, and tell whether others are before it there.

        Args:
            call: Called when it is the next one.
        """
        if self._place is None:
            self._place = self._turns.line_up(self._width)
        if not self._turns.is_far(self._place):
            return False
        self._place.near = call
        return True

    async def take(self) -> None:
        """Wait for it, unless it is had.

        Raises:
            TransportError: The line stood still for too long; nothing was sent.
        """
        if self._place is None:
            self._place = self._turns.line_up(self._width)
        try:
            await self._turns.stand(self._place, self._patience)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Let the next one in; nothing, where it is not had."""
        place, self._place = self._place, None
        if place is not None:
            self._turns.leave(place)

    async def __aenter__(self) -> Self:
        """Take it for a block."""
        await self.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave it, if it was not left before."""
        self.leave()

    def leasing(self, wait: anyio.CancelScope) -> AbstractContextManager[None]:
        """Wait for a lease, as `Turns.leasing`; who has no turn is in nobody's way."""
        return self._turns.leasing(wait) if self.had else nullcontext()


def _came(place: Place) -> int:
    return place.came


def turns_at(endpoint: str) -> Turns:
    """Return the line at a token endpoint, the same one for all sessions of an event loop.

    Args:
        endpoint: Its URL.
    """
    lines = _LINES.get(None)
    if lines is None:
        lines = WeakValueDictionary[str, Turns]()
        _LINES.set(lines)
    line = lines.get(endpoint)
    if line is None:
        line = lines[endpoint] = Turns(endpoint)
    return line


# One line for one server, whichever sessions ask it; an event loop's own, because who waits in one
# loop cannot be called from another. It is kept by those who stand in it.
_LINES: Final[RunVar[WeakValueDictionary[str, Turns]]] = RunVar("oauthkit.turns")
