"""The device authorization endpoint of the fake server (RFC 8628 §3.1)."""

from functools import partial
from http import HTTPStatus

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.client_endpoint import answer_to_client, said
from oauthkit.testing.dialects import json_response
from oauthkit.testing.state import AuthorizationServerState
from oauthkit.testing.token_request import Asked, RefusedError

_DEFAULT_INTERVAL = 5.0


def device_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return a device code and a user code."""
    return answer_to_client(state, request, partial(_begun, state))


def _begun(state: AuthorizationServerState, asked: Asked) -> HTTPResponse:
    """Begin a login.

    Raises:
        RefusedError: The scope is not granted.
    """
    scope = asked.text("scope") if asked.parameters.get("scope") else state.scope
    if not state.allows(scope):
        message = "this scope is not granted"
        raise RefusedError(message, error="invalid_scope")
    interval = _DEFAULT_INTERVAL if state.device_interval is None else state.device_interval
    code, login = state.device_codes.begin(scope, interval=interval, life=state.device_expires_in)
    uri = f"{state.issuer}/activate"
    members = {
        "device_code": code,
        "user_code": login.user_code,
        "verification_uri": uri,
        "verification_uri_complete": f"{uri}?user_code={login.user_code}",
        "expires_in": state.device_expires_in,
        "interval": state.device_interval,
    }
    return json_response(HTTPStatus.OK, said(members), {"cache-control": "no-store"})
