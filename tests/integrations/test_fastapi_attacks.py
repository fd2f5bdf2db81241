"""What attackers try at a FastAPI application with a login, and careless programs do."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from oauthkit import ConfigurationError, MemoryStore
from oauthkit.login.messages import LONGEST_BODY
from oauthkit.testing import FakeAuthorizationServer

from .visits import KEY, PAGE, SITE, asked_for, site

LOGIN = "/auth/login?return_to="


async def posted(app: FastAPI, message: Any) -> tuple[int, int]:
    """Post a callback of which one message comes all the time; return the status, and how often."""
    received, sent = 0, list[Any]()

    async def receive() -> Any:
        nonlocal received
        received += 1
        return message

    async def send(answer: Any) -> None:
        sent.append(answer)

    scope = {"type": "http", "method": "POST", "path": "/auth/callback", "query_string": b""}
    await app({**scope, "scheme": "https", "headers": [(b"host", b"app.example")]}, receive, send)
    return sent[0]["status"], received


async def test_of_a_body_without_an_end_a_few_bytes_are_read() -> None:
    async with site() as here:
        endless = {"type": "http.request", "body": bytes(1024), "more_body": True}
        status, received = await posted(here.app, endless)

    assert (status, received) == (413, LONGEST_BODY // 1024 + 1)


async def test_a_client_that_leaves_while_it_posts_is_no_fault_of_ours() -> None:
    async with site() as here:
        assert await posted(here.app, {"type": "http.disconnect"}) == (400, 1)


async def test_a_head_request_uses_no_callback_up() -> None:
    """As programs send it that look at links before their readers do."""
    async with site() as here, here.browser() as browser:
        callback = await here.begin(browser)
        looked = await browser.head(callback)
        done = await browser.get(callback)

        assert looked.status_code in {400, 405}
        assert done.status_code == 303
        assert len(here.fake.token_requests) == 1


async def test_a_callback_counts_once_and_logs_nobody_out() -> None:
    async with site() as here, here.browser() as browser:
        callback = await here.begin(browser)
        kept = dict(browser.cookies)
        await browser.get(callback)
        again = await browser.get(callback)
        async with here.browser(cookies=kept) as thief:
            copied = await thief.get(callback)

        assert (again.status_code, copied.status_code) == (400, 400)
        assert not copied.headers.get_list("set-cookie") or "Max-Age=0" in str(copied.headers)
        assert len(here.fake.token_requests) == 1
        assert (await browser.get("/inbox/")).status_code == 200


async def test_a_login_is_the_browser_s_that_began_it() -> None:
    """AT-13: and the visitor gets a name that was not there before."""
    async with site() as here, here.browser() as browser, here.browser() as other:
        planted = await here.log_in(other)
        other.cookies.clear()
        elsewhere = await here.begin(other)
        browser.cookies.set("__Host-visitor", planted, domain="app.example")
        forged = await browser.get(elsewhere)
        named = await here.log_in(browser)

        assert forged.status_code == 400
        assert named != planted
        keys = [(await browser.get("/maybe")).json()]
        other.cookies = httpx.Cookies({"__Host-visitor": planted})
        assert (await other.get("/maybe")).json() not in keys


async def test_a_cookie_that_was_changed_is_nobody_s() -> None:
    """AT-16: nor is one of another place or key; a key that was replaced still reads."""
    async with site() as here, here.browser() as browser:
        good = await here.log_in(browser)
        await here.begin(browser)
        (login,) = [value for name, value in browser.cookies.items() if "login" in name]
        flipped = good[:-2] + ("A" if good[-2] != "A" else "B") + good[-1]
        for made_up in (flipped, good[:-8], "B" + good[1:], login, "application", "", "ä"):
            headers = {b"cookie": f"__Host-visitor={made_up}".encode(), b"accept": b"text/html"}
            async with here.browser() as other:
                assert (await other.get("/inbox/", headers=headers)).status_code == 303
        for keys, status in (([bytes(32), KEY], 200), ([bytes(32)], 303)):
            async with (
                site(here.fake, store=here.session.store, cookie_keys=keys) as rotated,
                rotated.browser(cookies={"__Host-visitor": good}) as later,
            ):
                assert (await later.get("/inbox/")).status_code == status


async def test_no_token_and_no_code_comes_into_a_browser() -> None:
    """BT-13: cookies are encrypted, and no script reads them."""
    async with site() as here, here.browser() as browser:
        begun = await browser.get("/auth/login")
        callback = here.fake.authorize(begun.headers["location"])
        done = await browser.get(callback)
        cookies = begun.headers.get_list("set-cookie") + done.headers.get_list("set-cookie")

        assert len(cookies) == 3
        for cookie in cookies:
            assert re.match(
                r"__Host-[\w-]+=[\w-]*; Max-Age=\d+; Path=/; Secure; HttpOnly; ", cookie
            )
            assert "domain" not in cookie.lower()
        (token,) = here.fake.token_requests
        sent = f"{cookies} {done.headers} {done.text}"
        for secret in (
            "access-token",
            "refresh-token",
            parse_qs(urlsplit(callback).query)["code"][0],
        ):
            assert secret not in sent
        assert token.status_code == 200


async def test_logins_that_nobody_ends_take_no_room() -> None:
    """AT-15: neither at the server nor in the browser."""
    store = MemoryStore()
    async with site(store=store) as here, here.browser() as browser:
        for _ in range(30):
            await browser.get(LOGIN + "%2Finbox%2F" + "x" * 600)

        assert sum(len(name) + len(value) + 3 for name, value in browser.cookies.items()) < 8_000
        assert not store._rows
        assert (await browser.get(await here.begin(browser))).status_code == 303


async def test_what_is_kept_of_a_login_is_not_in_its_state() -> None:
    """BC-09: `state` is random; where to go on is in the cookie, a path of this site, and short."""
    async with site() as here, here.browser() as browser:
        begun = await browser.get(LOGIN + "%2Finbox%2F1")
        (state,) = parse_qs(urlsplit(begun.headers["location"]).query)["state"]

        assert len(state) >= 43
        assert "inbox" not in begun.headers["location"]
        for outside in ("https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F" + "x" * 2_000):
            assert (await browser.get(LOGIN + outside)).status_code == 400


async def test_of_two_servers_each_has_a_callback_of_its_own() -> None:
    """BC-07, BC-08: what one of them has sent is refused where the other one's is expected."""
    second = FakeAuthorizationServer(issuer="https://second.example")
    async with (
        site() as one,
        site(second, redirect_path="/other/callback", name="other") as other,
    ):
        one.app.include_router(other.login.router)
        async with one.browser() as browser:
            callback = await one.begin(browser)
            meant = await other.begin(browser, "/other/login")
            mixed_up = await browser.get(f"/other/callback?{urlsplit(callback).query}")

            assert urlsplit(meant).path == "/other/callback"
            assert mixed_up.status_code == 400
            assert not other.fake.token_requests
            assert (await browser.get(callback)).status_code == 303
            assert (await browser.get(meant)).status_code == 303
            assert {"__Host-visitor", "__Host-other"} <= {*browser.cookies}


