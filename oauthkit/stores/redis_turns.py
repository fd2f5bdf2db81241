"""Whose turn it is at the connections of a Redis client: drivers may refuse whoever is too many."""

from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Final, Self

import anyio
import attrs

from oauthkit.stores.per_loop import PerLoop
from oauthkit.stores.redis_client import RedisClient

_Gate = AbstractAsyncContextManager[Any]
_OPEN: Final = nullcontext[None]()


@attrs.define(eq=False)
class Turns:
    """Gates for those who use one pool in one event loop: first come, first served.

    A pool with an end refuses whoever comes when all its connections are taken. A quarter of them
    is for lines, a half for commands, and a quarter is left to the caller, whose pool it is.

    Whoever asks, to look for a lease or to load, passes a narrow gate before that of all commands.
    So, however many ask, few of them are ever in the way of one who saves or gives a lease back.

    Attributes:
        looks: For whoever asks for a lease.
        loads: For whoever reads.
        commands: For each command, after the gate before it. Whoever is inside waits for nothing
            but the server, or all would wait for each other.
        listening: How many listen, each with a connection that is none of those of the gates.
    """

    looks: _Gate
    loads: _Gate
    commands: _Gate
    listening: int = 0

    @classmethod
    def at(cls, client: RedisClient) -> Self:
        """Return the gates to what a client's pool bears."""
        looks = anyio.Semaphore(client.connections, fast_acquire=True)
        if client.commands is None:
            return cls(looks, _OPEN, _OPEN)
        return cls(looks, looks, anyio.Semaphore(client.commands, fast_acquire=True))


_TURNS: Final = PerLoop[Turns]("oauthkit.stores.redis_turns")


def turns(client: RedisClient) -> Turns:
    """Return the gates that all clients over the same pool share in this event loop."""
    return _TURNS.of(client.pool, partial(Turns.at, client))
