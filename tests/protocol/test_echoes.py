"""A secret that a server echoes, in every spelling that one may come in."""

import html
import json
import random
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from oauthkit.errors import ErrorResponse
from oauthkit.protocol.answers import masked
from oauthkit.protocol.echoes import without_cut_secret, without_secrets
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token_endpoint import parse_token_response

SECRETS = {
    "plain": "canary-secret",
    "marks": "ca&na<r>y'\"/+ =;\\%sé🦜",
    "spaces": "canary is  a+bird",
    "base64": b64encode(b"reporter:canary?>").decode(),
    "like an escape": "can%61ry&amp;\\u0041",
}
Spelling = Callable[[str], str]


def lower(text: str) -> str:
    """Write percent-encoding as some servers do, in small letters."""
    return "".join(c.lower() if c == "%" or c in "ABCDEF" else c for c in text)


def units(text: str) -> list[int]:
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]


SPELLINGS: dict[str, Spelling] = {
    "as it is": str,
    "percent": lambda s: quote(s, safe=""),
    "percent, as a form": quote_plus,
    "percent, a slash left": quote,
    "percent, small": lambda s: "".join(f"%{b:02x}" for b in s.encode()),
    "percent, capital": lambda s: "".join(f"%{b:02X}" for b in s.encode()),
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON with slashes": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "JSON as it is read by browsers": lambda s: (
        json.dumps(s)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace("'", "\\u0027")
    ),
    "JSON, all": lambda s: "".join(f"\\u{u:04x}" for u in units(s)),
    "JSON, all capital": lambda s: "".join(f"\\u{u:04X}" for u in units(s)),
    "a script's": lambda s: "".join(f"\\x{ord(c):02x}" if c < "\x7f" else c for c in s),
    "HTML": html.escape,
    "HTML by names": lambda s: html.escape(s).replace("+", "&plus;").replace("/", "&sol;"),
    "HTML, decimal": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "HTML, hexadecimal": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "HTML, padded": lambda s: "".join(f"&#X{ord(c):06X};" for c in s),
}
TWICE = {
    f"{inner}, then {outer}": (SPELLINGS[inner], SPELLINGS[outer])
    for inner in SPELLINGS
    for outer in ("percent", "JSON", "HTML", "HTML, decimal")
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_masked_however_it_is_escaped(secret: str, spelling: Spelling) -> None:
    """AT-69."""
    echo = f"wrong: {spelling(secret)} was sent"

    assert without_secrets(echo, [secret]) == "wrong: *** was sent"


@pytest.mark.parametrize("inner, outer", TWICE.values(), ids=TWICE)
def test_a_secret_is_masked_that_is_escaped_twice(inner: Spelling, outer: Spelling) -> None:
    """AT-69: as a page shows an address that it was called with."""
    for name in ("plain", "marks", "spaces", "base64"):
        echo = outer(f"wrong: {inner(SECRETS[name])} was sent")
        shown = without_secrets(echo, [SECRETS[name]])

        assert "***" in shown, name
        assert shown.replace("***", "") in {
            outer("wrong: ") + outer(" was sent"),
            "wrong:  was sent",
            # one run of escapes is masked whole
            shown.replace("***", "") if len(shown) < len(echo) / 2 + 30 else "",
        }, name


def test_a_secret_is_masked_whose_letters_are_each_escaped_in_another_way() -> None:
    """AT-69."""
    ways = [SPELLINGS[n] for n in ("as it is", "percent, small", "JSON, all", "HTML, decimal")]
    chance = random.Random(7)  # noqa: S311 - the same every time
    for _ in range(200):
        echo = "".join(chance.choice(ways)(c) for c in "canary/secret?")
        assert without_secrets(f"<{echo}>", ["canary/secret?"]) == "<***>"


@pytest.mark.parametrize("before", ["", "a", "ab", "reporter:"])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_a_secret_is_masked_within_base64(before: str, encode: Callable[[bytes], bytes]) -> None:
    """AT-69: as whoever sends Basic credentials finds them in the answer."""
    secret = "canary~?>~~~secret"
    echo = encode(f"{before}{secret}".encode()).decode()
    shown = without_secrets(echo, [secret])

    assert "***" in shown
    assert len(shown.replace("***", "")) <= len(before) * 4 / 3 + 6


def test_base64_without_its_padding_is_the_same() -> None:
    """AT-69."""
    secret = b64encode(b"reporter:canary").decode()
    assert secret.endswith("=") is False
    padded = b64encode(b"reporter:canarybird").decode()

    assert without_secrets(f"<{padded.rstrip('=')}>", [padded]) == "<***>"
    assert without_secrets(f"<{quote(padded, safe='')}>", [padded]) in {"<***>", "<***%3D>"}


@pytest.mark.parametrize(
    "written, read",
    [
        ("latin-1", "utf-8"),  # with a question mark for what Latin-1 does not have
        ("ascii", "utf-8"),
        ("utf-8", "latin-1"),
        ("utf-8", "cp1252"),
    ],
)
def test_a_secret_is_masked_that_was_written_in_one_encoding_and_read_in_another(
    written: str, read: str
) -> None:
    """AT-69."""
    echo = f"wrong: {SECRETS['marks']} was sent".encode(written, errors="replace")
    shown = without_secrets(echo.decode(read, errors="replace"), [SECRETS["marks"]])

    assert shown == "wrong: *** was sent"


def test_secrets_that_overlap_or_stand_side_by_side_are_masked_whole() -> None:
    assert without_secrets("abcdefgh", ["abcdef", "defgh", "cdef"]) == "***"
    assert without_secrets("abcd efgh abcd", ["abcd", "efgh"]) == "*** *** ***"


def test_what_is_short_or_absent_is_left() -> None:
    text = "a%20b &amp; \\n &nothing; %zz \\q é"

    assert without_secrets(text, ["a b"]) == text
    assert without_secrets(text, ["canary"]) == text
    assert without_secrets("", ["canary"]) == ""


def test_escapes_within_escapes_have_an_end() -> None:
    """A server that escapes without end does not keep anybody busy."""
    echo = "canary secret"
    for _ in range(20):
        echo = quote(echo, safe="")

    assert without_secrets(echo, ["canary secret"]) == echo
    assert without_cut_secret(echo, ["canary secret"]) == echo


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_no_beginning_of_a_secret_is_left_where_a_text_was_cut(spelling: Spelling) -> None:
    """AT-69."""
    secret = "canary/&secret<that>is'long"
    echo = f"wrong: {spelling(secret)}"
    for length in range(7, len(echo)):
        left = without_cut_secret(echo[:length], [secret])
        assert left in {"wrong: ", echo[:length]}
        assert left == "wrong: " or html.unescape(left[7:]).count("canar") == 0


def test_a_long_answer_is_cut_before_a_secret_that_does_not_fit() -> None:
    """AT-69."""
    secret = "canary" * 400
    for escape in SPELLINGS.values():
        shown = masked("x" * 4_000 + " " + escape(secret), secrets=[secret])
        assert shown.startswith("x" * 3_900)
        assert "c" not in shown
        assert not any(mark in shown for mark in ("%63", "0063", "x63", "&#99"))


@pytest.mark.parametrize(
    "challenge, shown",
    [
        ("Basic cmVwb3J0ZXI6Y2FuYXJ5", "Basic ***"),
        ("Negotiate abc==, Basic realm=x", "Negotiate ***, Basic realm=x"),
        ('Basic realm="canary secret"', 'Basic realm="***"'),
        ('Bearer error="invalid_token", scope="a b"', 'Bearer error="invalid_token", scope="a b"'),
        ("Basic", "Basic"),
        ('Digest nonce="0123456789abcdef0123456789"', 'Digest nonce="***"'),
    ],
)
@pytest.mark.parametrize("status", [400, 401])
def test_a_challenge_shows_no_credentials(challenge: str, shown: str, status: int) -> None:
    """AT-69: not those that the server sends back in place of a challenge either."""
    response = HTTPResponse(
        status,
        {"content-type": "application/json", "www-authenticate": challenge},
        b'{"error":"invalid_client"}',
    )
    server = AuthorizationServer("https://auth.example/token")

    with pytest.raises(ErrorResponse) as caught:
        parse_token_response(server, response, requested_at=0.0, secrets=["canary secret"])

    assert caught.value.www_authenticate == (shown,)
