"""`oauthkit logout`."""

import json
from pathlib import Path
from typing import Any, Final

import attrs
import click

from oauthkit.cli.access import Access
from oauthkit.cli.browser import open_browser
from oauthkit.cli.options import access_to, json_option, profile_options
from oauthkit.cli.outcomes import Ended, Exit, run
from oauthkit.cli.usage import Command
from oauthkit.errors import OAuthKitError, Recovery, StoreError
from oauthkit.protocol.logout import end_session_url
from oauthkit.protocol.token import Token
from oauthkit.session import AsyncTokenSession

_BROWSER_SECONDS: Final = 5.0
"""For the browser to start, before this process ends."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of a login.

    Attributes:
        kept: Whether there was one.
        failure: Why the server has not revoked the token, if it has not.
        page: Where the browser ends the server's own session, if that was asked for.
        without_page: Why there is no such page, if there is none.
    """

    kept: bool
    failure: OAuthKitError | None = None
    page: str | None = attrs.field(default=None, repr=False)
    without_page: OAuthKitError | None = None


@click.command(
    cls=Command,
    examples=[
        "oauthkit logout --profile work",
    ],
)
@profile_options
@click.option("--browser", is_flag=True, help="Open the page that ends the server's own session.")
@json_option
def logout(*, profile_name: str | None, config: Path | None, browser: bool, as_json: bool) -> None:
    """Forget the token, and have the server revoke it.

    It is gone from this machine also where the server fails; then the exit status says so.
    """
    outcome = run(_log_out, access_to(profile_name, config), browser)
    if as_json:
        revoked = outcome.kept and outcome.failure is None
        click.echo(json.dumps({"dropped": outcome.kept, "revoked": revoked}, indent=2))
    elif not outcome.kept:
        click.echo("nobody was logged in")
    else:
        click.echo("logged out here")
        if outcome.failure is None:
            click.echo("the server has revoked the token")
    if outcome.page is not None:
        open_browser(outcome.page).join(_BROWSER_SECONDS)
        click.echo("the browser ends the session at the server", err=True)
    _check("the token may live on at the server", outcome.failure)
    _check("the server's own session goes on", outcome.without_page)


def _check(what: str, failure: OAuthKitError | None) -> None:
    """End the command by what has failed, if something has.

    Raises:
        Ended: It has.
    """
    if failure is not None:
        later = failure.recovery is Recovery.RETRY_LATER
        message = f"{what}: {failure}"
        raise Ended(message, Exit.TRY_LATER if later else Exit.FAILED)


async def _log_out(access: Access, browser: bool) -> Outcome:  # noqa: FBT001 - by position
    async with access.session() as session:
        kept, failure = await _kept(access)
        if kept is None and failure is None:
            return Outcome(kept=False)
        if failure is not None:
            await access.store.delete(access.profile.key)
        else:
            failure = await _failure_to_revoke(session)
        if not browser:
            return Outcome(kept=True, failure=failure)
        outcome = Outcome(kept=True, failure=failure)
        id_token = None if kept is None else kept.id_token
        try:
            server = await access.found(session.http)
            page = end_session_url(server, id_token=id_token, client_id=access.profile.client_id)
        except OAuthKitError as error:
            return attrs.evolve(outcome, without_page=error)
        return attrs.evolve(outcome, page=page)


async def _failure_to_revoke(session: AsyncTokenSession[Any]) -> OAuthKitError | None:
    """Forget the token, and return why the server has not revoked it; None where it has."""
    try:
        await session.revoke()
    except OAuthKitError as error:
        return error
    return None


async def _kept(access: Access) -> tuple[Token | None, OAuthKitError | None]:
    """Return what is kept, or why that cannot be read: it can be forgotten all the same."""
    try:
        return await access.store.load(access.profile.key), None
    except StoreError as error:
        return None, error
