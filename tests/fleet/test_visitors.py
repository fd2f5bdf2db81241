"""Fifty visitors at once, tokens that live three seconds, and clients that leave at any moment."""

import time
from collections.abc import Callable

import pytest

from oauthkit import AsyncTokenSession, MemoryStore

from .visitors import FRAMEWORKS, LIFE, REFUSED, Application, Crowd, Server

VISITORS = 50


@pytest.mark.parametrize("application", FRAMEWORKS.values(), ids=list(FRAMEWORKS))
async def test_everybody_sees_their_own_pages_and_stays_logged_in(
    application: Application,
    record_property: Callable[[str, str], None],
    *,
    seconds: float,
    seed: int,
) -> None:
    """Who leaves takes neither a renewal nor somebody else's page along."""
    server = Server.new()
    async with server.serve(server.api) as issuer:
        session: AsyncTokenSession = AsyncTokenSession(
            server=server.server,
            client_auth=server.client_auth,
            base_url=issuer,
            store=MemoryStore(),
            key="application",
        )
        async with application(session) as url:
            crowd = Crowd(server, url, seed, time.monotonic() + seconds)
            await crowd.run(VISITORS)

    grants = [request.parameters["grant_type"] for request in server.token_requests]
    renewals = grants.count("refresh_token")
    record_property("measured", f"{VISITORS} visitors, {seconds:g} s: {dict(crowd.done)}")
    record_property("measured", f"{grants.count('authorization_code')} logins, {renewals} renewals")
    assert crowd.wrong == []
    assert renewals > VISITORS * seconds / LIFE / 4
    assert server.presented_twice == 0
    assert {"look", "listen", "leave", "hurry", "log_out"} <= {*crowd.done}
    assert crowd.done[REFUSED] < crowd.done["look"] / 20
    assert all(request.status_code == 200 for request in server.token_requests)
