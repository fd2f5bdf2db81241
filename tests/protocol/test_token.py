import json
import math
from typing import Any

import attrs
import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.secret import secret
from oauthkit.protocol.token import Token, further_fields

FULL = Token(
    "access",
    token_type="bearer",
    issued_at=1_000.0,
    expires_at=4_600.0,
    refresh_token="refresh",
    refresh_expires_at=9_000.0,
    scope="read write",
    id_token="id",
    extra={"instance_url": "https://eu1.example", "nested": {"list": [1, None, "a"]}},
)


@attrs.frozen
class Owner:
    name: str
    roles: list[str] = attrs.Factory(list[str])


@attrs.frozen
class RichToken(Token):
    is_editor: bool = False
    pin: str | None = secret(default=None)
    owner: Owner | None = None


@pytest.mark.parametrize(
    "now, leeway, fresh",
    [
        (1_000, 30, True),
        (4_569.9, 30, True),
        (4_570, 30, False),
        (4_600, 0, False),
        (4_599.9, 0, True),
        (9_999, 30, False),
        (0, 30, True),
        (2_799, 99_999, True),
        (2_800, 99_999, False),
    ],
)
def test_a_token_is_fresh_until_the_leeway_before_its_expiry(
    now: float, leeway: float, *, fresh: bool
) -> None:
    """The leeway is capped at half the life."""
    assert FULL.fresh(now=now, leeway=leeway) is fresh


def test_a_token_of_unknown_expiry_is_fresh() -> None:
    """O2-30."""
    assert Token("a").fresh(now=1e12, leeway=30)
    assert Token("a", issued_at=5).leeway(30) == 30


def test_the_leeway_is_not_capped_where_the_life_is_unknown() -> None:
    token = Token("a", expires_at=100)

    assert token.leeway(30) == 30
    assert not token.fresh(now=80, leeway=30)


@pytest.mark.parametrize("expires_at", [1_000.0, 999.0, 0.0, -5.0])
def test_a_token_that_came_expired_is_never_fresh(expires_at: float) -> None:
    """AT-80: and its leeway is nothing."""
    token = Token("a", issued_at=1_000.0, expires_at=expires_at)

    assert token.leeway(30) == 0
    assert not token.fresh(now=1_000.0, leeway=30)


def test_a_token_of_one_second_is_fresh_for_half_of_it() -> None:
    """AT-80."""
    token = Token("a", issued_at=1_000.0, expires_at=1_001.0)

    assert token.fresh(now=1_000.4, leeway=30)
    assert not token.fresh(now=1_000.5, leeway=30)


def test_a_token_is_kept_as_plain_json_and_comes_back() -> None:
    kept = FULL.to_dict()

    assert Token.from_dict(json.loads(json.dumps(kept))) == FULL
    assert all(type(value) in {str, int, float, dict, type(None)} for value in kept.values())
    assert Token.from_dict(Token("a").to_dict()) == Token("a")


def test_the_printed_form_shows_no_secret_and_no_value_of_the_rest() -> None:
    """O2-40."""
    assert repr(FULL) == str(FULL)
    assert repr(FULL) == (
        "Token(access_token='***', token_type='bearer', issued_at=1000.0, expires_at=4600.0, "
        "refresh_token='***', refresh_expires_at=9000.0, scope='read write', id_token='***', "
        "extra=<'instance_url', 'nested'>)"
    )


def test_the_printed_form_escapes_the_names_of_the_rest() -> None:
    """AT-65."""
    assert "\x1b" not in repr(Token("a", extra={"\x1b[31m\n": 1}))


def test_a_token_is_a_value() -> None:
    same = Token.from_dict(FULL.to_dict())

    assert hash(same) == hash(FULL)
    assert len({same, FULL}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        FULL.scope = "more"  # type: ignore[misc]
    with pytest.raises(TypeError):
        FULL.extra["a"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        5,
        {},
        {"access_token": None},
        {"access_token": 5},
        {"access_token": "a", "token_type": 5},
        {"access_token": "a", "expires_at": "soon"},
        {"access_token": "a", "expires_at": True},
        {"access_token": "a", "expires_at": 10**400},
        {"access_token": "a", "expires_at": float("nan")},
        {"access_token": "a", "issued_at": float("-inf")},
        {"access_token": "a", "refresh_token": ["r"]},
        {"access_token": "a", "scope": ["r"]},
        {"access_token": "a", "extra": 5},
        {"access_token": "a", "extra": "text"},
    ],
    ids=lambda data: repr(data)[:60],
)
def test_what_no_token_gave_is_refused(data: Any) -> None:
    with pytest.raises(ConfigurationError, match="to_dict"):
        Token.from_dict(data)


@pytest.mark.parametrize("name", ["issued_at", "expires_at", "refresh_expires_at"])
@pytest.mark.parametrize("moment", [math.inf, -math.inf, math.nan, 1_700_000_000_000.0])
def test_a_moment_that_no_clock_shows_costs_no_record(name: str, moment: float) -> None:
    """As by `RenewalPolicy(default_life=math.inf)`; a record with it could not be read again."""
    given: dict[str, Any] = {name: moment, "refresh_token": "r"}
    kept = json.loads(json.dumps(Token("a", **given).to_dict(), allow_nan=False))
    assert Token.from_dict(kept) == Token("a", refresh_token="r")


def test_null_members_of_a_kept_token_are_left_out() -> None:
    data = {"access_token": "a", "token_type": None, "extra": None}

    assert Token.from_dict(data) == Token("a")


def test_a_subclass_keeps_its_typed_members() -> None:
    token = RichToken(
        "a", is_editor=True, pin="1234", owner=Owner("Ada", ["admin"]), extra={"ip": "::1"}
    )

    kept = token.to_dict()
    assert kept["extra"] == {
        "ip": "::1",
        "is_editor": True,
        "pin": "1234",
        "owner": {"name": "Ada", "roles": ["admin"]},
    }
    assert type(kept["extra"]["pin"]) is str
    assert RichToken.from_dict(json.loads(json.dumps(kept))) == token


def test_members_go_between_token_classes() -> None:
    token = RichToken("a", is_editor=True)

    plain = Token.from_dict(token.to_dict())
    assert plain == Token("a", extra={"is_editor": True})
    assert RichToken.from_dict(plain.to_dict()) == token


def test_a_kept_member_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is_editor") as caught:
        RichToken.from_dict({"access_token": "a", "extra": {"is_editor": "canary"}})

    assert "canary" not in str(caught.value)


def test_a_subclass_needs_a_default_for_every_field() -> None:
    with pytest.raises(ConfigurationError, match=r"Needy\.tenant needs a default"):

        @attrs.frozen(kw_only=True)
        class Needy(Token):  # pyright: ignore[reportUnusedClass]
            tenant: str


def test_the_members_of_an_answer_are_divided() -> None:
    """O2-31: what is unknown is kept as it came."""
    fields = {
        "access_token": "a",
        "expires_in": 5,
        "is_editor": "true",
        "owner": {"name": "Ada"},
        "pin": None,
        "ip": "::1",
    }

    assert further_fields(RichToken, fields) == (
        {"is_editor": True, "owner": Owner("Ada")},
        {"ip": "::1"},
    )
    assert further_fields(Token, fields)[0] == {}
    assert further_fields(Token, fields)[1].keys() == {"is_editor", "owner", "pin", "ip"}


def test_a_member_of_another_type_is_refused() -> None:
    """AT-57."""
    with pytest.raises(ValueError, match="is_editor"):
        further_fields(RichToken, {"is_editor": "perhaps"})
