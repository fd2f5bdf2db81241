"""What a refusal leaves out: where it came from, and what to try."""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from oauthkit.errors import ErrorResponse, InvalidClient, OAuthKitError, ResponseError
from oauthkit.protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)

_NOTHING_THERE: Final = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE}
)
_DOUBT: Final = "look at the client id and the secret"


def advise(error: OAuthKitError, client_auth: ClientAuth | None, *, endpoint: str) -> None:
    """Tell an error of an endpoint where it came from, and what its reader may try.

    Args:
        error: What the answer meant.
        client_auth: Who asked; None is nobody who says so.
        endpoint: The URL that was asked; its query, which may hold a secret, is left out.
    """
    if isinstance(error, ResponseError):
        error.url = endpoint.partition("?")[0]
        if error.status_code in _NOTHING_THERE:
            error.hint = "no token endpoint may be there; look at token_endpoint"
    unknown = isinstance(error, ResponseError) and error.status_code == HTTPStatus.UNAUTHORIZED
    if isinstance(error, ErrorResponse | ResponseError) and (
        unknown or isinstance(error, InvalidClient)
    ):
        error.hint = _way_to_be_known(client_auth)


def _way_to_be_known(client_auth: ClientAuth | None) -> str | None:
    if isinstance(client_auth, ClientSecretBasic):
        if not client_auth.raw and _is_encoded(client_auth):
            return (
                "id or secret has characters that are encoded (RFC 6749 §2.3.1), which some "
                "servers do not undo: try ClientSecretBasic(…, raw=True)"
            )
        return f"{_DOUBT}; some servers want them in the body: ClientSecretPost"
    if isinstance(client_auth, ClientSecretPost):
        return f"{_DOUBT}; some servers want them as Basic credentials: ClientSecretBasic"
    if isinstance(client_auth, PublicClient):
        return "look at the client id; the server may want a secret beside it: ClientSecretBasic"
    return None


def _is_encoded(client_auth: ClientSecretBasic) -> bool:
    texts = (client_auth.client_id, client_auth.client_secret)
    return any(quote(text, safe="") != text for text in texts)
