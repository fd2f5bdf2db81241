"""Whatever is sent as a token or as keys is read, or refused by an error of ours."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from oauthkit import InvalidJWT
from oauthkit.jose.issuing import new_key, signed_jwt
from oauthkit.jose.verifying import is_signed_by
from oauthkit.protocol.compact import SignedToken, read_signed
from oauthkit.protocol.id_token import Expected, Identity, check_id_token
from oauthkit.protocol.keys import ALGORITHMS, KeySet, key_set
from oauthkit.protocol.logout_token import LogoutToken, check_logout_token
from tests.tokens import base64url, public_key, token_of, written

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
EXPECTED = Expected(
    is_issuer="https://a.example".__eq__, issuer="https://a.example", client_id="a", nonce="n"
)
CLAIMS: dict[str, Any] = {
    "iss": "https://a.example",
    "sub": "ada",
    "aud": "a",
    "iat": 0,
    "exp": 100,
    "nonce": "n",
}
NAMES = ["azp", "acr", "amr", "auth_time", "at_hash", "events", "nbf", "sid", "jti", *CLAIMS]
JWK = {**public_key("RS256").members}
KEY_MEMBERS = [*JWK, "crv", "x", "y", "key_ops", "d", "k", "x5c"]
TOKEN = read_signed(signed_jwt({"alg": "RS256"}, CLAIMS, new_key("RS256", 1)))


def read(text: str) -> SignedToken | None:
    try:
        return read_signed(text)
    except ValueError:
        return None


@given(st.text(max_size=60) | st.text(alphabet="abcA_-.=", max_size=60))
@example("..")
@example(f"{base64url('{}')}..")
def test_no_text_is_read_into_a_foreign_error(text: str) -> None:
    """JO-05, JO-07."""
    token = read(text)

    assert token is None or text.startswith(token.signed.decode())


@given(JSON, st.binary(max_size=40))
def test_no_header_is_read_into_a_foreign_error(header: Any, payload: bytes) -> None:
    """JO-07."""
    token = read(written(json.dumps(header), payload))

    assert token is None or isinstance(header, dict)


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_no_claims_are_checked_into_a_foreign_error(changed: dict[str, Any]) -> None:
    """OC-13, OC-14, OC-15."""
    for check, kind in ((check_id_token, Identity), (check_logout_token, LogoutToken)):
        try:
            found: object = check(token_of({**CLAIMS, **changed}), EXPECTED, now=50.0)
        except InvalidJWT:
            continue
        assert isinstance(found, kind)


@given(st.dictionaries(st.sampled_from(KEY_MEMBERS), JSON, min_size=1, max_size=4))
def test_no_key_is_tried_into_a_foreign_error(changed: dict[str, Any]) -> None:
    """JO-08: and one whose numbers are others has signed nothing."""
    keys: KeySet = key_set([{**JWK, **changed}])
    others = {name for name in ("n", "e") if changed.get(name, JWK[name]) != JWK[name]}
    for algorithm in ALGORITHMS:
        for key in keys.candidates(algorithm, None):
            assert not (is_signed_by(TOKEN, key) and others)
