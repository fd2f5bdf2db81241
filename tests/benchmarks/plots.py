"""The figures as pictures, for docs/performance.md."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from .figures import Figure

WIDTH: Final = 9.0
"""Inches; a line of text takes a quarter of one."""

KEPT: Final = "#4477aa"
ABOVE: Final = "#cc3311"

# The same figures give the same file, with texts that can be searched
mpl.rcParams.update({"svg.hashsalt": "oauthkit", "svg.fonttype": "none"})


def plot(figures: Sequence[Figure], directory: Path) -> None:
    """Write one picture of what was compared, and one of how much of each limit is used."""
    directory.mkdir(parents=True, exist_ok=True)
    compared = [figure for figure in figures if figure.unit == "x"]
    limited = [figure for figure in figures if figure.limit]
    _bars(compared, lambda figure: figure.value, "times the other", directory / "ratios.svg")
    _bars(limited, _share, "share of the limit", directory / "limits.svg")


def _share(figure: Figure) -> float:
    return figure.value / (figure.limit or 1.0)


def _bars(
    figures: Sequence[Figure], length: Callable[[Figure], float], label: str, path: Path
) -> None:
    lengths = [length(figure) for figure in figures]
    colours = [ABOVE if figure.broken else KEPT for figure in figures]
    # its annotations are partly unknown
    canvas: Any = Canvas(figsize=(WIDTH, 1.0 + len(figures) / 4), layout="constrained")
    axes = canvas.add_subplot()
    bars = axes.barh([figure.name for figure in figures], lengths, color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel(label)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    canvas.savefig(path, metadata={"Date": None})
