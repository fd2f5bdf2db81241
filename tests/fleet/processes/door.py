"""A server's door: shut for a while, it refuses connections."""

from types import TracebackType
from typing import Final, Self

import anyio
import attrs
from anyio.abc import SocketAttribute, SocketStream

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.conversion import App
from oauthkit.testing.sockets import LoopbackServer

QUIET: Final = 0.05
"""Seconds in which an answer has left; the door is not shut on one, which would be cut off."""


@attrs.define(eq=False)
class Door:
    """Serve an app at a port that can be shut.

    Attributes:
        url: Where it is, without a slash at the end.
        inner_url: What the app takes it for.
    """

    app: App
    url: str = ""
    inner_url: str = ""
    _server: LoopbackServer = attrs.field(init=False)
    _port: int = 0
    _inside: int = 0
    _answered: float = 0.0
    _shut: anyio.Event = attrs.field(factory=anyio.Event)
    _seconds: float = 0.0

    async def __aenter__(self) -> Self:
        """Make what speaks HTTP, and find a port."""
        self._server = LoopbackServer(self._through)
        await self._server.__aenter__()
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self._port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
        await listener.aclose()
        self.inner_url = self._server.url
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise what the app raised."""
        await self._server.__aexit__(exc_type, exc_value, traceback)

    def shut(self, seconds: float) -> None:
        """Shut it for a while, as soon as nobody is inside."""
        self._seconds = seconds
        self._shut.set()

    async def stand(self) -> None:
        """Let connections in while it is not shut."""
        while True:
            listener = await anyio.create_tcp_listener(
                local_host="127.0.0.1", local_port=self._port
            )
            async with listener, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, self._let_in, tasks)
                await self._shut.wait()
                while self._is_busy():  # noqa: ASYNC110 - a time that passes sets no event
                    await anyio.sleep(QUIET / 5)
                tasks.cancel_scope.cancel()
            self._shut = anyio.Event()
            await anyio.sleep(self._seconds)

    def _is_busy(self) -> bool:
        return self._inside > 0 or anyio.current_time() - self._answered < QUIET

    async def _let_in(self, stream: SocketStream) -> None:
        await self._server._connection(stream)

    async def _through(self, request: HTTPRequest) -> HTTPResponse:
        self._inside += 1
        try:
            return await self.app(request)
        finally:
            self._inside -= 1
            self._answered = anyio.current_time()
