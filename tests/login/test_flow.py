"""Visitors come in, and go, as a browser and a server have it."""

import json
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    ConfigurationError,
    Discovered,
    InvalidClient,
    MemoryLogoutIndex,
    MemorySingleUseStore,
    MemoryStore,
    ReauthorizationRequired,
    StoreError,
    Token,
    TransportError,
)
from oauthkit.login import LoginFlow, LoginReply, Notice
from oauthkit.testing import FakeAuthorizationServer, FakeClock
from oauthkit.testing.id_tokens import Draft
from tests.login.browsers import KEYS, PAGE, SITE, Browser, World, new_flow, new_world


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with new_world() as made:
        yield made


def query_of(url: str | None) -> dict[str, str]:
    return {name: texts[0] for name, texts in parse_qs(urlsplit(url or "").query).items()}


def refused_callbacks(caplog: pytest.LogCaptureFixture) -> list[str | None]:
    """Return what each refused callback was refused for, as programs read it in the log."""
    fields = [vars(record) for record in caplog.records]
    told = (found for found in fields if found.get("oauth_event") == "CallbackRefused")
    return [found.get("oauth_error") for found in told]


def members(reply: LoginReply) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def test_a_visitor_comes_in_where_they_wanted_to_go(world: World) -> None:
    """O2-10, BC-01: to a path of ours without code and state, and nothing but a redirect."""
    browser = world.browser()
    asked = world.flow.challenge(browser.request("/inbox?a=%20b&c=%2F"))

    assert asked.location is not None
    done = await world.log_in(browser, asked.location)

    visitor = await world.flow.visitor(browser.request("/inbox"))
    assert (done.status, done.location, done.body) == (303, "/inbox?a=%20b&c=%2F", b"")
    assert done.headers["referrer-policy"] == "no-referrer"
    assert visitor is not None
    assert visitor.identity is not None
    assert (visitor.identity.issuer, visitor.identity.subject) == (world.fake.issuer, "ada")
    assert visitor.identity.amr == ()
    assert visitor.subject == "ada"
    assert (await visitor.session.get("/report")).status_code == 200
    assert len(world.fake.token_requests) == 1


async def test_a_login_that_began_nowhere_ends_at_home(world: World) -> None:
    browser = world.browser()

    assert (await world.log_in(browser)).location == "/"
    browser.flow = world.another(home="/start")
    assert (await world.log_in(browser)).location == "/start"


async def test_no_token_is_in_a_cookie_and_no_cookie_is_for_scripts_or_other_hosts(
    world: World,
) -> None:
    """BT-13."""
    browser = world.browser()
    begun = await browser.start()
    done = await browser.finish(world.fake.authorize(str(begun.location)))
    visitor = await world.flow.visitor(browser.request())

    assert visitor is not None
    token = await world.store.load(visitor.key)
    assert token is not None
    fields = [
        value for reply in (begun, done) for name, value in reply.fields if name == "set-cookie"
    ]
    assert len(fields) == 3
    for field in fields:
        assert field.startswith("__Host-visitor")
        assert field.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
        assert token.access_token not in field
    assert sorted(browser.cookies) == ["__Host-visitor"]


async def test_each_tab_has_a_login_of_its_own(world: World) -> None:
    browser = world.browser()
    first = world.fake.authorize(str((await browser.start("/auth/login?return_to=/a")).location))
    second = world.fake.authorize(str((await browser.start("/auth/login?return_to=/b")).location))

    assert (await browser.finish(second)).location == "/b"
    assert (await browser.finish(first)).location == "/a"


async def test_a_callback_counts_once_also_from_copied_cookies(world: World) -> None:
    """AT-12, AT-13: and the second one does not log the visitor out."""
    browser, thief = world.browser(), world.browser()
    callback = world.fake.authorize(str((await browser.start()).location))
    thief.cookies = dict(browser.cookies)
    await browser.finish(callback)
    key = await browser.key()

    again, stolen = await browser.finish(callback), await thief.finish(callback)

    assert [again.status, stolen.status] == [400, 400]
    assert b"over" in again.body
    assert key is not None
    assert await browser.key() == key
    assert await thief.key() is None


async def test_what_was_used_is_remembered_where_that_is_said() -> None:
    """BL-08: as for a fleet whose processes share that and no more."""
    used = MemorySingleUseStore(clock=lambda: 0.0)
    async with new_world(used=used) as world, new_world(world.fake, used=used) as other:
        browser = await world.logged_in()
        token = world.fake.logout_token("ada")
        assert (await announce(browser, token)).status == 200

        assert (await announce(other.browser(), token)).status == 400


async def test_a_callback_is_for_the_browser_that_began_the_login(world: World) -> None:
    """AT-13: a login of somebody else's is not theirs to end (RFC 6749 §10.12)."""
    attacker, victim = world.browser(), world.browser()
    callback = world.fake.authorize(str((await attacker.start()).location))

    reply = await victim.finish(callback)

    assert reply.status == 400
    assert victim.cookies == {}
    assert world.fake.token_requests == []


async def test_a_forged_callback_ends_no_login(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "oauthkit")
    browser = world.browser()
    begun = await browser.start()
    state = query_of(begun.location)["state"]

    forged = await browser.finish(
        f"{SITE}/auth/callback?code=x&state={state}&iss=https://evil.example"
    )

    assert forged.status == 400
    assert forged.cookies == ()
    assert refused_callbacks(caplog) == ["CallbackError"]
    assert state not in caplog.text
    assert (await browser.finish(world.fake.authorize(str(begun.location)))).status == 303


@pytest.mark.parametrize("callback", ["/auth/callback", "/auth/callback?state=a&state=b"])
async def test_a_callback_of_no_login_is_refused(
    world: World, callback: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "oauthkit")

    assert (await world.browser().finish(callback)).status == 400
    assert refused_callbacks(caplog) == [None]


