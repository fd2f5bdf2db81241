"""One token, for who keeps it elsewhere (RFC 6749 §4)."""

import time
from typing import Any

from oauthkit.clock import Clock
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.token import Token
from oauthkit.transport import AsyncHTTPClient


async def fetch_token(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    grant: GrantStrategy,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, retries included
    clock: Clock = time,
) -> Token:
    """Ask for one token (RFC 6749 §4), for who keeps it elsewhere.

    An authorization code is sent once in the life of the process, whoever brings it. What fails
    after it was sent is for a new login to mend, and not for a later call: the error says so.

    Example:
        A login's callback saves the token where the sessions of all processes find it::

            token = await fetch_token(http, server, client_auth, login.accept(callback))
            await store.save(user_id, token)

    Args:
        http: Whose connections are used.
        server: Who is asked: a server, or `Discovered`.
        client_auth: Who asks.
        grant: By what right.
        timeout: Seconds for all of it, the retries that the grant allows included.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no.
        ResponseError: It answered what no document describes.
        TransportError: It did not answer.
        ReauthorizationRequired: The authorization code was sent before; nothing was sent now.
        ConfigurationError: Something does not fit; nothing was sent.
    """
    check_kind("fetch_token: client_auth", client_auth, ClientAuth)
    check_kind("fetch_token: grant", grant, GrantStrategy)
    exchange = exchange_over("fetch_token", http, server, client_auth, timeout=timeout, clock=clock)
    return await exchange.token(grant)
