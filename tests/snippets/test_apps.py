"""The applications of docs: sessions.md, login.md, logout.md, under their frameworks."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path
from secrets import token_urlsafe

import attrs
import httpx
import pytest
from cryptography.fernet import Fernet

from oauthkit import Identity, LoggedIn, SQLiteStore
from oauthkit.testing import FakeAuthorizationServer

from .apps import visited
from .certificates import Certificates
from .pages import block, blocks
from .world import World

FRAMEWORKS = {"fastapi": "app = FastAPI(", "aiohttp": "app = web.Application("}
WEB_LOGINS = {"fastapi": "app = FastAPI(lifespan", "starlette": "app = Starlette("}
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


@pytest.fixture
async def browser(
    world: World, certificates: Certificates, tmp_path: Path
) -> AsyncGenerator[httpx.AsyncClient]:
    """Visit the application of docs/login.md."""
    app = block("login.md", FRAMEWORKS["aiohttp"]).run(tmp_path)["app"]
    async with visited(app, world, certificates) as browser:
        yield browser


async def callback(browser: httpx.AsyncClient, *, error: str = "") -> str:
    """Begin a login and agree, or not; return where the browser is to go then."""
    away = await browser.get("/login")
    assert away.status_code in {303, 307}
    url = (await browser.get(away.headers["location"])).headers["location"]
    return f"{url.partition('?')[0]}?error={error}&{url.partition('&')[2]}" if error else url


async def logged_in(browser: httpx.AsyncClient) -> None:
    done = await browser.get(await callback(browser))
    assert done.headers["location"] == "/inbox"


def is_sent_to_log_in(answer: httpx.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"] == "/login"


def test_every_app_of_the_pages_is_visited() -> None:
    apps = [one for one in blocks() if one.is_app]

    assert {str(one) for one in apps} == {
        str(block("logout.md", FRAMEWORKS["fastapi"])),
        str(block("login.md", FRAMEWORKS["aiohttp"])),
        *(str(block("sessions.md", text)) for text in FRAMEWORKS.values()),
        *(str(block("web-login.md", text)) for text in WEB_LOGINS.values()),
    }


async def test_an_application_gives_its_report(report_app: httpx.AsyncClient, world: World) -> None:
    assert (await report_app.get("/report")).json() == {"pages": 3}
    assert {"auth.example", "api.example"} <= world.internet.visited


async def test_a_login_leads_to_the_inbox(browser: httpx.AsyncClient, world: World) -> None:
    await logged_in(browser)

    assert (await browser.get("/inbox")).json() == {"user": "ada", "letters": ["a letter"]}
    assert list(browser.cookies) == ["__Host-visitor"]
    (request,) = world.fake.token_requests
    assert request.parameters["grant_type"] == "authorization_code"


async def test_cookies_are_for_this_host_and_no_script(browser: httpx.AsyncClient) -> None:
    begun = (await browser.get("/login")).headers["set-cookie"].lower()

    for attribute in (
        "__host-login-",
        "secure",
        "httponly",
        "samesite=lax",
        "path=/",
        "max-age=600",
    ):
        assert attribute in begun
    assert "domain" not in begun


@pytest.mark.parametrize(
    "cookie",
    [
        "application",
        "visitor:1",
        "",
        "ä",
        Fernet(Fernet.generate_key()).encrypt(b'{"key": "application"}').decode(),
    ],
    ids=["a store's key", "a visitor's key", "nothing", "no ASCII", "sealed by somebody else"],
)
async def test_nobody_names_a_visitor_by_a_cookie_of_his_own(
    browser: httpx.AsyncClient, world: World, cookie: str
) -> None:
    """Among them the key of the application's own session."""
    headers = {b"cookie": f"__Host-visitor={cookie}".encode()}

    answer = await browser.get("/inbox", headers=headers)

    assert is_sent_to_log_in(answer)
    assert not world.fake.token_requests
    assert not world.fake.api_requests


async def test_a_stranger_is_sent_to_log_in(browser: httpx.AsyncClient) -> None:
    assert is_sent_to_log_in(await browser.get("/inbox"))


async def test_a_login_has_a_name_that_was_not_there_before(browser: httpx.AsyncClient) -> None:
    """AT-13: a planted cookie is not taken over (session fixation)."""
    await logged_in(browser)
    first = browser.cookies["__Host-visitor"]
    await logged_in(browser)

    assert browser.cookies["__Host-visitor"] != first
    assert len(browser.cookies) == 1


async def test_a_callback_is_good_once(browser: httpx.AsyncClient, world: World) -> None:
    url = await callback(browser)
    ((name, value),) = browser.cookies.items()
    kept = {"cookie": f"{name}={value}"}
    await browser.get(url)

    again = await browser.get(url)
    with_the_old_cookie = await browser.get(url, headers=kept)

    assert (again.status_code, with_the_old_cookie.status_code) == (400, 400)
    assert len(world.fake.token_requests) == 1
    assert (await browser.get("/inbox")).status_code == 200


async def test_a_forged_callback_does_not_use_the_login_up(browser: httpx.AsyncClient) -> None:
    url = await callback(browser)
    forged = await browser.get(f"/callback?code=<stolen>&state={token_urlsafe()}")
    done = await browser.get(url)

    assert forged.status_code == 400
    assert "stolen" not in forged.text
    assert done.headers["location"] == "/inbox"


