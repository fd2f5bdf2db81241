"""Visitors of an aiohttp application log in and out, on sockets."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import Context
from pathlib import Path
from secrets import token_bytes
from typing import Any, cast

import aiohttp
import attrs
import httpx
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer, make_mocked_request
from aiohttp.typedefs import Handler
from yarl import URL

import oauthkit.integrations.aiohttp
from oauthkit import (
    AsyncTokenSession,
    ConfigurationError,
    MemoryStore,
    ReauthorizationRequired,
    SQLiteSingleUseStore,
    SQLiteStore,
    StoreError,
    TransportError,
)
from oauthkit.integrations.aiohttp import Login
from oauthkit.integrations.aiohttp.conversion import target
from oauthkit.login.messages import LONGEST_BODY
from oauthkit.testing import FakeAuthorizationServer

KEYS = (token_bytes(32),)
DOWN = "it does not answer"
PAGE = {"accept": "text/html,*/*;q=0.8"}


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run on the one event loop that aiohttp runs on."""
    return str(request.param)


@attrs.define
class Browser:
    """Somebody with cookies, who visits an application."""

    http: aiohttp.ClientSession
    site: URL
    fake: FakeAuthorizationServer

    async def ask(
        self, path: str, *, method: str = "GET", **options: Any
    ) -> aiohttp.ClientResponse:
        """Send a request, byte for byte, and read the answer."""
        url = URL(path if "://" in path else f"{self.site}{path}", encoded=True)
        options.setdefault("headers", PAGE)
        answer = await self.http.request(method, url, allow_redirects=False, **options)
        await answer.read()
        return answer

    async def post(self, path: str, **options: Any) -> aiohttp.ClientResponse:
        """Press a button of a page of the site."""
        headers = {**PAGE, "origin": str(self.site), **options.pop("headers", {})}
        return await self.ask(path, method="POST", headers=headers, **options)

    async def callback(self, path: str = "/auth/login") -> str:
        """Begin a login and agree; return where the server sends the browser."""
        away = await self.ask(path)
        assert away.status == 303
        return self.fake.authorize(away.headers["location"])

    async def log_in(self, path: str = "/auth/login") -> aiohttp.ClientResponse:
        done = await self.ask(await self.callback(path))
        assert done.status == 303
        return done

    def cookie(self) -> str:
        (cookie,) = (one for one in self.http.cookie_jar if one.key == "__Host-visitor")
        return f"{cookie.key}={cookie.value}"


@attrs.define
class World:
    """An application, whose visitors log in at a fake server."""

    fake: FakeAuthorizationServer
    store: MemoryStore
    session: AsyncTokenSession[Any]
    raised: Exception | None = None

    def login(self, **settings: Any) -> Login[Any]:
        defaults: dict[str, Any] = {"cookie_keys": KEYS, "clock": self.fake.clock}
        return Login(self.session, **{**defaults, **settings})

    def app(self, login: Login[Any], **settings: Any) -> web.Application:
        """Return an application whose pages show what they know of their visitor."""

        async def inbox(request: web.Request) -> web.Response:
            visitor = await login.visitor(request)
            answer = await visitor.session.get("/inbox")
            subject = visitor.identity and visitor.identity.subject
            return web.json_response({"user": subject, "key": visitor.key, **answer.json()})

        async def start(request: web.Request) -> web.Response:
            visitor = await login.visitor_or_none(request)
            return web.Response(text="nobody" if visitor is None else "somebody")

        async def failing(_: web.Request) -> web.Response:
            assert self.raised is not None
            raise self.raised

        app = web.Application(**settings)
        app.add_routes([web.get("/inbox{rest:.*}", inbox), web.post("/inbox", inbox)])
        app.add_routes([web.get("/", start), web.get("/failing", failing)])
        return app

    @asynccontextmanager
    async def serving(self, app: web.Application) -> AsyncGenerator[URL]:
        async with TestServer(app, host="localhost") as server:
            yield server.make_url("/").origin()

    @asynccontextmanager
    async def browsing(self, site: URL) -> AsyncGenerator[Browser]:
        jar = aiohttp.CookieJar(treat_as_secure_origin=site)
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            yield Browser(http, site, self.fake)

    @asynccontextmanager
    async def visited(self, app: web.Application) -> AsyncGenerator[Browser]:
        async with self.serving(app) as site, self.browsing(site) as browser:
            yield browser

    @asynccontextmanager
    async def visiting(self, **settings: Any) -> AsyncGenerator[Browser]:
        """Visit an application that was set up with such a login."""
        login = self.login(**settings)
        app = self.app(login)
        login.setup(app)
        async with self.visited(app) as browser:
            yield browser


