"""Visitors of an aiohttp application log in and out: `LoginFlow` in aiohttp's words."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Unpack

import attrs
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from oauthkit.errors import ConfigurationError, OAuthKitError
from oauthkit.integrations.aiohttp.conversion import body, raised, response, target
from oauthkit.kinds import checked
from oauthkit.login import LoginFlow, LoginReply, LoginRequest, LoginSettings, Visitor
from oauthkit.login.lifespan import opened
from oauthkit.session import AsyncTokenSession

__all__ = ["Login", "Visitor"]

if TYPE_CHECKING:
    import httpx
    from typing_extensions import TypeVar

    R = TypeVar("R", default=httpx.Response)
else:
    from typing import TypeVar

    R = TypeVar("R")


@attrs.define
class _Progress:
    """How far a request is, for one login of those that its applications have.

    Attributes:
        outer: The same, for the login around it.
        asked: The login whose visitor was looked up last.
        begun: Whether the head of the answer was sent.
    """

    outer: "_Progress | None"
    asked: "Login[Any] | None" = None
    begun: bool = False


_PROGRESS: Final[ContextVar[_Progress | None]] = ContextVar("oauthkit_login_progress", default=None)
"""Of the request that is being handled: aiohttp handles each in a task of its own. What is kept in
a request would be lost where a middleware passes on a clone of it, as those for proxies do."""


class Login(Generic[R]):
    """Log visitors of an aiohttp application in and out.

    Example:
        ::

            def application(session: AsyncTokenSession, key: bytes):
                login = Login(session, client_id="web", scope="openid email", cookie_keys=[key])

                async def inbox(request):
                    visitor = await login.visitor(request)
                    return web.json_response((await visitor.session.get("/inbox")).json())

                app = web.Application()
                app.router.add_get("/inbox", inbox)
                login.setup(app)
                return app

    Args:
        session: The application's session: with a store, and a key that is the application's own,
            such as `"application"`. Server and client authentication are the session's.
        settings: Those of `oauthkit.login.LoginFlow`: `cookie_keys=`, and what else differs.

    Attributes:
        flow: What decides.

    Raises:
        ConfigurationError: Something does not fit.
    """

    @checked
    def __init__(self, session: AsyncTokenSession[R], **settings: Unpack[LoginSettings]) -> None:
        """Check what was given; nothing is sent yet."""
        self.flow = LoginFlow(session, **settings)
        stores = settings.get("used"), settings.get("logout_index")
        self._opened = partial(opened, session, *stores)
        self._resource = web.AppKey[web.Resource]("oauthkit.login")

    @checked
    def setup(self, app: web.Application) -> None:
        """Add the routes of the login to an application, which may be a sub-application.

        These are `GET /auth/login`, `GET` and `POST /auth/callback`, `POST /auth/logout` and `POST
        /auth/backchannel-logout`. What its handlers raise about tokens is answered: with the
        login where that helps, with 503 where it may be over in a moment. The session and its
        store are open while the application runs.

        Args:
            app: The application; `visitor` works in it, and in its sub-applications.
        """
        flow, site, router = self.flow, self.flow.site, app.router
        start, finish = self._handler(flow.start), self._handler(flow.finish)
        # A HEAD request would use up what only the GET after it can give to somebody.
        app[self._resource] = router.add_resource(site.login_path)
        app[self._resource].add_route(hdrs.METH_GET, start)
        router.add_get(site.redirect_path, finish, allow_head=False)
        router.add_post(site.redirect_path, finish)
        router.add_post(site.logout_path, self._handler(flow.logout))
        router.add_post(site.backchannel_logout_path, self._handler(flow.backchannel_logout))
        app.middlewares.insert(0, self._answering)
        app.on_response_prepare.append(_before_head)
        app.cleanup_ctx.append(self._open)

    @checked
    async def visitor(self, request: web.Request) -> Visitor[R]:
        """Return who sends a request.

        Raises:
            aiohttp.web.HTTPException: Nobody who has logged in does: a page is sent to the login,
                a program gets 401.
            StoreError: It could not be found out whether they have logged out.
            ConfigurationError: `setup` was not called for this application.
        """
        visitor = await self.visitor_or_none(request)
        if visitor is None:
            raise raised(self.flow.challenge(self._asked(request)))
        return visitor

    @checked
    async def visitor_or_none(self, request: web.Request) -> Visitor[R] | None:
        """Return who sends a request; None where nobody has logged in.

        Raises:
            StoreError: It could not be found out whether they have logged out.
            ConfigurationError: `setup` was not called for this application.
        """
        for progress in _progresses():
            progress.asked = self
        return await self.flow.visitor(self._asked(request))

    def _handler(self, answer: Callable[[LoginRequest], Awaitable[LoginReply]]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            asked = attrs.evolve(self._asked(request), body=await body(request))
            return response(await answer(asked))

        return handle

    @web.middleware
    async def _answering(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        progress = _Progress(_PROGRESS.get())
        _PROGRESS.set(progress)
        try:
            return await handler(request)
        except (OAuthKitError, ExceptionGroup) as error:
            if progress.begun or progress.asked not in {None, self}:
                raise
            reply = self.flow.answer(self._asked(request), error)
            if reply is None:
                raise
            return response(reply)

    async def _open(self, app: web.Application) -> AsyncIterator[None]:
        async with self._opened():
            yield

    def _asked(self, request: web.Request) -> LoginRequest:
        """Return a request in no framework's words, but for its body.

        Raises:
            ConfigurationError: `setup` was not called for its application.
        """
        resource = request.config_dict.get(self._resource)
        if resource is None:
            message = "login.setup(app) was not called for this application, nor for one around it"
            raise ConfigurationError(message)
        upgrade = request.headers.get(hdrs.UPGRADE, "").strip().lower()
        return LoginRequest(
            method="WEBSOCKET" if upgrade == "websocket" else request.method,
            url=f"{request.scheme}://{request.host}{target(request)}",
            headers=[(name, value) for name, value in request.headers.items()],
            root=resource.canonical.removesuffix(self.flow.site.login_path),
        )


def _progresses() -> Iterator[_Progress]:
    progress = _PROGRESS.get()
    while progress is not None:
        yield progress
        progress = progress.outer


async def _before_head(_: web.Request, response: web.StreamResponse) -> None:
    """Have no page kept that says something of a visitor; note that an answer is on its way."""
    for progress in _progresses():
        progress.begun = True
        if progress.asked is not None:
            response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
