"""The revocation endpoint of the fake server (RFC 7009)."""

from functools import partial
from http import HTTPStatus

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.client_endpoint import answer_to_client
from oauthkit.testing.state import AuthorizationServerState
from oauthkit.testing.token_request import Asked


def revocation_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return the answer to a revocation; a token that is not known is revoked already (§2.2)."""
    return answer_to_client(state, request, partial(_revoked, state))


def _revoked(state: AuthorizationServerState, asked: Asked) -> HTTPResponse:
    state.ledger.revoke(asked.text("token"))
    return HTTPResponse(HTTPStatus.OK)
