"""People in front of browsers of their own."""

import json
from pathlib import Path
from typing import Any, Final

import attrs
from playwright.sync_api import BrowserContext, Page, Request, Response

from tests.browser.applications import Application

CALLBACK: Final = "/auth/callback?"


@attrs.define
class Person:
    """Somebody in front of a browser of their own, who visits one application.

    Attributes:
        name: Whom the server knows them as.
        context: Their browser, with its cookies.
        application: What they visit.
        album: Where it is kept what they have seen.
        page: The tab that they look at.
    """

    name: str
    context: BrowserContext
    application: Application
    album: Path
    page: Page = attrs.field(init=False)
    _looked: int = 0

    def __attrs_post_init__(self) -> None:
        self.page = self.context.new_page()

    @property
    def home(self) -> str:
        """The page of the application."""
        return f"{self.application.site}/"

    def cookies(self) -> dict[str, str]:
        """Return what the browser keeps for all sites."""
        return {str(one.get("name")): str(one.get("value")) for one in self.context.cookies()}

    def look(self, what: str) -> None:
        """Keep what the tab looks like."""
        self._looked += 1
        self.page.screenshot(path=self.album / f"{self.name}-{self._looked:02}-{what}.png")

    def visit(self, url: str | None = None) -> Response:
        """Go to a page by its address."""
        response = self.page.goto(url or self.home)
        assert response is not None
        return response

    def agree(self) -> None:
        """Log in by the server's own pages, and agree to what is asked for."""
        self.sign_in()
        self.page.wait_for_selector("text=Authorize")
        self.look("consent")
        self.page.click("button[type=submit]")

    def sign_in(self) -> None:
        """Say on the page of the server who they are."""
        assert self.page.url.startswith(self.application.issuer), self.page.url
        self.look("login")
        self.page.fill("[name=login]", self.name)
        self.page.fill("[name=password]", "a password")
        self.page.click("button[type=submit]")

    def log_in(self) -> None:
        """Come to the page by way of a login."""
        self.visit()
        self.agree()
        self.page.wait_for_url(self.home)
        self.look("home")

    def log_out(self) -> None:
        """Press the button of the page, confirm it on the page of the server, and come back."""
        self.page.click("text=Log out")
        self.sign_out()
        self.page.wait_for_selector("[name=login]")  # the application has sent them there again
        self.look("signed-out")

    def sign_out(self) -> None:
        """Say on the page of the server that they want to log out there."""
        self.page.wait_for_selector("text=Do you want to sign-out")
        self.look("sign-out")
        self.page.click("button[value=yes]")

    def shown(self) -> dict[str, Any]:
        """Return what the page shows: what the API has said with their token."""
        assert self.page.url == self.home
        said: dict[str, Any] = json.loads(self.page.locator("pre").inner_text())
        return said

    def callback(self) -> str:
        """Log in, but keep the callback from the application; return it."""
        # `Page.route` sees the first request of a chain of redirects alone
        network: Any = self.context.new_cdp_session(self.page)

        def keep(paused: dict[str, Any]) -> None:
            refused = {"requestId": paused["requestId"], "errorReason": "Aborted"}
            network.send("Fetch.failRequest", refused)

        network.on("Fetch.requestPaused", keep)
        network.send("Fetch.enable", {"patterns": [{"urlPattern": f"*{CALLBACK}*"}]})
        with self.page.expect_event("requestfailed", lambda one: CALLBACK in one.url) as kept:
            self.visit()
            self.agree()
        network.detach()
        request: Request = kept.value
        return request.url