def _api(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"token": request.headers["authorization"]})


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    fake.keys.algorithm = "ES256"  # an RSA key takes long to be made
    async with fake.session(_api, store=store, key="application", grant=None) as session:
        yield World(fake, store, session)


@pytest.fixture
async def browser(world: World) -> AsyncGenerator[Browser]:
    async with world.visiting(client_id=world.fake.client_id) as browser:
        yield browser


def cookies_set(answer: aiohttp.ClientResponse) -> list[str]:
    return answer.headers.getall("set-cookie", [])


# Coming in


@pytest.mark.parametrize(
    "target", ["/inbox", "/inbox?a=%20b&c=%2F+%61", "/inbox%2Fall/%C3%A4;x=1?q=%22&&r="]
)
async def test_a_page_is_come_back_to_byte_for_byte(browser: Browser, target: str) -> None:
    """BC-01."""
    asked = await browser.ask(target)
    assert asked.status == 303
    assert cookies_set(asked) == []

    done = await browser.log_in(asked.headers["location"])

    assert done.headers["location"] == target
    inbox = await browser.ask(target)
    assert inbox.status == 200
    assert (await inbox.json())["user"] == "ada"


async def test_a_page_shows_what_the_visitors_own_token_gets(
    browser: Browser, world: World
) -> None:
    await browser.log_in()
    shown = await (await browser.ask("/inbox")).json()

    token = await world.store.load(shown["key"])
    assert token is not None
    assert shown["token"] == f"Bearer {token.access_token}"


async def test_a_program_is_told_and_gets_no_cookie(browser: Browser) -> None:
    answer = await browser.ask("/inbox", headers={"accept": "application/json"})

    assert (answer.status, cookies_set(answer)) == (401, [])
    assert answer.content_type == "application/problem+json"
    assert json.loads(await answer.read())["status"] == 401


async def test_who_needs_no_visitor_gets_none(browser: Browser) -> None:
    before = await (await browser.ask("/")).text()
    await browser.log_in()

    assert [before, await (await browser.ask("/")).text()] == ["nobody", "somebody"]


async def test_cookies_come_one_by_one(browser: Browser) -> None:
    """BT-13: and hold no token that a script could read."""
    done = await browser.log_in()

    cleared, made = cookies_set(done)
    assert cleared.startswith("__Host-visitor-login-")
    assert made.startswith("__Host-visitor=")
    for cookie in (cleared, made):
        assert {"HttpOnly", "Secure", "Path=/"} < {part.strip() for part in cookie.split(";")}


async def test_each_tab_comes_back_to_its_own_page(browser: Browser) -> None:
    """AT-14."""
    paths = ["/inbox?tab=1", "/inbox?tab=2"]
    callbacks = [
        await browser.callback((await browser.ask(path)).headers["location"]) for path in paths
    ]

    done = [(await browser.ask(url)).headers["location"] for url in reversed(callbacks)]

    assert done == list(reversed(paths))


