import json
from contextlib import suppress
from time import process_time
from urllib.parse import quote

import pytest

from oauthkit.errors import Recovery, ResponseError
from oauthkit.protocol.answers import decode_fields, excerpt, masked, unusable
from oauthkit.protocol.echoes import without_secrets
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.secret import Unprintable

FORM = "application/x-www-form-urlencoded"
MEBIBYTE = 1_048_576


def answer(body: str | bytes, content_type: str | None = "application/json") -> HTTPResponse:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return HTTPResponse(200, headers, body if isinstance(body, bytes) else body.encode())


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("application/json", '{"access_token": "a", "scope": "b c"}'),
        ("Application/JSON; charset=UTF-8", ' {"access_token":"a","scope":"b c"}\n'),
        ("text/json", '{"access_token":"a","scope":"b c"}'),
        ("application/problem+json", '{"access_token":"a","scope":"b c"}'),
        ("text/plain", '{"access_token":"a","scope":"b c"}'),
        ("text/html", '\r\n{"access_token":"a","scope":"b c"}'),
        ("", '{"access_token":"a","scope":"b c"}'),
        (None, '{"access_token":"a","scope":"b c"}'),
        (FORM, "access_token=a&scope=b+c"),
        (f"{FORM}; charset=utf-8", "access_token=a&scope=b%20c\n"),
        ("text/plain", "access_token=a&scope=b%20c"),
        (None, "access_token=%61&scope=b+c"),
        ("application/xml", "<r><access_token>a</access_token><scope>b c</scope></r>"),
        ("text/xml; charset=utf-8", "<r><access_token>a</access_token><scope>b c</scope></r>"),
        ("application/soap+xml", "<r><access_token>a</access_token><scope>b c</scope></r>"),
    ],
)
def test_the_fields_are_read_in_the_format_that_the_answer_has(
    content_type: str | None, body: str
) -> None:
    """AT-59: a form-encoded answer too."""
    fields = decode_fields(answer(body, content_type))

    assert fields == {"access_token": "a", "scope": "b c"}
    assert isinstance(fields, Unprintable)


@pytest.mark.parametrize(
    "content_type, body, reason",
    [
        ("application/json", "", "Expecting value"),
        ("application/json", "[]", "object was expected, not list"),
        ("application/json", "null", "object was expected, not NoneType"),
        ("application/json", '"text"', "object was expected, not str"),
        ("application/json", "access_token=a", "Expecting value"),
        ("application/json", '{"a":1}{"a":1}', "Extra data"),
        ("application/json", '{"a":1,}', "property name|trailing comma"),
        ("application/json", "callback({})", "Expecting value"),
        ("text/plain", "", "it is empty"),
        (None, " \n ", "it is empty"),
        ("text/plain", "nonsense", "neither JSON nor form"),
        ("text/plain", "a=b c=d", "not form-urlencoded"),
        ("text/plain", "[1]", "neither JSON nor form"),
        ("text/html", "a=b", "neither JSON nor form"),
        ("text/html", "<html><body>Log in</body></html>", "neither JSON nor form"),
        ("application/xhtml+xml", "<html><a>1</a></html>", "neither JSON nor form"),
        (FORM, "", "not form-urlencoded"),
        (FORM, '{"a":1}', "not form-urlencoded"),
        (FORM, "<html>", "not form-urlencoded"),
        (FORM, "a=b&c", "not form-urlencoded"),
        ("application/xml", '{"a":1}', "not well-formed"),
        ("image/png", "\x89PNG", "neither JSON nor form"),
    ],
)
def test_what_is_no_object_of_named_fields_is_refused(
    content_type: str | None, body: str, reason: str
) -> None:
    """O2-34, AT-59: HTML is never read, and no error of a reader escapes."""
    with pytest.raises(ResponseError, match=reason) as caught:
        decode_fields(answer(body, content_type))

    assert caught.value.status_code == 200
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("application/json", '{"access_token":"one","access_token":"two"}'),
        ("application/json", '{"a":{"sub":1,"sub":1}}'),
        (FORM, "access_token=one&access_token=two"),
        (FORM, "a=1&%61=2"),
        ("application/xml", "<r><a>1</a><a>2</a></r>"),
    ],
)
def test_a_member_that_stands_there_twice_is_refused(content_type: str, body: str) -> None:
    """AT-54."""
    with pytest.raises(ResponseError, match="twice"):
        decode_fields(answer(body, content_type))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_refused(constant: str) -> None:
    """AT-55."""
    with pytest.raises(ResponseError, match="is not JSON"):
        decode_fields(answer(f'{{"expires_in":{constant}}}'))


def test_a_number_beyond_every_float_becomes_the_largest() -> None:
    """AT-55: so that it can be written as JSON again."""
    fields = decode_fields(answer('{"a":1e999,"b":-1e999,"c":1.5,"d":-0,"e":-0.0}'))

    assert fields == {"a": 1e308, "b": -1e308, "c": 1.5, "d": 0, "e": 0.0}
    assert json.loads(json.dumps(fields)) == fields


