from typing import Any

import pytest

from oauthkit import ConfigurationError, Rejection, parse_challenges
from oauthkit.protocol.rejection import Verdict, judge, scheme_names

DEAD, OTHER_SCHEME, OTHER = Verdict.DEAD, Verdict.OTHER_SCHEME, Verdict.OTHER


def said(status: int, *challenges: str, rules: tuple[Rejection, ...] = (Rejection(),)) -> Verdict:
    return judge(rules, status, parse_challenges(challenges), scheme="bearer")


@pytest.mark.parametrize(
    "challenges, verdict",
    [
        ([], DEAD),
        (["Bearer"], DEAD),
        (['Bearer realm="x"'], DEAD),
        (['Bearer error="invalid_token"'], DEAD),
        (['Bearer error="invalid_request"'], DEAD),
        (['error="invalid_token"'], DEAD),
        (['Bearer error="x", error="y"'], DEAD),
        (["Basic", "bearer"], DEAD),
        (['Basic error="insufficient_scope", Bearer'], DEAD),
        (['Bearer error="insufficient_scope"'], OTHER),
        (['Bearer error="use_dpop_nonce"'], OTHER),
        (['Bearer error="INVALID_TOKEN"'], OTHER),
        (['Bearer error=""'], OTHER),
        (['Bearer error="invalid_token"', 'Bearer error="insufficient_scope"'], OTHER),
        (['Basic realm="x"'], OTHER_SCHEME),
        (["Negotiate"], OTHER_SCHEME),
        (["Negotiate YIIB"], OTHER_SCHEME),
        (['DPoP error="invalid_token"'], OTHER_SCHEME),
        (['Basic realm="x", DPoP algs="ES256"'], OTHER_SCHEME),
    ],
    ids=str,
)
def test_what_a_401_says_about_a_bearer_token(challenges: list[str], verdict: Verdict) -> None:
    """BT-09, BT-10."""
    assert said(401, *challenges) is verdict


@pytest.mark.parametrize("status", [200, 400, 403, 407, 500])
def test_another_status_says_nothing_until_it_is_declared(status: int) -> None:
    assert said(status) is OTHER
    if status >= 400:
        assert said(status, rules=(Rejection(), Rejection(status=status))) is DEAD


def test_a_rule_may_name_schemes_and_error_codes_of_its_own() -> None:
    rule = Rejection(status=403, schemes={"Basic"}, errors={"token_expired"})
    assert said(403, 'basic error="token_expired"', rules=(rule,)) is DEAD
    assert said(403, 'basic error="invalid_token"', rules=(rule,)) is OTHER
    assert said(403, rules=(rule,)) is OTHER
    assert said(403, 'error="token_expired"', rules=(rule,)) is DEAD
    assert said(403, 'Bearer error="token_expired"', rules=(rule,)) is OTHER_SCHEME


def test_one_rule_is_enough() -> None:
    rules = Rejection(schemes={"basic"}), Rejection()
    assert said(401, "Basic", rules=rules) is DEAD
    assert said(401, "Bearer", rules=rules) is DEAD
    assert said(401, "Negotiate", rules=rules) is OTHER_SCHEME
    assert said(401, "Bearer", rules=()) is OTHER


def test_the_rule_is_a_value() -> None:
    assert Rejection() == Rejection(status=401)
    assert Rejection(errors=["a", "b", "a"]) == Rejection(errors={"b", "a"})
    assert len({Rejection(), Rejection(schemes=None)}) == 1


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"status": 200}, "from 400 to 599"),
        ({"status": 600}, "from 400 to 599"),
        ({"status": "401"}, "from 400 to 599"),
        ({"schemes": "basic"}, "several names"),
        ({"schemes": 7}, "several names"),
        ({"schemes": [7]}, "texts, not int"),
        ({"errors": "invalid_token"}, "several names"),
        ({"errors": None}, "several names"),
        ({"errors": [b"x"]}, "texts, not bytes"),
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_says_why(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Rejection(**settings)


def test_a_scheme_of_none_is_none() -> None:
    assert Rejection(schemes=["basic", None]) == Rejection(schemes={"BASIC"})


def test_schemes_are_told_once_each_and_bounded() -> None:
    assert scheme_names(parse_challenges(["Basic", "DPoP", "Basic"])) == "basic, dpop"
    assert len(scheme_names(parse_challenges([f"{'x' * 100} a=b"]))) < 50
