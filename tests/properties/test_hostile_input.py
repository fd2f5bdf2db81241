"""No input whatever makes the protocol layer raise anything but its own errors."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from unicodedata import category
from urllib.parse import quote

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from oauthkit.errors import ConfigurationError, OAuthKitError, ResponseError, printable
from oauthkit.protocol.answers import decode_fields, excerpt, masked
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.challenge import Challenge, parse_challenges
from oauthkit.protocol.endpoint import retry_after
from oauthkit.protocol.messages import HTTPResponse, Origin, check_endpoint
from oauthkit.protocol.pkce import new_verifier
from oauthkit.protocol.presentation import BEARER
from oauthkit.protocol.refusals import ErrorRule
from oauthkit.protocol.server import AuthorizationServer, rename_fields
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import parse_token_response


@attrs.frozen
class Owner:
    name: str
    level: float = 0.0


@attrs.frozen
class RichToken(Token):
    flag: bool = False
    count: int | None = None
    share: float = 0.0
    owner: Owner | None = None
    roles: list[str] = attrs.Factory(list[str])


SERVER = AuthorizationServer(
    "https://auth.example/token",
    issuer="https://auth.example",
    authorization_endpoint="https://auth.example/authorize",
    token_class=RichToken,
    adapt=rename_fields({"data.token": "access_token", "expires": "expires_in"}),
    errors=(
        ErrorRule("invalid_grant", status=403),
        ErrorRule("invalid_client", member="data.token", values=(1, "true", 0.5)),
        ErrorRule("slow_down", status=429, member="owner"),
        ErrorRule("invalid_scope", member="roles"),
    ),
)
LOGIN = AuthorizationRequest.new(SERVER, "app", redirect_uri="https://app.example/")


def one_more_login() -> AuthorizationRequest:
    """Return a login like that one, which no callback was accepted for."""
    return AuthorizationRequest.from_dict({**LOGIN.to_dict(), "code_verifier": new_verifier()})


ANY_TEXT = st.text(st.characters())
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        [
            "access_token",
            "token_type",
            "expires_in",
            "expires_at",
            "refresh_token",
            "refresh_expires_in",
            "scope",
            "id_token",
            "error",
            "error_description",
            "error_uri",
            "data",
            "expires",
            "flag",
            "count",
            "share",
            "owner",
            "roles",
        ]
    )
    | ANY_TEXT,
    ANY_JSON,
)
CONTENT = st.one_of(
    st.binary(),
    ANY_TEXT.map(lambda text: text.encode(errors="surrogatepass")),
    MEMBERS.map(lambda members: json.dumps(members).encode()),
    st.from_regex(r"(<[a-z!?/&\[\]: =\"']{0,9}>?[a-z&;#0-9]{0,5}){0,9}").map(str.encode),
    st.from_regex(r"([a-z_]{1,9}=[a-z%0-9+&;]{0,9}&?){0,9}").map(str.encode),
)
CONTENT_TYPE = (
    st.sampled_from(
        [
            "application/json",
            "text/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "application/xml",
            "text/xml",
            "text/html",
            "text/plain",
            "",
        ]
    )
    | ANY_TEXT
)
RESPONSE = st.builds(
    HTTPResponse,
    st.sampled_from([200, 201, 204, 301, 400, 401, 403, 429, 500, 503]) | st.integers(0, 999),
    st.fixed_dictionaries(
        {"content-type": CONTENT_TYPE},
        optional={"retry-after": ANY_TEXT, "www-authenticate": ANY_TEXT},
    ),
    CONTENT,
)


def is_one_line(text: str) -> bool:
    return not any(category(shown)[0] == "C" or shown in "\u2028\u2029" for shown in text)


@contextmanager
def only(kind: type[OAuthKitError]) -> Generator[None]:
    """Let errors of one kind pass, if they print on one bounded line."""
    refused: list[str] = []
    try:
        yield
    except kind as error:
        refused.append(str(error))
    assert all(is_one_line(text) and len(text) < 5_000 for text in refused)


@given(RESPONSE, st.lists(ANY_TEXT, max_size=3))
def test_no_answer_is_decoded_into_a_foreign_error(
    response: HTTPResponse, secrets: list[str]
) -> None:
    """O2-34, AT-54 to AT-60."""
    with only(ResponseError):
        fields = decode_fields(response, secrets=secrets)
        assert all(isinstance(name, str) for name in fields)
        json.dumps(fields, allow_nan=False).encode()


@given(RESPONSE)
@example(HTTPResponse(200, {"content-type": "application/json"}, b'{"share":' + b"9" * 400 + b"}"))
def test_no_answer_is_parsed_into_a_foreign_error(response: HTTPResponse) -> None:
    """O2-34, AT-57."""
    with only(OAuthKitError):
        token = parse_token_response(
            SERVER, response, requested_at=1.7e9, previous=Token("a", refresh_token="r")
        )
        assert RichToken.from_dict(json.loads(json.dumps(token.to_dict()))) == token


@given(MEMBERS, st.sampled_from([200, 400, 401]))
def test_no_members_are_parsed_into_a_foreign_error(
    members: Mapping[str, Any], status: int
) -> None:
    """AT-57."""
    good = {"access_token": "a", "token_type": "bearer"}
    content = json.dumps({**good, **members}).encode()
    response = HTTPResponse(status, {"content-type": "application/json"}, content)

    with only(OAuthKitError):
        token = parse_token_response(SERVER, response, requested_at=1.7e9)
        assert RichToken.from_dict(json.loads(json.dumps(token.to_dict()))) == token


@given(ANY_JSON | MEMBERS.map(lambda members: {"access_token": "a", "extra": members} | members))
def test_no_kept_token_is_read_into_a_foreign_error(data: Any) -> None:
    with only(ConfigurationError):
        RichToken.from_dict(data)


HEADER = st.one_of(
    ANY_TEXT,
    st.lists(
        st.sampled_from(
            [
                "Bearer",
                "Basic",
                " ",
                ",",
                "=",
                '"',
                "\\",
                "a",
                "realm",
                "error=x",
                'a="b"',
                "é",
                "\t",
            ]
        ),
        max_size=30,
    ).map("".join),
)


@given(st.lists(HEADER, max_size=3))
def test_no_header_is_an_error(values: list[str]) -> None:
    """BT-06, BT-07, AT-61."""
    for challenge in parse_challenges(values):
        assert isinstance(challenge, Challenge)
        assert challenge.scheme == challenge.scheme.lower()


TOKEN = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,10}", fullmatch=True)
QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


@given(
    st.lists(
        st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), QUOTED, min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_every_challenge_that_is_written_is_read(
    challenges: list[tuple[str, dict[str, str]]],
) -> None:
    """BT-06."""
    value = ", ".join(
        f"{scheme} "
        + ", ".join(
            f'{name}="{text.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'
            for name, text in parameters.items()
        )
        for scheme, parameters in challenges
    )

    expected = tuple(Challenge(scheme.lower(), found) for scheme, found in challenges)
    assert parse_challenges([value]) == expected
    assert parse_challenges(value.split("\x00")) == expected


CALLBACK = st.one_of(
    ANY_TEXT,
    st.dictionaries(ANY_TEXT, ANY_JSON),
    st.lists(st.tuples(ANY_TEXT, ANY_TEXT)),
    ANY_JSON,
    ANY_TEXT.map(lambda text: f"https://{text}?state={LOGIN.state}&code=c"),
    ANY_TEXT.map(lambda text: f"state={LOGIN.state}&code={text}"),
    st.dictionaries(
        st.sampled_from(["code", "error", "iss", "error_description", "error_uri", "x"]), ANY_TEXT
    ).map(lambda pairs: {**pairs, "state": LOGIN.state}),
)


@given(CALLBACK)
def test_no_callback_is_accepted_with_a_foreign_error(callback: Any) -> None:
    """O2-43."""
    login = one_more_login()

    with only(OAuthKitError):
        grant = login.accept(callback)
        assert grant.code
        assert grant.code_verifier == login.code_verifier


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_code_comes_through_a_url(code: str) -> None:
    """AT-64."""
    login = one_more_login()

    assert login.accept(f"https://app.example/?code={quote(code)}&state={login.state}").code == code


@given(ANY_JSON | st.dictionaries(st.sampled_from(sorted(LOGIN.to_dict())), ANY_JSON))
def test_no_kept_login_is_read_into_a_foreign_error(data: Any) -> None:
    """AT-16."""
    with only(ConfigurationError):
        AuthorizationRequest.from_dict(data)
    if isinstance(data, dict):
        with only(OAuthKitError):
            AuthorizationRequest.from_dict({**one_more_login().to_dict(), **data}).accept(
                f"state={LOGIN.state}"
            )


URL = ANY_TEXT | st.from_regex(r"(https?:)?/{0,3}[^/?#]{0,12}(:[0-9a-z]{0,6})?[/?#]?.{0,6}")


@given(URL)
def test_no_url_is_an_endpoint_with_a_foreign_error(url: str) -> None:
    """AT-05, AT-34."""
    with only(ConfigurationError):
        assert check_endpoint(url, name="url", allow_plain_http=True) == url
        origin = Origin.of(url)
        assert Origin.of(str(origin)) == origin


@given(URL)
def test_no_redirect_uri_is_taken_with_a_foreign_error(url: str) -> None:
    """O2-08, BC-01."""
    with only(ConfigurationError):
        AuthorizationRequest.new(SERVER, url, redirect_uri=url, return_to=url)


@given(ANY_TEXT)
def test_no_text_meets_a_header_or_a_terminal_as_it_came(text: str) -> None:
    """O2-44, BT-03, AT-63, AT-65."""
    assert is_one_line(printable(text))
    assert "\n" not in excerpt(text.encode(errors="replace")) + printable(text)
    assert len(masked(text)) <= max(3 * len(text), 3)
    with only(ResponseError):
        assert BEARER.authorization(Token(text)).isascii()


@given(
    ANY_TEXT | st.from_regex(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8} [A-Z+\d-]{1,5}")
)
def test_no_pause_is_an_error(text: str) -> None:
    """AT-82."""
    pause = retry_after(HTTPResponse(503, {"retry-after": text}), now=1.7e9)

    assert pause is None or pause >= 0
