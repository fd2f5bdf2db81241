"""A gate in front of a connection pool: first come, first served, with room left to renew."""

import sys
from collections import OrderedDict
from heapq import heappop, heappush
from itertools import count
from typing import Final
from weakref import WeakKeyDictionary

import anyio

_LEAST_RESERVE: Final = 1
_LARGEST_RESERVE: Final = 16
_RESERVED_SHARE: Final = 10


class Gate:
    """Let so many through at once, the others in the order they came.

    `anyio.Semaphore` does nearly that, but whoever gives up is looked for from the front of its
    queue: of 30,000 that wait, all but the first few pass 30,000 others, and the loop stands still
    for seconds. Here a waiter that gives up is found at once.

    Attributes:
        free: How many can go in now; a caller that finds some may take one away itself, which
            spares the busiest path a call. Below 0 after a gate was narrowed.
        waiting: All who wait.
    """

    def __init__(self, width: int) -> None:
        """Open the gate.

        Args:
            width: How many may be inside.
        """
        self.free = width
        self._width = width
        self.waiting: OrderedDict[anyio.Event, None] = OrderedDict()
        self._returning: dict[int, anyio.Event] = {}
        self._tickets: list[int] = []  # a heap; some may have given up since
        self._numbers = count(1)

    def enter(self) -> bool:
        """Go in if there is room, and say whether that was so."""
        if self.free > 0:
            self.free -= 1
            return True
        return False

    def ticket(self) -> int:
        """Return a number that keeps one's place in the line, for who was inside and comes back."""
        return next(self._numbers)

    async def wait(self, seconds: float | None, *, ticket: int | None = None) -> None:
        """Go in when it is one's turn.

        Args:
            seconds: How long to wait; None is without end.
            ticket: From when one was inside before. Who has one goes in before all who have none,
                and the oldest first: in a crowd, a token could else end in the line again and
                again.

        Raises:
            TimeoutError: It was never one's turn.
        """
        turn = anyio.Event()
        self.waiting[turn] = None
        if ticket is not None:
            self._returning[ticket] = turn
            heappush(self._tickets, ticket)
        try:
            with anyio.fail_after(seconds):
                await self.called(turn)
        except BaseException:
            if turn.is_set():  # the turn and the end came together: it is the next one's
                self.leave()
            else:
                del self.waiting[turn]
                self._returning.pop(ticket or 0, None)
            raise

    async def called(self, turn: anyio.Event) -> None:
        """Wait until a turn has come."""
        await turn.wait()

    def leave(self) -> None:
        """Make room for the next one."""
        self.free += 1
        if self.waiting:
            self._admit()

    def force(self) -> None:
        """Go in without a turn: for who is inside by right, and leaves in a moment."""
        self.free -= 1

    def resize(self, width: int) -> None:
        """Let more or fewer in from now on; who is inside stays there.

        Args:
            width: How many may be inside.
        """
        self.free += width - self._width
        self._width = width
        self._admit()

    def _admit(self) -> None:
        while self.waiting and self.enter():
            turn = self._oldest_ticket() or next(iter(self.waiting))
            del self.waiting[turn]
            turn.set()

    def _oldest_ticket(self) -> anyio.Event | None:
        while self._tickets:
            turn = self._returning.pop(heappop(self._tickets), None)
            if turn is not None:
                return turn
        return None


def gate_of(client: object, limit: int | None) -> Gate | None:
    """Return the gate of a client, the same one for all sessions that use it.

    Args:
        client: Whose pool it is.
        limit: How many connections its pool has; None needs no gate.
    """
    if limit is None:
        return None
    gate = _GATES.get(client)
    if gate is None:
        gate = _GATES[client] = Gate(width_for(limit))
    return gate


def width_for(limit: int | None) -> int:
    """Return how many API requests a pool may carry at once; the other connections are reserved.

    Where API requests held every connection, and answers that are streamed hold theirs for as long
    as they like, no token could be renewed, and in the end no request be sent. A pool of one
    connection has none to spare.

    Args:
        limit: How many connections the pool has; None is any number.
    """
    if limit is None:
        return sys.maxsize
    if limit <= _LEAST_RESERVE:
        return limit
    return limit - min(max(limit // _RESERVED_SHARE, _LEAST_RESERVE), _LARGEST_RESERVE)


# A client is of another library's class, so what belongs to it is kept beside it.
_GATES: Final[WeakKeyDictionary[object, Gate]] = WeakKeyDictionary()