async def test_the_key_changes_with_each_login_and_the_former_visit_ends(world: World) -> None:
    """AT-13: a cookie that was there before the login is worth nothing after it."""
    browser = await world.logged_in()
    former, copied = await browser.key(), Browser(world.flow, dict(browser.cookies))

    await world.log_in(browser)

    assert former is not None
    assert await browser.key() not in {None, former}
    assert await copied.key() is None
    assert await world.store.load(former) is None


@pytest.mark.parametrize("person, revoked", [("ada", 0), ("eve", 1)])
@pytest.mark.parametrize("scope", ["openid read", "read"])
async def test_a_login_has_nothing_revoked_that_may_be_its_own(
    scope: str, person: str, revoked: int
) -> None:
    """Many servers have one right for all logins of somebody, and end it with each token of it."""
    index = MemoryLogoutIndex(clock=lambda: 0.0)
    async with new_world(scope=scope, logout_index=index) as world:
        browser = await world.logged_in()
        begun = await browser.start()
        await browser.finish(world.fake.authorize(str(begun.location), person=person))

        key = await browser.key()
        assert key is not None
        known = [await index.find(issuer=world.fake.issuer, subject=s) for s in ("ada", "eve")]
        assert frozenset().union(*known) == ({key} if "openid" in scope else set())
        asked = world.fake.endpoint_requests.get("revoke", [])
        assert len(asked) == (revoked if "openid" in scope else 0)


async def test_a_login_does_not_fail_because_the_former_visit_cannot_be_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Failing()
    async with new_world(store=store) as world:
        browser = await world.logged_in()
        store.broken = {"delete"}

        assert (await world.log_in(browser)).status == 303
        world.fake.fail_next(500, endpoint="revoke", times=9)
        store.broken = set()
        begun = await browser.start()
        callback = world.fake.authorize(str(begun.location), person="eve")
        with caplog.at_level(logging.WARNING, "oauthkit"):
            assert (await browser.finish(callback)).status == 303
    assert "maybe not at the server" in caplog.text


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/", "//evil.example", "/%2Fevil.example", "/\\evil.example", "inbox"],
)
async def test_a_login_ends_at_this_site_alone(world: World, path: str) -> None:
    """BC-01, AT-17."""
    reply = await world.browser().start(f"/auth/login?{httpx.QueryParams(return_to=path)}")

    assert reply.status == 400
    assert reply.cookies == ()
    assert b"evil" not in reply.body


@pytest.mark.parametrize(
    "path, location",
    [
        ("/日本?q=é", "/%E6%97%A5%E6%9C%AC?q=%C3%A9"),
        ("/a b\xa0\u2028/%C3%A9", "/a%20b%C2%A0%E2%80%A8/%C3%A9"),
        ("/\ud800", "/%EF%BF%BD%EF%BF%BD%EF%BF%BD"),
        ("/..//evil.example", "/..//evil.example"),
    ],
)
async def test_a_page_of_any_name_is_led_to_in_plain_characters(
    world: World, path: str, location: str
) -> None:
    """BC-01: a header field has room for no others, and the code is spent by then."""
    asked = quote(path, safe="", errors="surrogatepass")

    done = await world.log_in(world.browser(), f"/auth/login?return_to={asked}")

    assert done.location == location


@pytest.mark.parametrize(
    "root, login",
    [
        ("/", "/auth/login"),
        ("/app/", "/app/auth/login"),
        ("//evil.example", "/evil.example/auth/login"),
        ("/\\evil.example", "/%5Cevil.example/auth/login"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y/auth/login"),
        ("/日本", "/%E6%97%A5%E6%9C%AC/auth/login"),
        ("/%E6%97%A5%E6%9C%AC", "/%E6%97%A5%E6%9C%AC/auth/login"),
    ],
)
async def test_wherever_an_application_is_mounted_the_login_is_of_this_site(
    world: World, root: str, login: str
) -> None:
    """BC-01: the path may have come from outside, where a mount takes any."""
    request = world.browser().request("/there", root=root)

    assert world.flow.challenge(request).location == f"{login}?return_to=%2Fthere"


@pytest.mark.parametrize("character", ["a", '"', "é", "日", "😀"])
async def test_a_cookie_has_room_for_every_page_that_is_returned_to(
    world: World, character: str
) -> None:
    """BC-09: a browser drops one of more than 4096 characters, and with it the login."""
    browser, sizes, statuses = world.browser(), set[int](), set[int]()
    for length in (80, 110, 160, 320, 990, 1100):
        page = quote("/" + character * length, safe="")
        begun = await browser.start(f"/auth/login?return_to={page}")
        sizes |= {len(cookie.name + cookie.value) for cookie in begun.cookies}
        statuses.add(begun.status)

    assert max(sizes) < 4096
    assert statuses == {303, 400}


async def test_a_login_that_is_asked_for_in_a_way_that_cannot_be_read_is_refused(
    world: World,
) -> None:
    assert (await world.browser().start("/auth/login?return_to=/a&return_to=/b")).status == 400


async def test_a_page_is_sent_to_the_login_and_a_program_is_told(world: World) -> None:
    browser = world.browser()
    page, call = browser.request("/inbox"), browser.request("/inbox", headers={"accept": "*/*"})

    sent, told = world.flow.challenge(page), world.flow.challenge(call)

    assert (sent.status, sent.location) == (303, "/auth/login?return_to=%2Finbox")
    assert members(told) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "nobody has logged in; a browser does that at /auth/login",
    }
    assert told.cookies == sent.cookies == ()
    assert told.fields == (
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("www-authenticate", "Cookie"),
    )


@pytest.mark.parametrize(
    "path, method, root, location",
    [
        ("/inbox", "POST", "", "/auth/login"),
        ("/a%5Cb", "GET", "", "/auth/login"),
        (f"/find?q={'x' * 1000}", "GET", "", "/auth/login?return_to=%2Ffind"),
        (f"/{'x' * 1000}", "GET", "", "/auth/login"),
        ("/app/inbox", "GET", "/app", "/app/auth/login?return_to=%2Fapp%2Finbox"),
        ("", "GET", "", "/auth/login?return_to=%2F"),
        ("/\ud800", "GET", "", "/auth/login?return_to=%2F%3F"),
    ],
)
async def test_a_page_that_nobody_could_come_back_to_is_left_out(
    world: World, path: str, method: str, root: str, location: str
) -> None:
    request = world.browser().request(path, method=method, root=root)

    assert world.flow.challenge(request).location == location


