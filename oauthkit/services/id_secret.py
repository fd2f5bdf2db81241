"""System C: a token endpoint for client ID/secret pairs.

Form-urlencoded, for the grants client_credentials, authorization_code and refresh_token. For a code
it documents `client_id` (and perhaps `client_secret`) in the body, so `ClientSecretPost` and
`PublicClient` fit, and a `code_challenge` beside.

Its errors are lists of `httpcode` and `message` with status 400 or 403, and have no name in them. A
message with a name of RFC 6749 §5.2 in it is taken at its word. Else the refusal is about what was
shown: the client itself for client_credentials, and the code or the refresh token otherwise. All
codes and messages of the list are the `error_description` of what is raised.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import attrs

from oauthkit.kinds import checked
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.pkce import s256_challenge
from oauthkit.protocol.refusals import ErrorRule
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.structure import structured

_CODES: Final = re.compile(
    r"invalid_(?:request|client|grant|scope)|unauthorized_client|unsupported_grant_type"
)
_ERRORS: Final = (
    # Whoever has only itself to show is refused itself.
    ErrorRule(
        "invalid_client",
        status=HTTPStatus.FORBIDDEN,
        member="errors",
        grant_type="client_credentials",
    ),
    ErrorRule(
        "invalid_request",
        status=HTTPStatus.BAD_REQUEST,
        member="errors",
        grant_type="client_credentials",
    ),
)


@attrs.frozen
class Pagination:
    """What the document puts into `meta`."""

    limit: int | None = None
    offset: int | None = None
    total_count: int | None = None


@attrs.frozen
class Meta:
    """The `meta` member of an error."""

    pagination: Pagination | None = None


@attrs.frozen
class Problem:
    """One member of `errors`."""

    httpcode: int | None = None
    message: str | None = None


@attrs.frozen
class Errors:
    """The documented answer of status 400 and 403."""

    errors: list[Problem]
    meta: Meta | None = None


@checked
def authorization_server(
    token_endpoint: str,
    *,
    authorization_endpoint: str | None = None,
    issuer: str | None = None,
    allow_plain_http: bool = False,
) -> AuthorizationServer:
    """Return the authorization server with this token endpoint; no URL is documented.

    Args:
        token_endpoint: Where.
        authorization_endpoint: Where the resource owner's browser is sent.
        issuer: The issuer identifier.
        allow_plain_http: Let credentials and tokens travel unencrypted.

    Raises:
        ConfigurationError: The URL is plain http, and that was not allowed.
    """
    return AuthorizationServer(
        token_endpoint,
        authorization_endpoint=authorization_endpoint,
        issuer=issuer,
        adapt=_rfc_fields,
        errors=_ERRORS,
        adapt_request=_documented_parameters,
        allow_plain_http=allow_plain_http,
    )


def _documented_parameters(
    parameters: Mapping[str, ParameterValue], client_id: str
) -> Mapping[str, ParameterValue]:
    """Add what the document wants beside a code: client_id, and the code_challenge."""
    if parameters.get("grant_type") != "authorization_code":
        return parameters
    documented = Unprintable({"client_id": client_id, **parameters})
    verifier = parameters.get("code_verifier")
    if isinstance(verifier, str):
        documented["code_challenge"] = s256_challenge(verifier)
    return documented


def _rfc_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say a documented error in the words of RFC 6749 §5.2; its members stay beside."""
    if fields.get("errors") in (None, []):
        return fields
    answer: Errors = structured(fields, Errors, name="errors")
    told = "; ".join(filter(None, map(_told, answer.errors)))
    named = _CODES.search(told)
    of_client = any(problem.httpcode == HTTPStatus.UNAUTHORIZED for problem in answer.errors)
    error = named[0] if named else "invalid_client" if of_client else "invalid_grant"
    return Unprintable({**fields, "error": error, "error_description": told})


def _told(problem: Problem) -> str:
    return " ".join(str(part) for part in (problem.httpcode, problem.message) if part is not None)
