"""How whoever waits for a lease in Redis learns of its end: told by the server, or by looking."""

import math
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio
import attrs

from oauthkit.stores.leasing import pauses
from oauthkit.stores.per_loop import PerLoop
from oauthkit.stores.redis_client import (
    Heard,
    ListeningError,
    RedisClient,
    read_field,
    read_left,
)
from oauthkit.stores.redis_turns import turns
from oauthkit.stores.rounds import Round, Rounds

_MARGIN: Final = 0.002  # a lease that ends is looked at when it has ended
_RARELY: Final = (8.0, 12.0)
_DEAF_SECONDS: Final = 60.0  # where listening was refused, or broke off
_SPACING: Final = 0.004  # all who look make 250 looks a second at most, however many they are
_LONGEST_PAUSE: Final = 2.0


@attrs.frozen
class Look:
    """What was found when the lease was asked for.

    Attributes:
        held: Whether it was had.
        version: Of the record.
        token: What the record holds, where that is not as it was seen before.
        tells: Whether the one who has it will be heard of.
    """

    held: bool
    version: str
    token: str | bytes | None = attrs.field(repr=False)
    tells: bool

    def ends_the_wait_of(self, first: "Look") -> bool:
        """Tell whether the lease was had, or there is another token than at the first look."""
        return self.held or (self.token is not None and self.version != first.version)

    def replaced_by(self, other: "Look") -> "Look | None":
        """Return what somebody else's later look means to this one, where it ends the wait."""
        if other.token is None or other.token == self.token:
            return None
        return attrs.evolve(self, version="", token=other.token)


@attrs.define(eq=False)
class _Place:
    """What all stores over one client share in one event loop."""

    rounds: Rounds[Look] = attrs.field(factory=Rounds[Look])
    looking: int = 0
    deaf_until: float = -math.inf


_PLACES: Final = PerLoop[_Place]("oauthkit.stores.redis_waiting")


@attrs.define(eq=False)
class Waiting:
    """All who wait over one client.

    For each key one waits for all. A few of these listen, each with a connection to the server.
    It is all that thousands of keys may take; the others look, the more rarely the longer they
    wait and the more they are.
    """

    _client: RedisClient
    _clock: Callable[[], float]

    async def wait(
        self,
        names: tuple[str, str],
        first: Look,
        look_again: Callable[[], Awaitable[Look]],
    ) -> Look:
        """Return the look that ends the wait.

        Args:
            names: Of record and lease.
            first: The look at which the wait begins.
            look_again: Asks for the lease again.

        Raises:
            StoreError: Redis cannot be asked.
        """
        if first.held:
            return first
        place = _PLACES.of(self._client.given, _Place)
        search = _Search(self._client, self._clock, place, names, first, look_again)
        return await place.rounds.wait(names[1], search.run, first.replaced_by)


@attrs.frozen(eq=False)
class _Search:
    """One who waits for the end of a lease."""

    _client: RedisClient
    _clock: Callable[[], float]
    _place: _Place
    _names: tuple[str, str]
    _first: Look
    _look_again: Callable[[], Awaitable[Look]]

    async def run(self, turn: Round[Look], late: bool) -> Look:  # noqa: FBT001 - as Rounds calls it
        """Return the look that ends the wait; `late` where the first one is long ago."""
        look, pause = self._first, pauses(longest=_LONGEST_PAUSE)
        if late:
            look = await turn.look(self._look_again)
        while not look.ends_the_wait_of(self._first):
            if look.tells and self._may_listen():
                look = await self._told(turn) or look
            else:
                await self._pause(next(pause))
                look = await turn.look(self._look_again)
        return look

    def _may_listen(self) -> bool:
        if self._clock() < self._place.deaf_until:
            return False
        return turns(self._client).listening < self._client.lines

    async def _told(self, turn: Round[Look]) -> Look | None:
        """Listen, and return the first look that needs no more of it; None where it cannot be."""
        look, taken = None, turns(self._client)
        taken.listening += 1
        try:
            async with self._client.listen(self._names[1], partial(self._find, turn)) as line:
                look = await self._listened(turn, *line)
        except ListeningError:
            self._place.deaf_until = self._clock() + _DEAF_SECONDS
        finally:
            taken.listening -= 1
        return look

    async def _listened(self, turn: Round[Look], heard: Heard, found: Look | float | None) -> Look:
        while not isinstance(found, Look):
            if found is None or not await heard(_patience(found)):
                look = await turn.look(self._look_again)
                if look.ends_the_wait_of(self._first) or not look.tells:
                    return look
            found = await self._find(turn)
        return found

    async def _find(self, turn: Round[Look]) -> Look | float | None:
        """Return a look that ends the wait, or in how many seconds the lease ends, if there is one.

        As long as there is one, its end will be told, or it runs out.
        """
        record, lease = self._names
        turn.looks += 1
        gates = turns(self._client)
        async with gates.loads, gates.commands:
            token = await read_field(self._client, record, "token")
            if token is not None and token != self._first.token:
                return attrs.evolve(self._first, version="", token=token)
            return await read_left(self._client, lease)

    async def _pause(self, seconds: float) -> None:
        place = self._place
        place.looking += 1
        try:
            await anyio.sleep(max(seconds, min(place.looking * _SPACING, _LONGEST_PAUSE)))
        finally:
            place.looking -= 1


def _patience(left: float) -> float:
    """Return how long to listen: until the lease ends, and not for ever, as messages get lost."""
    return min(left + _MARGIN, random.uniform(*_RARELY))  # noqa: S311 - spreads the looks
