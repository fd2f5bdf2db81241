"""Requests and answers of aiohttp: bodies, cookies and URLs; what `client` needs to know of them.

Whoever waits for a renewal must not hold a connection. To read a body to its end may take for ever,
and to close it unread costs the next request a new connection. So a short one is read, and kept for
the caller; a long or slow one is closed.
"""

from contextlib import suppress
from functools import lru_cache
from http.cookies import Morsel
from typing import Final

import anyio
from aiohttp import BytesPayload, ClientRequest, ClientResponse, StreamReader, hdrs
from aiohttp.base_protocol import BaseProtocol
from yarl import URL

from oauthkit.authorizer import Answer
from oauthkit.protocol.messages import Origin

_MOST_KEPT: Final = 16_384
_SECONDS_TO_READ: Final = 1.0
_HANDSHAKES: Final = {"ws": "http", "wss": "https"}


def repeatable(request: ClientRequest) -> bool:
    """Tell whether a request body can be sent a second time; what reads as it is sent cannot."""
    return not request.body or isinstance(request.body, BytesPayload)


def answer_of(request: ClientRequest, response: ClientResponse) -> Answer:
    """Return an answer as the authorizer looks at it."""
    return Answer(
        status=response.status,
        challenges=response.headers.getall(hdrs.WWW_AUTHENTICATE, ()),
        authorization=request.headers.get(hdrs.AUTHORIZATION),
    )


async def release(request: ClientRequest, response: ClientResponse) -> bool:
    """Give an answer's connection back, and tell whether its body is still there to be read.

    Raises:
        TimeoutError: The time of the whole call is over.
    """
    content: bytes | None = None
    try:
        content = await _short(response.content)
    finally:
        if content is None:  # also where the caller does not wait any more
            response.close()
    # Its end came as an exception of the body, while that was read, and comes but once.
    request._timer.assert_timeout()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if content is not None:
        response.content = _stream(request, content)
    return content is not None


async def _short(stream: StreamReader) -> bytes | None:
    """Return a body as it came; None where it is long, slow or cut."""
    content = b""
    with anyio.move_on_after(_SECONDS_TO_READ), suppress(Exception):
        while len(content) <= _MOST_KEPT:
            chunk = await stream.readany()
            if not chunk:
                return content
            content += chunk
    return None


def _stream(request: ClientRequest, content: bytes) -> StreamReader:
    stream = StreamReader(BaseProtocol(request.loop), limit=_MOST_KEPT, loop=request.loop)
    stream.feed_data(content)
    stream.feed_eof()
    return stream


# Cookies: what was set for one key must not go out with another's request


def sets_no_cookie(response: ClientResponse) -> bool:
    """Tell whether an answer has nothing for a jar."""
    return response._raw_cookie_headers is None  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def keep_from_jar(response: ClientResponse) -> None:
    """Have an answer's cookies for the caller alone: the jar looks at the raw headers."""
    response.cookies = response.cookies
    response._raw_cookie_headers = None  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def withhold_cookies(request: ClientRequest) -> None:
    """Take out of a request what its jar put in, but for settings, which have no domain."""
    header = request.headers.pop(hdrs.COOKIE, "")
    if not header:
        return
    jar = request.session.cookie_jar
    settings = {_pair(cookie) for cookie in jar if not cookie["domain"]}
    from_jar = {_pair(cookie) for cookie in jar.filter_cookies(request.url).values()} - settings
    kept = f"; {header}; "
    for pair in sorted(from_jar, key=len, reverse=True):  # a quoted value may hold "; b=2; "
        kept = kept.replace(f"; {pair}; ", "; ")
    if kept := kept[2:-2]:
        request.headers[hdrs.COOKIE] = kept


def _pair(cookie: Morsel[str]) -> str:
    return f"{cookie.key}={cookie.coded_value}"


# URLs; a web socket begins by a request of HTTP


@lru_cache
def named(origins: frozenset[Origin]) -> frozenset[tuple[str, str | None, int | None]]:
    """Return origins as the URLs of aiohttp give them.

    The sessions of all keys have the same ones, and a middleware may be made for every call.
    """
    return frozenset((origin.scheme, origin.host, origin.port) for origin in origins)


def as_http(url: URL) -> str:
    """Return a URL as the one of a request."""
    return str(url.with_scheme(_HANDSHAKES.get(url.scheme, url.scheme)))


def origin_of(url: URL) -> Origin:
    """Return the origin of a URL, which is one of HTTP or of a web socket.

    Raises:
        ConfigurationError: It is of another scheme.
    """
    return Origin.of(as_http(url))
