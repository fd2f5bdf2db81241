"""An authorization server, and an API behind it, that live in a test."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import urlsplit

import anyio.lowlevel
import attrs
import httpx
from anyio.from_thread import start_blocking_portal

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, Origin
from oauthkit.session import AsyncTokenSession
from oauthkit.testing.authorization_endpoint import AuthorizationEndpoint
from oauthkit.testing.checks import Check
from oauthkit.testing.clock import running
from oauthkit.testing.conversion import Api, App, call_api
from oauthkit.testing.device_endpoint import device_answer
from oauthkit.testing.dialects import json_response
from oauthkit.testing.faults import Faults, Held
from oauthkit.testing.introspection_endpoint import introspection_answer
from oauthkit.testing.login_page import activation_answer, login_answer
from oauthkit.testing.logout_endpoint import logout_answer
from oauthkit.testing.metadata_endpoint import is_for_metadata, metadata_answer
from oauthkit.testing.mounts import AppTransport, ASGIApp, mount_on_respx
from oauthkit.testing.reading import (
    UnreadableError,
    authorization,
    media_type,
    read_parameters,
)
from oauthkit.testing.records import (
    APIRequest,
    Endpoint,
    EndpointRequest,
    TokenRequest,
    checked_endpoint,
)
from oauthkit.testing.registration_endpoint import registration_answer
from oauthkit.testing.revocation_endpoint import revocation_answer
from oauthkit.testing.sockets import LoopbackServer
from oauthkit.testing.state import AuthorizationServerState
from oauthkit.testing.userinfo_endpoint import userinfo_answer

if TYPE_CHECKING:
    import respx


@attrs.define(kw_only=True, eq=False)
class FakeAuthorizationServer(AuthorizationServerState):
    """Be an authorization server, and an API behind it, in a test.

    Example:
        >>> import anyio
        >>> async def test_reports_survive_an_expired_token():
        ...     fake = FakeAuthorizationServer(expires_in=60)
        ...     async with fake.session() as session:
        ...         await session.get("/report")
        ...         fake.advance(61)
        ...         await session.get("/report")
        ...     assert len(fake.token_requests) == 2
        >>> anyio.run(test_reports_survive_an_expired_token)

    It grants client credentials, authorization codes (single use, PKCE S256), refresh tokens and
    passwords, reads form, multipart, JSON and XML, and takes Basic, post and public clients. A
    login with the scope `openid` gets a signed ID Token, for which it needs the extra `jose`.
    Tokens are `access-token-1`, `refresh-token-2`, … in the order in which they are issued. They
    date from today, and go on being good until `advance` is called, or until their time has passed
    while the server is on a socket.

    Wherever it is mounted, its endpoints are below the issuer, such as `/token` and `/revoke`, and
    its metadata is at both places where clients look for it. Anything else, on any host, is the
    API: it answers 401 without a live access token, and lets the `api` function answer with one, or
    says which path was asked for.

    Attributes:
        expires_in: What answers carry as it is, a number, a text; None leaves it out. Access
            tokens live that long; for ever, where it is no number.
        rotate: Whether each refresh token is good once; if not, answers to a refresh have none.
        detect_reuse: Whether a spent refresh token revokes all tokens of its login.
        grace: Seconds in which a spent refresh token is answered with the same successor.
        refresh_expires_in: Seconds that a refresh token lives; None for ever and not said.
        client_id: The client that is registered.
        client_secret: Its secret; None makes it a public client.
        client_jwks: Its public keys, as it publishes them (RFC 7517 §5), for `PrivateKeyJWT`; for
            `ClientSecretJWT` the secret is enough, if it is long enough. Both need the extra
            `jose`. An assertion is good once, for the issuer alone.
        auth_method: The one way in which the client is known, by its name in metadata (RFC 8414
            §2); None takes each for which it has something. With `tls_client_auth` its `client_id`
            is enough: nobody looks at a certificate.
        username: The resource owner.
        password: The resource owner's password.
        scope: What is granted where no scope is asked for.
        allowed_scope: All scopes that may be granted, another is `invalid_scope`; None grants
            whatever is asked for.
        token_type: What answers say; None leaves it out.
        issuer: The issuer identifier; the endpoints are below it.
        clock: A `FakeClock` of its own that begins today, unless given; the `time` module is the
            real one.
        extra: Further members of every token answer; they replace others of the same name.
        dialect: How token requests are read and answers written: one of
            `oauthkit.testing.dialects`, by the RFC unless given.
        claims: Further claims of ID Tokens and of `/userinfo`, such as `email`; they replace others
            of the same name, and None leaves one out.
        keys: What ID Tokens are signed with; `fake.keys.algorithm = "ES256"`, `fake.keys.rotate()`.
        edit_id_token: Called with each ID Token before it is signed, to make one that is wrong: it
            changes the header, the claims or the key, or returns what is sent in its place.
        device_expires_in: Seconds that a login on a device lasts.
        device_interval: Seconds between two requests of it, at least; who asks sooner is told
            `slow_down`, unless the clock stands. None is 5, and not said.
        initial_access_token: What a client is registered with; None lets anybody register.
        registered: Every client that was registered here, by its identifier, as it was answered.
        metadata: Further members of the metadata document; they replace others of the same name,
            and None leaves one out.
        authenticated_at: When the resource owner authenticated at the server, in seconds since the
            epoch; None before the first login, and then `prompt=none` is `login_required`.
        people: Who can log in at `/authorize` with a browser, by name: it shows a page that asks
            who they are, and whether they agree. Without any the resource owner agrees at once. The
            page of logins on devices, `/activate`, asks the same. A single name may come alone.
        token_requests: Every token request so far.
        metadata_requests: When the metadata was asked for so far, in seconds since the epoch.
        endpoint_requests: Every request so far to another endpoint, by its name, such as `revoke`;
            a name that no endpoint has is a KeyError.
        api_requests: Every request to the API that was answered so far.
    """

    _faults: Mapping[Endpoint, Faults] = attrs.field(
        factory=lambda: {endpoint: Faults() for endpoint in get_args(Endpoint)},
        init=False,
        repr=False,
    )

    def authorize(self, url: str, *, error: str | None = None, person: str | None = None) -> str:
        """Return what the browser brings to the callback once the resource owner agreed.

        That is the URL that it is sent to, or, with `response_mode=form_post`, the body of the form
        that it posts to the `redirect_uri`. The resource owner authenticates where the request
        wants that by `prompt=login` or `max_age`, at once.

        Args:
            url: What `AuthorizationRequest` makes.
            error: Send the browser back with this error instead, such as `access_denied`.
            person: Who authenticates for it, by name; None is whoever did so last, and `username`
                before anybody did.

        Raises:
            ValueError: The URL names another endpoint or client, or no redirect_uri: a server
                shows a page then, and sends nobody back (RFC 6749 §4.1.2.1).
        """
        return AuthorizationEndpoint(self).respond(url, error=error, person=person).callback

    def fail_next(
        self,
        status: int = 503,
        *,
        headers: dict[str, str] | None = None,
        content: bytes = b"",
        times: int = 1,
        endpoint: Endpoint = "token",
    ) -> None:
        """Answer the next requests to an endpoint with this, without working on them."""
        self._faults_at(endpoint).fail(HTTPResponse(status, headers or {}, content), times)

    def lose_next_answer(self, times: int = 1, *, endpoint: Endpoint = "token") -> None:
        """Work on the next requests to an endpoint, then cut the connection: no answer comes."""
        self._faults_at(endpoint).lose(times)

    def slow_next(self, seconds: float, times: int = 1, *, endpoint: Endpoint = "token") -> None:
        """Let the next answers of an endpoint be on their way for a while, after they were decided.

        On a `FakeClock` the clock moves and nothing waits; on another clock the time passes. To
        outlast a real timeout in a test, use `hold`.

        Args:
            seconds: How long.
            times: How many answers.
            endpoint: Whose.
        """
        self._faults_at(endpoint).slow(seconds, times)

    def hold(self, *, endpoint: Endpoint = "token") -> AbstractContextManager[Held]:
        """Hold back the answers of an endpoint while the block is open.

        A request is worked on when it arrives: whoever stops waiting finds the server changed, as
        behind a real network.

        Example:
            >>> async def crowd(fake, session, tasks):
            ...     with fake.hold() as held:
            ...         for _ in range(10):
            ...             tasks.start_soon(session.get, "/report")
            ...         await held.arrived()
            ...         held.release()
        """
        return self._faults_at(endpoint).hold()

    def answer(self, request: HTTPRequest) -> HTTPResponse:
        """Return the answer to a request, without faults and without an API function.

        Args:
            request: The endpoints below the issuer, and the metadata, are of the authorization
                server; anything else, on any host, is the API.
        """
        endpoint = self._endpoint_of(request)
        if endpoint is not None:
            return self._answer_at(endpoint, request)
        return self._record(request, self._api_answer(request), at=self.clock.time())

    async def respond(self, request: HTTPRequest, *, api: Api | None = None) -> HTTPResponse:
        """Answer a request, with all faults that were ordered.

        Args:
            request: What came.
            api: What answers requests with a live access token.

        Raises:
            LostAnswerError: The connection is to be cut.
        """
        await anyio.lowlevel.checkpoint()
        endpoint = self._endpoint_of(request)
        if endpoint is not None:
            faults = self._faults[endpoint]
            response = self._answer_at(endpoint, request, instead=faults.failure())
            await faults.on_the_way_back(self.clock)
            return response
        at, response = self.clock.time(), self._api_answer(request)
        if api is not None and response.status_code == HTTPStatus.OK:
            response = await call_api(api, request)
        return self._record(request, response, at=at)

    def app(self, api: Api | None = None) -> App:
        """Return the server as a function from request to answer, to mount it elsewhere."""
        return partial(self.respond, api=api)

    def transport(self, api: Api | None = None) -> httpx.AsyncBaseTransport:
        """Return a transport for an `httpx.AsyncClient`; nothing leaves the process."""
        return AppTransport(self.app(api))

    def mount(self, router: "respx.Router", api: Api | None = None) -> None:
        """Add the routes `token` and `api` to a respx router, after those it has."""
        mount_on_respx(router, self.app(api), token_endpoint=self.server.token_endpoint)

    def asgi(self, api: Api | None = None) -> ASGIApp:
        """Return an ASGI application, for any server or transport that takes one."""
        return ASGIApp(self.app(api))

    @asynccontextmanager
    async def serve(self, api: Api | None = None, *, port: int = 0) -> AsyncGenerator[str]:
        """Serve on a socket of this machine while the block is open; the block gets the URL.

        While it is open the URL is the `issuer`, so `server` names endpoints that are really there,
        and the real time passes on its clock too, unless one was given.
        Enter and leave it in one task.

        Args:
            api: What answers requests with a live access token.
            port: Which port; 0 is any free one.
        """
        async with LoopbackServer(self.app(api), port=port) as loopback:
            issuer, self.issuer = self.issuer, loopback.url
            try:
                with running(self.clock):
                    yield loopback.url
            finally:
                self.issuer = issuer

    @contextmanager
    def serve_in_thread(self, api: Api | None = None) -> Generator[str]:
        """Serve as `serve` does, in a thread of its own, for tests that are not asynchronous.

        Example:
            >>> fake = FakeAuthorizationServer()
            >>> with fake.serve_in_thread() as url:
            ...     print(httpx.get(f"{url}/report").status_code)
            401

        What it is told from another thread, such as `advance` or `fail_next`, it heeds from the
        next request on.
        """
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self.serve(api)) as url,
        ):
            yield url

    @asynccontextmanager
    async def session(
        self, api: Api | None = None, *, http: httpx.AsyncClient | None = None, **keywords: Any
    ) -> AsyncGenerator[AsyncTokenSession[httpx.Response]]:
        """Open a session with this server, in process, on this server's clock.

        Args:
            api: What answers requests with a live access token.
            http: A client to use instead of one on `transport(api)`; it is not closed.
            keywords: Those of `AsyncTokenSession`. They replace what is given here: `server`,
                `client_auth`, `grant` (client credentials), `base_url` (https://api.example) and
                `clock`.
        """
        settings: dict[str, Any] = {
            "server": self.server,
            "client_auth": self.client_auth,
            "grant": self.grant,
            "base_url": "https://api.example",
            "clock": self.clock,
            **keywords,
        }
        async with AsyncExitStack() as stack:
            settings["http"] = http or await stack.enter_async_context(
                httpx.AsyncClient(transport=self.transport(api))
            )
            session: AsyncTokenSession[httpx.Response] = AsyncTokenSession(**settings)
            yield await stack.enter_async_context(session)

    def _faults_at(self, endpoint: Endpoint) -> Faults:
        checked_endpoint(endpoint)
        return self._faults[endpoint]

    def _endpoint_of(self, request: HTTPRequest) -> Endpoint | None:
        """Return which endpoint of the authorization server a request is for; None for the API."""
        if is_for_metadata(self, request):
            return "metadata"
        if Origin.of(request.url) != Origin.of(self.issuer):
            return None
        above, path = urlsplit(self.issuer).path, urlsplit(request.url).path
        if not path.startswith(above):
            return None
        below = path.removeprefix(above)
        return "register" if below.startswith("/register/") else _PATHS.get(below)

    def _answer_at(
        self, endpoint: Endpoint, request: HTTPRequest, *, instead: HTTPResponse | None = None
    ) -> HTTPResponse:
        """Return the answer of an endpoint, and write the request down.

        Args:
            endpoint: Which one.
            request: What came.
            instead: What is answered, if the request is not to be worked on.
        """
        at, response = self.clock.time(), instead or _ANSWERS[endpoint](self, request)
        self._write_down(endpoint, request, response, at=at)
        return _dated(response, at)

    def _write_down(
        self, endpoint: Endpoint, request: HTTPRequest, response: HTTPResponse, *, at: float
    ) -> None:
        if endpoint == "metadata":
            self.metadata_requests.append(at)
            return
        parameters: Mapping[str, object] = {}
        with suppress(UnreadableError):
            parameters = read_parameters(request)
        came: dict[str, Any] = {
            "parameters": parameters,
            "headers": request.headers,
            "content_type": media_type(request.headers),
            "status_code": response.status_code,
            "at": at,
        }
        if endpoint == "token":
            self.token_requests.append(TokenRequest(**came))
        else:
            written = EndpointRequest(method=request.method, url=request.url, **came)
            self.endpoint_requests[endpoint].append(written)

    def _api_answer(self, request: HTTPRequest) -> HTTPResponse:
        """Return the path to who has a live access token, or a challenge (RFC 6750 §3)."""
        try:
            scheme, token = authorization(request.headers) or ("", "")
        except UnreadableError:
            scheme, token = "unreadable", ""
        if scheme == "bearer" and self.ledger.live(token):
            return json_response(HTTPStatus.OK, {"path": urlsplit(request.url).path})
        error = ', error="invalid_token"' if scheme else ""
        return HTTPResponse(
            HTTPStatus.UNAUTHORIZED, {"www-authenticate": f'Bearer realm="fake"{error}'}
        )

    def _record(self, request: HTTPRequest, response: HTTPResponse, *, at: float) -> HTTPResponse:
        """Write an API request down, and return its answer."""
        self.api_requests.append(
            APIRequest(
                method=request.method,
                url=request.url,
                headers=request.headers,
                content=request.content,
                status_code=response.status_code,
                at=at,
            )
        )
        return response


def _dated(response: HTTPResponse, at: float) -> HTTPResponse:
    """Return an answer with a `Date`, as a server with a clock sends it (RFC 9110 §6.6.1)."""
    headers = response.headers
    if "date" in headers:
        return response
    pairs = [(name, value) for name in headers for value in headers.get_all(name)]
    return attrs.evolve(response, headers=[*pairs, ("date", formatdate(at, usegmt=True))])


def _token_answer(server: FakeAuthorizationServer, request: HTTPRequest) -> HTTPResponse:
    return server.desk.answer(Check(request))


def _authorize_answer(server: FakeAuthorizationServer, request: HTTPRequest) -> HTTPResponse:
    """Return the authorization endpoint's answer: the resource owner agrees, or is asked."""
    try:
        if server.people:
            return login_answer(server, request)
        return AuthorizationEndpoint(server).respond(request.url).page()
    except ValueError as error:
        return HTTPResponse(
            HTTPStatus.BAD_REQUEST, {"content-type": "text/plain"}, str(error).encode()
        )


def _keys_answer(server: FakeAuthorizationServer, _request: HTTPRequest) -> HTTPResponse:
    return json_response(HTTPStatus.OK, server.keys.jwks())


def _metadata_answer(server: FakeAuthorizationServer, _request: HTTPRequest) -> HTTPResponse:
    return metadata_answer(server)


_ANSWERS: Final[
    Mapping[Endpoint, Callable[[FakeAuthorizationServer, HTTPRequest], HTTPResponse]]
] = {
    "token": _token_answer,
    "authorize": _authorize_answer,
    "activate": activation_answer,
    "revoke": revocation_answer,
    "introspect": introspection_answer,
    "device": device_answer,
    "userinfo": userinfo_answer,
    "logout": logout_answer,
    "register": registration_answer,
    "metadata": _metadata_answer,
    "jwks": _keys_answer,
}
"""What each endpoint does."""
_PATHS: Final[Mapping[str, Endpoint]] = {
    f"/{endpoint}": endpoint for endpoint in _ANSWERS if endpoint != "metadata"
}
"""Where they are below the issuer; the metadata is where its clients look for it."""
