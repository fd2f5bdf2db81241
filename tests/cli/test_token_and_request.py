"""What a login is for: `token`, `request`, `inspect`, `logout`."""

import json
import os
import re
from base64 import b64encode
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from oauthkit.testing import FakeAuthorizationServer

from .conftest import Invoke, Person


def profile(home: Path, text: str) -> None:
    (home / "profiles.toml").write_text(f"[profiles.work]\n{text}\n", encoding="utf-8")


def test_nobody_logged_in_is_a_status_of_its_own(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer
) -> None:
    profile(home, f'client_id = "client"\nissuer = "{fake.issuer}"')

    for command in (["token"], ["inspect"], ["request", "GET", f"{fake.issuer}/report"]):
        result = invoke(*command)
        assert result.exit_code == 3, command
        assert result.stdout == ""
        assert "log in by: oauthkit login --profile work" in result.stderr
    assert invoke("logout").stdout == "nobody was logged in\n"
    assert json.loads(invoke("logout", "--json").stdout) == {"dropped": False, "revoked": False}


def test_no_profile_is_wrong_usage(invoke: Invoke) -> None:
    for command in (["token"], ["inspect"], ["logout"], ["login"]):
        result = invoke(*command)
        assert result.exit_code == 2, command
        assert "--save NAME" in result.stderr


def test_a_file_of_profiles_that_is_none_is_wrong_usage(invoke: Invoke, home: Path) -> None:
    (home / "profiles.toml").write_text("= nonsense")

    assert invoke("login").exit_code == 2
    assert invoke("token").exit_code == 2


def test_a_server_that_is_away_is_a_reason_to_try_later(invoke: Invoke, home: Path) -> None:
    profile(home, 'client_id = "client"\nissuer = "http://127.0.0.1:9"\nscope = "read"')

    result = invoke("login", "--no-browser")

    assert result.exit_code == 4
    assert "the connection was refused" in result.stderr


