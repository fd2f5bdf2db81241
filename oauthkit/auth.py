"""The `Auth` that a session lends to an HTTP client.

The two HTTP libraries drive it alike: they hand in a request, and send what it yields. It decides
what each request may carry, and what a 401 means.
"""

from collections.abc import AsyncGenerator, Generator
from functools import cache
from types import ModuleType
from typing import Any, Final, cast

from oauthkit.copies import Copy
from oauthkit.errors import ConfigurationError
from oauthkit.protocol.bearer import authorization_header
from oauthkit.protocol.challenge import parse_challenges
from oauthkit.protocol.messages import Origin
from oauthkit.renewal import Renewer

_UNAUTHORIZED: Final = 401
_OURS: Final = frozenset({"bearer", ""})
_CURABLE: Final = frozenset({"invalid_token", None})  # RFC 6750 §3.1; None: the API does not say


class SessionAuth:
    """Put the session's token on requests to its origins, and renew it once on a 401.

    A body that can be sent once only is never replayed, nor read into memory for it: then the 401
    is handed back, and the next request has a new token.
    """

    def __init__(self, renewer: Renewer, origins: frozenset[Origin]) -> None:
        """Take who has the token, and who may see it."""
        self._renewer = renewer
        self._origins = origins
        # The three parts as the URL classes of both libraries give them: no default port.
        self._allowed = {(o.scheme, o.host, None if o.default_port else o.port) for o in origins}

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Yield the request with the token, and once more with a new one after a 401."""
        url = request.url
        if (url.scheme, url.host, url.port) not in self._allowed:
            self._check(str(url))
        at_hand = self._renewer.peek()
        fetched = False
        if at_hand is None:
            before = self._renewer.state.copy
            at_hand = await self._renewer.token()
            fetched = at_hand.fetched and at_hand is not before
        request.headers["Authorization"] = sent = _header(at_hand)
        response = yield request
        if response.status_code != _UNAUTHORIZED or fetched:
            return
        renewed = await self._renewed_after(request, response, at_hand, sent)
        if renewed is not None:
            request.headers["Authorization"] = renewed
            yield request

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Refuse: the session is asynchronous.

        Raises:
            ConfigurationError: Always.
        """
        message = "an AsyncTokenSession lends its auth to asynchronous clients only"
        raise ConfigurationError(message)

    async def _renewed_after(
        self, request: Any, response: Any, rejected: Copy, sent: str
    ) -> str | None:
        """Return the header to try once more with; None hands the 401 back."""
        if response.request.headers.get("Authorization") != sent:
            return None  # a redirect led to another origin, which the token never saw
        challenges = parse_challenges(response.headers.get_list("www-authenticate"))
        if any(c.scheme in _OURS and c.error not in _CURABLE for c in challenges):
            return None
        if not _repeatable(request.stream):
            self._renewer.reject(rejected.token)
            return None
        # The connection goes back to the pool before anybody waits: in a crowd of 401s the
        # renewal would find none.
        await response.aread()
        renewed = await self._renewer.token(rejected=rejected.token)
        header = _header(renewed)
        return None if header == sent else header

    def _check(self, url: str) -> None:
        """Refuse an origin that may not have the token.

        Raises:
            ConfigurationError: It may not; nothing was sent.
        """
        origin = Origin.of(url)
        if origin in self._origins:
            return
        allowed = ", ".join(sorted(map(str, self._origins))) or "no origin at all"
        way = "AsyncTokenSession(origins=…)"
        if not origin.confidential:
            way += " and, as it is plain http, say AuthorizationServer(…, allow_plain_http=True)"
        message = (
            f"{origin} may not have this session's token: it goes to {allowed}. Name it in {way}; "
            "or send the request without a token by auth=None"
        )
        raise ConfigurationError(message)


@cache
def auth_class(library: ModuleType) -> type[Any]:
    """Return the class that both is a `SessionAuth` and an `Auth` of an HTTP library."""
    return type("SessionAuth", (SessionAuth, library.Auth), {"__doc__": SessionAuth.__doc__})


def _header(at_hand: Copy) -> str:
    return at_hand.authorization or authorization_header(at_hand.token)


def _repeatable(stream: Any) -> bool:
    """Tell whether a request body can be sent a second time."""
    if type(stream).__name__ == "ByteStream":
        return True
    fields = getattr(stream, "fields", None)  # multipart: files that can be rewound are
    if not isinstance(fields, list):
        return False
    files = (getattr(field, "file", b"") for field in cast("list[object]", fields))
    return all(isinstance(file, bytes | str) or _seekable(file) for file in files)


def _seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(callable(seekable) and seekable())