def test_an_endless_integer_is_refused_at_once() -> None:
    """AT-55."""
    with pytest.raises(ResponseError, match="integer"):
        decode_fields(answer('{"expires_in":' + "9" * 5_000 + "}"))


@pytest.mark.parametrize(
    "content, content_type",
    [
        ('{"a":"ä"}'.encode("latin-1"), "application/json; charset=latin-1"),
        ('{"a":"ä"}'.encode("utf-16"), "application/json"),
        (b'{"a":"\xff"}', "application/json"),
        (b'{"a":"\xed\xa0\x80"}', "application/json"),
        (b"a=%FF", FORM),
        (b"a=\xff", FORM),
        (b"<r><a>\xff</a></r>", "application/xml"),
    ],
)
def test_what_is_not_utf_8_is_refused(content: bytes, content_type: str) -> None:
    """AT-58: never mojibake."""
    with pytest.raises(ResponseError, match="not UTF-8"):
        decode_fields(answer(content, content_type))


@pytest.mark.parametrize(
    "body",
    ['{"a":"\\ud800"}', '{"\\uDC00":1}', '{"a":[{"b":"x\\udfff"}]}', '{"a":"\\udc00\\ud800"}'],
)
def test_a_lone_surrogate_is_refused(body: str) -> None:
    """AT-58."""
    with pytest.raises(ResponseError, match="surrogate"):
        decode_fields(answer(body))


def test_a_pair_of_surrogates_is_a_character() -> None:
    """AT-58."""
    assert decode_fields(answer('{"a":"\\ud83d\\ude00 \\\\udead"}')) == {"a": "😀 \\udead"}


def test_a_byte_order_mark_is_passed_over() -> None:
    """AT-58."""
    assert decode_fields(answer(b'\xef\xbb\xbf{"a":1}')) == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        "]" * 100_000 + "[" * 65,
        '{"a":' * 100_000,
        '{"a":' + "[" * 64 + "]" * 64 + "}",
        '{"a":[' + "{}," * 10_001 + "{}]}",
        '{"a":[' + "1," * 50_001 + "1]}",
    ],
    ids=lambda body: f"{body[:6]}…{len(body)}",
)
def test_deep_nesting_and_endless_parts_are_refused(body: str) -> None:
    """AT-56."""
    with pytest.raises(ResponseError, match="nested too deeply, or has too many parts"):
        decode_fields(answer(body))


def test_the_bounds_themselves_are_within() -> None:
    """AT-56: brackets in texts do not count."""
    deepest = '{"a":' + "[" * 63 + "]" * 63 + "}"
    text = '{"a":"' + '[{\\"' * 1_000 + '","b":[' + "[]," * 100 + "[]]}"

    assert decode_fields(answer(deepest)).keys() == {"a"}
    assert decode_fields(answer(text))["a"] == '[{"' * 1_000


