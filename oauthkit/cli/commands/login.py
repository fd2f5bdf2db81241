"""`oauthkit login`."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from oauthkit.cli.access import Access
from oauthkit.cli.browser import open_browser, openable
from oauthkit.cli.browser_login import log_in_by_browser
from oauthkit.cli.device_login import log_in_by_device
from oauthkit.cli.moments import moment
from oauthkit.cli.options import access_of, json_option, profile_options, profiles_of
from oauthkit.cli.outcomes import Ended, Exit, run
from oauthkit.cli.profile import Profile
from oauthkit.cli.profile_file import ProfileFile
from oauthkit.cli.usage import Command
from oauthkit.errors import ConfigurationError, printable
from oauthkit.operations.login import LoggedIn
from oauthkit.protocol.device_login import DeviceLogin


@click.command(
    cls=Command,
    examples=[
        "oauthkit login --issuer https://auth.example --client-id reporter --save work",
        "oauthkit login --profile work",
        "oauthkit login --device",
    ],
)
@profile_options
@click.option("--issuer", metavar="URL", help="Log in at this server, and save a profile of it.")
@click.option("--client-id", metavar="ID", help="Who asks; with --issuer.")
@click.option("--client-secret-env", metavar="VARIABLE", help="Which variable has its secret.")
@click.option("--client-secret-keyring", is_flag=True, help="The keyring has its secret.")
@click.option("--scope", help="What is asked for, such as 'openid read'; with --issuer.")
@click.option("--resource", metavar="URI", help="What the token is for (RFC 8707).")
@click.option("--audience", help="The same, where a server calls it so.")
@click.option("--redirect-uri", metavar="URI", help="As registered: http://127.0.0.1:PORT/PATH.")
@click.option("--origin", "origins", multiple=True, metavar="URL", help="Where the token may go.")
@click.option("--save", "new_name", metavar="NAME", help="What the new profile is called.")
@click.option("--device", is_flag=True, help="Log in on another device, by a code (RFC 8628).")
@click.option("--browser/--no-browser", default=True, help="Open it, or print where to go.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=3_600),
    default=300.0,
    show_default=True,
    help="Seconds to wait for the browser.",
)
@json_option
def login(
    *,
    profile_name: str | None,
    config: Path | None,
    new_name: str | None,
    device: bool,
    browser: bool,
    timeout: float,
    as_json: bool,
    **members: Any,
) -> None:
    """Log in, and keep the token.

    The browser comes back to a port of this machine, which is open until then. The redirect URI is
    http://127.0.0.1/callback/NAME with any port, unless the profile has another one.
    """
    profiles = profiles_of(config)
    profile = _profile(profiles, profile_name, new_name, members)
    try:
        access = access_of(profile, profiles)
    except ConfigurationError as error:
        raise Ended(str(error), Exit.USAGE) from error
    if profile.grant_type != "authorization_code":
        message = f"the profile {profile.name!r} is for {profile.grant_type}, without a login"
        raise Ended(message, Exit.USAGE)
    result = run(
        partial(_log_in, device=device, browser=browser, seconds=timeout), access, profiles
    )
    if new_name is not None:
        _save(profiles, profile)
    _show(result, as_json=as_json, profile=profile)


def _profile(
    profiles: ProfileFile, name: str | None, new_name: str | None, members: dict[str, Any]
) -> Profile:
    """Return the profile to log in with: one of the file, or a new one.

    Raises:
        Ended: There is none, or the options do not fit together.
    """
    given = {key: value for key, value in members.items() if value}
    try:
        if not given and new_name is None:
            return profiles.profile(name)
        if "issuer" in given and new_name is not None:
            given["origins"] = list(given.get("origins", ()))
            return profiles.checked_new(Profile.read(new_name, given))
    except ConfigurationError as error:
        raise Ended(str(error), Exit.USAGE) from error
    message = "a new profile is made by --issuer, --client-id and --save NAME together"
    raise Ended(message, Exit.USAGE)


async def _log_in(
    access: Access, profiles: ProfileFile, *, device: bool, browser: bool, seconds: float
) -> LoggedIn:
    async with access.client() as http:
        if device:
            return LoggedIn(await log_in_by_device(http, access, show=_show_code))
        return await log_in_by_browser(
            http,
            access,
            others=profiles.others(access.profile),
            show=partial(_show_url, browser=browser),
            seconds=seconds,
        )


def _show_url(url: str, *, browser: bool) -> None:
    """Open the URL, or print it: it has no secret in it that is good without this process."""
    what = (
        "if no browser opens, open this page in one" if browser else "open this page in a browser"
    )
    click.echo(f"{what} of this machine:\n{openable(url)}", err=True)
    if browser:
        open_browser(url)


def _show_code(login: DeviceLogin) -> None:
    click.echo(
        f"open {printable(login.verification_uri)} and enter the code "
        f"{printable(login.user_code)}; it ends {moment(login.expires_at)}\n"
        "Enter no code that somebody else gave you.",
        err=True,
    )


def _save(profiles: ProfileFile, profile: Profile) -> None:
    try:  # anew: the login took as long as somebody took, and another one may have been saved
        ProfileFile.read(profiles.path).with_profile(profile)
    except ConfigurationError as error:
        raise Ended(str(error)) from error
    click.echo(f"the profile {profile.name!r} is saved in {profiles.path}", err=True)


def _show(result: LoggedIn, *, as_json: bool, profile: Profile) -> None:
    token, identity = result.token, result.identity
    if as_json:
        said = {
            "profile": profile.name,
            "subject": None if identity is None else identity.subject,
            "issuer": None if identity is None else identity.issuer,
            "scope": token.scope,
            "expires_at": token.expires_at,
        }
        json.dump(said, sys.stdout, indent=2)
        click.echo()
        return
    who = "" if identity is None else f" as {printable(identity.subject)}"
    scope = "" if token.scope is None else f", for {printable(token.scope)}"
    click.echo(f"logged in{who}{scope}; the token expires {moment(token.expires_at)}")
    if result.not_verified is not None:
        click.echo(f"warning: who has logged in is not verified: {result.not_verified}", err=True)
