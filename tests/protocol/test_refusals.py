import json
from collections.abc import Mapping
from typing import Any

import pytest

from oauthkit.errors import (
    AccessDenied,
    CallbackError,
    ConfigurationError,
    EndpointError,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    StoreError,
    TransportError,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.refusals import ErrorRule, refuses_right
from oauthkit.protocol.server import AuthorizationServer, rename_fields
from oauthkit.protocol.token_endpoint import parse_token_response

ENDPOINT = "https://auth.example/token"
GOOD = {"access_token": "a", "token_type": "bearer"}
JSON_TYPE = "application/json"


def answer(
    body: Mapping[str, Any] | bytes, status: int = 400, kind: str = JSON_TYPE, **headers: str
) -> HTTPResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPResponse(status, {"content-type": kind, **named}, content)


def refused(
    response: HTTPResponse,
    *rules: ErrorRule,
    grant_type: str | None = "refresh_token",
    adapt: Any = None,
    **details: Any,
) -> OAuthKitError:
    server = AuthorizationServer(ENDPOINT, errors=rules, adapt=adapt)
    with pytest.raises(OAuthKitError) as caught:
        parse_token_response(
            server, response, requested_at=1_700_000_000.0, grant_type=grant_type, **details
        )
    return caught.value


# What eleven providers answer, and the rules that say what they mean


GITHUB = (
    ErrorRule(
        "invalid_grant", member="error", values=("bad_refresh_token", "bad_verification_code")
    ),
    ErrorRule("invalid_client", member="error", values=("incorrect_client_credentials",)),
)
SLACK = (
    ErrorRule("invalid_grant", member="error", values=("invalid_refresh_token", "invalid_code")),
    ErrorRule("invalid_client", member="error", values=("bad_client_secret",)),
    ErrorRule("temporarily_unavailable", member="error", values=("ratelimited",)),
)
ATLASSIAN = (
    ErrorRule(
        "invalid_grant",
        status=403,
        member="error",
        values=("unauthorized_client",),
        grant_type="refresh_token",
    ),
)
X = (
    ErrorRule(
        "invalid_grant",
        member="error_description",
        values=("Value passed for the token was invalid.",),
    ),
)
PAYPAL = (
    ErrorRule("invalid_grant", member="error", values=("invalid_refresh_token",)),
    ErrorRule(
        "invalid_grant", member="error_description", values=("Unable to refresh access token",)
    ),
    ErrorRule(
        "invalid_grant",
        member="error",
        values=("access_denied",),
        grant_type="authorization_code",
    ),
)
ZOHO = (
    ErrorRule("invalid_grant", member="error", values=("invalid_code",)),
    ErrorRule("slow_down", member="error", values=("Access Denied",)),
)
STRAVA = (
    ErrorRule("invalid_client", member="errors.resource", values=("Application",)),
    ErrorRule("invalid_grant", member="errors.field", values=("refresh_token", "code")),
)
HUBSPOT = (ErrorRule("invalid_grant", member="status", values=("BAD_REFRESH_TOKEN",)),)
NOTION = (
    ErrorRule(
        "invalid_grant", member="code", values=("invalid_request",), grant_type="refresh_token"
    ),
    ErrorRule("invalid_client", status=401, member="code"),
)
WITHINGS = (
    ErrorRule("invalid_grant", member="status", values=(503,)),
    ErrorRule("slow_down", member="status", values=(601,)),
)
REDDIT = (
    ErrorRule("invalid_client", member="error", values=(401,)),
    ErrorRule("invalid_grant", status=400, grant_type="refresh_token"),
)

STRAVA_SAYS = {
    "message": "Bad Request",
    "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}],
}
STRAVA_CLIENT = {
    "message": "Bad Request",
    "errors": [
        {"resource": "Application", "field": "client_id", "code": "invalid"},
        {"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"},
    ],
}
PROVIDERS: list[tuple[str, tuple[ErrorRule, ...], HTTPResponse, type[ErrorResponse], str]] = [
    (
        "GitHub",
        GITHUB,
        answer(
            {
                "error": "bad_refresh_token",
                "error_description": "The refresh token passed is incorrect or expired.",
            },
            200,
        ),
        InvalidGrant,
        "invalid_grant: The refresh token passed is incorrect or expired. (HTTP 200)",
    ),
    (
        "GitHub, form",
        GITHUB,
        answer(
            b"error=bad_refresh_token&error_description=expired",
            200,
            "application/x-www-form-urlencoded; charset=utf-8",
        ),
        InvalidGrant,
        "invalid_grant: expired (HTTP 200)",
    ),
    (
        "GitHub, client",
        GITHUB,
        answer({"error": "incorrect_client_credentials"}, 200),
        InvalidClient,
        "invalid_client: incorrect_client_credentials (HTTP 200)",
    ),
    (
        "Slack",
        SLACK,
        answer({"ok": False, "error": "invalid_refresh_token"}, 200),
        InvalidGrant,
        "invalid_grant: invalid_refresh_token (HTTP 200)",
    ),
    (
        "Slack, rate",
        SLACK,
        answer({"ok": False, "error": "ratelimited"}, 200, retry_after="30"),
        ErrorResponse,
        "temporarily_unavailable: ratelimited (HTTP 200)",
    ),
    (
        "Atlassian",
        ATLASSIAN,
        answer(
            {"error": "unauthorized_client", "error_description": "refresh_token is invalid"}, 403
        ),
        InvalidGrant,
        "invalid_grant: refresh_token is invalid (HTTP 403)",
    ),
    (
        "X",
        X,
        answer(
            {
                "error": "invalid_request",
                "error_description": "Value passed for the token was invalid.",
            }
        ),
        InvalidGrant,
        "invalid_grant: Value passed for the token was invalid. (HTTP 400)",
    ),
    (
        "PayPal",
        PAYPAL,
        answer(
            {
                "error": "invalid_request",
                "error_description": "Unable to refresh access token",
            }
        ),
        InvalidGrant,
        "invalid_grant: Unable to refresh access token (HTTP 400)",
    ),
    (
        "PayPal, earlier",
        PAYPAL,
        answer({"error": "invalid_refresh_token"}, 401),
        InvalidGrant,
        "invalid_grant: invalid_refresh_token (HTTP 401)",
    ),
    (
        "Zoho",
        ZOHO,
        answer({"error": "invalid_code"}, 200),
        InvalidGrant,
        "invalid_grant: invalid_code (HTTP 200)",
    ),
    (
        "Zoho, rate",
        ZOHO,
        answer({"error": "Access Denied"}, 400),
        ErrorResponse,
        "slow_down: Access Denied (HTTP 400)",
    ),
    (
        "Strava",
        STRAVA,
        answer(STRAVA_SAYS),
        InvalidGrant,
        "invalid_grant: refresh_token (HTTP 400)",
    ),
    (
        "Strava, client",
        STRAVA,
        answer(STRAVA_CLIENT),
        InvalidClient,
        "invalid_client: Application (HTTP 400)",
    ),
    (
        "HubSpot v1",
        HUBSPOT,
        answer({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}),
        InvalidGrant,
        "invalid_grant: BAD_REFRESH_TOKEN (HTTP 400)",
    ),
    (
        "Notion",
        NOTION,
        answer({"object": "error", "status": 400, "code": "invalid_request", "message": "no"}),
        InvalidGrant,
        "invalid_grant: invalid_request (HTTP 400)",
    ),
    (
        "Withings",
        WITHINGS,
        answer({"status": 503, "error": "Invalid Params: invalid refresh_token"}, 200),
        InvalidGrant,
        "invalid_grant: 503 (HTTP 200)",
    ),
    (
        "Reddit",
        REDDIT,
        answer({"message": "Bad Request", "error": 400}),
        InvalidGrant,
        'invalid_grant: {"message": "Bad Request", "error": 400} (HTTP 400)',
    ),
    (
        "Reddit, client",
        REDDIT,
        answer({"message": "Unauthorized", "error": 401}, 401),
        InvalidClient,
        "invalid_client: 401 (HTTP 401)",
    ),
]


@pytest.mark.parametrize(
    "rules, response, kind, text",
    [case[1:] for case in PROVIDERS],
    ids=[case[0] for case in PROVIDERS],
)
def test_what_providers_answer_is_said_in_the_words_of_the_rfc(
    rules: tuple[ErrorRule, ...], response: HTTPResponse, kind: type[ErrorResponse], text: str
) -> None:
    error = refused(response, *rules)

    assert type(error) is kind
    assert str(error) == text
    assert error.recovery is kind(text.partition(":")[0]).recovery


@pytest.mark.parametrize(
    "rules, response",
    [(case[1], case[2]) for case in PROVIDERS],
    ids=[case[0] for case in PROVIDERS],
)
def test_no_rule_of_a_provider_refuses_a_token(
    rules: tuple[ErrorRule, ...], response: HTTPResponse
) -> None:
    token: dict[str, Any] = {**GOOD, "status": 0, "ok": True, "scope": "read", "errors": []}
    server = AuthorizationServer(ENDPOINT, errors=rules)

    found = parse_token_response(
        server, answer(token, 200), requested_at=0.0, grant_type="refresh_token"
    )
    assert found.access_token == "a"


def test_a_rule_for_one_grant_is_for_no_other() -> None:
    """At PayPal, access_denied is a bad code; at Atlassian, 403 may be about the client."""
    denied = answer({"error": "access_denied"})
    unauthorized = answer({"error": "unauthorized_client"}, 403)

    assert type(refused(denied, *PAYPAL, grant_type="authorization_code")) is InvalidGrant
    assert type(refused(denied, *PAYPAL)) is AccessDenied
    for grant_type in ("client_credentials", None):
        assert type(refused(unauthorized, *ATLASSIAN, grant_type=grant_type)) is ErrorResponse


# When a rule fits


@pytest.mark.parametrize(
    "member, body",
    [
        ("error", {"error": "x"}),
        ("error.code", {"error": {"code": "x"}}),
        ("error.code", {"error": [{"code": "x"}]}),
        ("error.code", {"error": [{"other": 1}, "text", None, {"code": "x"}]}),
        ("error.code", {"error": {"code": ["y", "x"]}}),
        ("error.code", {"error.code": "x"}),
        ("error.code", {"error": {"code": [["x"]]}}),
        ("a.b.c", {"a": {"b.c": "x"}}),
        ("a.b.c", {"a": {"b": {"c": "x"}}}),
        ("fehlerschlüssel", {"fehlerschlüssel": "x"}),
    ],
    ids=repr,
)
def test_a_member_is_found_within_objects_and_lists(member: str, body: Mapping[str, Any]) -> None:
    rule = ErrorRule("invalid_grant", member=member, values=("y", "x"))

    assert isinstance(refused(answer(body), rule), InvalidGrant)


@pytest.mark.parametrize(
    "member, body",
    [
        ("error", {}),
        ("error", {"other": "x"}),
        ("error", {"error": "X"}),
        ("error", {"error": " x"}),
        ("error", {"error": {"x": "x"}}),
        ("error", {"error": None}),
        ("error", {"error": []}),
        ("error.code", {"error": "x"}),
        ("error.code", {"error": {"codes": "x"}}),
        ("error.code", {"error": [["x"]]}),
        ("error.", {"error": "x"}),
        (".error", {"error": "x"}),
    ],
    ids=repr,
)
def test_a_member_that_is_not_there_or_is_another_fits_no_rule(
    member: str, body: Mapping[str, Any]
) -> None:
    rule = ErrorRule("invalid_grant", member=member, values=("x",))

    assert not isinstance(refused(answer(body), rule), InvalidGrant)


@pytest.mark.parametrize(
    "expected, came",
    [
        (503, 503),
        (503, "503"),
        ("503", 503),
        (503, 503.0),
        (503.0, 503),
        (0.5, 0.5),
        (False, False),
        (True, "true"),
        ("false", False),
        (10**400, 10**400),
        (-1, -1),
    ],
    ids=repr,
)
def test_a_number_may_come_as_text_and_a_boolean_as_its_word(expected: Any, came: object) -> None:
    rule = ErrorRule("invalid_grant", member="status", values=(expected,))

    assert isinstance(refused(answer({"status": came}), rule), InvalidGrant)


@pytest.mark.parametrize(
    "expected, came",
    [(1, True), (0, False), (0, None), ("", None), (1, "one"), (503, "503 "), (0.5, 0)],
    ids=repr,
)
def test_what_is_of_another_kind_is_not_equal(expected: Any, came: object) -> None:
    rule = ErrorRule("invalid_grant", member="status", values=(expected,))

    assert not isinstance(refused(answer({"status": came}), rule), InvalidGrant)


@pytest.mark.parametrize("there", ["x", 1, True, {"a": 1}, ["a"], [{}, {"a": 1}], "0"], ids=repr)
def test_a_rule_without_values_takes_any_that_is_there(there: object) -> None:
    rule = ErrorRule("invalid_grant", member="fault")

    assert isinstance(refused(answer({**GOOD, "fault": there}, 200), rule), InvalidGrant)


@pytest.mark.parametrize("absent", [None, "", 0, False, [], {}, [None, "", {}]], ids=repr)
def test_null_and_what_is_empty_are_not_there(absent: object) -> None:
    server = AuthorizationServer(ENDPOINT, errors=[ErrorRule("invalid_grant", member="fault")])

    token = parse_token_response(
        server, answer({**GOOD, "fault": absent}, 200), requested_at=0.0, grant_type="password"
    )
    assert token.access_token == "a"


def test_the_first_rule_that_fits_decides() -> None:
    rules = (
        ErrorRule("invalid_scope", member="error", values=("other",)),
        ErrorRule("invalid_grant", status=401, member="error"),
        ErrorRule("access_denied", status=400, member="error", grant_type="password"),
        ErrorRule("invalid_client", status=400, member="error"),
        ErrorRule("invalid_grant", status=400),
    )

    assert isinstance(refused(answer({"error": "x"}), *rules), InvalidClient)
    assert isinstance(refused(answer({"error": "x"}), *rules, grant_type="password"), AccessDenied)
    assert isinstance(refused(answer({}), *rules), InvalidGrant)


def test_a_rule_decides_before_the_name_that_came() -> None:
    rule = ErrorRule("invalid_grant", status=401)

    assert type(refused(answer({"error": "invalid_request"}, 401), rule)) is InvalidGrant


@pytest.mark.parametrize(
    "body, kind, told",
    [
        (b"", "", None),
        (b"", "application/json", None),
        (b"<html>Forbidden</html>", "text/html", "<html>Forbidden</html>"),
        (b"{", "application/json", "{"),
        (b"[]", "application/json", "[]"),
        (b"\xff", "text/plain", "�"),
        (b"no refresh token", "text/plain", "no refresh token"),
    ],
)
@pytest.mark.parametrize("status", [203, 400, 403, 422, 500, 503, 599, 429])
def test_a_body_that_says_nothing_is_known_by_its_status(
    body: bytes, kind: str, told: str | None, status: int
) -> None:
    error = refused(
        answer(body, status, kind), ErrorRule("invalid_grant", status=status, grant_type=None)
    )

    assert isinstance(error, InvalidGrant)
    assert (error.status_code, error.error_description) == (status, told)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_busy_server_is_believed_only_where_a_rule_names_the_status(status: int) -> None:
    body = answer({"error": "invalid_grant"}, status, retry_after="7")
    unnamed = ErrorRule("invalid_grant", member="error")
    named = ErrorRule("invalid_grant", status=status, member="error")

    later = refused(body, unnamed)
    assert (type(later), later.recovery, later.retry_after) == (
        ResponseError,
        Recovery.RETRY_LATER,
        7.0,
    )
    assert isinstance(refused(body, unnamed, named), InvalidGrant)


@pytest.mark.parametrize("status", [300, 302, 307, 399])
def test_a_redirect_fits_no_rule(status: int) -> None:
    rules = (ErrorRule("invalid_grant", member="error"), ErrorRule("invalid_grant", status=400))

    error = refused(answer({"error": "x"}, status), *rules)
    assert isinstance(error, ResponseError)
    assert "redirect" in str(error)


# What becomes of it


@pytest.mark.parametrize(
    "name, kind, recovery",
    [
        ("invalid_grant", InvalidGrant, Recovery.REAUTHORIZE),
        ("invalid_client", InvalidClient, Recovery.CHANGE_REQUEST),
        ("access_denied", AccessDenied, Recovery.REAUTHORIZE),
        ("invalid_scope", ErrorResponse, Recovery.CHANGE_REQUEST),
        ("temporarily_unavailable", ErrorResponse, Recovery.RETRY_LATER),
        ("slow_down", ErrorResponse, Recovery.RETRY_LATER),
        ("interaction_required", ErrorResponse, Recovery.REAUTHORIZE),
        ("x_unheard_of", ErrorResponse, Recovery.CHANGE_REQUEST),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401])
def test_the_error_is_of_the_class_that_its_name_gives(
    name: str, kind: type[ErrorResponse], recovery: Recovery, status: int
) -> None:
    error = refused(
        answer({"error": "theirs"}, status, retry_after="9", www_authenticate="Basic"),
        ErrorRule(name, member="error"),
    )

    assert type(error) is kind
    assert isinstance(error, ErrorResponse)
    assert (error.error, error.error_description, error.recovery) == (name, "theirs", recovery)
    assert (error.status_code, error.www_authenticate) == (status, ("Basic",))
    assert error.retry_after == (9.0 if recovery is Recovery.RETRY_LATER else None)


def test_a_pause_comes_with_the_rfcs_own_name_too() -> None:
    error = refused(answer({"error": "slow_down"}, retry_after="9"))

    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 9.0)
    assert refused(answer({"error": "invalid_grant"}, retry_after="9")).retry_after is None


