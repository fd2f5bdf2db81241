"""What an ID Token has to say before it is believed (OpenID Connect Core 1.0 §2, §3.1.3.7)."""

import hashlib
import json
from base64 import urlsafe_b64encode
from typing import Any

import attrs
import pytest

from oauthkit import ConfigurationError, Identity, InvalidJWT, Recovery
from oauthkit.protocol.id_token import (
    LEEWAY,
    LOGOUT_EVENT,
    Expected,
    check_id_token,
    check_same_person,
)
from tests.tokens import shown, token_of, written

NOW = 1_700_000_000.0
ISSUER = "https://auth.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "ada",
    "aud": "client",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": "nonce-1",
}
EXPECTED = Expected(is_issuer=ISSUER.__eq__, issuer=ISSUER, client_id="client", nonce="nonce-1")


def checked(
    expected: Expected = EXPECTED, /, *, header: dict[str, Any] | None = None, **changed: Any
) -> Identity:
    """Check the claims with some changed; `...` leaves one out."""
    claims = {name: v for name, v in {**CLAIMS, **changed}.items() if v is not ...}
    return check_id_token(token_of(claims, header=header), expected, now=NOW)


def refused(match: str, expected: Expected = EXPECTED, /, **changed: Any) -> None:
    with pytest.raises(InvalidJWT, match=match) as caught:
        checked(expected, **changed)
    assert caught.value.recovery is Recovery.REAUTHORIZE
    assert "nonce-1" not in str(caught.value)


def test_who_has_logged_in_is_told_with_all_that_the_token_says() -> None:
    identity = checked(
        auth_time=NOW - 5,
        acr="silver",
        amr=["pwd", 7, "otp"],
        azp="client",
        email="ada@example.com",
    )

    assert attrs.asdict(identity, filter=lambda field, _: field.name != "claims") == {
        "issuer": ISSUER,
        "subject": "ada",
        "expires_at": NOW + 300,
        "auth_time": NOW - 5,
        "acr": "silver",
        "amr": ("pwd", "otp"),
        "authorized_party": "client",
    }
    assert identity.claims["email"] == "ada@example.com"
    assert "ada@example.com" not in repr(identity)


def test_what_an_id_token_does_not_say_is_not_there() -> None:
    identity = checked(acr=7, amr="pwd")

    assert (identity.auth_time, identity.acr, identity.amr) == (None, None, ())
    assert identity.authorized_party is None


# Issuer and audience


@pytest.mark.parametrize(
    "issuer",
    [
        f"{ISSUER}1",
        f"{ISSUER}/",
        f"{ISSUER}INVALID",
        "HTTPS://auth.example",
        "https://AUTH.example",
        "https://auth.example:443",
        "https://auth.example.",
        "",
        [ISSUER],
        None,
        7,
        ...,
    ],
    ids=str,
)
def test_another_issuer_is_refused(issuer: Any) -> None:
    """MD-11, OC-06, AT-05."""
    refused(rf"its issuer \(iss\) is .*, and '{ISSUER}' was asked", iss=issuer)


@pytest.mark.parametrize(
    "audience",
    ["client1", "CLIENT", "", [], None, ..., {"client": 1}, ["other"], [["client"]], 7],
    ids=str,
)
def test_a_token_for_another_client_is_refused(audience: Any) -> None:
    """OC-07, AT-51."""
    refused(r"its audience \(aud\) is not the client 'client'", aud=audience)


@pytest.mark.parametrize("audience", [["client", "other"], ["other", "client"], ["client", None]])
def test_a_token_that_is_for_others_too_is_refused(audience: Any) -> None:
    """OC-07, OC-08, OC-11."""
    refused("has others beside the client 'client'", aud=audience, azp="client")


@pytest.mark.parametrize("audience", [["client"], ["client", "client"]])
def test_a_list_of_this_client_alone_is_taken(audience: Any) -> None:
    """OC-07."""
    assert checked(aud=audience).subject == "ada"


@pytest.mark.parametrize("party", ["other", "", ["client"], None])
def test_a_token_that_was_issued_to_another_client_is_refused(party: Any) -> None:
    """OC-08."""
    refused(r"issued to another client \(azp\) than 'client'", azp=party)


