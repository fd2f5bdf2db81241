"""Several logins at once: in the tabs of one browser, at two servers, in two processes."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from oauthkit import (
    AuthorizationRequest,
    CallbackError,
    ClientSecretBasic,
    ConfigurationError,
    SQLiteSingleUseStore,
    fetch_token,
)
from oauthkit.testing import FakeAuthorizationServer

CALLBACK = "https://app.example/callback"


def begin(fake: FakeAuthorizationServer, mode: str | None = None) -> AuthorizationRequest:
    return AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri=CALLBACK, scope="read", response_mode=mode
    )


@pytest.mark.parametrize("mode", [None, "form_post"])
@pytest.mark.parametrize("order", ["012", "210", "102"])
async def test_logins_in_several_tabs_end_in_any_order(order: str, mode: str | None) -> None:
    """AT-14, AT-03: each callback fits one login, whichever it is brought to first."""
    fake = FakeAuthorizationServer()
    waiting = [begin(fake, mode).to_dict() for _ in range(3)]
    callbacks = [fake.authorize(kept["url"]) for kept in waiting]
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        for number in map(int, order):
            other = AuthorizationRequest.from_dict(waiting[number - 1])
            with pytest.raises(CallbackError, match="another tab"):
                other.accept(callbacks[number])
            login = AuthorizationRequest.from_dict(waiting[number])
            grant = login.accept(callbacks[number])
            await fetch_token(http, fake.server, fake.client_auth, grant, clock=fake.clock)

    assert [request.status_code for request in fake.token_requests] == [200, 200, 200]


async def test_a_code_is_exchanged_by_the_client_of_its_login_alone() -> None:
    """IS-08: nothing is sent otherwise, and the code is still good."""
    fake = FakeAuthorizationServer()
    login = begin(fake)
    grant = login.accept(fake.authorize(login.url))
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        with pytest.raises(ConfigurationError, match="'client', and 'another'"):
            await fetch_token(http, fake.server, ClientSecretBasic("another", "secret"), grant)
        assert fake.token_requests == []
        await fetch_token(http, fake.server, fake.client_auth, grant, clock=fake.clock)
    assert [request.status_code for request in fake.token_requests] == [200]


async def test_a_login_at_one_server_sends_nothing_to_another() -> None:
    """AT-01, AT-03, IS-08: neither the code nor the verifier, over a real socket."""
    honest, evil = FakeAuthorizationServer(), FakeAuthorizationServer()
    async with honest.serve(), evil.serve(), httpx.AsyncClient() as http:
        begun = begin(evil)
        at_honest = begun.url.replace(evil.issuer, honest.issuer)
        with pytest.raises(CallbackError, match="another authorization server"):
            begun.accept(honest.authorize(at_honest))

        login = begin(honest)
        grant = login.accept(honest.authorize(login.url))
        with pytest.raises(ConfigurationError, match="another server"):
            await fetch_token(http, evil.server, evil.client_auth, grant)
        assert (honest.token_requests, evil.token_requests) == ([], [])
        await fetch_token(http, honest.server, honest.client_auth, grant)
    assert len(honest.token_requests) == 1


CLAIM = """
import sys, time, anyio
from oauthkit import AuthorizationRequest, SQLiteSingleUseStore

async def main():
    async with SQLiteSingleUseStore(sys.argv[1]) as used:
        print(await used.claim(sys.argv[2], expires_at=float(sys.argv[3])))

anyio.run(main)
"""


async def test_a_login_is_accepted_once_in_all_processes(tmp_path: Path) -> None:
    """AT-12: a callback that is brought to several of them at once counts in one."""
    login = begin(FakeAuthorizationServer())
    path, ends = tmp_path / "logins.db", time.time() + 600
    processes = [
        subprocess.Popen(  # noqa: ASYNC220, S603 - this very interpreter, which begins at once
            [sys.executable, "-c", CLAIM, str(path), login.once_id, str(ends)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=50)[0].strip() for process in processes]

    assert sorted(told) == ["False", "True"]
    async with SQLiteSingleUseStore(path) as used:
        assert not await used.claim(login.once_id, expires_at=ends)
