"""System D: `POST api/v1/auth/token`, in JSON, XML or form-urlencoded.

Its XML is read by a data contract, which wants the elements in ordinal order; `oauthkit.XML` writes
them so. Every documented field of the answer is an attribute of `AccessTokenResponse`.

Example:
    >>> from oauthkit import XML, ResourceOwnerPassword
    >>> server = authorization_server("https://auth.example", request_format=XML)
    >>> grant = with_windows_authentication(
    ...     ResourceOwnerPassword(username="ada", password="lovelace")
    ... )
    >>> grant.additional["WindowsAuthentication"]
    True
"""

from typing import Final, TypeVar

import attrs

from oauthkit.protocol.formats import JSON, XML, JSONRequest, RequestFormat, XMLRequest
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.services._call import base_url as with_slash

G = TypeVar("G", bound=GrantStrategy)

TEXT_JSON: Final = JSONRequest(content_type="text/json")
"""JSON under the other documented name."""
TEXT_XML: Final[XMLRequest] = attrs.evolve(XML, content_type="text/xml")
"""XML under the other documented name."""

_TOKEN_PATH: Final = "api/v1/auth/token"


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
        token_class=AccessTokenResponse,
        allow_plain_http=allow_plain_http,
    )


def with_windows_authentication(grant: G, *, enabled: bool = True) -> G:
    """Return the grant with the documented boolean `WindowsAuthentication`."""
    return attrs.evolve(grant, additional={**grant.additional, "WindowsAuthentication": enabled})
