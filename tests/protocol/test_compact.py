"""A signed token as a text: what is read, and what is refused before anybody believes it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from oauthkit.protocol.compact import (
    decoded,
    is_encrypted,
    read_encrypted_header,
    read_signed,
)
from tests.tokens import base64url, written

VECTORS = Path(__file__).parents[1] / "vectors"
JWS = json.loads((VECTORS / "rfc7515.json").read_text())
JWT = json.loads((VECTORS / "rfc7519.json").read_text())
HEADER, PAYLOAD, SIGNATURE = (base64url(part) for part in ('{"alg":"RS256"}', '{"a":1}', "s"))


def test_the_published_token_is_read() -> None:
    """JO-17: RFC 7519 §3.1, whose JSON has line breaks in it."""
    token = read_signed(JWT["hs256"]["compact"])

    assert (token.algorithm, token.key_id, token.type) == ("HS256", None, "jwt")
    assert token.claims() == JWT["hs256"]["claims"]
    assert token.signed == JWT["hs256"]["compact"].rpartition(".")[0].encode()
    assert len(token.signature) == 32


@pytest.mark.parametrize(
    "typ, kind",
    [("JWT", "jwt"), ("application/at+jwt", "at+jwt"), ("Logout+JWT", "logout+jwt"), (None, None)],
)
def test_the_type_is_told_in_one_way(typ: str | None, kind: str | None) -> None:
    assert read_signed(written({"alg": "RS256", "typ": typ})).type == kind


def test_what_names_no_algorithm_has_an_empty_one() -> None:
    assert read_signed(written({"kid": "a"})).algorithm == ""


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}.{PAYLOAD}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}.{SIGNATURE}",
        "",
        "..",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}=.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}==",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}\n",
        f" {HEADER}.{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD[:4]} {PAYLOAD[4:]}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.ab+/",
        f"{HEADER}.{PAYLOAD}.äb",
        f"{HEADER}.{PAYLOAD}.abcde",
        '{"payload":"","signatures":[]}',
    ],
)
def test_what_is_no_three_parts_of_base64url_is_refused(text: str) -> None:
    """JO-05."""
    with pytest.raises(ValueError, match=r"base64url|parts|no JSON object"):
        read_signed(text)


@pytest.mark.parametrize("part", ["cw", "cw0", "cwAA", ""])
def test_a_part_is_taken_in_its_one_spelling(part: str) -> None:
    assert decoded(part, "part") == {"cw": b"s", "cw0": b"s\r", "cwAA": b"s\0\0", "": b""}[part]


@pytest.mark.parametrize("part", ["cx", "cw1", "AAAAcx", "AAAAcw1"])
def test_a_part_with_bits_left_over_is_refused(part: str) -> None:
    """JO-05: else two texts would be one token."""
    with pytest.raises(ValueError, match="its part is not base64url without padding"):
        decoded(part, "part")


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"RS256","alg":"none"}',
        '{"alg":"RS256","x":{"a":1,"a":2}}',
    ],
)
def test_a_member_that_stands_twice_in_the_header_is_refused(header: str) -> None:
    """JO-06, AT-54."""
    with pytest.raises(ValueError, match=r"its header is no JSON object: .*twice"):
        read_signed(written(header))


def test_a_claim_that_stands_twice_is_refused() -> None:
    """JO-06, AT-54."""
    token = read_signed(written({"alg": "RS256"}, '{"sub":"ada","sub":"grace"}'))

    with pytest.raises(ValueError, match=r"its payload is no JSON object: .*twice"):
        token.claims()


@pytest.mark.parametrize(
    "payload",
    [
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":1} {}',
        b'\xef\xbb\xbf{"exp":1}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        '{"exp":1}'.encode("utf-16"),
        b"[]",
        b"null",
        b'"text"',
        b"",
        b'{"a":' + b"[" * 50_000,
        b'{"exp":' + b"9" * 50_000 + b"}",
    ],
    ids=range(13),
)
def test_what_is_no_finite_json_object_is_refused_in_a_moment(payload: bytes) -> None:
    """JO-07, AT-55, AT-56, AT-58."""
    started = time.process_time()
    token = read_signed(written({"alg": "RS256"}, payload))
    with pytest.raises(ValueError, match=r"^its payload is no JSON object: "):
        token.claims()
    with pytest.raises(ValueError, match=r"^its header is "):
        read_signed(written(payload))
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "crit",
    [
        ["http://example.com/UNDEFINED"],
        [],
        ["alg"],
        ["absent"],
        ["b64"],
        ["exp", "exp"],
        None,
        "b64",
    ],
    ids=str,
)
def test_what_calls_anything_critical_is_refused(crit: Any) -> None:
    """JO-04, AT-39."""
    header = {"alg": "RS256", "b64": False, "exp": 1, "crit": crit}

    with pytest.raises(ValueError, match="critical"):
        read_signed(written(header))


def test_the_published_critical_header_is_refused() -> None:
    """JO-04, JO-17: RFC 7515 Appendix E."""
    with pytest.raises(ValueError, match="critical"):
        read_signed(f"{JWS['crit']['compact']}")


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
@pytest.mark.parametrize("value", [1, ["RS256"], {}, True], ids=str)
def test_a_name_in_the_header_that_is_no_text_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^its {name} is no text$"):
        read_signed(written({"alg": "RS256", name: value}))


def test_a_long_token_is_refused_before_it_is_decoded() -> None:
    """JO-23, AT-46."""
    with pytest.raises(ValueError, match="longer than 131072 characters"):
        read_signed(f"{HEADER}.{'A' * 131_072}.{SIGNATURE}")
    with pytest.raises(ValueError, match="header is longer than 16384 characters"):
        read_signed(f"{'!' * 16_385}.{PAYLOAD}.{SIGNATURE}")
    with pytest.raises(ValueError, match="five parts"):
        read_encrypted_header(f"{HEADER}....{'A' * 131_072}")
    assert len(read_signed(f"{HEADER}.{'A' * 100_000}.{SIGNATURE}").payload) == 75_000


def test_a_long_kid_is_refused() -> None:
    """AT-40."""
    assert read_signed(written({"alg": "RS256", "kid": "k" * 1_024})).key_id == "k" * 1_024
    with pytest.raises(ValueError, match="kid is longer than 1024 characters"):
        read_signed(written({"alg": "RS256", "kid": "k" * 1_025}))


def test_an_encrypted_token_is_no_signed_one() -> None:
    """AT-48: which form it has is not the sender's choice."""
    with pytest.raises(ValueError, match="it is encrypted, and was to be signed alone"):
        read_signed(JWT["encrypted"]["compact"])
    assert is_encrypted(JWT["encrypted"]["compact"])
    assert not is_encrypted(JWT["hs256"]["compact"])


def test_the_header_of_an_encrypted_token_is_read() -> None:
    assert read_encrypted_header(JWT["encrypted"]["compact"]) == {
        "alg": "RSA1_5",
        "enc": "A128CBC-HS256",
    }
    with pytest.raises(ValueError, match="five parts with dots between"):
        read_encrypted_header(JWT["hs256"]["compact"])
    with pytest.raises(ValueError, match="its header is not base64url"):
        read_encrypted_header("=....")


@pytest.mark.parametrize(
    "text",
    [written({"alg": "RS256", "typ": ["canary"]}), "canary", written("canary"), "canary=.canary."],
)
def test_no_refusal_shows_what_it_refuses(text: str) -> None:
    """AT-70."""
    with pytest.raises(ValueError, match=r"^(its|a signed)") as caught:
        read_signed(text)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_no_printed_token_shows_what_is_in_it() -> None:
    """AT-70."""
    token = read_signed(written({"alg": "RS256", "jku": "canary"}, {"sub": "canary"}, b"canary"))

    assert repr(token).startswith("SignedToken(header=<'alg', 'jku'>, algorithm='RS256'")
    assert "canary" not in repr(token)
