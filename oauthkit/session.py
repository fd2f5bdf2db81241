"""The session: an HTTP client whose requests carry a token that is always good."""

import copy
import math
import time as system_clock
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, Unpack, cast

import anyio
import attrs

from oauthkit.auth import SessionAuth, auth_class
from oauthkit.authorizer import Authorizer, Lent, checked_rules
from oauthkit.clock import Clock
from oauthkit.delivery import library_error
from oauthkit.discovery import Discovered
from oauthkit.errors import ConfigurationError
from oauthkit.events import EventHook
from oauthkit.exchange import Exchange, ServerSource
from oauthkit.gate import Gate, gate_of
from oauthkit.home import Home
from oauthkit.kinds import checked
from oauthkit.origins import bases, checked_origins, is_absolute, joined, may_have_token
from oauthkit.pool import pass_gate
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.rejection import Rejection
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.proxies import around_proxies
from oauthkit.renewal.completion import Completion
from oauthkit.renewal.keeping import Keeping
from oauthkit.renewal.performer import Performer
from oauthkit.renewal.policy import RenewalPolicy
from oauthkit.renewal.script import Plan
from oauthkit.renewal.shared import shared_tokens
from oauthkit.renewal.source import TokenSource
from oauthkit.renewal.status import SessionStatus
from oauthkit.renewal.watch import Guard
from oauthkit.stores.base import TokenStore
from oauthkit.stores.keys import check_owner
from oauthkit.stores.memory import MemoryStore
from oauthkit.transport import (
    AsyncHTTPClient,
    RequestOptions,
    check_async_client,
    connection_limit,
    library_of,
    send,
)
from oauthkit.view import view_of

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypeVar

    R = TypeVar("R", default=httpx.Response)
else:
    from typing import TypeVar

    R = TypeVar("R")

_OWN_KEY: Final = "this session's own token"
_NETWORK_SECONDS: Final = 5.0  # as httpx has it
_TURN_SECONDS: Final = 60.0