async def test_a_callback_counts_once_in_the_browser_that_began_the_login(
    browser: Browser, world: World
) -> None:
    """AT-12."""
    url = await browser.callback()
    async with aiohttp.ClientSession() as other:
        elsewhere = await other.get(URL(url, encoded=True), allow_redirects=False)
    done, again = await browser.ask(url), await browser.ask(url)

    assert (elsewhere.status, done.status, again.status) == (400, 303, 400)
    assert (await browser.ask("/inbox")).status == 200
    assert len(world.fake.token_requests) == 1


async def test_a_head_request_begins_no_login_and_uses_none_up(browser: Browser) -> None:
    url = await browser.callback()

    for path in (url, "/auth/login"):
        answer = await browser.ask(path, method="HEAD")
        assert (answer.status, cookies_set(answer)) == (405, [])
    assert (await browser.ask(url)).status == 303


async def test_a_callback_may_be_posted(world: World) -> None:
    async with world.visiting(response_mode="form_post") as browser:
        form = await browser.callback()
        elsewhere = {"origin": "https://auth.example", "sec-fetch-site": "cross-site"}
        headers = {"content-type": "application/x-www-form-urlencoded", **elsewhere}

        done = await browser.post("/auth/callback", data=form, headers=headers)

        assert done.status == 303
        assert (await browser.ask("/inbox")).status == 200


async def test_a_body_that_is_too_long_is_not_read(browser: Browser) -> None:
    for path in ("/auth/callback", "/auth/logout", "/auth/backchannel-logout"):
        fits, too_long = [
            await browser.post(path, data=b"a" * size)
            for size in (LONGEST_BODY - 1, LONGEST_BODY + 1)
        ]
        assert fits.status in {303, 400}
        assert too_long.status == 413


