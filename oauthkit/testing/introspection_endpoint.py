"""The introspection endpoint of the fake server (RFC 7662)."""

from functools import partial
from http import HTTPStatus

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check
from oauthkit.testing.client_endpoint import answer_to_client, said
from oauthkit.testing.dialects import json_response
from oauthkit.testing.granting import Asked
from oauthkit.testing.state import AuthorizationServerState


def introspection_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return what a token is good for, to the client or to who has a live access token."""
    by_token = state.ledger.live(Check(request).bearer())
    return answer_to_client(state, request, partial(_answer, state), known=by_token)


def _answer(state: AuthorizationServerState, asked: Asked) -> HTTPResponse:
    known = state.ledger.known(asked.text("token"))
    if known is None:
        return json_response(HTTPStatus.OK, {"active": False})
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
    return json_response(HTTPStatus.OK, said(members))
