"""What tests of the command line share: a server on a socket, a home of its own, a person."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from oauthkit.cli.commands import oauthkit
from oauthkit.testing import FakeAuthorizationServer

Invoke = Callable[..., click.testing.Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the command line a home of its own, without what this machine's user has set."""
    for name in ("CONFIG", "PROFILE", "DATA", "KEY"):
        monkeypatch.delenv(f"OAUTHKIT_{name}", raising=False)
    monkeypatch.setenv("OAUTHKIT_CONFIG", str(tmp_path / "profiles.toml"))
    monkeypatch.setenv("OAUTHKIT_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def answers() -> list[httpx.Response]:
    """Hold what the API behind the fake answers next; it tells the path where that is nothing."""
    return []


@pytest.fixture
def fake(answers: list[httpx.Response]) -> Iterator[FakeAuthorizationServer]:
    """Serve a fake in a thread of its own: a public client, ada and bob."""
    found = FakeAuthorizationServer(client_secret=None, people=("ada", "bob"))

    def api(request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else httpx.Response(200, json={"path": request.url.path})

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(found.serve(api)):
        yield found


@pytest.fixture
def invoke(home: Path) -> Invoke:
    """Run the command line in this process."""

    def run(*arguments: str, **options: object) -> click.testing.Result:
        runner = click.testing.CliRunner()
        result = runner.invoke(oauthkit, [*arguments], **options)  # type: ignore[arg-type]
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


class Person:
    """Be who sits before the browser that is opened.

    Attributes:
        urls: Where the browser was sent.
        pages: What it showed at the end.
    """

    def __init__(self) -> None:
        """Agree to everything, as bob."""
        self.name, self.decision = "bob", "agree"
        self.urls: list[str] = []
        self.pages: list[httpx.Response] = []

    def open(self, url: str) -> bool:
        """Log in, as the standard library's `webbrowser.open` would let somebody do."""
        self.urls.append(url)
        form = {"person": self.name, "decision": self.decision}
        with httpx.Client(follow_redirects=True) as browser:
            assert "<form" in browser.get(url).text
            self.pages.append(browser.post(url, data=form))
        return True


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    """Put somebody before the browser."""
    found = Person()
    monkeypatch.setattr("webbrowser.open", found.open)
    return found


@pytest.fixture
def logged_in(
    invoke: Invoke, fake: FakeAuthorizationServer, person: Person
) -> click.testing.Result:
    """Log in as bob, by the profile `work`."""
    result = invoke(
        *("login", "--issuer", fake.issuer, "--client-id", "client"),
        *("--scope", "openid read", "--save", "work"),
    )
    assert result.exit_code == 0, result.output
    return result
