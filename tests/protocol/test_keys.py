"""Which key may have signed, and by what; keys that are odd harm nobody but themselves."""

import json
from pathlib import Path
from typing import Any

import pytest

from oauthkit import ConfigurationError, ErrorResponse, OAuthKitError, Recovery, ResponseError
from oauthkit.protocol.keys import (
    allowed_algorithms,
    build_keys_request,
    key_set,
    least_secret,
    parse_keys_response,
)
from oauthkit.protocol.messages import HTTPResponse

VECTORS = Path(__file__).parents[1] / "vectors"
JWK = json.loads((VECTORS / "rfc7517.json").read_text())
RSA: dict[str, Any] = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}


def allowed(registered: str | None = None, supported: tuple[str, ...] | None = None) -> set[str]:
    return {*allowed_algorithms("the ID Token", registered=registered, supported=supported)}


def answered(document: object, status: int = 200, /, **headers: str) -> HTTPResponse:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HTTPResponse(status, headers, content)


# Which algorithms


def test_what_is_registered_is_the_only_one() -> None:
    """JO-01, OC-10: neither the header nor the metadata has a say."""
    assert allowed("ES256", ("RS256", "PS256")) == {"ES256"}
    assert allowed("HS256", ("RS256",)) == {"HS256"}


def test_what_nobody_says_is_rs256() -> None:
    """OC-10."""
    assert allowed() == {"RS256"}


def test_the_metadata_says_what_a_server_signs_with_but_never_a_mac_or_nothing() -> None:
    """JO-01, JO-02, OC-12."""
    assert allowed(None, ("none", "HS256", "RS256", "ES256", "unheard-of")) == {"RS256", "ES256"}


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519_are_one(name: str) -> None:
    """JO-18."""
    assert allowed(name) == allowed(None, (name,)) == {"EdDSA", "Ed25519"}


@pytest.mark.parametrize(
    "registered, supported",
    [("none", None), ("None", None), ("", None), (None, ()), (None, ("HS256", "none"))],
)
def test_where_no_algorithm_is_left_that_is_said(
    registered: str | None, supported: tuple[str, ...] | None
) -> None:
    """JO-01, OC-12, AT-36: an empty list never means all of them."""
    with pytest.raises(ConfigurationError, match="no algorithm is left by which the ID Token"):
        allowed(registered, supported)


def test_a_secret_has_as_many_octets_as_the_hash() -> None:
    """OC-11."""
    assert [least_secret(f"HS{bits}") for bits in (256, 384, 512)] == [32, 48, 64]


# Which keys


def test_the_published_set_has_a_key_for_each_kind() -> None:
    """JO-17: RFC 7517 Appendix A.1, whose EC key is for encryption."""
    keys = key_set(JWK["public"]["jwks"]["keys"])

    assert not keys.had_private
    assert [key.key_id for key in keys.candidates("RS256", None)] == ["2011-04-29"]
    assert keys.candidates("ES256", None) == []


def test_private_members_are_dropped_and_told_and_a_secret_is_no_key_of_a_server() -> None:
    """JO-12."""
    keys = key_set([*JWK["private"]["jwks"]["keys"], *JWK["symmetric"]["jwks"]["keys"]])

    assert keys.had_private
    assert len(keys.keys) == 2
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {
        name for key in keys.keys for name in key.members
    }
    assert keys.candidates("HS256", None) == []


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "unheard-of"},
        {"kty": ["RSA"]},
        {"kty": None},
        {},
        {**RSA, "use": ["sig"]},
        {**RSA, "alg": {}},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "EC"},
        {**RSA, "use": "enc"},
        {**RSA, "key_ops": ["sign"]},
        {**RSA, "alg": "RS512"},
        {**RSA, "alg": "none"},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_that_is_odd_or_meant_for_something_else_is_passed_over(
    odd: dict[str, Any], algorithm: str
) -> None:
    """JO-08, JO-09, AT-42."""
    good = RSA if algorithm == "RS256" else {"kty": "EC", "crv": "P-256"}

    found = key_set([odd, good]).candidates(algorithm, None)

    assert [key.members for key in found] == [good]