async def test_an_application_that_is_mounted_somewhere_stays_there(world: World) -> None:
    browser = world.browser()
    begun = await browser.start("/app/auth/login", root="/app")
    assert query_of(begun.location)["redirect_uri"] == f"{SITE}/app/auth/callback"

    done = await browser.finish(world.fake.authorize(str(begun.location)), root="/app")

    assert done.location == "/app/"


@pytest.mark.parametrize(
    "error, status, retry_after",
    [
        (ReauthorizationRequired("gone"), 303, None),
        (TransportError("no answer"), 503, "5"),
        (TransportError("no answer", retry_after=0.2), 503, "1"),
        (TransportError("no answer", retry_after=9000), 503, "120"),
        (StoreError("no answer", retry_after=3), 503, "3"),
    ],
)
async def test_an_error_of_a_token_is_answered(
    world: World, error: Exception, status: int, retry_after: str | None
) -> None:
    reply = world.flow.answer(world.browser().request("/inbox"), error)

    assert reply is not None
    assert (reply.status, reply.headers.get("retry-after")) == (status, retry_after)
    assert status == 503 or reply.location == "/auth/login?return_to=%2Finbox"


async def test_logins_that_cure_nothing_come_to_an_end(world: World) -> None:
    """As where the API refuses every token, and a browser is logged in without being asked."""
    browser, dead = world.browser(), ReauthorizationRequired("it has died")

    async def answered(accept: str = "text/html") -> int | None:
        asked = browser.request("/inbox", headers={"accept": accept})
        reply = world.flow.answer(asked, dead)
        return None if reply is None else reply.status

    async def logged_in_again() -> int | None:
        await world.log_in(browser)
        return await answered()

    assert [await logged_in_again() for _ in range(4)] == [303, 303, 303, None]
    assert await answered("application/json") == 401
    world.clock.advance(60)
    assert [await answered(), await logged_in_again()] == [303, 303]


async def test_logins_whose_token_is_nowhere_come_to_an_end(world: World) -> None:
    """As where a proxy hands requests to several processes, each with a store of its own."""
    browser = world.browser()

    async def logged_in_again() -> str | None:
        await world.log_in(browser)
        await world.store.delete(str(await browser.key()))
        return await browser.key()

    assert [await logged_in_again() for _ in range(3)] == [None, None, None]
    with pytest.raises(ConfigurationError, match="a store that they share"):
        await logged_in_again()
    assert await browser.key(headers={"accept": "application/json"}) is None
    world.clock.advance(60)
    assert await browser.key() is None


async def test_logins_of_many_tabs_are_none_that_cure_nothing(world: World) -> None:
    """As where a browser opens them all again; each tab may ask by the cookie of another one."""
    browser = world.browser()
    tabs = [str((await browser.start()).location) for _ in range(6)]
    for begun in tabs:
        sent_before = Browser(world.flow, dict(browser.cookies))
        world.clock.advance(1)
        await browser.finish(world.fake.authorize(begun))
        assert await sent_before.key() is None
    assert await browser.key() is not None


async def test_a_program_is_told_that_something_is_out_of_order(world: World) -> None:
    request = world.browser().request("/inbox", headers={})

    reply = world.flow.answer(request, TransportError("no answer"))

    assert reply is not None
    assert members(reply)["status"] == 503
    assert reply.headers["retry-after"] == "5"


@pytest.mark.parametrize("error", [ConfigurationError("wrong"), InvalidClient("no"), KeyError("x")])
async def test_a_mistake_is_answered_by_nobody(world: World, error: Exception) -> None:
    assert world.flow.answer(world.browser().request(), error) is None


