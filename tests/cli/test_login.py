"""`oauthkit login`, by a browser and by a code, and the token that it leaves."""

import json
import math
import re
import shlex
import socket
import sys
import webbrowser
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import attrs
import click
import click.testing
import httpx
import pytest

from oauthkit import AuthorizationServer
from oauthkit.cli import browser_login
from oauthkit.cli.browser import open_browser, openable
from oauthkit.cli.browser_login import check_told_apart
from oauthkit.cli.profile import Profile
from oauthkit.cli.profile_file import ProfileFile
from oauthkit.errors import ConfigurationError
from oauthkit.operations.login import complete_login
from oauthkit.testing import FakeAuthorizationServer

from .conftest import Invoke, Person


def test_a_login_leaves_a_profile_and_a_token_that_is_used_and_renewed(
    invoke: Invoke,
    fake: FakeAuthorizationServer,
    person: Person,
    logged_in: click.testing.Result,
) -> None:
    """NA-02: the browser is the resource owner's own, and gets the URL as it is."""
    assert re.fullmatch(
        r"logged in as bob, for openid read; the token expires in \d\d s\n", logged_in.stdout
    )
    assert "the profile 'work' is saved" in logged_in.stderr
    assert "You are logged in" in person.pages[0].text
    first = invoke("token").stdout
    assert first.startswith("access-token-")

    renewed = invoke("token", "--renew", "--json")

    found = json.loads(renewed.stdout)
    assert found["access_token"] not in first
    assert found["scope"] == "openid read"
    assert invoke("token", "--profile", "work").stdout == f"{found['access_token']}\n"
    assert len(fake.token_requests) == 2


