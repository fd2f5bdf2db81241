"""A person in front of a browser, who logs in and agrees by the server's own pages."""

from collections.abc import Mapping
from html.parser import HTMLParser
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin

import attrs
import httpx

MOST_STEPS: Final = 20
AGREEING: Final = ("allow", "logout", "action")
"""The names of buttons that say yes, where one beside them says no."""
TYPED: Final = ("text", "password", "email")


@attrs.define
class Form:
    """A form of a page: where it goes, what it holds, what can be pressed."""

    action: str = ""
    method: str = "get"
    hidden: dict[str, str] = attrs.field(factory=dict[str, str])
    typed: list[str] = attrs.field(factory=list[str])
    ticked: dict[str, str] = attrs.field(factory=dict[str, str])
    buttons: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])


class Page(HTMLParser):
    """What a page has that a person can use."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self._named: dict[str, Form] = {}
        self._inside: Form | None = None
        self._link: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = Form(values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self._inside)
            self._named[values.get("id", "")] = self._inside
        elif tag in {"input", "button"}:
            form = self._named.get(values.get("form", ""), self._inside)
            if form is not None:
                _add(form, tag, values)
        elif tag == "a":
            self._link = values.get("href")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = None
        elif tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._link is not None and data.strip():
            self.links[data.strip(" []\n")] = self._link


def _add(form: Form, tag: str, values: Mapping[str, str]) -> None:
    name, kind = values.get("name", ""), values.get("type", "submit" if tag == "button" else "text")
    if kind == "submit":
        form.buttons.append((name, values.get("value", "")))
    elif kind == "hidden":
        form.hidden[name] = values.get("value", "")
    elif kind == "checkbox":
        form.ticked[name] = values.get("value", "on")
    elif kind in TYPED:
        form.typed.append(name)


class Human:
    """Follow a server's pages as a person does: log in where asked, agree, and come back.

    Args:
        answers: What is typed, by the name of the field.
        refuse: The link, or the name or value of the button, that says no; it is used in place of
            agreeing, and nothing is done after it.
    """

    def __init__(self, answers: Mapping[str, str], *, refuse: str | None = None) -> None:
        self._answers, self._refuse = answers, refuse
        self._browser = httpx.AsyncClient(timeout=20.0)
        self._has_refused = False
        self.pages: list[str] = []

    async def __aenter__(self) -> Self:
        await self._browser.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._browser.__aexit__(kind, error, traceback)

    async def visit(self, url: str, *, until: str | None = None) -> str:
        """Go where the pages lead, up to a URL of the application's.

        Args:
            url: Where the browser is sent to.
            until: How the URL begins that belongs to the application; None is a page of the
                server's on which nothing is left to do.

        Returns:
            The application's URL with its query, or the form that is posted to it; or the text of
            the last page.
        """
        request = self._browser.build_request("GET", url)
        for _ in range(MOST_STEPS):
            if until is not None and str(request.url).startswith(until):
                body = (await request.aread()).decode()
                return body or str(request.url)
            response = await self._browser.send(request)
            following = response.next_request or self._used(response)
            if following is None:
                if until is not None:
                    message = f"no way on from {response.url} ({response.status_code}):\n"
                    raise AssertionError(message + response.text)
                return response.text
            request = following
        message = f"still not at {until} after {MOST_STEPS} steps, but at {request.url}"
        raise AssertionError(message)

    def _used(self, response: httpx.Response) -> httpx.Request | None:
        """Return what a person does on a page; None where there is nothing."""
        self.pages.append(response.text)
        if self._has_refused:
            return None
        page = Page(response.text)
        here = str(response.url)
        if self._refuse in page.links:
            self._has_refused = True
            return self._browser.build_request("GET", urljoin(here, page.links[self._refuse]))
        if not page.forms:
            return None
        form = page.forms[0]
        fields = form.hidden | {name: self._answers[name] for name in form.typed} | form.ticked
        pressed = next((button for button in form.buttons if self._refuse in button), None)
        self._has_refused = pressed is not None
        name, value = pressed or _agreeing(form)
        fields |= {name: value} if name else {}
        target = urljoin(here, form.action)
        if form.method == "post":
            return self._browser.build_request("POST", target, data=fields)
        return self._browser.build_request("GET", target, params=fields)


def _agreeing(form: Form) -> tuple[str, str]:
    """Return the button that says yes, by name and value; on most pages it has neither."""
    return next((button for button in form.buttons if button[0] in AGREEING), ("", ""))
