"""How a request gets its turn at a client's connection pool; part of the HTTP seam."""

from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar, cast

import attrs

from oauthkit.acquisition import too_late
from oauthkit.gate import Gate, width_for
from oauthkit.transport import connection_limit, library_of

T = TypeVar("T")

_NOT_OF_A_REQUEST: Final = ("auth", "follow_redirects")  # but of how it is sent


async def pass_gate(
    gate: Gate, client: Any, method: str, url: Any, options: Mapping[str, Any]
) -> None:
    """Go through the gate in front of a client's pool, and wait there as long as for the pool.

    Args:
        gate: The client's; what it lets through is adapted to a pool that was made meanwhile.
        client: Who is going to send the request.
        method: The request's.
        url: The request's.
        options: The arguments of the request.

    Raises:
        PoolTimeout: The HTTP library's own, after the request's own pool timeout.
    """
    gate.resize(width_for(connection_limit(client)))
    if gate.enter():
        return
    await _wait(gate, client, method, url, options)
    gate.resize(width_for(connection_limit(client)))


@attrs.define(eq=False)
class Place:
    """Place of a request in the line before a pool, kept while it waits for something else.

    Attributes:
        gate: What the request has passed; None is no gate.
        library: The HTTP library.
        request: Whose pool timeout holds for the second wait, too.
    """

    gate: Gate | None
    library: Any
    request: Any
    _ticket: int | None = None

    async def outside(self, work: Awaitable[T]) -> T:
        """Return what work comes to, and wait for it outside the gate: others go on meanwhile.

        Raises:
            PoolTimeout: The HTTP library's own, after the request's own pool timeout.
        """
        gate = self.gate
        if gate is None:
            return await work
        gate.leave()
        self._ticket = self._ticket or gate.ticket()
        try:
            result = await work
            if not gate.enter():
                await self._take_turn(gate, self._ticket)
        except BaseException:
            gate.force()  # whoever let the request in lets it out again
            raise
        return result

    async def _take_turn(self, gate: Gate, ticket: int) -> None:
        seconds = self.request.extensions["timeout"].get("pool")
        try:
            await gate.wait(seconds, ticket=ticket)
        except TimeoutError:
            message = too_late(seconds)
            raise self.library.PoolTimeout(message, request=self.request) from None


async def _wait(gate: Gate, client: Any, method: str, url: Any, options: Mapping[str, Any]) -> None:
    library = library_of(client)
    seconds = _pool_seconds(library, client, options)
    try:
        await gate.wait(seconds)
    except TimeoutError:
        parts = {name: value for name, value in options.items() if name not in _NOT_OF_A_REQUEST}
        request = client.build_request(method, url, **parts)
        raise library.PoolTimeout(too_late(seconds), request=request) from None


def _pool_seconds(library: Any, client: Any, options: Mapping[str, Any]) -> float | None:
    """Return a request's pool timeout as the library would find it; None is no end."""
    extensions: Mapping[str, Any] = options.get("extensions") or {}
    if "timeout" in extensions:
        return cast("float | None", extensions["timeout"].get("pool"))
    timeout = options.get("timeout", library.USE_CLIENT_DEFAULT)
    if timeout is library.USE_CLIENT_DEFAULT:
        timeout = client.timeout
    return cast("float | None", library.Timeout(timeout).pool)
