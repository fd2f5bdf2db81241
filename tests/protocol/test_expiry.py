import json

import pytest

from oauthkit.protocol.expiry import (
    LONGEST_LIFE,
    SHORTEST_LIFE,
    expires_at,
    refresh_expires_at,
)

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    "said, lifetime",
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        ("228", 228.0),
        (" 34 ", 34.0),
        ("3600.0", 3600.0),
        ("3600.", 3600.0),
        (".5", SHORTEST_LIFE),
        (0.005, SHORTEST_LIFE),
        (5e-324, SHORTEST_LIFE),
        ("3.6e3", 3600.0),
        ("+60", 60.0),
        (3600.7, 3600.7),
        (0, 0.0),
        ("0", 0.0),
        (-0.0, 0.0),
        ("-0", 0.0),
        (1, 1.0),
        (-5, 0.0),
        ("-5", 0.0),
        (2**63, LONGEST_LIFE),
        (str(2**63), LONGEST_LIFE),
        (10**400, LONGEST_LIFE),
        (-(10**400), 0.0),
        ("1e999", LONGEST_LIFE),
        ("-1e999", 0.0),
        (float("inf"), LONGEST_LIFE),
        (float("-inf"), 0.0),
    ],
    ids=repr,
)
def test_a_lifetime_is_understood_or_clamped(said: object, lifetime: float) -> None:
    """AT-55, AT-57, AT-80: it counts from the moment the request was sent."""
    assert expires_at({"expires_in": said}, requested_at=NOW) == NOW + lifetime


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "  ",
        "soon",
        True,
        False,
        [],
        [3600],
        {},
        {"seconds": 3600},
        float("nan"),
        "nan",
        "inf",
        "Infinity",
        "0x10",
        "1_000",
        "٣٦٠٠",
        "3600s",
        "1e9999",
        "9" * 401,
        "--1",
        b"3600",
    ],
    ids=repr,
)
def test_what_is_no_number_leaves_the_expiry_unknown(said: object) -> None:
    """O2-30, AT-57: unknown is neither expired nor never."""
    assert expires_at({"expires_in": said}, requested_at=NOW) is None


def test_an_answer_without_a_lifetime_leaves_the_expiry_unknown() -> None:
    """O2-30."""
    assert expires_at({}, requested_at=NOW) is None


def test_json_that_no_float_can_hold_is_clamped() -> None:
    """AT-55."""
    fields = json.loads('{"expires_in": 1e999}')

    assert expires_at(fields, requested_at=NOW) == NOW + LONGEST_LIFE


@pytest.mark.parametrize("name", ["expiry", "expires_at", "expires_on"])
@pytest.mark.parametrize(
    "said, moment",
    [
        (1_700_003_600, 1_700_003_600.0),
        ("1700003600", 1_700_003_600.0),
        (1_700_003_600.5, 1_700_003_600.5),
        (1_700_003_600_500, 1_700_003_600.5),
        ("1700003600500", 1_700_003_600.5),
        ("2023-11-14T23:13:20Z", 1_700_003_600.0),
        ("2023-11-14T23:13:20+00:00", 1_700_003_600.0),
        ("2023-11-15T00:13:20+01:00", 1_700_003_600.0),
        ("2023-11-14T23:13:20", 1_700_003_600.0),
        ("2023-11-14 23:13:20.500", 1_700_003_600.5),
        (" 20231114T231320Z ", 1_700_003_600.0),
        ("2023-11-14", 1_699_920_000.0),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140.0),
        ("228", NOW + 228.0),
        (125, NOW + 125.0),
        (0, NOW),
        (-1, NOW),
        (0.5, NOW + SHORTEST_LIFE),
        (1_700_000_000, NOW),
        (1_700_000_000.005, NOW + SHORTEST_LIFE),
        ("2023-11-14T22:13:20.9Z", NOW + SHORTEST_LIFE),
        (1_699_999_999.5, NOW - 0.5),
        (315_359_999, NOW + 315_359_999.0),
        (315_360_000, 315_360_000.0),
        (99_999_999_999, NOW + LONGEST_LIFE),
        (2**63, NOW + LONGEST_LIFE),
        (10**400, NOW + LONGEST_LIFE),
        ("9999-12-31T23:59:59-23:59", NOW + LONGEST_LIFE),
    ],
    ids=repr,
)
def test_a_moment_is_understood_in_all_its_spellings(
    name: str, said: object, moment: float
) -> None:
    """A value under ten years of seconds is a lifetime; one of a later century is milliseconds."""
    assert expires_at({name: said}, requested_at=NOW) == moment


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "tomorrow",
        True,
        [],
        {},
        float("nan"),
        "2023-13-01",
        "24:00",
        "01/02/2024 00:00:00",
    ],
    ids=repr,
)
def test_a_moment_that_cannot_be_read_is_unknown(said: object) -> None:
    assert expires_at({"expiry": said, "expires_at": said}, requested_at=NOW) is None


def test_a_usable_lifetime_wins_over_every_moment() -> None:
    fields = {"expires_in": "60", "expiry": 1, "expires_at": 2, "expires_on": 3}

    assert expires_at(fields, requested_at=NOW) == NOW + 60


def test_an_unusable_lifetime_gives_way_to_a_moment() -> None:
    fields = {"expires_in": None, "expiry": "?", "expires_at": None, "expires_on": "1700000099"}

    assert expires_at(fields, requested_at=NOW) == 1_700_000_099.0


@pytest.mark.parametrize("name", ["refresh_expires_in", "refresh_token_expires_in"])
@pytest.mark.parametrize(
    "said, lifetime",
    [(1800, 1800.0), ("1800", 1800.0), (2**63, LONGEST_LIFE), (0.5, SHORTEST_LIFE)],
    ids=repr,
)
def test_the_life_of_a_refresh_token_is_understood(
    name: str, said: object, lifetime: float
) -> None:
    assert refresh_expires_at({name: said}, requested_at=NOW) == NOW + lifetime


@pytest.mark.parametrize(
    "said", [0, "0", -1, None, "", "never", True, [], float("nan"), 0.0], ids=repr
)
def test_a_refresh_token_of_no_said_life_has_none(said: object) -> None:
    """System D writes 0 where it says nothing."""
    fields = {"refresh_expires_in": said, "refresh_token_expires_in": said}

    assert refresh_expires_at(fields, requested_at=NOW) is None


def test_the_second_name_is_read_where_the_first_says_nothing() -> None:
    fields = {"refresh_expires_in": 0, "refresh_token_expires_in": 90}

    assert refresh_expires_at(fields, requested_at=NOW) == NOW + 90
