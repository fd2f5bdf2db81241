"""Many calls at once, over tokens that come to their end meanwhile."""

import time
from collections.abc import Sequence
from typing import Final

import anyio
import attrs

from oauthkit.cli.lines import Line
from oauthkit.cli.plan import Plan, Progress, Watch

_TICK: Final = 0.1


@attrs.define(eq=False)
class Crowd:
    """Make many calls at once, again and again.

    Attributes:
        under_way: How many calls are.
        peak: How many were, at most.
        begun_at: When the first of them began, on the monotonic clock.
    """

    plan: Plan
    lines: Sequence[Line]
    under_way: int = 0
    peak: int = 0
    begun_at: float = 0.0

    async def run(self, watch: Watch) -> None:
        """Call until every token has ended as often as planned."""
        self.begun_at = time.monotonic()
        step = f"{self.plan.crowd} calls at once, tokens live {self.plan.life} s"
        async with anyio.create_task_group() as tasks:
            for line, size in zip(self.lines, self._sizes(), strict=True):
                tasks.start_soon(self._waves, line, size)
            while any(map(self._goes_on, self.lines)):
                share = min(self._seconds / self.plan.seconds, 1.0)
                watch(Progress(step=step, share=share, detail=self._detail()))
                await anyio.sleep(_TICK)
        watch(Progress(step=step, share=1.0, detail=self._detail()))

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self.begun_at

    def _goes_on(self, line: Line) -> bool:
        """Tell whether a line is called again: where the machine is slow, for longer."""
        if line.renewals < self.plan.expiries:
            return self._seconds < self.plan.patience
        return self._seconds < self.plan.seconds

    def _sizes(self) -> list[int]:
        """Divide the crowd among the lines."""
        each, over = divmod(self.plan.crowd, len(self.lines))
        return [each + (number < over) for number in range(len(self.lines))]

    async def _waves(self, line: Line, size: int) -> None:
        """Make so many calls at once, again and again."""
        while self._goes_on(line):
            async with anyio.create_task_group() as tasks:
                for _ in range(size):
                    tasks.start_soon(self._call, line)

    async def _call(self, line: Line) -> None:
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await line.timed_call()
        self.under_way -= 1

    def _detail(self) -> str:
        calls = sum(line.calls for line in self.lines)
        renewals = sum(line.renewals for line in self.lines)
        failed = sum(len(line.failures) for line in self.lines)
        return f"{calls:,} calls, {renewals} renewals, {failed} failed"
