"""A browser with its cookies, a server to log in at, and a flow between them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from oauthkit import AsyncTokenSession, MemoryStore
from oauthkit.login import LoginFlow, LoginReply, LoginRequest
from oauthkit.testing import FakeAuthorizationServer, FakeClock

SITE = "https://app.example"
KEYS = (b"k" * 32,)
PAGE = {"accept": "text/html,application/xhtml+xml"}


@attrs.define
class Browser:
    """Ask a flow as a browser does, and keep the cookies that it sets."""

    flow: LoginFlow[Any]
    cookies: dict[str, str] = attrs.field(factory=dict[str, str])
    site: str = SITE

    def request(self, path: str = "/", *, method: str = "GET", **more: Any) -> LoginRequest:
        """Return a request for a page of the site, or for another URL."""
        url = path if "://" in path else self.site + path
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**more.pop("headers", PAGE), "cookie": cookie}
        return LoginRequest(method=method, url=url, headers=headers, **more)

    def take(self, reply: LoginReply) -> LoginReply:
        """Keep the cookies of an answer, as long as they live."""
        for cookie in reply.cookies:
            self.cookies.pop(cookie.name, None)
            if cookie.max_age > 0:
                self.cookies[cookie.name] = cookie.value
        return reply

    async def start(self, path: str = "/auth/login", **more: Any) -> LoginReply:
        return self.take(await self.flow.start(self.request(path, **more)))

    async def finish(self, callback: str, **more: Any) -> LoginReply:
        return self.take(await self.flow.finish(self.request(callback, **more)))

    async def logout(self, **more: Any) -> LoginReply:
        headers = {**PAGE, "origin": self.site, **more.pop("headers", {})}
        settings: dict[str, Any] = {"method": "POST", "headers": headers, **more}
        return self.take(await self.flow.logout(self.request("/auth/logout", **settings)))

    async def key(self, **more: Any) -> str | None:
        """Return under which key the visitor's token is; None where nobody has logged in."""
        visitor = await self.flow.visitor(self.request(**more))
        return None if visitor is None else visitor.key


@attrs.define
class World:
    """An application that people log in to at a fake server."""

    fake: FakeAuthorizationServer
    session: AsyncTokenSession[Any]
    store: MemoryStore
    flow: LoginFlow[Any]
    clock: FakeClock

    def browser(self) -> Browser:
        return Browser(self.flow)

    def another(self, **settings: Any) -> LoginFlow[Any]:
        """Return a flow with other settings."""
        return new_flow(self.fake, self.session, **settings)

    async def log_in(self, browser: Browser, path: str = "/auth/login") -> LoginReply:
        """Go through a whole login."""
        begun = await browser.start(path)
        assert begun.location is not None
        return await browser.finish(self.fake.authorize(begun.location))

    async def logged_in(self) -> Browser:
        """Return the browser of somebody who has logged in."""
        browser = self.browser()
        await self.log_in(browser)
        return browser


def new_flow(
    fake: FakeAuthorizationServer, session: AsyncTokenSession[Any], **settings: Any
) -> LoginFlow[Any]:
    defaults: dict[str, Any] = {"scope": "openid read", "cookie_keys": KEYS, "clock": fake.clock}
    return LoginFlow(session, **{**defaults, **settings})


@asynccontextmanager
async def new_world(
    fake: FakeAuthorizationServer | None = None, **settings: Any
) -> AsyncGenerator[World]:
    fake = fake or FakeAuthorizationServer()
    clock = fake.clock
    assert isinstance(clock, FakeClock)
    fake.keys.algorithm = "ES256"  # an RSA key takes long to be made
    store = settings.pop("store", None) or MemoryStore()
    async with fake.session(
        store=store, key="application", grant=None, **settings.pop("session", {})
    ) as session:
        yield World(fake, session, store, new_flow(fake, session, **settings), clock)
