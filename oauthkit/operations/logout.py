"""Look at Logout Tokens, which a server sends when somebody logs out (Back-Channel Logout 1.0)."""

import time
from typing import Any, Final

import anyio

from oauthkit.clock import Clock
from oauthkit.jose import require_joserfc
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.verifying import Verifier, expected_of, silent
from oauthkit.protocol.client_auth import ClientAuth, PublicClient
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.id_token import LEEWAY
from oauthkit.protocol.logout_token import LogoutToken, check_logout_token
from oauthkit.transport import AsyncHTTPClient

_NOTHING: Final = ClientMetadata()


async def verify_logout_token(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client: ClientAuth | str,
    logout_token: str,
    *,
    client_metadata: ClientMetadata = _NOTHING,
    leeway: float = LEEWAY,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, for all that has to be fetched
    clock: Clock = time,
) -> LogoutToken:
    """Return whose visits are over, if a Logout Token is to be believed (§2.6).

    It is signed as ID Tokens are. What it was sent with is looked at by who takes it: a POST of a
    form, answered with 200 and `Cache-Control: no-store`, or with 400 where this raises.

    Example:
        ::

            said = await verify_logout_token(http, server, "reporter", form["logout_token"])
            print(said.issuer, said.subject, said.session_id)

    Args:
        http: Whose connections are used.
        server: Who may have issued it; it needs an `issuer` and a `jwks_uri`.
        client: The client it is for, or its identifier.
        logout_token: The Logout Token, as it came.
        client_metadata: What was registered for this client beyond what everybody has.
        leeway: Seconds by which the two clocks may differ, 600 at most.
        timeout: Seconds for all that has to be fetched.
        clock: Tells the time.

    Raises:
        InvalidJWT: It is not to be believed; the message says why.
        TransportError: The keys could not be had. Nothing is known of the Logout Token yet.
        ResponseError: The keys could not be had; `recovery` says whether later.
        ConfigurationError: Something does not fit, or joserfc (the extra `jose`) is not installed.
    """
    require_joserfc("verify_logout_token")
    logout_token = silent(logout_token)
    check_kind("verify_logout_token: client", client, ClientAuth | str)
    check_kind("verify_logout_token: logout_token", logout_token, str)
    check_kind("verify_logout_token: client_metadata=", client_metadata, ClientMetadata)
    check_kind("verify_logout_token: leeway=", leeway, float)
    exchange = exchange_over(
        "verify_logout_token", http, server, None, timeout=timeout, clock=clock
    )
    ends = anyio.current_time() + timeout
    known = await exchange.found(seconds=timeout)
    client_auth = PublicClient(client) if isinstance(client, str) else client
    expected = expected_of(server, known, client_auth, leeway=leeway)
    verifier = Verifier(http, server, known, client_auth, client_metadata, ends=ends, clock=clock)
    token = await verifier.signed(
        verifier.decrypted(logout_token, name="the Logout Token"),
        name="the Logout Token",
        registered=client_metadata.id_token_signed_response_alg,
        supported=known.id_token_signing_alg_values_supported,
    )
    return check_logout_token(token, expected, now=clock.time())
