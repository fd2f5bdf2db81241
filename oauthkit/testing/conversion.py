"""Requests and answers, between the values of oauthkit and those of httpx."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse

App = Callable[[HTTPRequest], Awaitable[HTTPResponse]]
"""What answers requests; it may raise `LostAnswerError` to cut the connection."""

Api = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
"""What a test gives as the API behind the tokens: a plain or an async function."""

_FRAMING: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


class LostAnswerError(ConnectionError):
    """The server has worked on a request, and the connection breaks before it answers."""


def header_pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return every header field, repeated ones too."""
    return [(name, value) for name in headers for value in headers.get_all(name)]


def body_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the header fields without those that a connection sets by itself."""
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in header_pairs(headers)
        if name not in _FRAMING
    ]


async def from_httpx_request(request: httpx.Request) -> HTTPRequest:
    """Return an httpx request as a value; its body is read once, as a socket would."""
    return HTTPRequest(
        request.method,
        str(request.url),
        request.headers.multi_items(),
        await _content(request.stream),
    )


def to_httpx_response(response: HTTPResponse) -> httpx.Response:
    """Return an answer as httpx has it."""
    return httpx.Response(
        response.status_code, headers=header_pairs(response.headers), content=response.content
    )


async def call_api(api: Api, request: HTTPRequest) -> HTTPResponse:
    """Let a test's own function answer."""
    answer = api(
        httpx.Request(
            request.method,
            request.url,
            headers=header_pairs(request.headers),
            content=request.content,
        )
    )
    response = await answer if inspect.isawaitable(answer) else answer
    return HTTPResponse(
        response.status_code, response.headers.multi_items(), await _content(response.stream)
    )


async def _content(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> bytes:
    if isinstance(stream, httpx.AsyncByteStream):
        return b"".join([chunk async for chunk in stream])
    return b"".join(stream)
