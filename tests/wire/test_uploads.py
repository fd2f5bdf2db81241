"""Request bodies on real sockets; `httpx.MockTransport` would read them first and hide it all."""

import io
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from oauthkit import AsyncTokenSession
from oauthkit.testing import FakeAuthorizationServer

mimetypes.init()  # httpx asks it about files; it reads the system's list at the first question


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Send with both HTTP libraries."""
    module: ModuleType = request.param
    return module


@asynccontextmanager
async def served(
    fake: FakeAuthorizationServer, library: ModuleType
) -> AsyncGenerator[AsyncTokenSession[Any]]:
    """Give a session that asks a fake on a real socket."""
    async with (
        fake.serve() as url,
        library.AsyncClient() as http,
        fake.session(http=http, base_url=url) as session,
    ):
        yield session


class Upload:
    """A body that is made while it is sent, and counts how often that was begun."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.begun = 0
        self.given = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun += 1
        for part in self.parts:
            self.given += 1
            yield part


async def test_a_streamed_upload_is_never_replayed(library: ModuleType) -> None:
    """The 401 is handed back, the upload was read once, and the next request has a new token."""
    fake = FakeAuthorizationServer()
    async with served(fake, library) as session:
        await session.token()
        fake.revoke_access_tokens()
        upload = Upload(b"one", b"two")
        first = await session.put("/file", content=upload)
        tokens_then = len(fake.token_requests)
        second = await session.put("/file", content=Upload(b"one", b"two"))
    assert (first.status_code, second.status_code) == (401, 200)
    assert (upload.begun, upload.given) == (1, 2)
    assert (tokens_then, len(fake.token_requests)) == (1, 2)
    assert [request.content for request in fake.api_requests] == [b"onetwo", b"onetwo"]


async def test_a_streamed_upload_is_chunked_and_has_no_length(library: ModuleType) -> None:
    """Authlib buffers it, and sends both headers."""
    fake = FakeAuthorizationServer()
    async with served(fake, library) as session:
        await session.put("/file", content=Upload(b"one", b"two"))
    (request,) = fake.api_requests
    assert request.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in request.headers


async def test_a_streamed_upload_with_a_known_length_says_it(library: ModuleType) -> None:
    fake = FakeAuthorizationServer()
    async with served(fake, library) as session:
        headers = {"content-length": "6"}
        await session.put("/file", content=Upload(b"one", b"two"), headers=headers)
    (request,) = fake.api_requests
    assert request.headers["content-length"] == "6"
    assert "transfer-encoding" not in request.headers


async def test_a_body_of_known_length_says_it_also_when_repeated(library: ModuleType) -> None:
    fake = FakeAuthorizationServer()
    async with served(fake, library) as session:
        await session.token()
        fake.revoke_access_tokens()
        response = await session.put("/file", content=b"onetwo")
    assert response.status_code == 200
    assert [request.content for request in fake.api_requests] == [b"onetwo"] * 2
    assert {request.headers["content-length"] for request in fake.api_requests} == {"6"}
    assert not any("transfer-encoding" in request.headers for request in fake.api_requests)


async def test_a_file_is_rewound_and_repeated(library: ModuleType) -> None:
    fake = FakeAuthorizationServer()
    async with served(fake, library) as session:
        await session.token()
        fake.revoke_access_tokens()
        response = await session.post("/file", files={"f": io.BytesIO(b"content")})
    assert response.status_code == 200
    first, second = fake.api_requests
    assert first.content == second.content
    assert b"content" in first.content


async def test_a_streamed_upload_is_not_held_in_memory(library: ModuleType) -> None:
    """The server has the first part before the second one is made."""
    arrived = anyio.Event()

    async def serve(stream: SocketStream) -> None:
        received = b""
        async with stream:
            while b"first" not in received:
                received += await stream.receive()
            arrived.set()
            while not received.endswith(b"0\r\n\r\n"):
                received += await stream.receive()
            await stream.send(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    async def upload() -> AsyncIterator[bytes]:
        yield b"first"
        await arrived.wait()
        yield b"second"

    fake = FakeAuthorizationServer()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    url = f"http://127.0.0.1:{port}"
    with anyio.fail_after(10):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            async with fake.serve(), library.AsyncClient() as http:
                session: AsyncTokenSession[Any]
                async with fake.session(http=http, base_url=url) as session:
                    assert (await session.put("/", content=upload())).status_code == 204
            tasks.cancel_scope.cancel()