async def test_forwarded_headers_are_nobodys_word(world: World) -> None:
    """BC-14: they are in the URL where who runs the application has said so, else nowhere."""
    forwarded = {**PAGE, "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    begun = await world.browser().start(headers=forwarded)

    assert query_of(begun.location)["redirect_uri"] == f"{SITE}/auth/callback"


async def test_a_site_behind_a_proxy_says_its_name_and_takes_no_other(world: World) -> None:
    """BC-14."""
    flow = world.another(public_url="https://app.example/")
    inside, elsewhere = (
        Browser(flow, site="http://app.example"),
        Browser(flow, site="http://10.0.0.1"),
    )

    begun = await inside.start()
    assert query_of(begun.location)["redirect_uri"] == f"{SITE}/auth/callback"
    assert (
        await inside.finish(inside_url(world.fake.authorize(str(begun.location))))
    ).status == 303
    assert (await elsewhere.start()).status == 400
    assert (await elsewhere.finish("/auth/callback?code=a&state=b")).status == 400


def inside_url(url: str) -> str:
    return url.replace("https:", "http:")


async def test_a_code_does_not_come_by_plain_http(world: World) -> None:
    with pytest.raises(ConfigurationError, match=r"public_url=\"https://…\""):
        await Browser(world.flow, site="http://app.example").start()
    assert (await Browser(world.flow, site="http://localhost:8000").start()).status == 303


@pytest.mark.parametrize(
    "site", ["https://", "https://[::1", "https://a b", "https://a\uff0fb", ""]
)
async def test_a_host_that_is_none_is_refused(world: World, site: str) -> None:
    browser = Browser(world.flow, site=site)

    assert (await browser.start()).status == 400
    assert (await browser.finish("/auth/callback?code=a&state=b")).status == 400
    assert (await browser.logout()).status == 403
    assert await browser.key() is None


@pytest.mark.parametrize(
    "error, status, text",
    [
        ("access_denied", 403, b"You were not logged in."),
        ("invalid_scope", 400, b"The login did not work."),
        ("temporarily_unavailable", 503, b"try again"),
        ("<script>alert(1)</script>", 400, b"The login did not work."),
    ],
)
async def test_a_refusal_of_the_server_is_a_page_of_ours(
    world: World, error: str, status: int, text: bytes
) -> None:
    """AT-66: nothing of what came stands on it."""
    browser = world.browser()
    begun = await browser.start()

    reply = await browser.finish(world.fake.authorize(str(begun.location), error=error))

    assert reply.status == status
    assert text in reply.body
    assert error.encode() not in reply.body
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert browser.cookies == {}
    assert (await world.log_in(browser)).status == 303


@pytest.mark.parametrize(
    "fault, status",
    [
        ({"status": 503, "times": 9}, 503),
        ({"status": 429, "times": 9}, 503),
        ({"status": 400, "content": b'{"error": "invalid_grant"}'}, 400),
    ],
)
async def test_a_code_that_brings_no_token_begins_anew(
    world: World, fault: Mapping[str, Any], status: int
) -> None:
    browser = world.browser()
    callback = world.fake.authorize(str((await browser.start()).location))
    world.fake.fail_next(**fault)

    reply = await browser.finish(callback)

    assert reply.status == status
    assert browser.cookies == {}


async def test_a_program_that_brings_a_callback_is_told_in_its_words(world: World) -> None:
    browser = world.browser()
    callback = world.fake.authorize(str((await browser.start()).location))
    world.fake.fail_next(503, times=9)

    reply = await browser.finish(callback, headers={})

    assert members(reply)["status"] == 503
    assert browser.cookies == {}


async def test_a_wrong_secret_is_a_fault_of_the_application(world: World) -> None:
    browser = world.browser()
    callback = world.fake.authorize(str((await browser.start()).location))
    world.fake.fail_next(401, content=b'{"error": "invalid_client"}')

    with pytest.raises(InvalidClient):
        await browser.finish(callback)


async def test_an_identity_that_cannot_be_looked_at_is_not_believed(world: World) -> None:
    browser = world.browser()
    callback = world.fake.authorize(str((await browser.start()).location))
    world.fake.fail_next(503, endpoint="jwks", times=9)

    reply = await browser.finish(callback)

    assert reply.status == 503
    assert browser.cookies == {}


class Failing(MemoryStore):
    """Be a store of which some methods are out of order."""

    broken: frozenset[str] | set[str] = frozenset()

    def _check(self, method: str) -> None:
        if method in self.broken:
            message = "the store does not answer"
            raise StoreError(message)

    async def load(self, key: str, /) -> Token | None:
        self._check("load")
        return await super().load(key)

    async def save(self, key: str, token: Token, /) -> None:
        self._check("save")
        await super().save(key, token)

    async def delete(self, key: str, /) -> None:
        self._check("delete")
        await super().delete(key)

    def lease(self, key: str, /) -> Any:
        self._check("lease")
        return super().lease(key)


class Silent(MemoryStore):
    """Be a store of which some methods never answer."""

    silent: frozenset[str] | set[str] = frozenset()

    async def load(self, key: str, /) -> Token | None:
        if "load" in self.silent:
            await anyio.sleep_forever()
        return await super().load(key)

    async def save(self, key: str, token: Token, /) -> None:
        if "save" in self.silent:
            await anyio.sleep_forever()
        await super().save(key, token)


class Parting(MemoryStore):
    """Be a store that a client leaves at, as soon as the token of a login was saved."""

    parting: tuple[str, anyio.CancelScope] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.saved = list[str]()

    async def _leave(self, method: str) -> None:
        if self.parting is not None and self.parting[0] == method and len(self.saved) > 1:
            self.parting[1].cancel()
            self.parting = None
            await anyio.lowlevel.checkpoint()

    async def load(self, key: str, /) -> Token | None:
        await self._leave("load")
        return await super().load(key)

    async def save(self, key: str, token: Token, /) -> None:
        await super().save(key, token)
        self.saved.append(key)
        await self._leave("save")

    async def delete(self, key: str, /) -> None:
        await self._leave("delete")
        await super().delete(key)


@pytest.mark.parametrize("broken", ["save", "lease"])
async def test_a_login_whose_token_cannot_be_kept_fails(broken: str) -> None:
    store = Failing()
    async with new_world(store=store) as world:
        browser = world.browser()
        callback = world.fake.authorize(str((await browser.start()).location))
        store.broken = {broken}

        reply = await browser.finish(callback)

    assert reply.status == 503
    assert browser.cookies == {}


@pytest.mark.parametrize(
    "cut, person, revoked",
    [("save", "ada", 0), ("save", "eve", 1), ("load", "eve", 1), ("delete", "ada", 0)],
)
async def test_a_login_that_is_cut_off_leaves_no_token_that_nobody_knows_of(
    cut: str, person: str, revoked: int
) -> None:
    """Where the client has left, or the answer of the store is lost after it has saved."""
    store = Parting()
    async with new_world(store=store) as world:
        browser = await world.logged_in()
        callback = world.fake.authorize(str((await browser.start()).location), person=person)
        with anyio.CancelScope() as scope:
            store.parting = (cut, scope)
            await browser.finish(callback)

        assert scope.cancelled_caught
        assert [key for key in store.saved if await store.load(key)] == store.saved[:1]
        assert await browser.key() == store.saved[0]
        assert len(world.fake.endpoint_requests.get("revoke", [])) == revoked


async def test_whether_somebody_has_logged_out_must_be_known() -> None:
    store = Failing()
    async with new_world(store=store) as world:
        browser = await world.logged_in()
        store.broken = {"load"}

        with pytest.raises(StoreError):
            await browser.key()


@pytest.mark.parametrize("silent", ["load", "save"])
async def test_a_store_that_says_nothing_is_one_that_is_out_of_order(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Silent()
    async with new_world(store=store) as world:
        here, comes = await world.logged_in(), world.browser()
        callback = world.fake.authorize(str((await comes.start()).location))
        monkeypatch.setattr("oauthkit.login.visits._STORE_SECONDS", 0.01)
        store.silent = {silent}

        if silent == "load":
            with pytest.raises(StoreError, match="did not answer within"):
                await here.key()
        else:
            assert (await comes.finish(callback)).status == 503


async def test_who_has_a_fresh_token_at_hand_is_known_without_a_look() -> None:
    store = Failing()
    async with new_world(store=store) as world:
        browser = await world.logged_in()
        visitor = await world.flow.visitor(browser.request())
        assert visitor is not None
        await visitor.session.token()
        store.broken = {"load"}

        assert await browser.key() == visitor.key


async def test_a_server_that_is_down_is_said_to_be_so_and_not_forgotten() -> None:
    fake = FakeAuthorizationServer()
    found = Discovered(fake.issuer, clock=fake.clock)
    async with new_world(fake, session={"server": found}) as world:
        browser = world.browser()
        fake.fail_next(503, endpoint="metadata")
        down, callback = await browser.start(), await browser.finish("/auth/callback?state=a")
        world.clock.advance(600)

        assert [down.status, callback.status] == [503, 503]
        assert (await world.log_in(browser)).status == 303


async def test_a_server_that_cannot_be_one_is_a_fault_of_the_application() -> None:
    fake = FakeAuthorizationServer()
    found = Discovered("https://auth.example/another", clock=fake.clock)
    async with new_world(fake, session={"server": found}) as world:
        with pytest.raises(Exception, match=r"auth\.example") as caught:
            await world.browser().start()
    assert not isinstance(caught.value, TransportError)


async def test_a_logout_ends_the_visit_here_and_at_the_server(world: World) -> None:
    browser = await world.logged_in()
    key, copied = str(await browser.key()), Browser(world.flow, dict(browser.cookies))
    token = await world.store.load(key)

    reply = await browser.logout()

    assert token is not None
    assert (reply.status, urlsplit(str(reply.location)).path) == (303, "/logout")
    assert query_of(reply.location) == {
        "id_token_hint": token.id_token,
        "client_id": world.fake.client_id,
    }
    assert browser.cookies == {}
    assert await copied.key() is None
    assert await world.store.load(key) is None
    assert len(world.fake.endpoint_requests["revoke"]) == 1


async def test_who_did_not_say_a_name_is_logged_out_at_the_server_all_the_same() -> None:
    async with new_world(scope="read") as world:
        browser = await world.logged_in()

        reply = await browser.logout()

        assert urlsplit(str(reply.location)).path == "/logout"
        assert query_of(reply.location) == {"client_id": world.fake.client_id}


async def test_nobody_is_found_after_a_logout() -> None:
    """BL-10: by what the server may announce later."""
    index = MemoryLogoutIndex(clock=lambda: 0.0)
    async with new_world(logout_index=index) as world:
        browser, subject = await world.logged_in(), {"issuer": world.fake.issuer, "subject": "ada"}
        assert await index.find(**subject) == {await browser.key()}

        await browser.logout()
        assert await index.find(**subject) == frozenset()


async def test_a_logout_comes_back_where_that_is_registered(world: World) -> None:
    flow = world.another(post_logout_redirect_path="/bye")
    browser = Browser(flow)
    await world.log_in(browser)

    reply = await browser.logout()

    assert query_of(reply.location)["post_logout_redirect_uri"] == f"{SITE}/bye"


async def test_an_id_token_that_came_encrypted_is_no_hint(world: World) -> None:
    browser = await world.logged_in()
    key = str(await browser.key())
    token = await world.store.load(key)
    assert token is not None
    await world.store.save(key, attrs.evolve(token, id_token="a.b.c.d.e"))

    assert query_of((await browser.logout()).location) == {
        "logout_hint": "ada",
        "client_id": world.fake.client_id,
    }


async def test_an_id_token_that_no_proxy_has_room_for_is_no_hint(world: World) -> None:
    """A proxy such as nginx answers 502 where the head of an answer is longer than 4 kB."""
    world.fake.claims = {"groups": ["x" * 40] * 80}
    browser = await world.logged_in()

    assert query_of((await browser.logout()).location) == {
        "logout_hint": "ada",
        "client_id": world.fake.client_id,
    }


@pytest.mark.parametrize("mistyped", ["scopes", "redirect_uri"])
async def test_a_setting_that_there_is_not_is_told_before_the_first_login(
    world: World, mistyped: str
) -> None:
    settings: Any = {mistyped: "openid"}

    with pytest.raises(TypeError, match=f"unexpected keyword argument '{mistyped}'"):
        world.another(**settings)


async def test_a_server_without_pages_for_it_shows_none() -> None:
    fake = FakeAuthorizationServer()
    server = attrs.evolve(fake.server, end_session_endpoint=None)
    async with new_world(fake, session={"server": server}, home="/start", scope="read") as world:
        browser = await world.logged_in()
        visitor = await world.flow.visitor(browser.request())

        assert visitor is not None
        assert visitor.identity is None
        with pytest.raises(ConfigurationError, match="add openid to scope="):
            _ = visitor.subject
        assert (await browser.logout()).location == "/start"


async def test_a_logout_does_not_wait_for_a_server_that_cannot_be_found(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await world.logged_in()
    found = Discovered(world.fake.issuer, clock=world.clock)
    world.fake.fail_next(503, endpoint="metadata", times=9)
    async with world.fake.session(
        store=world.store, key="application", grant=None, server=found
    ) as session:
        browser.flow = new_flow(world.fake, session)

        assert (await browser.logout()).location == "/"
        assert await browser.key() is None
    assert "not on the server's own pages" in caplog.text


def test_the_paths_of_a_login_are_beside_its_callback() -> None:
    async def paths(path: str) -> list[str]:
        async with new_world(redirect_path=path) as world:
            site = world.flow.site
            return [site.login_path, site.logout_path, site.backchannel_logout_path]

    assert anyio.run(paths, "/me/back") == ["/me/login", "/me/logout", "/me/backchannel-logout"]
    assert anyio.run(paths, "/back") == ["/login", "/logout", "/backchannel-logout"]


async def test_a_store_that_is_out_of_order_is_asked_again() -> None:
    store = Failing()
    async with new_world(store=store) as world:
        browser = await world.logged_in()
        store.broken = {"delete", "lease"}

        assert (await browser.logout()).status == 503
        assert "__Host-visitor" in browser.cookies

        store.broken = set()
        assert (await browser.logout()).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://app.example"},
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "https://sub.app.example", "sec-fetch-site": "same-site"},
    ],
)
async def test_another_site_logs_nobody_out(world: World, headers: dict[str, str]) -> None:
    browser = await world.logged_in()

    reply = await browser.logout(headers=headers)

    assert reply.status == 403
    assert await browser.key() is not None


