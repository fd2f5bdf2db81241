"""The HTTP seam: the one place that knows how `httpx` and `httpx2` are called.

The classes of the two packages do not mix, so which one is meant is read off the client, and the
package itself is taken from the modules that are loaded.
"""

import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, TypeVar

import anyio.lowlevel

from oauthkit.delivery import Delivery, time_limit
from oauthkit.errors import ConfigurationError, ResponseError
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.proxies import around_proxies
from oauthkit.version import __version__
from oauthkit.view import view_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

LARGEST_ANSWER: Final = 1_048_576
"""Bytes; a larger answer of an authorization server is refused before it is read whole."""

_LIBRARIES: Final = ("httpx", "httpx2")
_AIOHTTP_LIMIT: Final = 100  # what a connector has that is told nothing
_UNTIL_IT_IS_KNOWN: Final = 1
_CONNECT_SECONDS: Final = 10.0
_USER_AGENT: Final = f"oauthkit/{__version__}"
_SHARE_TO_CONNECT: Final = 0.9
"""Of the time; a wait for a connection ends before the whole does, and so as what it is: unsent."""

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
    """Return how many connections the client's pool has; None is any number, or not known.

    No pool bears a crowd well: the one of httpx 0.28 works quadratically in the requests that wait
    for it, so that a burst times out, and the one of aiohttp lets who was just there go first, so
    that others starve. A connection of HTTP/2 carries more than one request, and yet counts as one
    here: how many it carries, the server says later.
    """
    limit = _limit(client)
    return limit if limit is not None and limit < sys.maxsize else None


def _limit(client: object) -> int | None:
    """Return the limit of a client's pool; None where it has no pool, or one that is not known."""
    library = library_of(client)
    transport: Any = getattr(client, "_transport", None)
    if isinstance(transport, library.AsyncHTTPTransport):
        limit = getattr(getattr(transport, "_pool", None), "_max_connections", None)
        return limit if isinstance(limit, int) else None
    return _connector_limit(transport) if _of_package(transport, "httpx_aiohttp") else None


def _of_package(value: object, name: str) -> bool:
    return any(kind.__module__.partition(".")[0] == name for kind in type(value).__mro__)


def _connector_limit(transport: Any) -> int:
    """Return the limit of the aiohttp session behind a transport, as far as there is one yet."""
    if callable(transport.client):
        return _UNTIL_IT_IS_KNOWN  # the caller's own function makes it at the first request
    limit: int | None = transport.limits.max_connections
    if transport.client is not None:
        limit = getattr(transport.client.connector, "limit", 0)
    elif limit is None:
        limit = _AIOHTTP_LIMIT
    return limit or sys.maxsize  # 0 is aiohttp's word for "any number"


async def send(
    client: AsyncHTTPClient[Any],
    request: HTTPRequest,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 - an end of its own
    ready: Callable[[], None] | None = None,
) -> HTTPResponse:
    """Send a request to an authorization server and read the answer.

    Nothing of the client's own defaults goes with it: no `auth`, no cookies, no headers; no
    redirect is followed; no cookie that comes back meets the client's own; and no proxy is asked
    for what is on this machine.

    Args:
        client: Whose connections are used.
        request: What is sent.
        timeout: Seconds for all of it, however slowly the answer drips.
        ready: Called before the request leaves, as late as the transport lets it, and maybe more
            than once; what it raises keeps the request back, and is raised.

    Raises:
        TransportError: There was no answer; `sent` says whether the server may have been reached.
        ResponseError: The answer is larger than 1 MiB, or compressed although that was declined.
        ConfigurationError: The client is closed, no request can be made of these parts, or it would
            go to an address that is not public, although it may not.
    """
    library, where = library_of(client), _where(request)
    delivery = Delivery(ready, public_only=request.public_only)
    if request.public_only:
        _check_addresses_are_told(client, library)
    outgoing = _outgoing(library, request, timeout, delivery)
    view = view_of(around_proxies(client), library)
    answers: list[HTTPResponse] = []
    failure: Exception | None = None
    delivery.check()
    async with time_limit(timeout, on_a_socket=_limit(client) is not None):
        try:
            await _ask(view, outgoing, answers, delivery)
        except Exception as error:  # noqa: BLE001 - nobody can foresee what a transport raises
            failure = delivery.failed(error, where, library, secrets=_secrets(request))
    if answers:
        return answers[0]
    raise failure or delivery.timed_out(where, seconds=timeout)


def _outgoing(library: Any, request: HTTPRequest, seconds: float, delivery: Delivery) -> Any:
    soon = _SHARE_TO_CONNECT * seconds
    # Once something was sent, the deadline of the whole is the only one: the answer to a refresh
    # may be the next refresh token, and an earlier end would throw it away.
    phases = {"connect": min(_CONNECT_SECONDS, soon), "pool": soon, "read": None, "write": None}
    try:
        return library.Request(
            request.method,
            request.url,
            headers={"accept-encoding": "identity", "user-agent": _USER_AGENT, **request.headers},
            content=request.content,
            extensions={"timeout": phases, "trace": delivery.trace},
        )
    except Exception as error:  # noqa: BLE001 - whatever the library thinks of it
        name = type(error).__name__
    # Raised out here: the library's own error would show the header that it does not like.
    message = (
        f"no request to {_where(request)} can be made of its parts ({name}); look at the URL, and "
        "at the headers that the client authentication makes"
    )
    raise ConfigurationError(message)


def _check_addresses_are_told(client: Any, library: Any) -> None:
    """Refuse a transport that does not tell which address it connects to.

    Raises:
        ConfigurationError: It is such.
    """
    if not isinstance(getattr(client, "_transport", None), library.AsyncHTTPTransport):
        message = (
            "public_only=True needs a transport that tells which address it connects to, and "
            f"{library.__name__}'s own does; give this server a client with that"
        )
        raise ConfigurationError(message)


async def _ask(client: Any, outgoing: Any, answers: list[HTTPResponse], delivery: Delivery) -> None:
    response = await client.send(outgoing, stream=True, auth=None, follow_redirects=False)
    try:
        # The connection may be one that was there before, of which nothing was told.
        delivery.check_address(response.extensions.get("network_stream"))
        answers.append(await _read(response))
    finally:  # by now the answer is known, or what is wrong with it
        with suppress(Exception):
            await response.aclose()


def _secrets(request: HTTPRequest) -> frozenset[str]:
    credentials = request.headers.get("authorization", "").rpartition(" ")[2]
    return request.secrets | {credentials}


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
            # One read of the socket may bring thousands of chunks: others get their turn here. What
            # cancels is left to the next read: here it would drop the library's own generators
            # half-way, and trio says so of each.
            await anyio.lowlevel.cancel_shielded_checkpoint()
            content += chunk
            if len(content) > LARGEST_ANSWER:
                raise _too_large(response.status_code)
    return HTTPResponse(response.status_code, headers, bytes(content))


def _too_large(status_code: int) -> ResponseError:
    message = f"the answer is larger than {LARGEST_ANSWER} bytes"
    return ResponseError(message, status_code=status_code)


def _where(request: HTTPRequest) -> str:
    return request.url.partition("?")[0]