def test_a_login_is_public_whatever_secret_was_shipped_and_has_a_challenge(
    invoke: Invoke,
    fake: FakeAuthorizationServer,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NA-01, NA-10: no option leaves PKCE out, and a secret does not replace it."""
    fake.client_secret = "shipped-with-the-program"
    monkeypatch.setenv("REPORTER", "shipped-with-the-program")

    result = invoke(
        *("login", "--issuer", fake.issuer, "--client-id", "client"),
        *("--client-secret-env", "REPORTER", "--save", "work"),
    )

    assert result.exit_code == 0, result.output
    asked = parse_qs(urlsplit(person.urls[0]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"][0].startswith("http://127.0.0.1:")
    assert "code_verifier" in fake.token_requests[0].parameters
    assert "pkce" not in invoke("login", "--help").stdout.lower()
    assert "shipped" not in result.output


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://auth.example/authorize",
        "-new-window",
        "--profile=/tmp",
        "https://auth.example/a b",
    ],
)
def test_a_url_that_is_no_page_of_a_server_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """AT-24, NA-02."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    with pytest.raises(ConfigurationError):
        open_browser(url)

    assert opened == []


def test_what_a_shell_would_read_in_a_url_is_escaped() -> None:
    """AT-24."""
    hostile = "https://auth.example/a$(id)`id`;'x'|y<z>{}!^\"/authorize?a=1&b=%24&c=~*"

    assert openable(hostile) == (
        "https://auth.example/a%24%28id%29%60id%60%3B%27x%27%7Cy%3Cz%3E%7B%7D%21%5E%22/authorize"
        "?a=1&b=%24&c=~*"
    )


def test_the_browser_gets_the_url_as_one_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AT-24, NA-02: also a browser that the user has named by a command."""
    seen = tmp_path / "seen"
    script = f"import json, sys; json.dump(sys.argv[1:], open({str(seen)!r}, 'w'))"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} %s"
    browser = webbrowser.get(command)
    monkeypatch.setattr("webbrowser.open", browser.open)

    open_browser("https://auth.example/authorize?a=$(touch x)&b=1".replace(" ", "%20")).join(20)

    assert json.loads(seen.read_text()) == [
        "https://auth.example/authorize?a=%24%28touch%20x%29&b=1"
    ]


def test_no_browser_at_all_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_url: str) -> bool:
        raise webbrowser.Error

    monkeypatch.setattr("webbrowser.open", none)

    open_browser("https://auth.example/authorize").join(20)


def test_callbacks_of_servers_that_do_not_say_who_they_are_need_paths_of_their_own() -> None:
    """NA-06."""
    silent = AuthorizationServer("https://one.example/token", issuer="https://one.example")
    speaking = attrs.evolve(silent, authorization_response_iss_parameter_supported=True)
    one = Profile(name="one", client_id="app", issuer="https://one.example")
    two = Profile(name="two", client_id="app", issuer="https://two.example")
    shared = "http://127.0.0.1:8400/callback"
    here, there = (attrs.evolve(profile, redirect_uri=shared) for profile in (one, two))

    check_told_apart(silent, one, [two])
    check_told_apart(silent, here, [two])
    check_told_apart(speaking, here, [there])
    with pytest.raises(ConfigurationError, match="'two' of another server has the same path"):
        check_told_apart(silent, here, [two, there])


def new(fake: FakeAuthorizationServer, *more: str) -> list[str]:
    return ["login", "--issuer", fake.issuer, "--client-id", "client", "--save", "work", *more]


def test_a_login_without_a_browser_prints_the_url(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    echo = click.echo

    def follow(text: object = "", *, err: bool = False) -> None:
        echo(text, err=err)
        found = re.search(r"^http\S+$", str(text), re.MULTILINE)
        if found:
            shown.append(found[0])
            Thread(target=person.open, args=(found[0],)).start()

    monkeypatch.setattr("click.echo", follow)

    result = invoke(*new(fake, "--no-browser", "--json", "--scope", "openid"))

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["subject"] == "bob"
    assert json.loads(result.stdout)["issuer"] == fake.issuer
    assert len(shown) == 1


def test_who_has_come_back_in_time_is_not_sent_away_while_the_server_answers(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []

    async def complete(*arguments: Any, **keywords: Any) -> Any:
        deadlines.append(anyio.current_effective_deadline())
        return await complete_login(*arguments, **keywords)

    monkeypatch.setattr(browser_login, "complete_login", complete)

    assert invoke(*new(fake)).exit_code == 0
    assert len(person.pages) == 1
    assert deadlines == [math.inf]


def test_a_refusal_is_told_here_and_in_the_browser(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person, home: Path
) -> None:
    person.decision = "refuse"

    result = invoke(*new(fake))

    assert result.exit_code == 3
    assert "access_denied" in result.stderr
    assert "You, or the server, refused" in person.pages[0].text
    assert not (home / "profiles.toml").exists()


def test_a_login_that_cannot_be_completed_says_nothing_of_it_to_the_browser(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person
) -> None:
    """AT-66: what the server says may be anybody's, and the page has none of it."""
    body = b'{"error": "invalid_grant", "error_description": "<script>alert(1)</script>"}'
    fake.fail_next(400, content=body, headers={"content-type": "application/json"})

    result = invoke(*new(fake))

    assert result.exit_code == 3
    assert "invalid_grant" in result.stderr
    assert "It could not be completed" in person.pages[0].text
    assert "alert(1)" not in person.pages[0].text


def test_a_login_that_nobody_ends_ends_by_itself(
    invoke: Invoke, fake: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NA-04."""
    urls: list[str] = []
    monkeypatch.setattr("webbrowser.open", urls.append)

    result = invoke(*new(fake, "--timeout", "0.05"))

    assert result.exit_code == 3
    assert "nobody has come back from the browser within 0.05 s" in result.stderr
    redirect_uri = parse_qs(urlsplit(urls[0]).query)["redirect_uri"][0]
    with pytest.raises(httpx.ConnectError):
        httpx.get(redirect_uri)


def test_keys_that_cannot_be_had_leave_a_login_good_and_say_so(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person
) -> None:
    fake.fail_next(503, endpoint="jwks", times=99)

    result = invoke(*new(fake, "--scope", "openid"))

    assert result.exit_code == 0
    assert result.stdout.startswith("logged in, for openid; ")
    assert "warning: who has logged in is not verified" in result.stderr
    assert invoke("token").exit_code == 0


@pytest.mark.usefixtures("person")
def test_a_server_without_metadata_is_named_by_its_endpoints(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer
) -> None:
    endpoints = {"token_endpoint": "token", "authorization_endpoint": "authorize"}
    lines = [f'{name} = "{fake.issuer}/{path}"' for name, path in endpoints.items()]
    table = "\n".join(["[profiles.plain]", 'client_id = "client"', 'scope = "read"', *lines])
    (home / "profiles.toml").write_text(table)

    result = invoke("login")

    assert result.stdout.startswith("logged in, for read; ")
    assert fake.metadata_requests == []
    assert invoke("token").exit_code == 0


def test_a_registered_port_that_is_in_use_is_told(
    invoke: Invoke, fake: FakeAuthorizationServer
) -> None:
    """AT-22."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        uri = f"http://127.0.0.1:{other.getsockname()[1]}/callback"

        result = invoke(*new(fake, "--redirect-uri", uri))

    assert result.exit_code == 1
    assert "in use" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--client-id", "client"],
        ["--issuer", "https://auth.example", "--client-id", "client"],
        ["--issuer", "https://auth.example", "--save", "work"],
        ["--save", "work"],
        ["--issuer", "https://auth.example", "--client-id", "x", "--save", "a b"],
        [
            *("--issuer", "https://auth.example", "--client-id", "x", "--save", "work"),
            *("--client-secret-env", "NOT_SET_ANYWHERE"),
        ],
        ["--timeout", "0"],
    ],
)
def test_a_new_profile_that_is_not_whole_is_wrong_usage(invoke: Invoke, options: list[str]) -> None:
    assert invoke("login", *options).exit_code == 2


