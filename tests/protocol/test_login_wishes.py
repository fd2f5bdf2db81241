"""What a login asks for beyond a code."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.server import AuthorizationServer

SERVER = AuthorizationServer(
    "https://auth.example/token",
    issuer="https://auth.example",
    authorization_endpoint="https://auth.example/authorize",
)
ESSENTIAL = {"id_token": {"acr": {"essential": True, "values": ["gold", "silver"]}, "email": None}}


def login(server: AuthorizationServer = SERVER, **wishes: Any) -> AuthorizationRequest:
    settings: dict[str, Any] = {"redirect_uri": "https://app.example/callback", "scope": "openid"}
    return AuthorizationRequest.new(server, "reader", **{**settings, **wishes})


def sent(**wishes: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(login(**wishes).url).query, strict_parsing=True)


def test_every_wish_is_a_parameter() -> None:
    """OC-01, OC-03: `openid` among the scopes, seconds of 0, JSON, and spaces between several."""
    parameters = sent(
        max_age=0,
        prompt="login",
        login_hint="ada@example.com",
        acr_values=["gold", "silver"],
        claims=ESSENTIAL,
        ui_locales="de-CH de",
        id_token_hint="e30.e30.e30",
        display="popup",
        resource="https://api.example/",
        response_mode="form_post",
    )

    assert parameters["scope"] == ["openid"]
    assert parameters["max_age"] == ["0"]
    assert parameters["prompt"] == ["login"]
    assert parameters["login_hint"] == ["ada@example.com"]
    assert parameters["acr_values"] == ["gold silver"]
    assert json.loads(parameters["claims"][0]) == ESSENTIAL
    assert parameters["ui_locales"] == ["de-CH de"]
    assert parameters["id_token_hint"] == ["e30.e30.e30"]
    assert parameters["display"] == ["popup"]
    assert parameters["resource"] == ["https://api.example/"]
    assert parameters["response_mode"] == ["form_post"]


def test_what_is_not_wished_for_is_not_sent() -> None:
    assert not sent().keys() & {
        *("max_age", "prompt", "login_hint", "acr_values", "claims", "ui_locales"),
        *("id_token_hint", "display", "resource", "response_mode"),
    }


@pytest.mark.parametrize(
    "prompt, parameter",
    [
        ("none", "none"),
        (["none"], "none"),
        ("login  consent", "login consent"),
        (["select_account", "consent"], "select_account consent"),
        ("x_of_a_server", "x_of_a_server"),
    ],
    ids=repr,
)
def test_a_prompt_is_one_word_or_several(prompt: Any, parameter: str) -> None:
    """OC-02."""
    assert sent(prompt=prompt)["prompt"] == [parameter]


@pytest.mark.parametrize("prompt", ["none login", ["login", "none"], "none none"], ids=repr)
def test_no_page_and_a_page_cannot_both_be_asked_for(prompt: Any) -> None:
    """OC-02."""
    with pytest.raises(ConfigurationError, match="no other value stands beside it"):
        login(prompt=prompt)
    with pytest.raises(ConfigurationError, match="no other value stands beside it"):
        login(additional={"prompt": prompt})


@pytest.mark.parametrize(
    "wishes, words",
    [
        ({"max_age": -1}, "whole seconds"),
        ({"max_age": True}, "a whole number"),
        ({"max_age": 1.5}, "a whole number"),
        ({"prompt": " "}, "prompt= takes a text"),
        ({"prompt": ["log in"]}, "prompt= takes a text"),
        ({"acr_values": [5]}, "acr_values= takes a text"),
        ({"ui_locales": "de\u00a0en"}, "ui_locales= takes a text"),
        ({"claims": {"id_token": ["acr"]}}, "claims= takes a mapping"),
        ({"claims": {"id_token": {"acr": "gold"}}}, "claims= takes a mapping"),
        ({"claims": {"id_token": {"acr": {"values": "gold"}}}}, "claims= takes a mapping"),
        ({"claims": {"userinfo": {"x": float("nan")}}}, "claims= takes a mapping"),
        ({"claims": {"x": {1, 2}}}, "claims= takes a mapping"),
        ({"claims": "{}"}, "claims= takes a mapping"),
        ({"resource": "/relative"}, "absolute URIs"),
        ({"resource": ["https://api.example/#a"]}, "absolute URIs"),
        ({"resource": [5]}, "absolute URIs"),
        ({"login_hint": 5}, "login_hint= takes a text"),
        ({"additional": {"login_hint": 5}}, "login_hint takes a text"),
        ({"additional": {"prompt": 5}}, "prompt= takes a text"),
        ({"additional": {"max_age": "soon"}}, "whole seconds"),
        ({"additional": {"claims": "[]"}}, "claims= takes a mapping"),
        ({"additional": {"resource": 5}}, "absolute URIs"),
    ],
    ids=repr,
)
def test_a_wish_of_another_form_is_refused(wishes: dict[str, Any], words: str) -> None:
    """OC-03, RI-01."""
    with pytest.raises(ConfigurationError, match=words):
        login(**wishes)


@pytest.mark.parametrize(
    "mode, words",
    [
        ("fragment", "sends no fragment to any server"),
        ("query.jwt", "JARM"),
        ("jwt", "JARM"),
        ("web_message", "between windows"),
        ("POST", "leave it out"),
    ],
)
def test_a_mode_in_which_no_callback_can_come_is_refused(mode: str, words: str) -> None:
    """OC-37, BC-16: also among the additional parameters."""
    with pytest.raises(ConfigurationError, match=words):
        login(response_mode=mode)
    with pytest.raises(ConfigurationError, match=words):
        login(additional={"response_mode": mode})


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_a_mode_that_the_server_says_it_has_not_is_refused(mode: str) -> None:
    """OC-36."""
    other = attrs.evolve(SERVER, response_modes_supported=("fragment", "x"))

    with pytest.raises(ConfigurationError, match="fragment, x"):
        login(other, response_mode=mode)
    assert login(other).response_mode is None
    for modes in (None, (), (mode,)):
        server = attrs.evolve(SERVER, response_modes_supported=modes)
        assert login(server, response_mode=mode).response_mode == mode


def test_what_is_said_of_prompt_and_acr_is_left_to_the_server() -> None:
    """OC-03: those lists are often incomplete."""
    server = attrs.evolve(
        SERVER, prompt_values_supported=("none",), acr_values_supported=("x",), metadata={"a": "b"}
    )

    assert "prompt=login" in login(server, prompt="login", acr_values="gold").url


@pytest.mark.parametrize("name", ["max_age", "prompt", "claims", "resource", "response_mode"])
def test_a_wish_is_given_once(name: str) -> None:
    """O2-06."""
    values: dict[str, Any] = {"max_age": 5, "claims": {}, "response_mode": "query"}
    value = values.get(name, "login:")

    with pytest.raises(ConfigurationError, match=f"{name} is given twice"):
        login(**{name: value}, additional={name: "x"})


def test_a_wish_among_the_additional_parameters_counts_as_much() -> None:
    """OC-03: what came of it is checked all the same."""
    request = login(
        additional={
            "max_age": "60",
            "acr_values": "gold",
            "claims": json.dumps(ESSENTIAL),
            "response_mode": "form_post",
            "access_type": "offline",
        }
    )

    assert (request.max_age, request.acr_values) == (60, "gold")
    assert request.essential_acr == ("gold", "silver")
    assert request.response_mode == "form_post"
    assert parse_qs(urlsplit(request.url).query)["access_type"] == ["offline"]


@pytest.mark.parametrize(
    "claims, values",
    [
        (None, None),
        ({}, None),
        ({"userinfo": {"acr": {"essential": True}}}, None),
        ({"id_token": None}, None),
        ({"id_token": {"acr": None}}, None),
        ({"id_token": {"acr": {"values": ["gold"]}}}, None),
        ({"id_token": {"acr": {"essential": "yes"}}}, None),
        ({"id_token": {"acr": {"essential": True}}}, ()),
        ({"id_token": {"acr": {"essential": True, "value": "gold"}}}, ("gold",)),
        ({"id_token": {"acr": {"essential": True, "values": ["gold", 5]}}}, ("gold",)),
    ],
    ids=repr,
)
def test_which_acr_is_essential_can_be_seen(claims: Any, values: tuple[str, ...] | None) -> None:
    """OC-18: OpenID Connect Core §5.5.1.1."""
    assert login(claims=claims).essential_acr == values


def test_what_is_asked_for_does_not_change_with_the_callers_own_mapping() -> None:
    """BC-03."""
    claims: dict[str, Any] = {"id_token": {"acr": {"essential": True, "values": ["gold"]}}}
    request = login(claims=claims)
    claims["id_token"].clear()

    assert request.essential_acr == ("gold",)


def test_no_hint_is_printed() -> None:
    """O2-40."""
    request = login(id_token_hint="canary-1", login_hint="canary-2", claims={"canary-3": None})

    assert "canary-1" not in repr(request)
    assert "canary-2" not in repr(request)
