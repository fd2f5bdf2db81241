"""The numbers of a policy, and which of them make no sense."""

import re
from typing import Any

import pytest

from oauthkit import ConfigurationError, RenewalPolicy

TIMES = ("timeout", "save_timeout", "default_life", "longest_pause", "idle_life")
NUMBERS = ("concurrency", "capacity")
MAY_BE_ZERO = ("leeway", "jitter", "recheck")


def policy(name: str, value: Any) -> RenewalPolicy:
    return RenewalPolicy(**{name: value})


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0.001, 1.0, 1e9])
def test_a_time_is_above_zero(name: str, value: float) -> None:
    assert getattr(policy(name, value), name) == value


@pytest.mark.parametrize("name", NUMBERS)
def test_one_is_the_least_number(name: str) -> None:
    assert getattr(policy(name, 1), name) == 1


@pytest.mark.parametrize(
    "name, value",
    [
        *((name, value) for name in (*TIMES, *NUMBERS) for value in (0, -1)),
        *((name, float("nan")) for name in TIMES),
    ],
)
def test_what_must_be_above_zero_says_so(name: str, value: float) -> None:
    said = f"RenewalPolicy.{name} must be above 0, not {value!r}"
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        policy(name, value)


@pytest.mark.parametrize("name", MAY_BE_ZERO)
def test_what_may_be_zero_must_not_be_negative(name: str) -> None:
    assert getattr(policy(name, 0.0), name) == 0.0
    for value in (-0.001, float("nan")):
        said = f"RenewalPolicy.{name} must not be negative, it is {value!r}"
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            policy(name, value)


def test_an_expiry_and_a_life_may_be_unknown() -> None:
    assert RenewalPolicy(default_life=None, idle_life=None) == RenewalPolicy()


def test_the_numbers_are_those_of_the_documentation() -> None:
    """Whoever changes one changes what a fleet does, and says so."""
    numbers = RenewalPolicy()
    assert (numbers.leeway, numbers.jitter) == (30.0, 0.2)
    assert (numbers.timeout, numbers.save_timeout, numbers.recheck) == (30.0, 3.0, 5.0)
    assert (numbers.longest_pause, numbers.concurrency, numbers.capacity) == (60.0, 16, 100_000)
    assert not numbers.renew_without_lease
