"""One token request to its end, with the retries its grant allows."""

import math
import random
import time
from collections.abc import Awaitable
from typing import Final, Protocol

import anyio
import attrs

from oauthkit.errors import ResponseError, TransportError
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.grants import GrantStrategy, RefreshToken, Repeat
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import build_token_request, parse_token_response

_FIRST_PAUSE: Final = 0.1
_MOST_TRIES: Final = 3
_MOST_SENT: Final = {Repeat.NEVER: 1, Repeat.ONCE: 2, Repeat.ALWAYS: _MOST_TRIES}
_BUSY: Final = frozenset({429, 503})


class Clock(Protocol):
    """Tell the time; the standard library's module `time` does."""

    def time(self) -> float:
        """Return seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that is never set."""
        ...


class Send(Protocol):
    """Send one request to an authorization server, as `oauthkit.transport.send` does."""

    def __call__(self, request: HTTPRequest, /, *, timeout: float) -> Awaitable[HTTPResponse]:
        """Return the answer, within `timeout` seconds.

        Raises:
            TransportError: There was none.
        """
        ...


@attrs.define
class Exchange:
    """Ask for one token.

    A request that was never sent is tried again, by any right. One that was sent and not answered
    is tried again as the grant allows (`Repeat`). `Retry-After` of a 429 or 503 is honoured as long
    as it ends in time. Each try is built anew.

    Attributes:
        timeout: Seconds for all tries and the pauses between them.
    """

    send: Send
    server: AuthorizationServer
    client_auth: ClientAuth
    clock: Clock = time
    timeout: float = 30.0

    async def token(
        self, grant: GrantStrategy, *, previous: Token | None = None, seconds: float = math.inf
    ) -> Token:
        """Return the token.

        Args:
            grant: By what right.
            previous: The token that is refreshed.
            seconds: An end before `timeout`.

        Raises:
            TransportError: No answer came.
            ResponseError: An answer came that no document describes.
            ErrorResponse: The server said no.
        """
        deadline = anyio.current_time() + min(self.timeout, seconds)
        tries = _Tries(grant.repeat)
        while True:
            request = build_token_request(self.server, self.client_auth, grant)
            requested_at = self.clock.time()
            left = deadline - anyio.current_time()
            try:
                response = await self.send(request, timeout=max(left, 0.001))
                token = parse_token_response(
                    self.server,
                    response,
                    requested_at=requested_at,
                    previous=previous if isinstance(grant, RefreshToken) else None,
                    requested_scope=getattr(grant, "scope", None),
                    secrets=request.secrets,
                )
                return _with_refresh_token(token, grant)
            except (TransportError, ResponseError) as error:
                pause = tries.pause_after(error)
                if pause is None or pause > deadline - anyio.current_time():
                    raise
            await anyio.sleep(pause)


def _with_refresh_token(token: Token, grant: GrantStrategy) -> Token:
    """Keep the refresh token that was used, where the answer has no other (RFC 6749 §6)."""
    if token.refresh_token is None and isinstance(grant, RefreshToken):
        return attrs.evolve(token, refresh_token=grant.refresh_token)
    return token


@attrs.define
class _Tries:
    repeat: Repeat
    made: int = 0
    unanswered: int = 0

    def pause_after(self, error: TransportError | ResponseError) -> float | None:
        """Return the seconds to wait before the next try; None where there is none."""
        self.made += 1
        asked, over = 0.0, self.made >= _MOST_TRIES
        if isinstance(error, ResponseError):
            asked = error.retry_after or 0.0
            over = over or error.status_code not in _BUSY or error.retry_after is None
        elif error.sent:
            self.unanswered += 1
            over = over or self.unanswered >= _MOST_SENT[self.repeat]
        if over:
            return None
        backoff = float(_FIRST_PAUSE * 2 ** (self.made - 1))
        return asked + backoff * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
