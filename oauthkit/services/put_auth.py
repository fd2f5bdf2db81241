"""System E: `POST /oauth/token` in multipart/form-data.

Everything is optional in its document: the grant is `refresh_token` where nothing else is said,
which `RefreshToken` sends; authorization codes and passwords are exchanged too. The fields of its
answer are not documented, so a missing `token_type` is taken for Bearer.

A token comes with 200, a refusal with 400, and any other status is an unexpected error. What a
refusal says is not documented, so no rule guesses at it: names of RFC 6749 §5.2 are believed, and a
400 without one ends a refresh token, as it does at every server.
"""

from http import HTTPStatus
from typing import Final

from oauthkit.kinds import checked
from oauthkit.protocol.formats import MULTIPART
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.services._call import base_url as with_slash

BASE_URL: Final = "http://localhost"
"""The documented base URL."""


@checked
def authorization_server(
    base_url: str = BASE_URL,
    *,
    authorization_endpoint: str | None = None,
    issuer: str | None = None,
    allow_plain_http: bool = False,
) -> AuthorizationServer:
    """Return the token endpoint below a base URL.

    Args:
        base_url: Where.
        authorization_endpoint: Where the resource owner's browser is sent; not documented.
        issuer: The issuer identifier; not documented.
        allow_plain_http: Let credentials and tokens travel unencrypted.

    Raises:
        ConfigurationError: The URL is plain http beyond this machine, and that was not allowed.
    """
    return AuthorizationServer(
        f"{with_slash(base_url)}oauth/token",
        authorization_endpoint=authorization_endpoint,
        issuer=issuer,
        request_format=MULTIPART,
        success_status=HTTPStatus.OK,
        default_token_type="Bearer",  # noqa: S106 - a type, not a token
        allow_plain_http=allow_plain_http,
    )
