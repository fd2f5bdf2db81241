"""Single cases: one login, one renewal, and something that happens in the middle of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import attrs

from oauthkit import Token, TokenStore

from .attribution import Cause
from .running import KEY, Fleet, fleet, opened_store, until
from .settings import Place, Times, named

LONG: Final = 60.0
BETWEEN_CALLS: Final = 0.3


@attrs.frozen
class Case:
    """A fleet whose stored token has expired, and whose next one lives long."""

    store: TokenStore
    fleet: Fleet
    first: Token

    async def renewed(self, *, times: int = 1) -> None:
        """Wait until the server has exchanged so many refresh tokens."""
        with anyio.fail_after(20):
            while (await self.fleet.told("state"))["renewals"] < times:  # noqa: ASYNC110 - likewise
                await anyio.sleep(0.01)

    async def noted(self, what: str, pid: int, *, since: float = 0.0) -> None:
        """Wait until a process has written something down."""
        lines = self.fleet.journal.lines
        await until(lambda: any(line["at"] > since for line in lines(what, pid=pid)))

    async def served(self, pid: int) -> None:
        """Wait until a process has a new token, of its own or another's."""
        journal = self.fleet.journal
        await until(
            lambda: bool(journal.lines("saved", pid=pid) + journal.lines("adopted", pid=pid))
        )

    async def presented(self) -> int:
        """Return how many times a refresh token was presented."""
        return len((await self.fleet.record()).exchanges)

    async def presented_again(self) -> None:
        """Wait until a refresh token was presented for the second time."""
        with anyio.fail_after(20):
            while await self.presented() == 1:  # noqa: ASYNC110 - likewise
                await anyio.sleep(0.02)

    async def causes(self) -> list[Cause | None]:
        """Return why refresh tokens were presented twice."""
        return [repetition.cause for repetition in await self.fleet.repetitions()]

    async def lost(self) -> int:
        """Return how many logins were lost."""
        return int((await self.fleet.told("state"))["lost"])

    async def stored(self) -> Token:
        """Return what the store has, which must be what the server gave last."""
        token = await self.store.load(KEY)
        assert token is not None
        assert await self.fleet.told("unspent", refresh_token=token.refresh_token)
        return token

    async def end_with_the_same_token(self, *pids: int) -> None:
        """End all processes; those named must hold what is stored, which is new."""
        await self.fleet.end()
        token = await self.stored()
        assert token != self.first
        for pid in pids:
            (held,) = self.fleet.journal.lines("holds", pid=pid)
            assert held["token"] == named(token)
        assert self.fleet.crashes == []


@asynccontextmanager
async def one_renewal(
    directory: Path, place: Place, *, grace: float = 0.0, times: Times | None = None
) -> AsyncGenerator[Case]:
    """Give a fleet in which exactly one renewal is needed."""
    times = times or Times()
    async with (
        opened_store(place, lease_seconds=times.lease_seconds) as store,
        fleet(directory, place, grace=grace, expires_in=LONG, times=times) as running,
    ):
        running.pause = BETWEEN_CALLS
        first = await running.login(store, expired=True)
        yield Case(store, running, first)
