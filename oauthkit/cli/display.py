"""How the demo is shown: as plain text, or to nobody."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Protocol, Self

import click

from oauthkit.cli.plan import Progress
from oauthkit.cli.report import Report, Row

TITLES: Final[dict[str, str]] = {
    "ads": "A ads",
    "hello": "B hello",
    "id_secret": "C id_secret",
    "auth_v1": "D auth_v1",
    "put_auth": "E put_auth",
}
"""What the systems are called in the table: by letter and module."""

HEADINGS: Final = ("system", "grant", "format", "fetched", "refreshed", "calls", "slowest")
NUMBERS_FROM: Final = 3
"""The first column of numbers, which are set flush right."""

_SHARES: Final = 4


class Display(AbstractContextManager["Display"], Protocol):
    """Show how far the demo is, and then what it found out."""

    def watch(self, progress: Progress) -> None:
        """Show how far it is."""
        ...

    def show(self, report: Report) -> None:
        """Show what it found out."""
        ...


class SilentDisplay:
    """Show nothing."""

    def __enter__(self) -> Self:
        """Return the display."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def watch(self, progress: Progress) -> None:
        """Show nothing."""

    def show(self, report: Report) -> None:
        """Show nothing."""


class PlainDisplay(SilentDisplay):
    """Show plain text, line by line."""

    def __init__(self) -> None:
        """Begin with the first step."""
        self._last: tuple[str, int] = ("", 0)

    def watch(self, progress: Progress) -> None:
        """Print a line for every step, and every quarter of a longer one."""
        step, quarter = progress.step, int(progress.share * _SHARES)
        if step != self._last[0]:
            click.echo(step)
        elif quarter != self._last[1]:
            click.echo(f"  {quarter / _SHARES:4.0%}  {progress.detail}")
        self._last = step, quarter

    def show(self, report: Report) -> None:
        """Print the answers, the table and the verdict."""
        click.echo()
        for name, answer in report.answers.items():
            click.echo(f"  {name:<12} {answer}")
        click.echo()
        rows = [cells(row) for row in report.rows]
        table = [HEADINGS, *without_repeats(rows), totals(report)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for number, line in enumerate(table):
            if number in {1, len(table) - 1}:
                click.echo("  ".join("-" * width for width in widths))
            click.echo("  ".join(_aligned(line, widths)).rstrip())
        click.echo()
        for good, text in verdicts(report):
            click.echo(f"{'ok ' if good else 'NOT'}  {text}")


def display_for(*, as_json: bool) -> Display:
    """Return the display for standard output as it is: a terminal, a file or a pipe.

    Args:
        as_json: Whether JSON alone is to stand there.
    """
    if as_json:
        return SilentDisplay()
    if not sys.stdout.isatty():
        return PlainDisplay()
    try:
        from oauthkit.cli.terminal import TerminalDisplay  # noqa: PLC0415 - for a terminal only
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        return PlainDisplay()
    return TerminalDisplay()


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of a line of the table."""
    return (
        TITLES[row.system],
        row.grant,
        row.format,
        f"{row.fetched:,}",
        f"{row.refreshed:,}",
        f"{row.calls:,}",
        duration(row.slowest),
    )


def totals(report: Report) -> tuple[str, ...]:
    """Return the texts of the table's last line."""
    return (
        "all",
        f"{len({row.grant for row in report.rows})} grants",
        f"{len({row.format for row in report.rows})} formats",
        f"{report.fetched:,}",
        f"{report.refreshed:,}",
        f"{report.calls:,}",
        duration(report.slowest),
    )


def without_repeats(rows: Sequence[Sequence[str]]) -> Iterable[tuple[str, ...]]:
    """Leave system and grant out where they are those of the line above."""
    above: Sequence[str] = ("", "")
    for row in rows:
        same_system = row[0] == above[0]
        same_grant = same_system and row[1] == above[1]
        yield ("" if same_system else row[0], "" if same_grant else row[1], *row[2:])
        above = row


def verdicts(report: Report) -> list[tuple[bool, str]]:
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


def duration(seconds: float) -> str:
    """Return a duration as the table has it."""
    return f"{seconds:.2f} s"


def _requests(report: Report) -> str:
    if report.extra:
        return f"{report.extra:,} token requests too many"
    return "each cost one token request"


def _aligned(line: Sequence[Any], widths: Sequence[int]) -> Iterable[str]:
    for column, (text, width) in enumerate(zip(line, widths, strict=True)):
        yield f"{text:>{width}}" if column >= NUMBERS_FROM else f"{text:<{width}}"
