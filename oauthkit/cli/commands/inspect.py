"""`oauthkit inspect`."""

import json
from pathlib import Path
from typing import Any, Final

import click

from oauthkit.cli.access import Access
from oauthkit.cli.moments import moment
from oauthkit.cli.options import access_to, json_option, profile_options
from oauthkit.cli.outcomes import Ended, Exit, run
from oauthkit.cli.usage import Command
from oauthkit.errors import printable
from oauthkit.protocol.token import Token

_SECRETS: Final = ("access_token", "refresh_token", "id_token")


@click.command(
    cls=Command,
    examples=[
        "oauthkit inspect --profile work --json",
    ],
)
@profile_options
@click.option("--show-secrets", is_flag=True, help="Show the tokens themselves.")
@json_option
def inspect(
    *, profile_name: str | None, config: Path | None, show_secrets: bool, as_json: bool
) -> None:
    """Show what is kept of a login; nothing is sent.

    Exit status 3 means that nothing is kept.
    """
    access = access_to(profile_name, config)
    kept = run(_kept, access)
    if kept is None:
        name = access.profile.name
        message = f"nothing is kept of {name!r}; log in by: oauthkit login --profile {name}"
        raise Ended(message, Exit.LOGIN_NEEDED)
    said = _said(access, kept, show_secrets=show_secrets)
    if as_json:
        click.echo(json.dumps(said, indent=2))
        return
    said["expires"] = moment(said.pop("expires_at"))
    said |= {name: said[name] or False for name in _SECRETS}  # what is not kept is not unknown
    for name, value in said.items():
        click.echo(f"{name.replace('_', ' '):<14}{_words(value)}")


async def _kept(access: Access) -> Token | None:
    async with access.file:
        return await access.store.load(access.profile.key)


def _said(access: Access, kept: Token, *, show_secrets: bool) -> dict[str, Any]:
    """Return what there is to say of a token, and by no secret unless that is wanted."""
    profile = access.profile
    said: dict[str, Any] = {
        "profile": profile.name,
        "issuer": kept.issuer or profile.issuer,
        "client_id": kept.client_id or profile.client_id,
        "scope": kept.scope,
        "token_type": kept.token_type,
        "expires_at": kept.expires_at,
    }
    for name in _SECRETS:
        value = getattr(kept, name)
        said[name] = value if show_secrets else value is not None
    return said


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "kept" if value else "none"
    return "unknown" if value is None else printable(str(value), 10_000)
