"""A JWT that is signed: its bytes, and who may sign it."""

import json
import math
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import attrs
import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.jwt import compact, sign_jwt, signing_input

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc7523.json").read_text())


@attrs.define
class Echo:
    """Be a signer in a key service that gives what it was asked to sign."""

    alg: Any = "ES256"
    key_id: Any = None
    answer: Any = None

    async def sign(self, data: bytes, /) -> bytes:
        return data if self.answer is None else self.answer


def decoded(part: str) -> Any:
    return json.loads(urlsafe_b64decode(part + "=="))


def test_header_and_claims_are_json_without_spaces_in_base64url_without_padding() -> None:
    example = VECTORS["example"]

    signed = signing_input(example["header"], example["claims"])

    header, claims = signed.decode().split(".")
    assert (decoded(header), decoded(claims)) == (example["header"], example["claims"])
    assert urlsafe_b64decode(header + "==") == b'{"alg":"ES256","kid":"16"}'
    assert "=" not in header + claims


def test_the_compact_form_ends_with_the_signature() -> None:
    assert compact(b"e30.e30", b"\xff\xfe?") == "e30.e30.__4_"


def test_texts_are_utf_8() -> None:
    header, claims = signing_input({}, {"name": "Ångström"}).decode().split(".")

    assert header == "e30"
    assert urlsafe_b64decode(claims + "==") == '{"name":"Ångström"}'.encode()


async def test_the_header_names_the_algorithm_the_key_and_the_type() -> None:
    """JA-14: the kid is that of the signer."""
    jwt = await sign_jwt(
        Echo(key_id="2026-11"), {"iss": "app"}, typ="JWT", header={"alg": "none", "x5t": "a"}
    )

    header, claims, signature = jwt.split(".")
    assert decoded(header) == {"x5t": "a", "alg": "ES256", "kid": "2026-11", "typ": "JWT"}
    assert decoded(claims) == {"iss": "app"}
    assert urlsafe_b64decode(signature + "==").decode() == f"{header}.{claims}"


async def test_what_is_not_given_is_not_in_the_header() -> None:
    header, _, _ = (await sign_jwt(Echo(), {})).split(".")

    assert decoded(header) == {"alg": "ES256"}


@pytest.mark.parametrize("claims", [{"a": math.nan}, {"a": b"s3cret"}, {"a": "\ud800s3cret"}])
async def test_claims_that_are_no_json_are_refused_and_not_shown(claims: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="claims of a JWT must be JSON") as caught:
        await sign_jwt(Echo(), claims)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("answer", ["text", b""])
async def test_a_signature_is_bytes(answer: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Echo\.sign must return the signature as bytes"):
        await sign_jwt(Echo(answer=answer), {})


@pytest.mark.parametrize("alg", ["none", "NONE", "", None, 256])
async def test_what_signs_nothing_is_no_algorithm(alg: Any) -> None:
    """JA-09."""
    with pytest.raises(ConfigurationError, match="'none' signs nothing, and is never taken"):
        await sign_jwt(Echo(alg=alg), {})


@pytest.mark.parametrize("key_id", ["", 7])
async def test_a_kid_is_a_text(key_id: Any) -> None:
    with pytest.raises(ConfigurationError, match="must have the kid of its key as `key_id`"):
        await sign_jwt(Echo(key_id=key_id), {})


async def test_what_has_no_sign_is_no_signer() -> None:
    with pytest.raises(ConfigurationError, match=r"takes a Signer with sign\(\), not an object"):
        await sign_jwt(object(), {})  # type: ignore[arg-type]
