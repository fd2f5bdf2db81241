"""The `Auth` that a session lends to an HTTP client: the adapter of httpx and httpx2.

The two libraries drive it alike: they hand in a request, and send what it yields. What a request
carries, and what an answer means, `authorizer` decides.
"""

import copy
from collections.abc import AsyncGenerator, Generator
from functools import cache
from types import ModuleType
from typing import Any, ClassVar, Self

from oauthkit.authorizer import Answer, Attempt, Authorizer, OutgoingRequest
from oauthkit.body import release, repeatable
from oauthkit.errors import ConfigurationError
from oauthkit.gate import Gate
from oauthkit.pool import Place
from oauthkit.renewal.source import Handed
from oauthkit.renewal.state import HeldToken


class SessionAuth:
    """Put the session's token on requests to its origins, and renew it once where it is dead.

    A body that can be sent once only is never replayed, nor read into memory for it: then the
    answer is handed back, and the next request has a new token.
    """

    _library: ClassVar[Any]
    _newest: HeldToken | None = None

    def __init__(self, authorizer: Authorizer, gate: Gate | None = None) -> None:
        """Take who decides, and the gate that each request has passed, if there is one."""
        self._authorizer = authorizer
        self._gate = gate

    def after(self, handed: Handed) -> Self:
        """Return the auth of one call that has waited for its token before it was sent."""
        if not handed.fetched:
            return self
        knowing = copy.copy(self)
        knowing._newest = handed.held  # noqa: SLF001
        return knowing

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Yield the request with the token, and again for each reason there is."""
        authorizer, url = self._authorizer, request.url
        if (url.scheme, url.host, url.port) not in authorizer.named:
            authorizer.check(str(url))
        held, fetched, place = authorizer.peek(), False, None
        if held is None:
            place = self._place(request)
            handed = await place.outside(authorizer.token())
            held = authorizer.peek() or handed.held  # it may be long since, in a queue
            fetched = handed.fetched and held is handed.held
        request.headers["Authorization"] = held.presentation or authorizer.present(held)
        response = yield request
        if response.status_code not in authorizer.statuses:
            return
        attempt = Attempt(authorizer, held, fetched or held is self._newest)
        place = place or self._place(request)
        while reason := attempt.reason(_outgoing(request), _answer(response)):
            readable = await release(response, self._library)
            if not await place.outside(attempt.prepare(reason, readable=readable)):
                return
            request.headers.update(attempt.headers())
            response = yield request

    def _place(self, request: Any) -> Place:
        return Place(self._gate, self._library, request)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Refuse: the session is asynchronous.

        Raises:
            ConfigurationError: Always.
        """
        message = "an AsyncTokenSession lends its auth to asynchronous clients only"
        raise ConfigurationError(message)


@cache
def auth_class(library: ModuleType) -> type[Any]:
    """Return the class that both is a `SessionAuth` and an `Auth` of an HTTP library."""
    members = {"__doc__": SessionAuth.__doc__, "_library": library}
    return type("SessionAuth", (SessionAuth, library.Auth), members)


def _outgoing(request: Any) -> OutgoingRequest:
    return OutgoingRequest(repeatable=repeatable(request.stream))


def _answer(response: Any) -> Answer:
    return Answer(
        status=response.status_code,
        challenges=response.headers.get_list("www-authenticate"),
        authorization=response.request.headers.get("Authorization"),
    )
