"""`oauthkit token`."""

import json
import re
from pathlib import Path
from typing import Final

import click

from oauthkit.cli.access import Access
from oauthkit.cli.options import access_to, json_option, profile_options
from oauthkit.cli.outcomes import run
from oauthkit.cli.usage import Command
from oauthkit.errors import ResponseError
from oauthkit.protocol.token import Token

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


@click.command(
    cls=Command,
    examples=[
        "oauthkit token --profile work",
        "curl -H @<(printf 'Authorization: Bearer %s' \"$(oauthkit token)\") https://api.example/report",
    ],
)
@profile_options
@click.option("--renew", is_flag=True, help="Renew it first, however fresh it is.")
@json_option
def token(*, profile_name: str | None, config: Path | None, renew: bool, as_json: bool) -> None:
    """Print a token that can be used now, renewed if it has to be.

    Exit status 3 means that somebody has to log in, 4 that the server cannot be asked now.
    """
    found = run(_token, access_to(profile_name, config), renew)
    if as_json:
        said = {
            "access_token": found.access_token,
            "token_type": found.token_type,
            "expires_at": found.expires_at,
            "scope": found.scope,
        }
        click.echo(json.dumps(said, indent=2))
    else:
        click.echo(found.access_token)


async def _token(access: Access, renew: bool) -> Token:  # noqa: FBT001 - given by position
    async with access.session() as session:
        found = await (session.renew() if renew else session.token())
    if not _VISIBLE.fullmatch(found.access_token):
        message = (
            "the access token has white space, control or non-ASCII characters, which would be "
            "something else to a terminal, a shell or a header (RFC 6750 §2.1)"
        )
        raise ResponseError(message)
    return found
