"""A login of an application with pages: what a browser asks in, what it is answered out."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, Unpack, cast

from oauthkit.clock import Clock
from oauthkit.errors import CallbackError, ConfigurationError, OAuthKitError, Recovery, StoreError
from oauthkit.kinds import checked
from oauthkit.labels import LOGGER, log_fields
from oauthkit.login.answers import (
    ANOTHER_HOST,
    ANOTHER_SITE,
    FORGED,
    OUTSIDE,
    UNKNOWN,
    Answers,
    each,
)
from oauthkit.login.cookies import CookieKeys, SameSite
from oauthkit.login.messages import LoginReply, LoginRequest, Notice, plain_page, redirect
from oauthkit.login.pending import PendingLogins
from oauthkit.login.sites import Site, return_path
from oauthkit.login.visitor import VisitCookie, Visitor
from oauthkit.login.visits import Visits, store_of, whose
from oauthkit.operations.login import complete_login
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.callback import parameters_of
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.messages import Headers
from oauthkit.renewal.state import Condition
from oauthkit.session import AsyncTokenSession
from oauthkit.stores.logout_index import LogoutIndex, MemoryLogoutIndex
from oauthkit.stores.single_use import LeasedSingleUseStore, SingleUseStore

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypeVar

    R = TypeVar("R", default=httpx.Response)
else:
    from typing import TypeVar

    R = TypeVar("R")

_NOTHING: Final = ClientMetadata()
_DAYS: Final = 86_400.0
_LONGEST_VISIT: Final = 400 * _DAYS
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_FORM: Final = "application/x-www-form-urlencoded"
_UNSTORED: Final = Headers({"Cache-Control": "no-store"})


class LoginWishes(TypedDict, total=False):
    """Say what each login asks for, as for `AuthorizationRequest.new`."""

    additional: Mapping[str, ParameterValue] | None
    max_age: int | None
    prompt: str | Iterable[str] | None
    acr_values: str | Iterable[str] | None
    claims: Mapping[str, Any] | None
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
        ...             method="GET",
        ...             url="https://app.example/inbox",
        ...             headers={"accept": "text/html"},
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
        visit_life: Seconds that a visit lasts, up to 400 days.
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
        for unknown in wishes.keys() - LoginWishes.__optional_keys__:
            message = f"LoginFlow.__init__() got an unexpected keyword argument {unknown!r}"
            raise TypeError(message)
        own = session.client_auth.client_id
        if client_id not in {None, own}:
            message = (
                f"client_id= is {client_id!r}, and the session's client is {own!r}; leave "
                "client_id= out, or make them one"
            )
            raise ConfigurationError(message)
        if _NAME.fullmatch(name) is None:
            message = f"name= is a word such as visitor, of which cookies are called, not {name!r}"
            raise ConfigurationError(message)
        if not 1 <= visit_life <= _LONGEST_VISIT:
            message = (
                f"visit_life= is from 1 second to 400 days, not {visit_life:g} seconds; no browser "
                "keeps a cookie for longer (RFC 6265bis §5.5)"
            )
            raise ConfigurationError(message)
        store, keys = store_of(session), CookieKeys(cookie_keys)
        posted = wishes.get("response_mode") == "form_post"
        same_site: SameSite = "None" if posted else "Lax"
        self.session = session
        self.site = Site.of(
            redirect_path=redirect_path,
            home=home,
            post_logout_redirect_path=post_logout_redirect_path,
            public_url=public_url,
            trusted=trusted_sites,
        )
        self._scope = _each_time(scope)
        asked = {name: _each_time(wish) for name, wish in wishes.items()}
        self._wishes = cast("LoginWishes", asked)
        self._clock = clock
        self._answers = Answers(self.site, page)
        self._pending = PendingLogins(keys, name=name, same_site=same_site)
        self._cookie = VisitCookie(keys, name=name, bound_to=whose(session), life=visit_life)
        self._visits = Visits(
            session=session,
            store=store,
            index=(MemoryLogoutIndex(clock=clock.time) if logout_index is None else logout_index),
            used=LeasedSingleUseStore(store, clock=clock.time) if used is None else used,
            client_metadata=client_metadata,
            life=visit_life,
            clock=clock,
        )

    @property
    def cookie(self) -> str:
        """The name of the visitor's cookie, as descriptions of an API show it."""
        return self._cookie.name

    async def start(self, request: LoginRequest) -> LoginReply:
        """Begin a login: `GET …/login`, where a page sends a browser without a visitor.

        Its query may have `return_to`: the path of this application to go on at.

        Raises:
            OAuthKitError: A setting cannot work.
        """
        given = parameters_of(request.query)
        return_to = None if given is None else given.get("return_to")
        if given is None or (return_to is not None and return_path(return_to) != return_to):
            return self._answers.shown(OUTSIDE, request)
        login = await self._begun(request, return_to)
        if not isinstance(login, AuthorizationRequest):
            return login
        cookies = self._pending.put(login, request.cookies, now=self._clock.time())
        return redirect(login.url, cookies)

    async def finish(self, request: LoginRequest) -> LoginReply:
        """Take the callback, by GET or POST, and let the visitor in.

        A callback counts once, in the browser that began the login. Whoever brings it again, or one
        that was made up, is refused, and stays whoever they were.

        Raises:
            OAuthKitError: A setting cannot work.
        """
        alike = await self._begun(request, None)
        if not isinstance(alike, AuthorizationRequest):
            return alike
        login = self._pending.find(
            request.parameters, request.cookies, alike=alike, now=self._clock.time()
        )
        if login is None:
            LOGGER.info(
                "a callback is refused: the cookie of its login did not come with it",
                extra=log_fields("CallbackRefused"),
            )
            return self._answers.shown(UNKNOWN, request)
        return await self._let_in(request, login)

    async def logout(self, request: LoginRequest) -> LoginReply:
        """End a visit: the token is deleted, and revoked at the server, whose own pages come next.

        It is a POST of a page of this site. What is kept of the cookie anywhere is worth nothing
        afterwards, as there is no token under its key.
        """
        if not request.posted or not self.site.sends(request):
            return self._answers.shown(ANOTHER_SITE, request)
        visit = self._cookie.find(request.cookies, now=self._clock.time())
        cleared = [self._cookie.clear(), *self._pending.clear_all(request.cookies)]
        if visit is None:
            return redirect(self.site.home_of(request), cleared)
        try:
            id_token = await self._visits.end(visit)
        except StoreError as error:
            return self._answers.out_of_order(error, request)
        goodbye = await self._visits.goodbye(visit, id_token, site=self.site, request=request)
        return redirect(goodbye, cleared)

    async def backchannel_logout(self, request: LoginRequest) -> LoginReply:
        """Take a Logout Token that the server posts, and log out whom it is about (§2.5, §2.8).

        What it answers is for the server: 200, or 400 where nobody, or not everybody, is logged
        out (OpenID Connect Back-Channel Logout 1.0).
        """
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        given = parameters_of(request.parameters) if request.posted and kind == _FORM else None
        done = given is not None and await self._visits.announced(given.get("logout_token", ""))
        return LoginReply(status=200 if done else 400, headers=_UNSTORED)

    async def visitor(self, request: LoginRequest) -> Visitor[R] | None:
        """Return who sends a request; None where nobody has logged in, or they have logged out.

        A request that would change something, and that a page of another site has sent, is
        nobody's. So is a WebSocket that one opens.

        Raises:
            StoreError: It could not be found out whether they have logged out.
            ConfigurationError: They log in again and again, and no token of theirs is in the store.
        """
        if not request.reads and not self.site.sends(request):
            return None
        visit = self._cookie.find(request.cookies, now=self._clock.time())
        if visit is None:
            return None
        session = self.session.for_key(visit.key)
        fresh = session.status().condition is Condition.FRESH
        if not fresh and await self._visits.token(visit.key) is None:
            if self._in_vain(request):
                message = (
                    "a visitor has logged in several times in a row, and the token is not in the "
                    "store; several processes need a store that they share, such as SQLiteStore"
                )
                raise ConfigurationError(message)
            return None
        return Visitor(key=visit.key, identity=visit.identity, session=session)

    def challenge(self, request: LoginRequest) -> LoginReply:
        """Answer a request that needs a visitor: a page is sent to the login, a program told."""
        return self._answers.challenge(request)

    def answer(self, request: LoginRequest, error: Exception) -> LoginReply | None:
        """Answer a request whose handling raised an error; None where it is for somebody else.

        What a new login would cure is answered as if there were no visitor; what may be gone in a
        moment with 503. A mistake in a setting is neither, nor what several logins in a row have
        not cured. Of a group, as task groups raise them, all have to be for the login; one that a
        login would cure counts most.
        """
        met = [*each(error)]
        ours = [one for one in met if isinstance(one, OAuthKitError)]
        recoveries = {one.recovery for one in ours}
        if len(ours) < len(met) or Recovery.CHANGE_REQUEST in recoveries:
            return None
        if Recovery.REAUTHORIZE in recoveries:
            return None if self._in_vain(request) else self.challenge(request)
        return self._answers.out_of_order(ours[0], request)

    def _in_vain(self, request: LoginRequest) -> bool:
        """Tell whether a browser would be sent from login to login without an end."""
        now = self._clock.time()
        visit = self._cookie.find(request.cookies, now=now) if request.wants_page else None
        return visit is not None and visit.in_vain(now)

    async def _begun(
        self, request: LoginRequest, return_to: str | None
    ) -> AuthorizationRequest | LoginReply:
        """Return a login that begins now, or why none can."""
        if not self.site.is_for(request):
            return self._answers.shown(ANOTHER_HOST, request)
        try:
            server = await self._visits.server()
        except OAuthKitError as error:
            if error.recovery is Recovery.CHANGE_REQUEST:
                raise
            return self._answers.out_of_order(error, request)
        return AuthorizationRequest.new(
            server,
            self.session.client_auth.client_id,
            redirect_uri=self.site.redirect_uri(request),
            scope=self._scope,
            return_to=return_to,
            now=self._clock.time(),
            **self._wishes,
        )

    async def _let_in(self, request: LoginRequest, login: AuthorizationRequest) -> LoginReply:
        over = self._pending.clear(login)
        former = self._cookie.find(request.cookies, now=self._clock.time())
        try:
            result = await complete_login(
                self.session.token_http,
                self.session.server,
                self.session.client_auth,
                login,
                request.parameters,
                method=request.method,
                content_type=request.content_type,
                used=self._visits.used,
                client_metadata=self._visits.client_metadata,
                clock=self._clock,
            )
            if result.not_verified is not None:
                return self._answers.out_of_order(result.not_verified, request, [over])
            began = login.created_at or 0.0
            visit = await self._visits.begun(result, former=former, login_began=began)
        except CallbackError as error:
            fields = log_fields("CallbackRefused", error=error)
            LOGGER.info("a callback is refused: %s", error, extra=fields)
            return self._answers.shown(FORGED, request)
        except OAuthKitError as error:
            return self._answers.unfinished(error, request, [over])
        made = self._cookie.put(visit, now=self._clock.time())
        return redirect(login.return_to or self.site.home_of(request), [over, made])


def _each_time(wish: Any) -> Any:
    """Return what can be asked for again and again, and in every process in the same order."""
    if isinstance(wish, set | frozenset):
        return sorted(cast("frozenset[str]", wish))
    return list(cast("Iterator[str]", wish)) if isinstance(wish, Iterator) else wish