def test_the_servers_own_description_and_page_are_kept() -> None:
    body = {"fault": "x", "error_description": "Expired", "error_uri": "https://auth.example/e"}

    error = refused(answer(body), ErrorRule("invalid_grant", member="fault"))
    assert str(error) == "invalid_grant: Expired <https://auth.example/e> (HTTP 400)"


def test_an_adapter_gives_the_description_its_name_and_not_the_error() -> None:
    adapt = rename_fields({"fault.text": "error_description", "fault.code": "error"})
    body = {"fault": {"text": "Expired", "code": "invalid_scope"}}

    error = refused(answer(body), ErrorRule("invalid_grant", member="fault"), adapt=adapt)
    assert str(error) == "invalid_grant: Expired (HTTP 400)"


def test_an_adapter_that_fails_on_a_refusal_does_not_hide_it() -> None:
    def adapt(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"access_token": fields["data"]["token"]}

    error = refused(answer({"fault": "x"}), ErrorRule("invalid_grant", member="fault"), adapt=adapt)
    assert str(error) == "invalid_grant: x (HTTP 400)"


@pytest.mark.parametrize(
    "body, kind",
    [
        (b'{"fault":"wrong: canary pass, canary%20pass"}', JSON_TYPE),
        (b'{"fault":1,"error_description":"canary pass","error_uri":"/canary%20pass"}', JSON_TYPE),
        (b"<b>canary pass</b>", "text/html"),
    ],
)
def test_a_secret_that_the_server_echoes_is_masked(body: bytes, kind: str) -> None:
    """AT-70."""
    rules = (ErrorRule("invalid_grant", member="fault"), ErrorRule("invalid_grant", status=400))

    error = refused(answer(body, 400, kind), *rules, secrets=["canary pass"])
    assert isinstance(error, InvalidGrant)
    assert "canary" not in f"{vars(error)}{error}{error!r}"


