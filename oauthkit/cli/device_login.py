"""A login on another device than this one (RFC 8628)."""

from collections.abc import Callable

import httpx

from oauthkit.cli.access import Access
from oauthkit.operations.device import poll_device_login, start_device_login
from oauthkit.protocol.device_login import DeviceLogin
from oauthkit.protocol.token import Token


async def log_in_by_device(
    http: httpx.AsyncClient, access: Access, *, show: Callable[[DeviceLogin], None]
) -> Token:
    """Wait until somebody has agreed on another device, and return the token.

    Args:
        http: Whose connections are used.
        access: Which server, as which client.
        show: Shows the code, and where to enter it.

    Raises:
        OAuthKitError: Nobody has, or it failed.
    """
    profile = access.profile
    login = await start_device_login(
        http,
        access.server,
        access.client_auth,
        scope=profile.scope,
        resource=profile.resource,
        additional=access.further,
    )
    show(login)
    token = await poll_device_login(http, access.server, access.client_auth, login)
    await access.store.save(profile.key, token)
    return token
