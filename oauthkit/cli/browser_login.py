"""A login in the browser of this machine, by a loopback redirect (RFC 8252 §7.3)."""

import time
from collections.abc import Callable

import anyio
import httpx

from oauthkit.cli.access import Access
from oauthkit.cli.callback_page import failure, success
from oauthkit.cli.loopback import Arrival, open_loopback
from oauthkit.cli.loopback_uri import callback_path
from oauthkit.cli.profile import Profile
from oauthkit.errors import (
    AccessDenied,
    ConfigurationError,
    OAuthKitError,
    ReauthorizationRequired,
)
from oauthkit.operations.login import LoggedIn, complete_login
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.server import AuthorizationServer

Show = Callable[[str], None]
"""Shows the resource owner a URL to go to."""


async def log_in_by_browser(
    http: httpx.AsyncClient,
    access: Access,
    *,
    others: list[Profile],
    show: Show,
    seconds: float,
) -> LoggedIn:
    """Wait until somebody has logged in by a browser, and return the token.

    Args:
        http: Whose connections are used.
        access: Which server, as which client.
        others: Profiles of other servers, whose callbacks must not be taken for this one's.
        show: Opens the browser, or prints the URL.
        seconds: How long to wait for the browser.

    Raises:
        OAuthKitError: Nobody has, or it failed.
        OSError: The port is in use.
    """
    profile = access.profile
    server = await access.found(http)
    check_told_apart(server, profile, others)
    async with open_loopback(*profile.redirect_uris) as loopback:
        login = AuthorizationRequest.new(
            server,
            profile.client_id,
            redirect_uri=loopback.redirect_uri,
            scope=profile.scope,
            resource=profile.resource,
            additional=access.further,
            life=seconds,
            now=time.time(),
        )
        loopback.expect(login)
        show(login.url)
        arrival = None
        with anyio.move_on_after(seconds):
            arrival = await loopback.arrival()
        if arrival is not None:  # from here on the server's answer is waited for, as ever
            return await _completed(http, access, login, arrival)
    message = f"nobody has come back from the browser within {seconds:g} s"
    raise ReauthorizationRequired(message)


async def _completed(
    http: httpx.AsyncClient, access: Access, login: AuthorizationRequest, arrival: Arrival
) -> LoggedIn:
    """Return what comes of a callback, and let the browser say so.

    Raises:
        OAuthKitError: The login failed.
    """
    try:
        result = await complete_login(
            http, access.server, access.client_auth, login, arrival.callback, method="GET"
        )
        await access.store.save(access.profile.key, result.token)
    except OAuthKitError as error:
        await arrival.answer(failure(_reason(error)))
        raise
    await arrival.answer(success())
    return result


def _reason(error: OAuthKitError) -> str:
    """Return words of ours: what the server says may be anybody's (RFC 6749 §10.14)."""
    if isinstance(error, AccessDenied):
        return "You, or the server, refused"
    return "It could not be completed"


def check_told_apart(server: AuthorizationServer, profile: Profile, others: list[Profile]) -> None:
    """Refuse a login whose callback could be that of another server (RFC 8252 §8.10, RFC 9207).

    A server that says in each callback who it is needs nothing; another one needs a path of its
    own, registered there.

    Raises:
        ConfigurationError: The path is that of another server's profile, too.
    """
    if server.authorization_response_iss_parameter_supported:
        return
    paths = {callback_path(uri) for uri in profile.redirect_uris}
    for other in others:
        if paths & {callback_path(uri) for uri in other.redirect_uris}:
            message = (
                f"the server of {profile.name!r} does not say in callbacks who it is (RFC 9207), "
                f"and the profile {other.name!r} of another server has the same path; register a "
                "redirect_uri with a path of its own (RFC 8252 §8.10)"
            )
            raise ConfigurationError(message)
