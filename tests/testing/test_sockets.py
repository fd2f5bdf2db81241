import gc
from collections.abc import AsyncIterator

import anyio
import h11
import httpx
import pytest
from anyio.abc import ByteStream

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import LoopbackServer
from oauthkit.testing.conversion import LostAnswerError


async def echo(request: HTTPRequest) -> HTTPResponse:
    return HTTPResponse(200, {"x-method": request.method}, request.content)


async def raw(server: LoopbackServer) -> ByteStream:
    return await anyio.connect_tcp("127.0.0.1", int(server.url.rpartition(":")[2]))


async def talk(server: LoopbackServer, data: bytes) -> bytes:
    """Send bytes, say that no more come, and read all that comes back."""
    answer = b""
    with anyio.fail_after(5):
        async with await raw(server) as stream:
            await stream.send(data)
            await stream.send_eof()
            try:
                while True:
                    answer += await stream.receive()
            except anyio.EndOfStream:
                return answer


async def test_connections_are_kept_alive() -> None:
    async with LoopbackServer(echo) as server, httpx.AsyncClient() as http:
        answers = [await http.post(server.url, content=b"a") for _ in range(3)]

    assert [answer.content for answer in answers] == [b"a"] * 3
    assert server.connections == 1


async def test_a_client_that_wants_to_close_is_closed() -> None:
    async with LoopbackServer(echo) as server, httpx.AsyncClient() as http:
        answers = [await http.get(server.url, headers={"connection": "close"}) for _ in range(2)]

    assert [answer.headers["connection"] for answer in answers] == ["close", "close"]
    assert server.connections == 2


async def test_many_connections_are_served_at_once() -> None:
    waiting = 0
    everyone = anyio.Event()

    async def meet(request: HTTPRequest) -> HTTPResponse:
        nonlocal waiting
        waiting += 1
        if waiting == 5:
            everyone.set()
        await everyone.wait()
        return HTTPResponse(200)

    async with LoopbackServer(meet) as server, httpx.AsyncClient() as http:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(http.get, server.url)

    assert server.connections == 5


async def test_a_chunked_body_is_read_whole() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 100_000

    async with LoopbackServer(echo) as server, httpx.AsyncClient() as http:
        answer = await http.post(server.url, content=body())

    assert answer.content == b"x" * 300_000


async def test_a_client_that_waits_for_100_is_told_to_go_on() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with LoopbackServer(echo) as server, await raw(server) as stream:
        with anyio.fail_after(5):
            await stream.send(head)
            first = await stream.receive()
            await stream.send(b"hi")
            second = await stream.receive()

    assert first.startswith(b"HTTP/1.1 100 ")
    assert second.startswith(b"HTTP/1.1 200 ")


async def test_answers_without_a_body_have_none() -> None:
    async def nothing(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(204 if request.method == "DELETE" else 200, {}, b"body")

    async with LoopbackServer(nothing) as server, httpx.AsyncClient() as http:
        head = await http.head(server.url)
        delete = await http.delete(server.url)
        get = await http.get(server.url)

    assert (head.headers["content-length"], head.content) == ("4", b"")
    assert (delete.status_code, delete.content) == (204, b"")
    assert get.content == b"body"
    assert server.connections == 1


async def test_a_lost_answer_cuts_the_connection() -> None:
    async def lose(request: HTTPRequest) -> HTTPResponse:
        raise LostAnswerError

    async with LoopbackServer(lose) as server, httpx.AsyncClient() as http:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.get(server.url)


async def test_an_error_of_the_app_is_a_500_and_is_raised_when_the_block_ends() -> None:
    async def fail(request: HTTPRequest) -> HTTPResponse:
        message = "the test's own mistake"
        raise LookupError(message)

    async def call() -> int:
        async with LoopbackServer(fail) as server, httpx.AsyncClient() as http:
            return (await http.get(server.url)).status_code

    with pytest.raises(LookupError, match="own mistake"):
        await call()


async def test_an_answer_that_is_no_http_is_an_error_of_the_app() -> None:
    async def split(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(200, {"x-a": "b\r\nx-c: d"})

    async def call() -> None:
        async with LoopbackServer(split) as server, httpx.AsyncClient() as http:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await http.get(server.url)

    with pytest.raises(h11.LocalProtocolError):
        await call()


async def test_an_error_of_the_block_goes_on_unwrapped() -> None:
    async def fail(request: HTTPRequest) -> HTTPResponse:
        raise LookupError

    async def call() -> None:
        async with LoopbackServer(fail) as server, httpx.AsyncClient() as http:
            await http.get(server.url)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call()


async def test_a_block_can_be_cancelled() -> None:
    with anyio.move_on_after(0) as scope:
        async with LoopbackServer(echo):
            await anyio.sleep_forever()

    assert scope.cancelled_caught


async def test_everything_is_closed_when_the_block_ends() -> None:
    async def never(request: HTTPRequest) -> HTTPResponse:
        await anyio.sleep_forever()
        raise AssertionError

    async with LoopbackServer(never) as server:
        idle, busy = await raw(server), await raw(server)
        await busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    with anyio.fail_after(5):
        for stream in (idle, busy):
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
            await stream.aclose()
    with pytest.raises(OSError, match=r"."):
        await raw(server)
    gc.collect()  # a socket left open would be a ResourceWarning


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", b""),
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nshort", b"HTTP/1.1 400 "),
        (b"GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET / HTTP/1.0\r\n\r\nnonsense", b"HTTP/1.1 200 "),
    ],
    ids=[
        "nothing",
        "not-http",
        "asterisk",
        "short-body",
        "absolute-form",
        "http-1.0",
        "more-after-the-last",
    ],
)
async def test_odd_clients_do_no_harm(data: bytes, expected: bytes) -> None:
    async with LoopbackServer(echo) as server:
        assert (await talk(server, data))[:13] == expected
        async with httpx.AsyncClient() as http:
            assert (await http.get(server.url)).status_code == 200


async def test_a_client_that_breaks_a_request_after_its_answer_is_closed() -> None:
    async with LoopbackServer(echo) as server:
        answer = await talk(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")

    assert answer.count(b"HTTP/1.1 200 ") == answer.count(b"HTTP/1.1 400 ") == 1


async def test_a_client_that_is_gone_before_its_answer_does_no_harm() -> None:
    arrived, gone = anyio.Event(), anyio.Event()

    async def late(request: HTTPRequest) -> HTTPResponse:
        arrived.set()
        await gone.wait()
        return HTTPResponse(200, {}, b"x" * 10_000_000)

    async with LoopbackServer(late) as server:
        stream = await raw(server)
        await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with anyio.fail_after(5):
            await arrived.wait()
        await stream.aclose()
        gone.set()
        async with httpx.AsyncClient() as http:
            assert len((await http.get(server.url)).content) == 10_000_000
