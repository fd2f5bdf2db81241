"""Logins in a FastAPI application: what a visitor, a program and an attacker get."""

import inspect
import traceback
from importlib import import_module
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from fastapi import FastAPI

from oauthkit import (
    AsyncTokenSession,
    ConfigurationError,
    MemoryStore,
    ReauthorizationRequired,
    StoreError,
    TransportError,
)
from oauthkit.login import LoginFlow, LoginSettings, Visitor
from oauthkit.testing import FakeAuthorizationServer

from .visits import PAGE, SITE, add_routes, site

PROGRAM = {"accept": "application/json"}
LOGIN = "/auth/login?return_to="


@pytest.mark.parametrize(
    "page, return_to",
    [
        ("/inbox/today", "%2Finbox%2Ftoday"),
        ("/inbox/a%2Fb%3Fc?x=%20y&x=a+b", "%2Finbox%2Fa%252Fb%253Fc%3Fx%3D%2520y%26x%3Da%2Bb"),
        ("/inbox/%C3%A9", "%2Finbox%2F%25C3%25A9"),
    ],
)
async def test_a_login_leads_back_to_the_page_byte_for_byte(page: str, return_to: str) -> None:
    """O2-10: and the callback itself shows nothing, it leads on to an address without the code."""
    async with site() as here, here.browser() as browser:
        away = await browser.get(page)
        done = await browser.get(await here.begin(browser, away.headers["location"]))

        assert (away.status_code, away.headers["location"]) == (303, LOGIN + return_to)
        assert (done.status_code, done.headers["location"], done.text) == (303, page, "")
        assert done.headers["cache-control"] == "no-store"
        assert done.headers["referrer-policy"] == "no-referrer"
        found = await browser.get(page)
        assert found.json() == {"user": "ada", "letters": {"path": "/inbox"}}
        assert found.headers["cache-control"] == "no-store"


async def test_a_program_without_a_visitor_is_told_401() -> None:
    async with site() as here, here.browser(headers=PROGRAM) as program:
        told = await program.get("/inbox/")

    assert told.status_code == 401
    assert told.headers["content-type"] == "application/problem+json"
    assert "/auth/login" in told.json()["detail"]
    assert "set-cookie" not in told.headers


async def test_without_the_handlers_a_problem_is_told_all_the_same() -> None:
    """FastAPI's own handler shows the detail alone, which is a problem detail (RFC 9457)."""
    async with site() as here:
        app = FastAPI()
        add_routes(here, app)
        async with here.browser(app, headers=PROGRAM) as program, here.browser(app) as browser:
            told = await program.get("/inbox/")
            sent = await browser.get("/inbox/")
        async with here.browser() as known, here.browser(app) as browser:
            cookie = {"cookie": f"__Host-visitor={await here.log_in(known)}"}
            here.raises.append(TransportError("no answer"))
            later = await browser.get("/raise", headers=cookie)

    assert (later.status_code, later.json()) == (503, {"detail": "Service Unavailable"})
    assert later.headers["content-type"] == "application/problem+json"
    assert sent.headers["content-type"] == "application/json"
    assert told.status_code == 401
    assert told.headers["content-type"] == "application/problem+json"
    assert "/auth/login" in told.json()["detail"]
    assert (sent.status_code, sent.headers["location"]) == (303, LOGIN + "%2Finbox%2F")


async def test_a_route_may_have_a_visitor_or_none() -> None:
    async with site() as here, here.browser() as browser:
        before = await browser.get("/maybe")
        await here.log_in(browser)
        after = await browser.get("/maybe")

        assert (before.status_code, before.json()) == (200, None)
        assert "cache-control" not in before.headers
        assert after.json().startswith("visitor:")
        assert after.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "error",
    [
        ReauthorizationRequired("the refresh token is spent"),
        None,
    ],
    ids=["raised", "met"],
)
async def test_what_a_login_cures_leads_to_the_login(error: Exception | None) -> None:
    async with site() as here, here.browser() as browser:
        await here.log_in(browser)
        answers = list[httpx.Response]()
        for headers in (PAGE, PROGRAM):
            here.raises[:] = [error] if error else []
            if error is None:
                here.fake.revoke_access_tokens()
                here.fake.fail_next(400, content=b'{"error":"invalid_grant"}')
            path = "/raise" if error else "/inbox/?page=2"
            answers.append(await browser.get(path, headers=headers))

        page, program = answers
        assert page.status_code == 303
        assert page.headers["location"].startswith(LOGIN)
        assert program.status_code == 401
        assert program.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("given, said", [("60", 60), ("100000", 120), ("0", 1)])
