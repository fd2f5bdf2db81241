"""`oauthkit discover`."""

import json
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from oauthkit.cli.findings import findings_of, offers_of
from oauthkit.cli.http import http_client
from oauthkit.cli.options import json_option
from oauthkit.cli.outcomes import run
from oauthkit.cli.usage import Command
from oauthkit.discovery import discover as found_by
from oauthkit.errors import ConfigurationError
from oauthkit.protocol.discovery import check_issuer
from oauthkit.protocol.server import AuthorizationServer


@click.command(
    cls=Command,
    examples=[
        "oauthkit discover https://accounts.google.com",
        "oauthkit discover https://auth.example --json",
    ],
)
@click.argument("issuer")
@json_option
def discover(*, issuer: str, as_json: bool) -> None:
    """Show what a server offers, and what is wrong with it.

    ISSUER is the server's identifier, as the provider writes it: with the slash at its end or
    without.
    """
    _check(issuer)
    server = run(_found, issuer)
    findings = findings_of(server)
    if as_json:
        said = {"issuer": issuer, "findings": findings, "metadata": server.metadata}
        click.echo(json.dumps(said, indent=2))
        return
    show(offers_of(server), findings)


def _check(issuer: str) -> None:
    try:
        check_issuer(issuer)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


async def _found(issuer: str) -> AuthorizationServer:
    async with http_client() as http:
        return await found_by(http, issuer)


def show(
    offers: Mapping[str, str], findings: Sequence[str], console: Console | None = None
) -> None:
    """Print a table of what there is, and a line for each thing that is wrong.

    Args:
        offers: What there is, by name.
        findings: What is wrong.
        console: Where to print it; standard output, unless told otherwise.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        _show_plainly(offers, findings, console)
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in offers.items():
        table.add_row(Text(name), Text(text))
    console.print(table)
    console.print()
    for finding in findings:
        console.print(Text("! ", style="bold red"), Text(finding), sep="", soft_wrap=True)
    if not findings:
        console.print(Text("nothing is wrong with it", style="green"))


def _show_plainly(offers: Mapping[str, str], findings: Sequence[str], console: Console) -> None:
    """Print one line for each thing, however wide: programs read it."""
    width = max(map(len, offers))
    lines = [f"{name:<{width}}  {text}" for name, text in offers.items()]
    for line in [*lines, *(f"! {finding}" for finding in findings)]:
        console.print(Text(line), soft_wrap=True)
