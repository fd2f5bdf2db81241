"""The fake's authorization endpoint as OpenID Connect has it: prompts, ages, modes, claims."""

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from oauthkit import AuthorizationRequest, InteractionRequired, fetch_token
from oauthkit.protocol.messages import HTTPRequest
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.ledger import Family

CALLBACK = "https://app.example/callback?tenant=x"


def login(fake: FakeAuthorizationServer, **wishes: Any) -> AuthorizationRequest:
    return AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri=CALLBACK, scope="openid", **wishes
    )


def by_hand(fake: FakeAuthorizationServer, **parameters: str) -> dict[str, list[str]]:
    """Return the answer to parameters that no client of ours sends."""
    asked = {
        "response_type": "code",
        "client_id": fake.client_id,
        "redirect_uri": CALLBACK,
        **parameters,
    }
    return parse_qs(urlsplit(fake.authorize(f"{fake.issuer}/authorize?{urlencode(asked)}")).query)


async def logged_in(fake: FakeAuthorizationServer, request: AuthorizationRequest) -> Family:
    """Return what the server knows of a login, once its code was exchanged."""
    grant = request.accept(fake.authorize(request.url))
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        await fetch_token(http, fake.server, fake.client_auth, grant, clock=fake.clock)
    return fake.ledger.families[-1]


class Form(HTMLParser):
    """The form of a page: where it goes, what it brings, whether it sends itself."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = self.method = ""
        self.fields: dict[str, str] = {}
        self.submits = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action, self.method = found["action"], found["method"]
        if tag == "input":
            self.fields[found["name"]] = found["value"]
        self.submits = self.submits or "submit()" in found.get("onload", "")


async def test_a_login_keeps_what_its_id_token_must_say() -> None:
    """OC-03."""
    fake = FakeAuthorizationServer()
    claims = {"id_token": {"acr": {"essential": True}}}
    request = login(fake, max_age=60, acr_values="gold silver", claims=claims)
    family = await logged_in(fake, request)

    assert family.began == fake.clock.time()
    assert family.asked["nonce"] == request.nonce
    assert (family.asked["max_age"], family.asked["acr_values"]) == ("60", "gold silver")
    assert json.loads(family.asked["claims"]) == claims
    fake.issue()
    assert fake.ledger.families[-1].asked == {}


async def test_the_owner_stays_authenticated_until_a_request_wants_it_anew() -> None:
    fake = FakeAuthorizationServer()
    moments: list[float] = []
    for wishes in ({}, {}, {"max_age": 100}, {"max_age": 15}, {"prompt": "login"}, {"max_age": 0}):
        family = await logged_in(fake, login(fake, **wishes))
        moments.append(fake.clock.time() - family.began)
        fake.advance(10)

    assert moments == [0, 10, 20, 0, 0, 0]


@pytest.mark.parametrize("wishes", [{}, {"max_age": 5}, {"max_age": 0}], ids=repr)
def test_without_a_page_nobody_authenticates(wishes: dict[str, Any]) -> None:
    """OC-38: somebody who has done so before is logged in without a page."""
    fake = FakeAuthorizationServer()
    silent = login(fake, prompt="none", **wishes)
    with pytest.raises(InteractionRequired, match="login_required"):
        silent.accept(fake.authorize(silent.url))

    fake.authenticated_at = fake.clock.time() - (6 if wishes else 0)
    silent = login(fake, prompt="none", **wishes)
    if wishes:
        with pytest.raises(InteractionRequired):
            silent.accept(fake.authorize(silent.url))
    else:
        assert silent.accept(fake.authorize(silent.url)).code


@pytest.mark.parametrize("mode", ["query", "form_post"])
@pytest.mark.parametrize("error", [None, "consent_required"])
def test_a_callback_comes_in_the_mode_that_was_asked_for(mode: str, error: str | None) -> None:
    """OC-36."""
    fake = FakeAuthorizationServer()
    request = login(fake, response_mode=mode)
    callback = fake.authorize(request.url, error=error)

    assert callback.startswith(CALLBACK) is (mode == "query")
    if error is None:
        assert request.accept(callback).code == "code-1"
    else:
        with pytest.raises(InteractionRequired):
            request.accept(callback)


def test_a_fragment_comes_behind_the_query() -> None:
    fake = FakeAuthorizationServer()
    asked = urlencode(
        {
            "response_type": "code",
            "client_id": fake.client_id,
            "redirect_uri": CALLBACK,
            "response_mode": "fragment",
        }
    )
    callback = urlsplit(fake.authorize(f"{fake.issuer}/authorize?{asked}"))

    assert callback.query == "tenant=x"
    assert parse_qs(callback.fragment)["code"] == ["code-1"]


def test_a_form_is_answered_that_posts_itself() -> None:
    """OC-36: Form Post Response Mode §2; a browser runs it, and nobody keeps it."""
    fake = FakeAuthorizationServer()
    request = login(fake, response_mode="form_post")
    answer = fake.answer(HTTPRequest("GET", request.url))
    form = Form(answer.content.decode())

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (form.action, form.method, form.submits) == (CALLBACK, "post", True)
    assert request.accept(form.fields, method="POST").code == form.fields["code"]


def test_what_stands_in_a_form_is_escaped() -> None:
    fake = FakeAuthorizationServer()
    request = login(fake, response_mode="form_post")
    state = '"><script>'
    url = request.url.replace(request.state, state)
    answer = fake.answer(HTTPRequest("GET", url))

    assert b"<script>" not in answer.content
    assert Form(answer.content.decode()).fields["state"] == state


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"prompt": "none login"}, "stands alone"),
        ({"max_age": "soon"}, "max_age"),
        ({"claims": "{"}, "claims"),
        ({"claims": "[]"}, "claims"),
        ({"response_mode": "post"}, "response_mode"),
    ],
    ids=repr,
)
def test_a_request_that_makes_no_sense_is_refused(parameters: dict[str, str], words: str) -> None:
    answer = by_hand(FakeAuthorizationServer(), **parameters)

    assert answer["error"] == ["invalid_request"]
    assert words in answer["error_description"][0]


async def test_a_posted_callback_comes_back_over_a_socket() -> None:
    """OC-36: from the URL to the token, with a browser in between."""
    fake = FakeAuthorizationServer()
    async with fake.serve(), httpx.AsyncClient() as http:
        request = login(fake, response_mode="form_post", prompt="login", acr_values="gold")
        page = await http.get(request.url)
        posted = Form(page.text).fields
        grant = request.accept(urlencode(posted), method="POST")
        token = await fetch_token(http, fake.server, fake.client_auth, grant)

    assert token.access_token
    assert fake.ledger.families[-1].asked["acr_values"] == "gold"
