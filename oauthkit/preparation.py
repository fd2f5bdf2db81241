"""What is made before a request can be built: what the client is known by, a grant's own values.

Either may ask somebody else, such as a key service or another session, and so has an end of its
own.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import anyio

from oauthkit.errors import ConfigurationError, OAuthKitError, TransportError
from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.server import AuthorizationServer


async def authenticated(
    client_auth: ClientAuth,
    server: AuthorizationServer,
    *,
    endpoint: str,
    now: float,
    ends: float,
) -> Authentication:
    """Return what makes the client known, within its share of the time.

    Args:
        client_auth: Who asks.
        server: Who is asked.
        endpoint: The URL that is asked.
        now: Seconds since the epoch.
        ends: When it must be done, by the event loop's clock.

    Raises:
        ConfigurationError: The client authentication is of another form.
        TransportError: It failed, or took too long.
    """
    made = await _within(
        ends,
        lambda: _awaitable(client_auth, server, endpoint, now),
        who="the client authentication",
        call=f"{type(client_auth).__name__}.authenticate",
    )
    return _checked(client_auth, made)


async def prepared(
    grant: GrantStrategy,
    server: AuthorizationServer,
    *,
    client_id: str,
    now: float,
    ends: float,
) -> GrantStrategy:
    """Return the grant with all that its request presents, within its share of the time.

    Args:
        grant: By what right.
        server: Who is asked.
        client_id: Who asks.
        now: Seconds since the epoch.
        ends: When it must be done, by the event loop's clock.

    Raises:
        ConfigurationError: It is prepared in another form.
        TransportError: That failed, or took too long; `recovery` is that of what failed, so that
            who has to log in elsewhere first is told so.
    """
    call = f"{type(grant).__name__}.prepared"
    try:
        made = await _within(
            ends,
            lambda: _awaitable_grant(grant, server, client_id=client_id, now=now),
            who="the grant",
            call=call,
        )
    except TransportError as error:
        if isinstance(error.__cause__, OAuthKitError):
            error.recovery = error.__cause__.recovery
        raise
    if not isinstance(made, GrantStrategy):
        message = (
            f"{call} must return a GrantStrategy, such as attrs.evolve(self, …) gives, not "
            f"{type(made).__name__}"
        )
        raise ConfigurationError(message)
    return made


async def _within(
    ends: float, make: Callable[[], Awaitable[object]], *, who: str, call: str
) -> object:
    """Return what is made before a request can be built, within a share of the time.

    What fails here was never sent, whatever it is called: a refusal by somebody's key service, or
    by another server, says nothing of the right that was to be presented.

    Args:
        ends: When it must be done, by the event loop's clock.
        make: Begins it.
        who: What is at work, for an error.
        call: What of it is called.

    Raises:
        ConfigurationError: As what is at work does.
        TransportError: It failed, or took too long.
    """
    share = ends - anyio.current_time()
    try:
        with anyio.move_on_after(share):
            made = await make()
            if anyio.current_time() <= ends:
                return made
    except ConfigurationError:
        raise
    except (OAuthKitError, OSError) as error:
        told = f": {error}" if isinstance(error, OAuthKitError) else ""
        message = f"{who} failed with {type(error).__name__}{told}"
        pause = getattr(error, "retry_after", None)
        raise TransportError(message, sent=False, retry_after=pause) from error
    message = f"{call} took longer than {share:g} s; nothing was sent"
    raise TransportError(message, sent=False)


def _awaitable_grant(
    grant: GrantStrategy, server: AuthorizationServer, *, client_id: str, now: float
) -> Awaitable[object]:
    made: object = None
    with suppress(TypeError):  # it takes other arguments: what is asynchronous runs nothing yet
        made = grant.prepared(server, client_id=client_id, now=now)
    if not isinstance(made, Awaitable):
        message = (
            f"{type(grant).__name__}.prepared must be "
            "`async def prepared(self, server, *, client_id, now)`; it is awaited before each try"
        )
        raise ConfigurationError(message)
    return cast("Awaitable[object]", made)


def _awaitable(
    client_auth: ClientAuth, server: AuthorizationServer, endpoint: str, now: float
) -> Awaitable[object]:
    made: Awaitable[object] | None
    try:
        made = client_auth.authenticate(server, endpoint=endpoint, now=now)
    except TypeError:  # it takes other arguments: what is asynchronous runs nothing yet
        made = None
    if made is None or not hasattr(made, "__await__"):
        message = (
            f"{type(client_auth).__name__}.authenticate must be "
            "`async def authenticate(self, server, *, endpoint, now)`; it is awaited, and told "
            "which endpoint is asked, and when"
        )
        raise ConfigurationError(message)
    return made


def _checked(client_auth: ClientAuth, made: object) -> Authentication:
    if not isinstance(made, Authentication):
        message = (
            f"{type(client_auth).__name__}.authenticate must return an Authentication, not "
            f"{type(made).__name__}"
        )
        raise ConfigurationError(message)
    return made