def test_a_client_of_its_own_needs_no_login(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.client_secret = "s3cret"
    monkeypatch.setenv("WORK_SECRET", "s3cret")
    profile(
        home,
        f'client_id = "client"\ntoken_endpoint = "{fake.issuer}/token"\nscope = "read"\n'
        'client_secret_env = "WORK_SECRET"\ngrant_type = "client_credentials"\n'
        'resource = "https://api.example"\naudience = "api"\n',
    )

    assert invoke("token").stdout == "access-token-1\n"
    asked = fake.token_requests[0].parameters
    assert (asked["resource"], asked["audience"]) == ("https://api.example", "api")
    result = invoke("login")
    assert result.exit_code == 2
    assert "is for client_credentials, without a login" in result.stderr


def test_a_secret_in_the_file_is_taken_with_a_warning(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer
) -> None:
    fake.client_secret = "s3cret-7f3a"
    profile(
        home,
        f'client_id = "client"\nissuer = "{fake.issuer}"\nclient_secret = "s3cret-7f3a"\n'
        'grant_type = "client_credentials"\n',
    )

    result = invoke("token")

    assert result.stdout == "access-token-1\n"
    assert "warning: the client secret of 'work' stands in" in result.stderr
    assert "7f3a" not in result.output


@pytest.mark.usefixtures("logged_in")
def test_a_request_carries_the_token_and_its_body_is_printed(
    invoke: Invoke, fake: FakeAuthorizationServer
) -> None:
    plain = invoke("request", "get", f"{fake.issuer}/report")
    full = invoke("request", "GET", f"{fake.issuer}/report", "-i", "-H", "X-Trace: 7")

    assert plain.exit_code == 0
    assert json.loads(plain.stdout) == {"path": "/report"}
    head, _, body = full.stdout.partition("\n\n")
    assert head.splitlines()[0] == "200 OK"
    assert "content-type: application/json" in head
    assert json.loads(body) == {"path": "/report"}
    assert fake.api_requests[0].method == "GET"
    assert fake.api_requests[1].headers["x-trace"] == "7"


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize(
    "options, content_type, content",
    [
        (["-d", "a=1&b=2"], "application/x-www-form-urlencoded", b"a=1&b=2"),
        (["--json", '{"a": 1}'], "application/json", b'{"a": 1}'),
        (["--json", "@-"], "application/json", b'{"piped": true}'),
        (["-d", "@body.txt"], "application/x-www-form-urlencoded", b"from a file"),
        (["-d", "text", "-H", "content-type: text/plain"], "text/plain", b"text"),
    ],
)
def test_a_body_is_a_form_or_json_from_the_line_a_file_or_a_pipe(
    invoke: Invoke,
    fake: FakeAuthorizationServer,
    *,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    content_type: str,
    content: bytes,
) -> None:
    monkeypatch.chdir(home)
    (home / "body.txt").write_bytes(b"from a file")

    result = invoke("request", "POST", f"{fake.issuer}/report", *options, input='{"piped": true}')

    assert result.exit_code == 0, result.output
    assert fake.api_requests[0].headers["content-type"] == content_type
    assert fake.api_requests[0].content == content


@pytest.mark.usefixtures("logged_in")
def test_a_body_goes_to_a_file(invoke: Invoke, home: Path, fake: FakeAuthorizationServer) -> None:
    target = home / "report.json"

    result = invoke("request", "GET", f"{fake.issuer}/report", "-o", str(target))

    assert result.stdout == ""
    assert json.loads(target.read_bytes()) == {"path": "/report"}


@pytest.mark.parametrize(
    "options, words",
    [
        (["-d", "a", "--json", "{}"], "a request has one"),
        (["--json", "{nonsense"], "is no JSON"),
        (["--json", "[" * 100_000], "is no JSON"),
        (["-H", "nonsense"], "a header is 'NAME: VALUE'"),
        (["-H", ": x"], "a header is 'NAME: VALUE'"),
        (["-H", "x: a\rb: c"], "a header is 'NAME: VALUE'"),
        (["-H", "x: \u00e9"], "in ASCII"),
        (["-H", "Authorization: Bearer mine"], "Authorization is set by the request itself"),
        (["-d", "a", "-H", "Content-Length: 9"], "Content-Length is set by the request itself"),
        (["-H", "transfer-encoding: chunked"], "transfer-encoding is set by the request itself"),
        (["-d", "@/nowhere/body"], "the body in /nowhere/body cannot be read: No such file"),
    ],
)
def test_a_request_that_makes_no_sense_is_wrong_usage(
    invoke: Invoke, options: list[str], words: str
) -> None:
    result = invoke("request", "POST", "https://api.example/report", *options)

    assert result.exit_code == 2
    assert words in result.stderr


def test_a_body_from_a_closed_standard_input_is_wrong_usage(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Mock(side_effect=RuntimeError("no binary stream"))
    monkeypatch.setattr("click.open_file", closed)

    result = invoke("request", "POST", "https://api.example/report", "-d", "@-")

    assert result.exit_code == 2
    assert "the body in - cannot be read: no binary stream" in result.stderr


@pytest.mark.parametrize(
    "method, url, words",
    [
        ("GET\nX", "https://api.example/report", "GET\\x0aX is no method"),
        ("GET", "/report", "must be an absolute https:// URL"),
        ("GET", "https://api.example:port", "Invalid port"),
        ("GET", "http://[::1", "Invalid port"),
        ("GET", "https://api.example/\udcff", "surrogates not allowed"),
    ],
)
def test_a_request_to_nowhere_is_wrong_usage(
    invoke: Invoke, method: str, url: str, words: str
) -> None:
    result = invoke("request", method, url)

    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.usefixtures("logged_in")
def test_a_header_of_the_answer_is_shown_whole_and_on_one_line(
    invoke: Invoke, fake: FakeAuthorizationServer, answers: list[httpx.Response]
) -> None:
    link = "https://api.example/" + "a" * 1_000
    answers.append(httpx.Response(302, headers=[("location", link), ("x-color", "\x1b[31mred")]))

    result = invoke("request", "GET", f"{fake.issuer}/report", "-i")

    assert f"location: {link}\nx-color: \\x1b[31mred\n" in result.stdout


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\nX-Role: admin", "a b", "\u0442oken"])
def test_a_token_that_is_more_than_that_to_a_terminal_or_a_header_is_not_printed(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer, text: str
) -> None:
    content = json.dumps({"access_token": text, "token_type": "Bearer", "expires_in": 60})
    headers = {"content-type": "application/json"}
    fake.fail_next(200, headers=headers, content=content.encode(), times=2)
    fake.client_secret = "s3cret"
    profile(
        home,
        f'client_id = "client"\nissuer = "{fake.issuer}"\nclient_secret = "s3cret"\n'
        'grant_type = "client_credentials"\n',
    )

    for options in ([], ["--json"]):
        result = invoke("token", *options)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "control or non-ASCII characters" in result.stderr


@pytest.mark.usefixtures("logged_in")
def test_a_header_may_come_again_and_a_text_has_the_bytes_of_the_command_line(
    invoke: Invoke, fake: FakeAuthorizationServer
) -> None:
    invoke(
        *("request", "POST", f"{fake.issuer}/report", "-H", "accept: a", "-H", "Accept: b"),
        *("-d", os.fsdecode(b"caf\xe9")),
    )

    assert fake.api_requests[0].headers.get_all("accept") == ("a", "b")
    assert fake.api_requests[0].content == b"caf\xe9"


@pytest.mark.usefixtures("logged_in")
def test_an_answer_without_a_body_leaves_none_of_an_earlier_one(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer, answers: list[httpx.Response]
) -> None:
    target = home / "report.json"
    target.write_text("of yesterday")
    answers.append(httpx.Response(204))

    assert invoke("request", "GET", f"{fake.issuer}/report", "-o", str(target)).exit_code == 0
    assert target.read_bytes() == b""


@pytest.mark.usefixtures("logged_in")
def test_the_token_goes_nowhere_but_to_the_origins_of_the_profile(
    invoke: Invoke, fake: FakeAuthorizationServer
) -> None:
    """AT-74."""
    result = invoke("request", "GET", "https://api.example/report")
    plain = invoke("request", "GET", "http://api.example/report")

    assert (result.exit_code, plain.exit_code) == (1, 1)
    assert "https://api.example may not have the token" in result.stderr
    assert "name it in origins of the profile 'work'" in result.stderr
    assert "http://api.example is plain http" in plain.stderr
    assert "access-token" not in result.output + plain.output
    assert fake.api_requests == []


def test_what_else_is_wrong_with_a_request_is_said_as_it_is(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer
) -> None:
    profile(
        home,
        f'client_id = "client"\ntoken_endpoint = "{fake.issuer}/token"\nscope = "a\\"b"\n'
        'grant_type = "client_credentials"\n',
    )

    result = invoke("request", "GET", f"{fake.issuer}/report")

    assert result.exit_code == 1
    assert "the scope token" in result.stderr


def test_a_token_that_is_not_kept_is_not_unknown(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer
) -> None:
    fake.client_secret = "s3cret"
    profile(
        home,
        f'client_id = "client"\nissuer = "{fake.issuer}"\nclient_secret = "s3cret"\n'
        'grant_type = "client_credentials"\n',
    )
    assert invoke("token").exit_code == 0

    assert "id token      none\n" in invoke("inspect", "--show-secrets").stdout
    assert json.loads(invoke("inspect", "--show-secrets", "--json").stdout)["id_token"] is None


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize("status, code", [(404, 1), (500, 1), (429, 4), (503, 4), (299, 0)])
def test_an_answer_that_is_an_error_is_printed_and_ends_with_a_status(
    invoke: Invoke,
    fake: FakeAuthorizationServer,
    answers: list[httpx.Response],
    status: int,
    code: int,
) -> None:
    answers.append(httpx.Response(status, text="what the API says"))

    result = invoke("request", "GET", f"{fake.issuer}/report", "-i")

    assert result.exit_code == code
    assert result.stdout.startswith(f"{status}")
    assert result.stdout.endswith("what the API says")
    assert (f"Error: the answer is {status}" in result.stderr) is (code > 0)


@pytest.mark.usefixtures("logged_in")
def test_an_api_that_does_not_answer_is_a_reason_to_try_later(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer
) -> None:
    file = home / "profiles.toml"
    file.write_text(file.read_text() + 'origins = ["http://127.0.0.1:9"]\n')

    result = invoke("request", "GET", "http://127.0.0.1:9/report")

    assert result.exit_code == 4
    assert "no answer came" in result.stderr


@pytest.mark.usefixtures("logged_in")
def test_what_is_kept_is_shown_without_a_secret_unless_that_is_asked_for(
    invoke: Invoke, fake: FakeAuthorizationServer
) -> None:
    """O2-40."""
    shown = invoke("inspect")
    as_json = invoke("inspect", "--json")
    secrets = json.loads(invoke("inspect", "--json", "--show-secrets").stdout)

    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if " " in line)
    assert lines["issuer"] == fake.issuer
    assert lines["scope"] == "openid read"
    assert re.fullmatch(r"in \d\d s", lines["expires"])
    assert json.loads(as_json.stdout)["refresh_token"] is True
    assert secrets["access_token"].startswith("access-token-")
    assert secrets["refresh_token"].startswith("refresh-token-")
    for name in ("access_token", "refresh_token", "id_token"):
        assert secrets[name] not in shown.output + as_json.output
    assert len(fake.token_requests) == 1
    assert fake.api_requests == []


def test_a_token_is_sealed_where_there_is_a_key(
    invoke: Invoke,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("OAUTHKIT_KEY", b64encode(os.urandom(32)).decode())
    request.getfixturevalue("logged_in")

    token = invoke("token").stdout.strip()

    content = b"".join(file.read_bytes() for file in (home / "data").iterdir())
    assert token.encode() not in content
    monkeypatch.setenv("OAUTHKIT_KEY", b64encode(os.urandom(32)).decode())
    result = invoke("token")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr

    forgotten = invoke("logout")

    assert forgotten.exit_code == 1
    assert forgotten.stdout == "logged out here\n"
    assert "the token may live on at the server" in forgotten.stderr
    assert invoke("token").exit_code == 3


@pytest.mark.usefixtures("logged_in")
def test_a_logout_forgets_the_token_and_has_the_server_revoke_it(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person
) -> None:
    person.urls.clear()
    token = invoke("token").stdout.strip()

    result = invoke("logout")

    assert result.exit_code == 0
    assert result.stdout == "logged out here\nthe server has revoked the token\n"
    assert not fake.ledger.live(token)
    assert person.urls == [], "no page is opened unless that is asked for"
    assert invoke("token").exit_code == 3


@pytest.mark.usefixtures("logged_in")
def test_a_logout_by_the_browser_ends_the_servers_own_session(
    invoke: Invoke, fake: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    result = invoke("logout", "--browser", "--json")

    assert json.loads(result.stdout) == {"dropped": True, "revoked": True}
    asked = parse_qs(urlsplit(opened[0]).query)
    assert opened[0].startswith(f"{fake.issuer}/logout?")
    assert asked["client_id"] == ["client"]
    assert "id_token_hint" in asked


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize("status, code", [(503, 4), (400, 1)])
def test_a_logout_that_the_server_did_not_hear_of_is_one_here_and_says_so(
    invoke: Invoke, fake: FakeAuthorizationServer, status: int, code: int
) -> None:
    fake.fail_next(status, endpoint="revoke", times=9)

    result = invoke("logout")

    assert result.exit_code == code
    assert result.stdout == "logged out here\n"
    assert "the token may live on at the server" in result.stderr
    assert invoke("token").exit_code == 3


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize(
    "options, told", [([], "logged out here\n"), (["--json"], '"dropped": true')]
)
def test_a_logout_is_told_also_where_the_server_has_no_page_to_end_its_session_at(
    invoke: Invoke, fake: FakeAuthorizationServer, options: list[str], told: str
) -> None:
    fake.metadata = {"end_session_endpoint": None}

    result = invoke("logout", "--browser", *options)

    assert result.exit_code == 1
    assert told in result.stdout
    assert "the server's own session goes on: " in result.stderr
    assert invoke("token").exit_code == 3