@pytest.mark.parametrize(
    "subject", [..., None, "", 7, ["ada"], "a" * 256], ids=lambda s: str(s)[:9]
)
def test_a_subject_that_is_none_is_refused(subject: Any) -> None:
    """OC-15."""
    refused("its sub must be a text of 1 to 255 characters", sub=subject)


def test_the_longest_subject_is_taken() -> None:
    """OC-15."""
    assert checked(sub="a" * 255).subject == "a" * 255


# Times


@pytest.mark.parametrize("ago", [LEEWAY, LEEWAY + 1, 360, 10**9])
def test_a_token_that_has_ended_is_refused(ago: float) -> None:
    """OC-13."""
    refused(r"it has ended \d+ s ago \(exp\)", exp=NOW - ago)


def test_the_clocks_may_differ_by_a_little_and_no_more() -> None:
    """OC-13, AT-79: thirty seconds, unless another number is given."""
    assert checked(exp=NOW - LEEWAY + 1).expires_at == NOW - LEEWAY + 1
    assert checked(iat=NOW + LEEWAY, nbf=NOW + LEEWAY).subject == "ada"
    exact = attrs.evolve(EXPECTED, leeway=0)
    refused("it has ended 0 s ago", exact, exp=NOW)
    assert checked(exact, exp=NOW + 1).subject == "ada"


@pytest.mark.parametrize("leeway", [-1, 601, float("inf"), float("nan")])
def test_a_leeway_that_would_let_anything_pass_is_refused(leeway: float) -> None:
    """OC-13."""
    with pytest.raises(ConfigurationError, match=r"leeway= must be from 0 to 600 seconds"):
        attrs.evolve(EXPECTED, leeway=leeway)


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("moment", [..., None, str(int(NOW + 300)), True, [NOW], {}], ids=str)
def test_a_moment_that_is_missing_or_no_number_is_refused(name: str, moment: Any) -> None:
    """OC-13, OC-14."""
    refused(f"its {name} must be a number of seconds, and it is", **{name: moment})


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize("ahead", [LEEWAY + 1, 86_400, 10**300], ids=lambda n: str(n)[:6])
def test_a_token_of_the_future_is_refused(name: str, ahead: float) -> None:
    """OC-14."""
    refused(rf"\({name}\); is this machine's clock right", **{name: int(NOW + ahead)})


@pytest.mark.parametrize("ends", [1e308, 10**400])
def test_the_end_of_time_is_a_number(ends: float) -> None:
    """AT-55."""
    assert checked(exp=ends).expires_at == 1e11
    assert checked(auth_time=int(-ends)).auth_time == -1e11


# The nonce


@pytest.mark.parametrize("nonce", [..., None, "", "nonce-2", "NONCE-1", ["nonce-1"], "\ud800"])
def test_a_token_of_another_login_is_refused(nonce: Any) -> None:
    """BC-10, OC-16, AT-10: a code that was brought to another login comes with its own nonce."""
    claims = {**CLAIMS, "nonce": nonce}
    if nonce == "\ud800":  # no JSON that is read has one, and nothing else may break on it
        expected = attrs.evolve(EXPECTED, nonce="\ud800")
        refused("its nonce is another than that of this login", expected)
        return
    refused("its nonce is (missing|another) than that of this login", **claims)


def test_a_nonce_that_nobody_sent_is_refused() -> None:
    """OC-17."""
    refused("it has a nonce, and the login had none", attrs.evolve(EXPECTED, nonce=None))
    assert checked(attrs.evolve(EXPECTED, nonce=None), nonce=...).subject == "ada"


# How the person authenticated


@pytest.mark.parametrize("auth_time, max_age", [(0, 0), (60, 60), (90, 60), (30, 0)])
def test_who_authenticated_lately_enough_is_taken(auth_time: float, max_age: float) -> None:
    """OC-19: the leeway counts once."""
    expected = attrs.evolve(EXPECTED, max_age=max_age)

    assert checked(expected, auth_time=NOW - auth_time).auth_time == NOW - auth_time