async def test_what_is_out_of_order_is_a_503_that_says_when(given: str, said: int) -> None:
    async with site() as here, here.browser() as browser:
        await here.log_in(browser)
        here.fake.revoke_access_tokens()
        here.fake.fail_next(503, times=20, headers={"retry-after": given})
        page = await browser.get("/inbox/")
        program = await browser.get("/inbox/", headers=PROGRAM)

    assert (page.status_code, program.status_code) == (503, 503)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert program.headers["content-type"] == "application/problem+json"
    assert program.json()["status"] == 503
    assert int(page.headers["retry-after"]) in range(max(1, said - 10), said + 1)


async def test_a_store_that_cannot_tell_is_a_503() -> None:
    """Nobody is logged out by it."""

    class Away(MemoryStore):
        away = False

        async def load(self, key: str, /) -> Any:
            if self.away:
                message = "the store does not answer"
                raise StoreError(message)
            return await super().load(key)

    store = Away()
    fake = FakeAuthorizationServer(expires_in=1)
    async with site(fake, store=store) as here, here.browser() as browser:
        await here.log_in(browser)
        here.fake.advance(60)
        store.away = True
        out_of_order = await browser.get("/maybe")
        store.away = False

        assert out_of_order.status_code == 503
        assert (await browser.get("/maybe")).json() is not None


LATER = TransportError("no answer")
LOGIN_CURES = ReauthorizationRequired("the refresh token is spent")
MISTAKE = ConfigurationError("no such scope")


@pytest.mark.parametrize(
    "errors, status",
    [([LATER, LATER], 503), ([LATER, ExceptionGroup("inside", [LOGIN_CURES])], 401)],
)
async def test_what_a_task_group_raises_is_answered_as_one(
    errors: list[Exception], status: int
) -> None:
    async with site() as here, here.browser(headers=PROGRAM) as program:
        await here.log_in(program)
        here.raises.append(ExceptionGroup("both calls failed", errors))

        assert (await program.get("/raise")).status_code == status


@pytest.mark.parametrize("mistake", [MISTAKE, ValueError("no such page")])
async def test_a_mistake_among_others_stays_the_application_s(mistake: Exception) -> None:
    async with site() as here, here.browser() as browser:
        await here.log_in(browser)
        here.raises.append(ExceptionGroup("both calls failed", [LOGIN_CURES, mistake]))

        with pytest.raises(ExceptionGroup, match="both calls failed"):
            await browser.get("/raise")


@pytest.mark.parametrize("error", [MISTAKE, ValueError("no such page")])
async def test_a_mistake_stays_the_application_s(error: Exception) -> None:
    async with site() as here, here.browser() as browser:
        await here.log_in(browser)
        here.raises.append(error)

        with pytest.raises(type(error), match="no such"):
            await browser.get("/raise")


def test_the_description_of_the_api_shows_the_cookie() -> None:
    async def described() -> dict[str, Any]:
        async with site() as here:
            return here.app.openapi()

    api = anyio.run(described)

    (scheme,) = api["components"]["securitySchemes"].values()
    assert scheme["type"] == "apiKey"
    assert (scheme["in"], scheme["name"]) == ("cookie", "__Host-visitor")
    assert api["paths"]["/maybe"]["get"]["security"] == [{"__Host-visitor": []}]
    assert not [path for path in api["paths"] if path.startswith("/auth/")]