async def test_a_logout_is_posted(world: World) -> None:
    browser = await world.logged_in()

    assert (await browser.logout(method="GET")).status == 403
    assert await browser.key() is not None


async def test_who_is_not_logged_in_is_logged_out_already(world: World) -> None:
    browser = world.browser()
    await browser.start()

    reply = await browser.logout()

    assert (reply.status, reply.location) == (303, "/")
    assert browser.cookies == {}


CHANGES: list[dict[str, Any]] = [{"method": "POST"}, {"method": "DELETE"}, {"method": "WEBSOCKET"}]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_a_page_of_another_site_does_nothing_in_a_visitors_name(
    world: World, change: dict[str, Any]
) -> None:
    """RFC 10017: a cookie comes along wherever a request comes from, so `Origin` is looked at."""
    browser = await world.logged_in()
    elsewhere = {"headers": {"origin": "https://evil.example"}}

    assert await browser.key(**change, **elsewhere) is None
    assert await browser.key(**elsewhere) is not None
    assert await browser.key(**change) is not None
    assert await browser.key(**change, headers={"origin": SITE}) is not None
    assert await browser.key(**change, headers={"sec-fetch-site": "same-origin"}) is not None
    assert await browser.key(**change, headers={"sec-fetch-site": "cross-site"}) is None
    unnamed = {"origin": "null", "sec-fetch-site": "same-origin"}  # a page without referrers
    assert await browser.key(**change, headers=unnamed) is not None
    browser.flow = world.another(trusted_sites=["https://evil.example"])
    trusted = {"headers": {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}}
    assert await browser.key(**change, **trusted) is not None


