"""System D: `POST api/v1/auth/token`, in JSON, XML or form-urlencoded.

Its XML is read by a data contract, which wants the elements in ordinal order; `oauthkit.XML` writes
them so. Every documented field of the answer is an attribute of `AccessTokenResponse`. A data
contract writes all of them: what is absent as null, a number as 0. So an absent `token_type` is
taken for Bearer, and a lifetime of 0 is "not said".

No error is documented. What its framework answers is a `Message`, in JSON or in XML; the rules here
say what that means for each grant.

Example:
    >>> from oauthkit import XML, ResourceOwnerPassword
    >>> server = authorization_server("https://auth.example", request_format=XML)
    >>> grant = with_windows_authentication(
    ...     ResourceOwnerPassword(username="ada", password="lovelace")
    ... )
    >>> grant.additional["WindowsAuthentication"]
    True
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

import attrs

from oauthkit.kinds import checked
from oauthkit.protocol.formats import JSON, XML, JSONRequest, RequestFormat, XMLRequest
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.refusals import ErrorRule
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.services._call import base_url as with_slash

G = TypeVar("G", bound=GrantStrategy)

TEXT_JSON: Final = JSONRequest(content_type="text/json")
"""JSON under the other documented name."""
TEXT_XML: Final[XMLRequest] = attrs.evolve(XML, content_type="text/xml")
"""XML under the other documented name."""

_TOKEN_PATH: Final = "api/v1/auth/token"
_ERRORS: Final = (
    ErrorRule("invalid_client", status=HTTPStatus.UNAUTHORIZED, member="Message"),
    # Whoever has only itself to show has no right that could be dead.
    ErrorRule(
        "invalid_request",
        status=HTTPStatus.BAD_REQUEST,
        member="Message",
        grant_type="client_credentials",
    ),
    ErrorRule("invalid_grant", status=HTTPStatus.BAD_REQUEST, member="Message"),
)


@attrs.frozen
class AccessTokenResponse(Token):
    """A token with the further documented fields.

    Attributes:
        refresh_expires_in: Seconds that the refresh token lives, as they came; 0 is "not said". The
            moment is `refresh_expires_at`.
        redirect_url: Where the server wants the user to go on.
        ip: The address the server saw.
        is_editor: Whether the user may edit.
        not_before_policy: Tokens issued before this moment are revoked.
        session_state: The server's own session.
    """

    refresh_expires_in: int | None = None
    redirect_url: str | None = None
    ip: str | None = None
    is_editor: bool | None = None
    not_before_policy: int | None = None
    session_state: str | None = None


@checked
def authorization_server(
    base_url: str, request_format: RequestFormat = JSON, *, allow_plain_http: bool = False
) -> AuthorizationServer:
    """Return the token endpoint below a base URL, which is not documented.

    Args:
        base_url: Where.
        request_format: `JSON`, `TEXT_JSON`, `XML`, `TEXT_XML` or `FORM`; an answer is asked for
            in the same, JSON for a form.
        allow_plain_http: Let credentials and tokens travel unencrypted.

    Raises:
        ConfigurationError: The URL is plain http, and that was not allowed.
    """
    accept = getattr(request_format, "content_type", JSON.content_type)
    return AuthorizationServer(
        with_slash(base_url) + _TOKEN_PATH,
        request_format=request_format,
        accept=accept,
        adapt=_without_zero,
        errors=_ERRORS,
        token_class=AccessTokenResponse,
        default_token_type="Bearer",  # noqa: S106 - a type, not a token
        allow_plain_http=allow_plain_http,
    )


@checked
def with_windows_authentication(grant: G, *, enabled: bool = True) -> G:
    """Return the grant with the documented boolean `WindowsAuthentication`."""
    return attrs.evolve(grant, additional={**grant.additional, "WindowsAuthentication": enabled})


def _without_zero(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out a lifetime of 0, which is how a data contract writes an absent number."""
    said = Unprintable(fields)
    if str(fields.get("expires_in")).strip() == "0":
        del said["expires_in"]
    return said