def test_a_reader_that_gives_up_on_depth_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """AT-56."""

    def give_up(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(json, "loads", give_up)
    with pytest.raises(ResponseError):
        decode_fields(answer("{}"))


def test_a_form_of_too_many_fields_is_refused() -> None:
    body = "&".join(f"a{n}=1" for n in range(1_001))

    with pytest.raises(ResponseError, match="fields"):
        decode_fields(answer(body, FORM))


def test_huge_tokens_are_kept_verbatim() -> None:
    """O2-31."""
    token = "aZ09-._~+/=" * 90_000

    assert decode_fields(answer(json.dumps({"access_token": token}))) == {"access_token": token}
    assert decode_fields(answer(f"a={quote(token[:50_000], safe='')}", FORM)) == {
        "a": token[:50_000]
    }


@pytest.mark.parametrize("size", [250_000, MEBIBYTE])
@pytest.mark.parametrize(
    "content_type, before, unit",
    [
        ("application/json", "", "["),
        ("application/json", "{" * 65, "]"),
        ("application/json", "[" * 65, '"'),
        ("application/json", "[" * 65 + '"', '\\"'),
        ("application/json", '["', '\\"'),
        ("application/json", '{"a":[', "{},"),
        ("application/json", '{"a":[', '"a",'),
        ("application/json", '{"a":[', "1e999,"),
        ("application/json", '{"a":', "9"),
        ("application/json", '{"a":1e', "9"),
        ("application/json", '{"a":"', "\\ud800"),
        ("application/json", "", " "),
        ("text/plain", "", "a=a&"),
        ("text/plain", "", "a"),
        (FORM, "", "a=a&"),
        (FORM, "a=", "%41"),
        (FORM, "a", "="),
        (FORM, "", "token"),
        ("text/html", "", "token="),
        ("text/html", "", "a"),
        ("text/html", "", "a."),
        ("text/html", "", 'token"'),
        ("text/html", "", "token "),
        ("text/html", "", "token='"),
        ("text/html", "", 'token="\\'),
        ("application/xml", "", "<a>"),
        ("application/xml", "<a", " a=''"),
        ("application/xml", "<", "a:"),
        ("application/xml", "<r><a>", "&#65;"),
        ("application/xml", "<a><!--", "-"),
    ],
    ids=repr,
)
def test_an_answer_made_to_be_slow_is_read_in_a_moment(
    content_type: str, before: str, unit: str, size: int
) -> None:
    """AT-55, AT-56, AT-60: in time proportional to its length, be it a whole MiB."""
    for end in ("", "<", "a=a", "}"):
        response = answer(f"{before}{unit * (size // len(unit))}{end}", content_type)
        started = process_time()

        with suppress(ResponseError):
            decode_fields(response, secrets=["canary-secret", "a" * 40])

        assert process_time() - started < 3.0, end


@pytest.mark.parametrize("unit", ["a", "a.", "token", "token=", "token ", "'", '"', "a1 "])
def test_an_endless_text_is_masked_in_a_moment(unit: str) -> None:
    started = process_time()

    shown = masked(unit * (MEBIBYTE // len(unit)))

    assert process_time() - started < 3.0
    assert len(shown) <= 4_096


def test_the_error_tells_status_and_the_beginning_of_the_answer() -> None:
    error = unusable(
        HTTPResponse(503, content=b"<h1>Down</h1>\n"),
        "that was wrong",
        recovery=Recovery.RETRY_LATER,
        retry_after=5.0,
    )

    assert str(error) == "that was wrong (HTTP 503): <h1>Down</h1>\\x0a"
    assert (error.status_code, error.retry_after) == (503, 5.0)
    assert error.recovery is Recovery.RETRY_LATER


def test_an_excerpt_is_one_bounded_line() -> None:
    """O2-34, AT-65."""
    shown = excerpt(b"a b\r\n\x1b[31m\x00\xff" + b" x" * 9_000)

    assert shown.startswith("a b\\x0d\\x0a\\x1b[31m\\x00\ufffd x x")
    assert "\n" not in shown
    assert len(shown) < 400


@pytest.mark.parametrize(
    "text",
    [
        '{"access_token": "canary"}',
        '{"refresh_token":"canary"',
        "{'id_token': 'canary'}",
        '{"password": "canary with canary spaces"}',
        '{"client_secret": "can\\"canary"}',
        "access_token=canary&x=y",
        "code=canary",
        "code_verifier = canary",
        "<access_token>canary</access_token>",
        "Authorization: Basic canary",
        "authorization: bearer   canary",
        "Authorization=DPoP canary",
        "client_assertion:canary",
        "TOKEN: canary",
        '{"password": "canary',
        "Passwd: canary",
        '{"tokens": ["canary", "canary"]}',
        '{"access_token": {"value": "canary"}}',
        "api_key=canary",
        "Set-Cookie: canary",
        '{"sessionId":"canary"}',
    ],
)
def test_what_is_named_as_a_secret_is_masked(text: str) -> None:
    """AT-69, AT-70."""
    assert "canary" not in masked(text)
    assert "***" in masked(text)


@pytest.mark.parametrize(
    "text",
    ["eyJhbGciOiJIUzI1NiJ9.e30.abcdef", "0123456789abcdef01234567", "2YotnFZFEjr1zCsicMWpAA=="],
)
def test_what_looks_like_a_token_is_masked(text: str) -> None:
    """AT-70."""
    assert masked(f"got {text}, sorry") == "got ***, sorry"


@pytest.mark.parametrize(
    "text",
    [
        "Invalid refresh token.",
        "The code has expired",
        "aVeryLongWordWithoutAnyDigitInIt",
        "unsupported_grant_type",
        "short-id-12",
    ],
)
def test_plain_words_are_left(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "secret", ["hunter two", 'p"w\\d', "a/b+c=d", "ünïcode", "line\nbreak", "&<x>"]
)
def test_a_known_secret_is_masked_however_it_is_spelt(secret: str) -> None:
    """AT-70: as it is, in JSON of two styles, percent-encoded, form-encoded."""
    spellings = [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        quote(secret, safe=""),
        quote(secret, safe="").replace("%20", "+"),
    ]

    for spelling in spellings:
        assert without_secrets(f"<{spelling}>", [secret]) == "<***>"
        assert masked(f"<{spelling}>", secrets=[secret]) == "<***>"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
)
def test_an_answer_in_another_encoding_shows_no_more_than_one_in_utf_8(encoding: str) -> None:
    """AT-70."""
    told = '{"access_token": "canary-token", "error": "who is p\xe4ss, or s3cret?"}'

    shown = excerpt(told.encode(encoding), secrets=["p\xe4ss", "s3cret"])

    assert shown == '{"access_token": ***, "error": "who is ***, or ***?"}'


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert masked("s3cret-and-more", secrets=["s3cret", "s3cret-and-more"]) == "***"


def test_a_secret_too_short_to_be_one_is_left() -> None:
    assert masked("a banana", secrets=["a", ""]) == "a banana"


@pytest.mark.parametrize("before", range(4_060, 4_100))
def test_a_secret_under_the_cut_is_masked_too(before: int) -> None:
    """AT-70: half a secret is a secret."""
    secret = "correct horse battery staple"
    noise = ("password=x " * 400)[:before]

    shown = masked(f"{noise}{secret} and more " + "y " * 100, secrets=[secret])

    assert "corr" not in shown
    assert "ect horse" not in shown
