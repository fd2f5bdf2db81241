"""Bodies of answers that are left, told with streams of our own; see also tests/wire."""

from collections.abc import AsyncIterator

import httpx
import pytest

from oauthkit.body import release


class Endless(httpx.AsyncByteStream):
    """A body that goes on after it was closed, as no transport's should."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self.given = 0
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.given += 1
        return self.chunk

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("chunk", [b"x", b"x" * 100_000], ids=["bytes", "large chunks"])
async def test_a_body_without_an_end_is_left(chunk: bytes) -> None:
    stream = Endless(chunk)
    response = httpx.Response(401, headers={"content-encoding": "gzip"}, stream=stream)
    assert not await release(response, httpx)
    assert stream.closed
    assert stream.given < 20_000
    assert await response.aread() == b""


class Failing(Endless):
    async def aclose(self) -> None:
        message = "the connection is gone"
        raise httpx.ReadError(message)


async def test_a_connection_that_fails_as_it_is_closed_is_as_good_as_closed() -> None:
    response = httpx.Response(401, stream=Failing(b"x" * 100_000))
    assert not await release(response, httpx)


async def test_a_body_that_was_read_before_can_be_read_again() -> None:
    response = httpx.Response(401, content=b"no entry")
    assert await release(response, httpx)
    assert await response.aread() == b"no entry"


async def test_a_body_that_a_hook_has_read_is_left_alone() -> None:
    """Its connection is back in the pool, and may be another request's."""
    response = httpx.Response(401, content=b"dead")
    await response.aread()
    await response.aclose()
    stream = response.stream
    assert await release(response, httpx)
    assert response.stream is stream
