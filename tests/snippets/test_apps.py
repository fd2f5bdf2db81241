"""The applications of docs: sessions.md, web-login.md, logout.md, under their frameworks."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

import attrs
import httpx
import pytest

from oauthkit import Identity, LoggedIn, SQLiteStore
from oauthkit.testing import FakeAuthorizationServer

from .apps import visited
from .certificates import Certificates
from .pages import block, blocks
from .world import World

FRAMEWORKS = {"fastapi": "app = FastAPI(", "aiohttp": "app = web.Application("}
WEB_LOGINS = {
    "fastapi": "app = FastAPI(lifespan",
    "aiohttp": "app = web.Application(",
    "starlette": "app = Starlette(",
}
RETRY_AFTER = "60"
"""Longer than a renewal waits."""


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run on the one event loop that the frameworks run on."""
    return str(request.param)


@pytest.fixture(params=list(FRAMEWORKS))
async def report_app(
    request: pytest.FixtureRequest, world: World, certificates: Certificates, tmp_path: Path
) -> AsyncGenerator[httpx.AsyncClient]:
    """Visit the application of docs/sessions.md."""
    app = block("sessions.md", FRAMEWORKS[request.param]).run(tmp_path)["app"]
    async with visited(app, world, certificates) as browser:
        yield browser


@pytest.fixture(params=list(WEB_LOGINS))
async def web_login(
    request: pytest.FixtureRequest, world: World, certificates: Certificates, tmp_path: Path
) -> AsyncGenerator[httpx.AsyncClient]:
    """Look at pages of an application of docs/web-login.md."""
    app = block("web-login.md", WEB_LOGINS[request.param]).run(tmp_path)["app"]
    async with visited(app, world, certificates) as browser:
        browser.headers["accept"] = "text/html"
        yield browser


def test_every_app_of_the_pages_is_visited() -> None:
    apps = [one for one in blocks() if one.is_app]

    assert {str(one) for one in apps} == {
        str(block("logout.md", FRAMEWORKS["fastapi"])),
        *(str(block("sessions.md", text)) for text in FRAMEWORKS.values()),
        *(str(block("web-login.md", text)) for text in WEB_LOGINS.values()),
    }


async def test_an_application_gives_its_report(report_app: httpx.AsyncClient, world: World) -> None:
    assert (await report_app.get("/report")).json() == {"pages": 3}
    assert {"auth.example", "api.example"} <= world.internet.visited


# docs/web-login.md: what is inside of it is tested in tests/login and tests/integrations


async def test_a_login_leads_back_to_where_it_began(web_login: httpx.AsyncClient) -> None:
    begun = await web_login.get((await web_login.get("/inbox?page=2%2F3")).headers["location"])
    back = (await web_login.get(begun.headers["location"])).headers["location"]
    done = await web_login.get(back)

    assert done.headers["location"] == "/inbox?page=2%2F3"
    inbox = await web_login.get("/inbox")
    assert inbox.json() == {"user": "ada", "letters": ["a letter"]}
    assert inbox.headers["cache-control"] == "no-store"


async def test_a_logout_leads_to_the_one_of_the_server(web_login: httpx.AsyncClient) -> None:
    begun = await web_login.get("/auth/login")
    await web_login.get((await web_login.get(begun.headers["location"])).headers["location"])
    out = await web_login.post("/auth/logout", headers={"sec-fetch-site": "same-origin"})

    assert out.headers["location"].startswith("https://auth.example/")
    assert not web_login.cookies
    assert (await web_login.get("/inbox")).headers["location"].startswith("/auth/login?")


async def test_what_is_out_of_order_is_said(web_login: httpx.AsyncClient, world: World) -> None:
    begun = await web_login.get("/auth/login")
    await web_login.get((await web_login.get(begun.headers["location"])).headers["location"])
    world.fake.revoke_access_tokens()
    world.fake.fail_next(503, headers={"retry-after": RETRY_AFTER})
    out_of_order = await web_login.get("/inbox")

    assert out_of_order.status_code == 503
    assert out_of_order.headers["content-type"].startswith("text/html")
    assert int(out_of_order.headers["retry-after"]) in range(50, 61)


# docs/logout.md: the server says who has logged out


@attrs.define
class Told:
    """The application that a server tells of logouts, and what it keeps."""

    browser: httpx.AsyncClient
    fake: FakeAuthorizationServer
    store: SQLiteStore

    async def tell(self, logout_token: str) -> httpx.Response:
        answer = await self.browser.post("/logged-out", data={"logout_token": logout_token})
        assert answer.headers["cache-control"] == "no-store"
        return answer

    async def left(self) -> list[str]:
        return [key for key in ("phone", "laptop") if await self.store.load(key) is not None]


@pytest.fixture
async def told(world: World, certificates: Certificates, tmp_path: Path) -> AsyncGenerator[Told]:
    """Have Ada logged in twice, in two sessions at the server."""
    names = block("logout.md", FRAMEWORKS["fastapi"]).run(tmp_path)
    async with (
        visited(names["app"], world, certificates) as browser,
        SQLiteStore("tokens.db") as store,
    ):
        for number, key in enumerate(("phone", "laptop"), start=1):
            identity = Identity(
                issuer=world.fake.issuer,
                subject="ada",
                claims={"sid": f"session-{number}"},
                expires_at=time.time() + 60,
            )
            await names["welcome"](key, LoggedIn(world.fake.issue(), identity))
        yield Told(browser, world.fake, store)


async def test_the_server_logs_out_one_session(told: Told) -> None:
    """BL-02, BL-10."""
    answer = await told.tell(told.fake.logout_token("ada", "session-1"))

    assert answer.status_code == 200
    assert await told.left() == ["laptop"]
    assert len(told.fake.endpoint_requests["revoke"]) == 1


async def test_the_server_logs_out_a_subject_everywhere(told: Told) -> None:
    """BL-02."""
    assert (await told.tell(told.fake.logout_token("ada"))).status_code == 200
    assert await told.left() == []


async def test_a_logout_token_counts_once_in_the_application(told: Told) -> None:
    """BL-08."""
    text = told.fake.logout_token("ada", "session-1")

    assert [(await told.tell(text)).status_code for _ in range(2)] == [200, 400]


@pytest.mark.parametrize("text", ["", "made.up.token"])
async def test_what_is_no_logout_token_ends_no_visit(told: Told, text: str) -> None:
    """AT-84."""
    assert (await told.tell(text)).status_code == 400
    assert await told.left() == ["phone", "laptop"]


async def test_a_logout_token_comes_as_a_posted_form_alone(told: Told) -> None:
    """BL-01."""
    text = told.fake.logout_token("ada")
    asked = await told.browser.get("/logged-out", params={"logout_token": text})
    as_json = await told.browser.post("/logged-out", json={"logout_token": text})

    assert (asked.status_code, as_json.status_code) == (405, 400)
    assert await told.left() == ["phone", "laptop"]


async def test_a_logout_that_fails_is_said_to_have_failed(told: Told) -> None:
    told.fake.fail_next(503, endpoint="jwks")

    assert (await told.tell(told.fake.logout_token("ada"))).status_code == 400
    assert await told.left() == ["phone", "laptop"]
