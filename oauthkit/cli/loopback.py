"""A port of this machine at which a browser comes back after a login (RFC 8252 §7.3).

It is open for one login and to nobody but this machine. What the callback looks like stands in
`reception`; every other request is refused, and the login goes on waiting.
"""

import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Final

import anyio
import attrs
import h11
from anyio.abc import SocketListener, SocketStream

from oauthkit.beside import beside
from oauthkit.cli.callback_page import refusal
from oauthkit.cli.loopback_uri import callback_path, checked_loopback
from oauthkit.cli.reception import Expected, fault_of
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, Origin
from oauthkit.protocol.secret import secret

_HEAD_BYTES: Final = 65_536
"""A browser sends the cookies of every other port of this machine along."""
_HEAD_SECONDS: Final = 5.0
_FAREWELL_SECONDS: Final = 1.0
_CONNECTIONS: Final = 64
_NO_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_BACKLOG: Final = 32
_CHUNK: Final = 4_096
_GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


@attrs.define(eq=False)
class Arrival:
    """A browser that has brought the callback, and waits for a page.

    Attributes:
        callback: The URL that it came to.
    """

    callback: str = secret()
    _page: HTTPResponse = attrs.field(init=False, repr=False)
    _decided: anyio.Event = attrs.field(factory=anyio.Event, init=False, repr=False)
    _sent: anyio.Event = attrs.field(factory=anyio.Event, init=False, repr=False)

    async def answer(self, page: HTTPResponse) -> None:
        """Let the browser show a page; one that went away is not waited for."""
        self._page = page
        self._decided.set()
        await self._sent.wait()

    async def page(self) -> HTTPResponse:
        """Wait for the page."""
        await self._decided.wait()
        return self._page

    def over(self) -> None:
        """Note that the connection is over."""
        self._sent.set()


@attrs.define(eq=False)
class Loopback:
    """A port that waits for the callback of one login; `open_loopback` makes it.

    Attributes:
        redirect_uri: What the login is begun with: the address that was bound.
    """

    redirect_uri: str
    _expected: Expected
    _arrival: Arrival | None = attrs.field(default=None, init=False)
    _arrived: anyio.Event = attrs.field(factory=anyio.Event, init=False, repr=False)
    _open: int = attrs.field(default=0, init=False)

    def expect(self, login: AuthorizationRequest) -> None:
        """Take the callback of a login from here on.

        Args:
            login: It was begun with this `redirect_uri`.
        """
        self._expected = attrs.evolve(self._expected, once_id=login.once_id)

    async def arrival(self) -> Arrival:
        """Wait for the callback, for as long as that takes."""
        while self._arrival is None:
            await self._arrived.wait()
        return self._arrival

    async def connection(self, stream: SocketStream) -> None:
        """Serve one connection, which brings one request."""
        if self._open >= _CONNECTIONS:  # they end by themselves, and then there is room
            await stream.aclose()
            return
        self._open += 1
        try:
            async with stream:
                with suppress(*_GONE):
                    await self._visit(_Visitor(stream, self._expected.authority))
        finally:
            self._open -= 1

    async def _visit(self, visitor: "_Visitor") -> None:
        request = None
        try:
            with anyio.move_on_after(_HEAD_SECONDS):
                request = await visitor.request()
        except h11.RemoteProtocolError as error:
            await visitor.send(refusal(HTTPStatus(error.error_status_hint)))
        if request is None:
            return
        status = fault_of(request, self._expected)
        if status is not None:
            await visitor.send(refusal(status))
        elif self._arrival is None:
            await self._receive(visitor, request)

    async def _receive(self, visitor: "_Visitor", request: HTTPRequest) -> None:
        arrival = self._arrival = Arrival(request.url)
        self._arrived.set()
        try:
            await visitor.send(await arrival.page())
        finally:
            arrival.over()


@asynccontextmanager
async def open_loopback(*redirect_uris: str) -> AsyncGenerator[Loopback]:
    """Open a port for the callback of a login, while the block is open.

    Args:
        redirect_uris: `http`, a literal loopback address and a path; without a port it is any free
            one. Of several the first is taken whose address this machine has.

    Raises:
        ConfigurationError: One is another URL.
        OSError: The port is in use, or there is none of the addresses.
    """
    wanted = [(uri, checked_loopback(uri)) for uri in redirect_uris]
    bound, redirect_uri = _first_bound(wanted)
    host, port = bound.getsockname()[:2]
    authority = str(Origin("http", host, port)).partition("//")[2]
    path = callback_path(redirect_uri)
    loopback = Loopback(f"http://{authority}{path}", Expected(authority=authority, path=path))
    listener = await SocketListener.from_socket(bound)
    try:
        unbegun = OSError("the event loop has ended")
        async with beside(lambda _: listener.serve(loopback.connection), unbegun=unbegun):
            yield loopback
    finally:
        with anyio.CancelScope(shield=True):
            await listener.aclose()


def _first_bound(wanted: list[tuple[str, Origin]]) -> tuple[socket.socket, str]:
    """Return a socket at the first address that there is, and which redirect URI it is for.

    Raises:
        OSError: The port is in use, or there is none of the addresses.
    """
    *first, last = wanted
    for uri, origin in first:
        try:
            return _bound(origin), uri
        except OSError as error:
            if error.errno not in _NO_ADDRESS:
                raise
    return _bound(last[1]), last[0]


def _bound(origin: Origin) -> socket.socket:
    """Return a socket that listens, which nobody shares.

    anyio would set SO_REUSEADDR, with which some systems let another process of the same user
    listen at the same port (RFC 8252 §8.3, App. B).

    Raises:
        OSError: The port is in use, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in origin.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)  # Windows shares ports otherwise
        if exclusive is not None:
            made.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        made.settimeout(0)
        made.bind((origin.host, 0 if origin.default_port else origin.port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        message = f"nothing can be opened at {origin} for the browser: {error.strerror}"
        raise OSError(error.errno, message) from error
    return made


@attrs.define(eq=False)
class _Visitor:
    """One connection: a request comes, an answer goes, and it is closed."""

    _stream: SocketStream
    _authority: str
    _method: bytes = b""
    _http: h11.Connection = attrs.field(
        factory=partial(h11.Connection, h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
    )

    async def request(self) -> HTTPRequest:
        """Read the head of the request; no callback has a body.

        Raises:
            RemoteProtocolError: It is no HTTP, or too long.
        """
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._stream.receive(_CHUNK))
        self._method = event.method if isinstance(event, h11.Request) else b""
        if not isinstance(event, h11.Request) or not event.target.startswith(b"/"):
            message = "the request target names no resource"
            raise h11.RemoteProtocolError(message)
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
        url = f"http://{self._authority}{event.target.decode('ascii')}"
        return HTTPRequest(event.method.decode("ascii"), url, headers)

    async def send(self, response: HTTPResponse) -> None:
        """Answer, and let the other side close first: it holds the port for a minute otherwise."""
        headers = [
            *response.headers.items(),
            ("content-length", str(len(response.content))),
            ("connection", "close"),
        ]
        answer = h11.Response(status_code=response.status_code, headers=headers)
        content = b"" if self._method == b"HEAD" else bytes(response.content)
        for event in (answer, h11.Data(data=content), h11.EndOfMessage()):
            if data := self._http.send(event):
                await self._stream.send(data)
        with anyio.move_on_after(_FAREWELL_SECONDS):
            while True:
                await self._stream.receive(_CHUNK)
