"""A login on a device without a browser (RFC 8628)."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import anyio

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError, OAuthKitError, ReauthorizationRequired
from oauthkit.exchange import Question
from oauthkit.kinds import check_kind
from oauthkit.operations.asking import Issuer, exchange_over
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.device import (
    ENDPOINT,
    Polling,
    build_device_request,
    parse_device_response,
)
from oauthkit.protocol.device_login import DeviceCode, DeviceLogin
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import scope_text
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.resource_indicators import resources
from oauthkit.protocol.secret import unprintable
from oauthkit.protocol.token import Token
from oauthkit.transport import AsyncHTTPClient

_SHORTEST_INTERVAL: Final = 1.0


async def start_device_login(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    *,
    scope: str | Iterable[str] | None = None,
    resource: str | Iterable[str] | None = None,
    additional: Mapping[str, ParameterValue] | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own, retries included
    clock: Clock = time,
) -> DeviceLogin:
    """Begin a login on a device without a browser (RFC 8628 §3.1).

    Example:
        A command line shows where to go, and waits::

            login = await start_device_login(http, server, client_auth, scope="read")
            print(f"Open {login.verification_uri} and enter {login.user_code}")
            token = await poll_device_login(http, server, client_auth, login)

    Args:
        http: Whose connections are used.
        server: Who is asked; it needs a `device_authorization_endpoint`.
        client_auth: Who asks.
        scope: What is asked for.
        resource: Where the token is to be used (RFC 8707 §2): an absolute URI, or several.
        additional: Further parameters.
        timeout: Seconds for all of it, retries included.
        clock: Tells the time.

    Raises:
        ErrorResponse: The server said no.
        ResponseError: It answered what no document describes.
        TransportError: It did not answer.
        ConfigurationError: Something does not fit; nothing was sent.
    """
    check_kind("start_device_login: client_auth", client_auth, ClientAuth)
    check_kind("start_device_login: scope=", scope, str | Iterable | None)
    check_kind("start_device_login: resource=", resource, str | Iterable | None)
    check_kind("start_device_login: additional=", additional, Mapping | None)
    name = "start_device_login"
    exchange = exchange_over(name, http, server, client_auth, timeout=timeout, clock=clock)
    asked, wanted = scope_text(scope), resources(resource)
    found = await exchange.found(seconds=timeout)

    def parse(response: HTTPResponse, request: HTTPRequest, requested_at: float) -> DeviceLogin:
        return parse_device_response(
            found,
            response,
            requested_at=requested_at,
            client_id=client_auth.client_id,
            scope=asked,
            secrets=request.secrets,
        )

    question = Question(
        server=found,
        endpoint=found.endpoint(ENDPOINT),
        build=partial(
            build_device_request,
            found,
            client_auth,
            scope=asked,
            resource=wanted,
            additional=unprintable(additional or {}),
        ),
        parse=parse,
        name=ENDPOINT,
    )
    return await exchange.ask(question)


async def poll_device_login(
    http: AsyncHTTPClient[Any],
    server: Issuer,
    client_auth: ClientAuth,
    login: DeviceLogin,
    *,
    shortest_interval: float = _SHORTEST_INTERVAL,
    additional: Mapping[str, ParameterValue] | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of each request; the login has its own
    clock: Clock = time,
) -> Token:
    """Wait until the resource owner has agreed, and return the token (RFC 8628 §3.4, §3.5).

    It waits first, then asks every `login.interval` seconds, more slowly for good when the server
    says so, and after twice as long a pause each time when no answer comes. It ends with the login
    at the latest, may be cancelled whenever that is wanted, and called again for the same login. A
    login that is over is not begun anew: the resource owner would not know of the other code.

    Example:
        Somebody may think better of it while it waits::

            import anyio

            login = await start_device_login(http, server, client_auth, scope="read")
            with anyio.move_on_after(120):
                token = await poll_device_login(http, server, client_auth, login)

    Args:
        http: Whose connections are used.
        server: Who is asked: the server that the login was begun at.
        client_auth: Who asks: the client that began it.
        login: The login.
        shortest_interval: Seconds between two requests at least, whatever the server says.
        additional: Further parameters.
        timeout: Seconds for each request.
        clock: Tells the time.

    Raises:
        AccessDenied: The resource owner, or the server, refused.
        ReauthorizationRequired: The login is over, and nobody has agreed in time.
        ErrorResponse: The server said no in other words; `expired_token` is the end of the login.
        ResponseError: It answered what no document describes.
        ConfigurationError: Something does not fit; nothing was sent.
    """
    check_kind("poll_device_login: client_auth", client_auth, ClientAuth)
    check_kind("poll_device_login: login", login, DeviceLogin)
    check_kind("poll_device_login: shortest_interval=", shortest_interval, float)
    check_kind("poll_device_login: additional=", additional, Mapping | None)
    if not shortest_interval >= 0:
        message = f"shortest_interval= is seconds from 0 on, not {shortest_interval!r}"
        raise ConfigurationError(message)
    name = "poll_device_login"
    exchange = exchange_over(name, http, server, client_auth, timeout=timeout, clock=clock)
    grant = DeviceCode.of(login, additional=additional or {})
    polling, failure = Polling(max(login.interval, shortest_interval)), None
    while True:
        await _wait(polling.pause, login, clock, failure)
        try:
            return await exchange.one_try(grant)
        except OAuthKitError as error:
            if not polling.goes_on(error):
                raise
            failure = error if polling.failures else None


async def _wait(
    seconds: float, login: DeviceLogin, clock: Clock, failure: OAuthKitError | None
) -> None:
    """Wait before a request.

    Raises:
        ReauthorizationRequired: The login is over before then.
    """
    left = login.expires_at - clock.time()
    if left > 0:
        await anyio.sleep(min(seconds, left))
    if seconds < left and clock.time() < login.expires_at:
        return
    message = "nobody has agreed to this login in time, and it is over; start a new one"
    if failure is not None:
        message += f" (the last request failed: {failure})"
    raise ReauthorizationRequired(message) from failure