def test_what_a_rule_found_is_bounded_and_printed_on_one_line() -> None:
    error = refused(
        answer({"fault": "a\r\n\x1b[31m" + "b" * 99_999}), ErrorRule("x", member="fault")
    )

    assert isinstance(error, ErrorResponse)
    assert len(error.error_description or "") < 5_000
    assert "\n" not in str(error)
    assert len(str(error)) < 1_000


def test_what_a_rule_found_is_not_printed_with_it() -> None:
    from oauthkit.protocol.refusals import Match

    assert "canary" not in repr(Match(ErrorRule("x", status=400), found="canary"))


# What is no rule


NO_RULES: list[tuple[dict[str, Any], str]] = [
    ({}, "neither status= nor member="),
    ({"grant_type": "refresh_token"}, "neither status= nor member="),
    ({"error": "", "status": 400}, "error="),
    ({"error": None, "status": 400}, "error="),
    ({"error": "a\nb", "status": 400}, "error="),
    ({"member": ""}, "member="),
    ({"member": 5}, "member="),
    ({"status": 400, "grant_type": ""}, "grant_type="),
    ({"status": 400, "grant_type": 5}, "grant_type="),
    ({"status": 100}, "status="),
    ({"status": 302}, "redirect"),
    ({"status": 307, "member": "error"}, "redirect"),
    ({"status": 600}, "status="),
    ({"status": "400"}, "status="),
    ({"status": [400]}, "status="),
    ({"status": 400, "values": ("x",)}, "by member="),
    ({"status": 200}, "every token"),
    ({"member": "error", "values": "x"}, "several texts or numbers"),
    ({"member": "error", "values": 5}, "several texts or numbers"),
    ({"member": "error", "values": (None,)}, "texts, numbers"),
    ({"member": "error", "values": ({},)}, "texts, numbers"),
]