@pytest.mark.parametrize(
    "members",
    [
        {"use": "sig"},
        {"use": None, "alg": None},
        {"key_ops": ["verify", "sign"]},
        {"key_ops": "verify"},
        {"alg": "RS256"},
    ],
    ids=json.dumps,
)
def test_a_key_that_is_meant_for_signatures_or_does_not_say_is_taken(members: Any) -> None:
    """JO-09."""
    assert len(key_set([{**RSA, **members}]).candidates("RS256", None)) == 1


def test_a_key_of_ed25519_is_good_under_both_names() -> None:
    """JO-18."""
    for name in ("EdDSA", "Ed25519", None):
        keys = key_set([{"kty": "OKP", "crv": "Ed25519", "alg": name}])
        assert len(keys.candidates("EdDSA", None)) == len(keys.candidates("Ed25519", None)) == 1
    assert key_set([{"kty": "OKP", "crv": "X25519"}]).candidates("EdDSA", None) == []


def test_a_kid_is_compared_exactly_and_decoys_with_the_same_one_are_passed_over() -> None:
    """JO-11, AT-40, AT-41."""
    keys = key_set(
        [
            {"kty": "EC", "crv": "P-256", "kid": "a"},
            {**RSA, "kid": "a", "use": "enc"},
            {**RSA, "kid": "A"},
            {**RSA, "kid": "a", "e": "Aw"},
            {**RSA, "kid": 7},
        ]
    )

    assert [key.members["e"] for key in keys.candidates("RS256", "a")] == ["Aw"]
    assert keys.candidates("RS256", "../a") == keys.candidates("RS256", "7") == []
    assert len(keys.candidates("RS256", None)) == 3
    assert keys.has("A")
    assert not keys.has("b")
    assert not keys.has("7")
    assert not keys.has(None)


# The answer of jwks_uri


def test_the_keys_are_asked_for_by_a_plain_get() -> None:
    request = build_keys_request("https://auth.example/jwks")

    assert (request.method, request.url, request.content) == (
        "GET",
        "https://auth.example/jwks",
        b"",
    )
    assert "application/json" in request.headers["accept"]


def test_the_keys_of_an_answer_are_read_whatever_its_content_type() -> None:
    headers = {"content-type": "text/html"}
    response = answered({"keys": [RSA, "text", None, 7]}, 200, **headers)

    assert len(parse_keys_response(response, now=0).keys) == 1


@pytest.mark.parametrize(
    "response, message",
    [
        (answered(b"<html>"), "cannot be read"),
        (answered(b"[]"), "cannot be read"),
        (answered({}), "list of keys"),
        (answered({"keys": {"kty": "RSA"}}), "list of keys"),
        (answered({"keys": []}), "no key that a signature"),
        (answered({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), "no key that a signature"),
        (answered({"keys": [RSA]}, 201), "should answer with a 200"),
        (answered(b"", 404), "jwks_uri"),
        (answered(b"", 302, location="https://evil.example/jwks"), "redirect"),
        (answered(b'{"keys":[],"keys":[]}'), "twice"),
    ],
)
def test_an_answer_without_keys_is_an_error(response: HTTPResponse, message: str) -> None:
    """AT-45."""
    with pytest.raises(ResponseError, match=message):
        parse_keys_response(response, now=0)


def test_a_server_that_is_down_says_when_to_come_again() -> None:
    """AT-45."""
    response = answered(b"", 503, **{"retry-after": "20"})

    with pytest.raises(OAuthKitError) as caught:
        parse_keys_response(response, now=0)

    assert not isinstance(caught.value, ErrorResponse)
    assert (caught.value.recovery, caught.value.retry_after) == (Recovery.RETRY_LATER, 20)


def test_of_very_many_keys_the_first_thousand_are_looked_at() -> None:
    """AT-45."""
    response = answered({"keys": [{**RSA, "kid": str(number)} for number in range(1_500)]})

    assert len(parse_keys_response(response, now=0).keys) == 1_000


def test_no_printed_key_shows_its_members() -> None:
    assert repr(key_set([{**RSA, "kid": "a"}])) == "KeySet(keys=(PublicKey(),), had_private=False)"
