"""A small HTTP/1.1 server on a real socket of this machine, for asyncio and trio."""

from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import anyio
import attrs
import h11
from anyio.abc import ByteStream, Listener, SocketAttribute, SocketStream, TaskGroup

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.conversion import App, LostAnswerError, body_headers

_CHUNK: Final = 65_536
_NO_CONTENT: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError)


@attrs.define(eq=False)
class LoopbackServer:
    """Serve an app on 127.0.0.1, at a free port unless one is given, while the block is open.

    Connections are kept alive. A `LostAnswerError` from the app cuts the connection. Any other
    exception is answered with 500 and raised when the block ends, unless the block itself failed;
    so is that of an answer which is no HTTP.
    Enter and leave the block in one task.

    Example:
        >>> async def hello(request):
        ...     return HTTPResponse(200, {"content-type": "text/plain"}, b"hello")
        >>> async def main():
        ...     async with LoopbackServer(hello) as server:
        ...         async with httpx.AsyncClient() as http:
        ...             print((await http.get(server.url)).text)
        >>> import anyio, httpx
        >>> anyio.run(main)
        hello

    Attributes:
        port: Where it shall be; 0 is any free port.
        url: Where it is, without a slash at the end.
        connections: How many connections were opened so far.
    """

    _app: App
    port: int = attrs.field(default=0, kw_only=True)
    url: str = attrs.field(default="", init=False)
    connections: int = attrs.field(default=0, init=False)
    _listener: Listener[SocketStream] = attrs.field(init=False, repr=False)
    _tasks: TaskGroup = attrs.field(init=False, repr=False)
    _errors: list[Exception] = attrs.field(factory=list[Exception], init=False, repr=False)

    async def __aenter__(self) -> Self:
        """Start to listen."""
        self._listener = await anyio.create_tcp_listener(
            local_host="127.0.0.1", local_port=self.port
        )
        port = self._listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
        self.url = f"http://127.0.0.1:{port}"
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._listener.serve, self._connection)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        self._tasks.cancel_scope.cancel()
        try:
            # The block's own exception goes on by itself; a task group would wrap it.
            await self._tasks.__aexit__(None, None, None)
        finally:
            with anyio.CancelScope(shield=True):
                await self._listener.aclose()
        if exc_value is None and self._errors:
            raise self._errors[0]

    async def _connection(self, stream: ByteStream) -> None:
        self.connections += 1
        connection = _Connection(stream, self.url)
        async with stream:
            try:
                await self._conversation(connection)
            except (*_GONE, LostAnswerError):
                return
            except h11.LocalProtocolError as error:
                self._errors.append(error)

    async def _conversation(self, connection: "_Connection") -> None:
        try:
            while (request := await connection.request()) is not None:
                await connection.send(request, await self._response(request))
        except h11.RemoteProtocolError as error:
            await connection.refuse(error)

    async def _response(self, request: HTTPRequest) -> HTTPResponse:
        try:
            return await self._app(request)
        except LostAnswerError:
            raise
        except Exception as error:  # noqa: BLE001 - raised when the block ends
            self._errors.append(error)
            return HTTPResponse(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                {"content-type": "text/plain"},
                b"the app failed\n",
            )


@attrs.define(eq=False)
class _Connection:
    _stream: ByteStream
    _url: str
    _http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.SERVER))

    async def request(self) -> HTTPRequest | None:
        """Read the next request; None when the client wants no further one."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        head: h11.Request | None = None
        body = b""
        while True:
            match await self._event():
                case h11.Request() as head:
                    pass
                case h11.Data() as data:
                    body += bytes(data.data)
                case h11.EndOfMessage() if head is not None:
                    return self._read(head, body)
                case _:
                    return None

    async def send(self, request: HTTPRequest, response: HTTPResponse) -> None:
        """Answer a request."""
        headers = body_headers(response.headers)
        content = b"" if response.status_code in _NO_CONTENT else response.content
        if response.status_code not in _NO_CONTENT:
            headers.append((b"content-length", str(len(content)).encode()))
        await self._send(h11.Response(status_code=response.status_code, headers=headers))
        if request.method != "HEAD":
            await self._send(h11.Data(data=content))
        await self._send(h11.EndOfMessage())

    async def refuse(self, error: h11.RemoteProtocolError) -> None:
        """Tell a client that it does not speak HTTP, if it can still be told."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self.send(HTTPRequest("", self._url), HTTPResponse(error.error_status_hint))

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(
                    h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[])
                )
            try:
                self._http.receive_data(await self._stream.receive(_CHUNK))
            except anyio.EndOfStream:
                self._http.receive_data(b"")
        return event

    async def _send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            await self._stream.send(data)

    def _read(self, head: h11.Request, body: bytes) -> HTTPRequest:
        target = head.target.decode("ascii")
        if not target.startswith(("/", "http://")):
            message = "the request target names no resource"
            raise h11.RemoteProtocolError(message)
        return HTTPRequest(
            head.method.decode("ascii"),
            f"{self._url}{target}" if target.startswith("/") else target,
            [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers],
            body,
        )