@pytest.mark.parametrize(
    "auth_time, message",
    [
        (..., "does not say when the person authenticated"),
        (None, "does not say when the person authenticated"),
        (NOW - 91, "the person authenticated 91 s ago, and max_age was 60 s"),
        ("1", "auth_time must be a number"),
    ],
)
def test_who_authenticated_too_long_ago_is_refused(auth_time: Any, message: str) -> None:
    """OC-19."""
    refused(message, attrs.evolve(EXPECTED, max_age=60), auth_time=auth_time)


@pytest.mark.parametrize("max_age", [-1, float("nan")])
def test_a_max_age_that_is_none_is_refused(max_age: float) -> None:
    with pytest.raises(ConfigurationError, match="max_age= must be 0 seconds or more"):
        attrs.evolve(EXPECTED, max_age=max_age)


@pytest.mark.parametrize("acr", [..., "bronze", "", ["gold"], 7])
def test_another_acr_than_an_essential_one_is_refused(acr: Any) -> None:
    """OC-18."""
    expected = attrs.evolve(EXPECTED, acr_values=frozenset({"silver", "gold"}))

    refused("its acr is missing, or none of those", expected, acr=acr)
    assert checked(expected, acr="gold").acr == "gold"


def test_where_any_acr_is_essential_there_must_be_one() -> None:
    """OC-18."""
    expected = attrs.evolve(EXPECTED, acr_values=frozenset())

    refused("its acr is missing", expected)
    assert checked(expected, acr="0").acr == "0"


# The access token that came with it


def half(text: str, hash_name: str) -> str:
    digest = hashlib.new(hash_name, text.encode()).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "algorithm, hash_name",
    [("RS256", "sha256"), ("ES384", "sha384"), ("PS512", "sha512"), ("EdDSA", "sha512")],
)
def test_at_hash_is_the_left_half_by_the_hash_of_the_algorithm(
    algorithm: str, hash_name: str
) -> None:
    """OC-20."""
    expected = attrs.evolve(EXPECTED, access_token="access-1")
    header = {"alg": algorithm}

    assert checked(expected, header=header, at_hash=half("access-1", hash_name)).subject == "ada"
    refused("its at_hash", expected, header=header, at_hash=half("access-2", hash_name))
    refused("its at_hash", expected, header=header, at_hash=half("access-1", "md5"))


def test_an_at_hash_that_another_tool_has_made_is_taken() -> None:
    """OC-20."""
    expected = attrs.evolve(EXPECTED, access_token="access-1")

    assert checked(expected, at_hash="9MKET0Y7WpOlF96BtnoJyA").subject == "ada"


@pytest.mark.parametrize("at_hash", ["", "1", ["x"], 7])
def test_an_at_hash_that_is_none_is_refused(at_hash: Any) -> None:
    """OC-20."""
    refused("its at_hash", attrs.evolve(EXPECTED, access_token="access-1"), at_hash=at_hash)


def test_at_hash_may_be_missing_in_the_code_flow_or_belong_to_a_token_that_is_gone() -> None:
    """OC-20."""
    assert checked(attrs.evolve(EXPECTED, access_token="access-1")).subject == "ada"
    assert checked(at_hash="of a token that was not kept").subject == "ada"


# Another kind of token


@pytest.mark.parametrize(
    "kind",
    [
        "at+jwt",
        "application/at+jwt",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "oauth-authz-req+jwt",
        "client-authentication+jwt",
        "",
    ],
)
def test_another_kind_of_token_is_no_id_token(kind: str) -> None:
    """JO-16, AT-50."""
    refused("it is another kind of token", header={"typ": kind})


@pytest.mark.parametrize("kind", ["JWT", "jwt", "application/jwt"])
def test_the_general_type_is_taken(kind: str) -> None:
    assert checked(header={"typ": kind}).subject == "ada"


def test_a_logout_token_without_a_type_is_no_id_token() -> None:
    """BL-09, AT-50."""
    refused("it is a Logout Token", events={LOGOUT_EVENT: {}})
    assert checked(events=[LOGOUT_EVENT]).subject == "ada"
    assert checked(events={"https://other.example/event": {}}).subject == "ada"