async def test_two_tabs_log_in_side_by_side(browser: httpx.AsyncClient, world: World) -> None:
    """AT-14: the second login does not end the first one."""
    first, second = await callback(browser), await callback(browser)

    for url in (first, second):
        assert (await browser.get(url)).headers["location"] == "/inbox"
    assert len(world.fake.token_requests) == 2


async def test_of_many_logins_in_one_browser_the_last_five_wait(browser: httpx.AsyncClient) -> None:
    first, *_, last = [await callback(browser) for _ in range(7)]

    assert len(browser.cookies) == 5
    assert (await browser.get(first)).status_code == 400
    assert (await browser.get(last)).headers["location"] == "/inbox"


async def test_a_refusal_is_a_page(browser: httpx.AsyncClient) -> None:
    refused = await browser.get(await callback(browser, error="access_denied"))

    assert refused.status_code == 403
    assert "/login" in refused.text
    assert is_sent_to_log_in(await browser.get("/inbox"))


async def test_a_code_that_has_expired_is_a_page(browser: httpx.AsyncClient, world: World) -> None:
    url = await callback(browser)
    world.fake.fail_next(400, content=b'{"error":"invalid_grant"}')
    late = await browser.get(url)

    assert late.status_code == 400
    assert "/login" in late.text
    assert not browser.cookies


@pytest.mark.parametrize("status_code", [429, 500, 503])
async def test_an_outage_at_the_callback_is_a_503(
    browser: httpx.AsyncClient, world: World, status_code: int
) -> None:
    url = await callback(browser)
    world.fake.fail_next(status_code, headers={"retry-after": RETRY_AFTER})
    out_of_order = await browser.get(url)

    assert out_of_order.status_code == 503
    assert int(out_of_order.headers["retry-after"]) >= 1
    assert "/login" in out_of_order.text


async def test_keys_that_cannot_be_had_leave_nobody_half_logged_in(
    browser: httpx.AsyncClient, world: World
) -> None:
    url = await callback(browser)
    world.fake.fail_next(503, endpoint="jwks")
    out_of_order = await browser.get(url)

    assert out_of_order.status_code == 503
    assert "__Host-visitor" not in browser.cookies


async def test_an_id_token_that_is_not_to_be_believed_lets_nobody_in(
    browser: httpx.AsyncClient, world: World
) -> None:
    url = await callback(browser)
    world.fake.claims = {"aud": "another client"}
    refused = await browser.get(url)

    assert refused.status_code == 400
    assert "__Host-visitor" not in browser.cookies


async def test_an_outage_later_is_a_503_that_says_when(
    browser: httpx.AsyncClient, world: World
) -> None:
    await logged_in(browser)
    world.fake.revoke_access_tokens()
    world.fake.fail_next(503, headers={"retry-after": RETRY_AFTER})
    out_of_order = await browser.get("/inbox")

    assert out_of_order.status_code == 503
    assert int(out_of_order.headers["retry-after"]) in range(50, 61)


async def test_an_api_out_of_order_is_a_503(browser: httpx.AsyncClient, world: World) -> None:
    await logged_in(browser)
    world.down.add("api.example")

    assert (await browser.get("/inbox")).status_code == 503


async def test_a_dead_refresh_token_leads_to_the_login(
    browser: httpx.AsyncClient, world: World
) -> None:
    await logged_in(browser)
    world.fake.revoke_access_tokens()
    world.fake.fail_next(400, content=b'{"error":"invalid_grant"}')

    assert is_sent_to_log_in(await browser.get("/inbox"))


async def test_a_mistake_of_ours_is_a_500_that_tells_nothing(
    browser: httpx.AsyncClient, world: World
) -> None:
    url = await callback(browser)
    world.fake.fail_next(401, content=b'{"error":"invalid_client","error_description":"inside"}')
    mistaken = await browser.get(url)

    assert mistaken.status_code == 500
    assert "inside" not in mistaken.text


async def test_a_logout_makes_every_copy_of_the_cookie_worthless(
    browser: httpx.AsyncClient,
) -> None:
    await logged_in(browser)
    copied = {"cookie": f"__Host-visitor={browser.cookies['__Host-visitor']}"}
    out = await browser.post("/logout")

    assert out.status_code == 200
    assert not browser.cookies
    assert is_sent_to_log_in(await browser.get("/inbox", headers=copied))


async def test_a_logout_is_one_at_the_server_too(browser: httpx.AsyncClient, world: World) -> None:
    await logged_in(browser)
    await browser.post("/logout")

    (request,) = world.fake.endpoint_requests["revoke"]
    assert request.status_code == 200


async def test_a_logout_does_not_need_the_server(browser: httpx.AsyncClient, world: World) -> None:
    await logged_in(browser)
    world.fake.fail_next(503, endpoint="revoke")

    assert (await browser.post("/logout")).status_code == 200
    assert not browser.cookies


async def test_a_logout_of_a_stranger_is_nothing(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/logout")).status_code == 200


async def test_two_visitors_have_their_own_tokens(browser: httpx.AsyncClient, world: World) -> None:
    await logged_in(browser)
    async with httpx.AsyncClient(base_url=browser.base_url) as other:
        await logged_in(other)
        await other.get("/inbox")
    await browser.get("/inbox")

    inboxes = [r for r in world.fake.api_requests if r.url.endswith("/inbox")]
    assert len({r.headers["authorization"] for r in inboxes}) == 2


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