async def test_a_server_announces_a_logout(world: World) -> None:
    """AT-85: of who is known; of nobody else it does nothing."""
    browser, other = await world.logged_in(), world.browser()
    known, unknown = world.fake.logout_token("ada"), world.fake.logout_token("eve")

    assert (await announce(other, unknown)).status == 200
    assert await browser.key() is not None
    reply = await announce(other, known)

    assert (reply.status, reply.fields) == (200, (("cache-control", "no-store"),))
    assert await browser.key() is None
    assert (await announce(other, known)).status == 400


async def test_a_server_announces_the_end_of_one_session_alone() -> None:
    """BL-02: of somebody who has two."""
    names = iter(["phone", "laptop"])

    def edit(draft: Draft) -> None:
        draft.claims["sid"] = next(names)

    async with new_world(FakeAuthorizationServer(edit_id_token=edit)) as world:
        phone, laptop = [await world.logged_in() for _ in range(2)]

        await announce(laptop, world.fake.logout_token("ada", "phone"))

        assert await phone.key() is None
        assert await laptop.key() is not None


@pytest.mark.parametrize("session_id", ["", 7, None], ids=str)
async def test_a_session_without_a_name_is_logged_out_by_the_subject(session_id: Any) -> None:
    """BL-02: and nobody is kept out for it."""

    def edit(draft: Draft) -> None:
        draft.claims["sid"] = session_id

    async with new_world(FakeAuthorizationServer(edit_id_token=edit)) as world:
        browser = await world.logged_in()
        assert await browser.key() is not None

        await announce(browser, world.fake.logout_token("ada"))
        assert await browser.key() is None


async def test_an_announcement_is_posted(world: World) -> None:
    """BL-01: what stands in a URL is in logs, and in the hands of who reads them."""
    browser = await world.logged_in()
    query = httpx.QueryParams(logout_token=world.fake.logout_token("ada"))
    form = {"content-type": "application/x-www-form-urlencoded"}

    reply = await world.flow.backchannel_logout(
        browser.request(f"/auth/backchannel-logout?{query}", headers=form)
    )

    assert reply.status == 400
    assert await browser.key() is not None


@pytest.mark.parametrize(
    "more",
    [
        {"method": "GET"},
        {"headers": {"content-type": "application/json"}},
        {"headers": {}},
        {"body": b"logout_token=made-up"},
        {"body": b"logout_token=a&logout_token=b"},
        {"body": b"\xff"},
        {"body": b""},
    ],
    ids=str,
)
async def test_what_is_no_announcement_logs_nobody_out(world: World, more: dict[str, Any]) -> None:
    browser = await world.logged_in()

    assert (await announce(browser, world.fake.logout_token("ada"), **more)).status == 400
    assert await browser.key() is not None


async def test_an_announcement_that_cannot_be_kept_is_told_to_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Failing()
    async with new_world(store=store, used=MemorySingleUseStore()) as world:
        browser = await world.logged_in()
        store.broken = {"delete"}
        token = world.fake.logout_token("ada")

        assert (await announce(browser, token)).status == 400
        assert "announced" in caplog.text
        store.broken = set()
        assert (await announce(browser, token)).status == 200


async def test_an_announcement_that_the_server_does_not_go_through_with_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await world.logged_in()
    world.fake.fail_next(500, endpoint="revoke", times=9)

    assert (await announce(browser, world.fake.logout_token("ada"))).status == 200
    assert "maybe not at the server" in caplog.text


