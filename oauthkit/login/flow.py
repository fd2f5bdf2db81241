"""A login of an application with pages: what a browser asks in, what it is answered out."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, Unpack
from urllib.parse import quote, urlsplit

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import (
    AccessDenied,
    CallbackError,
    ConfigurationError,
    ErrorResponse,
    InvalidJWT,
    OAuthKitError,
    Recovery,
    StoreError,
    TransportError,
)
from oauthkit.kinds import checked
from oauthkit.login.cookies import Cookie, CookieKeys, SameSite
from oauthkit.login.messages import (
    LoginReply,
    LoginRequest,
    Notice,
    page,
    plain_page,
    problem,
    redirect,
)
from oauthkit.login.pending import PendingLogins
from oauthkit.login.visitor import Visit, VisitCookie, Visitor
from oauthkit.operations.login import LoggedIn, complete_login
from oauthkit.operations.logout import complete_logout
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.callback import parameters_of
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.logout import end_session_url
from oauthkit.protocol.messages import Headers, Origin
from oauthkit.protocol.redirects import checked_return_to
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.renewal.state import Condition
from oauthkit.session import AsyncTokenSession
from oauthkit.stores.base import TokenStore
from oauthkit.stores.logout_index import LogoutIndex, MemoryLogoutIndex
from oauthkit.stores.single_use import LeasedSingleUseStore, SingleUseStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx
    from typing_extensions import TypeVar

    R = TypeVar("R", default=httpx.Response)
else:
    from typing import TypeVar

    R = TypeVar("R")

_LOGGER: Final = logging.getLogger("oauthkit")
_NOTHING: Final = ClientMetadata()
_DAYS: Final = 86_400.0
_LONGEST_RETURN: Final = 1_000
"""Characters of a path that a cookie has room for."""
_RETRY_SECONDS: Final = 5.0
_TOO_MANY_REQUESTS: Final = 429
_LAST_REVOCATION: Final = 5.0
"""Seconds for the server to revoke a visit that a new login has ended."""

_DOTS_OF_SIGNED: Final = 2
_UNSTORED: Final = Headers({"Cache-Control": "no-store"})

_UNKNOWN: Final = Notice(status=400, text="This login is over, or was begun in another browser.")
_FORGED: Final = Notice(status=400, text="This is not the answer to your login.")
_FAILED: Final = Notice(status=400, text="The login did not work.")
_REFUSED: Final = Notice(status=403, text="You were not logged in.")
_LATER: Final = Notice(
    status=503, text="A service that we need is out of order; try again in a moment."
)
_OUTSIDE: Final = Notice(status=400, text="A login ends at a page of this site.")
_ANOTHER_HOST: Final = Notice(status=400, text="This site has another name.")
_ANOTHER_SITE: Final = Notice(status=403, text="Another site cannot log you out.")


class LoginWishes(TypedDict, total=False):
    """Say what each login asks for, as for `AuthorizationRequest.new`."""

    additional: "Mapping[str, ParameterValue] | None"
    max_age: int | None
    prompt: str | Iterable[str] | None
    acr_values: str | Iterable[str] | None
    claims: "Mapping[str, Any] | None"
    ui_locales: str | Iterable[str] | None
    display: str | None
    resource: str | Iterable[str] | None
    response_mode: str | None
    life: float


class LoginFlow(Generic[R]):
    """Log visitors of an application with pages in and out, whatever its framework.

    Each method takes what the browser asks, a `LoginRequest`, and returns what it is answered, a
    `LoginReply`. A login on its way lives in an encrypted cookie of its own; a visitor in another
    one, under a key that is new at each login. Tokens are in the session's store alone.

    The rules for such a backend are those of RFC 10017 (BCP 212).

    Example:
        >>> from secrets import token_bytes
        >>> from oauthkit import MemoryStore
        >>> from oauthkit.testing import FakeAuthorizationServer
        >>> async def test_a_page_sends_a_visitor_to_the_login():
        ...     fake, kept = FakeAuthorizationServer(), MemoryStore()
        ...     async with fake.session(store=kept, key="application", grant=None) as session:
        ...         flow = LoginFlow(session, cookie_keys=[token_bytes(32)])
        ...         asked = LoginRequest(
        ...             method="GET", url="https://app.example/inbox", headers={"accept": "text/html"}
        ...         )
        ...         assert await flow.visitor(asked) is None
        ...         assert flow.challenge(asked).location == "/auth/login?return_to=%2Finbox"

    Args:
        session: The application's session: with a store, and a key that is the application's own,
            such as `"application"`. Server and client authentication are the session's.
        client_id: The client, to be compared with that of the session; None trusts the session.
        redirect_path: The path of the callback, such as `/auth/callback`. The other paths are
            beside it: `login`, `logout` and `backchannel-logout`.
        scope: What is asked for; `openid` among it asks who logs in.
        cookie_keys: 32 random bytes each; the first one encrypts, all of them decrypt.
        public_url: Scheme and host by which browsers know this site, where a proxy stands before
            it. A request for another host is refused then. None takes the request's own.
        home: The path to go to after a login that began nowhere else, and after a logout.
        post_logout_redirect_path: The path where the server sends a browser back to after a logout,
            as it is registered there (`post_logout_redirect_uri`); None where none is registered.
        visit_life: Seconds that a visit lasts.
        name: What the cookies are called; each flow of an application needs a name of its own.
        trusted_sites: Further sites, as `https://spa.example`, whose pages may act for a visitor.
        used: Where it is remembered which logins were accepted; None is the session's store.
        logout_index: Which keys are whose, for logouts that the server announces. None is this
            process's memory, which a restart empties: several processes share one.
        client_metadata: What was registered for this client beyond what everybody has.
        page: Makes the HTML of a notice; the plain one of ours where it is None.
        clock: Tells the time.
        wishes: What each login asks for, as for `AuthorizationRequest.new`.

    Raises:
        ConfigurationError: Something does not fit.
    """

    @checked
    def __init__(
        self,
        session: AsyncTokenSession[R],
        *,
        cookie_keys: Sequence[bytes],
        client_id: str | None = None,
        redirect_path: str = "/auth/callback",
        scope: str | Iterable[str] | None = "openid",
        public_url: str | None = None,
        home: str = "/",
        post_logout_redirect_path: str | None = None,
        visit_life: float = 30 * _DAYS,
        name: str = "visitor",
        trusted_sites: Iterable[str] = (),
        used: SingleUseStore | None = None,
        logout_index: LogoutIndex | None = None,
        client_metadata: ClientMetadata = _NOTHING,
        page: Callable[[Notice], str] = plain_page,
        clock: Clock = time,
        **wishes: Unpack[LoginWishes],
    ) -> None:
        """Check what was given; nothing is sent yet."""
        self.session = session
        self._store = _store_of(session)
        self._client_auth = session.client_auth
        if client_id not in {None, self._client_auth.client_id}:
            message = (
                f"client_id= is {client_id!r}, and the session's client is "
                f"{self._client_auth.client_id!r}; leave client_id= out, or make them one"
            )
            raise ConfigurationError(message)
        _check_paths(redirect_path, home, post_logout_redirect_path)
        if isinstance(trusted_sites, str):
            message = "trusted_sites= is a list of sites, not one text; write trusted_sites=[…]"
            raise ConfigurationError(message)
        if not visit_life > 0:
            message = f"visit_life= must be more than 0 seconds, not {visit_life:g}"
            raise ConfigurationError(message)
        self.redirect_path = redirect_path
        beside = redirect_path.rpartition("/")[0]
        self.login_path = f"{beside}/login"
        self.logout_path = f"{beside}/logout"
        self.backchannel_logout_path = f"{beside}/backchannel-logout"
        self._scope = scope if isinstance(scope, str | None) else list(scope)
        self._public_url = None if public_url is None else _checked_site(public_url)
        self._home, self._post_logout_redirect_path = home, post_logout_redirect_path
        self._trusted_sites = tuple(map(_checked_site, trusted_sites))
        self._visit_life = visit_life
        self._used = LeasedSingleUseStore(self._store) if used is None else used
        self._index = MemoryLogoutIndex() if logout_index is None else logout_index
        self._client_metadata = client_metadata
        self._page, self._clock, self._wishes = page, clock, wishes
        keys = CookieKeys(cookie_keys)
        posted = wishes.get("response_mode") == "form_post"
        same_site: SameSite = "None" if posted else "Lax"
        self._pending = PendingLogins(keys, name=name, same_site=same_site)
        self._visits = VisitCookie(keys, name=name, bound_to=_whose(session), life=visit_life)

    @property
    def cookie(self) -> str:
        """The name of the visitor's cookie, as API descriptions show it."""
        return self._visits.name

    async def start(self, request: LoginRequest) -> LoginReply:
        """Begin a login: `GET …/login`, where a page sends a browser without a visitor.

        Its query may have `return_to`: the path of this application to go on at.

        Raises:
            ConfigurationError: A setting cannot work.
        """
        given = parameters_of(request.query)
        return_to = None if given is None else given.get("return_to")
        if given is None or (return_to is not None and _return_path(return_to) != return_to):
            return self._shown(_OUTSIDE, request)
        if self._is_another_host(request):
            return self._shown(_ANOTHER_HOST, request)
        try:
            server = await self._server()
        except OAuthKitError as error:
            return self._out_of_order(error, (), request)
        login = self._login(server, request, return_to)
        return redirect(
            login.url, self._pending.put(login, request.cookies, now=self._clock.time())
        )

    async def finish(self, request: LoginRequest) -> LoginReply:
        """Take the callback, by GET or POST, and let the visitor in.

        A callback counts once, in the browser that began the login. Whoever brings it again, or one
        that was made up, is refused, and stays whoever they were.

        Raises:
            ConfigurationError: A setting cannot work.
        """
        if self._is_another_host(request):
            return self._shown(_ANOTHER_HOST, request)
        now = self._clock.time()
        try:
            server = await self._server()
        except OAuthKitError as error:
            return self._out_of_order(error, (), request)
        login = self._pending.find(
            request.parameters,
            request.cookies,
            alike=self._login(server, request, None),
            now=now,
        )
        if login is None:
            return self._shown(_UNKNOWN, request)
        return await self._let_in(request, login)

    async def logout(self, request: LoginRequest) -> LoginReply:
        """End a visit: the token is deleted, revoked at the server, and the server's own pages ask.

        It is a POST of a page of this site. What is kept of the cookie anywhere is worth nothing
        afterwards, as there is no token under its key.
        """
        if not request.posted or request.from_elsewhere(self._sites(request)):
            return self._shown(_ANOTHER_SITE, request)
        visit = self._visits.find(request.cookies, now=self._clock.time())
        cleared = [self._visits.clear(), *self._pending.clear_all(request.cookies)]
        if visit is None:
            return redirect(self._home_of(request), cleared)
        try:
            id_token = await self._ended(visit)
        except StoreError as error:
            return self._out_of_order(error, (), request)
        return redirect(await self._goodbye(request, visit, id_token), cleared)

    async def backchannel_logout(self, request: LoginRequest) -> LoginReply:
        """Take a Logout Token that the server posts, and log out whom it is about (§2.5, §2.8).

        What it answers is for the server: 200, or 400 where nobody, or not everybody, is logged
        out.
        """
        given = parameters_of(request.parameters) if request.posted else None
        form = (request.content_type or "").partition(";")[0].strip().lower()
        status = 400
        if given and form == "application/x-www-form-urlencoded":
            status = await self._logged_out(given.get("logout_token", ""))
        return LoginReply(status=status, headers=_UNSTORED)

    async def visitor(self, request: LoginRequest) -> Visitor[R] | None:
        """Return who sends a request; None where nobody has logged in, or they have logged out.

        A request that would change something, and that a page of another site has sent, is
        nobody's. So is a WebSocket that one opens.

        Raises:
            StoreError: It could not be found out whether they have logged out.
        """
        if not request.reads and request.from_elsewhere(self._sites(request)):
            return None
        visit = self._visits.find(request.cookies, now=self._clock.time())
        if visit is None:
            return None
        session = self.session.for_key(visit.key)
        fresh = session.status().condition is Condition.FRESH
        if not fresh and await self._store.load(visit.key) is None:
            return None
        return Visitor(key=visit.key, identity=visit.identity, session=session)

    def challenge(self, request: LoginRequest) -> LoginReply:
        """Answer a request that needs a visitor: a page is sent to the login, a program told."""
        login = f"{request.root}{self.login_path}"
        if request.wants_page:
            return_to = _return_path(request.path) if request.reads else None
            return redirect(
                login + (f"?return_to={quote(return_to, safe='')}" if return_to else "")
            )
        return problem(401, "Unauthorized", f"nobody has logged in; a browser does that at {login}")

    def answer(self, request: LoginRequest, error: Exception) -> LoginReply | None:
        """Answer a request whose handling raised an error; None where it is for somebody else.

        What a new login would cure is answered as if there were no visitor; what may be gone in a
        moment with 503. A mistake in a setting is neither.
        """
        if not isinstance(error, OAuthKitError):
            return None
        if error.recovery is Recovery.REAUTHORIZE:
            return self.challenge(request)
        if error.recovery is Recovery.RETRY_LATER:
            return self._out_of_order(error, (), request)
        return None

    def _login(
        self, server: AuthorizationServer, request: LoginRequest, return_to: str | None
    ) -> AuthorizationRequest:
        return AuthorizationRequest.new(
            server,
            self._client_auth.client_id,
            redirect_uri=f"{self._site(request)}{request.root}{self.redirect_path}",
            scope=self._scope,
            return_to=return_to,
            now=self._clock.time(),
            **self._wishes,
        )

    async def _let_in(self, request: LoginRequest, login: AuthorizationRequest) -> LoginReply:
        over = self._pending.clear(login)
        try:
            result = await complete_login(
                self.session.token_http,
                self.session.server,
                self._client_auth,
                login,
                request.parameters,
                method=request.method,
                content_type=request.content_type,
                used=self._used,
                client_metadata=self._client_metadata,
                clock=self._clock,
            )
            if result.not_verified is not None:
                return self._out_of_order(result.not_verified, [over], request)
            visit = await self._saved(result)
        except CallbackError:
            return self._shown(_FORGED, request)
        except OAuthKitError as error:
            return self._unfinished(error, over, request)
        await self._end_former(request)
        made = self._visits.put(visit, now=self._clock.time())
        return redirect(login.return_to or self._home_of(request), [over, made])

    async def _server(self) -> AuthorizationServer:
        server = self.session.server
        if isinstance(server, AuthorizationServer):
            return server
        return await server.server(self.session.token_http)

    async def _saved(self, result: LoggedIn) -> Visit:
        """Save the token of a login under a key of its own, and note whose it is.

        Raises:
            StoreError: It could not be saved; the login has failed.
        """
        visit, identity = Visit.new(result.identity), result.identity
        if identity is not None:
            session_id = identity.claims.get("sid")
            await self._index.add(
                visit.key,
                issuer=identity.issuer,
                subject=identity.subject,
                session_id=session_id if isinstance(session_id, str) else None,
                expires_at=self._clock.time() + self._visit_life,
            )
        await self._store.save(visit.key, result.token)
        return visit

    async def _end_former(self, request: LoginRequest) -> None:
        """End the visit that this browser had: nobody has its key any more but a thief."""
        former = self._visits.find(request.cookies, now=self._clock.time())
        if former is not None:
            with suppress(StoreError), anyio.move_on_after(_LAST_REVOCATION):
                await self._ended(former)

    async def _ended(self, visit: Visit) -> str | None:
        """Delete a visit's token and have the server revoke it; return the ID Token with it.

        Raises:
            StoreError: The token may still be in the store.
        """
        id_token: str | None = None
        with suppress(StoreError):  # what cannot be read can be deleted all the same
            token = await self._store.load(visit.key)
            id_token = None if token is None else token.id_token
        try:
            await self.session.for_key(visit.key).revoke()
        except StoreError:
            raise
        except OAuthKitError as error:
            _LOGGER.warning("logged out here, and maybe not at the server: %s", error)
        with suppress(StoreError):  # it ends by itself
            await self._index.remove(visit.key)
        return id_token

    async def _goodbye(self, request: LoginRequest, visit: Visit, id_token: str | None) -> str:
        """Return where a browser goes after a logout: to the server's pages, where it has some."""
        back = self._post_logout_redirect_path
        try:
            server = await self._server()
            if server.end_session_endpoint is None:
                return self._home_of(request)
            return end_session_url(
                server,
                id_token=id_token if _is_signed(id_token) else None,
                client_id=self._client_auth.client_id,
                logout_hint=visit.identity.subject if visit.identity and not id_token else None,
                post_logout_redirect_uri=None
                if back is None
                else f"{self._site(request)}{request.root}{back}",
            )
        except OAuthKitError as error:
            _LOGGER.warning("logged out here, and not on the server's own pages: %s", error)
            return self._home_of(request)

    async def _logged_out(self, logout_token: str) -> int:
        """Log out whom a Logout Token is about; return the status that the server is told."""
        try:
            done = await complete_logout(
                self.session.token_http,
                self.session.server,
                self._client_auth,
                logout_token,
                store=self._store,
                index=self._index,
                used=self._used,
                client_metadata=self._client_metadata,
                clock=self._clock,
            )
        except InvalidJWT as error:
            _LOGGER.info("a Logout Token is not believed: %s", error)
            return 400
        except OAuthKitError as error:
            _LOGGER.error("a logout that the server has announced failed: %s", error)  # noqa: TRY400 - no traceback: the message is complete
            return 400
        for unrevoked in done.not_revoked:
            _LOGGER.warning("logged out here, and maybe not at the server: %s", unrevoked)
        return 200

    def _unfinished(self, error: OAuthKitError, over: Cookie, request: LoginRequest) -> LoginReply:
        """Answer a callback that belongs to a login, which has failed all the same.

        Raises:
            OAuthKitError: The fault is in a setting.
        """
        if isinstance(error, AccessDenied):
            return self._shown(_REFUSED, request, [over])
        status = getattr(error, "status_code", None)
        broken = isinstance(error, TransportError | StoreError)
        if broken or (status or 0) >= _TOO_MANY_REQUESTS:
            return self._out_of_order(error, [over], request)
        if error.recovery is Recovery.RETRY_LATER:
            return self._out_of_order(error, [over], request)
        by_callback = isinstance(error, ErrorResponse) and status is None
        if error.recovery is Recovery.CHANGE_REQUEST and not by_callback:
            raise error
        _LOGGER.warning("a login failed: %s", error)
        return self._shown(_FAILED, request, [over])

    def _out_of_order(
        self, error: OAuthKitError, cookies: Iterable[Cookie], request: LoginRequest
    ) -> LoginReply:
        """Answer that something is out of order for a moment."""
        seconds = _RETRY_SECONDS if error.retry_after is None else error.retry_after
        _LOGGER.warning("a visitor was told to come again later: %s", error)
        if request.wants_page:
            return self._shown(_LATER, request, cookies, retry_after=seconds)
        return problem(503, "Service Unavailable", _LATER.text, retry_after=seconds)

    def _shown(
        self,
        notice: Notice,
        request: LoginRequest,
        cookies: Iterable[Cookie] = (),
        *,
        retry_after: float | None = None,
    ) -> LoginReply:
        notice = attrs.evolve(notice, link=f"{request.root}{self.login_path}")
        return page(notice, self._page(notice), cookies, retry_after=retry_after)

    def _home_of(self, request: LoginRequest) -> str:
        return f"{request.root}{self._home}"

    def _site(self, request: LoginRequest) -> str:
        return self._public_url or request.site

    def _sites(self, request: LoginRequest) -> tuple[str, ...]:
        return (self._site(request), *self._trusted_sites)

    def _is_another_host(self, request: LoginRequest) -> bool:
        """Tell whether a request is for a host that is not ours, or for none at all."""
        try:
            asked = Origin.of(request.site)
        except ConfigurationError:
            return True
        if self._public_url is None:
            return False
        ours = Origin.of(self._public_url)  # its scheme is what the proxy takes off
        return (asked.host, _port(asked)) != (ours.host, _port(ours))