async def test_an_error_text_is_not_shown_on_the_page() -> None:
    """AT-66."""
    script = "<script>alert(1)</script>"
    async with site() as here, here.browser() as browser:
        path = asked_for(await here.begin(browser)).partition("&")[2]
        failed = await browser.get(
            f"/auth/callback?error={script}&error_description={script}&{path}"
        )

    assert failed.status_code == 400
    assert "script" not in failed.text
    assert "default-src 'none'" in failed.headers["content-security-policy"]


async def test_forwarded_headers_are_believed_where_that_was_configured_alone() -> None:
    """BC-14: by the server that the application runs in, or in place of them by `public_url=`."""
    forged = {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    forged |= {"forwarded": "proto=https;host=evil.example", **PAGE}
    plain = {"base_url": "http://app.example", "headers": forged}
    async with site() as here:
        async with here.browser(**plain) as browser:
            with pytest.raises(ConfigurationError, match="public_url="):
                await browser.get("/auth/login")
        app: Any = here.app
        trusting = ProxyHeadersMiddleware(app, trusted_hosts="127.0.0.1")
        async with here.browser(trusting, **plain) as browser:
            trusted = await browser.get("/auth/login")
    async with site(public_url=SITE) as here, here.browser(**plain) as browser:
        known = await browser.get("/auth/login")
        another = await browser.get("/auth/login", headers={"host": "evil.example"})

    for begun in (trusted, known):
        assert "redirect_uri=https%3A%2F%2Fapp.example%2Fauth" in begun.headers["location"]
    assert another.status_code == 400


async def test_a_logout_is_one_of_this_site_and_makes_copies_worthless() -> None:
    """AT-85: no link, no image and no page of another site logs anybody out."""
    async with site() as here, here.browser() as browser:
        copied = await here.log_in(browser)
        linked = await browser.get("/auth/logout")
        elsewhere = await browser.post("/auth/logout", headers={"origin": "https://evil.example"})
        assert (linked.status_code, elsewhere.status_code) == (405, 403)
        assert (await browser.get("/maybe")).json() is not None

        out = await browser.post("/auth/logout", headers={"origin": SITE})
        assert out.status_code == 303
        assert out.headers["location"].startswith(f"{here.fake.issuer}/logout?")
        assert not browser.cookies
        async with here.browser(cookies={"__Host-visitor": copied}) as thief:
            assert (await thief.get("/inbox/")).status_code == 303
        assert [r.status_code for r in here.fake.endpoint_requests["revoke"]] == [200]


async def test_a_form_of_another_site_is_nobody_s() -> None:
    async with site() as here, here.browser() as browser:
        await here.log_in(browser)
        forged = await browser.post("/send", headers={"origin": "https://evil.example"})
        ours = await browser.post("/send", headers={"origin": SITE})

    assert (forged.status_code, forged.headers["location"]) == (303, "/auth/login")
    assert ours.json().startswith("visitor:")


async def test_the_server_logs_a_visitor_out() -> None:
    """AT-85: a session that is not known here has no effect."""
    async with site() as here, here.browser() as browser:
        await here.log_in(browser)
        statuses = list[int]()
        for token in (here.fake.logout_token("bob"), here.fake.logout_token("ada"), "made.up.one"):
            async with here.browser() as server:
                told = await server.post("/auth/backchannel-logout", data={"logout_token": token})
                assert told.headers["cache-control"] == "no-store"
                statuses.append(told.status_code)
            if len(statuses) == 1:
                assert (await browser.get("/maybe")).json() is not None

        assert statuses == [200, 200, 400]
        assert (await browser.get("/maybe")).json() is None
