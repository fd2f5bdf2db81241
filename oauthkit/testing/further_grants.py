"""Grants that a fake server knows beyond those of RFC 6749: exchanged tokens, and assertions."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final, cast

from oauthkit.testing.granting import Desk, FurtherGrant
from oauthkit.testing.token_request import Asked, Issued, RefusedError

_TYPE: Final = "urn:ietf:params:oauth:token-type:"
_ACCESS_TOKEN: Final = f"{_TYPE}access_token"
_OURS: Final = "access-token-"
"""How the access tokens of every fake begin."""


def _exchange(desk: Desk, asked: Asked) -> Issued:
    """Exchange a token (RFC 8693); one of this server must be good, another's is believed.

    Raises:
        RefusedError: A token or its type is missing, or no good.
    """
    for role in ("subject", "actor"):
        present = {name for name in (f"{role}_token", f"{role}_token_type") if _has(asked, name)}
        if len(present) == 1 or (role == "subject" and not present):
            message = f"{role}_token and {role}_token_type belong together (RFC 8693 §2.1)"
            raise RefusedError(message, error="invalid_request")
        if present and not _is_good(desk, asked.text(f"{role}_token")):
            message = f"the {role}_token is not good any more"
            raise RefusedError(message, error="invalid_request")
    wanted = asked.text("requested_token_type") if _has(asked, "requested_token_type") else None
    issued = wanted or _ACCESS_TOKEN
    applicable = None if issued == _ACCESS_TOKEN else "N_A"
    return desk.granted(asked, extra={"issued_token_type": issued}, token_type=applicable)


def _jwt_bearer(desk: Desk, asked: Asked) -> Issued:
    """Take a JWT as a right (RFC 7523 §3), once; its signature is not looked at.

    Raises:
        RefusedError: It is none, is for another server, has expired, or came before.
    """
    assertion = asked.text("assertion")
    if assertion.startswith(_OURS):  # on behalf of whoever has one
        good = desk.ledger.live(assertion)
    else:
        good = _is_for(desk, _claims(assertion)) and desk.take_once(assertion)
    if not good:
        message = "the assertion is not good, or came before"
        raise RefusedError(message)
    return desk.granted(asked, extra={})


def _saml2_bearer(desk: Desk, asked: Asked) -> Issued:
    """Take a SAML assertion as a right (RFC 7522 §2.1), once; the XML is not read.

    Raises:
        RefusedError: It is no document in base64url, or came before.
    """
    assertion = asked.text("assertion")
    if not _decoded(assertion).startswith(b"<") or not desk.take_once(assertion):
        message = "the assertion is not good, or came before"
        raise RefusedError(message)
    return desk.granted(asked, extra={})


def _has(asked: Asked, name: str) -> bool:
    return asked.parameters.get(name) is not None


def _is_good(desk: Desk, token: str) -> bool:
    return not token.startswith(_OURS) or desk.ledger.live(token)


def _is_for(desk: Desk, claims: Mapping[str, Any]) -> bool:
    expires_at = claims.get("exp")
    in_time = isinstance(expires_at, int) and expires_at > desk.settings.clock.time()
    return in_time and bool(claims.get("iss")) and claims.get("aud") in desk.names()


def _claims(assertion: str) -> Mapping[str, Any]:
    parts = assertion.split(".")
    try:
        claims: object = json.loads(_decoded(parts[1])) if len(parts) == 3 else {}  # noqa: PLR2004 - RFC 7515 §7.1
    except ValueError:
        claims = {}
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else {}


def _decoded(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


FURTHER_GRANTS: Final[Mapping[str, FurtherGrant]] = {
    "urn:ietf:params:oauth:grant-type:token-exchange": FurtherGrant(_exchange),
    "urn:ietf:params:oauth:grant-type:jwt-bearer": FurtherGrant(_jwt_bearer, anonymous=True),
    "urn:ietf:params:oauth:grant-type:saml2-bearer": FurtherGrant(_saml2_bearer, anonymous=True),
}
"""By their `grant_type`."""
