"""One question to an authorization server to its end: a single try, or all that it allows."""

import math
import random
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import (
    ConfigurationError,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    TransportError,
)
from oauthkit.preparation import authenticated, prepared
from oauthkit.protocol.advice import advise
from oauthkit.protocol.binding import Binding
from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.grants import GrantStrategy, Repeat
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, check_endpoint
from oauthkit.protocol.revocation import build_revocation_request, parse_revocation_response
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.server_time import server_ahead
from oauthkit.protocol.single_use import CODES
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import build_token_request, parse_token_response
from oauthkit.protocol.tries import Tries

T = TypeVar("T")

Ready = Callable[[], None]
"""Called as late as can be before the first byte of a request leaves; what it raises stops it.

That is a `TransportError` with `sent=False`.
"""

_SHARE_TO_PREPARE: Final = 0.5
"""Of a try's time: one that began to be sent with less left could not end in time."""
_SPENT: Final = (
    "the authorization code may have reached the server, and it is good once (RFC 6749 §4.1.2); "
    "start a new login"
)


class Send(Protocol):
    """Send one request to an authorization server, as `oauthkit.transport.send` does."""

    def __call__(
        self, request: HTTPRequest, /, *, timeout: float, ready: Ready | None
    ) -> Awaitable[HTTPResponse]:
        """Return the answer, within `timeout` seconds.

        Raises:
            TransportError: There was none.
        """
        ...


class ServerSource(Protocol):
    """Who is asked, where that has to be found out first.

    Attributes:
        name: What stands for it before, such as its issuer identifier.
    """

    name: str

    async def server(self, seconds: float) -> AuthorizationServer:
        """Return the server as it is known now.

        Args:
            seconds: How long it may take to find that out.

        Raises:
            OAuthKitError: It cannot be found out.
        """
        ...

    def note(self, server: AuthorizationServer, error: OAuthKitError) -> None:
        """Learn from what a request to the server came to."""
        ...


@attrs.frozen(kw_only=True)
class Question(Generic[T]):
    """What is asked of an endpoint of an authorization server, and what its answer means.

    Attributes:
        server: Who is asked.
        endpoint: The URL that is asked, by who has no alias of it.
        build: Gives the request; it is called for every try anew, with what the client
            authentication gave for that try.
        parse: Gives what the answer means, told the request, and when it was sent, in seconds since
            the epoch.
        repeat: Whether it may be asked again when no answer came.
        good_once: What it presents and the server takes once; None where nothing is such.
        prepare: Gives what is asked in one try, where that has to be found out first; None asks the
            same each time.
        name: What the server's metadata calls the endpoint.
    """

    server: AuthorizationServer
    endpoint: str
    build: Callable[[Authentication], HTTPRequest]
    parse: Callable[[HTTPResponse, HTTPRequest, float], T]
    repeat: Repeat = Repeat.ALWAYS
    good_once: str | None = attrs.field(default=None, repr=False)
    prepare: "Prepare[T] | None" = attrs.field(default=None, repr=False)
    name: str = "token_endpoint"


Prepare = Callable[[float, float], Awaitable[Question[T]]]
"""Gives the question for one try; told the time, in seconds since the epoch, and by when it must
be done, on the event loop's clock."""


