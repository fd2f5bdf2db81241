"""Logins on a device without a browser, with a person at another one."""

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AccessDenied,
    AsyncTokenSession,
    AuthorizationServer,
    DeviceLogin,
    PublicClient,
    poll_device_login,
    start_device_login,
)
from tests.interop.human import Human

from .applications import ADA
from .conftest import Toolkit

DEVICE = PublicClient("device")


async def begun(
    http: httpx.AsyncClient, server: AuthorizationServer, oauth: Toolkit
) -> tuple[AuthorizationServer, DeviceLogin]:
    """Return the server with the endpoint that no metadata of it names, and a login there."""
    server = attrs.evolve(
        server, device_authorization_endpoint=f"{oauth.issuer}/device-authorization/"
    )
    return server, await start_device_login(http, server, DEVICE, scope="read")


async def test_a_person_agrees_elsewhere_while_the_device_waits(
    http: httpx.AsyncClient, server: AuthorizationServer, oauth: Toolkit
) -> None:
    """Device login."""
    server, login = await begun(http, server, oauth)
    assert login.interval == 1

    async def agree() -> None:
        await anyio.sleep(1.2)
        async with Human({**ADA, "user_code": login.user_code}) as human:
            assert "Authorized" in await human.visit(login.verification_uri)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agree)
        token = await poll_device_login(http, server, DEVICE, login)
        session = AsyncTokenSession(http, server=server, client_auth=DEVICE, token=token)
        assert (await session.get(oauth.api)).json() == {"user": "ada"}


async def test_a_person_says_no(
    http: httpx.AsyncClient, server: AuthorizationServer, oauth: Toolkit
) -> None:
    """Device login: refused."""
    server, login = await begun(http, server, oauth)
    async with Human({**ADA, "user_code": login.user_code}, refuse="deny") as human:
        assert "Denied" in await human.visit(login.verification_uri)

    with pytest.raises(AccessDenied):
        await poll_device_login(http, server, DEVICE, login)
