"""What a client may say of itself when it is registered (RFC 7591 §2)."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from oauthkit.errors import ConfigurationError, printable

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
"""Members of a JWK that are for its owner alone (RFC 7518 §6, RFC 8037 §2)."""
_GRANT_OF: Final[Mapping[str, str]] = {
    "code": "authorization_code",
    "token": "implicit",
    "id_token": "implicit",
}
"""Which grant each word of a response type needs (RFC 7591 §2.1)."""
_DEFAULT_GRANTS: Final = ("authorization_code",)


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse what contradicts itself, or would give a private key away.

    Raises:
        ConfigurationError: It does.
    """
    _check_keys(metadata)
    _check_types(metadata)
    for name in metadata:
        wanted = f"{name.removesuffix('_enc')}_alg"
        if name.endswith("_enc") and metadata.get(wanted) is None:
            message = f"{printable(name)} needs {printable(wanted)} beside it"
            raise ConfigurationError(message)


def may_sign(metadata: Mapping[str, Any]) -> bool:
    """Tell whether there are public keys that are not for encryption alone (RFC 7517 §4.2).

    Of keys that the server has to fetch (`jwks_uri`) that is not known.

    Args:
        metadata: What `check_metadata` has let pass.
    """
    given: Any = metadata.get("jwks") or {"keys": ()}
    keys: list[Mapping[str, Any]] = given["keys"]
    return any(key.get("use") != "enc" for key in keys)


def as_json(metadata: Mapping[str, Any]) -> bytes:
    """Return the metadata as JSON.

    Raises:
        ConfigurationError: It cannot be written so.
    """
    text: str | None
    try:
        text = json.dumps(dict(metadata), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None:  # raised out here: what refused it may show a part of it
        message = (
            "the metadata of a client must be JSON: texts, finite numbers, True, False, None, and "
            "lists and dicts of these (RFC 7591 §2)"
        )
        raise ConfigurationError(message)
    return text.encode("ascii")


def _check_keys(metadata: Mapping[str, Any]) -> None:
    keys = metadata.get("jwks")
    if keys is None:
        return
    if metadata.get("jwks_uri") is not None:
        message = "jwks and jwks_uri exclude each other (RFC 7591 §2); leave one of them out"
        raise ConfigurationError(message)
    members = cast("Mapping[str, object]", keys).get("keys") if isinstance(keys, Mapping) else None
    for key in cast("list[object]", members) if isinstance(members, list) else [None]:
        if not isinstance(key, Mapping):
            message = 'jwks is a JWK Set: {"keys": [...]} (RFC 7517 §5)'
            raise ConfigurationError(message)
        if _PRIVATE & cast("Mapping[str, object]", key).keys():
            message = (
                "jwks has a private key, or a secret, in it: register public keys alone, such as "
                "KeySigner(…).public_jwk"
            )
            raise ConfigurationError(message)


def _check_types(metadata: Mapping[str, Any]) -> None:
    """Compare `grant_types` with `response_types`, where it is said what these are."""
    answers = metadata.get("response_types")
    if answers is None:
        return
    said = metadata.get("grant_types")
    grants = set(_DEFAULT_GRANTS if said is None else said)
    needed = {_GRANT_OF[word] for answer in answers for word in answer.split() if word in _GRANT_OF}
    missing = needed - grants
    unused = (grants & {*_GRANT_OF.values()}) - needed
    if missing or unused:
        message = (
            f"grant_types {sorted(grants)} and response_types {sorted(answers)} do not fit each "
            "other: code needs authorization_code, token and id_token need implicit, and the other "
            "way round (RFC 7591 §2.1)"
        )
        raise ConfigurationError(message)