@pytest.mark.parametrize("settings, problem", NO_RULES, ids=repr)
def test_a_rule_that_cannot_work_is_found_at_once(settings: dict[str, Any], problem: str) -> None:
    given: dict[str, Any] = {"error": "invalid_grant", **settings}

    with pytest.raises(ConfigurationError, match=problem):
        ErrorRule(**given)


@pytest.mark.parametrize(
    "errors", ["invalid_grant", [None], 5, None, ErrorRule("x", status=400)], ids=repr
)
def test_a_server_takes_rules_and_nothing_else(errors: Any) -> None:
    with pytest.raises(ConfigurationError, match="errors= takes rules"):
        AuthorizationServer(ENDPOINT, errors=errors)


def test_rules_are_values() -> None:
    rule = ErrorRule("invalid_grant", member="error", values=["a", 1])

    assert rule == ErrorRule("invalid_grant", member="error", values=("a", 1))
    assert AuthorizationServer(ENDPOINT, errors=[rule]).errors == (rule,)
    assert hash(rule)


# Whether it says that the right is dead


def by_name(name: str, status: int | None, **details: Any) -> ErrorResponse:
    kinds = {
        "invalid_grant": InvalidGrant,
        "invalid_client": InvalidClient,
        "access_denied": AccessDenied,
    }
    return kinds.get(name, ErrorResponse)(name, status_code=status, **details)


