"""Find an authorization server by its issuer identifier (RFC 8414, OpenID Discovery 1.0)."""

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Final

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import (
    ConfigurationError,
    OAuthKitError,
    ResponseError,
    TransportError,
    for_another,
    whereabouts,
)
from oauthkit.kinds import check_kind, check_seconds, checked
from oauthkit.labels import LOGGER, log_fields
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.discovery import (
    AcceptIssuer,
    build_metadata_request,
    check_issuer,
    is_elsewhere,
    life_of,
    metadata_locations,
    parse_metadata_response,
)
from oauthkit.protocol.messages import HTTPResponse, Origin
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.single_flight import SingleFlight, pause_of, was_hasty
from oauthkit.transport import AsyncHTTPClient, check_async_client, send

Adjust = Callable[[AuthorizationServer], AuthorizationServer]
"""Returns the server that is used in place of the one that was found."""

_LIFE: Final = 3_600.0
_COOL_DOWN: Final = 30.0
"""Seconds between two fetches of a document that was doubted: a server whose endpoint is gone is
asked where it is now, but not by each call."""
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})


async def discover(
    http: AsyncHTTPClient[Any],
    issuer: str,
    *,
    accept_issuer: AcceptIssuer | None = None,
    public_only: bool = False,
    timeout: float = 10.0,  # noqa: ASYNC109 - an end of its own, for both locations
    clock: Clock = time,
) -> AuthorizationServer:
    """Return the authorization server that an issuer identifier stands for.

    Its metadata is looked for where OpenID Connect has it and, where there is none, where RFC 8414
    has it. It counts only if it names the issuer as it was given, byte for byte. An endpoint in it
    is checked when it is used.

    Example:
        ::

            server = await discover(http, "https://auth.example")
            login = AuthorizationRequest.new(
                server, "reader", redirect_uri="https://app.example/callback", scope="read"
            )

    Args:
        http: Whose connections are used.
        issuer: The issuer identifier, as the provider writes it: with the slash at its end or
            without.
        accept_issuer: Tells whether a document that names another issuer is as good, for providers
            that name all their tenants by a template. Without it none is.
        public_only: Send nothing but to public addresses, now and later, for an issuer that
            somebody else has named (`AuthorizationServer.public_only`).
        timeout: Seconds for all of it.
        clock: Tells the time.

    Raises:
        ResponseError: There is no metadata, or none of this issuer; `recovery` says so where the
            server cannot answer now.
        TransportError: It did not answer.
        ConfigurationError: The issuer is no https URL (http for this machine), or has a query, a
            fragment or credentials in it; nothing was sent.
    """
    check_async_client(http)
    check_kind("discover: issuer", issuer, str)
    check_kind("discover: timeout=", timeout, float)
    check_kind("discover: clock=", clock, Clock)
    check_kind("discover: public_only=", public_only, bool)
    check_kind("discover: accept_issuer=", accept_issuer, AcceptIssuer | None)
    check_seconds(timeout=timeout)
    issuer = check_issuer(issuer)
    response = await _document(http, issuer, timeout, public_only=public_only)
    found = parse_metadata_response(
        response, issuer=issuer, accept_issuer=accept_issuer, now=clock.time()
    )
    return attrs.evolve(found, public_only=public_only)


async def _document(
    http: AsyncHTTPClient[Any], issuer: str, seconds: float, *, public_only: bool
) -> HTTPResponse:
    ends = anyio.current_time() + seconds
    build = partial(build_metadata_request, public_only=public_only)
    first, second = map(build, metadata_locations(issuer))
    response = await send(http, first, timeout=seconds)
    if is_elsewhere(response):
        response = await send(http, second, timeout=max(ends - anyio.current_time(), 0.0))
    return response


