"""How a command ends: its exit status, and what its caller is told."""

import enum
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar, TypeVarTuple

import anyio
import click

from oauthkit.cli.signals import ended_by_signals
from oauthkit.errors import OAuthKitError, Recovery, printable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Exit(enum.IntEnum):
    """Say how a command ended, for scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """The command line or the profile is wrong."""
    LOGIN_NEEDED = 3
    """Nobody is logged in, or not any more."""
    TRY_LATER = 4
    """The same command may succeed later."""
    INTERRUPTED = 130
    """What shells report of a program that was ended by Ctrl-C."""


_BY_RECOVERY: Final = {
    Recovery.CHANGE_REQUEST: Exit.FAILED,
    Recovery.REAUTHORIZE: Exit.LOGIN_NEEDED,
    Recovery.RETRY_LATER: Exit.TRY_LATER,
}


class Ended(click.ClickException):
    """A command cannot go on; click prints the text, and ends with the exit status."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        """Take what is said, and the exit status."""
        super().__init__(message)
        vars(self)["exit_code"] = int(code)  # click reads it of the class, or of this


def failure_of(error: OAuthKitError) -> Ended:
    """Return how a command ends by an error of the library."""
    message = str(error)
    if error.retry_after is not None:
        message += f"; try again in {error.retry_after:.0f} s"
    return Ended(message, _BY_RECOVERY[error.recovery])


def end_of(error: OSError | KeyboardInterrupt) -> Ended:
    """Return how a command ends by what may come at any moment: Ctrl-C, or the system's no."""
    if isinstance(error, KeyboardInterrupt):
        return Ended("interrupted", Exit.INTERRUPTED)
    return Ended(printable(str(error)))


def run(work: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
    """Run asynchronous work of a command, and return what comes of it.

    Args:
        work: An async function.
        arguments: Its arguments.

    Raises:
        Ended: It failed.
    """
    try:
        return anyio.run(ended_by_signals, partial(work, *arguments))
    except OAuthKitError as error:
        raise failure_of(error) from error