def in_other_words(status: int | None, **details: Any) -> ResponseError:
    return ResponseError("refused", status_code=status, **details)


ABOUT_THE_RIGHT: list[OAuthKitError] = [
    by_name("invalid_grant", 400),
    by_name("invalid_grant", 200),
    by_name("invalid_grant", 401),
    by_name("invalid_grant", 403),
    by_name("invalid_grant", None),
    by_name("invalid_grant", 503),
    by_name("invalid_request", 400),
    by_name("access_denied", 400),
    by_name("interaction_required", 400),
    by_name("consent_required", 403),
    by_name("bad_refresh_token", 400),
    by_name("x_unheard_of", 403),
    by_name("", 422),
    *(in_other_words(status) for status in (400, 402, 403, 409, 410, 412, 418, 422, 451, 499)),
]
NOT_ABOUT_IT: list[OAuthKitError] = [
    # the client
    by_name("invalid_client", 400),
    by_name("invalid_client", 401),
    by_name("invalid_client", 403),
    by_name("unauthorized_client", 400),
    by_name("unauthorized_client", 403),
    InvalidClient("invalid_request", status_code=401),
    by_name("x_unheard_of", 401),
    in_other_words(401),
    # the way there
    *(in_other_words(status) for status in (404, 407, 421)),
    by_name("x_unheard_of", 404),
    # the form of the request
    *(in_other_words(status) for status in (405, 406, 411, 413, 414, 415, 426, 431)),
    by_name("unsupported_grant_type", 400),
    by_name("unsupported_response_type", 400),
    by_name("invalid_scope", 400),
    by_name("invalid_target", 400),
    by_name("invalid_dpop_proof", 400),
    by_name("use_dpop_nonce", 400),
    # the moment
    *(in_other_words(status) for status in (408, 425, 429)),
    by_name("slow_down", 400),
    by_name("temporarily_unavailable", 400),
    by_name("server_error", 400),
    by_name("x_unheard_of", 429),
    by_name("x_unheard_of", 400, recovery=Recovery.RETRY_LATER),
    in_other_words(400, recovery=Recovery.RETRY_LATER),
    # no refusal at all
    *(in_other_words(status) for status in (None, 100, 200, 204, 302, 307, 500, 503, 599)),
    by_name("x_unheard_of", 200),
    by_name("invalid_request", 200),
    by_name("access_denied", None),
    by_name("x_unheard_of", 500),
    # and what no authorization server said
    CallbackError("another state"),
    TransportError("cut"),
    ConfigurationError("no secret"),
    StoreError("away"),
    ReauthorizationRequired("nothing left"),
    EndpointError("an API's", status_code=400),
    OAuthKitError("else"),
]


