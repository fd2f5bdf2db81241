"""What a test in one thread and a server in another tell each other."""

import threading

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.bell import Bell


async def test_who_waits_goes_on_when_it_rings_and_who_comes_later_does_too() -> None:
    bell = Bell()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bell.wait)
            await anyio.wait_all_tasks_blocked()
            bell.ring()
        await bell.wait()


async def test_who_stops_waiting_is_not_looked_for() -> None:
    bell = Bell()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()
    bell.ring()
    assert bell._waiting == {}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_rings_in_another_thread(backend: str) -> None:
    bell, waiting = Bell(), threading.Event()

    async def wait() -> None:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bell.wait)
                await anyio.wait_all_tasks_blocked()
                waiting.set()

    with start_blocking_portal(backend) as portal:
        done = portal.start_task_soon(wait)
        assert waiting.wait(5)
        bell.ring()
        done.result(5)


def test_a_server_in_a_thread_is_at_its_issuer_for_as_long_as_the_block_is_open() -> None:
    import httpx

    fake = FakeAuthorizationServer()
    before = fake.issuer
    with fake.serve_in_thread(lambda request: httpx.Response(200, json=request.url.path)) as url:
        assert fake.issuer == url
        token = httpx.post(
            fake.server.token_endpoint,
            data={"grant_type": "client_credentials"},
            auth=("client", "secret"),
        ).json()["access_token"]
        answer = httpx.get(f"{url}/report", headers={"authorization": f"Bearer {token}"})
    assert answer.json() == "/report"
    assert fake.issuer == before


def test_a_hold_in_one_thread_is_let_go_in_another() -> None:
    import httpx

    fake, answers = FakeAuthorizationServer(), list[int]()
    with fake.serve_in_thread() as url, fake.hold() as held:
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/token").status_code)
        )
        asking.start()
        anyio.run(held.arrived)
        assert answers == []
        held.release()
        asking.join(5)
    assert answers == [400]