class Discovered:
    """Know an authorization server by its issuer identifier, and go on knowing it.

    Nothing is sent before it is first used. Sessions that are given one object share what it
    finds: one request however many want to know, again when what was found has had its time, or
    when an endpoint of it is gone. While the issuer does not answer, what was found before is used
    on; where there is nothing yet, each caller is told, and the next one is asked for seconds
    later.

    Example:
        ::

            auth = Discovered("https://auth.example")
            session = AsyncTokenSession(
                http, server=auth, client_auth=client_auth, store=store, key="application"
            )
            print((await auth.server(http)).token_endpoint)

    Args:
        issuer: The issuer identifier, as for `discover`.
        accept_issuer: As for `discover`.
        public_only: As for `discover`.
        adjust: Called with each server that was found, and returns the one that is used: with
            settings that no metadata has, such as `errors=`, by `attrs.evolve`. What it raises
            refuses the server, for example one whose endpoints are on a host that is not expected.
        life: Seconds for which a document is taken as it is where it does not say (Cache-Control);
            a minute at least and a day at most, whoever says it.
        timeout: Seconds for one look.
        clock: Tells the time.

    Raises:
        ConfigurationError: The issuer may not be one.
    """

    allow_plain_http: ClassVar[bool] = False

    @checked
    def __init__(
        self,
        issuer: str,
        *,
        accept_issuer: AcceptIssuer | None = None,
        public_only: bool = False,
        adjust: Adjust | None = None,
        life: float = _LIFE,
        timeout: float = 10.0,
        clock: Clock = time,
    ) -> None:
        """Check what was given; nothing is sent yet."""
        self.issuer = check_issuer(issuer)
        check_seconds(life=life, timeout=timeout)
        self._accept_issuer, self._adjust = accept_issuer, adjust
        self._public_only = public_only
        self._life, self._timeout, self._clock = life, timeout, clock
        self._found: AuthorizationServer | None = None
        message = f"the metadata of {self.issuer} did not come in time"
        self._failure: OAuthKitError = TransportError(message, sent=False)
        self._fetched_at = self._good_until = self._resume_at = -float("inf")
        self._looks = SingleFlight()

    @property
    def origin(self) -> Origin:
        """The issuer's own origin."""
        return Origin.of(self.issuer)

    def binding(self, client_id: str) -> Binding:
        """Return whose the tokens are that a client is given.

        A token that names no issuer fits if its endpoint is where the issuer is: that of the issuer
        is not known yet, and another server's token must not be sent to it.
        """
        return Binding(self.issuer, self.issuer, client_id)

    def __repr__(self) -> str:
        """Name the issuer, and say whether its server is known."""
        return f"<Discovered {self.issuer}{': not known yet' if self._found is None else ''}>"

    async def server(self, http: AsyncHTTPClient[Any]) -> AuthorizationServer:
        """Return the server, found if it has to be.

        Args:
            http: Whose connections are used.

        Raises:
            OAuthKitError: As `discover` does; `retry_after` says when it is asked again.
        """
        return await self.within(http, self._timeout)

    async def within(self, http: AsyncHTTPClient[Any], seconds: float) -> AuthorizationServer:
        """Return the server as `server` does, the one that was found before where time runs out.

        Args:
            http: Whose connections are used.
            seconds: An end before `timeout`.

        Raises:
            OAuthKitError: As `discover` does; `retry_after` says when it is asked again.
        """
        check_async_client(http)
        ends = anyio.current_time() + seconds
        while not self._is_known() and (left := ends - anyio.current_time()) > 0:
            look = partial(self._look, http, min(left, self._timeout))
            await self._looks.share(look, seconds=left)
        if self._found is None:
            raise self._again()
        return self._found

    def over(self, http: AsyncHTTPClient[Any]) -> "DiscoveredOver":
        """Return what finds the server over one client, for who asks it for tokens."""
        return DiscoveredOver(self, http)

    def accepts(self, issuer: str) -> bool:
        """Tell whether an `iss` is this issuer's, by `accept_issuer` too.

        Args:
            issuer: What a token names.

        Raises:
            ConfigurationError: `accept_issuer` failed.
        """
        if issuer == self.issuer or self._accept_issuer is None:
            return issuer == self.issuer
        try:
            return self._accept_issuer(issuer) is True
        except Exception as error:
            message = f"accept_issuer= failed with {whereabouts(error)} on an issuer of a token"
            raise ConfigurationError(message) from error

    def doubt(self, server: AuthorizationServer) -> None:
        """Note that an endpoint of a server is gone: the next one who asks looks again.

        Args:
            server: What was returned. One that was found since is not doubted, nor one that was
                found a moment ago: it is where its issuer says.
        """
        if server is self._found and self._clock.monotonic() >= self._fetched_at + _COOL_DOWN:
            self._good_until = -float("inf")

    def _is_known(self) -> bool:
        """Tell whether nobody needs to look now, for there is a server, or a pause."""
        now = self._clock.monotonic()
        return now < self._good_until or now < self._resume_at

    async def _look(self, http: AsyncHTTPClient[Any], seconds: float) -> None:
        """Look once, and note what came of it.

        Raises:
            ConfigurationError: Nothing can be sent by this client; that is no matter of others.
        """
        self._fetched_at, began = self._clock.monotonic(), anyio.current_time()
        try:
            response = await _document(http, self.issuer, seconds, public_only=self._public_only)
        except (TransportError, ResponseError) as error:
            hasty = seconds < self._timeout and was_hasty(error, began=began, seconds=seconds)
            self._note(error, hasty=hasty)
            return
        try:
            server = self._read(response)
        except OAuthKitError as error:
            self._note(error)
            return
        life = life_of(response, default=self._life) if _is_usable(server) else _COOL_DOWN
        if self._found is not None:
            # What is nowhere named any more is let go: a document may name another place each time.
            before = self._found.fetched.items()
            server.fetched.update((uri, what) for uri, what in before if uri == server.jwks_uri)
        self._found, self._good_until = server, self._clock.monotonic() + life

    def _note(self, error: OAuthKitError, *, hasty: bool = False) -> None:
        """Note a failure; while there is nothing else, what was found before is used on."""
        self._failure = error
        if self._found is not None or not hasty:
            self._resume_at = self._clock.monotonic() + pause_of(error)
        if self._found is not None:
            LOGGER.warning(
                "the server of %s could not be looked for again, and what was found before is used "
                "on: %s",
                self.issuer,
                error,
                extra=log_fields("DiscoveryFailed", url=self.issuer, error=error),
            )

    def _read(self, response: HTTPResponse) -> AuthorizationServer:
        """Return the server of a document.

        Raises:
            ResponseError: It is none of this issuer.
            OAuthKitError: The caller's own function refused it, or it is worse than the one before.
        """
        try:
            server = parse_metadata_response(
                response,
                issuer=self.issuer,
                accept_issuer=self._accept_issuer,
                now=self._clock.time(),
            )
            server = attrs.evolve(server, public_only=self._public_only)
            server = server if self._adjust is None else self._adjusted(self._adjust(server))
            if self._found is not None:
                server.endpoint("token_endpoint")
        except OAuthKitError:
            raise
        except Exception as error:
            message = (
                f"accept_issuer= or adjust= failed with {whereabouts(error)} on the metadata of "
                f"{self.issuer}"
            )
            raise ConfigurationError(message) from error
        return server

    def _adjusted(self, server: object) -> AuthorizationServer:
        """Return what `adjust` gave, if it is a server of the same issuer."""
        if isinstance(server, AuthorizationServer) and server.issuer == self.issuer:
            return server
        message = (
            f"adjust= must return an AuthorizationServer whose issuer is {self.issuer}, such as "
            "attrs.evolve(server, …) gives"
        )
        raise ConfigurationError(message)

    def _again(self) -> OAuthKitError:
        """Return the failure for one more caller, with the seconds that are left of the pause."""
        left = max(self._resume_at - self._clock.monotonic(), 0.0)
        return for_another(self._failure, retry_after=left)


def _is_usable(server: AuthorizationServer) -> bool:
    """Tell whether tokens can be asked for; a document that says otherwise is looked at again."""
    try:
        server.endpoint("token_endpoint")
    except ConfigurationError:
        return False
    return True


class DiscoveredOver:
    """Give an `Exchange` the server of a `Discovered` when it is needed, over one client."""

    def __init__(self, discovered: Discovered, http: AsyncHTTPClient[Any]) -> None:
        """Take whose server it is, and whose connections are used."""
        self.name = discovered.issuer
        self._discovered, self._http = discovered, http

    async def server(self, seconds: float) -> AuthorizationServer:
        """Return the server, found within some seconds if it has to be."""
        return await self._discovered.within(self._http, seconds)

    def note(self, server: AuthorizationServer, error: OAuthKitError) -> None:
        """Doubt a server whose endpoint is not where it was."""
        gone = getattr(error, "status_code", None) in _GONE
        if gone or (isinstance(error, TransportError) and not error.sent):
            self._discovered.doubt(server)
