"""The fixtures, in a pytest of their own, as a user's suite has them."""

import json
from typing import Final

import pytest

from tests.plugin import install_plugin

pytest_plugins = ["pytester"]

SUITE: Final = '''
import asyncio
import subprocess
import sys
import threading

import anyio
import httpx
import pytest

from oauthkit import AsyncTokenSession, AuthorizationRequest, Discovered, complete_login

SEEN = set()

APPLICATION = """
import asyncio, sys
from oauthkit import AsyncTokenSession, ClientCredentials, ClientSecretBasic, Discovered

async def main(issuer):
    async with AsyncTokenSession(
        server=Discovered(issuer),
        client_auth=ClientSecretBasic("client", "secret"),
        grant=ClientCredentials(),
        base_url=issuer,
    ) as session:
        print((await session.get("/report")).json()["path"])

asyncio.run(main(sys.argv[1]))
"""


def calling(server, url, **settings):
    return AsyncTokenSession(
        server=server.server,
        client_auth=server.client_auth,
        grant=server.grant,
        base_url=url,
        **settings,
    )


def test_a_test_that_is_not_asynchronous(oauth_server, oauth_server_url):
    assert oauth_server_url == oauth_server.issuer
    headers = {"authorization": f"Bearer {oauth_server.issue().access_token}"}
    answers = [httpx.get(f"{oauth_server_url}/report", headers=headers)]
    oauth_server.advance(61)
    answers.append(httpx.get(f"{oauth_server_url}/report", headers=headers))
    assert [answer.status_code for answer in answers] == [200, 401]
    assert [request.status_code for request in oauth_server.api_requests] == [200, 401]
    oauth_server.fail_next(503)
    assert httpx.post(f"{oauth_server_url}/token").status_code == 503


def test_an_application_in_another_process(oauth_server, oauth_server_url):
    command = [sys.executable, "-c", APPLICATION, oauth_server_url]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stdout == "/report\\n"
    assert len(oauth_server.token_requests) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_each_test_has_its_own(oauth_server, oauth_server_url, number):
    assert oauth_server.token_requests == []
    SEEN.add(oauth_server)
    assert len(SEEN) <= number
    oauth_server.issue()


def test_an_event_loop_of_the_tests_own(oauth_server, oauth_server_url):
    async def main():
        async with calling(oauth_server, oauth_server_url) as session:
            return (await session.get("/report")).status_code

    assert asyncio.run(main()) == 200


@pytest.mark.anyio
async def test_a_crowd_asks_once(oauth_server, oauth_server_url):
    async with calling(oauth_server, oauth_server_url) as session:
        with oauth_server.hold() as held:
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(session.get, "/report")
                await held.arrived()
                held.release()
    assert len(oauth_server.token_requests) == 1


@pytest.mark.anyio
async def test_a_login(oauth_server, oauth_server_url):
    oauth_server.keys.algorithm = "ES256"
    login = AuthorizationRequest.new(
        oauth_server.server, "client", redirect_uri="https://app.example/callback", scope="openid"
    )
    async with httpx.AsyncClient() as http:
        sent_back = (await http.get(login.url)).headers["location"]
        result = await complete_login(
            http, Discovered(oauth_server_url), oauth_server.client_auth, login, sent_back
        )
    assert result.identity.subject == "ada"


@pytest.mark.anyio
async def test_without_a_socket_time_stands_still(oauth_server):
    before = oauth_server.clock.time()
    async with oauth_server.session() as session:
        await session.get("/report")
    assert oauth_server.clock.time() == before
'''

REPORT: Final = """
import json, sys

def pytest_collection_finish():
    with open("modules.json", "w") as file:
        json.dump(sorted(sys.modules), file)
"""


def test_the_fixtures_serve_tests_of_every_kind_also_side_by_side(
    pytester: pytest.Pytester,
) -> None:
    install_plugin(pytester.path)
    pytester.makepyfile(SUITE)

    ran = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", "-W", "error")

    ran.assert_outcomes(passed=11)


def test_a_suite_that_does_not_use_them_loads_a_few_lines(pytester: pytest.Pytester) -> None:
    install_plugin(pytester.path)
    pytester.makeconftest(REPORT)
    pytester.makepyfile("def test_nothing():\n    pass\n")

    ran = pytester.runpytest_subprocess("--collect-only", "-p", "no:cacheprovider")

    assert ran.ret == 0
    loaded = set(json.loads((pytester.path / "modules.json").read_text(encoding="utf-8")))
    assert {name for name in loaded if name.partition(".")[0] == "oauthkit"} == {
        "oauthkit",
        "oauthkit.testing",
        "oauthkit.testing.pytest_plugin",
        "oauthkit.version",
    }
    assert "cattrs" not in loaded
