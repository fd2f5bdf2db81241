"""Whatever a server says about a lifetime, the arithmetic holds."""

import math
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from oauthkit.protocol.expiry import LONGEST_LIFE, SHORTEST_LIFE, expires_at, refresh_expires_at
from oauthkit.protocol.token import Token

NOW = st.floats(min_value=0, max_value=4e9)
SAID = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.from_regex(r"[+-]?\d*\.?\d*([eE][+-]?\d+)?", fullmatch=True),
    st.datetimes().map(datetime.isoformat),
    st.lists(st.integers(), max_size=2),
    st.binary(max_size=4),
)
NAMES = st.sampled_from(
    [
        "expires_in",
        "expiry",
        "expires_at",
        "expires_on",
        "refresh_expires_in",
        "refresh_token_expires_in",
    ]
)
FIELDS = st.dictionaries(NAMES, SAID)


@given(FIELDS, NOW)
@example({"expires_in": 10**5_000}, 0.0)
@example({"expiry": "0001-01-01T00:00:00+23:59"}, 0.0)
@example({"expiry": "9999-12-31T23:59:59.999999-23:59"}, 0.0)
@example({"expires_in": "9" * 10_000}, 0.0)
def test_no_lifetime_whatever_is_an_error(fields: dict[str, object], now: float) -> None:
    """AT-55, AT-57, AT-80."""
    for moment in (
        expires_at(fields, requested_at=now),
        refresh_expires_at(fields, requested_at=now),
    ):
        assert moment is None or (math.isfinite(moment) and moment <= now + LONGEST_LIFE)


@given(st.floats(min_value=SHORTEST_LIFE, max_value=LONGEST_LIFE), NOW)
def test_a_lifetime_as_text_is_the_same_as_a_number(lifetime: float, now: float) -> None:
    as_number = expires_at({"expires_in": lifetime}, requested_at=now)

    assert as_number == now + lifetime
    assert expires_at({"expires_in": repr(lifetime)}, requested_at=now) == as_number


@given(st.floats(min_value=0, max_value=SHORTEST_LIFE, exclude_min=True), NOW)
def test_a_lifetime_of_less_than_a_second_is_one_second(lifetime: float, now: float) -> None:
    """So that a token is renewed about once a second at the most."""
    fields = {"expires_in": lifetime, "refresh_expires_in": lifetime}

    assert expires_at(fields, requested_at=now) == now + SHORTEST_LIFE
    assert refresh_expires_at(fields, requested_at=now) == now + SHORTEST_LIFE


@given(st.integers(min_value=315_360_000, max_value=4_000_000_000))
def test_a_moment_is_the_same_in_every_spelling(moment: int) -> None:
    iso = datetime.fromtimestamp(moment, UTC).isoformat()

    for said in (
        moment,
        str(moment),
        float(moment),
        moment * 1000,
        iso,
        iso.replace("+00:00", "Z"),
    ):
        if isinstance(said, int) and 315_360_000 <= said < 1e11 and said != moment:
            continue  # milliseconds of the first years after 1970 are seconds of a later time
        assert expires_at({"expires_at": said}, requested_at=1_700_000_000.0) == moment


@given(FIELDS, NOW, st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1e9))
def test_freshness_ends_once_and_for_all(
    fields: dict[str, object], now: float, leeway: float, later: float
) -> None:
    token = Token("a", issued_at=now, expires_at=expires_at(fields, requested_at=now))

    if not token.fresh(now=now, leeway=leeway):
        assert not token.fresh(now=now + later, leeway=leeway)
    if token.fresh(now=now + later, leeway=leeway):
        assert token.fresh(now=now, leeway=leeway)
        assert token.expires_at is None or now + later < token.expires_at
    assert 0 <= token.leeway(leeway) <= leeway


@given(NOW, st.floats(min_value=0.001, max_value=1e6), st.floats(min_value=0, max_value=1e9))
def test_a_new_token_with_any_life_at_all_is_fresh(now: float, life: float, leeway: float) -> None:
    """AT-80: so that no session renews without end."""
    token = Token("a", issued_at=now, expires_at=now + life)

    assert token.fresh(now=now, leeway=leeway)
