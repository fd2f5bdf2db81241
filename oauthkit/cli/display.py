"""How the demo is shown, with rich: a line that moves on a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from oauthkit.cli import plan
from oauthkit.cli.report import Report, Row

_TITLES: Final[dict[str, str]] = {
    "ads": "A ads",
    "hello": "B hello",
    "id_secret": "C id_secret",
    "auth_v1": "D auth_v1",
    "put_auth": "E put_auth",
}
"""What the systems are called in the table: by letter and module."""

_HEADINGS: Final = ("system", "grant", "format", "fetched", "refreshed", "calls", "slowest")
_NUMBERS_FROM: Final = 3
"""The first column of numbers, which are set flush right."""

_SHARES: Final = 4
_NAMES: Final = "bold"
_SYSTEMS: Final = "bold cyan"


class Display:
    """Show how far the demo is, and a table at its end."""

    def __init__(self, console: Console | None = None) -> None:
        """Take where to show it: standard output, unless told otherwise."""
        self._console = console or Console(highlight=False)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=self._console,
            expand=True,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0, detail="")
        self._now = plan.Progress(step="")

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
        """Move the line; where none can move, print one for every step and quarter of a step."""
        before, self._now = self._now, progress
        if self._console.is_terminal:
            self._move(before, progress)
        elif progress.step != before.step:
            self._print(progress.step)
        elif int(progress.share * _SHARES) != int(before.share * _SHARES):
            quarter = int(progress.share * _SHARES) / _SHARES
            self._print(f"  {quarter:4.0%}  {progress.detail}")

    def show(self, report: Report) -> None:
        """Print the answers, the table and the verdict."""
        if self._console.is_terminal:
            self._done(self._now)
        answers = Table.grid(padding=(0, 2))
        for name, answer in report.answers.items():
            answers.add_row(Text(f"  {name}", style=_NAMES), Text(str(answer)))
        self._console.print("", answers, "", _table(report), "")
        for good, text in _verdicts(report):
            self._print(self._mark(good=good), Text(text))

    def _move(self, before: plan.Progress, progress: plan.Progress) -> None:
        if progress.step != before.step:
            self._done(before)
        self._bar.update(
            self._task,
            description=progress.step,
            completed=progress.share,
            detail=progress.detail,
        )

    def _done(self, progress: plan.Progress) -> None:
        """Leave a step that is done above the line."""
        if progress.step:
            self._print(self._mark(good=True), Text(progress.step))

    def _print(self, *parts: str | Text) -> None:
        """Print one line, however wide: a line that is read by a program is not to be broken."""
        self._console.print(*parts, sep=" ", markup=False, soft_wrap=True)

    def _mark(self, *, good: bool) -> Text:
        marks = "✓✗" if self._console.encoding.startswith("utf") else "+!"
        return Text(marks[0], style="green") if good else Text(marks[1], style="bold red")


def display_for(*, as_json: bool) -> Display:
    """Return the display for standard output as it is: a terminal, a file or a pipe.

    Args:
        as_json: Whether JSON alone is to stand there, and so nothing is shown.
    """
    return Display(Console(highlight=False, quiet=as_json))


def _cells(row: Row) -> tuple[str, ...]:
    """Return the texts of a line of the table."""
    return (
        _TITLES[row.system],
        row.grant,
        row.format,
        f"{row.fetched:,}",
        f"{row.refreshed:,}",
        f"{row.calls:,}",
        _duration(row.slowest),
    )


def _totals(report: Report) -> tuple[str, ...]:
    """Return the texts of the table's last line."""
    return (
        "all",
        f"{len({row.grant for row in report.rows})} grants",
        f"{len({row.format for row in report.rows})} formats",
        f"{report.fetched:,}",
        f"{report.refreshed:,}",
        f"{report.calls:,}",
        _duration(report.slowest),
    )


def _without_repeats(rows: Sequence[Sequence[str]]) -> Iterable[tuple[str, ...]]:
    """Leave system and grant out where they are those of the line above."""
    above: Sequence[str] = ("", "")
    for row in rows:
        same_system = row[0] == above[0]
        same_grant = same_system and row[1] == above[1]
        yield ("" if same_system else row[0], "" if same_grant else row[1], *row[2:])
        above = row


def _verdicts(report: Report) -> list[tuple[bool, str]]:
    """Return what was to be shown, and whether it was; then everything that went wrong."""
    checked = f"{report.requests:,} requests compared with their documents"
    calls = f"{report.calls:,} calls, up to {report.peak:,} at once"
    expiries = f"{report.expiries:,} expiries of tokens that live {report.life} s"
    return [
        (not report.violations, f"{checked}: {report.violations or 'no'} differences"),
        (not report.failed, f"{calls}: {report.failed or 'none'} failed"),
        (not report.extra, f"{expiries}: {_requests(report)}"),
        (report.ok, f"done in {report.seconds:.1f} s"),
        *((False, problem) for problem in report.problems),
    ]


def _duration(seconds: float) -> str:
    """Return a duration as the table has it."""
    return f"{seconds:.2f} s"


def _table(report: Report) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style=_NAMES,
    )
    for column, (heading, total) in enumerate(zip(_HEADINGS, _totals(report), strict=True)):
        table.add_column(
            heading,
            total,
            justify="right" if column >= _NUMBERS_FROM else "left",
            style=_SYSTEMS if column == 0 else None,
            footer_style=_NAMES,
            no_wrap=True,
        )
    for line in _without_repeats([_cells(row) for row in report.rows]):
        if line[0] and table.row_count:
            table.add_section()
        table.add_row(*line)
    return table


def _requests(report: Report) -> str:
    if report.extra:
        return f"{report.extra:,} token requests too many"
    return "each cost one token request"