async def test_a_body_that_a_middleware_has_read_is_read_again(world: World) -> None:
    @web.middleware
    async def reading(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.post()
        return await handler(request)

    login = world.login(response_mode="form_post")
    app = world.app(login, middlewares=[reading])
    login.setup(app)
    async with world.visited(app) as browser:
        form = await browser.callback()
        headers = {"content-type": "application/x-www-form-urlencoded"}

        assert (await browser.post("/auth/callback", data=form, headers=headers)).status == 303


@pytest.mark.parametrize("path", ["/auth/callback", "/auth/logout", "/auth/backchannel-logout"])
async def test_a_body_that_cannot_be_read_is_no_fault_of_ours(browser: Browser, path: str) -> None:
    headers = {"content-encoding": "gzip", "content-type": "application/x-www-form-urlencoded"}

    assert (await browser.post(path, data=b"no gzip", headers=headers)).status == 400


async def test_a_client_that_leaves_while_it_posts_is_no_fault_of_ours(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answered = asyncio.Event()

    @web.middleware
    async def noting(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            answered.set()

    login = world.login()
    app = world.app(login, middlewares=[noting])
    login.setup(app)
    runner = web.AppRunner(app)  # a test server would have the handler cancelled
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(b"POST /auth/callback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na")
    writer.close()
    await answered.wait()
    await runner.cleanup()

    assert "Error handling request" not in caplog.text


# Going out


async def test_a_logout_ends_the_visit_here_and_at_the_server(
    browser: Browser, world: World
) -> None:
    await browser.log_in()
    copied = {**PAGE, "cookie": browser.cookie()}
    out = await browser.post("/auth/logout")

    assert out.status == 303
    assert out.headers["location"].startswith(str(world.fake.server.end_session_endpoint))
    assert len(world.fake.endpoint_requests["revoke"]) == 1
    async with aiohttp.ClientSession() as thief:
        url = f"{browser.site}/inbox"
        assert (await thief.get(url, headers=copied, allow_redirects=False)).status == 303
    assert (await browser.ask("/inbox")).status == 303


async def test_a_link_or_another_site_logs_nobody_out(browser: Browser) -> None:
    await browser.log_in()

    by_link = await browser.ask("/auth/logout")
    by_form = await browser.post("/auth/logout", headers={"origin": "https://evil.example"})

    assert (by_link.status, by_form.status) == (405, 403)
    assert (await browser.ask("/inbox")).status == 200


async def test_the_server_announces_a_logout(browser: Browser, world: World) -> None:
    """BL-01, BL-02."""
    await browser.log_in()
    text = world.fake.logout_token("ada")
    path = "/auth/backchannel-logout"

    asked = await browser.ask(f"{path}?logout_token={text}")
    told = await browser.ask(path, method="POST", data={"logout_token": text}, headers={})

    assert (asked.status, told.status) == (405, 200)
    assert told.headers["cache-control"] == "no-store"
    assert (await browser.ask("/inbox")).status == 303


# What goes wrong


async def test_what_a_login_would_cure_leads_to_it(browser: Browser, world: World) -> None:
    world.raised = ReauthorizationRequired("the refresh token is dead")

    page = await browser.ask("/failing?a=1")
    program = await browser.ask("/failing", headers={})

    assert page.status == 303
    assert page.headers["location"] == "/auth/login?return_to=%2Ffailing%3Fa%3D1"
    assert (program.status, program.content_type) == (401, "application/problem+json")


@pytest.mark.parametrize("seconds, said", [(None, 5), (0.2, 1), (59.1, 60), (4_000.0, 120)])
async def test_what_may_be_over_in_a_moment_is_a_503_that_says_when(
    browser: Browser, world: World, seconds: float | None, said: int
) -> None:
    world.raised = TransportError(DOWN)
    world.raised.retry_after = seconds

    for headers in (PAGE, {}):
        answer = await browser.ask("/failing", headers=headers)
        assert (answer.status, answer.headers["retry-after"]) == (503, str(said))


@pytest.mark.parametrize("error", [ConfigurationError("a mistake"), KeyError("a mistake")])
async def test_a_mistake_of_ours_is_a_500_that_tells_nothing(
    browser: Browser, world: World, error: Exception
) -> None:
    world.raised = error

    answer = await browser.ask("/failing")

    assert answer.status == 500
    assert "mistake" not in await answer.text()


async def test_a_store_that_is_down_is_a_503_and_no_logout(
    browser: Browser, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.log_in()
    world.fake.advance(4_000)

    async def load(_: str) -> None:
        raise StoreError(DOWN)

    with monkeypatch.context() as broken:
        broken.setattr(world.store, "load", load)
        assert (await browser.ask("/inbox")).status == 503
    assert (await browser.ask("/inbox")).status == 200


async def test_each_of_two_logins_cures_what_is_its_own(world: World) -> None:
    names = ["staff", "guest"]
    logins = {name: world.login(name=name, redirect_path=f"/{name}/callback") for name in names}
    app = web.Application()

    async def page(request: web.Request) -> web.Response:
        visitor = await logins[request.match_info["name"]].visitor(request)
        return web.json_response((await visitor.session.get("/inbox")).json())

    app.router.add_get("/{name}/page", page)
    for login in logins.values():
        login.setup(app)
    async with world.visited(app) as browser:
        for name in names:
            begin = f"/{name}/login?return_to=%2F{name}%2Fpage"
            assert (await browser.ask(f"/{name}/page")).headers["location"] == begin
            await browser.log_in(begin)
            assert (await browser.ask(f"/{name}/page")).status == 200
            world.fake.revoke_access_tokens()
            world.fake.fail_next(400, content=b'{"error":"invalid_grant"}')
            assert (await browser.ask(f"/{name}/page")).headers["location"] == begin


async def test_a_middleware_may_want_a_visitor_for_every_page(world: World) -> None:
    @web.middleware
    async def requiring(request: web.Request, handler: Handler) -> web.StreamResponse:
        if world.raised is not None:
            raise world.raised
        if not request.path.startswith("/auth/"):
            await login.visitor(request)
        return await handler(request)

    login = world.login()
    app = world.app(login, middlewares=[requiring])
    login.setup(app)
    async with world.visited(app) as browser:
        asked = await browser.ask("/no-such-page")
        assert asked.headers["location"] == "/auth/login?return_to=%2Fno-such-page"
        assert (await browser.log_in(asked.headers["location"])).status == 303
        assert (await browser.ask("/no-such-page")).status == 404
        world.raised = TransportError(DOWN)
        assert (await browser.ask("/no-such-page")).status == 503


async def test_what_ends_a_handler_is_aiohttps_own(world: World) -> None:
    login, caught = world.login(), list[web.HTTPException]()
    app = web.Application()
    login.setup(app)

    async def page(request: web.Request) -> web.Response:
        try:
            await login.visitor(request)
        except web.HTTPException as error:
            caught.append(error)
        return web.Response()

    app.router.add_get("/", page)
    async with world.visited(app) as browser:
        for headers in (PAGE, {}):
            assert (await browser.ask("/", headers=headers)).status == 200

    assert [type(error) for error in caught] == [web.HTTPSeeOther, web.HTTPUnauthorized]


async def test_an_answer_that_has_begun_is_cut_and_not_followed_by_another(world: World) -> None:
    login = world.login()
    app = world.app(login)
    login.setup(app)

    async def streaming(request: web.Request) -> web.StreamResponse:
        await login.visitor_or_none(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"the first half, ")
        raise TransportError(DOWN)

    app.router.add_get("/streaming", streaming)
    world.login(name="other", redirect_path="/other/callback").setup(app)
    async with world.visited(app) as browser:
        answer = await browser.http.get(f"{browser.site}/streaming")
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_of_two_logins_the_one_whose_visitor_it_is_answers(world: World) -> None:
    """And where one of them knows that the head was sent, the other does too."""
    visitors, staff = world.login(), world.login(name="staff", redirect_path="/staff/callback")
    app = world.app(visitors)
    visitors.setup(app)
    staff.setup(app)

    async def work(request: web.Request) -> web.Response:
        await staff.visitor_or_none(request)
        raise ReauthorizationRequired(DOWN)

    async def streaming(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        raise TransportError(DOWN)

    app.add_routes([web.get("/work", work), web.get("/streaming", streaming)])
    async with world.visited(app) as browser:
        found = [(await browser.ask(path)).headers["location"] for path in ("/work", "/inbox")]
        answer = await browser.http.get(f"{browser.site}/streaming")
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert found == ["/staff/login?return_to=%2Fwork", "/auth/login?return_to=%2Finbox"]


async def test_a_cookie_in_another_ones_value_is_none(browser: Browser) -> None:
    """AT-13: a neighbouring subdomain, which may set cookies but for `__Host-`, logs nobody in."""
    await browser.log_in()
    cookie = browser.cookie()
    browser.http.cookie_jar.clear()
    seen = [
        await (await browser.ask("/", headers={"cookie": header})).text()
        for header in (cookie, f"theme=dark {cookie}", f"theme=dark, {cookie}")
    ]

    assert seen == ["somebody", "nobody", "nobody"]


# What a cache keeps


async def test_no_page_with_a_visitor_is_kept_unless_it_says_so(world: World) -> None:
    login = world.login()
    app = world.app(login)
    login.setup(app)

    async def said(request: web.Request) -> web.Response:
        await login.visitor_or_none(request)
        return web.Response(headers={"Cache-Control": "private, max-age=60"})

    async def missing(request: web.Request) -> web.Response:
        await asyncio.create_task(login.visitor(request))
        raise web.HTTPNotFound

    async def anybody(_: web.Request) -> web.Response:
        return web.Response()

    app.add_routes([web.get(f"/{page.__name__}", page) for page in (said, missing, anybody)])
    async with world.visited(app) as browser:
        await browser.log_in()
        kept = {
            path: (await browser.ask(path)).headers.get("cache-control")
            for path in ("/inbox", "/", "/said", "/missing", "/anybody")
        }

    assert kept == {
        "/inbox": "no-store",
        "/": "no-store",
        "/said": "private, max-age=60",
        "/missing": "no-store",
        "/anybody": None,
    }


async def test_a_task_of_another_context_is_given_the_visitor(world: World) -> None:
    login = world.login()
    app = world.app(login)
    login.setup(app)

    async def stream(request: web.Request) -> web.StreamResponse:
        visitor = await login.visitor(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(visitor.key.encode())
        return response

    async def handed_on(request: web.Request) -> web.StreamResponse:
        return await asyncio.create_task(stream(request), context=Context())

    app.router.add_get("/stream", handed_on)
    async with world.visited(app) as browser:
        await browser.log_in()
        assert (await (await browser.ask("/stream")).text()).startswith("visitor:")


# Where it is


async def test_forwarded_headers_are_believed_by_nobody(browser: Browser, world: World) -> None:
    """BC-14."""
    forged = {
        "forwarded": "host=evil.example;proto=https",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/evil",
        "x-forwarded-for": "203.0.113.7",
    }
    begun = await browser.ask("/auth/login", headers={**PAGE, **forged})

    query = URL(begun.headers["location"]).query
    assert query["redirect_uri"] == f"{browser.site}/auth/callback"
    posted = await browser.post(
        "/auth/logout", headers={**forged, "origin": "https://evil.example"}
    )
    assert posted.status == 403


async def test_behind_a_proxy_the_public_url_is_where_the_site_is(world: World) -> None:
    """BC-14."""
    async with world.visiting(public_url="https://app.example") as browser:
        other = await browser.ask("/auth/login")
        begun = await browser.ask("/auth/login", headers={**PAGE, "host": "app.example"})

    assert other.status == 400
    query = URL(begun.headers["location"]).query
    assert query["redirect_uri"] == "https://app.example/auth/callback"


async def test_a_middleware_that_was_told_to_trust_a_proxy_is_trusted(world: World) -> None:
    """BC-14."""

    @web.middleware
    async def trusting(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request.clone(scheme="https", host="app.example"))

    login = world.login()
    app = world.app(login, middlewares=[trusting])
    login.setup(app)
    async with world.visited(app) as browser:
        begun = await browser.ask("/auth/login")
        page = await browser.ask("/")

    query = URL(begun.headers["location"]).query
    assert query["redirect_uri"] == "https://app.example/auth/callback"
    assert page.headers["cache-control"] == "no-store"


async def test_a_sub_application_has_a_login_of_its_own(world: World) -> None:
    login = world.login(home="/inbox")
    below = world.app(login)
    login.setup(below)
    app = web.Application()
    app.add_subapp("/mail", below)
    async with world.visited(app) as browser:
        asked = await browser.ask("/mail/inbox?a=1")
        assert asked.headers["location"] == "/mail/auth/login?return_to=%2Fmail%2Finbox%3Fa%3D1"
        done = await browser.log_in(asked.headers["location"])
        assert done.headers["location"] == "/mail/inbox?a=1"
        assert (await browser.log_in("/mail/auth/login")).headers["location"] == "/mail/inbox"
        world.raised = ReauthorizationRequired("the refresh token is dead")
        cured = await browser.ask("/mail/failing")

    assert cured.headers["location"] == "/mail/auth/login?return_to=%2Fmail%2Ffailing"


async def test_a_login_is_for_the_applications_below_too(world: World) -> None:
    login = world.login()
    app = web.Application()
    login.setup(app)
    app.add_subapp("/mail", world.app(login))
    async with world.visited(app) as browser:
        asked = await browser.ask("/mail/inbox")
        done = await browser.log_in(asked.headers["location"])
        page = await browser.ask("/mail/inbox")

    assert asked.headers["location"] == "/auth/login?return_to=%2Fmail%2Finbox"
    assert done.headers["location"] == "/mail/inbox"
    assert (page.status, page.headers["cache-control"]) == (200, "no-store")


async def test_an_application_without_the_login_is_told(world: World) -> None:
    login, caught = world.login(), list[Exception]()

    async def page(request: web.Request) -> web.Response:
        for look in (login.visitor, login.visitor_or_none):
            with pytest.raises(ConfigurationError, match=r"login\.setup\(app\)") as found:
                await look(request)
            caught.append(found.value)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", page)
    async with world.visited(app) as browser:
        assert (await browser.ask("/")).status == 200
    assert len(caught) == 2


async def raw(browser: Browser, head: bytes) -> bytes:
    """Send the head of a request as it is, and return that of the answer."""
    reader, writer = await asyncio.open_connection(browser.site.host, browser.site.port)
    writer.write(head + b"Accept: text/html\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "line, return_to",
    [
        (b"http://localhost/inbox?a=%2F", b"%2Finbox%3Fa%3D%252F"),
        (b"/inbox?", b"%2Finbox%3F"),
        (b"/inbox?a='%7e|%C3%a4", b"%2Finbox%3Fa%3D%27%257e%7C%25C3%25a4"),
        (b"//evil.example/inbox", None),
        (b"/inbox\\evil", None),
    ],
)
async def test_an_odd_target_leads_to_this_site_or_nowhere(
    browser: Browser, line: bytes, return_to: bytes | None
) -> None:
    """AT-17."""
    head = await raw(browser, b"GET " + line + b" HTTP/1.1\r\nHost: localhost\r\n")

    status = head.split(b" ", 2)[1]
    if return_to is None:
        assert status in {b"303", b"404", b"400"}
        assert b"evil" not in head
    else:
        assert b"Location: /auth/login?return_to=" + return_to + b"\r\n" in head + b"\r\n"


async def test_bytes_that_are_no_ascii_are_encoded() -> None:
    """As they come where aiohttp reads requests without its C extension."""
    request = make_mocked_request("GET", "/inbox\udcff?a=ä%20b")

    assert target(request) == "/inbox%FF?a=%C3%A4%20b"


@pytest.mark.parametrize("host", [b"Host: [::1\r\n", b"Host: a b\r\n", b"Host: \r\n", b""])
@pytest.mark.parametrize("path", [b"/auth/login", b"/auth/callback?code=a&state=b", b"/inbox"])
async def test_an_odd_host_is_no_fault_of_ours(browser: Browser, host: bytes, path: bytes) -> None:
    head = await raw(browser, b"GET " + path + b" HTTP/1.0\r\n" + host)

    assert head.split(b" ", 2)[1] in {b"303", b"400"}


# WebSockets


@pytest.fixture
async def talking(world: World) -> AsyncGenerator[Browser]:
    """Visit an application that talks with its visitors."""
    login = world.login()
    app = world.app(login)
    login.setup(app)

    async def talk(request: web.Request) -> web.WebSocketResponse:
        visitor = await login.visitor(request)
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await response.send_str(f"{message.data}, {(await visitor.session.token()).scope}")
        return response

    app.router.add_get("/talk", talk)
    async with world.visited(app) as browser:
        yield browser


async def test_a_visitor_opens_a_websocket(talking: Browser) -> None:
    await talking.log_in()
    url, headers = f"{talking.site}/talk", {"origin": str(talking.site)}

    async with talking.http.ws_connect(url, headers=headers) as socket:
        await socket.send_str("hello")
        message = await socket.receive()

    assert (message.type, message.data) == (WSMsgType.TEXT, "hello, openid")


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
async def test_another_site_or_nobody_opens_no_websocket(talking: Browser, accept: str) -> None:
    url, headers = f"{talking.site}/talk", {"origin": str(talking.site), "accept": accept}
    answers: list[int] = []
    for origin in (str(talking.site), "https://evil.example", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await talking.http.ws_connect(url, headers={**headers, "origin": origin})
        answers.append(caught.value.status)
        await talking.log_in()

    assert answers == [401, 401, 401]


# Somebody leaves


@pytest.fixture
async def left(world: World) -> AsyncGenerator[tuple[Browser, asyncio.Event]]:
    """Visit an application that stops handling a request when the client leaves."""
    login, cancelled = world.login(), asyncio.Event()

    @web.middleware
    async def noting(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    app = world.app(login, middlewares=[noting])
    login.setup(app)
    async with world.visited(app) as browser:  # aiohttp's test server has handlers cancelled
        yield browser, cancelled


async def leave(browser: Browser, path: str, world: World, cancelled: asyncio.Event) -> None:
    """Ask for a page, and leave while the token endpoint is working on it."""
    with world.fake.hold() as held:
        asking = asyncio.create_task(browser.ask(path))
        await held.arrived()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await cancelled.wait()
        held.release()


async def test_who_leaves_while_a_token_is_renewed_leaves_it_to_the_next(
    left: tuple[Browser, asyncio.Event], world: World
) -> None:
    browser, cancelled = left
    await browser.log_in()
    world.fake.advance(4_000)

    await leave(browser, "/inbox", world, cancelled)

    assert (await browser.ask("/inbox")).status == 200
    assert [r.parameters["grant_type"] for r in world.fake.token_requests] == [
        "authorization_code",
        "refresh_token",
    ]


async def test_who_leaves_during_the_callback_can_log_in_again(
    left: tuple[Browser, asyncio.Event], world: World
) -> None:
    browser, cancelled = left
    url = await browser.callback("/auth/login?return_to=/inbox")

    await leave(browser, url, world, cancelled)

    assert (await browser.ask(url)).status == 400
    assert (await browser.ask("/inbox")).status == 303
    await browser.log_in()
    assert (await browser.ask("/inbox")).status == 200


async def test_two_visitors_at_once_see_only_what_is_theirs(world: World) -> None:
    login = world.login()
    app = world.app(login)
    login.setup(app)
    async with (
        world.serving(app) as site,
        world.browsing(site) as one,
        world.browsing(site) as another,
    ):
        for browser in (one, another):
            await browser.log_in()
        answers = await asyncio.gather(*(b.ask("/inbox") for b in (one, another) * 10))
        seen = [json.dumps(await answer.json()) for answer in answers]

    assert len(set(seen[::2])) == len(set(seen[1::2])) == 1
    assert seen[0] != seen[1]


# The application's beginning and end


async def test_what_was_given_is_open_as_long_as_the_application(tmp_path: Path) -> None:
    fake = FakeAuthorizationServer()
    store, used = SQLiteStore(tmp_path / "tokens.db"), SQLiteSingleUseStore(tmp_path / "used.db")
    session = AsyncTokenSession(
        server=fake.server, client_auth=fake.client_auth, store=store, key="application"
    )
    app = web.Application()
    Login(session, cookie_keys=KEYS, used=used).setup(app)

    async with TestServer(app):
        assert await store.load("somebody") is None
        assert await used.claim("login", expires_at=fake.clock.time() + 60)

    with pytest.raises(ConfigurationError, match="closed"):
        await session.token()
    with pytest.raises(StoreError):
        await store.load("somebody")
    with pytest.raises(StoreError):
        await used.claim("login", expires_at=fake.clock.time() + 60)


async def test_arguments_of_another_kind_are_refused(world: World) -> None:
    login, nothing = world.login(), cast("Any", object())

    with pytest.raises(ConfigurationError, match="app"):
        login.setup(nothing)
    for look in (login.visitor, login.visitor_or_none):
        with pytest.raises(ConfigurationError, match="request"):
            await look(nothing)


def test_the_package_loads_what_is_asked_for_alone() -> None:
    assert oauthkit.integrations.aiohttp.Login is Login
    with pytest.raises(AttributeError, match="no attribute 'Logout'"):
        _ = oauthkit.integrations.aiohttp.Logout