def _port(origin: Origin) -> int | None:
    return None if origin.default_port else origin.port


def _store_of(session: AsyncTokenSession[Any]) -> TokenStore:
    if session.store is None:
        message = (
            "a login flow needs a session with store= and key=, where visitors' tokens live; for "
            'one process store=MemoryStore(), key="application" will do'
        )
        raise ConfigurationError(message)
    return session.store


def _whose(session: AsyncTokenSession[Any]) -> str:
    server = session.server
    known = server.issuer or (
        server.token_endpoint if isinstance(server, AuthorizationServer) else None
    )
    return json.dumps([known, session.client_auth.client_id])


def _checked_site(url: str) -> str:
    """Return a site, as scheme, host and port, if it is one that a browser is sent to safely."""
    origin = Origin.of(url)
    if not origin.confidential or urlsplit(url).path.strip("/"):
        message = f"{url!r} is no site: scheme and host, such as https://app.example"
        raise ConfigurationError(message)
    return str(origin)


def _check_paths(redirect_path: str, *others: str | None) -> None:
    for path in (redirect_path, *others):
        checked_return_to(path)
    if "?" in redirect_path or redirect_path.endswith("/"):
        message = f"redirect_path= is a path such as /auth/callback, not {redirect_path!r}"
        raise ConfigurationError(message)


def _return_path(path: str) -> str | None:
    """Return where to go on after a login; None where that would not be safe, or is too long."""
    for candidate in (path, path.partition("?")[0]):
        with suppress(ConfigurationError):
            if len(candidate) <= _LONGEST_RETURN:
                return checked_return_to(candidate)
    return None


def _is_signed(id_token: str | None) -> bool:
    """Tell whether an ID Token is only signed: the server could not read an encrypted one."""
    return id_token is not None and id_token.count(".") == _DOTS_OF_SIGNED