@attrs.define
class Exchange:
    """Ask an authorization server.

    Attributes:
        server: Who is asked, or who finds that out when it is needed.
        client_auth: Who asks; None where an endpoint does not want to know.
        timeout: Seconds for all tries and the pauses between them.
    """

    send: Send
    server: AuthorizationServer | ServerSource
    client_auth: ClientAuth | None
    clock: Clock = time
    timeout: float = 30.0

    async def token(self, grant: GrantStrategy, *, previous: Token | None = None) -> Token:
        """Return the token, trying again as the grant allows; each try is built anew.

        Args:
            grant: By what right.
            previous: The token that is refreshed.

        Raises:
            TransportError: No answer came.
            ResponseError: An answer came that no document describes.
            ErrorResponse: The server said no.
            ReauthorizationRequired: The authorization code was sent before.
        """
        server = await self.found(seconds=self.timeout)
        return await self.ask(self._token_question(server, grant, previous))

    async def one_try(
        self,
        grant: GrantStrategy,
        *,
        previous: Token | None = None,
        seconds: float = math.inf,
        ready: Ready | None = None,
    ) -> Token:
        """Return the token, or the error that one request led to.

        Args:
            grant: By what right.
            previous: The token that is refreshed.
            seconds: An end before `timeout`.
            ready: Called before the first byte leaves; what it raises stops the request.

        Raises:
            TransportError: No answer came.
            ResponseError: An answer came that no document describes.
            ErrorResponse: The server said no.
            ReauthorizationRequired: The authorization code was sent before.
        """
        seconds = min(seconds, self.timeout)
        began = anyio.current_time()
        server = await self.found(seconds=seconds)
        question = self._token_question(server, grant, previous)
        seconds -= anyio.current_time() - began
        return await self.ask_once(question, seconds=seconds, ready=ready)

    async def revoke(self, token_text: str, *, hint: str | None = None) -> None:
        """Revoke a token (RFC 7009); a request that may have been sent is not repeated.

        Args:
            token_text: The token itself.
            hint: What kind of token it is, `access_token` or `refresh_token`.

        Raises:
            OAuthKitError: As `token` does.
        """
        server = await self.found(seconds=self.timeout)
        question = Question(
            server=server,
            endpoint=server.endpoint("revocation_endpoint"),
            build=partial(build_revocation_request, server, token_text, hint),
            parse=partial(_revoked, server),
            repeat=Repeat.NEVER,
            name="revocation_endpoint",
        )
        await self.ask(question)

    @property
    def line(self) -> str:
        """What stands for the token endpoint where those stand in line who want to ask it."""
        server = self.server
        return server.token_endpoint if isinstance(server, AuthorizationServer) else server.name

    async def found(self, *, seconds: float) -> AuthorizationServer:
        """Return who is asked, found out within a share of the time.

        Raises:
            TransportError: That failed, or took too long; nothing was sent to the server itself.
            ConfigurationError: What was given leads to no server.
        """
        if isinstance(self.server, AuthorizationServer):
            return self.server
        try:
            return await self.server.server(seconds * _SHARE_TO_PREPARE)
        except ConfigurationError:
            raise
        except OAuthKitError as error:
            message = f"it could not be found out where to ask {self.server.name}: {error}"
            pause = error.retry_after
            raise TransportError(message, sent=False, retry_after=pause) from error

    async def ask(self, question: Question[T]) -> T:
        """Return what the answer means, trying again as the question allows.

        Raises:
            OAuthKitError: As `ask_once` does, the last time.
        """
        deadline = anyio.current_time() + self.timeout
        tries = Tries(question.repeat)
        while True:
            left = deadline - anyio.current_time()
            try:
                return await self.ask_once(question, seconds=max(left, 0.0))
            except (TransportError, ResponseError) as error:
                wait = tries.wait_after(error)
                if wait is None or anyio.current_time() + wait.longest >= deadline:
                    raise
            await anyio.sleep(wait.seconds(random.random()))  # noqa: S311 - jitter, not a secret

    async def ask_once(
        self, question: Question[T], *, seconds: float = math.inf, ready: Ready | None = None
    ) -> T:
        """Return what the answer to one request means.

        Args:
            question: What is asked.
            seconds: An end before `timeout`.
            ready: Called before the first byte leaves; what it raises stops the request.

        Raises:
            TransportError: No answer came.
            OAuthKitError: As the question's `build` and `parse` do.
            ReauthorizationRequired: What is good once was sent before.
        """
        seconds = min(seconds, self.timeout)
        began = anyio.current_time()
        ends = began + seconds * _SHARE_TO_PREPARE
        if question.prepare is not None:
            question = await question.prepare(self.clock.time(), ends)
        alias = self._alias(question)
        endpoint = alias or question.endpoint
        request = question.build(await self._authentication(question, endpoint, ends))
        if alias is not None:
            request = attrs.evolve(request, url=alias)
        left = seconds - (anyio.current_time() - began)
        if left <= 0:  # the process stood: what is not begun is certainly not sent
            message = "no time was left to send the request that was built; nothing was sent"
            raise TransportError(message, sent=False)
        requested_at = self.clock.time()
        with _once(question):
            try:
                response = await self.send(request, timeout=left, ready=ready)
            except (TransportError, ConfigurationError) as error:
                self._note(question.server, error)
                self._advise(error, question, endpoint)
                if not _was_sent(error):
                    _release(question)
                raise
            try:
                return question.parse(response, request, requested_at)
            except OAuthKitError as error:
                self._note(question.server, error)
                ahead = server_ahead(response, sent_at=requested_at, read_at=self.clock.time())
                self._advise(error, question, endpoint, ahead)
                raise

    def _advise(
        self, error: OAuthKitError, question: Question[Any], endpoint: str, ahead: float = 0.0
    ) -> None:
        server, name = question.server, question.name
        advise(error, self.client_auth, endpoint=endpoint, name=name, server=server, ahead=ahead)

    def _note(self, server: AuthorizationServer, error: OAuthKitError) -> None:
        if not isinstance(self.server, AuthorizationServer):
            self.server.note(server, error)

    def _token_question(
        self, server: AuthorizationServer, grant: GrantStrategy, previous: Token | None
    ) -> Question[Token]:
        client_auth = self.client_auth
        if client_auth is None:
            message = "a token is asked for by a client; give a ClientAuth"
            raise ConfigurationError(message)
        question = _question(server, client_auth, grant, previous)
        if type(grant).prepared is GrantStrategy.prepared:
            return question

        async def prepare(now: float, ends: float) -> Question[Token]:
            client_id = client_auth.client_id
            ready = await prepared(grant, server, client_id=client_id, now=now, ends=ends)
            return _question(server, client_auth, ready, previous)

        return attrs.evolve(question, prepare=prepare)

    def _alias(self, question: Question[Any]) -> str | None:
        """Return where else this client asks the endpoint; it is chosen here for all of them.

        Raises:
            ConfigurationError: It may not be an endpoint.
        """
        client_auth, server = self.client_auth, question.server
        alias = None if client_auth is None else client_auth.alias(server, question.name)
        if alias is not None:
            name, plain = f"{type(client_auth).__name__}.alias", bool(server.allow_plain_http)
            check_endpoint(alias, name=name, allow_plain_http=plain)
        return alias

    async def _authentication(
        self, question: Question[Any], endpoint: str, ends: float
    ) -> Authentication:
        """Return what makes the client known, within its share of the time."""
        if self.client_auth is None:
            return Authentication()
        now, server = self.clock.time(), question.server
        return await authenticated(self.client_auth, server, endpoint=endpoint, now=now, ends=ends)


