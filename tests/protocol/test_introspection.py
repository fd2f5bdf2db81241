import json
from typing import Any

import pytest

from oauthkit.errors import ConfigurationError, ErrorResponse, ResponseError
from oauthkit.protocol.client_auth import Authentication
from oauthkit.protocol.introspection import (
    Introspection,
    build_introspection_request,
    parse_introspection_response,
)
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.server import AuthorizationServer

SERVER = AuthorizationServer(
    "https://auth.example/token", introspection_endpoint="https://auth.example/introspect?v=2"
)
NOW = 1_700_000_000.0
# RFC 7662 §2.2
PUBLISHED = {
    "active": True,
    "client_id": "l238j323ds-23ij4",
    "username": "jdoe",
    "scope": "read write dolphin",
    "sub": "Z5O3upPC88QrAjx00dis",
    "aud": "https://protected.example.net/resource",
    "iss": "https://server.example.com/",
    "exp": 1419356238,
    "iat": 1419350238,
    "extension_field": "twenty-seven",
}


def read(
    fields: object, *, status: int = 200, kind: str = "application/json", raw: bytes | None = None
) -> Introspection:
    content = json.dumps(fields).encode() if raw is None else raw
    response = HTTPResponse(status, {"content-type": kind}, content)
    return parse_introspection_response(
        SERVER, response, requested_at=NOW, secrets={"the-shown-token"}
    )


def refusal(fields: object, **settings: Any) -> ResponseError:
    with pytest.raises(ResponseError) as caught:
        read(fields, **settings)
    return caught.value


def test_the_published_answer_is_read_whole() -> None:
    said = read(PUBLISHED)

    assert said == Introspection(
        active=True,
        client_id="l238j323ds-23ij4",
        username="jdoe",
        scope="read write dolphin",
        subject="Z5O3upPC88QrAjx00dis",
        audience=("https://protected.example.net/resource",),
        issuer="https://server.example.com/",
        expires_at=1419356238.0,
        issued_at=1419350238.0,
        claims=PUBLISHED,
    )
    assert said.claims["extension_field"] == "twenty-seven"
    assert "jdoe" not in repr(said.claims)


def test_the_other_members_have_names_too() -> None:
    members = {"nbf": 7.5, "jti": "n-1", "token_type": "DPoP", "aud": ["a", "b"], "scope": None}
    said = read({"active": True, **members})

    assert (said.not_before, said.token_id, said.token_type) == (7.5, "n-1", "DPoP")
    assert (said.audience, said.scope) == (("a", "b"), None)


@pytest.mark.parametrize("active", ["true", "false", 1, 0, None, [True], {"active": True}])
def test_only_true_and_false_say_whether_a_token_is_active(active: object) -> None:
    """IN-02."""
    assert "active must be true or false" in str(refusal({**PUBLISHED, "active": active}))


@pytest.mark.parametrize("raw, kind", [(b"active=true", "application/x-www-form-urlencoded")])
def test_a_form_says_it_in_words_and_that_is_not_enough(raw: bytes, kind: str) -> None:
    """IN-02."""
    assert "active must be true or false" in str(refusal(None, raw=raw, kind=kind))


def test_an_answer_without_it_lets_nobody_in() -> None:
    """IN-02."""
    assert "missing or null" in str(refusal({"scope": "read"}))


def test_of_a_token_that_is_not_active_nothing_else_is_shown() -> None:
    """IN-03."""
    said = read({**PUBLISHED, "active": False, "exp": "soon", "cnf": 7})

    assert said == Introspection(active=False)
    assert not said.claims


@pytest.mark.parametrize(
    "confirmation",
    [{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "bwcK0esc3ACC3DB2Y5"}],
)
def test_what_a_bearer_must_prove_is_shown(confirmation: dict[str, str]) -> None:
    """IN-04."""
    said = read({"active": True, "cnf": confirmation})

    assert said.confirmation == confirmation


@pytest.mark.parametrize(
    "name, value",
    [
        ("exp", "1419356238"),
        ("exp", True),
        ("exp", 1e300),
        ("iat", []),
        ("sub", 7),
        ("aud", ["a", 7]),
        ("aud", {}),
        ("scope", 7),
        ("cnf", "jkt"),
    ],
)
def test_a_member_of_another_kind_is_an_error_that_names_it(name: str, value: object) -> None:
    assert f"{name} must be" in str(refusal({**PUBLISHED, name: value}))


def test_a_scope_may_come_as_a_list_or_be_empty() -> None:
    assert read({"active": True, "scope": ["read", "write"]}).scope == "read write"
    assert read({"active": True, "scope": ""}).scope is None


def test_a_signed_answer_is_refused_by_its_name() -> None:
    error = refusal(None, raw=b"eyJ.eyJ.sig", kind="application/token-introspection+jwt; a=b")

    assert "the answer is signed (RFC 9701)" in str(error)
    assert "eyJ" not in str(error)


def test_what_cannot_be_read_is_an_error() -> None:
    assert "cannot be read" in str(refusal(None, raw=b"<html>hello</html>", kind="text/html"))


def test_a_member_that_stands_there_twice_is_refused() -> None:
    """AT-54."""
    assert "twice" in str(refusal(None, raw=b'{"active": false, "active": true}'))


def test_a_refusal_is_the_servers_no() -> None:
    with pytest.raises(ErrorResponse, match="invalid_request"):
        read({"error": "invalid_request"}, status=400)


def test_no_error_shows_the_token() -> None:
    error = refusal({"active": "the-shown-token"})

    assert "the-shown-token" not in f"{error}{error!r}{vars(error)}"


def test_who_is_known_by_a_token_has_it_in_the_header() -> None:
    """IN-01."""
    request = build_introspection_request(
        SERVER, "t", "access_token", Authentication(), access_token="own-token"
    )

    assert request.url == "https://auth.example/introspect?v=2"
    assert request.headers["authorization"] == "Bearer own-token"
    assert request.content == b"token=t&token_type_hint=access_token"
    assert {"t", "own-token"} <= request.secrets


@pytest.mark.parametrize("text", ["", "two words", "line\r\nbreak", "schlüssel"])
def test_a_token_that_fits_into_no_header_is_refused(text: str) -> None:
    """AT-63."""
    with pytest.raises(ConfigurationError, match="no header may carry"):
        build_introspection_request(SERVER, "t", None, Authentication(), access_token=text)


def test_a_server_without_the_endpoint_is_told() -> None:
    with pytest.raises(ConfigurationError, match="names no introspection_endpoint"):
        build_introspection_request(
            AuthorizationServer("https://a.example/token"), "t", None, Authentication()
        )
