"""The authorization endpoint of the fake server (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1)."""

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.single_use import CODES
from oauthkit.testing.state import AuthorizationServerState

_MODES: Final = ("query", "fragment", "form_post")
_PAGE: Final = """<!doctype html>
<title>Back to the application</title>
<body onload="document.forms[0].submit()">
<form method="post" action="{action}">
{inputs}
<noscript><button>Go on</button></noscript>
</form>
"""


@attrs.frozen(kw_only=True)
class AuthorizationResponse:
    """What a browser brings back to the application.

    Attributes:
        redirect_uri: Where it brings it.
        mode: How: in the query, the fragment, or a form that it posts.
        fields: What it brings.
    """

    redirect_uri: str
    mode: str
    fields: Mapping[str, str] = attrs.field(repr=False)

    @property
    def callback(self) -> str:
        """The URL that the browser is sent to, or the body of the form that it posts."""
        if self.mode == "form_post":
            return urlencode(self.fields)
        parts = urlsplit(self.redirect_uri)
        if self.mode == "fragment":
            return urlunsplit(parts._replace(fragment=urlencode(self.fields)))
        return urlunsplit(
            parts._replace(query=urlencode([*parse_qsl(parts.query), *self.fields.items()]))
        )

    def page(self) -> HTTPResponse:
        """Return the answer that makes the browser do so (Form Post Response Mode §2)."""
        if self.mode != "form_post":
            return HTTPResponse(HTTPStatus.FOUND, {"location": self.callback})
        inputs = "\n".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(text)}">'
            for name, text in self.fields.items()
        )
        page = _PAGE.format(action=escape(self.redirect_uri), inputs=inputs)
        headers = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
        return HTTPResponse(HTTPStatus.OK, headers, page.encode())


@attrs.frozen(eq=False)
class AuthorizationEndpoint:
    """Send browsers back; the resource owner always agrees, and authenticates when asked to."""

    state: AuthorizationServerState

    def respond(
        self, url: str, *, error: str | None = None, person: str | None = None
    ) -> AuthorizationResponse:
        """Return what the browser brings back.

        Args:
            url: The authorization request.
            error: Bring this error back instead of a code.
            person: Who has just authenticated; None is whoever did so last.

        Raises:
            ValueError: A server shows a page of its own then, and sends nobody back.
        """
        parameters = self.parameters(url)
        mode = parameters.get("response_mode", "query")
        answer = {"error": error} if error else self._answer(parameters, mode, person)
        if "state" in parameters:
            answer["state"] = parameters["state"]
        return AuthorizationResponse(
            redirect_uri=parameters["redirect_uri"],
            mode=mode if mode in _MODES else "query",
            fields={**answer, "iss": self.state.issuer},
        )

    def parameters(self, url: str) -> Mapping[str, str]:
        """Return what an authorization request asks for.

        Raises:
            ValueError: A server shows a page of its own then, and sends nobody back.
        """
        endpoint, _, query = url.partition("?")
        pairs = parse_qsl(query, strict_parsing=True)
        parameters = dict(pairs)
        problem = self._not_redirectable(
            endpoint, parameters, repeated=len(parameters) < len(pairs)
        )
        if problem is not None:
            raise ValueError(problem)
        return parameters

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

    def _answer(
        self, parameters: Mapping[str, str], mode: str, person: str | None
    ) -> dict[str, str]:
        if parameters.get("response_type") != "code":
            return {"error": "unsupported_response_type"}
        problem = self._problem(parameters, mode)
        if problem is not None:
            return {"error": "invalid_request", "error_description": problem}
        scope = parameters.get("scope") or self.state.scope
        if not self.state.allows(scope):
            return {"error": "invalid_scope"}
        authenticated_at = self._authenticated_at(parameters, person)
        if authenticated_at is None:
            return {"error": "login_required"}
        code = self.state.desk.issue_code(
            parameters["redirect_uri"],
            parameters.get("code_challenge"),
            scope,
            asked=parameters,
            authenticated_at=authenticated_at,
            username=self.state.authenticated,
        )
        # Codes are numbered, so another test's fake may have given one of this name, that is spent.
        CODES.release(self.state.server.token_endpoint, code)
        return {"code": code}

    def _problem(self, parameters: Mapping[str, str], mode: str) -> str | None:
        challenge = parameters.get("code_challenge")
        prompt = parameters.get("prompt", "").split()
        problems = {
            "public clients need a code_challenge (RFC 9700 §2.1.1)": (
                challenge is None and self.state.client_secret is None
            ),
            "the code_challenge_method must be S256": (
                challenge is not None and parameters.get("code_challenge_method") != "S256"
            ),
            f"the response_mode must be one of {', '.join(_MODES)}": mode not in _MODES,
            "prompt=none stands alone (OpenID Connect Core §3.1.2.1)": (
                "none" in prompt and len(prompt) > 1
            ),
            "max_age must be whole seconds": not parameters.get("max_age", "0").isdecimal(),
            "claims must be a JSON object": _claims(parameters) is None,
        }
        return next((problem for problem, there in problems.items() if there), None)

    def _authenticated_at(self, parameters: Mapping[str, str], person: str | None) -> float | None:
        """Return when the resource owner authenticated; None where that would need a page.

        They stay authenticated at the server, so that a later request may need none.
        """
        state, now = self.state, self.state.clock.time()
        if person is not None:
            state.authenticated, state.authenticated_at = person, now
            return now
        prompt = parameters.get("prompt", "").split()
        at = state.authenticated_at
        if at is None or "login" in prompt or _too_old(now - at, parameters.get("max_age")):
            if "none" in prompt:
                return None
            at = state.authenticated_at = now
        return at


def _too_old(seconds: float, max_age: str | None) -> bool:
    return max_age is not None and (int(max_age) == 0 or seconds > int(max_age))


def _claims(parameters: Mapping[str, str]) -> Mapping[str, Any] | None:
    try:
        claims: object = json.loads(parameters.get("claims", "{}"))
    except ValueError:
        return None
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else None
