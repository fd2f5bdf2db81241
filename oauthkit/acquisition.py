"""Who may ask a pool for a connection: one request at a time, in the order they came.

The pool of httpx 0.28 promises an idle connection to every request that asks for one before the
first of these has begun to write. All the others ask again, may lose again, however long they have
waited, and look at every connection each time. So in a crowd a request asks when the one before it
has begun to connect or to write. Part of the HTTP seam: it knows the transport of httpx.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
import attrs

from oauthkit.gate import Gate

_LIBRARY: Final = "httpx"  # httpx2 has a cure of its own
_BEGUN: Final = ".started"
_PATIENCE: Final = 0.5
"""Seconds; whose turn lasts for longer has a full pool before it, or a mock that says nothing."""
_MOMENT: Final = 0.05
"""Seconds; a turn that was called is noted by its owner only when that goes on."""


class _Turns(Gate):
    """One turn at a time, which ends before its time where it lasts for too long.

    Attributes:
        latest: The one that was taken last, and for which all who wait do.
    """

    latest: "_Turn"

    def __init__(self) -> None:
        super().__init__(1)

    async def called(self, turn: anyio.Event) -> None:
        while not turn.is_set():
            with anyio.move_on_after(max(self.latest.left(), _MOMENT)):
                await turn.wait()
            if self.latest.left() <= 0:
                self.latest.end()


@attrs.define(eq=False)
class _Turn:
    """Turn of one request at its pool, until its connection is had."""

    _turns: Gate
    _trace: Any
    _began: float
    _over: bool = False

    async def trace(self, name: str, info: Any) -> None:
        """Hear what the transport does next, and let the next one ask; the caller hears it too."""
        if name.endswith(_BEGUN):
            self.end()
        if self._trace is not None:
            await self._trace(name, info)

    def left(self) -> float:
        """Return for how many seconds it is waited yet."""
        return self._began + _PATIENCE - anyio.current_time()

    def end(self) -> None:
        """Let the next one ask."""
        if not self._over:
            self._over = True
            self._turns.leave()


@attrs.define(eq=False)
class Line:
    """Requests before one pool.

    Attributes:
        under_way: How many wait, or have no answer yet.
    """

    under_way: int = 0
    _turns: _Turns = attrs.field(factory=_Turns)

    async def send(
        self, send: Callable[[Any], Awaitable[Any]], request: Any, library: ModuleType
    ) -> Any:
        """Send a request when it is its turn; one that is alone has nothing to wait for.

        Args:
            send: Sends it by the transport.
            request: What is sent.
            library: The package it belongs to.

        Raises:
            PoolTimeout: The library's own, after the request's own pool timeout.
        """
        self.under_way += 1
        try:
            if self.under_way == 1:
                return await send(request)
            extensions = request.extensions
            turn = await self._turn(request, library)
            try:
                return await send(request)
            finally:
                turn.end()
                request.extensions = extensions
        finally:
            self.under_way -= 1

    async def _turn(self, request: Any, library: Any) -> _Turn:
        timeout: Mapping[str, Any] = request.extensions.get("timeout", {})
        seconds, began = timeout.get("pool"), anyio.current_time()
        if not self._turns.enter():
            try:
                await self._turns.wait(seconds)
            except TimeoutError:
                raise library.PoolTimeout(too_late(seconds), request=request) from None
        now = anyio.current_time()
        self._turns.latest = turn = _Turn(self._turns, request.extensions.get("trace"), now)
        # What was waited here, the pool need not wait again.
        left = None if seconds is None else max(0.0, seconds - (now - began))
        changed = {"timeout": {**timeout, "pool": left}, "trace": turn.trace}
        request.extensions = {**request.extensions, **changed}
        return turn


def needs_turns(library: ModuleType) -> bool:
    """Tell whether a package's pool leaves it to luck who has an idle connection."""
    return library.__name__ == _LIBRARY


def line_of(transport: Any, library: Any) -> Line | None:
    """Return where requests wait for their turn at a transport's pool; None where none is needed.

    A transport of anybody's own may answer without a connection, and say nothing of it; one
    connection of HTTP/2 carries many requests at once.

    Args:
        transport: What sends the request.
        library: The package it belongs to, which needs them.
    """
    if type(transport) is not library.AsyncHTTPTransport:
        return None
    line = _LINES.get(transport)
    if line is None and not getattr(getattr(transport, "_pool", None), "_http2", True):
        line = _LINES[transport] = Line()
    return line


def too_late(seconds: float | None) -> str:
    """Say that a pool had nothing for a request.

    Args:
        seconds: How long it waited.
    """
    return f"no connection of the pool was free within {seconds or 0:g} s"


# A transport is of another library's class, so what belongs to it is kept beside it.
_LINES: Final[WeakKeyDictionary[object, Line]] = WeakKeyDictionary()
