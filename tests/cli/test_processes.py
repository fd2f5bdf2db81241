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
from typing import Final

import httpx
import pytest

SECONDS: Final = 50


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Let processes hear of Ctrl-C also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
