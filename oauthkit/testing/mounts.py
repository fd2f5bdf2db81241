"""One app, mounted under httpx, respx and ASGI; `sockets` puts it on a real socket."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import httpx

from oauthkit.protocol.messages import HTTPRequest
from oauthkit.testing.conversion import (
    App,
    LostAnswerError,
    body_headers,
    from_httpx_request,
    to_httpx_response,
)

if TYPE_CHECKING:
    import respx

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@attrs.frozen(eq=False)
class AppTransport(httpx.AsyncBaseTransport):
    """Carry the requests of an httpx client to an app, in process.

    A request body is read as a socket would read it, once: what cannot be sent twice shows it.
    """

    app: App

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request.

        Raises:
            httpx.RemoteProtocolError: The answer was lost.
        """
        try:
            response = await self.app(await from_httpx_request(request))
        except LostAnswerError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        return to_httpx_response(response)


@attrs.frozen(eq=False)
class ASGIApp:
    """Be an ASGI 3 application; a lost answer is an exception, as a server that crashed."""

    app: App

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or confirm that the application has started or stopped."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        response = await self.app(
            HTTPRequest(scope["method"], _url(scope), _text(scope["headers"]), await _body(receive))
        )
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": [
                    *body_headers(response.headers),
                    (b"content-length", str(len(response.content)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": response.content})


def mount_on_respx(router: "respx.Router", app: App, *, token_endpoint: str) -> None:
    """Add two routes to a respx router: `token`, and `api` for everything else."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return await AppTransport(app).handle_async_request(request)

    router.post(token_endpoint, name="token").mock(side_effect=answer)
    router.route(name="api").mock(side_effect=answer)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _url(scope: MutableMapping[str, Any]) -> str:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    query = scope.get("query_string", b"").decode("ascii")
    raw_path = scope.get("raw_path")
    path = raw_path.decode("ascii") if raw_path else quote(scope["path"])
    host = hosts[0] if hosts else "{}:{}".format(*scope["server"])
    return f"{scope.get('scheme', 'http')}://{host}{path}{'?' if query else ''}{query}"


def _text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body
