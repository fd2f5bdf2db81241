"""The session: an HTTP client whose requests carry a token that is always good."""

import copy
import math
import re
import time as system_clock
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, Unpack, cast

import anyio
import attrs

from oauthkit.auth import auth_class
from oauthkit.completion import Completion
from oauthkit.copies import states_of
from oauthkit.errors import ConfigurationError
from oauthkit.events import EventHook
from oauthkit.exchange import Clock, Exchange
from oauthkit.gate import gate_of
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.messages import Origin
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.renewal import Renewer
from oauthkit.replacement import Replacement
from oauthkit.stores.base import TokenStore
from oauthkit.stores.memory import MemoryStore
from oauthkit.transport import (
    AsyncHTTPClient,
    RequestOptions,
    check_async_client,
    connection_limit,
    library_of,
    send,
)

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypeVar

    R = TypeVar("R", default=httpx.Response)
else:
    from typing import TypeVar

    R = TypeVar("R")

_OWN_KEY: Final = "this session's own token"
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


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
        server: Who issues tokens.
        client_auth: Who asks for them.
        grant: By what right a first one is asked for; None is "only what the store holds".
        base_url: What relative URLs are relative to; the client's own where none is given.
        origins: Further URLs whose origins may have the token, beside the token endpoint's own
            and the base_url's. No other origin gets it.
        store: Where the token lives between uses; None is this session's own memory. Sessions
            over one store and key share one token and one renewal.
        key: Under which key it lives there, for example the resource owner's identifier.
        token: A token to begin with, where the store has none.
        policy: When the token is renewed.
        token_http: A client of its own for the token endpoint, for example with a certificate.
        clock: Tells the time.
        on_event: Called with what happens, see `oauthkit.events`.

    Raises:
        ConfigurationError: Something does not fit; nothing was sent.
    """

    def __init__(
        self,
        http: AsyncHTTPClient[R] | None = None,
        *,
        server: AuthorizationServer,
        client_auth: ClientAuth,
        grant: GrantStrategy | None = None,
        base_url: str | None = None,
        origins: Iterable[str] = (),
        store: TokenStore | None = None,
        key: str | None = None,
        token: Token | None = None,
        policy: RenewalPolicy = RenewalPolicy(),  # noqa: B008 - a frozen value
        token_http: AsyncHTTPClient[Any] | None = None,
        clock: Clock = system_clock,
        on_event: EventHook | None = None,
    ) -> None:
        """Check what was given; nothing is sent yet."""
        if key == "":
            message = "key= is empty; give the name of whose token it is, such as a user's id"
            raise ConfigurationError(message)
        if (store is None) != (key is None):
            message = "store= and key= come together: where the token lives, and under which key"
            raise ConfigurationError(message)
        _check_kind("server", server, AuthorizationServer)
        _check_kind("client_auth", client_auth, ClientAuth)
        _check_kind("policy", policy, RenewalPolicy)
        if grant is not None:
            _check_kind("grant", grant, GrantStrategy)
        if isinstance(origins, str):
            message = "origins= is a list of URLs, not one text; write origins=[…]"
            raise ConfigurationError(message)
        if not callable(getattr(clock, "monotonic", None)):
            message = "clock= needs the methods time() and monotonic(), as the module time has them"
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
        self._owned = http is None
        self._http: AsyncHTTPClient[R] = _new_client(base_url) if http is None else http
        self._server = server
        self._origins = _checked_origins(server, [*_bases(self._http, base_url), *origins])
        self._base = _base(None if http is None else base_url)
        self._gate = gate_of(self._http, connection_limit(self._http))
        self._states = states_of(store)
        key = _OWN_KEY if key is None else key
        replacement = Replacement(
            exchange=Exchange(
                partial(send, token_http or self._http),
                server,
                client_auth,
                clock=clock,
                timeout=policy.timeout,
            ),
            grant=grant,
            store=store,
            key=key,
            state=self._states.of(key, capacity=policy.capacity),
            policy=policy,
            on_event=on_event,
            initial=token,
            recheck=recheck,
        )
        self._renewer = Renewer(replacement, Completion())
        self._auth = self.auth_for(self._http)

    async def request(self, method: str, url: Any, **options: Unpack[RequestOptions]) -> R:
        """Send a request and read the answer, as the HTTP library's client does.

        Raises:
            ConfigurationError: The URL's origin may not have the token.
            OAuthKitError: There is no token, and none can be had; `recovery` says what to do.
        """
        options.setdefault("auth", self._auth)
        if self._base is not None:
            url = self._absolute(url)
        if self._gate is None:
            return await self._http.request(method, url, **options)
        async with self._gate:
            return await self._http.request(method, url, **options)

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
        options.setdefault("auth", self._auth)
        answer = self._http.stream(method, self._absolute(url), **options)
        async with self._gate or nullcontext(), answer as response:
            yield response

    async def token(self) -> Token:
        """Return a token that can be used now, renewed if it has to be.

        Raises:
            ReauthorizationRequired: There is nothing to renew it with.
            OAuthKitError: It could not be renewed; `recovery` says what to do.
        """
        at_hand = self._renewer.peek()
        if at_hand is None:
            at_hand = await self._renewer.token()
        return at_hand.token

    async def renew(self) -> Token:
        """Renew the token now, however fresh it is, and return the new one.

        Raises:
            OAuthKitError: As for `token`; the old token stays in use.
        """
        return (await self._renewer.renewed()).token

    def for_key(self, key: str, *, grant: GrantStrategy | None = None) -> Self:
        """Return a session for another key of the store, in microseconds.

        It shares this session's client, store and running renewals. The grant is shared only where
        it speaks for the client itself (`GrantStrategy.for_client`), never a resource owner's.

        Args:
            key: For example a resource owner's identifier.
            grant: By what right a first token is asked for; None is "only what the store holds".

        Raises:
            ConfigurationError: The key is the one of a session that was given none.
        """
        if key in {"", _OWN_KEY}:
            message = f"no resource owner may be called {key!r}; give a name of its own to each"
            raise ConfigurationError(message)
        own = self._renewer.replacement
        if grant is None and own.grant is not None and own.grant.for_client:
            grant = own.grant
        state = self._states.of(key, capacity=own.policy.capacity)
        replacement = attrs.evolve(own, grant=grant, key=key, state=state, initial=None)
        derived = copy.copy(self)
        derived._adopt(replacement)  # noqa: SLF001 - of this very class
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
        return auth_class(library_of(client))(self._renewer, self._origins)

    @property
    def http(self) -> AsyncHTTPClient[R]:
        """The HTTP client that requests go through."""
        return self._http

    async def aclose(self) -> None:
        """Wait for running renewals to be saved, then close the client if the session made it."""
        await self._renewer.completion.drain()
        if self._owned:
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
        """Name the token endpoint and the key."""
        endpoint = self._server.token_endpoint.partition("?")[0]
        return f"<AsyncTokenSession {endpoint} key={self._renewer.replacement.key!r}>"

    def _adopt(self, replacement: Replacement) -> None:
        self._owned = False
        self._renewer = Renewer(replacement, self._renewer.completion)
        self._auth = self.auth_for(self._http)

    def _absolute(self, url: Any) -> Any:
        """Put the base in front of a relative URL, as the HTTP libraries do."""
        text = url if isinstance(url, str) else str(url)
        if self._base is None or _ABSOLUTE.match(text):
            return url
        return f"{self._base}/{text.removeprefix('/')}" if text else self._base


def _check_kind(name: str, value: object, kind: type[object]) -> None:
    if not isinstance(value, kind):
        given = value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
        message = f"{name}= takes an object of {kind.__name__}, not {given}"
        raise ConfigurationError(message)


def _new_client(base_url: str | None) -> Any:
    import httpx  # noqa: PLC0415 - loaded by who uses it

    return httpx.AsyncClient(base_url=base_url or "")


def _base(base_url: str | None) -> str | None:
    return None if base_url is None else base_url.rstrip("/")


def _bases(http: object, base_url: str | None) -> list[str]:
    """Return the base URL, the session's or the client's own, if there is one."""
    base = base_url or str(getattr(http, "base_url", ""))
    return [base] if base else []


def _checked_origins(server: AuthorizationServer, urls: Iterable[str]) -> frozenset[Origin]:
    origins = {Origin.of(url) for url in urls} | {server.origin}
    readable = {origin for origin in origins if not origin.confidential}
    if server.allow_plain_http is None:
        return frozenset(origins - readable)
    for origin in readable:
        if not server.allow_plain_http:
            message = (
                f"{origin} is plain http, where a token can be read on the way; use https, or say "
                "AuthorizationServer(…, allow_plain_http=True)"
            )
            raise ConfigurationError(message)
    return frozenset(origins)
