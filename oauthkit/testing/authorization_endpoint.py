"""The authorization endpoint of the fake server (RFC 6749 §4.1.1, RFC 7636 §4.3)."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from oauthkit.protocol.single_use import CODES
from oauthkit.testing.state import AuthorizationServerState


@attrs.frozen(eq=False)
class AuthorizationEndpoint:
    """Send browsers back; the resource owner always agrees."""

    state: AuthorizationServerState

    def callback(self, url: str, *, error: str | None = None) -> str:
        """Return where the browser is sent, as `FakeAuthorizationServer.authorize` does."""
        endpoint, _, query = url.partition("?")
        pairs = parse_qsl(query, strict_parsing=True)
        parameters = dict(pairs)
        problem = self._not_redirectable(
            endpoint, parameters, repeated=len(parameters) < len(pairs)
        )
        if problem is not None:
            raise ValueError(problem)
        answer = {"error": error} if error else self._authorized(parameters)
        if "state" in parameters:
            answer["state"] = parameters["state"]
        parts = urlsplit(parameters["redirect_uri"])
        fields = [*parse_qsl(parts.query), *answer.items(), ("iss", self.state.issuer)]
        return urlunsplit(parts._replace(query=urlencode(fields)))

    def _not_redirectable(
        self, endpoint: str, parameters: Mapping[str, str], *, repeated: bool
    ) -> str | None:
        if endpoint != f"{self.state.issuer}/authorize":
            return f"the authorization endpoint is {self.state.issuer}/authorize, not {endpoint}"
        if repeated:
            return "the authorization request has a parameter twice (RFC 6749 §3.1)"
        client_id = parameters.get("client_id")
        if client_id != self.state.client_id:
            return f"the client_id must be {self.state.client_id!r}, not {client_id!r}"
        if not parameters.get("redirect_uri"):
            return "the authorization request has no redirect_uri"
        return None

    def _authorized(self, parameters: Mapping[str, str]) -> dict[str, str]:
        challenge = parameters.get("code_challenge")
        if parameters.get("response_type") != "code":
            return {"error": "unsupported_response_type"}
        if challenge is None and self.state.client_secret is None:
            description = "public clients need a code_challenge (RFC 9700 §2.1.1)"
            return {"error": "invalid_request", "error_description": description}
        if challenge is not None and parameters.get("code_challenge_method") != "S256":
            description = "the code_challenge_method must be S256"
            return {"error": "invalid_request", "error_description": description}
        scope = parameters.get("scope") or self.state.scope
        if not self.state.allows(scope):
            return {"error": "invalid_scope"}
        code = self.state.desk.issue_code(
            parameters["redirect_uri"], challenge, scope, asked=parameters
        )
        # Codes are numbered, so another test's fake may have given one of this name, that is spent.
        CODES.release(self.state.server.token_endpoint, code)
        return {"code": code}
