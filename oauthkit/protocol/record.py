"""What the records of tokens and of logins have in common: a version, and members of later ones.

A record is a dict of JSON values. A member that this version does not know was put there by a later
one, while a fleet is updated process by process: it is kept and written back. A version that is
higher means another thing by what is known here, and nobody may guess.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from oauthkit.protocol.secret import Unprintable

VERSION: Final = 2
"""Of both records; the first had no member that said so."""

FARTHEST: Final = 1e12
"""Seconds; no clock will show it, no arithmetic fails before it, every store can write it down."""

_MEMBER: Final = "version"


def check_version(record: Mapping[str, Any]) -> None:
    """Refuse a record that a later oauthkit wrote in another format.

    Raises:
        ValueError: It is one, or its version is no number.
    """
    version = record.get(_MEMBER, 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        message = "its version is not a whole number above 0"
        raise ValueError(message)
    if version > VERSION:
        message = (
            f"it was written by a newer oauthkit (the record is of version {version}, this "
            f"oauthkit knows up to {VERSION}); update oauthkit"
        )
        raise ValueError(message)


def unknown_members(record: Mapping[str, Any], known: Collection[str]) -> Unprintable:
    """Return the members that a later version has put into a record.

    Args:
        record: What was kept.
        known: The names of the members that this version reads.
    """
    return Unprintable(
        (name, value) for name, value in record.items() if name not in known and name != _MEMBER
    )


def recorded(members: Mapping[str, Any], unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of this version, with the members of later ones that it had.

    Args:
        members: What this version has to say.
        unknown: What `unknown_members` found.
    """
    return {**unknown, _MEMBER: VERSION, **members}
