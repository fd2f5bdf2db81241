"""The command line in processes of its own: a server, a login, and what it is for."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import anyio
import click.testing
import httpx
import pytest

from oauthkit.cli.outcomes import run
from oauthkit.testing import FakeAuthorizationServer

from .conftest import Invoke

SECONDS: Final = 50


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Let processes hear of signals also where the tests run in the background, or by nohup."""
    heard: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def started(*arguments: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "oauthkit", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ran(*arguments: str) -> tuple[int, str, str]:
    with started(*arguments) as process:
        stdout, stderr = process.communicate(timeout=SECONDS)
        return process.returncode, stdout, stderr


def line(process: subprocess.Popen[str], stream: str, pattern: str) -> str:
    """Wait for a line that a process prints."""
    for text in getattr(process, stream):
        if found := re.search(pattern, text):
            return found[0]
    pytest.fail(f"the process has not printed {pattern}")


def log_in(issuer: str, *, save: str) -> tuple[int, str]:
    with started(
        *("login", "--no-browser", "--issuer", issuer, "--client-id", "client"),
        *("--scope", "openid read", "--save", save),
    ) as process:
        url = line(process, "stderr", r"^http\S+")
        with httpx.Client(follow_redirects=True) as browser:
            page = browser.post(url, data={"person": "bob", "decision": "agree"})
        assert "You are logged in" in page.text
        stdout, _ = process.communicate(timeout=SECONDS)
        return process.returncode, stdout


def test_a_login_and_what_it_is_for(home: Path) -> None:
    """A token is printed, used, renewed by nobody's doing, and revoked."""
    with started("serve", "--json") as server:
        issuer = json.loads(line(server, "stdout", "{.*}"))["issuer"]

        code, said = log_in(issuer, save="work")
        assert (code, said.split(",")[0]) == (0, "logged in as bob")

        code, token, _ = ran("token")
        assert (code, token.strip()[:12]) == (0, "access-token")
        code, body, _ = ran("request", "GET", f"{issuer}/report")
        assert (code, json.loads(body)) == (0, {"path": "/report"})
        code, said, _ = ran("logout")
        assert (code, said.splitlines()[1]) == (0, "the server has revoked the token")
        code, said, complaint = ran("token")
        assert (code, said) == (3, "")
        assert complaint.startswith("Error: ")

        with started("login", "--no-browser") as process:
            line(process, "stderr", r"^http\S+")
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=SECONDS)
        assert process.returncode == 130
        assert complaint.strip() == "Error: interrupted"
        server.send_signal(signal.SIGINT)
        _, complaint = server.communicate(timeout=SECONDS)
        assert (server.returncode, complaint) == (0, "")
    content = b"".join(file.read_bytes() for file in (home / "data").iterdir())
    assert token.strip().encode() not in content, "what is deleted is overwritten"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_renewal_on_its_way_is_kept_before_a_signal_ends_the_process(
    invoke: Invoke,
    fake: FakeAuthorizationServer,
    logged_in: click.testing.Result,
    number: signal.Signals,
) -> None:
    """The server has rotated the refresh token: whoever does not wait for it has lost the login."""
    assert logged_in.exit_code == 0
    with fake.hold() as held, started("token", "--renew") as process:
        anyio.run(held.arrived)
        process.send_signal(number)
        held.release()
        said, complaint = process.communicate(timeout=SECONDS)

    assert (process.returncode, said, complaint) == (-number, "", "")
    kept = json.loads(invoke("inspect", "--json", "--show-secrets").stdout)
    assert fake.ledger.live(kept["access_token"])
    assert invoke("token", "--renew").exit_code == 0
    assert len(fake.token_requests) == 3


def test_nobody_waits_for_a_reader_who_has_stopped(
    fake: FakeAuthorizationServer,
    answers: list[httpx.Response],
    logged_in: click.testing.Result,
) -> None:
    assert logged_in.exit_code == 0
    answers.append(httpx.Response(200, content=b"x" * 1_000_000))
    with started("request", "GET", f"{fake.issuer}/report") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGTERM)

        assert process.wait(SECONDS) == -signal.SIGTERM


def test_a_signal_cancels_what_a_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("signal.raise_signal", ended.append)

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep_forever()

    with pytest.raises(SystemExit) as caught:
        run(work)

    assert ended == [signal.SIGTERM]
    assert caught.value.code == 143


def test_a_signal_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.getsignal", Mock(return_value=signal.SIG_IGN))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await anyio.lowlevel.checkpoint()
        return "done"

    try:
        assert run(work) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)
