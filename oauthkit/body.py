"""Bodies of httpx and httpx2: which can be sent twice, and how one is left; part of the HTTP seam.

Whoever waits for a renewal must not hold a connection: in a crowd the renewal would find none. To
read a body to its end may take for ever, and to close it unread costs the next request a new
connection. So a short one is read, and kept for the caller; a long or slow one is closed.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, cast

import anyio

_MOST_KEPT: Final = 16_384
_MOST_LEFT: Final = 1_000  # chunks of a buffer; a transport that reads on is left alone
_SECONDS_TO_READ: Final = 1.0


def repeatable(stream: Any) -> bool:
    """Tell whether a request body can be sent a second time."""
    if type(stream).__name__ == "ByteStream":
        return True
    fields = getattr(stream, "fields", None)  # multipart: files that can be rewound are
    if not isinstance(fields, list):
        return False
    files = (getattr(field, "file", b"") for field in cast("list[object]", fields))
    return all(isinstance(file, bytes | str) or _seekable(file) for file in files)


async def release(response: Any, library: Any) -> bool:
    """Give the connection of an answer back, and tell whether its body is still there to be read.

    Args:
        response: The answer; nothing of its body has been read yet, or all of it.
        library: Whose answer it is.
    """
    if response.is_closed:  # a hook has read it, and its connection may be another's by now
        return hasattr(response, "_content")
    chunks = aiter(response.stream)
    content = await _short(chunks)
    with suppress(Exception):  # a connection that fails now is as free as one that was closed
        await response.stream.aclose()
    if content is None:
        await _end(chunks)
        response.headers.pop("content-encoding", None)  # the library reads what is left of it
    response.stream = library.ByteStream(content or b"")
    return content is not None


async def _short(chunks: AsyncIterator[bytes]) -> bytes | None:
    """Return a body as it came; None where it is long, slow or cut."""
    content = b""
    with anyio.move_on_after(_SECONDS_TO_READ), suppress(Exception):
        while len(content) <= _MOST_KEPT:
            try:
                content += await anext(chunks)
            except StopAsyncIteration:
                return content
    return None


async def _end(chunks: AsyncIterator[bytes]) -> None:
    """Read what a closed body has left, until it fails.

    The libraries read by generators within generators, which trio wants at their end: none of them
    closes the one within.
    """
    with anyio.move_on_after(_SECONDS_TO_READ), suppress(Exception):
        for _ in range(_MOST_LEFT):
            await anext(chunks)


def _seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(callable(seekable) and seekable())
