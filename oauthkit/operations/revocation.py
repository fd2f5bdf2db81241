"""A token that is to be good no more (RFC 7009)."""

import time
from typing import Any

from oauthkit.clock import Clock
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.secret import SecretStr, check_given
from oauthkit.transport import AsyncHTTPClient


async def revoke(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    token_text: str,
    hint: str | None = None,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    clock: Clock = time,
) -> None:
    """Revoke a token at the authorization server (RFC 7009), for who keeps it elsewhere.

    With a refresh token a server ends the access tokens that came of it, too (§2.1). That the
    server does not know the token, or not any more, is no error. A session's own token is revoked
    by `AsyncTokenSession.revoke`, which forgets it as well.

    Example:
        ::

            await revoke(http, server, client_auth, token.access_token, "access_token")

    Args:
        http: Whose connections are used.
        server: Who is asked: a server with a `revocation_endpoint`, or `Discovered`.
        client_auth: Who asks: the client that the token was issued to.
        token_text: The token itself, a refresh token or an access token.
        hint: Which of the two it is, `refresh_token` or `access_token`; None lets the server find
            out.
        timeout: Seconds for all of it. A request that may have been sent is not sent again; that
            may be done later, as often as it takes.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no: `unsupported_token_type` where it does not revoke tokens
            of this kind, `invalid_client` where it does not know who asks.
        ResponseError: It answered what no document describes, or cannot answer now; then
            `recovery` says so, and `retry_after` when, where that is known.
        TransportError: It did not answer.
        ConfigurationError: It has no revocation endpoint, or something else does not fit; nothing
            was sent.
    """
    check_kind("revoke: client_auth", client_auth, ClientAuth)
    check_kind("revoke: token_text", token_text, str)
    check_kind("revoke: hint", hint, str | None)
    check_given(token_text=token_text)
    token_text = SecretStr(token_text)  # no traceback with local values shows it
    exchange = exchange_over("revoke", http, server, client_auth, timeout=timeout, clock=clock)
    await exchange.revoke(token_text, hint=hint)
