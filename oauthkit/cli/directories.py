"""Where this user's files are, as the system has it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from oauthkit.errors import ConfigurationError


def users_own(directory: Callable[..., Path], *, variable: str) -> Path:
    """Return a directory of this user.

    Args:
        directory: Of platformdirs.
        variable: What names another place.

    Raises:
        ConfigurationError: There is none: nobody has a home in some containers and services.
    """
    path = Path()
    with suppress(RuntimeError):
        path = directory("oauthkit", appauthor=False)
    if not path.is_absolute():  # or it would be made wherever the command runs
        message = f"this user has no home directory; set HOME, or name a place by {variable}"
        raise ConfigurationError(message)
    return path
