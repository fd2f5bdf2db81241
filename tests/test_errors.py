import copy
import pickle
import re

import pytest

import oauthkit.errors
from oauthkit.errors import (
    AccessDenied,
    CallbackError,
    ConfigurationError,
    EndpointError,
    ErrorResponse,
    InteractionRequired,
    InvalidClient,
    InvalidGrant,
    InvalidJWT,
    LeaseLost,
    LeaseTaken,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    StoreError,
    TransportError,
    UnmetRequirements,
    printable,
)

EVERY = [
    kind
    for kind in vars(oauthkit.errors).values()
    if isinstance(kind, type) and issubclass(kind, OAuthKitError)
]


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+) ", oauthkit.errors.__doc__ or "", re.MULTILINE)[1:]

    assert drawn == [
        "OAuthKitError",
        "ConfigurationError",
        "TransportError",
        "ResponseError",
        "CallbackError",
        "InvalidJWT",
        "ErrorResponse",
        "InvalidClient",
        "InvalidGrant",
        "AccessDenied",
        "InteractionRequired",
        "UnmetRequirements",
        "ReauthorizationRequired",
        "EndpointError",
        "StoreError",
        "LeaseLost",
        "LeaseTaken",
    ]
    assert {kind.__name__ for kind in EVERY} == set(drawn)