class AsyncTokenSession(Generic[R]):
    """Send requests that carry a token, which is fetched, renewed and kept as needed.

    Example:
        ::

            async with AsyncTokenSession(
                server=AuthorizationServer("https://auth.example/token"),
                client_auth=ClientSecretBasic("reporter", "s3cret"),
                grant=ClientCredentials(scope="read"),
                base_url="https://api.example",
            ) as session:
                report = (await session.get("/report")).json()

    The verbs are those of the HTTP library, with its arguments, answers and errors; what concerns
    the token raises an `OAuthKitError`. `auth=None` on a call sends it without the token, anywhere.

    Args:
        http: An `httpx.AsyncClient` or `httpx2.AsyncClient`, which stays its owner's; where none
            is given, the session makes one of httpx and closes it.
        server: Who issues tokens; a `Discovered` is asked who that is when a token is needed, over
            `token_http` or `http`.
        client_auth: Who asks for them.
        grant: By what right a first one is asked for; None is "only what the store holds".
        base_url: What relative URLs are relative to; the client's own where none is given.
        origins: Further URLs whose origins may have the token, beside the base_url's and that of
            the token endpoint, or of the issuer of a `Discovered`. No other origin gets it.
        store: Where the token lives between uses; None is this session's own memory. Sessions
            over one store and key share one token and one renewal.
        key: Under which key it lives there, for example the resource owner's identifier. A token
            there of another server or client raises `ConfigurationError`, and is left as it is.
        token: A token to begin with, where the store has none.
        policy: When the token is renewed.
        renew_on: Which answers of an API say that the token is dead, one rule or several: by
            default a 401 whose challenges are for Bearer, or none.
        cookies: Keep the cookies of answers and send them again, in a jar of this session's own
            that begins with those of the client; such a session has no other keys. Without it
            none are kept, and none are sent but those that a call brings itself.
        token_http: A client of its own for the token endpoint, for example with a certificate.
        clock: Tells the time.
        on_event: Called with what happens, see `oauthkit.events`.

    Raises:
        ConfigurationError: Something does not fit; nothing was sent.
    """

    @checked
    def __init__(
        self,
        http: AsyncHTTPClient[R] | None = None,
        *,
        server: AuthorizationServer | Discovered,
        client_auth: ClientAuth,
        grant: GrantStrategy | None = None,
        base_url: str | None = None,
        origins: Iterable[str] = (),
        store: TokenStore | None = None,
        key: str | None = None,
        token: Token | None = None,
        policy: RenewalPolicy = RenewalPolicy(),  # noqa: B008 - a frozen value
        renew_on: Rejection | Iterable[Rejection] = Rejection(),  # noqa: B008 - a frozen value
        cookies: bool = False,
        token_http: AsyncHTTPClient[Any] | None = None,
        clock: Clock = system_clock,
        on_event: EventHook | None = None,
    ) -> None:
        """Check what was given; nothing is sent yet."""
        if key is not None:
            check_owner(key, private=_OWN_KEY)
        if (store is None) != (key is None):
            message = "store= and key= come together: where the token lives, and under which key"
            raise ConfigurationError(message)
        if isinstance(origins, str):
            message = "origins= is a list of URLs, not one text; write origins=[…]"
            raise ConfigurationError(message)
        lease_seconds = getattr(store, "lease_seconds", math.inf)
        if lease_seconds <= policy.timeout:
            message = (
                f"the store's leases live {lease_seconds:g} s, which must be longer than "
                f"RenewalPolicy.timeout, {policy.timeout:g} s; raise the one or lower the other"
            )
            raise ConfigurationError(message)
        for client in (http, token_http):
            if client is not None:
                check_async_client(client)
        recheck = policy.recheck
        if store is None:
            # Nobody else knows it, so only its owner's own renewals compete for the lease.
            store, recheck = MemoryStore(lease_seconds=60 + 4 * policy.timeout), math.inf
        self._owned, self._derived = http is None, False
        self._http: AsyncHTTPClient[R] = _new_client(base_url) if http is None else http
        self._token_http = token_http = self._http if token_http is None else token_http
        self._server, self._client_auth = server, client_auth
        asked: AuthorizationServer | ServerSource
        if isinstance(server, Discovered):
            asked, binding = server.over(token_http), server.binding(client_auth.client_id)
        else:
            asked, binding = server, Binding.of(server, client_auth.client_id)
        self._origins = checked_origins(server, [*bases(self._http, base_url), *origins])
        self._rules, self._cookies = checked_rules(renew_on), cookies
        self._told: set[str] = set()
        self._may_have = partial(may_have_token, origins=self._origins, http=self._http)
        self._view: AsyncHTTPClient[R] = view_of(
            around_proxies(self._http),
            library_of(self._http),
            allowed=self._may_have,
            cookies=cookies,
        )
        self._base = None if http is None or base_url is None else base_url.rstrip("/")
        self._gate = gate_of(self._http, connection_limit(self._http))
        self._shared = shared_tokens(store)
        self._key = key
        key = _OWN_KEY if key is None else key
        performer = Performer(
            exchange=Exchange(
                partial(send, token_http),
                asked,
                client_auth,
                clock=clock,
                timeout=policy.timeout,
            ),
            store=store,
            plan=Plan(
                key=key,
                grant=grant,
                policy=policy,
                recheck=recheck,
                initial=token,
                binding=binding,
                stored=self._key is not None,
            ),
            lease_seconds=lease_seconds,
            on_event=on_event,
        )
        # What must not be stopped has the time of one renewal when the event loop is shut down.
        grace = policy.timeout + policy.save_timeout
        self._source = TokenSource(
            performer,
            self._shared.of(key, binding=binding, capacity=policy.capacity, clock=clock),
            Completion(grace=grace, linger=policy.save_timeout),
        )
        self._peek = self._source.peek
        self._auth = auth_class(library_of(self._http))(self._authorizer(lent=False), self._gate)
        self._home = Home()

    async def request(self, method: str, url: Any, **options: Unpack[RequestOptions]) -> R:
        """Send a request and read the answer, as the HTTP library's client does.

        What goes wrong on the way raises the HTTP library's own errors, also where a package under
        it raises one of its own for a malformed answer. This machine is asked past all proxies.

        Raises:
            ConfigurationError: The URL's origin may not have the token.
            OAuthKitError: There is no token, and none can be had; `recovery` says what to do.
        """
        if self._home.thread != get_ident():
            self._home.check()
        options.setdefault("auth", self._auth)
        if self._base is not None and not is_absolute(str(url)):
            url = joined(self._base, str(url))
        try:
            if self._gate is None:
                return await self._view.request(method, url, **options)
            gate = self._gate  # its `enter` and `leave` are written out for the busiest path
            if gate.free > 0 and self._peek() is not None:
                gate.free -= 1
            else:
                await self._admitted(gate, method, url, options)
            try:
                return await self._view.request(method, url, **options)
            finally:
                if gate.waiting:
                    gate.leave()
                else:
                    gate.free += 1
        except Exception as error:
            failure = library_error(error, library_of(self._http), self._http, method, url)
            if failure is error:
                raise
        # Raised out here, so that the error does not carry one of aiohttp's, which shows the token.
        raise failure

    def get(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send a GET request; see `request`."""
        return self.request("GET", url, **options)

    def post(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send a POST request; see `request`."""
        return self.request("POST", url, **options)

    def put(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send a PUT request; see `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", url, **options)

    def head(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send a HEAD request; see `request`."""
        return self.request("HEAD", url, **options)

    def options(self, url: Any, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, R]:
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", url, **options)

    @asynccontextmanager
    async def stream(
        self, method: str, url: Any, **options: Unpack[RequestOptions]
    ) -> AsyncGenerator[R]:
        """Send a request and leave the answer to be read within the block; see `request`."""
        if self._home.thread != get_ident():
            self._home.check()
        options.setdefault("auth", self._auth)
        if self._base is not None and not is_absolute(str(url)):
            url = joined(self._base, str(url))
        gate = self._gate
        if gate is not None:
            await self._admitted(gate, method, url, options)
        answered = False
        try:
            async with self._view.stream(method, url, **options) as response:
                answered = True
                yield response
                return
        except Exception as error:
            if answered:  # what is raised in the block is the caller's own
                raise
            failure = library_error(error, library_of(self._http), self._http, method, url)
            if failure is error:
                raise
        finally:
            if gate is not None:
                gate.leave()
        raise failure

    async def _admitted(self, gate: Gate, method: str, url: Any, options: RequestOptions) -> None:
        """Go through the gate with a token at hand: who has to wait for one waits outside."""
        own: SessionAuth = self._auth
        if options.get("auth") is own and self._peek() is None and self._may_have(url):
            options["auth"] = own.after(await self._source.token())
        await pass_gate(gate, self._view, method, url, options)

    async def token(self) -> Token:
        """Return a token that can be used now, renewed if it has to be.

        Raises:
            ReauthorizationRequired: There is nothing to renew it with.
            OAuthKitError: It could not be renewed; `recovery` says what to do.
        """
        held = self._peek()
        if held is None:  # a token that is fresh may be read in any thread, and is not waited for
            self._home.check()
            held = (await self._source.token()).held
        return held.token

    async def renew(self) -> Token:
        """Renew the token now, however fresh it is, and return the new one.

        Raises:
            OAuthKitError: As for `token`; the old token stays in use.
        """
        self._home.check()
        return (await self._source.renewed()).token

    async def revoke(self) -> None:
        """End the login: drop the token here, and have the server revoke it (RFC 7009).

        After it the session is as after a logout. The token is gone from the store and from memory
        also where the server fails; the error is raised after that, and says so. A renewal on its
        way is waited for, in this process or in another, so that what it gets is revoked as well.
        To be cancelled stops nothing that was begun.

        The server is asked to revoke the refresh token, with which it ends the access tokens, or
        the access token where there is no other. That it does not know the token is no error.

        Example:
            ::

                await session.for_key(user_id).revoke()

        Raises:
            TransportError: The server did not answer; the token may live on there.
            ResponseError: It cannot answer now, or answered what no document describes; likewise.
            ErrorResponse: It said no; likewise.
            StoreError: The store failed; the message says whether the token may live on in it.
            ConfigurationError: The server has no `revocation_endpoint`: the token was dropped. Or
                the token in the store is of another server or client, and was left as it is.
        """
        self._home.check()
        await self._source.revoke()

    @property
    def is_closed(self) -> bool:
        """Whether this session was closed itself, by `aclose` or by the end of its block."""
        return self._home.closed

    def status(self) -> SessionStatus:
        """Return how it stands with the token, without waiting and without I/O."""
        return self._source.status(key=self._key)

    async def settled(self) -> None:
        """Wait until no renewal is on its way that a call could wait for.

        What a failing store has not taken is offered on beside; `status().unsaved` says so.
        """
        await self._source.settled()

    @checked
    def for_key(self, key: str, *, grant: GrantStrategy | None = None) -> Self:
        """Return a session for another key of the store, in microseconds.

        It shares this session's client, store and running renewals, and not its grant: a resource
        owner without a token never gets the application's own.

        Args:
            key: For example a resource owner's identifier.
            grant: By what right a first token is asked for; None is only what the store holds, and
                `ReauthorizationRequired` where that is nothing.

        Raises:
            ConfigurationError: The key is empty or blank, is no text, or is the one of a session
                that was given none; or the session keeps cookies, which would be everybody's.
        """
        if self._cookies:
            message = (
                "a session with cookies=True has no other keys: a resource owner's cookies would "
                "go out with another's requests; make a session for each, or leave cookies= out"
            )
            raise ConfigurationError(message)
        check_owner(key, private=_OWN_KEY)
        own = self._source
        shared = self._shared.of(
            key,
            binding=own.plan.binding,
            capacity=own.plan.policy.capacity,
            clock=own.clock,
        )
        plan = attrs.evolve(own.plan, key=key, grant=grant, initial=None)
        performer = attrs.evolve(own.performer, plan=plan)
        shared.plan, shared.family = plan, own.completion
        derived = copy.copy(self)
        derived._take_key(key, TokenSource(performer, shared, own.completion))  # noqa: SLF001
        return derived

    @property
    def auth(self) -> "httpx.Auth":
        """The session's token as an `httpx.Auth`, for any client or SDK of httpx."""
        import httpx  # noqa: PLC0415 - loaded by who uses it

        return cast("httpx.Auth", self.auth_for(httpx))

    def auth_for(self, client: object) -> Any:
        """Return the session's token as the `Auth` that a client takes.

        It lives as long as the session. The origin rule and the 401 rule go with it.

        Example:
            ::

                client = httpx2.AsyncClient(auth=session.auth_for(httpx2))

        Args:
            client: An httpx or httpx2 client, or the module itself.
        """
        return auth_class(library_of(client))(self._authorizer(lent=True, home=self._home))

    @property
    def http(self) -> AsyncHTTPClient[R]:
        """The HTTP client that requests go through."""
        return self._http

    @property
    def token_http(self) -> AsyncHTTPClient[Any]:
        """The HTTP client that the authorization server is asked over."""
        return self._token_http

    @property
    def server(self) -> AuthorizationServer | Discovered:
        """Who issues tokens, as it was given."""
        return self._server

    @property
    def client_auth(self) -> ClientAuth:
        """Who asks for them."""
        return self._client_auth

    @property
    def store(self) -> TokenStore | None:
        """Where the tokens live; None where the session has a memory of its own alone."""
        return None if self._key is None else self._source.performer.store

    async def aclose(self) -> None:
        """Wait for running renewals to be saved, then close the client if the session made it.

        A session that `for_key` returned waits for the renewal of its own key, and ends nothing
        that others use.
        """
        self._home.close()
        self._peek = _nothing
        if self._derived:
            await self._source.answered()
            return
        completion = self._source.completion
        try:
            await completion.finish()
        except BaseException:
            if self._owned:  # not under a renewal whose answer is on its way
                completion.start(self._close_later, lambda _: None)
            raise
        if self._owned:
            await self._http.aclose()

    async def _close_later(self, guard: Guard) -> None:
        guard.idle.set()
        await self._source.completion.drain()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the session."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session, even where the block was cancelled."""
        with anyio.CancelScope(shield=True):
            await self.aclose()

    def __repr__(self) -> str:
        """Name the token endpoint and the key, and say how it stands with the token."""
        endpoint = self._source.performer.exchange.line.partition("?")[0]
        key = "" if self._key is None else f" key={self._key!r}"
        return f"<AsyncTokenSession {endpoint}{key}: {self.status()}>"

    def _keep(self, *, in_use: bool) -> Callable[[], Coroutine[Any, Any, None]]:
        """Begin to renew ahead, and return what ends it; see `oauthkit.keeper`."""
        self._home.check()
        keeping = Keeping(
            self._source,
            self._shared if in_use else None,
        )
        completion = self._source.completion
        return partial(completion.stop, completion.start(keeping.work, lambda _: None))

    def _lend(self, *, bare: str) -> Lent:
        """Lend the token to an adapter of an HTTP library that is not httpx; see `Authorizer.bare`.

        Args:
            bare: How a request of that library is sent without the token.
        """
        authorizer = self._authorizer(lent=False, home=self._home)
        authorizer.bare = bare
        return Lent(authorizer=authorizer, cookies=self._cookies)

    def _take_key(self, key: str, source: TokenSource) -> None:
        """Be a session for another key."""
        self._derived, self._key, self._source = True, key, source
        if self._peek is not _nothing:  # a key of a closed session is closed, too
            self._peek = source.peek
        self._home = copy.copy(self._home)
        self._auth = type(self._auth)(self._authorizer(lent=False), self._gate)

    def _authorizer(self, *, lent: bool, home: Home | None = None) -> Authorizer:
        source, origins, rules, told = self._source, self._origins, self._rules, self._told
        return Authorizer(source, origins, rules, lent=lent, told=told, home=home)


def _nothing() -> None:
    """Be what a closed session has at hand."""


def _new_client(base_url: str | None) -> Any:
    import httpx  # noqa: PLC0415 - loaded by who uses it

    # A burst waits its turn in order, and may take longer than the network is given.
    timeout = httpx.Timeout(_NETWORK_SECONDS, pool=_TURN_SECONDS)
    return httpx.AsyncClient(base_url=base_url or "", timeout=timeout)
