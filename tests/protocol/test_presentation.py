import json
import re
from pathlib import Path

import pytest

from oauthkit.errors import ResponseError
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.token import Token

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6750.json").read_text())


def test_the_header_is_the_published_one() -> None:
    """BT-02, BT-04, BT-05: RFC 6750 §2.1; there is no way into a body or a query."""
    published = VECTORS["header"]

    assert BEARER.authorization(Token(published["token"])) == published["authorization"]


@pytest.mark.parametrize("token_type", ["bearer", "BEARER", "bEARER", "Bearer"])
def test_bearer_is_bearer_in_any_case_of_letters(token_type: str) -> None:
    """O2-28."""
    assert BEARER.authorization(Token("abc", token_type=token_type)) == "Bearer abc"


@pytest.mark.parametrize(
    "token_type", ["mac", "pop", "DPoP", "N_A", "urn:x", "", "bearer ", "\uff22EARER"]
)
def test_a_token_of_another_type_is_never_sent_as_bearer(token_type: str) -> None:
    """O2-29, AT-67."""
    with pytest.raises(ResponseError, match="only Bearer tokens"):
        BEARER.authorization(Token("abc", token_type=token_type))


@pytest.mark.parametrize(
    "access_token",
    [
        "",
        "a b",
        "a\r\nX-Injected: 1",
        "a\n",
        "a\x00b",
        "a\tb",
        "a\x7fb",
        "a\x1bb",
        "é",
        "a\u2028b",
        "\ud800",
    ],
)
def test_a_token_that_would_break_out_of_the_header_is_refused(access_token: str) -> None:
    """BT-03, AT-63."""
    with pytest.raises(ResponseError, match="no header") as caught:
        BEARER.authorization(Token(access_token))

    assert not access_token or access_token not in str(caught.value)


@pytest.mark.parametrize("access_token", ["a" * 16_384, "aZ09-._~+/==", "a.b.c", "a:b,c;d"])
def test_a_token_of_visible_characters_is_sent_as_it_is(access_token: str) -> None:
    """O2-31."""
    assert BEARER.authorization(Token(access_token)) == f"Bearer {access_token}"


def test_the_refusal_escapes_the_type_that_came() -> None:
    """AT-65."""
    with pytest.raises(ResponseError, match=re.escape(r"\\x1b[31m")):
        BEARER.authorization(Token("abc", token_type="\x1b[31m"))
