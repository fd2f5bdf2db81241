"""A small internet: the authorization server auth.example, and APIs on every other host."""

import ast
import inspect
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest

import oauthkit
from oauthkit.stores.sqlite import SQLiteStore
from oauthkit.testing import FakeAuthorizationServer

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet:
    """One code block of a page."""

    def __init__(self, page: Path, text: str, line: int) -> None:
        self._page, self.text, self._line = page, text, line

    @property
    def page(self) -> str:
        """The name of the page."""
        return self._page.name

    def __repr__(self) -> str:
        return f"{self._page.name}:{self._line}"

    async def run(self, names: dict[str, Any]) -> dict[str, Any]:
        """Run the block, and the tests that it defines, and return all names there are then."""
        source = "\n" * self._line + self.text  # a traceback shows the line of the page
        code = compile(source, str(self._page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        after: dict[str, Any] = {"__name__": "__main__", **names}
        result = eval(code, after)  # noqa: S307 - our own pages
        if inspect.iscoroutine(result):
            await result
        for name in after.keys() - names.keys():
            if name.startswith("test_"):
                await after[name]()
        return after


def snippets() -> list[Snippet]:
    """Return every code block of the README and the docs."""
    return [
        Snippet(page, block[1], page_text.count("\n", 0, block.start(1)))
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
        for page_text in [page.read_text(encoding="utf-8")]
        for block in BLOCK.finditer(page_text)
    ]


def api(request: httpx.Request) -> httpx.Response:
    """Answer as the API of the examples."""
    answers: dict[str, object] = {
        "/report": {"pages": 3},
        "/inbox": ["a letter"],
        "/SayHello/sayHello": {"greeting": "Hello, Ada!"},
        "/cgi-bin/nph-bib_query": {"body": "1999ApJ...517..565P"},
        "/1.1/test.php": {"counter": 228},
    }
    return httpx.Response(200, json=answers[request.url.path])


OPEN = {"/SayHello/sayHello", "/cgi-bin/nph-bib_query"}
"""What skips authentication."""


BLOCKS = {
    "fastapi_report": '@app.get("/report")',
    "fastapi_login": '@app.get("/login")',
    "aiohttp_report": "cleanup_ctx",
}
"""What tells the blocks that are visited as a browser would from the others."""


@pytest.fixture
def fake() -> FakeAuthorizationServer:
    return FakeAuthorizationServer(client_id="reporter", client_secret="s3cret", clock=time)


@pytest.fixture
async def names(
    fake: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncGenerator[dict[str, Any]]:
    """Have what a reader of the page has by then: oauthkit's names, anyio, a session."""
    asgi = httpx.ASGITransport(fake.asgi(api))
    asgi2 = httpx2.ASGITransport(fake.asgi(api))

    async def answer(_: object, request: httpx.Request) -> httpx.Response:
        return (
            api(request) if request.url.path in OPEN else await asgi.handle_async_request(request)
        )

    async def answer2(_: object, request: httpx2.Request) -> httpx2.Response:
        return await asgi2.handle_async_request(request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", answer2)
    opened: list[SQLiteStore] = []
    begin = SQLiteStore.__init__

    def begun(self: SQLiteStore, *arguments: Any, **keywords: Any) -> None:
        begin(self, *arguments, **keywords)
        opened.append(self)

    monkeypatch.setattr(SQLiteStore, "__init__", begun)
    monkeypatch.chdir(tmp_path)
    public = {name: getattr(oauthkit, name) for name in oauthkit.__all__}
    async with oauthkit.AsyncTokenSession(
        server=fake.server,
        client_auth=fake.client_auth,
        grant=fake.grant,
        base_url="https://api.example",
    ) as session:
        yield {**public, "anyio": anyio, "session": session}
    for store in opened:  # the pages leave that to the end of the program
        await store.aclose()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each page, or the block with a certain text, to the tests that want it."""
    if "page" in metafunc.fixturenames:
        pages = {snippet.page: None for snippet in snippets()}
        blocks = [[s for s in snippets() if s.page == page] for page in pages]
        metafunc.parametrize("page", blocks, ids=list(pages))
    for fixture, text in BLOCKS.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, [s for s in snippets() if text in s.text], ids=repr)
