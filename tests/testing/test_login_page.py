"""The pages at which a person logs in at the fake server, as a browser shows and posts them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from oauthkit import (
    AccessDenied,
    AuthorizationRequest,
    complete_login,
    fetch_userinfo,
    poll_device_login,
    start_device_login,
)
from oauthkit.testing import FakeAuthorizationServer

CALLBACK = "https://app.example/callback"


def begun(fake: FakeAuthorizationServer, **wishes: Any) -> AuthorizationRequest:
    return AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri=CALLBACK, scope="openid", **wishes
    )


@asynccontextmanager
async def browser(fake: FakeAuthorizationServer) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=fake.transport()) as found:
        yield found


async def test_a_person_says_who_they_are_and_that_is_who_has_logged_in() -> None:
    fake = FakeAuthorizationServer(people=("ada", "bob"))
    login = begun(fake, login_hint="bob")
    async with browser(fake) as http:
        page = await http.get(login.url)
        answer = await http.post(login.url, data={"person": "bob", "decision": "agree"})
        assert "<option>ada</option><option selected>bob</option>" in page.text
        assert "script" not in page.text
        assert 'rel="icon" href="data:,"' in page.text, "a browser asks the API for one"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert answer.status_code == 303

        result = await complete_login(
            *(http, fake.server, fake.client_auth, login, answer.headers["location"]),
            clock=fake.clock,
        )

        assert result.identity is not None
        assert result.identity.subject == "bob"
        info = await fetch_userinfo(http, fake.server, result.token, subject="bob")
        assert info.subject == "bob"


async def test_a_login_without_a_page_is_of_who_logged_in_last() -> None:
    fake = FakeAuthorizationServer(people=("ada", "bob"))
    async with browser(fake) as http:
        silent = begun(fake, prompt="none")
        before = await http.get(silent.url)
        first = begun(fake)
        await http.post(first.url, data={"person": "bob", "decision": "agree"})
        after = begun(fake, prompt="none")
        answer = await http.get(after.url)
        result = await complete_login(
            *(http, fake.server, fake.client_auth, after, answer.headers["location"]),
            clock=fake.clock,
        )

    assert "error=login_required" in before.headers["location"]
    assert result.identity is not None
    assert result.identity.subject == "bob"


async def test_a_person_may_come_alone() -> None:
    fake = FakeAuthorizationServer(people="ada")
    async with browser(fake) as http:
        page = await http.get(begun(fake).url)

    assert page.text.count("<option>") == 1
    assert "<option>ada</option>" in page.text


async def test_a_person_may_refuse() -> None:
    fake = FakeAuthorizationServer(people=("ada",))
    login = begun(fake)
    async with browser(fake) as http:
        answer = await http.post(login.url, data={"person": "ada", "decision": "refuse"})

    with pytest.raises(AccessDenied):
        login.accept(answer.headers["location"])


async def test_a_form_post_login_goes_back_by_a_form() -> None:
    fake = FakeAuthorizationServer(people=("ada",))
    login = begun(fake, response_mode="form_post")
    async with browser(fake) as http:
        answer = await http.post(login.url, data={"person": "ada", "decision": "agree"})

    assert answer.status_code == 200
    assert f'action="{CALLBACK}"' in answer.text


async def test_a_stranger_and_a_request_that_sends_nobody_back_get_a_page_of_an_error() -> None:
    fake = FakeAuthorizationServer(people=("<b>ada</b>",))
    login = begun(fake)
    async with browser(fake) as http:
        stranger = await http.post(login.url, data={"person": "eve", "decision": "agree"})
        nowhere = await http.get(f"{fake.issuer}/authorize?client_id=client&response_type=code")
        page = await http.get(login.url)

    assert stranger.status_code == nowhere.status_code == 400
    assert "&lt;b&gt;ada" in page.text


def test_a_test_says_who_logs_in() -> None:
    fake = FakeAuthorizationServer()

    fake.authorize(begun(fake).url, person="bob")
    again = fake.authorize(begun(fake).url)

    assert "code" in parse_qs(urlsplit(again).query)
    assert fake.authenticated == "bob"


async def test_a_device_is_agreed_to_on_a_page_by_its_code() -> None:
    fake = FakeAuthorizationServer(people=("ada", "bob"), device_interval=0.01)
    async with browser(fake) as http:
        login = await start_device_login(http, fake.server, fake.client_auth, clock=fake.clock)
        page = await http.get(str(login.verification_uri_complete))
        wrong = await http.post(
            login.verification_uri,
            data={"person": "bob", "decision": "agree", "user_code": "NONE"},
        )
        stranger = await http.post(
            login.verification_uri,
            data={"person": "eve", "decision": "agree", "user_code": login.user_code},
        )
        agreed = await http.post(
            login.verification_uri,
            data={"person": "bob", "decision": "agree", "user_code": login.user_code.lower()},
        )

        assert f'value="{login.user_code}"' in page.text
        assert wrong.status_code == stranger.status_code == 400
        assert "You have agreed." in agreed.text
        token = await poll_device_login(
            http, fake.server, fake.client_auth, login, shortest_interval=0, clock=fake.clock
        )
        assert (await fetch_userinfo(http, fake.server, token, subject="bob")).subject == "bob"


async def test_a_device_is_refused_on_a_page_also_where_there_is_one_person() -> None:
    fake = FakeAuthorizationServer(device_interval=0.01)
    async with browser(fake) as http:
        login = await start_device_login(http, fake.server, fake.client_auth)
        answer = await http.post(
            login.verification_uri,
            data={"person": "ada", "decision": "refuse", "user_code": login.user_code},
        )
        with pytest.raises(AccessDenied):
            await poll_device_login(http, fake.server, fake.client_auth, login, shortest_interval=0)

    assert "You have refused." in answer.text


async def test_a_server_on_a_socket_has_the_port_that_it_was_given() -> None:
    async with FakeAuthorizationServer().serve() as first:
        port = int(first.rpartition(":")[2])
    async with FakeAuthorizationServer().serve(port=port) as again:
        assert again == first
