"""How the demo is shown on a terminal, with rich."""

from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from oauthkit.cli import plan
from oauthkit.cli.display import (
    HEADINGS,
    NUMBERS_FROM,
    cells,
    totals,
    verdicts,
    without_repeats,
)
from oauthkit.cli.report import Report

_NAMES: Final = "bold"
_SYSTEMS: Final = "bold cyan"


class TerminalDisplay:
    """Show a line that moves while the demo runs, and a table at its end."""

    def __init__(self, console: Console | None = None) -> None:
        """Take the terminal, that of standard output unless told otherwise."""
        self._console = console or Console(highlight=False)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=self._console,
            expand=True,
            transient=True,
        )
        self._task = self._bar.add_task("", total=1.0, detail="")
        self._now: plan.Progress | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing, and give the terminal back as it was."""
        self._bar.stop()

    def watch(self, progress: plan.Progress) -> None:
        """Move the line; a step that is done stays above it."""
        if self._now is not None and self._now.step != progress.step:
            self._done(self._now)
        self._now = progress
        self._bar.update(
            self._task,
            description=progress.step,
            completed=progress.share,
            detail=progress.detail,
        )

    def show(self, report: Report) -> None:
        """Print the answers, the table and the verdict."""
        if self._now is not None:
            self._done(self._now)
        answers = Table.grid(padding=(0, 2))
        for name, answer in report.answers.items():
            answers.add_row(Text(f"  {name}", style=_NAMES), Text(str(answer)))
        self._console.print("", answers, "", _table(report), "")
        for good, text in verdicts(report):
            self._console.print(self._mark(good=good), Text(text), sep=" ")

    def _done(self, progress: plan.Progress) -> None:
        self._console.print(self._mark(good=True), Text(progress.step), sep=" ")

    def _mark(self, *, good: bool) -> Text:
        marks = "✓✗" if self._console.encoding.startswith("utf") else "+!"
        return Text(marks[0], style="green") if good else Text(marks[1], style="bold red")


def _table(report: Report) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style=_NAMES,
    )
    for column, (heading, total) in enumerate(zip(HEADINGS, totals(report), strict=True)):
        table.add_column(
            heading,
            total,
            justify="right" if column >= NUMBERS_FROM else "left",
            style=_SYSTEMS if column == 0 else None,
            footer_style=_NAMES,
            no_wrap=True,
        )
    for line in without_repeats([cells(row) for row in report.rows]):
        if line[0] and table.row_count:
            table.add_section()
        table.add_row(*line)
    return table
