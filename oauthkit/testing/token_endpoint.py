"""The token endpoint of the fake server (RFC 6749 §4 to §6), strict."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse
from oauthkit.testing.ledger import Family, SpentError
from oauthkit.testing.reading import (
    UnreadableError,
    authorization,
    basic_credentials,
    code_challenge,
    form_decoded,
    read_parameters,
)
from oauthkit.testing.state import AuthorizationServerState, json_response

_OK: Final = 200
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_NO_SUCH_METHOD: Final = 405
_PRIVATE: Final = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 §5.1


class _RefusedError(Exception):
    """The token endpoint refuses (RFC 6749 §5.2)."""

    def __init__(self, description: str, *, error: str, status_code: int = _BAD_REQUEST) -> None:
        super().__init__(description)
        headers = {"www-authenticate": 'Basic realm="fake"'} if status_code == _UNAUTHORIZED else {}
        fields = {"error": error, "error_description": description}
        self.response = json_response(status_code, fields, {**_PRIVATE, **headers})


@attrs.frozen(eq=False)
class TokenEndpoint:
    """Answer token requests."""

    state: AuthorizationServerState

    def answer(self, request: HTTPRequest) -> HTTPResponse:
        """Return the answer to a token request."""
        try:
            return self._token(request, read_parameters(request))
        except _RefusedError as refusal:
            return refusal.response
        except UnreadableError as error:
            return _RefusedError(str(error), error="invalid_request").response

    def _token(self, request: HTTPRequest, parameters: Mapping[str, object]) -> HTTPResponse:
        if request.method != "POST":
            message = "the token endpoint takes POST alone (RFC 6749 §3.2)"
            raise _RefusedError(message, error="invalid_request", status_code=_NO_SUCH_METHOD)
        self._authenticate(request.headers, parameters)
        match _text(parameters, "grant_type"):
            case "client_credentials":
                fields = self._client_credentials(parameters)
            case "authorization_code":
                fields = self._authorization_code(parameters)
            case "refresh_token":
                fields = self._refresh_token(parameters)
            case "password":
                fields = self._resource_owner_password(parameters)
            case _:
                message = "this server knows nothing of that grant_type"
                raise _RefusedError(message, error="unsupported_grant_type")
        return json_response(_OK, fields, _PRIVATE)

    def _authenticate(self, headers: Headers, parameters: Mapping[str, object]) -> None:
        header = authorization(headers)
        named = parameters.get("client_id"), parameters.get("client_secret")
        known = self.state.client_id, self.state.client_secret
        if header is None:
            good = named == known
        elif named[1] is not None:
            message = "a client authenticates in one way, not in two (RFC 6749 §2.3)"
            raise _RefusedError(message, error="invalid_request")
        else:
            good = self._basic(*header) and named[0] in {None, self.state.client_id}
        if not good:
            message = "client authentication failed"
            raise _RefusedError(message, error="invalid_client", status_code=_UNAUTHORIZED)

    def _basic(self, scheme: str, token: str) -> bool:
        if scheme != "basic":
            return False
        raw = basic_credentials(token)
        decoded = form_decoded(raw[0]), form_decoded(raw[1])
        return (self.state.client_id, self.state.client_secret or "") in {raw, decoded}

    def _client_credentials(self, parameters: Mapping[str, object]) -> dict[str, Any]:
        if self.state.client_secret is None:
            message = "client credentials are for confidential clients (RFC 6749 §4.4)"
            raise _RefusedError(message, error="unauthorized_client")
        return self.state.first(Family(self._scope(parameters)), refreshable=False)

    def _resource_owner_password(self, parameters: Mapping[str, object]) -> dict[str, Any]:
        given = _text(parameters, "username"), _text(parameters, "password")
        if given != (self.state.username, self.state.password):
            message = "the username or the password is wrong"
            raise _RefusedError(message, error="invalid_grant")
        return self.state.first(Family(self._scope(parameters)), refreshable=True)

    def _authorization_code(self, parameters: Mapping[str, object]) -> dict[str, Any]:
        code = self.state.codes.get(_text(parameters, "code"))
        if code is not None and code.family is not None:
            code.family.alive = False  # RFC 6749 §4.1.2
        if code is None or code.family is not None or self.state.clock.time() >= code.expires_at:
            message = "the code is unknown, expired or was used before"
            raise _RefusedError(message, error="invalid_grant")
        if parameters.get("redirect_uri") != code.redirect_uri:
            message = "redirect_uri is not that of the authorization request"
            raise _RefusedError(message, error="invalid_grant")
        if code_challenge(parameters.get("code_verifier")) != code.challenge:
            message = "the code_verifier does not fit the code_challenge (RFC 7636 §4.6)"
            raise _RefusedError(message, error="invalid_grant")
        code.family = Family(code.scope)
        return self.state.first(code.family, refreshable=True)

    def _refresh_token(self, parameters: Mapping[str, object]) -> dict[str, Any]:
        presented = _text(parameters, "refresh_token")
        family = self.state.ledger.family_of(presented)
        granted = "" if family is None else family.scope
        scope = _text(parameters, "scope") if "scope" in parameters else granted
        if family is not None and not set(scope.split()) <= set(granted.split()):
            message = "a refresh cannot widen the scope (RFC 6749 §6)"
            raise _RefusedError(message, error="invalid_scope")
        try:
            family, successor = self.state.ledger.exchange(
                presented,
                rotate=self.state.rotate,
                grace=self.state.grace,
                detect_reuse=self.state.detect_reuse,
                life=self.state.refresh_life,
            )
        except SpentError:
            message = "the refresh token is unknown, expired, revoked or was used before"
            raise _RefusedError(message, error="invalid_grant") from None
        return self.state.fields(family, successor, scope=scope)

    def _scope(self, parameters: Mapping[str, object]) -> str:
        return _text(parameters, "scope") if "scope" in parameters else self.state.scope


def _text(parameters: Mapping[str, object], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        message = f"{name} is {'missing' if value is None else 'not a text'}"
        raise _RefusedError(message, error="invalid_request")
    return value
