"""Tasks that call an API without end, and are cancelled in the middle of it in all ways."""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from typing import Final

import anyio
import attrs
import httpx

from oauthkit import AsyncTokenSession, OAuthKitError, Recovery, StoreError
from tests.fleet.processes.journal import Journal

UNAUTHORIZED: Final = 401
TICK: Final = 0.5
INTERRUPTED: Final = 0.1
"""The share of the calls that are cancelled at once or soon."""


@attrs.define(eq=False)
class Calls:
    """Call, and count what came of it."""

    journal: Journal
    pause: float
    counted: Counter[str] = attrs.field(factory=Counter[str])
    longest: float = 0.0
    chance: random.Random = attrs.field(factory=random.Random)
    _on_their_way: set[anyio.CancelScope] = attrs.field(factory=set[anyio.CancelScope])

    async def go_on(self, session: AsyncTokenSession) -> None:
        """Call again and again, and sometimes leave in the middle of it."""
        while True:
            await anyio.sleep(self.chance.uniform(0.5, 1.5) * self.pause)
            if self.chance.random() < INTERRUPTED:
                await self._interrupted(session, self.chance.expovariate(200))
            else:
                with anyio.CancelScope() as scope:
                    self._on_their_way.add(scope)
                    try:
                        await self._call(session)
                    finally:
                        self._on_their_way.discard(scope)

    def cancel(self) -> None:
        """Cancel every call that is on its way."""
        self.counted["cancelled"] += len(self._on_their_way)
        for scope in self._on_their_way:
            scope.cancel()

    async def tick(self, parent: int) -> None:
        """Write down what was counted, again and again, as long as the parent lives."""
        while os.getppid() == parent:
            await anyio.sleep(TICK)
            self.note()
        os._exit(1)  # nobody is left to end it

    def note(self) -> None:
        """Write down what was counted since the last time."""
        counted, self.counted = self.counted, Counter()
        longest, self.longest = self.longest, 0.0
        self.journal.write("tick", counted=counted, longest=longest)

    async def _call(self, session: AsyncTokenSession) -> None:
        """Ask the API once, after a look at how long a token takes to be had."""
        began = time.monotonic()
        try:
            await session.token()
            response = await session.get("/report")
        except OAuthKitError as error:
            self._count_failure(error)
            await anyio.sleep(0.1)
        except httpx.TransportError as error:
            self.counted[f"API not reached: {type(error).__name__}"] += 1
        else:
            self.counted[f"status {response.status_code}"] += 1
            if response.status_code == UNAUTHORIZED:
                await anyio.sleep(0.1)
        self.longest = max(self.longest, time.monotonic() - began)

    def _count_failure(self, error: OAuthKitError) -> None:
        self.counted["no token"] += 1
        if error.recovery is Recovery.REAUTHORIZE:
            self.counted["login wanted"] += 1
        kind = "store" if isinstance(error, StoreError) else "server"
        self.counted[f"no token: {kind}"] += 1

    async def _interrupted(self, session: AsyncTokenSession, seconds: float) -> None:
        """Call, and be cancelled in one of the ways there are."""
        self.counted["cancelled"] += 1
        if not asyncio_runs():
            with anyio.move_on_after(seconds):
                await self._call(session)
        elif self.chance.random() < 0.5:
            try:
                async with asyncio.timeout(seconds):
                    await self._call(session)
            except TimeoutError:
                pass
        else:
            task = asyncio.create_task(self._call(session))
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.wait([task])


def asyncio_runs() -> bool:
    """Tell whether the running event loop is one of asyncio."""
    if "asyncio" not in sys.modules:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
