"""What a token is good for, as its server says (RFC 7662): for APIs that are shown tokens."""

import time
from functools import partial
from typing import Any, Final

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError
from oauthkit.exchange import Exchange, Question
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.introspection_cache import IntrospectionCache
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.grants import Repeat
from oauthkit.protocol.introspection import (
    ENDPOINT,
    Introspection,
    build_introspection_request,
    parse_introspection_response,
)
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import SecretStr, check_given
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.transport import AsyncHTTPClient

_NAME: Final = "introspect"


async def introspect(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth | None,
    token_text: str,
    hint: str | None = None,
    *,
    access_token: str | None = None,
    cache: IntrospectionCache | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    clock: Clock = time,
) -> Introspection:
    """Ask the authorization server what a token is good for (RFC 7662), as an API that is shown it.

    Example:
        ::

            cache = IntrospectionCache(seconds=30)  # one for the application
            said = await introspect(http, server, client_auth, token.access_token, cache=cache)
            if not said.active or "read" not in (said.scope or "").split():
                print("401, or 403")

    Args:
        http: Whose connections are used.
        server: Who is asked: a server with an `introspection_endpoint`, or `Discovered`.
        client_auth: Who asks: the API, as a client of the server; None where it is known by
            `access_token=`.
        token_text: The token itself, as it was shown.
        hint: What kind of token it is, `access_token` or `refresh_token`; None lets the server
            find out.
        access_token: A token of the API's own, by which it is known in place of `client_auth`.
        cache: What was said lately is said again; without it each call asks.
        timeout: Seconds for all of it. A request that may have been sent is not sent again.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no: it does not know who asks, for example.
        ResponseError: It answered what RFC 7662 does not describe, such as an `active` that is
            neither true nor false; or it cannot answer now, then `recovery` says so.
        TransportError: It did not answer.
        ConfigurationError: It has no introspection endpoint, or something else does not fit;
            nothing was sent.
    """
    check_kind(f"{_NAME}: token_text", token_text, str)
    check_kind(f"{_NAME}: hint", hint, str | None)
    check_kind(f"{_NAME}: access_token=", access_token, str | None)
    check_kind(f"{_NAME}: cache=", cache, IntrospectionCache | None)
    check_given(token_text=token_text)
    token_text = SecretStr(token_text)  # no traceback with local values shows them
    access_token = None if access_token is None else SecretStr(access_token)
    exchange = exchange_over(_NAME, http, server, client_auth, timeout=timeout, clock=clock)
    if (client_auth is None) == (access_token is None):
        message = (
            "introspect asks either as a client, by client_auth, or by a token of its own, "
            "access_token=; give one of the two (RFC 7662 §2.1)"
        )
        raise ConfigurationError(message)
    ask = partial(_ask, exchange, token_text, hint, access_token)
    if cache is None:
        return await ask()
    caller = access_token if client_auth is None else client_auth.client_id
    return await cache.get((exchange.line, caller or "", hint or "", token_text), ask, clock)


async def _ask(
    exchange: Exchange, token_text: str, hint: str | None, access_token: str | None
) -> Introspection:
    server = await exchange.found(seconds=exchange.timeout)
    question = Question(
        server=server,
        endpoint=server.endpoint(ENDPOINT),
        build=partial(
            build_introspection_request, server, token_text, hint, access_token=access_token
        ),
        parse=partial(_parsed, server),
        repeat=Repeat.NEVER,
        name=ENDPOINT,
    )
    return await exchange.ask(question)


def _parsed(
    server: AuthorizationServer, response: HTTPResponse, request: HTTPRequest, requested_at: float
) -> Introspection:
    return parse_introspection_response(
        server, response, requested_at=requested_at, secrets=request.secrets
    )
