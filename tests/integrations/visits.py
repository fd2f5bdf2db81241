"""An application of FastAPI with a login, in process, and browsers that visit it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from secrets import token_bytes
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import attrs
import httpx
from fastapi import Depends, FastAPI

from oauthkit import AsyncTokenSession, MemoryStore
from oauthkit.integrations.fastapi import Login, Visitor
from oauthkit.testing import FakeAuthorizationServer

SITE: Final = "https://app.example"
PAGE: Final = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
KEY: Final = token_bytes(32)


@attrs.frozen(eq=False)
class Site:
    """An application, and what is behind it.

    Attributes:
        fake: The authorization server, and the API that takes its tokens.
        session: The application's session.
        login: Its login.
        app: What is visited.
        raises: What the route `/raise` raises, with a visitor.
    """

    fake: FakeAuthorizationServer
    session: AsyncTokenSession
    login: Login
    app: FastAPI
    raises: list[Exception] = attrs.field(factory=list[Exception])

    @asynccontextmanager
    async def browser(self, app: Any = None, **settings: Any) -> AsyncGenerator[httpx.AsyncClient]:
        """Open a browser that looks at pages; its cookies are its own."""
        transport = httpx.ASGITransport(self.app if app is None else app)
        keywords: Any = {"base_url": SITE, "headers": PAGE, **settings}
        async with httpx.AsyncClient(transport=transport, **keywords) as browser:
            yield browser

    async def begin(self, browser: httpx.AsyncClient, path: str = "/auth/login") -> str:
        """Begin a login and agree at the server; return the callback."""
        begun = await browser.get(path)
        assert begun.status_code == 303, begun.text
        return self.fake.authorize(begun.headers["location"])

    async def log_in(self, browser: httpx.AsyncClient) -> str:
        """Log in; return the value of the visitor's cookie."""
        done = await browser.get(await self.begin(browser))
        assert done.status_code == 303, done.text
        return str(browser.cookies[self.login.flow.cookie])


def asked_for(callback: str) -> str:
    """Return the path and query of a callback."""
    parts = urlsplit(callback)
    return f"{parts.path}?{parts.query}"


@asynccontextmanager
async def site(
    fake: FakeAuthorizationServer | None = None,
    *,
    store: Any = None,
    api: Callable[[httpx.Request], httpx.Response] | None = None,
    **settings: Any,
) -> AsyncGenerator[Site]:
    """Open an application with a few routes that have visitors."""
    fake = FakeAuthorizationServer() if fake is None else fake
    fake.keys.algorithm = "ES256"  # an RSA key takes long to be made
    kept = MemoryStore() if store is None else store
    async with fake.session(api, store=kept, key="application", grant=None) as session:
        keywords: Any = {"cookie_keys": [KEY], "clock": fake.clock, **settings}
        login = Login(session, **keywords)
        app = FastAPI(exception_handlers=login.exception_handlers)
        app.include_router(login.router)
        made = Site(fake, session, login, app)
        add_routes(made, app)
        yield made


def add_routes(site: Site, app: FastAPI) -> None:
    """Add routes that have visitors."""
    login = site.login

    @app.get("/inbox/{page:path}")
    async def inbox(page: str, visitor: Annotated[Visitor, Depends(login.visitor)]) -> Any:
        """Show what the API says with the visitor's token."""
        assert visitor.identity is not None
        letters = await visitor.session.get("/inbox")
        return {"user": visitor.identity.subject, "letters": letters.json()}

    @app.post("/send")
    async def send(visitor: Annotated[Visitor, Depends(login.visitor)]) -> str:
        return visitor.key

    @app.get("/maybe")
    async def maybe(
        visitor: Annotated[Visitor | None, Depends(login.visitor_or_none)],
    ) -> str | None:
        return None if visitor is None else visitor.key

    @app.get("/raise")
    async def raise_(visitor: Annotated[Visitor, Depends(login.visitor)]) -> None:
        raise site.raises.pop()
