"""Logins on a device without a browser, with a person at another one."""

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AccessDenied,
    AsyncTokenSession,
    AuthorizationServer,
    PublicClient,
    poll_device_login,
    start_device_login,
)
from tests.interop.human import Human

PUBLIC = PublicClient("public")
ADA = {"login": "ada", "password": "lovelace"}


@pytest.mark.parametrize("complete", [True, False], ids=["scanned", "typed"])
async def test_a_person_agrees_elsewhere_while_the_device_waits(
    http: httpx.AsyncClient, server: AuthorizationServer, *, complete: bool
) -> None:
    """Device login."""
    login = await start_device_login(http, server, PUBLIC, scope="openid")
    assert login.interval == 5  # it says none
    login = attrs.evolve(login, interval=1.0)  # and is not hurt by one second
    url = login.verification_uri_complete if complete else login.verification_uri

    async def agree() -> None:
        await anyio.sleep(1.2)
        async with Human(ADA | {"user_code": login.user_code}) as human:
            assert "Success" in await human.visit(str(url))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agree)
        token = await poll_device_login(http, server, PUBLIC, login)
        session = AsyncTokenSession(http, server=server, client_auth=PUBLIC, token=token)
        assert (await session.get(server.endpoint("userinfo_endpoint"))).json() == {"sub": "ada"}
        assert (await session.renew()).access_token != token.access_token


async def test_a_person_says_no(http: httpx.AsyncClient, server: AuthorizationServer) -> None:
    """Device login: refused."""
    login = await start_device_login(http, server, PUBLIC, scope="openid")
    async with Human(ADA | {"user_code": login.user_code}, refuse="abort") as human:
        await human.visit(login.verification_uri)

    with pytest.raises(AccessDenied):
        await poll_device_login(http, server, PUBLIC, attrs.evolve(login, interval=1.0))
