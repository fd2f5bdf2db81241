"""How every operation asks: an `Exchange` over one client, with what is given checked first."""

from functools import partial
from typing import Any

from oauthkit.clock import Clock
from oauthkit.discovery import Discovered
from oauthkit.exchange import Exchange
from oauthkit.kinds import check_kind, check_seconds
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.transport import AsyncHTTPClient, check_async_client, send

Issuer = AuthorizationServer | Discovered
"""Who is asked: a server, or what finds it when it is needed."""


def exchange_over(
    name: str,
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth | None,
    *,
    timeout: float,
    clock: Clock,
) -> Exchange:
    """Return what asks a server over a client.

    Args:
        name: The operation, for the message of an error.
        http: Whose connections are used.
        server: Who is asked.
        client_auth: Who asks; None where the endpoint does not want to know.
        timeout: Seconds for all of it, retries included.
        clock: Tells the time.

    Raises:
        ConfigurationError: One of them is of another kind, or the time is none.
    """
    check_async_client(http)
    check_kind(f"{name}: server", server, Issuer)
    check_kind(f"{name}: client_auth", client_auth, ClientAuth | None)
    check_kind(f"{name}: timeout=", timeout, float)
    check_seconds(timeout=timeout)
    check_kind(f"{name}: clock=", clock, Clock)
    source = server if isinstance(server, AuthorizationServer) else server.over(http)
    return Exchange(partial(send, http), source, client_auth, clock=clock, timeout=timeout)