def shown(error: OAuthKitError) -> str:
    status = getattr(error, "status_code", "")
    return f"{type(error).__name__}-{error.args[0]}-{status}-{error.recovery}"


@pytest.mark.parametrize("error", ABOUT_THE_RIGHT, ids=shown)
def test_a_final_refusal_of_a_refresh_says_that_the_right_is_dead(error: OAuthKitError) -> None:
    assert refuses_right(error)


@pytest.mark.parametrize("error", NOT_ABOUT_IT, ids=shown)
def test_a_refusal_that_is_about_something_else_leaves_the_right_alive(
    error: OAuthKitError,
) -> None:
    assert not refuses_right(error)


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "body, kind",
    [
        (b"", ""),
        (b"Forbidden", "text/plain"),
        (b'{"message":"no"}', JSON_TYPE),
        (b'{"error":400}', JSON_TYPE),
        (b'{"error":"invalid_request"}', JSON_TYPE),
        (b'{"error":"bad_refresh_token"}', JSON_TYPE),
    ],
)
def test_what_servers_answer_for_a_dead_refresh_token_is_known_as_that(
    body: bytes, kind: str, status: int
) -> None:
    assert refuses_right(refused(answer(body, status, kind)))


@pytest.mark.parametrize("status", [400, 402, 403, 409, 418, 451])
@pytest.mark.parametrize("kind", ["text/html", "text/plain", ""])
@pytest.mark.parametrize(
    "body", [b"<html>Forbidden</html>", b"\r\n<!DOCTYPE html>\n<title>Just a moment</title>"]
)
def test_a_page_of_a_firewall_is_no_answer_of_the_server(
    body: bytes, kind: str, status: int
) -> None:
    assert not refuses_right(refused(answer(body, status, kind)))


@pytest.mark.parametrize(
    "body, status",
    [
        (b'{"error":"bad_refresh_token"}', 200),
        (b'{"error":"invalid_grant"}', 503),
        (b'{"error":"invalid_request"}', 401),
        (b'{"error":"unauthorized_client"}', 403),
        (b"", 404),
        (b"", 500),
    ],
)
def test_a_wrong_guess_would_lose_a_login(body: bytes, status: int) -> None:
    """So an unknown word with status 200 needs an `ErrorRule` to be believed."""
    assert not refuses_right(refused(answer(body, status)))
