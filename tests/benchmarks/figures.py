"""A measured figure, and how two things are compared on a machine that others use too."""

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import attrs

Work = Callable[[], Awaitable[object]]

ROUNDS: Final = 25
ASIDE: Final = 3
"""Rounds that warm up caches and specialised bytecode and are not counted."""


@attrs.frozen
class Figure:
    """One line of the report.

    Attributes:
        limit: What the value may not exceed; None where it is only reported.
        aim: What it should not exceed.
    """

    name: str
    value: float
    unit: str = ""
    limit: float | None = attrs.field(default=None, kw_only=True)
    aim: float | None = attrs.field(default=None, kw_only=True)

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        if self.value > self.limit:
            return "BROKEN"
        return "ok" if self.aim is None or self.value <= self.aim else "ok, above its aim"

    @property
    def broken(self) -> bool:
        return self.limit is not None and self.value > self.limit


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as aligned text."""
    rows = [("figure", "value", "limit", "aim", ""), *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}"
        f"  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    )


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    limit, aim = ("" if bound is None else f"{bound:g}" for bound in (figure.limit, figure.aim))
    return figure.name, f"{figure.value:.3f} {figure.unit}".rstrip(), limit, aim, figure.verdict


async def cpu_ratio(subject: Work, baseline: Work, *, rounds: int = ROUNDS) -> float:
    """Return the CPU time of the subject in units of the baseline's.

    Both run in each round, first one and then the other in turn, and the median of the rounds'
    ratios is taken: what disturbs the machine for a while disturbs both.
    """
    ratios: list[float] = []
    for number in range(ASIDE + rounds):
        if number % 2:
            own, other = await cpu_seconds(subject), await cpu_seconds(baseline)
        else:
            other, own = await cpu_seconds(baseline), await cpu_seconds(subject)
        ratios.append(own / other)
    return statistics.median(ratios[ASIDE:])


async def cpu_seconds(work: Work) -> float:
    """Return the CPU time of one run, the collector's debts from before it not included."""
    gc.collect()
    start = time.process_time()
    await work()
    return time.process_time() - start