@pytest.mark.parametrize("payload", ["[]", "null", '{"sub":"a","sub":"b"}'])
def test_claims_that_are_no_object_are_refused(payload: str) -> None:
    """JO-06, JO-07."""
    with pytest.raises(InvalidJWT, match="its payload is no JSON object") as caught:
        check_id_token(token_of(payload), EXPECTED, now=NOW)
    assert caught.value.__cause__ is caught.value.__context__ is None


# After a refresh

LATER: dict[str, Any] = {**CLAIMS, "iat": NOW + 60, "exp": NOW + 360, "nonce": ...}


def refreshed(first: dict[str, Any], **changed: Any) -> Identity:
    expected = attrs.evolve(EXPECTED, nonce=None, follows=checked(**first))
    claims = {n: v for n, v in {**LATER, **changed}.items() if v is not ...}
    return check_id_token(token_of(claims), expected, now=NOW + 60)


def test_a_refreshed_id_token_goes_on_with_the_first() -> None:
    """OC-29."""
    assert refreshed({}).expires_at == NOW + 360
    assert refreshed({}, nonce="nonce-1").subject == "ada"
    assert refreshed({}, iat=NOW).subject == "ada"  # within the same second
    assert refreshed({"auth_time": NOW - 9}, auth_time=NOW - 9).auth_time == NOW - 9
    assert refreshed({"auth_time": NOW - 9}).auth_time is None
    assert refreshed({}, auth_time=NOW - 9, aud=["client"]).auth_time == NOW - 9


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"sub": "grace"}, "its sub is another than that of the first"),
        ({"nonce": "nonce-2"}, "its nonce is not that of the login"),
        ({"auth_time": NOW + 50}, "its auth_time is another than that of the first"),
        ({"iat": NOW - 1}, "it was issued before the first ID Token"),
    ],
)
def test_a_refreshed_id_token_of_somebody_else_is_refused(
    changed: dict[str, Any], message: str
) -> None:
    """OC-29."""
    with pytest.raises(InvalidJWT, match=message):
        refreshed({"auth_time": NOW - 9}, **changed)


@pytest.mark.parametrize(
    "other", [{"issuer": "https://auth.example/other"}, {"claims": {**CLAIMS, "aud": ["client2"]}}]
)
def test_a_refreshed_id_token_of_another_issuer_or_client_is_refused(other: dict[str, Any]) -> None:
    """OC-29: also where both issuers are believed."""
    expected = Expected(
        is_issuer=lambda _: True,
        issuer=ISSUER,
        client_id="client",
        follows=attrs.evolve(checked(), **other),
    )
    with pytest.raises(InvalidJWT, match=r"its (iss|aud) is another than that of the first"):
        check_id_token(token_of(CLAIMS), expected, now=NOW)


def test_tokens_of_a_refresh_are_compared_before_anybody_looks_at_signatures() -> None:
    """OC-29."""
    before = written({"alg": "RS256"}, CLAIMS)

    check_same_person(before, written({"alg": "ES256"}, {**CLAIMS, "auth_time": 1}))
    check_same_person(before, written({"alg": "ES256"}, {**CLAIMS, "auth_time": [1]}))
    check_same_person(before, "a.b.c.d.e")
    with pytest.raises(InvalidJWT, match="has another auth_time than the one before"):
        check_same_person(
            written({"alg": "RS256"}, {**CLAIMS, "auth_time": 1}),
            written({"alg": "RS256"}, {**CLAIMS, "auth_time": [2]}),
        )
    with pytest.raises(InvalidJWT, match="has another iss, sub, aud than the one before"):
        check_same_person(before, written({"alg": "RS256"}, {"sub": "grace"}))


def test_no_refusal_shows_a_nonce_or_a_token() -> None:
    """AT-70."""
    expected = attrs.evolve(EXPECTED, nonce="canary", access_token="canary")
    for changed in ({}, {"nonce": "canary", "at_hash": "x"}, {"nonce": "canary", "sub": 7}):
        with pytest.raises(InvalidJWT) as caught:
            check_id_token(token_of({**CLAIMS, **changed}), expected, now=NOW)
        assert "canary" not in shown(caught.value)
        assert "canary" not in json.dumps(str(expected))
