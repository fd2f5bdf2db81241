"""The HTTP seam: the one place that knows how `httpx` and `httpx2` are called.

The classes of the two packages do not mix, so which one is meant is read off the client, and the
package itself is taken from the modules that are loaded.
"""

import sys
from contextlib import aclosing, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, TypeVar

import anyio

from oauthkit.errors import ConfigurationError, ResponseError, TransportError
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.version import __version__

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

LARGEST_ANSWER: Final = 1_048_576
"""Bytes; a larger answer of an authorization server is refused before it is read whole."""

_LIBRARIES: Final = ("httpx", "httpx2")
_CONNECT_SECONDS: Final = 10.0
_USER_AGENT: Final = f"oauthkit/{__version__}"
_NOTHING_SENT: Final = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")

R_co = TypeVar("R_co", covariant=True)


class RequestOptions(TypedDict, total=False):
    """The arguments of a request, as both HTTP libraries take them."""

    content: Any
    data: Any
    files: Any
    json: Any
    params: Any
    headers: Any
    cookies: Any
    auth: Any
    follow_redirects: Any
    timeout: Any
    extensions: Any


class AsyncHTTPClient(Protocol[R_co]):
    """Be an `httpx.AsyncClient` or an `httpx2.AsyncClient`, as far as it is used here."""

    async def request(
        self,
        method: str,
        url: Any,
        *,
        content: Any = ...,
        data: Any = ...,
        files: Any = ...,
        json: Any = ...,
        params: Any = ...,
        headers: Any = ...,
        cookies: Any = ...,
        auth: Any = ...,
        follow_redirects: Any = ...,
        timeout: Any = ...,  # noqa: ASYNC109 - the libraries' own
        extensions: Any = ...,
    ) -> R_co:
        """Send a request and read the answer."""
        ...

    def stream(
        self,
        method: str,
        url: Any,
        *,
        content: Any = ...,
        data: Any = ...,
        files: Any = ...,
        json: Any = ...,
        params: Any = ...,
        headers: Any = ...,
        cookies: Any = ...,
        auth: Any = ...,
        follow_redirects: Any = ...,
        timeout: Any = ...,
        extensions: Any = ...,
    ) -> "AbstractAsyncContextManager[R_co]":
        """Send a request and leave the answer to be read."""
        ...

    async def send(
        self, request: Any, *, stream: bool = ..., auth: Any = ..., follow_redirects: Any = ...
    ) -> R_co:
        """Send a request that was built before."""
        ...

    async def aclose(self) -> None:
        """Close the client."""
        ...


def library_of(client: object) -> ModuleType:
    """Return the package that a client, or its package itself, belongs to.

    Raises:
        ConfigurationError: It is neither httpx nor httpx2.
    """
    if isinstance(client, ModuleType):
        names = [client.__name__]
    else:
        names = [kind.__module__.partition(".")[0] for kind in type(client).__mro__]
    for name in names:
        if name in _LIBRARIES and name in sys.modules:
            return sys.modules[name]
    message = (
        "an httpx.AsyncClient or an httpx2.AsyncClient is needed (or, for auth_for, one of the "
        f"two packages), not {type(client).__module__}.{type(client).__name__}"
    )
    raise ConfigurationError(message)


def check_async_client(client: object) -> None:
    """Refuse what is not an asynchronous HTTP client of a known package.

    Raises:
        ConfigurationError: It is not one.
    """
    library = library_of(client)
    if not isinstance(client, library.AsyncClient):
        message = f"an {library.__name__}.AsyncClient is needed, not a {type(client).__name__}"
        raise ConfigurationError(message)


def connection_limit(client: object) -> int | None:
    """Return how many requests at once the client's pool carries well; None is any number.

    The pool of httpx 0.28 works quadratically in the requests that wait for it, so that a burst
    times out. Only there is a limit needed; httpx2 and other transports have none.
    """
    library = library_of(client)
    transport = getattr(client, "_transport", None)
    if library.__name__ != "httpx" or not isinstance(transport, library.AsyncHTTPTransport):
        return None
    limit = getattr(getattr(transport, "_pool", None), "_max_connections", None)
    return limit if isinstance(limit, int) and limit < sys.maxsize else None


async def send(
    client: AsyncHTTPClient[Any],
    request: HTTPRequest,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
) -> HTTPResponse:
    """Send a request to an authorization server and read the answer.

    Nothing of the client's own defaults goes with it: no `auth`, no cookies, no headers; no
    redirect is followed; and cookies that come back do not stay in the client.

    Args:
        client: Whose connections are used.
        request: What is sent.
        timeout: Seconds for all of it, however slowly the answer drips.

    Raises:
        TransportError: There was no answer; `sent` says whether the server may have been reached.
        ResponseError: The answer is larger than 1 MiB, or compressed although that was declined.
        ConfigurationError: The client is closed.
    """
    library = library_of(client)
    phases = {"connect": min(_CONNECT_SECONDS, timeout), "pool": timeout}
    outgoing = library.Request(
        request.method,
        request.url,
        headers={"accept-encoding": "identity", "user-agent": _USER_AGENT, **request.headers},
        content=request.content,
        extensions={"timeout": {**phases, "read": timeout, "write": timeout}},
    )
    try:
        with anyio.fail_after(timeout):
            response = await client.send(outgoing, stream=True, auth=None, follow_redirects=False)
            try:
                return await _read(response)
            finally:
                _forget_cookies(client, response)
                await response.aclose()
    except TimeoutError as error:
        message = f"no whole answer from {_where(request)} within {timeout:g} s"
        raise TransportError(message) from error
    except (library.HTTPError, library.InvalidURL, library.StreamError) as error:
        name = type(error).__name__
        message = f"no usable answer from {_where(request)}: {name}"
        raise TransportError(message, sent=name not in _NOTHING_SENT) from error
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        message = "the HTTP client is closed; keep it open as long as the session is used"
        raise ConfigurationError(message) from error


def _forget_cookies(client: Any, response: Any) -> None:
    """Take an authorization server's cookies out of the client: they are not for its APIs."""
    for cookie in response.cookies.jar:
        with suppress(KeyError):
            client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


async def _read(response: Any) -> HTTPResponse:
    headers = [(name.decode("latin-1"), v.decode("latin-1")) for name, v in response.headers.raw]
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    length = response.headers.get("content-length", "")
    if encoding not in {"", "identity"}:
        message = f"the answer is compressed with {encoding!r}, which was declined"
        raise ResponseError(message, status_code=response.status_code)
    if length.isdecimal() and int(length[:20]) > LARGEST_ANSWER:
        raise _too_large(response.status_code)
    content = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > LARGEST_ANSWER:
                raise _too_large(response.status_code)
    return HTTPResponse(response.status_code, headers, bytes(content))


def _too_large(status_code: int) -> ResponseError:
    message = f"the answer is larger than {LARGEST_ANSWER} bytes"
    return ResponseError(message, status_code=status_code)


def _where(request: HTTPRequest) -> str:
    return request.url.partition("?")[0]