@pytest.mark.parametrize(
    "kind, parent, recovery",
    [
        (OAuthKitError, Exception, Recovery.CHANGE_REQUEST),
        (ConfigurationError, ValueError, Recovery.CHANGE_REQUEST),
        (TransportError, OAuthKitError, Recovery.RETRY_LATER),
        (ResponseError, OAuthKitError, Recovery.CHANGE_REQUEST),
        (CallbackError, ResponseError, Recovery.REAUTHORIZE),
        (InvalidJWT, ResponseError, Recovery.REAUTHORIZE),
        (ErrorResponse, OAuthKitError, Recovery.CHANGE_REQUEST),
        (InvalidClient, ErrorResponse, Recovery.CHANGE_REQUEST),
        (InvalidGrant, ErrorResponse, Recovery.REAUTHORIZE),
        (AccessDenied, ErrorResponse, Recovery.REAUTHORIZE),
        (InteractionRequired, ErrorResponse, Recovery.REAUTHORIZE),
        (UnmetRequirements, ErrorResponse, Recovery.CHANGE_REQUEST),
        (ReauthorizationRequired, OAuthKitError, Recovery.REAUTHORIZE),
        (EndpointError, OAuthKitError, Recovery.CHANGE_REQUEST),
        (StoreError, OAuthKitError, Recovery.RETRY_LATER),
        (LeaseLost, StoreError, Recovery.RETRY_LATER),
        (LeaseTaken, StoreError, Recovery.RETRY_LATER),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_every_error_says_what_to_do(
    kind: type[OAuthKitError], parent: type[Exception], recovery: Recovery
) -> None:
    assert issubclass(kind, parent)
    assert kind("what happened").recovery is recovery
    assert kind("what happened").retry_after is None


def test_one_error_may_say_otherwise_than_its_class() -> None:
    error = ResponseError("busy", recovery=Recovery.RETRY_LATER, retry_after=5.0)

    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 5.0)
    assert ResponseError("other").recovery is Recovery.CHANGE_REQUEST


@pytest.mark.parametrize(
    "code, recovery",
    [
        ("temporarily_unavailable", Recovery.RETRY_LATER),
        ("server_error", Recovery.RETRY_LATER),
        ("slow_down", Recovery.RETRY_LATER),
        ("login_required", Recovery.REAUTHORIZE),
        ("interaction_required", Recovery.REAUTHORIZE),
        ("consent_required", Recovery.REAUTHORIZE),
        ("account_selection_required", Recovery.REAUTHORIZE),
        ("invalid_request", Recovery.CHANGE_REQUEST),
    ],
)
def test_the_code_of_the_server_says_what_to_do(code: str, recovery: Recovery) -> None:
    assert ErrorResponse(code).recovery is recovery
    assert ErrorResponse(code, recovery=Recovery.RETRY_LATER).recovery is Recovery.RETRY_LATER


def test_a_transport_error_says_whether_the_server_may_have_seen_it() -> None:
    assert TransportError("cut").sent
    assert not TransportError("refused", sent=False).sent


@pytest.mark.parametrize(
    "error, text",
    [
        (OAuthKitError(), ""),
        (OAuthKitError("plain"), "plain"),
        (ResponseError("odd"), "odd"),
        (ResponseError("odd", status_code=200, excerpt="<html>"), "odd (HTTP 200): <html>"),
        (ResponseError("odd", excerpt="x"), "odd: x"),
        (EndpointError("odd", status_code=500), "odd (HTTP 500)"),
        (EndpointError("odd", status_code=500, excerpt="x"), "odd (HTTP 500): x"),
        (ErrorResponse("invalid_scope"), "invalid_scope"),
        (
            InvalidGrant("invalid_grant", "Expired", "https://a.example/e", status_code=400),
            "invalid_grant: Expired <https://a.example/e> (HTTP 400)",
        ),
        (ErrorResponse("a\r\nb", "\x1b[31m", "\u202e"), "a\\x0d\\x0ab: \\x1b[31m <\\u202e>"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_error_prints_on_one_line(error: OAuthKitError, text: str) -> None:
    """O2-44, AT-65, AT-66: what came from outside is escaped."""
    assert str(error) == text


def test_an_error_response_keeps_what_came_as_it_came() -> None:
    """O2-19, O2-33."""
    error = ErrorResponse(
        "e", "<script>", "uri", status_code=401, www_authenticate=iter(["Basic", "Bearer"])
    )

    assert (error.error, error.error_description, error.error_uri) == ("e", "<script>", "uri")
    assert (error.status_code, error.www_authenticate) == (401, ("Basic", "Bearer"))


def test_an_endpoint_error_tells_the_needed_scope() -> None:
    """BT-10."""
    error = EndpointError("refused", status_code=403, required_scope="admin")

    assert error.required_scope == "admin"


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_the_text_of_an_error_is_one_line_of_bounded_length(kind: type[OAuthKitError]) -> None:
    """A key of a user's, or a header of a server's, may stand in it."""
    error = kind("a key\x1b\n" + "k" * 900_000)
    if isinstance(error, ResponseError | EndpointError):
        error.excerpt = "e\n" * 900_000

    assert str(error).startswith("a key\\x1b\\x0ak")
    assert str(error).isprintable()
    assert len(str(error)) < 10_000
    assert error.args[0].endswith("k" * 900_000)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_can_cross_processes(kind: type[OAuthKitError]) -> None:
    error = kind("what happened")
    error.retry_after = 5.0

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert type(twin) is kind
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("", ""),
        ("plain äöü 漢字 😀", "plain äöü 漢字 😀"),
        ("a\r\n\tb", "a\\x0d\\x0a\\x09b"),
        ("\x00\x1b\x7f\x9b", "\\x00\\x1b\\x7f\\x9b"),
        ("\u200e\u202e\u2066\ufeff\xad", "\\u200e\\u202e\\u2066\\ufeff\\xad"),
        ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"),
        ("\ud800\U000e0041\ue000", "\\ud800\\U000e0041\\ue000"),
        ("\\x1b", "\\x1b"),
    ],
    ids=ascii,
)
def test_untrusted_text_is_printed_without_control_and_direction(text: str, shown: str) -> None:
    """O2-44, AT-65."""
    assert printable(text) == shown


def test_untrusted_text_is_printed_bounded() -> None:
    assert printable("a" * 300) == "a" * 300
    assert printable("a" * 301) == "a" * 300 + "…"
    assert printable("abc", 2) == "ab…"
