"""A login on a device, as values."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest

from oauthkit import (
    AccessDenied,
    AuthorizationServer,
    ClientAuth,
    ClientSecretBasic,
    ConfigurationError,
    DeviceLogin,
    ErrorResponse,
    OAuthKitError,
    PublicClient,
    Recovery,
    ResponseError,
    TransportError,
    rename_fields,
)
from oauthkit.protocol.device import Polling, build_device_request, parse_device_response
from oauthkit.protocol.device_login import DeviceCode
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from tests.asking import authenticated, token_request

VECTORS: Final = json.loads(
    (Path(__file__).parents[1] / "vectors" / "rfc8628.json").read_text(encoding="utf-8")
)
SERVER = AuthorizationServer(
    "https://example.com/token",
    issuer="https://example.com",
    device_authorization_endpoint="https://example.com/device_authorization?tenant=a",
)
CLIENT = PublicClient("1406020730")


def request(client_auth: ClientAuth = CLIENT, **members: Any) -> HTTPRequest:
    return build_device_request(SERVER, client_auth, authenticated(client_auth, SERVER), **members)


def answer(
    server: AuthorizationServer = SERVER, status: int = 200, /, **members: Any
) -> DeviceLogin:
    fields = VECTORS["response_3_2"] | members if status == 200 else members
    content = json.dumps({n: v for n, v in fields.items() if v is not None}).encode()
    response = HTTPResponse(status, {"content-type": "application/json"}, content)
    return parse_device_response(
        server, response, requested_at=1_000.0, client_id="1406020730", scope="read"
    )


def test_the_request_is_that_of_the_rfc() -> None:
    """DF-01."""
    made = request(scope="example_scope")
    asked = dict(parse_qsl(made.content.decode()))
    assert (made.method, made.headers["content-type"]) == (
        "POST",
        "application/x-www-form-urlencoded",
    )
    assert made.url == SERVER.device_authorization_endpoint
    assert asked == dict(parse_qsl(VECTORS["request_body_3_1"]))


def test_a_client_proves_who_it_is_and_says_where_the_token_will_be_used() -> None:
    """DF-01."""
    made = request(
        ClientSecretBasic("a", "b"), resource=("urn:a", "urn:b"), additional={"audience": "c"}
    )
    assert made.headers["authorization"].startswith("Basic ")
    assert parse_qsl(made.content.decode()) == [
        ("resource", "urn:a"),
        ("resource", "urn:b"),
        ("audience", "c"),
    ]
    with pytest.raises(ConfigurationError, match="given twice"):
        request(scope="a", additional={"scope": "b"})


def test_a_server_may_want_other_parameters() -> None:
    server = AuthorizationServer(
        "https://example.com/token",
        device_authorization_endpoint="https://example.com/device",
        adapt_request=lambda parameters, client_id: {**parameters, "app": client_id},
    )
    made = build_device_request(server, CLIENT, authenticated(CLIENT, server), scope="a")
    assert "app=1406020730" in made.content.decode()


def test_the_answer_of_the_rfc_is_a_login() -> None:
    """DF-10: what is typed stays there beside the URL that has the code in it."""
    login, expected = answer(message="Open it"), VECTORS["response_3_2"]
    assert login.user_code == expected["user_code"]
    assert login.verification_uri == expected["verification_uri"]
    assert login.verification_uri_complete == expected["verification_uri_complete"]
    assert (login.expires_at, login.interval) == (2_800.0, 5.0)
    assert login.extra == {"message": "Open it"}
    assert (login.token_endpoint, login.issuer, login.client_id, login.scope) == (
        "https://example.com/token",
        "https://example.com",
        "1406020730",
        "read",
    )


@pytest.mark.parametrize("missing", ["device_code", "user_code", "verification_uri", "expires_in"])
def test_an_answer_without_what_is_needed_is_refused(missing: str) -> None:
    """DF-02."""
    without: dict[str, Any] = {missing: None}
    with pytest.raises(ResponseError, match=f"needs {missing}") as caught:
        answer(**without)
    for name in ("device_code", "user_code"):
        assert VECTORS["response_3_2"][name] not in str(caught.value)


def test_another_name_of_the_uri_is_taken_where_that_is_said() -> None:
    """DF-02."""
    members: dict[str, Any] = {
        "verification_uri": None,
        "verification_url": "https://google.example/device",
    }
    with pytest.raises(ResponseError, match="rename_fields"):
        answer(SERVER, **members)
    profile = AuthorizationServer(
        "https://example.com/token",
        adapt=rename_fields({"verification_url": "verification_uri"}),
    )
    assert answer(profile, **members).verification_uri == "https://google.example/device"


@pytest.mark.parametrize(
    "said, meant", [(None, 5.0), (0, 0.0), (31, 31.0), ("7", 7.0), (1.5, 1.5), (1e9, 86_400.0)]
)
def test_the_interval_is_five_seconds_where_it_is_not_said(said: object, meant: float) -> None:
    """DF-03."""
    assert answer(interval=said).interval == meant


@pytest.mark.parametrize(
    "members, told",
    [
        ({"interval": -1}, "interval must be a number of seconds from 0 on"),
        ({"interval": True}, "interval must be"),
        ({"interval": "soon"}, "interval must be"),
        ({"interval": [5]}, "interval must be"),
        ({"user_code": 7}, "user_code must be a text, not int"),
        ({"user_code": "A\x1b[2J"}, "user_code has control characters"),
        ({"verification_uri": "https://a.example/\u202e"}, "verification_uri has control"),
        ({"expires_in": "soon"}, "needs expires_in"),
    ],
)
def test_what_cannot_be_used_or_shown_is_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(ResponseError, match=told):
        answer(**members)


def test_a_refusal_and_an_odd_answer_are_told_apart() -> None:
    with pytest.raises(ErrorResponse) as caught:
        answer(SERVER, 400, error="invalid_scope")
    assert caught.value.error == "invalid_scope"
    with pytest.raises(ResponseError):
        parse_device_response(SERVER, HTTPResponse(200, {}, b"<html>"), requested_at=0.0)
    with pytest.raises(ResponseError, match="device authorization endpoint"):
        parse_device_response(SERVER, HTTPResponse(307, {}), requested_at=0.0)


def test_the_token_request_is_that_of_the_rfc() -> None:
    """DF-01."""
    grant = DeviceCode.of(answer(), additional={})
    asked = dict(parse_qsl(token_request(SERVER, CLIENT, grant).content.decode()))
    assert asked == dict(parse_qsl(VECTORS["token_body_3_4"]))
    assert grant.requested_scope == "read"


def test_the_code_goes_to_the_server_and_for_the_client_of_the_login_alone() -> None:
    grant = DeviceCode.of(answer(), additional={})
    for server, client_auth in [
        (AuthorizationServer("https://other.example/token"), CLIENT),
        (SERVER, PublicClient("another")),
    ]:
        with pytest.raises(ConfigurationError):
            token_request(server, client_auth, grant)


def refusal(error: str) -> ErrorResponse:
    return ErrorResponse(error)


def pauses(*errors: OAuthKitError, interval: float = 5.0) -> list[float]:
    """Return the pause before each request, if these came of them."""
    polling = Polling(interval)
    found = [polling.pause]
    for error in errors:
        assert polling.goes_on(error)
        found.append(polling.pause)
    return found


PENDING, SLOWER = refusal("authorization_pending"), refusal("slow_down")
LOST, BUSY = TransportError("lost"), ResponseError("busy", recovery=Recovery.RETRY_LATER)


@pytest.mark.parametrize(
    "errors, expected",
    [
        ([PENDING, PENDING], [5, 5, 5]),
        ([SLOWER, PENDING, SLOWER, PENDING], [5, 10, 10, 15, 15]),
        ([LOST, LOST, LOST], [5, 10, 20, 40]),
        ([LOST, PENDING, LOST], [5, 10, 5, 10]),
        ([SLOWER, LOST, PENDING], [5, 10, 20, 10]),
        ([BUSY, TransportError("busy", retry_after=60), PENDING], [5, 10, 60, 5]),
        ([refusal("temporarily_unavailable")], [5, 10]),
    ],
)
def test_the_pause_grows_as_the_rfc_says(
    errors: list[OAuthKitError], expected: list[float]
) -> None:
    """DF-04, DF-05, DF-07: slow_down counts for good, a lost answer doubles the pause after it."""
    assert pauses(*errors) == expected


@pytest.mark.parametrize(
    "error",
    [
        AccessDenied("access_denied"),
        refusal("expired_token"),
        refusal("invalid_grant"),
        refusal("unheard_of"),
        ResponseError("odd"),
        ConfigurationError("odd"),
    ],
    ids=repr,
)
def test_any_other_answer_is_the_end(error: OAuthKitError) -> None:
    """DF-06."""
    assert not Polling(5.0).goes_on(error)


def test_an_expired_code_is_for_a_new_login_to_mend() -> None:
    """DF-06."""
    assert refusal("expired_token").recovery is Recovery.REAUTHORIZE
    assert PENDING.recovery is Recovery.RETRY_LATER


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "file:///etc/passwd", "example.com/device", "-x", "data:,x"]
)
def test_nothing_but_http_is_opened(uri: str) -> None:
    """DF-11."""
    login = answer(verification_uri=uri, verification_uri_complete=uri)
    for complete in (True, False):
        with pytest.raises(ConfigurationError):
            login.url_to_open(complete=complete)


def test_what_is_opened_is_the_plain_uri_unless_told_otherwise() -> None:
    """DF-10, DF-11."""
    login = answer()
    assert login.url_to_open() == "https://example.com/device"
    assert login.url_to_open(complete=True).endswith("?user_code=WDJB-MJHT")
    assert answer(verification_uri_complete=None).url_to_open(complete=True).endswith("/device")


def test_a_login_is_kept_and_restored() -> None:
    login = answer(message="Open it")
    kept = json.loads(json.dumps(login.to_dict()))
    assert DeviceLogin.from_dict(kept) == login
    later = DeviceLogin.from_dict(kept | {"later": 1})
    assert later.to_dict() == kept | {"later": 1}


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"device_code": None}, {"interval": True}, {"expires_at": "soon"}]
)
def test_a_damaged_or_newer_record_is_refused(change: dict[str, Any]) -> None:
    kept = answer().to_dict() | change
    with pytest.raises(ConfigurationError, match="a kept device login must be") as caught:
        DeviceLogin.from_dict(kept)
    assert "GmRhmhcxhwAzk" not in str(caught.value)
    wrong: Any = "no dict"
    with pytest.raises(ConfigurationError, match="it is no such dict"):
        DeviceLogin.from_dict(wrong)


def test_the_codes_are_not_in_its_printed_form() -> None:
    login = answer()
    for text in ("GmRhmhcxhwAzk", "WDJB"):
        assert text not in repr(login)
        assert text not in repr(DeviceCode.of(login, additional={}))
    assert f"{login.user_code}" == "WDJB-MJHT"
