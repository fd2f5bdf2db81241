"""Whether a file is its owner's alone. Nothing here opens it: see `sqlite_file`."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from oauthkit.errors import Recovery, StoreError

OWNER_ONLY: Final = 0o600

_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")
# A group may be the user's own, and volumes are mounted so (fsGroup): it is taken away in silence.
_FOR_OTHERS: Final = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH


def check_private(path: Path) -> None:
    """Refuse a file that others may have written, and let nobody but its owner read it.

    What SQLite puts beside it is looked at too, and so is the directory, in which somebody else
    could put another file in its place. Systems without owners of files are left alone.

    Raises:
        StoreError: It is not this user's, or others can write to it or replace it.
        OSError: It cannot be looked at.
    """
    if not hasattr(os, "geteuid"):
        return
    for directory in {path.parent, Path(os.path.realpath(path)).parent}:
        _check_directory(directory)
    for companion in _COMPANIONS:
        with suppress(FileNotFoundError):  # also one that SQLite removes just now
            _check_file(path.with_name(path.name + companion))


def _check_file(path: Path) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid():
        message = (
            f"{path} belongs to user {found.st_uid}, and this process runs as user "
            f"{os.geteuid()}; a token store is its owner's alone: run as that user, or name "
            "another path"
        )
        raise _refused(message)
    if found.st_mode & stat.S_IWOTH:
        message = (
            f"{path} can be written by other users (mode {stat.filemode(found.st_mode)}), so that "
            "what stands in it may be anybody's; if you trust it, take that away: chmod 600"
        )
        raise _refused(message)
    if found.st_mode & _FOR_OTHERS:
        path.chmod(OWNER_ONLY)


def _check_directory(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        message = (
            f"the directory {path} can be written by every user (mode {stat.filemode(mode)}), who "
            "could put another file in the place of the token store; take that away: chmod o-w, "
            "or name a path in a directory of your own (mkdir -m 700), also within this one"
        )
        raise _refused(message)


def _refused(message: str) -> StoreError:
    return StoreError(message, recovery=Recovery.CHANGE_REQUEST)
