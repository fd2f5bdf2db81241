"""What a Logout Token has to say before a visit is ended (OpenID Back-Channel Logout 1.0 §2.4)."""

from typing import Any

import pytest

from oauthkit import InvalidJWT, LogoutToken
from oauthkit.protocol.id_token import LEEWAY, LOGOUT_EVENT, Expected
from oauthkit.protocol.logout_token import check_logout_token
from tests.tokens import token_of

NOW = 1_700_000_000.0
ISSUER = "https://auth.example"
EXPECTED = Expected(is_issuer=ISSUER.__eq__, issuer=ISSUER, client_id="client")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "client",
    "iat": NOW,
    "exp": NOW + 120,
    "jti": "token-1",
    "sub": "ada",
    "events": {LOGOUT_EVENT: {}},
}


def checked(*, kind: str | None = "logout+jwt", **changed: Any) -> LogoutToken:
    """Check the claims with some changed; `...` leaves one out."""
    claims = {name: v for name, v in {**CLAIMS, **changed}.items() if v is not ...}
    return check_logout_token(token_of(claims, header={"typ": kind}), EXPECTED, now=NOW)


@pytest.mark.parametrize("kind", ["logout+jwt", "application/logout+jwt", None, "JWT"])
def test_a_logout_token_says_whose_visits_are_over(kind: str | None) -> None:
    """BL-02, BL-07."""
    assert checked(kind=kind, sid="session-1") == LogoutToken(
        issuer=ISSUER,
        subject="ada",
        session_id="session-1",
        token_id="token-1",
        expires_at=NOW + 120,
    )


@pytest.mark.parametrize("kind", ["at+jwt", "secevent+jwt", "id_token+jwt", ""])
def test_another_kind_of_token_is_no_logout_token(kind: str) -> None:
    """BL-07, JO-16."""
    with pytest.raises(InvalidJWT, match="it is another kind of token"):
        checked(kind=kind)


def test_a_subject_or_a_session_is_enough() -> None:
    """BL-02."""
    assert checked().session_id is None
    assert checked(sub=..., sid="session-1").subject is None
    assert checked(sub=None, sid="session-1").session_id == "session-1"


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"nonce": "nonce-1"}, "it has a nonce"),
        ({"nonce": None}, "it has a nonce"),
        ({"events": ...}, "its events have no object"),
        ({"events": {}}, "its events have no object"),
        ({"events": LOGOUT_EVENT}, "its events have no object"),
        ({"events": [LOGOUT_EVENT]}, "its events have no object"),
        ({"events": {LOGOUT_EVENT: None}}, "its events have no object"),
        ({"events": {LOGOUT_EVENT: True}}, "its events have no object"),
        ({"events": {"http://schemas.openid.net/event/foobar": {}}}, "its events have no object"),
        ({"iss": f"{ISSUER}1"}, "its issuer"),
        ({"iss": ...}, "its issuer"),
        ({"aud": "client1"}, "its audience"),
        ({"aud": ...}, "its audience"),
        ({"iat": ...}, "its iat must be a number"),
        ({"iat": NOW + LEEWAY + 1}, "ahead"),
        ({"exp": ...}, "its exp must be a number"),
        ({"exp": NOW - LEEWAY}, "it has ended"),
        ({"sub": ...}, "neither a subject nor a session"),
        ({"sub": ""}, "its sub must be a text that is not empty"),
        ({"sub": 7}, "its sub must be a text that is not empty"),
        ({"sid": ["a"]}, "its sid must be a text that is not empty"),
        ({"jti": ...}, "it has no jti"),
        ({"jti": 7}, "its jti must be a text that is not empty"),
    ],
    ids=str,
)
def test_what_is_no_logout_token_ends_no_visit(changed: dict[str, Any], message: str) -> None:
    """BL-03, BL-04, BL-05, BL-06, AT-84."""
    with pytest.raises(InvalidJWT, match=message):
        checked(**changed)


def test_an_id_token_ends_no_visit() -> None:
    """BL-09: it has no event, and a nonce."""
    with pytest.raises(InvalidJWT, match="its events have no object"):
        checked(kind="JWT", events=..., nonce="nonce-1")
    with pytest.raises(InvalidJWT, match="its payload is no JSON object"):
        check_logout_token(token_of("[]"), EXPECTED, now=NOW)
