"""The figures as pictures, for docs/performance.md."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from .figures import Figure

WIDTH: Final = 10.0
LINE: Final = 0.22
"""Inches, as the height of a line of text."""

KEPT: Final = "#4477aa"
ABOVE: Final = "#cc3311"

# The same figures give the same file, with texts that can be searched
mpl.rcParams.update({"font.size": 8, "svg.hashsalt": "oauthkit", "svg.fonttype": "none"})


def plot(figures: Sequence[Figure], directory: Path) -> None:
    """Write one picture of what was compared, and one of how much of each limit is used."""
    directory.mkdir(parents=True, exist_ok=True)
    compared = [figure for figure in figures if figure.unit == "x"]
    axes, write = _axes(len(compared))
    lengths = [figure.value - 1 for figure in compared]  # a bar begins at what is as much
    bars = axes.barh(_names(compared), lengths, left=1, color=_colours(compared))
    axes.bar_label(bars, labels=[f"{figure.value:.2f}" for figure in compared], padding=3)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times the other")
    write(directory / "ratios.svg")

    limited = [figure for figure in figures if figure.limit]
    axes, write = _axes(len(limited))
    shares = [max(0.0, figure.value / (figure.limit or 1.0)) for figure in limited]
    bars = axes.barh(_names(limited), shares, color=_colours(limited))
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlabel("share of the limit; none is 0.00, as is less than none")
    write(directory / "limits.svg")


def _names(figures: Sequence[Figure]) -> list[str]:
    return [figure.name for figure in figures]


def _colours(figures: Sequence[Figure]) -> list[str]:
    return [ABOVE if figure.broken else KEPT for figure in figures]


def _axes(count: int) -> tuple[Any, Callable[[Path], None]]:
    """Return where so many bars are drawn, the first one at the top, and what writes it down."""
    # its annotations are partly unknown
    canvas: Any = Canvas(figsize=(WIDTH, 1.0 + count * LINE), layout="constrained")
    axes = canvas.add_subplot()
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.margins(x=0.12, y=0.01)
    axes.invert_yaxis()
    return axes, partial(canvas.savefig, metadata={"Date": None})
