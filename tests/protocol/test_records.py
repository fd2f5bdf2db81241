"""The records of tokens and logins: versions, members of later ones, and other libraries' dicts."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import pytest

from oauthkit import AuthorizationRequest, AuthorizationServer, ConfigurationError, Token
from oauthkit.protocol.expiry import LONGEST_LIFE
from oauthkit.protocol.secret import secret
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.testing import FakeAuthorizationServer

SERVER: Final = AuthorizationServer(
    "https://auth.example/token", authorization_endpoint="https://auth.example/authorize"
)
NOW: Final = 1_700_000_000.0
TOKEN: Final = Token(
    "a",
    expires_at=NOW,
    refresh_token="r",
    issuer="https://auth.example",
    token_endpoint="https://auth.example/token",
    client_id="app",
)
LOGIN: Final = AuthorizationRequest.new(SERVER, "app", redirect_uri="https://app.example/callback")

READ: Final[Mapping[str, tuple[Any, Callable[[Any], Any]]]] = {
    "token": (TOKEN, Token.from_dict),
    "login": (LOGIN, AuthorizationRequest.from_dict),
}
BOTH: Final = pytest.mark.parametrize("kept, read", READ.values(), ids=READ.keys())


@BOTH
def test_a_record_says_its_version_and_comes_back(kept: Any, read: Callable[[Any], Any]) -> None:
    record = json.loads(json.dumps(kept.to_dict()))

    assert record["version"] == 2
    assert read(record) == kept
    assert read(record).to_dict() == record


@BOTH
def test_members_of_a_later_version_are_kept(kept: Any, read: Callable[[Any], Any]) -> None:
    """A fleet is updated process by process, and nothing is lost on the way."""
    later = {**kept.to_dict(), "identity": {"subject": "ada", "amr": ["pwd"]}, "dpop": None}

    found = read(json.loads(json.dumps(later)))
    assert found.to_dict() == later
    assert found != kept
    assert "ada" not in repr(found)
    assert read(found.to_dict()) == found
    with pytest.raises(TypeError):
        found.unknown["dpop"] = "another"


@BOTH
def test_a_record_of_the_first_version_is_read(kept: Any, read: Callable[[Any], Any]) -> None:
    """It had neither a version nor a server."""
    later = {"version", "issuer", "token_endpoint", "client_id"}
    if kept is LOGIN:
        later = {"version"}
    first = {name: value for name, value in kept.to_dict().items() if name not in later}

    found = read(first)
    assert found == (kept if kept is LOGIN else Token("a", expires_at=NOW, refresh_token="r"))


@BOTH
@pytest.mark.parametrize("version", [3, 17, 10**400], ids=["next", "later", "huge"])
def test_a_record_of_a_newer_version_is_refused(
    kept: Any, read: Callable[[Any], Any], version: int
) -> None:
    """What it says may mean another thing there."""
    with pytest.raises(
        ConfigurationError, match=r"by a newer oauthkit .* up to 2\); update oauthkit"
    ):
        read({**kept.to_dict(), "version": version})


@BOTH
@pytest.mark.parametrize("version", [None, True, 0, -1, "2", 2.0, [2]], ids=repr)
def test_a_version_that_is_none_is_refused(
    kept: Any, read: Callable[[Any], Any], version: object
) -> None:
    with pytest.raises(ConfigurationError, match="its version is not a whole number"):
        read({**kept.to_dict(), "version": version})


def test_a_token_class_leaves_members_of_a_later_version_alone() -> None:
    @attrs.frozen
    class Rich(Token):
        pin: str | None = secret(default=None)

    token = Rich.from_dict({"access_token": "a", "extra": {"pin": "5"}, "identity": 5})
    assert token.pin == "5"
    assert token.unknown == {"identity": 5}
    assert token.to_dict()["identity"] == 5
    assert Token.from_dict(token.to_dict()).unknown == {"identity": 5}


async def test_members_of_a_later_version_go_on_after_a_refresh() -> None:
    """What does not know them must not lose them by renewing."""
    fake = FakeAuthorizationServer()
    kept = Token.from_dict({**fake.issue().to_dict(), "identity": {"subject": "ada"}})
    async with fake.session(grant=None, token=kept) as session:
        renewed = await session.renew()
    assert renewed.access_token != kept.access_token
    assert renewed.to_dict()["identity"] == {"subject": "ada"}


def test_without_a_token_before_it_there_is_nothing_to_go_on() -> None:
    from oauthkit.protocol.messages import HTTPResponse

    body = json.dumps({"access_token": "a", "token_type": "Bearer"}).encode()
    response = HTTPResponse(200, {"content-type": "application/json"}, body)
    assert parse_token_response(SERVER, response, requested_at=NOW).unknown == {}


# What other libraries keep

AUTHLIB: Final = {
    "token_type": "Bearer",
    "access_token": "a",
    "refresh_token": "r",
    "scope": "read write",
    "expires_in": 3600,
    "expires_at": 1_700_003_600,
}
REQUESTS_OAUTHLIB: Final = {
    "token_type": "Bearer",
    "access_token": "a",
    "refresh_token": "r",
    "scope": ["read", "write"],
    "expires_in": 3600,
    "expires_at": 1_700_003_600.25,
    "instance_url": "https://eu1.example",
}


def test_what_authlib_keeps_becomes_a_token() -> None:
    """And its lifetime is not lost."""
    assert Token.from_response(AUTHLIB) == Token(
        "a",
        issued_at=NOW,
        expires_at=NOW + 3600,
        refresh_token="r",
        scope="read write",
    )


def test_what_requests_oauthlib_keeps_becomes_a_token() -> None:
    assert Token.from_response(REQUESTS_OAUTHLIB, requested_at=NOW) == Token(
        "a",
        issued_at=NOW,
        expires_at=NOW + 3600.25,
        refresh_token="r",
        scope="read write",
        extra={"instance_url": "https://eu1.example"},
    )


def test_the_moment_counts_and_not_what_the_lifetime_was_then() -> None:
    """The response may have been kept for days."""
    token = Token.from_response(AUTHLIB, requested_at=NOW + 86_400)

    assert token.expires_at == NOW + 3600


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"expires_in": 60}, {"issued_at": NOW, "expires_at": NOW + 60}),
        ({"expires_in": "60"}, {"issued_at": NOW, "expires_at": NOW + 60}),
        ({"expires_in": 0}, {"issued_at": NOW, "expires_at": NOW}),
        ({"expires_in": 1e300}, {"issued_at": NOW, "expires_at": NOW + LONGEST_LIFE}),
        ({"expires_in": None}, {"issued_at": NOW}),
        ({"expires_at": NOW + 5}, {"issued_at": NOW, "expires_at": NOW + 5}),
        ({"expires_at": str(NOW + 5)}, {"issued_at": NOW, "expires_at": NOW + 5}),
        ({"expires_on": "1700000099"}, {"issued_at": NOW, "expires_at": NOW + 99}),
        (
            {"refresh_expires_in": 0, "refresh_token_expires_in": 9},
            {"issued_at": NOW, "refresh_expires_at": NOW + 9},
        ),
        ({"refresh_expires_in": 0}, {"issued_at": NOW}),
        ({"scope": []}, {"issued_at": NOW}),
        ({"scope": ""}, {"issued_at": NOW}),
        ({"scope": ("read", "write")}, {"issued_at": NOW, "scope": "read write"}),
        ({"token_type": "bearer"}, {"issued_at": NOW, "token_type": "bearer"}),
        ({"id_token": "i"}, {"issued_at": NOW, "id_token": "i"}),
        ({"id_token": ""}, {"issued_at": NOW}),
    ],
    ids=repr,
)
def test_a_response_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    kept = {"access_token": "a", **fields}
    extra = {name: value for name, value in fields.items() if name.startswith("refresh_")}

    found = Token.from_response(kept, requested_at=NOW)
    assert found == Token("a", **expected, extra=extra)


def test_a_response_without_any_lifetime_needs_no_moment() -> None:
    assert Token.from_response({"access_token": "a"}) == Token("a")
    assert Token.from_response({"access_token": "a", "expires_at": NOW}) == Token(
        "a", expires_at=NOW
    )


def test_an_empty_refresh_token_is_none() -> None:
    """So a column that cannot be null has it."""
    assert Token.from_response({"access_token": "a", "refresh_token": ""}) == Token("a")


def test_a_response_becomes_a_token_of_ones_own_class() -> None:
    @attrs.frozen
    class Rich(Token):
        level: int = 0

    assert Rich.from_response({"access_token": "a", "level": "5"}) == Rich("a", level=5)
    with pytest.raises(ConfigurationError, match="a whole number, got str @ level"):
        Rich.from_response({"access_token": "a", "level": "high"})


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"expires_in": 60}, "say requested_at="),
        ({"refresh_expires_in": 60, "expires_at": NOW}, "say requested_at="),
        ({"expires_in": "soon"}, "a number, got str @ expires_in"),
        ({"expires_in": True}, "a number, got bool @ expires_in"),
        ({"expires_in": [60]}, "a number, got list @ expires_in"),
        ({"expires_in": -1}, "expires_in must be seconds, 0 or more"),
        ({"expires_in": float("nan")}, "expires_in is not a finite number"),
        ({"expires_in": float("inf")}, "a number, got float @ expires_in"),
        ({"expires_at": 3600}, "expires_at must be a moment in seconds since the epoch"),
        ({"expires_at": NOW * 1000}, "expires_at must be a moment in seconds"),
        ({"expires_at": "2027-01-01T00:00:00Z"}, "a number, got str @ expires_at"),
        ({"expires_on": 0}, "expires_on must be a moment"),
        ({"refresh_token_expires_in": -5}, "refresh_token_expires_in must be seconds"),
        ({"access_token": None}, "it has no access_token"),
        ({"access_token": ""}, "it has no access_token"),
        ({"access_token": 5}, "a text, got int @ access_token"),
        ({"refresh_token": 5}, "a text, got int @ refresh_token"),
        ({"id_token": {}}, "a text, got dict @ id_token"),
        ({"token_type": 5}, "a text, got int @ token_type"),
        ({"scope": 5}, "scope must be a text or a list of texts"),
        ({"scope": ["a", 5]}, "scope must be a text or a list of texts"),
        ({"scope": {"a": 5}}, "scope must be a text or a list of texts"),
    ],
    ids=repr,
)
def test_what_cannot_be_understood_of_a_response_is_said(
    fields: dict[str, Any], reason: str
) -> None:
    """Nothing is lost in silence, and no lifetime is guessed."""
    with pytest.raises(ConfigurationError, match=reason):
        Token.from_response({"access_token": "a", **fields})


@pytest.mark.parametrize("moment", ["now", float("nan"), True])
def test_a_moment_that_is_none_is_refused(moment: Any) -> None:
    with pytest.raises(ConfigurationError, match="requested_at="):
        Token.from_response({"access_token": "a", "expires_in": 5}, requested_at=moment)


@pytest.mark.parametrize("fields", [None, 5, "text", [], [("access_token", "a")]], ids=repr)
def test_what_is_no_response_is_refused(fields: Any) -> None:
    with pytest.raises(ConfigurationError, match="no dict of that kind"):
        Token.from_response(fields)


@pytest.mark.parametrize(
    "member",
    [
        {"expires_in": 3600},
        {"expires_in": None},
        {"expires_on": "1700000099"},
        {"ext_expires_in": 5},
        {"refresh_expires_in": 5},
        {"refresh_token_expires_in": 5},
        {"scope": ["read"]},
    ],
    ids=repr,
)
def test_a_response_is_no_record(member: dict[str, Any]) -> None:
    """`from_dict` dropped the lifetime without a word."""
    with pytest.raises(ConfigurationError, match=r"give that to Token\.from_response\(fields, "):
        Token.from_dict({"access_token": "a", **member})
