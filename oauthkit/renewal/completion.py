"""Work that ends once it has been started, whoever stops waiting for it."""

import math
from typing import Final

import anyio
import anyio.lowlevel

from oauthkit.renewal.event_loop import current_loop, on_asyncio
from oauthkit.renewal.latch import Latch
from oauthkit.renewal.watch import LONGEST_STEP, Ended, Job, Work

_LONGEST_GRACE: Final = 86_400.0  # seconds; an event loop's timers know no infinity


class Completion:
    """Run work to its end, and know what is still running."""

    def __init__(self, grace: float = math.inf, linger: float = math.inf) -> None:
        """Start with nothing running.

        Args:
            grace: Seconds that work which must not be stopped has when it is to end.
            linger: The same, for work that goes on beside.
        """
        anyio.Event()  # makes anyio load its part for the running loop, now and not in a renewal
        self._grace = min(grace, _LONGEST_GRACE)
        self._linger = min(linger, _LONGEST_GRACE)
        self._running: dict[Latch, Job] = {}

    def start(self, work: Work, ended: Ended) -> Latch:
        """Do the work beside the caller, and return what is set at its end.

        Args:
            work: It must not raise.
            ended: Called at the end, even of work that was stopped before it began.
        """
        job = Job(
            work=work,
            ended=ended,
            family=self._running,
            grace=self._grace,
            linger=self._linger,
        )
        return job.done

    async def wait(self, event: Latch) -> None:
        """Wait for an event of work that was started for this caller.

        A cancelled caller leaves at once on asyncio, and after the event on trio.
        """
        if on_asyncio():
            await event.wait()
            return
        with anyio.CancelScope(shield=True):
            await event.wait()
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def stop(self, done: Latch) -> None:
        """Bring one piece of work to its end.

        Args:
            done: What `start` returned.
        """
        job = self._running.get(done)
        if job is not None:
            job.end()
            await done.wait()

    async def drain(self) -> None:
        """Wait for all work of this event loop that does not go on beside."""
        for job in self._here():
            await job.idle.wait()

    async def finish(self) -> None:
        """Bring all work of this event loop to its end, within the grace that it has."""
        grace = self._grace
        for job in self._here():
            grace = await _within_grace(job.idle, grace)
        for job in self._here():
            job.end()
        linger = self._linger
        for job in self._here():
            linger = await _within_grace(job.done, linger)
        for job in self._here():
            job.stop()
            await job.done.wait()

    def _here(self) -> list[Job]:
        here = current_loop()
        return [job for job in self._running.values() if job.loop is here]


async def _within_grace(event: Latch, seconds: float) -> float:
    """Wait for an event, and return how many of the seconds are left."""
    while seconds > 0 and not event.is_set():
        step, began = min(seconds, LONGEST_STEP), anyio.current_time()
        with anyio.move_on_after(step):
            await event.wait()
        seconds -= min(anyio.current_time() - began, step)
    return seconds
