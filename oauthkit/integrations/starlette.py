"""`LoginFlow` in Starlette's words, which are FastAPI's too: requests, answers and routes."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from string import punctuation
from typing import Any
from urllib.parse import quote

from oauthkit.errors import ConfigurationError
from oauthkit.integrations import installed_by
from oauthkit.kinds import checked
from oauthkit.login import LoginFlow, LoginReply, LoginRequest
from oauthkit.login.messages import LONGEST_BODY

with installed_by("'oauthkit[login]' starlette"):
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, HTTPConnection, Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route


@checked
def login_routes(flow: LoginFlow[Any]) -> list[BaseRoute]:
    """Return the routes of a login.

    Example:
        ::

            from secrets import token_bytes

            from starlette.applications import Starlette

            from oauthkit.integrations.starlette import login_routes
            from oauthkit.login import LoginFlow

            session = AsyncTokenSession(
                server=server, client_auth=client_auth, store=store, key="application"
            )
            flow = LoginFlow(session, cookie_keys=[token_bytes(32)])
            app = Starlette(routes=login_routes(flow))

    Args:
        flow: What answers there.
    """
    site = flow.site
    return [
        Route(site.login_path, _begin(flow), methods=["GET"], name=login_name(flow)),
        Route(site.redirect_path, _route(flow.finish), methods=["GET", "POST"]),
        Route(site.logout_path, _route(flow.logout), methods=["POST"]),
        Route(site.backchannel_logout_path, _route(flow.backchannel_logout), methods=["POST"]),
    ]


@checked
def login_name(flow: LoginFlow[Any]) -> str:
    """Return the name of the route where a login begins, for `url_path_for`."""
    return f"login of {flow.cookie}"


@checked
def login_request(connection: HTTPConnection, body: bytes = b"") -> LoginRequest:
    """Return what was asked, by a request or by a WebSocket that is opened.

    The URL is what came, byte for byte: `%2F` and `/` are two paths. A root that a proxy has taken
    off is put before it again, where the server has not.

    Args:
        connection: The request, or the WebSocket.
        body: What was posted.
    """
    scope = connection.scope
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()  # it may be absent
    sent = (raw, scope.get("query_string", b""))
    path, query = (quote(part, safe=punctuation) for part in sent)
    root, at = _root_and_path(connection)
    taken_off = quote(root) if at == scope["path"] else ""
    site = connection.base_url  # its `url` wants a query to be UTF-8
    scheme = site.scheme.replace("ws", "http")  # as the Origin of a WebSocket has it
    return LoginRequest(
        method=scope.get("method", "WEBSOCKET"),
        url=f"{scheme}://{site.netloc}{taken_off}{path}" + (f"?{query}" if query else ""),
        headers=connection.headers.items(),
        body=body,
        root=root,
    )


@checked
def login_response(reply: LoginReply) -> Response:
    """Return an answer as Starlette has it.

    Args:
        reply: The answer.
    """
    response = Response(reply.body, reply.status)
    for name, value in reply.fields:
        response.headers.append(name, value)
    return response


def _begin(flow: LoginFlow[Any]) -> Callable[[Request], Awaitable[Response]]:
    """Begin logins, whose callbacks have a route only where this one has no prefix."""
    begin, path = _route(flow.start), flow.site.login_path

    async def route(request: Request) -> Response:
        _, at = _root_and_path(request)
        if at != path:
            message = (
                f"the routes of the login were included with the prefix {at.removesuffix(path)!r}, "
                f"where no callback comes to; include them without one, and say "
                f"redirect_path={at.removesuffix(path) + flow.site.redirect_path!r} for other paths"
            )
            raise ConfigurationError(message)
        return await begin(request)

    return route


def _root_and_path(connection: HTTPConnection) -> tuple[str, str]:
    """Return where the application is mounted, and the path in it, both decoded."""
    root, path = connection.scope.get("root_path", "").rstrip("/"), connection.scope["path"]
    if path == root or path.startswith(f"{root}/"):  # not all servers put it before the path
        path = path[len(root) :]
    return root, path


def _route(
    answer: Callable[[LoginRequest], Awaitable[LoginReply]],
) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        return login_response(await answer(login_request(request, await _body(request))))

    return route


async def _body(request: Request) -> bytes:
    """Read what was posted; Starlette would want another package to read forms.

    Raises:
        HTTPException: It is too long, or the client has left.
    """
    body = bytearray()
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except ClientDisconnect as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from error
    return bytes(body)
