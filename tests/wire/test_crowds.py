"""Many calls at once, on real sockets."""

from types import ModuleType
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from oauthkit import AsyncTokenSession, MemoryStore
from oauthkit.testing import FakeAuthorizationServer


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Send with both HTTP libraries."""
    module: ModuleType = request.param
    return module


async def test_a_burst_of_a_thousand_calls_gets_through_a_default_session() -> None:
    """Without a gate in front of its pool, httpx 0.28 lets none through."""
    fake, statuses = FakeAuthorizationServer(), list[int]()

    async def call() -> None:
        statuses.append((await session.get("/report")).status_code)

    async with (
        fake.serve() as url,
        AsyncTokenSession(
            server=fake.server,
            client_auth=fake.client_auth,
            grant=fake.grant,
            base_url=url,
            clock=fake.clock,
        ) as session,
    ):
        with anyio.fail_after(50):
            async with anyio.create_task_group() as tasks:
                for _ in range(1000):
                    tasks.start_soon(call)
    assert statuses == [200] * 1000
    assert len(fake.token_requests) == 1


async def test_sessions_of_many_requests_share_the_gate_of_their_client() -> None:
    fake, statuses = FakeAuthorizationServer(), list[int]()
    store = MemoryStore()
    limits = httpx.Limits(max_connections=5)

    async def request(http: httpx.AsyncClient, url: str) -> None:
        async with fake.session(http=http, base_url=url, store=store, key="k") as session:
            statuses.append((await session.get("/report")).status_code)

    async with fake.serve() as url, httpx.AsyncClient(limits=limits) as http:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for _ in range(200):
                    tasks.start_soon(request, http, url)
    assert statuses == [200] * 200
    assert len(fake.token_requests) == 1


async def test_a_storm_of_401_renews_once(library: ModuleType) -> None:
    """BT-08: each answer's connection is back in the pool before the renewal needs one."""
    fake, statuses = FakeAuthorizationServer(expires_in=3600), list[int]()

    async def call() -> None:
        statuses.append((await session.post("/report", json={})).status_code)

    limits = library.Limits(max_connections=4)
    async with (
        fake.serve() as url,
        library.AsyncClient(limits=limits) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        await session.token()
        fake.revoke_access_tokens()
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(call)
    assert statuses == [200] * 50
    assert len(fake.token_requests) == 2


async def test_one_connection_is_enough(library: ModuleType) -> None:
    fake = FakeAuthorizationServer()
    limits = library.Limits(max_connections=1)
    async with (
        fake.serve() as url,
        library.AsyncClient(limits=limits) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        with anyio.fail_after(10):
            for _ in range(3):
                fake.revoke_access_tokens()
                async with anyio.create_task_group() as tasks:
                    for _ in range(5):
                        tasks.start_soon(session.get, "/report")
                fake.advance(61)


async def test_cancelled_callers_cost_no_connection(library: ModuleType) -> None:
    """A token call is never cancelled by its callers: httpx 0.28 would lose the slot for good."""
    fake = FakeAuthorizationServer()
    limits = library.Limits(max_connections=2)
    async with (
        fake.serve() as url,
        library.AsyncClient(limits=limits) as http,
        fake.session(http=http, base_url=url) as session,
    ):
        with anyio.fail_after(20):
            for _ in range(10):
                with fake.hold() as held:
                    async with anyio.create_task_group() as tasks:
                        for _ in range(10):
                            tasks.start_soon(session.get, "/report")
                        await held.arrived()
                        tasks.cancel_scope.cancel()
                        held.release()
                await session.settled()
                fake.advance(61)
            assert (await session.get("/report")).status_code == 200


async def test_a_long_stream_of_events_blocks_nobody(library: ModuleType) -> None:
    go_on = anyio.Event()

    async def events(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
            )
            await go_on.wait()
            await stream.send(b"0\r\n\r\n")

    fake = FakeAuthorizationServer()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    with anyio.fail_after(10):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, events)
            async with fake.serve() as url, library.AsyncClient() as http:
                session: AsyncTokenSession[Any]
                origins = [f"http://127.0.0.1:{port}"]
                async with (
                    fake.session(http=http, base_url=url, origins=origins) as session,
                    session.stream("GET", f"{origins[0]}/events", timeout=None) as stream,
                ):
                    lines = stream.aiter_lines()
                    assert await anext(lines) == "data: 1"
                    fake.advance(61)
                    for _ in range(3):
                        assert (await session.get("/report")).status_code == 200
                    go_on.set()
                    assert [line async for line in lines if line] == []
            tasks.cancel_scope.cancel()
    assert len(fake.token_requests) == 2
