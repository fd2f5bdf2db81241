"""The five documented systems as one strict app.

| system | paths |
|---|---|
| `ads` | `/sdf242fgc4544g4vgg4v3sfsfv3`, `/cgi-bin/nph-bib_query`, `/1.1/test.php` |
| `hello` | `/SayHello/odfksdlfksld345345fdgdfg3453`, `/SayHello/sayHello` |
| `id_secret` | `/oauth2/token` |
| `auth_v1` | `/api/v1/auth/token` |
| `put_auth` | `/oauth/token` |
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

import anyio.lowlevel
import attrs
import httpx

from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check, Shape
from oauthkit.testing.data_contract import (
    JSON_TYPES,
    NAMESPACE,
    XML_TYPES,
    data_contract_json,
    data_contract_xml,
    negotiated,
)
from oauthkit.testing.granting import Desk, Refusal, Settings
from oauthkit.testing.mounts import AppTransport, ASGIApp
from oauthkit.testing.reading import media_type
from oauthkit.testing.sockets import LoopbackServer
from oauthkit.testing.state import json_response

System = Literal["ads", "hello", "id_secret", "auth_v1", "put_auth"]
"""A documented system, by the name of its module in `oauthkit.services`."""

_FORM: Final = "application/x-www-form-urlencoded"

_REFRESH: Final = Shape(("refresh_token",), ("scope",))
_ADS: Final = {
    "password": Shape(("username", "password"), ("scope",), more=True),
    "refresh_token": attrs.evolve(_REFRESH, more=True),
}
_HELLO: Final = {
    "authorization_code": Shape(("code", "redirect_uri"), more=True),
    "refresh_token": attrs.evolve(_REFRESH, more=True),
}
_PAIR: Final = ("client_id", "client_secret")
_ID_SECRET: Final = {
    "client_credentials": Shape((), ("scope", *_PAIR)),
    "authorization_code": Shape(
        ("code", "redirect_uri", "client_id"),
        ("client_secret", "code_challenge", "code_verifier"),
    ),
    "refresh_token": Shape(("refresh_token",), ("scope", *_PAIR)),
}
_AUTH_V1: Final[Mapping[str, type]] = {
    "WindowsAuthentication": bool,
    "client_id": str,
    "client_secret": str,
    "scope": str,
    "username": str,
    "password": str,
    "grant_type": str,
    "refresh_token": str,
}
_PUT_AUTH: Final = Shape(
    (),
    (
        "grant_type",
        *_PAIR,
        "scope",
        "username",
        "password",
        "refresh_token",
        # The document says that codes are exchanged here, and does not list how they come.
        "code",
        "redirect_uri",
        "code_verifier",
    ),
)


@attrs.frozen(kw_only=True)
class Exchange:
    """One request to a documented system, and how it fared.

    Attributes:
        system: Which; None where no document has the path.
        operation: What was asked for, as the document calls it.
        parameters: Names of the parameters that came.
        violations: Where the request differs from the document; none is what is wanted.
        status_code: What was answered.
        at: When, in seconds since the epoch.
    """

    system: System | None
    operation: str
    method: str
    path: str
    headers: Headers
    parameters: tuple[str, ...]
    violations: tuple[str, ...]
    status_code: int
    at: float


@attrs.define(kw_only=True, eq=False)
class DocumentedSystems(Settings):
    """Be the five documented systems: check every request to the letter, answer as documented.

    Example:
        >>> async def main():
        ...     systems = DocumentedSystems()
        ...     async with systems.serve() as url:
        ...         sandbox = ads.Environment("sandbox", f"{url}/")
        ...         ...
        ...     assert not systems.violations

    A request that is not as documented is a violation, and is refused. What a document describes
    as going wrong, such as a wrong password or a spent code, is no violation, and gets the
    document's own error. `auth_v1` documents no error: it has that of RFC 6749 §5.2.

    Attributes:
        expires_in: Seconds that an access token lives.
        refresh_expires_in: Seconds that a refresh token lives.
        client_id: The client that all systems know.
        client_secret: Its secret.
        username: The resource owner.
        password: The resource owner's password.
        scope: What is granted where no scope is asked for.
        clock: A `FakeClock` of its own unless given; the `time` module is the real one.
        log: Every request so far.
    """

    token_paths: ClassVar[Mapping[System, str]] = {
        "ads": "/sdf242fgc4544g4vgg4v3sfsfv3",
        "hello": "/SayHello/odfksdlfksld345345fdgdfg3453",
        "id_secret": "/oauth2/token",
        "auth_v1": "/api/v1/auth/token",
        "put_auth": "/oauth/token",
    }

    log: list[Exchange] = attrs.field(factory=list[Exchange], init=False, repr=False)
    _desks: dict[str, Desk] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Give every system tokens of its own."""
        self._desks = {system: Desk(self) for system in self.token_paths}

    @property
    def violations(self) -> tuple[str, ...]:
        """Every difference between a request and its document so far."""
        return tuple(
            f"{exchange.system or 'no system'}, {exchange.operation}: {violation}"
            for exchange in self.log
            for violation in exchange.violations
        )

    def issue_code(
        self,
        system: Literal["hello", "id_secret", "put_auth"],
        *,
        redirect_uri: str,
        code_challenge: str | None = None,
        scope: str | None = None,
    ) -> str:
        """Return an authorization code, as after a login.

        Args:
            system: Where it can be exchanged.
            redirect_uri: The one that must come with it.
            code_challenge: Its PKCE challenge, method S256.
            scope: What is granted; None is `scope`.
        """
        return self._desks[system].issue_code(redirect_uri, code_challenge, scope or self.scope)

    def revoke_access_tokens(self) -> None:
        """Revoke every access token issued so far; refresh tokens stay good."""
        for desk in self._desks.values():
            desk.ledger.revoke_access_tokens()

    async def respond(self, request: HTTPRequest) -> HTTPResponse:
        """Answer a request, as `answer` does; the app to be mounted."""
        await anyio.lowlevel.checkpoint()
        return self.answer(request)

    def answer(self, request: HTTPRequest) -> HTTPResponse:
        """Return the answer to a request, and write it down in the log."""
        path, at = urlsplit(request.url).path, self.clock.time()
        system, operation, operate = self._operations().get(path, (None, "none", self._unknown))
        check = Check(request)
        response = operate(check)
        self.log.append(
            Exchange(
                system=system,
                operation=operation,
                method=request.method,
                path=path,
                headers=request.headers,
                parameters=check.names,
                violations=tuple(check.violations),
                status_code=response.status_code,
                at=at,
            )
        )
        return response

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return a transport for an `httpx.AsyncClient`; the host of a URL does not matter."""
        return AppTransport(self.respond)

    def asgi(self) -> ASGIApp:
        """Return an ASGI application."""
        return ASGIApp(self.respond)

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[str]:
        """Serve on a socket of this machine while the block is open; the block gets the URL."""
        async with LoopbackServer(self.respond) as loopback:
            yield loopback.url

    def _operations(
        self,
    ) -> Mapping[str, tuple[System | None, str, Callable[[Check], HTTPResponse]]]:
        paths = self.token_paths
        return {
            paths["ads"]: ("ads", "token", self._ads_token),
            "/cgi-bin/nph-bib_query": ("ads", "getBibcode", self._get_bibcode),
            "/1.1/test.php": ("ads", "Test", self._test),
            paths["hello"]: ("hello", "token", self._hello_token),
            "/SayHello/sayHello": ("hello", "sayHello", self._say_hello),
            paths["id_secret"]: ("id_secret", "token", self._id_secret_token),
            paths["auth_v1"]: ("auth_v1", "token", self._auth_v1_token),
            paths["put_auth"]: ("put_auth", "putAuth", self._put_auth),
        }

    def _unknown(self, check: Check) -> HTTPResponse:
        path = urlsplit(check.request.url).path
        check.fail(f"one of {', '.join(self._operations())}", path)
        return _undocumented(404, check)

    # The API operations

    def _get_bibcode(self, check: Check) -> HTTPResponse:
        check.method("GET")
        check.no_authorization()
        check.no_body()
        parameters = check.query(Shape(("bibcode", "db_key", "data_type")))
        if check.violations:
            return _undocumented(400, check)
        return json_response(200, {"body": " ".join(map(str, parameters.values()))})

    def _test(self, check: Check) -> HTTPResponse:
        check.method("POST")
        check.header("accept", "application/json")
        check.header("content-type")  # the caller's own value may replace the documented one
        check.at_most_once("cache-control")
        check.at_most_once("postman-token")
        parameters = check.json({"counter": int}, required=True)
        token = check.bearer()
        if check.violations:
            return _undocumented(400, check)
        if not self._desks["ads"].ledger.live(token):
            challenge = 'Bearer realm="ads", error="invalid_token"'
            return HTTPResponse(401, {"www-authenticate": challenge})
        return json_response(200, {"counter": parameters["counter"]})

    def _say_hello(self, check: Check) -> HTTPResponse:
        check.method("POST")
        check.header("accept", "application/json")
        check.header("content-type", "application/json")
        check.no_authorization()
        parameters = check.json({"firstName": str}, required=True)
        if check.violations:
            return _undocumented(400, check)
        return json_response(200, {"greeting": f"Hello, {parameters['firstName']}!"})

    # The token endpoints

    def _ads_token(self, check: Check) -> HTTPResponse:
        return self._oauth_token("ads", check, _ADS)

    def _hello_token(self, check: Check) -> HTTPResponse:
        return self._oauth_token("hello", check, _HELLO)

    def _oauth_token(
        self, system: System, check: Check, shapes: Mapping[str, Shape]
    ) -> HTTPResponse:
        check.method("POST")
        credentials = check.basic()
        parameters = check.form(shapes)
        answer = self._desks[system].serve(check, parameters, credentials, proof=True)
        if isinstance(answer, Refusal):
            # `OAuthProvider`
            fields = {
                "error": answer.error,
                "error_description": answer.description,
                "error_uri": "https://datatracker.ietf.org/doc/html/rfc6749#section-5.2",
            }
            headers = {"www-authenticate": f'Basic realm="{system}"'} if answer.of_client else {}
            return json_response(401 if answer.of_client else 400, fields, headers)
        return json_response(  # `OAuthToken`, its numbers as text
            200,
            {
                "access_token": answer.access_token,
                "token_type": "Bearer",
                "expires_in": str(self.expires_in),
                "scope": answer.scope,
                "expiry": str(answer.at + self.expires_in),
                "refresh_token": answer.refresh_token,
            },
        )

    def _id_secret_token(self, check: Check) -> HTTPResponse:
        check.method("POST")
        credentials = check.basic() if "authorization" in check.request.headers else None
        parameters = check.form(_ID_SECRET)
        answer = self._desks["id_secret"].serve(check, parameters, credentials)
        if isinstance(answer, Refusal):
            status = 403 if answer.of_client else 400
            pagination = {"limit": 0, "offset": 0, "total_count": 0}
            errors = [{"httpcode": status, "message": f"{answer.error}: {answer.description}"}]
            return json_response(status, {"meta": {"pagination": pagination}, "errors": errors})
        fields = {
            "access_token": answer.access_token,
            "refresh_token": answer.refresh_token,
            "id_token": answer.refresh_token and f"id-token-of-{answer.access_token}",
            "expires_in": self.expires_in,
            "scope": answer.scope,
            "token_type": "bearer",
        }
        present = {name: value for name, value in fields.items() if value is not None}
        return json_response(200, present)

    def _auth_v1_token(self, check: Check) -> HTTPResponse:
        check.method("POST")
        check.no_authorization()
        kind = media_type(check.request.headers)
        check.expect(
            kind in {*JSON_TYPES, *XML_TYPES, _FORM},
            f"{JSON_TYPES}, {XML_TYPES} or {_FORM}",
            kind or "none",
        )
        check.at_most_once("content-type")
        parameters = _auth_v1_parameters(check, kind)
        default = "refresh_token" if "refresh_token" in parameters else "password"
        parameters = {"grant_type": default, **parameters}
        answer = self._desks["auth_v1"].serve(check, parameters)
        if isinstance(answer, Refusal):
            return _rfc_error(answer)
        refresh_life = self.refresh_expires_in if answer.refresh_token else 0
        fields: dict[str, object] = {
            "access_token": answer.access_token,
            "expires_in": self.expires_in,
            "redirect_url": "https://app.example/start",
            "ip": None,
            "is_editor": True,
            "refresh_expires_in": refresh_life,
            "refresh_token": answer.refresh_token,
            "token_type": "Bearer",
            "not_before_policy": 0,
            "session_state": None,
            "scope": answer.scope,
        }
        wanted = negotiated(check.request.headers, kind)
        if wanted in XML_TYPES:
            content = data_contract_xml("AccessTokenResponse", fields)
        else:
            content = data_contract_json(fields)
        return HTTPResponse(200, {"content-type": f"{wanted}; charset=utf-8"}, content)

    def _put_auth(self, check: Check) -> HTTPResponse:
        check.method("POST")
        check.header("accept", "application/json")
        check.no_authorization()
        parameters = {"grant_type": "refresh_token", **check.multipart(_PUT_AUTH)}
        answer = self._desks["put_auth"].serve(check, parameters)
        if isinstance(answer, Refusal):
            return _rfc_error(answer)
        fields: dict[str, object] = {
            "access_token": answer.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": answer.scope,
        }
        if answer.refresh_token is not None:
            fields["refresh_token"] = answer.refresh_token
            fields["refresh_expires_in"] = self.refresh_expires_in
        return json_response(200, fields)


def _auth_v1_parameters(check: Check, kind: str) -> Mapping[str, object]:
    if kind in XML_TYPES:
        return check.xml("TokenRequest", NAMESPACE, _AUTH_V1)
    if kind in JSON_TYPES:
        return check.json(_AUTH_V1, required=False)
    return check.fields(_AUTH_V1)


def _rfc_error(refusal: Refusal) -> HTTPResponse:
    fields = {"error": refusal.error, "error_description": refusal.description}
    return json_response(400, fields)


def _undocumented(status_code: int, check: Check) -> HTTPResponse:
    text = "\n".join(check.violations)
    return HTTPResponse(status_code, {"content-type": "text/plain; charset=utf-8"}, text.encode())
