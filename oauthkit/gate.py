"""A gate in front of a connection pool that does not bear a crowd."""

from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

import anyio


class Gate:
    """Let so many through at once, the others in the order they came."""

    def __init__(self, width: int) -> None:
        """Open the gate.

        Args:
            width: How many may be inside.
        """
        self._free = width
        self._waiting: deque[anyio.Event] = deque()

    async def __aenter__(self) -> None:
        """Go in, as soon as there is room."""
        if self._free > 0:
            self._free -= 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._leave()
            else:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        """Make room for the next one."""
        self._leave()

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1


def gate_of(client: object, width: int | None) -> Gate | None:
    """Return the gate of a client, the same one for all sessions that use it.

    Args:
        client: Whose pool it is.
        width: How many requests at once its pool carries; None needs no gate.
    """
    if width is None:
        return None
    gate = _GATES.get(client)
    if gate is None:
        gate = _GATES[client] = Gate(width)
    return gate


# A client is of another library's class, so what belongs to it is kept beside it.
_GATES: Final[WeakKeyDictionary[object, Gate]] = WeakKeyDictionary()
