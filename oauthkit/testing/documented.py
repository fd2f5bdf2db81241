"""The five documented systems as one strict app.

| system | paths |
|---|---|
| `ads` | `/sdf242fgc4544g4vgg4v3sfsfv3`, `/cgi-bin/nph-bib_query`, `/1.1/test.php` |
| `hello` | `/SayHello/odfksdlfksld345345fdgdfg3453`, `/SayHello/sayHello` |
| `id_secret` | `/oauth2/token` |
| `auth_v1` | `/api/v1/auth/token` |
| `put_auth` | `/oauth/token` |
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from secrets import token_urlsafe
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

import anyio.lowlevel
import attrs
import httpx

from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check, Shape
from oauthkit.testing.clock import running
from oauthkit.testing.dialects import ADS, AUTH_V1, HELLO, ID_SECRET, PUT_AUTH, json_response
from oauthkit.testing.granting import Desk
from oauthkit.testing.mounts import AppTransport, ASGIApp
from oauthkit.testing.settings import Settings
from oauthkit.testing.sockets import LoopbackServer
from oauthkit.testing.token_request import Dialect

System = Literal["ads", "hello", "id_secret", "auth_v1", "put_auth"]
"""A documented system, by the name of its module in `oauthkit.services`."""

_DIALECTS: Final[Mapping[System, Dialect]] = {
    "ads": ADS,
    "hello": HELLO,
    "id_secret": ID_SECRET,
    "auth_v1": AUTH_V1,
    "put_auth": PUT_AUTH,
}
_TOKEN_OPERATIONS: Final[Mapping[System, str]] = {"put_auth": "putAuth"}
"""What a document calls asking for a token, where it has a name for it."""
_DOCUMENTED_HOSTS: Final[Mapping[System, frozenset[str]]] = {
    "ads": frozenset({"adsabs.harvard.edu", "www.foofle.com"}),
    "hello": frozenset({"www.examples.com"}),
    "put_auth": frozenset({"localhost"}),
}
"""C and D document no host, so any will do."""


def _host_names(hosts: Collection[str]) -> Collection[str]:
    """Return names as they are compared; a single one may come alone."""
    return frozenset(host.lower() for host in ((hosts,) if isinstance(hosts, str) else hosts))


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
    document's own error, in its own words:

    - `ads` and `hello` say 401 with an `OAuthProvider` to a client that they refuse, and 400 with
      one to all else;
    - `id_secret` says 403 and 400, with a list of errors;
    - `auth_v1`, which documents none, says 401 and 400, with a `Message`;
    - `put_auth`, which documents no body, says 400.

    What else can be set is as for `FakeAuthorizationServer`.

    Attributes:
        expires_in: Seconds that an access token lives.
        refresh_expires_in: Seconds that a refresh token lives.
        client_id: The client that all systems know.
        client_secret: Its secret.
        username: The resource owner.
        password: The resource owner's password.
        scope: What is granted where no scope is asked for.
        hosts: Further hosts at which they are, such as `sandbox.example`. The documented ones and
            this machine are known; at another one a request is a violation. Of `id_secret` and
            `auth_v1` no host is documented, so they are at any.
        clock: A `FakeClock` of its own that begins today, unless given; the `time` module is the
            real one.
        log: Every request so far.
    """

    token_paths: ClassVar[Mapping[System, str]] = {
        "ads": "/sdf242fgc4544g4vgg4v3sfsfv3",
        "hello": "/SayHello/odfksdlfksld345345fdgdfg3453",
        "id_secret": "/oauth2/token",
        "auth_v1": "/api/v1/auth/token",
        "put_auth": "/oauth/token",
    }

    expires_in: int = 3600
    refresh_expires_in: float | None = 86_400
    hosts: Collection[str] = attrs.field(default=(), converter=_host_names)
    log: list[Exchange] = attrs.field(factory=list[Exchange], init=False, repr=False)
    _desks: dict[str, Desk] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Give every system tokens of its own."""
        self._desks = {system: Desk(self, dialect) for system, dialect in _DIALECTS.items()}

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
        return self._desks[system].issue_code(
            redirect_uri,
            code_challenge,
            scope or self.scope,
            suffix=f"-{token_urlsafe(9)}",  # a process sends no code twice, whoever gave it
        )

    def revoke_access_tokens(self) -> None:
        """Revoke every access token issued so far; refresh tokens stay good."""
        for desk in self._desks.values():
            desk.ledger.revoke_access_tokens()

    def revoke_logins(self) -> None:
        """Revoke every refresh token issued so far, and all that came of it."""
        for desk in self._desks.values():
            desk.ledger.revoke_all()

    async def respond(self, request: HTTPRequest) -> HTTPResponse:
        """Answer a request, as `answer` does; the app to be mounted."""
        await anyio.lowlevel.checkpoint()
        return self.answer(request)

    def answer(self, request: HTTPRequest) -> HTTPResponse:
        """Return the answer to a request, and write it down in the log."""
        path, at = urlsplit(request.url).path, self.clock.time()
        system, operation, operate = self._operations().get(path, (None, "none", self._unknown))
        check = Check(request)
        check.host(self._known_hosts(system))
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
        """Return a transport for an `httpx.AsyncClient`; nothing leaves the process."""
        return AppTransport(self.respond)

    def asgi(self) -> ASGIApp:
        """Return an ASGI application."""
        return ASGIApp(self.respond)

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[str]:
        """Serve on a socket of this machine while the block is open; the block gets the URL.

        The real time passes on its clock while it is, unless one was given.
        """
        async with LoopbackServer(self.respond) as loopback:
            with running(self.clock):
                yield loopback.url

    def _operations(
        self,
    ) -> Mapping[str, tuple[System | None, str, Callable[[Check], HTTPResponse]]]:
        return {
            **{
                path: (system, _TOKEN_OPERATIONS.get(system, "token"), self._desks[system].answer)
                for system, path in self.token_paths.items()
            },
            "/cgi-bin/nph-bib_query": ("ads", "getBibcode", self._get_bibcode),
            "/1.1/test.php": ("ads", "Test", self._test),
            "/SayHello/sayHello": ("hello", "sayHello", self._say_hello),
        }

    def _known_hosts(self, system: System | None) -> frozenset[str] | None:
        """Return where a system is, beside this machine; None where no document says it."""
        documented = _DOCUMENTED_HOSTS.get(system) if system else None
        return documented and documented.union(self.hosts)

    def _unknown(self, check: Check) -> HTTPResponse:
        path = urlsplit(check.request.url).path
        check.fail(f"one of {', '.join(self._operations())}", path)
        return _undocumented(HTTPStatus.NOT_FOUND, check)

    # The API operations

    def _get_bibcode(self, check: Check) -> HTTPResponse:
        check.method("GET")
        check.no_authorization()
        check.no_body()
        parameters = check.query(Shape(("bibcode", "db_key", "data_type")))
        if check.violations:
            return _undocumented(HTTPStatus.BAD_REQUEST, check)
        return json_response(HTTPStatus.OK, {"body": " ".join(map(str, parameters.values()))})

    def _test(self, check: Check) -> HTTPResponse:
        check.method("POST")
        check.header("accept", "application/json")
        check.header("content-type")  # the caller's own value may replace the documented one
        check.at_most_once("cache-control")
        check.at_most_once("postman-token")
        parameters = check.json({"counter": int}, required=True)
        token = check.bearer()
        if check.violations:
            return _undocumented(HTTPStatus.BAD_REQUEST, check)
        if not self._desks["ads"].ledger.live(token):
            challenge = 'Bearer realm="ads", error="invalid_token"'
            return HTTPResponse(HTTPStatus.UNAUTHORIZED, {"www-authenticate": challenge})
        return json_response(HTTPStatus.OK, {"counter": parameters["counter"]})

    def _say_hello(self, check: Check) -> HTTPResponse:
        check.method("POST")
        check.header("accept", "application/json")
        check.header("content-type", "application/json")
        check.no_authorization()
        parameters = check.json({"firstName": str}, required=True)
        if check.violations:
            return _undocumented(HTTPStatus.BAD_REQUEST, check)
        return json_response(HTTPStatus.OK, {"greeting": f"Hello, {parameters['firstName']}!"})


def _undocumented(status_code: int, check: Check) -> HTTPResponse:
    text = "\n".join(check.violations)
    return HTTPResponse(status_code, {"content-type": "text/plain; charset=utf-8"}, text.encode())