class Hooked(MemoryStore):
    """Be a store where something happens just before the token of a login is saved."""

    before: Callable[[], Awaitable[object]] | None = None

    async def save(self, key: str, token: Token, /) -> None:
        before, self.before = self.before, None
        if before is not None:
            await before()
        await super().save(key, token)


async def test_an_announcement_that_comes_in_the_middle_of_a_login_ends_it() -> None:
    """AT-85: the server, which was told that they are logged out, would not say it again."""
    store = Hooked()
    async with new_world(store=store) as world:
        browser = world.browser()
        callback = world.fake.authorize(str((await browser.start()).location))
        store.before = partial(announce, browser, world.fake.logout_token("ada"))

        reply = await browser.finish(callback)

        assert (reply.status, browser.cookies) == (400, {})
        assert b"/auth/login" in reply.body
        assert world.fake.endpoint_requests["revoke"]
        await world.log_in(browser)
        assert await browser.key() is not None


async def test_what_a_flow_remembers_ends_by_its_own_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the system's clock, this visit of long ago ends at once, were it not for a grace."""
    monkeypatch.setattr("oauthkit.stores.ending._SHORTEST", 0)
    fake = FakeAuthorizationServer(clock=FakeClock(1_000_000_000))
    async with new_world(fake) as world:
        browser = await world.logged_in()
        assert await browser.key() is not None

        assert (await announce(browser, world.fake.logout_token("ada"))).status == 200

        assert await browser.key() is None
        assert world.fake.endpoint_requests["revoke"]


async def announce(browser: Browser, logout_token: str, **more: Any) -> LoginReply:
    settings: dict[str, Any] = {
        "method": "POST",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "body": str(httpx.QueryParams(logout_token=logout_token)).encode(),
        **more,
    }
    return await browser.flow.backchannel_logout(
        browser.request("/auth/backchannel-logout", **settings)
    )


async def test_a_callback_is_posted_where_that_is_asked_for(world: World) -> None:
    flow = world.another(response_mode="form_post")
    browser = Browser(flow)
    begun = await browser.start()
    (cookie,) = begun.cookies
    form = world.fake.authorize(str(begun.location)).encode()
    posted = {
        "method": "POST",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
    }

    refused = await browser.finish(f"/auth/callback?{form.decode()}")
    done = await browser.finish("/auth/callback", body=form, **posted)

    assert cookie.same_site == "None"
    assert refused.status == 400
    assert done.status == 303
    assert {cookie.same_site for cookie in done.cookies if cookie.value} == {"Lax"}


async def test_ten_logins_that_nobody_ends_leave_room_for_others(world: World) -> None:
    """AT-15: they end by themselves, and a Cookie header keeps below what servers take."""
    browser = await world.logged_in()
    locations = list[str]()
    for number in range(12):
        begun = await browser.start(f"/auth/login?return_to=/inbox/{number}")
        locations.append(str(begun.location))
    header = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert len(header) < 8000

    world.clock.advance(590)
    assert (await browser.finish(world.fake.authorize(locations[-1]))).location == "/inbox/11"
    assert (await browser.finish(world.fake.authorize(locations[-2]))).location == "/inbox/10"
    assert (await browser.finish(world.fake.authorize(locations[0]))).status == 400
    world.clock.advance(10)
    assert (await browser.finish(world.fake.authorize(locations[-3]))).status == 400


async def test_logins_that_ten_tabs_begin_at_once_leave_room_too(world: World) -> None:
    """Each of them sees the cookies from before, and makes no room for the others."""
    browser = await world.logged_in()
    before = dict(browser.cookies)
    for number in range(10):
        alone = Browser(world.flow, dict(before))
        await alone.start(f"/auth/login?return_to=/inbox/{number}")
        browser.cookies.update(alone.cookies)

    header = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert len(browser.cookies) == 11
    assert len(header) < 8000


async def test_a_visit_ends_in_time(world: World) -> None:
    browser = Browser(world.another(visit_life=100))
    await world.log_in(browser)

    world.clock.advance(99)
    assert await browser.key() is not None
    world.clock.advance(1)
    assert await browser.key() is None


async def test_claims_that_no_cookie_has_room_for_are_left_out_and_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.fake.claims = {"groups": ["x" * 40] * 100, "picture": "p" * 900, "name": "Ada"}
    with caplog.at_level(logging.WARNING, "oauthkit"):
        browser = await world.logged_in()
    visitor = await world.flow.visitor(browser.request())

    assert visitor is not None
    assert visitor.identity is not None
    assert visitor.identity.claims["name"] == "Ada"
    assert len(visitor.identity.claims["picture"]) == 900
    assert "groups" not in visitor.identity.claims
    assert "no room for the claims groups of" in caplog.text
    assert all(len(f"{name}={value}") < 4096 for name, value in browser.cookies.items())


