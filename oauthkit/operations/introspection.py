"""What a token is good for, as its server says (RFC 7662): for APIs that are shown tokens."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError
from oauthkit.exchange import Exchange, Question
from oauthkit.jose import require_joserfc
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.operations.introspection_cache import IntrospectionCache
from oauthkit.operations.verifying import Verifier, expected_of
from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.client_metadata import ClientMetadata
from oauthkit.protocol.grants import Repeat
from oauthkit.protocol.introspection import (
    ENDPOINT,
    Introspection,
    build_introspection_request,
    check_signed_introspection,
    parse_introspection_response,
    parse_signed_introspection_response,
)
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import SecretStr, check_given
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.transport import AsyncHTTPClient

T = TypeVar("T")

_NAME: Final = "introspect"
_NOTHING: Final = ClientMetadata()


async def introspect(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth | None,
    token_text: str,
    hint: str | None = None,
    *,
    access_token: str | None = None,
    cache: IntrospectionCache | None = None,
    client_metadata: ClientMetadata = _NOTHING,
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
        client_metadata: What was registered: with an `introspection_signed_response_alg` the answer
            must be signed (RFC 9701), by this very algorithm, and is verified (the extra `jose`).
        timeout: Seconds for all of it. A request that may have been sent is not sent again.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no: it does not know who asks, for example.
        ResponseError: It answered what RFC 7662 does not describe, such as an `active` that is
            neither true nor false; or it cannot answer now, then `recovery` says so.
        InvalidJWT: A signed answer is not to be believed.
        TransportError: It did not answer.
        ConfigurationError: It has no introspection endpoint, or something else does not fit;
            nothing was sent.
    """
    check_kind(f"{_NAME}: token_text", token_text, str)
    check_kind(f"{_NAME}: hint", hint, str | None)
    check_kind(f"{_NAME}: access_token=", access_token, str | None)
    check_kind(f"{_NAME}: client_metadata=", client_metadata, ClientMetadata)
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
    registered = client_metadata.introspection_signed_response_alg
    ask = partial(_ask, exchange, token_text, hint, access_token)
    if registered is not None:
        require_joserfc("a signed answer of the introspection endpoint")
        if client_auth is None:
            message = (
                "a signed answer must be for who asked (RFC 9701 §5), and that is known of a "
                "client alone; give client_auth in place of access_token="
            )
            raise ConfigurationError(message)
        asked = partial(_ask_signed, exchange, token_text, hint, http=http, issuer=server)
        ask = partial(asked, client_metadata=client_metadata)
    if cache is None:
        return await ask(timeout)
    caller = access_token if client_auth is None else client_auth.client_id
    about = (exchange.line, caller or "", hint or "", token_text, registered or "")
    return await cache.get(about, ask, clock, seconds=timeout)


async def _ask(
    exchange: Exchange,
    token_text: str,
    hint: str | None,
    access_token: str | None,
    seconds: float,
) -> Introspection:
    exchange = attrs.evolve(exchange, timeout=seconds)
    server = await exchange.found(seconds=exchange.timeout)
    build = partial(
        build_introspection_request, server, token_text, hint, access_token=access_token
    )
    return await exchange.ask(_question(server, build, partial(_parsed, server)))


async def _ask_signed(
    exchange: Exchange,
    token_text: str,
    hint: str | None,
    seconds: float,
    *,
    http: AsyncHTTPClient[Any],
    issuer: Issuer,
    client_metadata: ClientMetadata,
) -> Introspection:
    exchange = attrs.evolve(exchange, timeout=seconds)
    ends = anyio.current_time() + seconds
    server = await exchange.found(seconds=exchange.timeout)
    client_auth = cast("ClientAuth", exchange.client_auth)
    expected = expected_of(issuer, server, client_auth)
    build = partial(build_introspection_request, server, token_text, hint, signed=True)
    text = await exchange.ask(_question(server, build, partial(_signed, server)))
    verifier = Verifier(
        *(http, issuer, server, client_auth, client_metadata), ends=ends, clock=exchange.clock
    )
    signed = await verifier.signed(
        text,
        name="the answer",
        registered=client_metadata.introspection_signed_response_alg,
        supported=None,
    )
    return check_signed_introspection(signed, expected, now=exchange.clock.time())


def _question(
    server: AuthorizationServer,
    build: Callable[[Authentication], HTTPRequest],
    parse: Callable[[HTTPResponse, HTTPRequest, float], T],
) -> Question[T]:
    return Question(
        server=server,
        endpoint=server.endpoint(ENDPOINT),
        build=build,
        parse=parse,
        repeat=Repeat.NEVER,
        name=ENDPOINT,
    )


def _signed(
    server: AuthorizationServer, response: HTTPResponse, request: HTTPRequest, requested_at: float
) -> str:
    return parse_signed_introspection_response(
        server, response, requested_at=requested_at, secrets=request.secrets
    )


def _parsed(
    server: AuthorizationServer, response: HTTPResponse, request: HTTPRequest, requested_at: float
) -> Introspection:
    return parse_introspection_response(
        server, response, requested_at=requested_at, secrets=request.secrets
    )
