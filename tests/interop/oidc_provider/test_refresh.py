"""Refresh tokens that the server rotates, each of them good once."""

from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

import anyio
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientSecretBasic,
    InvalidGrant,
    ReauthorizationRequired,
    RefreshToken,
    SQLiteStore,
    Token,
    fetch_token,
)
from tests.interop.human import Human

from .clients import CALLBACK, SECRET

SHORT_LIVED = ClientSecretBasic("short-lived", SECRET)
LIFE = 2
TASKS = 50
SECONDS = 6.0


@pytest.fixture
async def token(http: httpx.AsyncClient, server: AuthorizationServer, human: Human) -> Token:
    """Have Ada's token, which lives for two seconds."""
    login = AuthorizationRequest.new(
        server, "short-lived", redirect_uri=CALLBACK, scope="openid offline_access"
    )
    callback = await human.visit(login.url, until=CALLBACK)
    return await fetch_token(http, server, SHORT_LIVED, login.accept(callback))


async def test_no_call_fails_while_tokens_of_two_seconds_rotate(
    http: httpx.AsyncClient, server: AuthorizationServer, token: Token, tmp_path: Path
) -> None:
    """Refresh with rotation: fifty tasks, and two stores over one file, as two processes have."""
    presented: Counter[str] = Counter()
    statuses: Counter[int] = Counter()

    async def note(request: httpx.Request) -> None:
        if str(request.url) == server.token_endpoint:
            presented.update(parse_qs((await request.aread()).decode())["refresh_token"])

    http.event_hooks = {"request": [note]}
    ends = anyio.current_time() + SECONDS

    async def work(session: AsyncTokenSession) -> None:
        while anyio.current_time() < ends:
            response = await session.get(server.endpoint("userinfo_endpoint"))
            statuses[response.status_code] += 1
            await anyio.sleep(0.05)

    async with SQLiteStore(tmp_path / "a.db") as one, SQLiteStore(tmp_path / "a.db") as other:
        await one.save("ada", token)
        async with anyio.create_task_group() as tasks:
            for store in (one, other):
                session = AsyncTokenSession(
                    http, server=server, client_auth=SHORT_LIVED, store=store, key="ada"
                )
                for _ in range(TASKS // 2):
                    tasks.start_soon(work, session)

    assert statuses.keys() == {200}
    assert statuses[200] > 4 * TASKS
    assert set(presented.values()) == {1}
    assert len(presented) >= SECONDS / LIFE


async def test_a_refresh_token_that_comes_again_ends_the_login(
    http: httpx.AsyncClient, server: AuthorizationServer, token: Token
) -> None:
    """Reuse of a refresh token ends the family."""
    assert token.refresh_token
    session = AsyncTokenSession(http, server=server, client_auth=SHORT_LIVED, token=token)
    await session.renew()

    stolen = RefreshToken(refresh_token=token.refresh_token)
    with pytest.raises(InvalidGrant):
        await fetch_token(http, server, SHORT_LIVED, stolen)

    with pytest.raises(ReauthorizationRequired):
        await session.renew()
