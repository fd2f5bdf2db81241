"""Visitors of a FastAPI application log in and out: `LoginFlow` in FastAPI's words."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Generic, Unpack

import attrs

from oauthkit.errors import OAuthKitError
from oauthkit.integrations import installed_by
from oauthkit.kinds import checked
from oauthkit.login import LoginFlow, LoginReply, LoginRequest, LoginSettings, Visitor
from oauthkit.login.lifespan import opened
from oauthkit.session import AsyncTokenSession, R

with installed_by("'oauthkit[fastapi]'"):
    from fastapi import APIRouter, HTTPException, Request, Response, WebSocketException
    from fastapi.openapi.models import APIKey
    from fastapi.security.base import SecurityBase
    from starlette import status
    from starlette.requests import HTTPConnection
    from starlette.routing import NoMatchFound

    from oauthkit.integrations.starlette import (
        login_name,
        login_request,
        login_response,
        login_routes,
    )

__all__ = ["Login", "LoginAnswer", "Visitor", "VisitorDependency"]

_PROBLEM: Final = "application/problem+json"


class LoginAnswer(HTTPException):
    """Report that a route is answered by the login instead.

    FastAPI shows the `detail` as JSON, a problem detail (RFC 9457); with
    `Login.exception_handlers`, whoever looks at a page is shown one.

    Attributes:
        reply: The whole answer.
    """

    def __init__(self, reply: LoginReply) -> None:
        """Take the answer."""
        headers, told = dict(reply.fields), reply.headers.get("content-type") == _PROBLEM
        if reply.location is None:
            headers["content-type"] = _PROBLEM  # of what FastAPI makes of the detail
        super().__init__(reply.status, json.loads(reply.body)["detail"] if told else None, headers)
        self.reply = reply


class VisitorDependency(SecurityBase, Generic[R]):
    """Dependency that gives a route its visitor, and answers errors that a login would cure."""

    def __init__(self, flow: LoginFlow[R], *, required: bool) -> None:
        """Take who knows it, and whether the route needs one; describe the cookie (OpenAPI)."""
        told = f"Set by a login in a browser, at {flow.site.login_path}."
        self.model = APIKey.model_validate(
            {"in": "cookie", "name": flow.cookie, "description": told}
        )
        self.scheme_name = flow.cookie
        self._flow, self._required = flow, required

    async def __call__(
        self, connection: HTTPConnection, response: Response
    ) -> AsyncGenerator[Visitor[R] | None]:
        """Give the visitor, and answer what the route raises where a login is what it needs."""
        request = login_request(connection)
        try:
            visitor = await self._flow.visitor(request)
            if visitor is not None:
                response.headers["Cache-Control"] = "no-store"
            elif self._required:
                raise _instead(
                    connection, self._flow.challenge(self._at_login(request, connection))
                )
            yield visitor
        except (OAuthKitError, ExceptionGroup) as error:
            reply = self._flow.answer(self._at_login(request, connection), error)
            if reply is None:
                raise
            raise _instead(connection, reply) from error

    def _at_login(self, request: LoginRequest, connection: HTTPConnection) -> LoginRequest:
        """Return a request with the root of the application that has the routes of the login.

        It may be another one than has the route. A mount that has a name hides what is below it,
        and one at a pattern is found by the pattern.
        """
        scope = connection.scope
        try:
            path: str = scope["router"].url_path_for(login_name(self._flow))
        except NoMatchFound:
            return request
        if "{" in path:
            return request
        mounted = path.removesuffix(self._flow.site.login_path)
        return attrs.evolve(request, root=scope.get("app_root_path", request.root) + mounted)


class Login(Generic[R]):
    """Log visitors of a FastAPI application in and out.

    Example:
        ::

            from secrets import token_bytes
            from typing import Annotated

            from fastapi import Depends, FastAPI

            from oauthkit.integrations.fastapi import Login, Visitor

            session = AsyncTokenSession(
                server=server, client_auth=client_auth, store=store, key="application"
            )
            login = Login(session, scope="openid email", cookie_keys=[token_bytes(32)])
            app = FastAPI(lifespan=login.lifespan)
            app.include_router(login.router)


            @app.get("/inbox")
            async def inbox(visitor: Annotated[Visitor, Depends(login.visitor)]):
                return (await visitor.session.get("/inbox")).json()

    The router has `GET /auth/login?return_to=…`, `GET` and `POST /auth/callback`,
    `POST /auth/logout` and `POST /auth/backchannel-logout`.

    Args:
        session: The application's session: with a store, and a key that is the application's own,
            such as `"application"`. Server and client authentication are the session's.
        settings: Those of `oauthkit.login.LoginFlow`: `cookie_keys=`, and what else differs.

    Attributes:
        flow: What decides.
        router: The routes of the login, to be included without a prefix.
        visitor: Dependency that gives the visitor; without one a page is redirected to the login,
            and a program told 401.
        visitor_or_none: The same, and None without one.
        exception_handlers: For `FastAPI(exception_handlers=…)`: has an outage shown as a page.

    Raises:
        ConfigurationError: Something does not fit.
    """

    @checked
    def __init__(self, session: AsyncTokenSession[R], **settings: Unpack[LoginSettings]) -> None:
        """Check what was given; nothing is sent yet."""
        self.flow = flow = LoginFlow(session, **settings)
        self.visitor = VisitorDependency(flow, required=True)
        self.visitor_or_none = VisitorDependency(flow, required=False)
        self.exception_handlers: dict[Any, Callable[..., Any]] = {LoginAnswer: _send_whole}
        stores = settings.get("used"), settings.get("logout_index")
        self._opened = partial(opened, session, *stores)
        self.router = APIRouter(routes=login_routes(flow))

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None]:
        """Open the stores and the session that were given, and close them at the end.

        `FastAPI(lifespan=login.lifespan)`; or, in one of your own, `async with login.lifespan():`.
        """
        async with self._opened():
            yield


def _instead(connection: HTTPConnection, reply: LoginReply) -> Exception:
    """Return what ends a route, so that it is answered so."""
    if connection.scope["type"] != "websocket":
        return LoginAnswer(reply)
    later = reply.status == HTTPStatus.SERVICE_UNAVAILABLE
    code = status.WS_1013_TRY_AGAIN_LATER if later else status.WS_1008_POLICY_VIOLATION
    return WebSocketException(code)


async def _send_whole(_request: Request, error: LoginAnswer) -> Response:
    return login_response(error.reply)
