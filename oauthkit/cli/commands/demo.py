"""`oauthkit demo`."""

import errno
import json
import os

import anyio
import click

from oauthkit.cli.demo import run_demo
from oauthkit.cli.display import Display, display_for
from oauthkit.cli.outcomes import Exit
from oauthkit.cli.plan import Plan
from oauthkit.cli.report import Report
from oauthkit.cli.ways import documented_ways


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print nothing but JSON.")
@click.option(
    "--crowd",
    type=click.IntRange(min=len(documented_ways())),
    default=Plan().crowd,
    show_default=True,
    help="How many calls are under way at once.",
)
@click.option(
    "--life",
    type=click.IntRange(min=1),
    default=Plan().life,
    show_default=True,
    help="Seconds that a token lives.",
)
@click.option(
    "--expiries",
    type=click.IntRange(min=1),
    default=Plan().expiries,
    show_default=True,
    help="How many times every token ends while the calls go on.",
)
@click.option(
    "--backend",
    type=click.Choice(anyio.get_available_backends()),
    default="asyncio",
    show_default=True,
    help="The event loop.",
)
@click.pass_context
def demo(
    context: click.Context, *, as_json: bool, crowd: int, life: int, expiries: int, backend: str
) -> None:
    """Get tokens in every documented way, and call through their expiries.

    Five documented systems are served on sockets of this machine. They compare every request
    with their documents. Exit status 1 means that something was not as documented, or that a call
    failed, or that an expiry cost more than one token request.
    """
    plan = Plan(crowd=crowd, life=life, expiries=expiries)
    with display_for(as_json=as_json) as display:
        report = _run(plan, display, backend)
    if report is None:
        click.echo("interrupted", err=True)
        context.exit(int(Exit.INTERRUPTED))
    display.show(report)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    context.exit(0 if report.ok else 1)


def _run(plan: Plan, display: Display, backend: str) -> Report | None:
    """Run the demo; None is for Ctrl-C.

    Raises:
        BrokenPipeError: Nobody reads the output any more; click ends quietly then.
    """
    report, unread = None, False
    try:
        report = anyio.run(run_demo, plan, display.watch, backend=backend)
    except* KeyboardInterrupt:  # trio hands it out in a group
        pass
    except* (BrokenPipeError, SystemExit):  # which rich makes of it
        unread = True
    if unread:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    return report
