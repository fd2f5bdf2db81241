"""The UserInfo endpoint of the fake server (OpenID Connect Core §5.3)."""

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check
from oauthkit.testing.client_endpoint import said
from oauthkit.testing.dialects import json_response
from oauthkit.testing.reading import UnreadableError, read_parameters
from oauthkit.testing.state import AuthorizationServerState

_SIGNED: Final = "application/jwt"


def userinfo_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return the claims about the resource owner, signed where that is asked, or a challenge."""
    shown = _shown(request)
    if len(shown) > 1 or "access_token" in dict(parse_qsl(urlsplit(request.url).query)):
        return _challenge(HTTPStatus.BAD_REQUEST, "invalid_request")
    if not shown:
        return HTTPResponse(HTTPStatus.UNAUTHORIZED, {"www-authenticate": 'Bearer realm="fake"'})
    known = state.ledger.known(shown[0])
    if known is None or not known.access_token:
        return _challenge(HTTPStatus.UNAUTHORIZED, "invalid_token")
    claims = said({"sub": known.username or state.username, **state.claims})
    if request.headers.get("accept") == _SIGNED:
        signed = state.signed({"iss": state.issuer, "aud": state.client_id, **claims})
        return HTTPResponse(HTTPStatus.OK, {"content-type": _SIGNED}, signed.encode())
    return json_response(HTTPStatus.OK, claims)


def _shown(request: HTTPRequest) -> list[str]:
    """Return the tokens that are shown, in the header and in the body."""
    found = [Check(request).bearer()]
    if request.method == "POST" and request.content:
        try:
            found.append(str(read_parameters(request).get("access_token", "")))
        except UnreadableError:
            found.append("")
    return [token for token in found if token]


def _challenge(status: HTTPStatus, error: str) -> HTTPResponse:
    return HTTPResponse(status, {"www-authenticate": f'Bearer realm="fake", error="{error}"'})
