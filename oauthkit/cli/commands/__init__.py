"""`oauthkit` and its commands, each loaded when it is used.

Help, version and completion come from this file alone: what a command needs is imported with it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from oauthkit.cli.usage import Group
from oauthkit.version import __version__

_COMMANDS: Final[Mapping[str, str]] = {
    "login": "Log in, and keep the token.",
    "token": "Print a token that can be used now.",
    "request": "Send a request that carries the token.",
    "inspect": "Show what is kept of a login.",
    "logout": "Forget the token, and have the server revoke it.",
    "discover": "Show what a server offers, and what is wrong with it.",
    "serve": "Be an authorization server for tests, with a login page.",
    "demo": "Get tokens in every documented way, and call through their expiries.",
}
"""What there is, each in a module of its own name, in the order of the help."""


class Commands(Group):
    """Be a group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported; None where there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and say how it ends; click would end Ctrl-C as any failure.

        Raises:
            BrokenPipeError: Nobody reads the output any more; click ends quietly then.
            Ended: The command was interrupted, or the system refused something.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (KeyboardInterrupt, OSError) as error:
            from oauthkit.cli.outcomes import end_of  # noqa: PLC0415 - help does without it

            raise end_of(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each does; click would import all of them for that."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so; click would import them for that."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for name, text in _COMMANDS.items()
            if name.startswith(incomplete)
        ]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "oauthkit login --issuer https://auth.example --client-id reporter --save work",
        "oauthkit token",
        "oauthkit request GET https://api.example/report",
    ],
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage, 3 log in first, 4 try later, "
    "130 interrupted.",
)
@click.version_option(__version__)
def oauthkit() -> None:
    """OAuth 2 and OpenID Connect for httpx."""
