"""The revocation request and its answer (RFC 7009)."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from oauthkit.errors import ErrorResponse
from oauthkit.protocol.client_auth import Authentication
from oauthkit.protocol.endpoint import build_request, read_answer
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import SecretStr, check_given
from oauthkit.protocol.server import AuthorizationServer

ENDPOINT: Final = "revocation_endpoint"

_OK: Final = range(200, 300)


def build_revocation_request(
    server: AuthorizationServer, token_text: str, hint: str | None, authentication: Authentication
) -> HTTPRequest:
    """Return the request that revokes a token (RFC 7009 §2.1).

    Args:
        server: Who is asked.
        token_text: The token itself.
        hint: What kind of token it is, `access_token` or `refresh_token`; None lets the server
            find out.
        authentication: Who asks: a client may revoke what it was given, and nothing else.

    Raises:
        ConfigurationError: The server has no revocation endpoint, it may not be one, or the token
            is empty.
    """
    check_given(token=token_text)
    return build_request(
        server,
        server.endpoint(ENDPOINT),
        {"token": token_text, "token_type_hint": hint},
        authentication,
        name=ENDPOINT,
        secrets=frozenset({SecretStr(token_text)}),
    )


def parse_revocation_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    requested_at: float,
    secrets: Collection[str] = (),
) -> None:
    """Read the answer to a revocation; a success says nothing, whatever its body (RFC 7009 §2.2).

    Args:
        server: Who answered.
        response: The answer.
        requested_at: When the request was sent, in seconds since the epoch, for a date in
            `Retry-After`.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no; `error` is `unsupported_token_type` where it does not
            revoke tokens of this kind (§2.2.1).
        ResponseError: It refused in other words, or cannot answer now.
    """
    if response.status_code in _OK:
        return
    try:
        read_answer(server, response, now=requested_at, name=ENDPOINT, secrets=secrets)
    except ErrorResponse as error:
        if not _is_over(error):
            raise


def _is_over(error: ErrorResponse) -> bool:
    """Tell whether a refusal says that there is no such token any more, which is what was wanted.

    RFC 7009 §2.2 has a success for that; some servers, Google's among them, have this.
    """
    return error.error == "invalid_token" and error.status_code == HTTPStatus.BAD_REQUEST