@pytest.mark.parametrize(
    "identity",
    [{"amr": ["x" * 50] * 60}, {"acr": "x" * 4000}, {"sub": "ä" * 255, "name": "x" * 1200}],
)
async def test_whoever_it_is_a_browser_keeps_the_cookie(
    world: World, identity: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A browser drops a longer one, and would be sent to the login for ever."""
    world.fake.claims = identity
    browser = await world.logged_in()
    visitor = await world.flow.visitor(browser.request())

    assert visitor is not None
    assert visitor.identity is not None
    assert visitor.subject == identity.get("sub", "ada")
    assert (visitor.identity.acr, visitor.identity.amr) == (None, ())
    assert f"no room for the claims {', '.join(sorted(identity))} of" in caplog.text
    assert all(len(f"{name}={value}") < 4096 for name, value in browser.cookies.items())


async def test_a_page_of_ones_own_is_shown(world: World) -> None:
    notices = list[Notice]()

    def page(notice: Notice) -> str:
        notices.append(notice)
        return "<p>ours"

    browser = Browser(world.another(page=page))

    reply = await browser.finish("/auth/callback?state=x&code=y")

    assert reply.body == b"<p>ours"
    assert notices == [
        Notice(
            status=400,
            text="This login is over, or was begun in another browser.",
            link="/auth/login",
        )
    ]


async def test_what_a_login_asks_for_is_asked_each_time(world: World) -> None:
    wishes: dict[str, Any] = {"prompt": "login", "max_age": 60, "additional": {"access_type": "x"}}
    browser = Browser(world.another(scope=["openid", "email"], **wishes))

    begun = await browser.start()
    reply = await browser.finish(world.fake.authorize(str(begun.location)))

    asked = query_of(begun.location)
    assert (asked["scope"], asked["prompt"], asked["max_age"]) == ("openid email", "login", "60")
    assert asked["access_type"] == "x"
    assert reply.status == 303


@pytest.mark.parametrize("changed", ["scope", "redirect_path", "max_age", "name", "cookie_keys"])
async def test_a_login_goes_on_with_the_settings_it_began_with(world: World, changed: str) -> None:
    """AT-16, BC-07, BC-08: a cookie is bound to server, client, redirect URI and wishes."""
    values: dict[str, Any] = {
        "scope": "openid",
        "redirect_path": "/other/callback",
        "max_age": 5,
        "name": "guest",
        "cookie_keys": [b"n" * 32],
    }
    browser = world.browser()
    callback = world.fake.authorize(str((await browser.start()).location))
    browser.flow = world.another(**{changed: values[changed]})

    assert (await browser.finish(callback)).status == 400
    browser.flow = world.flow
    assert (await browser.finish(callback)).status == 303


async def test_several_words_are_asked_for_each_time_in_one_order(world: World) -> None:
    """BC-07: else the process that a callback comes to would not know the login of another one."""

    async def asked(**wishes: Any) -> Mapping[str, list[str]]:
        browser = Browser(world.another(**wishes))
        await browser.start()
        return parse_qs(urlsplit(str((await browser.start()).location)).query)

    words = ["openid", *map(str, range(9))]
    found = await asked(scope=set(words), ui_locales=set(words), resource=iter([SITE]))

    assert found["scope"] == found["ui_locales"] == [" ".join(sorted(words))]
    assert found["resource"] == [SITE]
    assert (await asked(scope=iter(words)))["scope"] == [" ".join(words)]


async def test_a_visit_is_of_one_server_and_one_client(world: World) -> None:
    """AT-08: an application that goes over to another server takes nobody along."""
    browser = await world.logged_in()
    nameless = AuthorizationServer("https://other.example/token")
    for server in (attrs.evolve(world.fake.server, issuer="https://other.example"), nameless):
        async with world.fake.session(
            store=world.store, key="application", grant=None, server=server
        ) as session:
            browser.flow = new_flow(world.fake, session)
            assert await browser.key() is None
    browser.flow = world.flow
    assert await browser.key() is not None


async def test_servers_without_a_name_are_told_apart_by_where_they_are() -> None:
    """AT-08."""
    fake = FakeAuthorizationServer()
    server = attrs.evolve(
        fake.server, issuer=None, authorization_response_iss_parameter_supported=False
    )
    other = attrs.evolve(server, token_endpoint="https://other.example/token")
    async with new_world(fake, scope="read", session={"server": server}) as world:
        browser = await world.logged_in()
        assert await browser.key() is not None
        async with fake.session(
            store=world.store, key="application", grant=None, server=other
        ) as session:
            browser.flow = new_flow(fake, session, scope="read")
            assert await browser.key() is None


@pytest.mark.parametrize(
    "setting, words",
    [
        ({"client_id": "other"}, "the session's client is"),
        ({"redirect_path": "https://app.example/callback"}, "redirect_path= must be a path"),
        ({"redirect_path": "/auth/callback?a=b"}, "redirect_path= is a path"),
        ({"redirect_path": "/auth/"}, "redirect_path= is a path"),
        ({"redirect_path": "/auth/callback#here"}, "redirect_path= is a path"),
        ({"redirect_path": "/auth/../callback"}, "redirect_path= is a path"),
        ({"redirect_path": "/{server}/callback"}, "redirect_path= is a path"),
        ({"redirect_path": "/auth/logout"}, "not one of login, logout"),
        ({"name": "my visitor"}, "a word such as visitor"),
        ({"name": ""}, "a word such as visitor"),
        ({"home": "//evil.example"}, "home= must be a path"),
        ({"post_logout_redirect_path": "bye"}, "^post_logout_redirect_path= must"),
        ({"public_url": "http://app.example"}, "is no site: https"),
        ({"public_url": "https://app.example/app"}, "is no site"),
        ({"trusted_sites": "https://app.example"}, "list of sites"),
        ({"trusted_sites": ["ftp://app.example"]}, "ftp"),
        ({"visit_life": 0}, "1 second to 400 days"),
        ({"visit_life": math.inf}, "1 second to 400 days"),
        ({"visit_life": math.nan}, "1 second to 400 days"),
        ({"cookie_keys": []}, "at least one key"),
        ({"cookie_keys": [b"short"]}, "32 random bytes"),
        ({"cookie_keys": ["x" * 32]}, "32 random bytes"),
    ],
    ids=str,
)
async def test_a_setting_that_cannot_work_is_refused(
    world: World, setting: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        world.another(**setting)


async def test_a_session_needs_a_store() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        assert session.store is None
        with pytest.raises(ConfigurationError, match="store=MemoryStore"):
            LoginFlow(session, cookie_keys=KEYS)


async def test_a_session_needs_other_keys_than_its_own() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(store=MemoryStore(), key="application", cookies=True) as session:
        with pytest.raises(ConfigurationError, match="cookies=True has no other keys"):
            LoginFlow(session, cookie_keys=KEYS)


async def test_the_client_is_that_of_the_session(world: World) -> None:
    assert world.another(client_id=world.fake.client_id).cookie == "__Host-visitor"
