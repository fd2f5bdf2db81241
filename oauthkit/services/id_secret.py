"""System C: a token endpoint for client ID/secret pairs.

Form-urlencoded, for the grants client_credentials, authorization_code and refresh_token. For a code
it documents `client_id` (and perhaps `client_secret`) in the body, so `ClientSecretPost` and
`PublicClient` fit, and a `code_challenge` beside. Its errors are lists of messages with status 400
or 403.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.pkce import s256_challenge
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.structure import structured

_CODES: Final = re.compile(
    r"invalid_(?:request|client|grant|scope)|unauthorized_client|unsupported_grant_type"
)
_BY_STATUS: Final = {401: "invalid_client", 403: "unauthorized_client"}


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
    if "errors" not in fields:
        return fields
    answer: Errors = structured(dict(fields), Errors, name="errors")
    messages = "; ".join(problem.message for problem in answer.errors if problem.message)
    named = _CODES.search(messages)
    statuses = (_BY_STATUS.get(problem.httpcode or 0) for problem in answer.errors)
    error = named[0] if named else next(filter(None, statuses), "invalid_request")
    return Unprintable({**fields, "error": error, "error_description": messages})