async def test_a_callback_may_be_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other package is needed to read it."""
    monkeypatch.setattr("starlette.requests.parse_options_header", None)
    async with site(response_mode="form_post") as here, here.browser() as browser:
        form = await here.begin(browser, LOGIN + "%2Finbox%2F1")
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": here.fake.issuer}
        done = await browser.post("/auth/callback", content=form, headers=headers)

        assert (done.status_code, done.headers["location"]) == (303, "/inbox/1")
        assert (await browser.get("/inbox/1")).status_code == 200


async def test_a_cookie_of_almost_the_name_is_nobody_s() -> None:
    """AT-13: Starlette reads white space off that browsers leave on, which plants `__Host-…`."""
    async with site() as here, here.browser() as browser:
        good = f"__Host-visitor={await here.log_in(browser)}".encode()
        seen = list[Any]()
        for header in (good, b"\xa0" + good, b"\x85" + good):
            async with here.browser(headers={b"cookie": header}) as visitor:
                seen.append((await visitor.get("/maybe")).json())

    assert seen[0] is not None
    assert seen[1:] == [None, None]


async def test_a_test_may_say_who_the_visitor_is() -> None:
    async with site() as here, here.browser() as browser:
        visitor = Visitor(key="ada", identity=None, session=here.session)
        here.app.dependency_overrides[here.login.visitor] = lambda: visitor

        assert (await browser.post("/send")).json() == "ada"


async def test_an_application_may_be_mounted_in_another_one() -> None:
    async with site() as here:
        outer = FastAPI()
        outer.mount("/shop", here.app)
        async with here.browser(outer) as browser:
            away = await browser.get("/shop/inbox/%2F?x")
            done = await browser.get(await here.begin(browser, away.headers["location"]))

            assert (
                away.headers["location"] == "/shop/auth/login?return_to=%2Fshop%2Finbox%2F%252F%3Fx"
            )
            assert done.headers["location"] == "/shop/inbox/%2F?x"
            assert (await browser.get("/shop/inbox/")).status_code == 200


@pytest.mark.parametrize(
    "tenant, root",
    [
        ("ada", "/ada"),
        ("%E6%97%A5", "/%E6%97%A5"),
        ("%5Cevil.example", "/%5Cevil.example"),
        ("%0D%0AX:y", "/%0D%0AX:y"),
    ],
)
async def test_an_application_may_be_mounted_at_a_pattern(tenant: str, root: str) -> None:
    """BC-01: what stands for the pattern comes from outside, and leads nowhere else."""
    async with site() as here:
        outer = FastAPI()
        outer.mount("/{tenant}", here.app)
        async with here.browser(outer) as browser:
            away = await browser.get(f"/{tenant}/inbox/")

            assert urlsplit(away.headers["location"]).netloc == ""
            assert away.headers["location"].partition("?")[0] == f"{root}/auth/login"


async def test_an_application_may_be_mounted_in_the_one_with_the_login() -> None:
    async with site() as here, here.browser() as browser:
        inner = FastAPI()
        add_routes(here, inner)
        here.app.mount("/api", inner)
        page = await browser.get("/api/inbox/%2F?x")
        program = await browser.get("/api/inbox/", headers=PROGRAM)
        done = await browser.get(await here.begin(browser, page.headers["location"]))

        assert page.headers["location"] == LOGIN + "%2Fapi%2Finbox%2F%252F%3Fx"
        assert program.json()["detail"].endswith(" /auth/login")
        assert done.headers["location"] == "/api/inbox/%2F?x"
        assert (await browser.get("/api/inbox/")).status_code == 200


async def test_a_proxy_may_take_a_path_off() -> None:
    """As `uvicorn --root-path /shop` says that one does."""
    async with site() as here:
        transport: Any = httpx.ASGITransport(here.app, root_path="/shop")
        async with httpx.AsyncClient(transport=transport, base_url=SITE, headers=PAGE) as browser:
            away = await browser.get("/shop/inbox/1")
            begun = await browser.get(away.headers["location"])

    assert away.headers["location"] == "/shop/auth/login?return_to=%2Fshop%2Finbox%2F1"
    assert "redirect_uri=https%3A%2F%2Fapp.example%2Fshop%2Fauth" in begun.headers["location"]


def test_a_login_takes_what_a_flow_takes() -> None:
    taken = inspect.signature(LoginFlow).parameters.keys() - {"session", "wishes"}

    assert LoginSettings.__required_keys__ == {"cookie_keys"}
    own = LoginSettings.__annotations__.keys()
    assert taken <= own


class Shut(MemoryStore):
    """Be a store that does not open."""

    async def __aenter__(self) -> Self:
        message = "the disk is full"
        raise StoreError(message)

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("framework", ["fastapi", "aiohttp.web"])
async def test_no_error_shows_the_keys_of_the_cookies(framework: str) -> None:
    """AT-70: nor does a traceback that shows local values, of a setting or of a start."""
    login: Any = import_module(f"oauthkit.integrations.{framework}").Login
    fake, key = FakeAuthorizationServer(), b"canary" * 5 + b"ab"
    session = AsyncTokenSession(
        server=fake.server,
        client_auth=fake.client_auth,
        base_url="https://api.example",
        store=Shut(),
        key="application",
    )
    raised = list[Exception]()
    for settings in ({"home": "nowhere"}, {"name": 3}):
        with pytest.raises(ConfigurationError) as refused:
            login(session, cookie_keys=[key], **settings)
        raised.append(refused.value)
    made: Any = login(session, cookie_keys=[key])
    with pytest.raises(StoreError) as failed:
        async with made._opened():
            pass

    shown = "".join(map(locals_of, [*raised, failed.value]))
    assert "application" in shown
    assert "canary" not in shown
    assert "canary" not in str(made.__dict__)


def locals_of(error: Exception) -> str:
    """Return the local values of the frames of an error, but for those of tests."""
    frames = traceback.walk_tb(error.__traceback__)
    return "".join(
        str(frame.f_locals) for frame, _ in frames if "/tests/" not in frame.f_code.co_filename
    )
