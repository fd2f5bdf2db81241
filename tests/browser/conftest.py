"""The applications of `docs/examples`, a real authorization server, and Chromium."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from socket import create_server
from typing import TYPE_CHECKING, Final, Literal

import pytest

from tests.browser.applications import EXAMPLES, Application, registered, serving
from tests.interop.running import required, running
from tests.snippets.certificates import Certificates

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.people import Person

PROVIDER: Final = Path(__file__).parents[1] / "interop" / "oidc_provider" / "server.mjs"
SCREENSHOTS: Final = pytest.StashKey[Path]()
SECONDS_TO_WAIT: Final = 20.0


def installed_chromium() -> str | None:
    """Return where the browser is; nobody downloads one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def missing() -> list[str]:
    """Return what these tests need and is not there."""
    there = {
        "chromium": installed_chromium(),
        "node": shutil.which("node"),
        "oidc-provider": os.environ.get("OIDC_PROVIDER"),
        "playwright": find_spec("playwright"),
    }
    return [name for name, found in there.items() if not found]


def is_left_out() -> bool:
    """Tell whether these tests are left out; a CI run, which may not go without, fails."""
    return bool(missing()) and "CI" not in os.environ


def pytest_ignore_collect(collection_path: Path) -> Literal[True] | None:
    """Leave the tests out."""
    return True if is_left_out() and collection_path.name.startswith("test_") else None


def pytest_configure(config: pytest.Config) -> None:
    """Have a directory for what the pages look like."""
    named = os.environ.get("BROWSER_SCREENSHOTS")
    directory = Path(named or tempfile.mkdtemp(prefix="oauthkit-browser-"))
    directory.mkdir(parents=True, exist_ok=True)
    config.stash[SCREENSHOTS] = directory


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say in one line what was left out, or where the screenshots are."""
    if is_left_out():
        line = f"tests/browser was left out: {', '.join(missing())} not found; see `nox -s browser`"
        terminalreporter.write_line(line, yellow=True)
    else:
        terminalreporter.write_line(f"what the pages looked like: {config.stash[SCREENSHOTS]}")


@pytest.fixture(scope="session")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Application]]:
    """Serve all applications, registered at one server, for as long as the tests go on."""
    required(not missing(), name=" and ".join(missing()))
    directory = tmp_path_factory.mktemp("browser")
    pair = Certificates.made(directory, ["localhost"]).server.read_text(encoding="ascii")
    with ExitStack() as stack:
        sockets = {n: stack.enter_context(create_server(("127.0.0.1", 0))) for n in EXAMPLES}
        sites = {n: f"http://localhost:{sock.getsockname()[1]}" for n, sock in sockets.items()}
        where = stack.enter_context(
            running(
                [str(shutil.which("node")), str(PROVIDER)],
                {
                    "clients": [registered(name, site) for name, site in sites.items()],
                    "tls": {"key": pair, "cert": pair, "ca": pair},
                },
                directory=Path(os.environ["OIDC_PROVIDER"]),
                log=directory / "oidc-provider.log",
            )
        )
        served = {
            name: Application(name, site, where["issuer"], directory / f"{name}.log")
            for name, site in sites.items()
        }
        for name, application in served.items():
            stack.enter_context(serving(application, sockets[name].fileno()))
        yield served


@pytest.fixture(params=EXAMPLES)
def application(
    request: pytest.FixtureRequest, applications: dict[str, Application]
) -> Application:
    """Visit each of them."""
    return applications[request.param]


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Start the browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed_chromium(),
            ignore_default_args=["--disable-back-forward-cache"],  # people have one
            args=[
                "--no-sandbox",  # there is none for root, who runs many a CI
                # the pages of oidc-provider would have fonts of another site
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def somebody(
    request: pytest.FixtureRequest, chromium: "Browser", application: Application
) -> Iterator[Callable[[str], "Person"]]:
    """Give people with browsers of their own, by name."""
    from tests.browser.people import Person

    album = request.config.stash[SCREENSHOTS] / request.node.name.partition("[")[0]
    album /= application.name.removesuffix(".py")
    with ExitStack() as stack:

        def new(name: str) -> Person:
            context = stack.enter_context(chromium.new_context())
            context.set_default_timeout(SECONDS_TO_WAIT * 1000)
            return Person(name, context, application, album)

        yield new


@pytest.fixture
def ada(somebody: Callable[[str], "Person"]) -> "Person":
    """Give one of them."""
    return somebody("ada")
