import json
import re
from pathlib import Path

import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.pkce import check_verifier, new_verifier, s256_challenge

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc7636.json").read_text())


def test_a_fresh_verifier_has_43_unreserved_characters() -> None:
    """PK-01."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", new_verifier())


def test_verifiers_do_not_repeat() -> None:
    """O2-42, PK-07."""
    verifiers = {new_verifier() for _ in range(10_000)}

    assert len(verifiers) == 10_000
    assert len({verifier[:12] for verifier in verifiers}) == 10_000


@pytest.mark.parametrize("length", [VECTORS["lengths"]["shortest"], VECTORS["lengths"]["longest"]])
def test_a_verifier_of_a_length_at_the_border_is_accepted(length: int) -> None:
    """PK-02."""
    verifier = ("aZ0-._~" * 19)[:length]

    assert check_verifier(verifier) == verifier


@pytest.mark.parametrize(
    "verifier", ["", "a" * 42, "a" * 129, "a" * 42 + "+", "a" * 42 + "é", "a" * 43 + "\n"]
)
def test_another_text_is_no_verifier(verifier: str) -> None:
    """PK-02."""
    with pytest.raises(ConfigurationError, match="43 to 128"):
        check_verifier(verifier)


def test_the_challenge_is_the_published_one_without_padding() -> None:
    """PK-03."""
    published = VECTORS["s256"]

    assert s256_challenge(published["code_verifier"]) == published["code_challenge"]
