"""Options that several commands have, and what they lead to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from oauthkit.cli.access import Access
from oauthkit.cli.outcomes import Ended, Exit
from oauthkit.cli.profile import Profile
from oauthkit.cli.profile_file import ProfileFile
from oauthkit.errors import ConfigurationError

Command = Callable[..., Any]


def profile_options(command: Command) -> Command:
    """Add the options that say which profile is used."""
    for option in (
        click.option(
            "--profile",
            "profile_name",
            envvar="OAUTHKIT_PROFILE",
            metavar="NAME",
            help="Which profile is used; the default, or the only one. [env: OAUTHKIT_PROFILE]",
        ),
        click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="OAUTHKIT_CONFIG",
            help="The file of profiles. [env: OAUTHKIT_CONFIG]",
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print nothing but JSON.")


def profiles_of(config: Path | None) -> ProfileFile:
    """Return the file of profiles.

    Raises:
        Ended: It cannot be read.
    """
    try:
        return ProfileFile.read(config)
    except ConfigurationError as error:
        raise Ended(str(error), Exit.USAGE) from error


def access_to(profile_name: str | None, config: Path | None) -> Access:
    """Return what a profile stands for.

    Raises:
        Ended: There is no such profile, or something it names is not there.
    """
    try:
        profiles = profiles_of(config)
        return access_of(profiles.profile(profile_name), profiles)
    except ConfigurationError as error:
        raise Ended(str(error), Exit.USAGE) from error


def access_of(profile: Profile, profiles: ProfileFile) -> Access:
    """Return what a profile stands for, and warn of a secret in the file.

    Raises:
        ConfigurationError: Something it names is not there.
    """
    if profile.client_secret is not None:
        click.echo(
            f"warning: the client secret of {profile.name!r} stands in {profiles.path} for all to "
            "read who can read that file; client_secret_env and client_secret_keyring name a "
            "better place",
            err=True,
        )
    return Access.of(profile, profiles)
