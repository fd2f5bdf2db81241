"""Every code block of the README and the docs works as it stands there."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp.test_utils
import httpx
import pytest

from oauthkit.testing import FakeAuthorizationServer


async def test_every_block_of_a_page_works_as_it_stands(
    page: list[Any], names: dict[str, Any]
) -> None:
    """What a block defines is known to those below it; `session` is always an open one."""
    known: dict[str, Any] = {}
    for snippet in page:
        known = await snippet.run({**known, **names})


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """Run a FastAPI application as a server would, and visit it."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://app.example"
        ) as browser,
    ):
        yield browser


async def test_the_fastapi_example_gives_its_report(
    fastapi_report: Any, names: dict[str, Any]
) -> None:
    app = (await fastapi_report.run(names))["app"]

    async with served(app) as browser:
        assert (await browser.get("/report")).json() == {"pages": 3}


async def test_the_fastapi_login_leads_to_the_inbox(
    fastapi_login: Any, names: dict[str, Any], fake: FakeAuthorizationServer
) -> None:
    """AT-13: under another name than the login had."""
    app = (await fastapi_login.run(names))["app"]

    async with served(app) as browser:
        away = await browser.get("/login")
        planted = browser.cookies["browser"]
        back = await browser.get(fake.authorize(away.headers["location"]))
        inbox = await browser.get(back.headers["location"])
        again = await browser.get(fake.authorize(away.headers["location"]))

    assert inbox.json() == ["a letter"]
    assert planted not in browser.cookies.values()
    assert again.status_code == 400


async def test_the_fastapi_login_survives_a_refusal(
    fastapi_login: Any, names: dict[str, Any], fake: FakeAuthorizationServer
) -> None:
    app = (await fastapi_login.run(names))["app"]

    async with served(app) as browser:
        away = await browser.get("/login")
        url = fake.authorize(away.headers["location"], error="access_denied")
        back = await browser.get(url)
        inbox = await browser.get("/inbox")

    assert back.status_code == 400
    assert inbox.headers["location"] == "/login"


@pytest.mark.skipif(sys.platform == "win32", reason="aiohttp's test server wants a selector loop")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_aiohttp_example_gives_its_report(
    aiohttp_report: Any, names: dict[str, Any], anyio_backend: str
) -> None:
    app = (await aiohttp_report.run(names))["app"]

    async with aiohttp.test_utils.TestClient(aiohttp.test_utils.TestServer(app)) as browser:
        response = await browser.get("/report")
        assert await response.json() == {"pages": 3}
