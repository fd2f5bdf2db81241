from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from oauthkit import (
    AuthorizationServer,
    CallbackError,
    ConfigurationError,
    Discovered,
    LogoutRequest,
    end_session_url,
)
from oauthkit.testing import FakeAuthorizationServer

SERVER = AuthorizationServer(
    "https://auth.example/token", end_session_endpoint="https://auth.example/logout?tenant=x"
)
BYE = "https://app.example/bye"


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def begun(**settings: Any) -> LogoutRequest:
    return LogoutRequest.new(SERVER, client_id="app", post_logout_redirect_uri=BYE, **settings)


def test_the_url_has_all_that_is_given_and_keeps_the_query() -> None:
    """LO-01."""
    url = end_session_url(
        SERVER,
        id_token="head.body.sig",
        client_id="app & co",
        post_logout_redirect_uri=f"{BYE}?a=b",
        state="s=1&2",
        logout_hint="ada@example.org",
        ui_locales=["de-CH", "en"],
    )

    assert url.startswith("https://auth.example/logout?tenant=x&id_token_hint=head.body.sig&")
    assert query(url) == {
        "tenant": ["x"],
        "id_token_hint": ["head.body.sig"],
        "client_id": ["app & co"],
        "post_logout_redirect_uri": [f"{BYE}?a=b"],
        "state": ["s=1&2"],
        "logout_hint": ["ada@example.org"],
        "ui_locales": ["de-CH en"],
    }


def test_nothing_has_to_be_given() -> None:
    """LO-01."""
    server = AuthorizationServer(
        "https://auth.example/token", end_session_endpoint="https://auth.example/logout"
    )

    assert end_session_url(SERVER) == "https://auth.example/logout?tenant=x"
    assert end_session_url(server) == "https://auth.example/logout"
    assert end_session_url(server, ui_locales="de en").endswith("?ui_locales=de%20en")


def test_a_way_back_is_somebodys() -> None:
    """LO-02."""
    with pytest.raises(ConfigurationError, match="needs id_token= or client_id="):
        end_session_url(SERVER, post_logout_redirect_uri=BYE)
    end_session_url(SERVER, post_logout_redirect_uri=BYE, client_id="app")
    end_session_url(SERVER, post_logout_redirect_uri=BYE, id_token="a.b.c")


@pytest.mark.parametrize("uri", ["/bye", "https://app.example/bye#top", "https://app.example/ bye"])
def test_a_way_back_is_an_absolute_uri(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="absolute URI"):
        end_session_url(SERVER, post_logout_redirect_uri=uri, client_id="app")


@pytest.mark.parametrize(
    "endpoint, told", [(None, "names no end_session"), ("http://auth.example/out", "plain http")]
)
def test_an_endpoint_that_is_missing_or_not_https_is_told(endpoint: Any, told: str) -> None:
    """LO-04."""
    server = AuthorizationServer(
        "https://auth.example/token",
        issuer="https://auth.example",
        end_session_endpoint=endpoint,
        metadata={"issuer": "https://auth.example"},
    )
    with pytest.raises(ConfigurationError, match=told):
        end_session_url(server)


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": Discovered("https://auth.example")},
        {"id_token": ""},
        {"client_id": 7},
        {"state": ""},
        {"logout_hint": b"x"},
        {"ui_locales": 7},
        {"post_logout_redirect_uri": ["a"]},
    ],
)
def test_a_wrong_kind_and_an_empty_text_are_refused(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"server": SERVER, **wrong}
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        end_session_url(**given)


def test_a_parameter_that_the_endpoint_has_already_is_not_given_twice() -> None:
    server = AuthorizationServer(
        "https://auth.example/token", end_session_endpoint="https://auth.example/out?client_id=a"
    )
    with pytest.raises(ConfigurationError, match="client_id stands in the query"):
        end_session_url(server, client_id="app")


# The return


def test_a_return_with_its_state_is_accepted() -> None:
    logout = begun()

    logout.accept(f"{BYE}?state={logout.state}")
    logout.accept({"state": logout.state})
    assert query(logout.url)["state"] == [logout.state]
    assert len(logout.state) == 43
    assert begun().state != logout.state


@pytest.mark.parametrize(
    "callback", [BYE, f"{BYE}?state=", f"{BYE}?state=other", {"state": "ü"}, "state=a&state=a", 7]
)
def test_a_return_with_another_state_or_none_is_told(callback: Any) -> None:
    """LO-03."""
    with pytest.raises(CallbackError, match="logged out here all the same"):
        begun().accept(callback)


def test_the_state_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """AT-19."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("oauthkit.protocol.logout.hmac.compare_digest", compare)
    logout = begun()
    logout.accept({"state": logout.state})

    assert compared == [(logout.state.encode(), logout.state.encode())]


def test_a_logout_without_a_state_accepts_nothing() -> None:
    with pytest.raises(CallbackError):
        LogoutRequest(url="https://auth.example/logout", state="").accept({})


def test_a_logout_travels_as_a_dict_and_keeps_what_a_later_version_put_there() -> None:
    logout = begun(id_token="a.b.c")
    kept = logout.to_dict()

    assert LogoutRequest.from_dict(kept) == logout
    assert LogoutRequest.from_dict({**kept, "later": 1}).to_dict()["later"] == 1


@pytest.mark.parametrize("data", [{}, None, {"url": "x"}, {"url": "x", "state": 7}])
def test_what_is_no_such_dict_is_refused(data: Any) -> None:
    with pytest.raises(ConfigurationError, match="a kept logout"):
        LogoutRequest.from_dict(data)


def test_a_newer_record_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="newer oauthkit"):
        LogoutRequest.from_dict({**begun().to_dict(), "version": 99})


def test_neither_shows_the_id_token_or_the_state() -> None:
    """AT-70."""
    logout = begun(id_token="head.body.sig")

    assert "head.body.sig" not in repr(logout)
    assert logout.state not in repr(logout)


async def test_the_fake_ends_the_logins_and_sends_the_browser_back() -> None:
    """LO-01, LO-03."""
    fake = FakeAuthorizationServer()
    token = fake.issue()
    logout = LogoutRequest.new(
        fake.server, client_id="client", post_logout_redirect_uri=f"{BYE}?a=b"
    )
    async with fake.serve() as url, httpx.AsyncClient() as browser:
        answer = await browser.get(logout.url.replace("https://auth.example", url))
        logout.accept(answer.headers["location"])
        assert (await browser.get(f"{url}/x", headers=bearer(token))).status_code == 401

    assert answer.headers["location"] == f"{BYE}?a=b&state={logout.state}"
    assert fake.families_alive == 0


def bearer(token: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token.access_token}"}


async def test_the_fake_answers_with_a_page_where_there_is_no_way_back() -> None:
    fake = FakeAuthorizationServer()
    url = f"{fake.issuer}/logout"
    async with httpx.AsyncClient(transport=fake.transport()) as browser:
        answers = [
            await browser.get(url),
            await browser.post(url, data={"client_id": "client"}),
            await browser.get(url, params={"client_id": "other"}),
            await browser.get(url, params={"post_logout_redirect_uri": BYE}),
            await browser.get(url, params={"post_logout_redirect_uri": BYE, "id_token_hint": "a"}),
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 302]
    assert answers[-1].headers["location"] == BYE