@pytest.mark.usefixtures("logged_in")
def test_a_second_login_is_by_the_saved_profile(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person
) -> None:
    person.name = "ada"

    result = invoke("login")

    assert result.stdout.startswith("logged in as ada")
    assert "is saved" not in result.stderr
    other = invoke(*new(fake, "--scope", "write"))
    assert other.exit_code == 2
    assert "has another profile 'work'" in other.stderr


def test_a_profile_that_was_saved_meanwhile_stays(
    invoke: Invoke, home: Path, fake: FakeAuthorizationServer, person: Person
) -> None:
    """A login takes as long as somebody takes, and another one may be under way."""
    path, opened = home / "profiles.toml", person.open
    other = Profile(name="other", client_id="app", issuer="https://auth.example")

    def open_late(url: str) -> bool:
        ProfileFile.read(path).with_profile(other)
        return opened(url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webbrowser.open", open_late)
        assert invoke(*new(fake)).exit_code == 0

    assert [*ProfileFile.read(path).tables] == ["other", "work"]


@pytest.mark.usefixtures("person")
def test_a_profile_that_cannot_be_saved_after_all_is_told(
    invoke: Invoke, fake: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        message = "no space left"
        raise OSError(message)

    monkeypatch.setattr(Path, "replace", full)

    result = invoke(*new(fake))

    assert result.exit_code == 1
    assert "no space left" in result.stderr


@pytest.mark.parametrize("decision, code", [("agree", 0), ("refuse", 3)])
def test_a_login_by_a_code_is_agreed_to_on_another_device(
    invoke: Invoke,
    fake: FakeAuthorizationServer,
    monkeypatch: pytest.MonkeyPatch,
    decision: str,
    code: int,
) -> None:
    fake.device_interval = 0.01
    echo = click.echo

    def read(text: object = "", *, err: bool = False) -> None:
        echo(text, err=err)
        found = re.search(r"open (\S+) and enter the code (\S+);", str(text))
        if found:
            form = {"person": "bob", "decision": decision, "user_code": found[2]}
            Thread(target=httpx.post, args=(found[1],), kwargs={"data": form}).start()

    monkeypatch.setattr("click.echo", read)

    result = invoke(*new(fake, "--device"))

    assert result.exit_code == code, result.output
    assert "Enter no code that somebody else gave you." in result.stderr
    assert invoke("token").exit_code == (0 if code == 0 else 2)


@pytest.mark.parametrize(
    "endpoint",
    ["file:///etc/passwd", "javascript:alert(1)", "-x", "http://auth.example/authorize"],
)
def test_a_server_that_names_no_page_as_its_own_opens_no_browser(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person, endpoint: str
) -> None:
    """AT-24: and no port."""
    fake.metadata = {"authorization_endpoint": endpoint}

    result = invoke(*new(fake))

    assert result.exit_code == 1
    assert "authorization_endpoint" in result.stderr
    assert person.urls == []


@pytest.mark.usefixtures("home")
def test_a_callback_that_says_it_is_from_another_server_ends_the_login(
    invoke: Invoke, fake: FakeAuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NA-06, AT-01: its code is sent nowhere."""

    def open_elsewhere(url: str) -> None:
        form = {"person": "bob", "decision": "agree"}
        back = httpx.post(url, data=form).headers["location"]
        httpx.get(re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", back))

    monkeypatch.setattr("webbrowser.open", open_elsewhere)

    result = invoke(*new(fake))

    assert result.exit_code == 3
    assert "from another authorization server" in result.stderr
    assert fake.token_requests == []


def test_a_token_that_the_server_has_ended_is_a_reason_to_log_in(
    invoke: Invoke, fake: FakeAuthorizationServer, logged_in: click.testing.Result
) -> None:
    fake.ledger.revoke_all()

    result = invoke("token", "--renew")

    assert logged_in.exit_code == 0
    assert result.exit_code == 3
    assert "nobody is logged in by the profile 'work', or not any more" in result.stderr
    assert "invalid_grant" in result.stderr
