"""The introspection endpoint of the fake server (RFC 7662, RFC 9701)."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check
from oauthkit.testing.client_endpoint import answer_to_client, said
from oauthkit.testing.dialects import json_response
from oauthkit.testing.state import AuthorizationServerState
from oauthkit.testing.token_request import Asked

_KIND: Final = "token-introspection+jwt"
_SIGNED: Final = f"application/{_KIND}"


def introspection_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return what a token is good for, to the client or to who has a live access token."""
    by_token = state.ledger.live(Check(request).bearer())
    signed = request.headers.get("accept") == _SIGNED
    return answer_to_client(state, request, partial(_answer, state, signed=signed), known=by_token)


def _answer(state: AuthorizationServerState, asked: Asked, *, signed: bool) -> HTTPResponse:
    members = _members(state, asked.text("token"))
    if not signed:
        return json_response(HTTPStatus.OK, members)
    claims = {"iss": state.issuer, "aud": state.client_id, "iat": int(state.clock.time())}
    text = state.signed({**claims, "token_introspection": members}, kind=_KIND)
    return HTTPResponse(HTTPStatus.OK, {"content-type": _SIGNED}, text.encode())


def _members(state: AuthorizationServerState, token: str) -> Mapping[str, object]:
    known = state.ledger.known(token)
    if known is None:
        return {"active": False}
    members = {
        "active": True,
        "scope": known.scope,
        "client_id": state.client_id,
        "username": state.username if known.of_login else None,
        "token_type": state.token_type if known.access_token else None,
        "exp": known.expires_at,
        "iat": known.issued_at,
        "sub": state.username if known.of_login else state.client_id,
        "iss": state.issuer,
    }
    return said(members)
