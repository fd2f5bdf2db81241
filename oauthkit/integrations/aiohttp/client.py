"""A session's token on the requests of an `aiohttp.ClientSession`: the adapter of aiohttp.

What a request carries, and what an answer means, `oauthkit.authorizer` decides. aiohttp calls a
middleware for each hop of a redirect, with a request of its own, before it takes a connection. The
hops of one call are known by their timer, which they alone have in common.
"""

from typing import Any, Final

import attrs
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, hdrs
from yarl import URL

from oauthkit.authorizer import Attempt, Authorizer, OutgoingRequest
from oauthkit.errors import ConfigurationError
from oauthkit.integrations.aiohttp.messages import (
    answer_of,
    as_http,
    keep_from_jar,
    named,
    origin_of,
    release,
    repeatable,
    sets_no_cookie,
    withhold_cookies,
)
from oauthkit.kinds import check_kind
from oauthkit.renewal.source import Handed
from oauthkit.session import AsyncTokenSession
from oauthkit.view import is_sending

_BARE: Final = "middlewares=()"
_FIRST_REDIRECT: Final = 300
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_CALLS: Final = 1_000  # between two hops; some callers do not follow a redirect


def token_middleware(session: AsyncTokenSession[Any]) -> ClientMiddlewareType:
    """Return a client middleware that puts the session's token on requests to its origins.

    The token is renewed, and a 401 answered, as in calls of the session itself. A request without
    the token is one with `middlewares=()`. The token, and no other `Authorization`, is what is
    sent to the session's origins. The session is to be open as long as the middleware is used.

    The jar of the `ClientSession` takes no cookie of an answer in, and gives none out but those
    without a domain, which are settings; `AsyncTokenSession(cookies=True)` leaves it alone.

    Example:
        For `aiohttp.ClientSession(middlewares=(with_token,))`::

            with_token = token_middleware(session)

    Args:
        session: Whose token it is; that of one key is `token_middleware(session.for_key(key))`, for
            a `ClientSession` or, as `middlewares=`, for one call.

    Raises:
        ConfigurationError: It is no session. A call raises it, with nothing sent, for an origin
            that may not have the token; a redirect there goes without the token.
    """
    check_kind("token_middleware: session", session, AsyncTokenSession)
    lent = session._lend(bare=_BARE)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return _Middleware(lent.authorizer, lent.cookies).handle


@attrs.define(eq=False)
class _Call:
    """One call of a user's, over all its hops.

    Attributes:
        timer: What its hops have in common.
        attempt: What was done about its token so far; None before the first answer.
        astray: Whether it went to another origin, from where the token is not taken up again.
    """

    timer: object
    attempt: Attempt | None = None
    astray: bool = False


@attrs.define(eq=False)
class _Middleware:
    """Adapter of the authorizer to the requests and answers of aiohttp."""

    _authorizer: Authorizer
    _cookies: bool
    _named: frozenset[tuple[str, str | None, int | None]] = attrs.field(init=False)
    # By the identity of the timer, which they keep alive. Some have ended at a redirect that nobody
    # followed, which nobody says: hence an end to how many there are.
    _redirected: dict[int, _Call] = attrs.field(factory=dict[int, _Call])

    def __attrs_post_init__(self) -> None:
        self._named = named(self._authorizer.origins)

    async def handle(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request with the token; this is the short way, for a fresh one and a success."""
        held, headers, url = self._authorizer.peek(), request.headers, request.url
        if (
            held is None
            or self._redirected
            or hdrs.COOKIE in headers
            or request.proxy is not None
            or is_sending()
            or (url.scheme, url.raw_host, url.port) not in self._named
        ):
            return await self._handle(request, handler)
        headers[hdrs.AUTHORIZATION] = held.presentation or self._authorizer.present(held)
        response = await handler(request)
        if response.status < _FIRST_REDIRECT and sets_no_cookie(response):
            return response
        return await self._answered(_new_call(request), Handed(held), request, response, handler)

    async def _handle(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request of which nothing is known yet."""
        if is_sending():  # of a session over this client, with its own token or none
            return await handler(request)
        call = _new_call(request)
        call = self._redirected.get(id(call.timer), call)
        handed: Handed | None = None
        if not self._cookies:
            withhold_cookies(request)
        if self._may_have_token(call, request.url):
            if request.proxy is not None and origin_of(request.url).loopback:
                request.update_proxy(None, None, None)
            held = self._authorizer.peek()
            handed = await self._authorizer.token() if held is None else Handed(held)
            request.headers[hdrs.AUTHORIZATION] = self._authorizer.present(handed.held)
        response = await handler(request)
        return await self._answered(call, handed, request, response, handler)

    def _may_have_token(self, call: _Call, url: URL) -> bool:
        """Tell whether a hop may have the token.

        Raises:
            ConfigurationError: It is the first one, and its origin may not have the token.
        """
        try:
            self._authorizer.check(as_http(url))
        except ConfigurationError:
            if call.attempt is None:
                raise
            call.astray = True
        return not call.astray

    async def _answered(
        self,
        call: _Call,
        handed: Handed | None,
        request: ClientRequest,
        response: ClientResponse,
        handler: ClientHandlerType,
    ) -> ClientResponse:
        """Return the answer for the caller, or for whoever follows its redirect."""
        if handed is not None:
            call.attempt = attempt = self._attempt(call.attempt, handed)
            if response.status in self._authorizer.statuses:
                response = await _settled(attempt, request, response, handler)
        if response.status in _REDIRECTS:
            self._redirected[id(call.timer)] = call
            if len(self._redirected) > _MOST_CALLS:
                del self._redirected[next(iter(self._redirected))]
        else:
            self._redirected.pop(id(call.timer), None)
        if not self._cookies:
            keep_from_jar(response)
        return response

    def _attempt(self, before: Attempt | None, handed: Handed) -> Attempt:
        """Return the attempt of the whole call, whose budgets its hops share."""
        if before is None:
            return Attempt(self._authorizer, handed.held, handed.fetched)
        if before.held is not handed.held:
            before.held, before.fetched = handed.held, handed.fetched
        return before


async def _settled(
    attempt: Attempt, request: ClientRequest, response: ClientResponse, handler: ClientHandlerType
) -> ClientResponse:
    """Send a request again for each reason there is, and return the last answer."""
    outgoing = OutgoingRequest(repeatable=repeatable(request))
    while reason := attempt.reason(outgoing, answer_of(request, response)):
        readable = await release(request, response)
        if not await attempt.prepare(reason, readable=readable):
            break
        request.headers.update(attempt.headers())
        request.update_expect_continue()  # the server has to say anew that it wants the body
        response = await handler(request)
    return response


def _new_call(request: ClientRequest) -> _Call:
    return _Call(request._timer)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
