"""The record of a login on its way, as it waits in a web session or a cookie."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Final

from oauthkit.protocol.login_wishes import claims_of
from oauthkit.protocol.record import FARTHEST, check_version, recorded, unknown_members
from oauthkit.protocol.secret import Unprintable

_NEEDED: Final = ("state", "code_verifier", "redirect_uri", "token_endpoint")
_OPTIONAL: Final = ("nonce", "issuer", "return_to")
_LATER: Final = (
    "client_id",
    "created_at",
    "expires_at",
    "max_age",
    "acr_values",
    "claims",
    "response_mode",
    "scope",
)
"""What the first records have not; it is written where it is known alone, as cookies are short."""

_RECORD: Final = ("url", *_NEEDED, *_OPTIONAL, "issuer_required", *_LATER)
_KINDS: Final[Mapping[str, tuple[object, type | UnionType]]] = {
    **dict.fromkeys(
        (*_OPTIONAL, "client_id", "acr_values", "response_mode", "scope"), (None, str | None)
    ),
    **dict.fromkeys(("created_at", "expires_at"), (None, int | float | None)),
    "url": ("", str),  # it was of use until the browser was sent there
    "issuer_required": (False, bool),
    "max_age": (None, int | None),
    "claims": (None, object),  # it is looked at as what a caller gives is
}


def record_of(login: object, unknown: Mapping[str, Any], *, url: bool) -> dict[str, Any]:
    """Return the record of a login: a dict of JSON values.

    Args:
        login: What has the members as attributes.
        unknown: Members that a later version has put there.
        url: Whether its URL is among them.
    """
    found = {name: getattr(login, name) for name in _RECORD if url or name != "url"}
    known = {name: v for name, v in found.items() if name not in _LATER or v is not None}
    if "claims" in known:
        known["claims"] = claims_of(dict(known["claims"]))
    return recorded({n: str(v) if isinstance(v, str) else v for n, v in known.items()}, unknown)


def members_of(data: Mapping[str, Any]) -> Unprintable:
    """Return the members of a record, of this version or an earlier one.

    Raises:
        ValueError: A member is missing or of another type.
    """
    check_version(data)
    known = Unprintable((name, data[name]) for name in _RECORD if name in data)
    for name in _RECORD:
        default, kinds = _KINDS.get(name, (None, str))
        if not _fits(known.get(name, default), kinds):
            message = f"its {name} is missing, or of another type"
            raise ValueError(message)
    if known.get("claims") is not None:
        known["claims"] = claims_of(known["claims"])
    return Unprintable({"url": "", **known}, unknown=unknown_members(data, _RECORD))


def _fits(value: object, kinds: type | UnionType) -> bool:
    if isinstance(value, bool):
        return kinds is bool
    if isinstance(value, int | float) and not abs(value) <= FARTHEST:
        return False
    return isinstance(value, kinds)