def _revoked(
    server: AuthorizationServer, response: HTTPResponse, request: HTTPRequest, requested_at: float
) -> None:
    parse_revocation_response(server, response, requested_at=requested_at, secrets=request.secrets)


def _question(
    server: AuthorizationServer,
    client_auth: ClientAuth,
    grant: GrantStrategy,
    previous: Token | None,
) -> Question[Token]:
    """Return the question for a token, by a grant that has all that it presents."""

    def parse(response: HTTPResponse, request: HTTPRequest, requested_at: float) -> Token:
        carried_over = grant.carried_over(previous)
        token = parse_token_response(
            server,
            response,
            requested_at=requested_at,
            previous=carried_over,
            requested_scope=grant.requested_scope,
            grant_type=grant.grant_type,
            objection=grant.objection,
            secrets=request.secrets,
        )
        return Binding.of(server, client_auth.client_id).bind(token, follows=carried_over)

    return Question(
        server=server,
        endpoint=server.token_endpoint,
        build=partial(build_token_request, server, client_auth, grant),
        parse=parse,
        repeat=grant.repeat,
        good_once=grant.good_once,
    )


@contextmanager
def _once(question: Question[Any]) -> Generator[None]:
    """Let what is good once through once, and say of a failure after it that it is spent."""
    if question.good_once is None:
        yield
        return
    if not CODES.claim(question.endpoint, question.good_once):
        message = f"nothing was sent: {_SPENT}"
        raise ReauthorizationRequired(message)
    try:
        yield
    except OAuthKitError as error:
        if error.recovery is Recovery.RETRY_LATER and _was_sent(error):
            error.recovery, error.retry_after = Recovery.REAUTHORIZE, None
            error.add_note(_SPENT)
        raise


def _release(question: Question[Any]) -> None:
    if question.good_once is not None:
        CODES.release(question.endpoint, question.good_once)


def _was_sent(error: OAuthKitError) -> bool:
    if isinstance(error, TransportError):
        return error.sent
    return not isinstance(error, ConfigurationError)
