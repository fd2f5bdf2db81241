"""The error for a refusal (RFC 6749 §5.2), its texts masked and bounded."""

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final

from oauthkit.errors import (
    AccessDenied,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    OAuthKitError,
    Recovery,
    ResponseError,
)
from oauthkit.protocol.answers import excerpt, masked, unusable, without_opaque
from oauthkit.protocol.echoes import MASK, without_secrets
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.refusals import FINAL, first_match
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.server import Adapter, AuthorizationServer

_REDIRECTS: Final = range(300, 400)
_LONGEST_PAGE: Final = 2_048
_NAME: Final = re.compile(r"[a-z][a-z0-9_.:-]*", re.ASCII)
"""The form of an error's name, which a text for people does not have."""

_TOKEN68: Final = re.compile(
    r"((?:^|,)[ \t]*+[\w-]++[ \t]++)[\w.~+/-]++=*+(?=[ \t]*+(?:,|$))", re.ASCII
)
"""A scheme with one word in place of parameters (RFC 9110 §11.2)."""

_KINDS: Final[Mapping[str, type[ErrorResponse]]] = {
    "invalid_client": InvalidClient,
    "invalid_grant": InvalidGrant,
    "access_denied": AccessDenied,
}


def error_by_rule(
    server: AuthorizationServer,
    fields: Mapping[str, Any],
    response: HTTPResponse,
    *,
    grant_type: str | None,
    secrets: Collection[str],
    pause: float | None,
) -> ErrorResponse | None:
    """Return the error for a refusal that one of the server's rules names; None where none does.

    Its description is the server's own, or else what the rule found, or else the answer's
    beginning.

    Args:
        server: Who answered.
        fields: The answer's, as it came; none where it could not be read.
        response: The answer.
        grant_type: By which grant was asked, where that is known.
        secrets: What must not be shown, should the answer echo it.
        pause: The seconds of its `Retry-After`.
    """
    match = first_match(server.errors, fields, status=response.status_code, grant_type=grant_type)
    if match is None:
        return None
    words = _words(server.adapt, fields)
    kind = _KINDS.get(match.rule.error, ErrorResponse)
    told = _shown(words.get("error_description"), secrets) or _shown(match.found, secrets)
    refusal = kind(
        match.rule.error,
        told or excerpt(response.content, secrets=secrets) or None,
        _page(words.get("error_uri"), secrets),
        status_code=response.status_code,
        www_authenticate=_challenges(response, secrets),
    )
    return _paused(refusal, pause)


def error_by_status(
    response: HTTPResponse, *, secrets: Collection[str], pause: float | None, name: str
) -> ResponseError | None:
    """Return the error for an answer whose words do not matter; None where they do.

    Args:
        response: The answer.
        secrets: What must not be shown, should the answer echo it.
        pause: The seconds of its `Retry-After`.
        name: What the server's metadata calls the endpoint.
    """
    status = response.status_code
    if status in _REDIRECTS:
        message = (
            f"the {name.replace('_', ' ')} answered with a redirect, which is never followed with "
            f"credentials (RFC 9700 §4.12); name the final URL as {name}"
        )
        return unusable(response, message, secrets=secrets)
    if status in FINAL:
        return None
    message = "the authorization server cannot answer now"
    return unusable(
        response, message, secrets=secrets, recovery=Recovery.RETRY_LATER, retry_after=pause
    )


def error_by_name(
    error: object,
    fields: Mapping[str, Any],
    response: HTTPResponse,
    *,
    secrets: Collection[str],
    pause: float | None,
) -> OAuthKitError:
    """Return the error for a refusal in the words of RFC 6749 §5.2.

    Args:
        error: The member `error`.
        fields: The answer's.
        response: The answer.
        secrets: What must not be shown, should the answer echo it.
        pause: The seconds of its `Retry-After`.
    """
    if not isinstance(error, str):
        message = "the error member is not a text; errors= can name it, or adapt= make one of it"
        return unusable(response, message, secrets=secrets)
    kind = _KINDS.get(error, ErrorResponse)
    if kind is ErrorResponse and _is_about_the_client(error, response):
        kind = InvalidClient
    refusal = kind(
        masked(error, secrets=secrets),
        _shown(fields.get("error_description"), secrets),
        _page(fields.get("error_uri"), secrets),
        status_code=response.status_code,
        www_authenticate=_challenges(response, secrets),
    )
    return _paused(refusal, pause)


def _is_about_the_client(error: str, response: HTTPResponse) -> bool:
    """Tell whether a 401 says, by whatever name, that client authentication failed.

    RFC 6749 §5.2 gives 401 to that alone, with a challenge where the client had used the header.
    But what stands before a server, and servers with words of their own, answer 401 with any text.
    """
    named = _NAME.fullmatch(error) or "www-authenticate" in response.headers
    return response.status_code == HTTPStatus.UNAUTHORIZED and bool(named)


def _words(adapt: Adapter | None, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what describes a refusal, by its RFC names as far as `adapt` knows them."""
    try:
        return fields if adapt is None else Unprintable(adapt(fields))
    except Exception:  # noqa: BLE001 - a rule has named the refusal, whatever adapt= makes of it
        return fields


def _shown(value: object, secrets: Collection[str]) -> str | None:
    return masked(value, secrets=secrets) if isinstance(value, str) and value else None


def _challenges(response: HTTPResponse, secrets: Collection[str]) -> tuple[str, ...]:
    """Return the challenges, without what one may echo: the credentials that were sent."""
    return tuple(
        without_opaque(_TOKEN68.sub(rf"\1{MASK}", without_secrets(value, secrets)))
        for value in response.headers.get_all("www-authenticate")
    )


def _page(value: object, secrets: Collection[str]) -> str | None:
    if not isinstance(value, str) or not value or len(value) > _LONGEST_PAGE:
        return None
    return without_secrets(value, secrets)


def _paused(refusal: ErrorResponse, pause: float | None) -> ErrorResponse:
    """Give a refusal that may end by itself the time that the server asks to wait."""
    if refusal.recovery is Recovery.RETRY_LATER:
        refusal.retry_after = pause
    return refusal
