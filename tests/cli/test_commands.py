"""The group: its help costs nothing, each command is loaded when it is used."""

import errno
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import click
import pytest
from click.shell_completion import ShellComplete

from oauthkit import (
    ConfigurationError,
    OAuthKitError,
    ReauthorizationRequired,
    TransportError,
    __version__,
)
from oauthkit.cli import main
from oauthkit.cli.commands import oauthkit
from oauthkit.cli.commands.discover import discover, show
from oauthkit.cli.commands.serve import serve
from oauthkit.cli.moments import moment
from oauthkit.cli.outcomes import Ended, Exit, run

from .conftest import Invoke

NAMES = ["login", "token", "request", "inspect", "logout", "discover", "serve", "demo"]


def test_every_command_is_there_and_its_help_begins_as_the_groups_says(invoke: Invoke) -> None:
    text = invoke("--help").stdout

    assert oauthkit.list_commands(click.Context(oauthkit)) == NAMES
    for name in NAMES:
        own = invoke(name, "--help").stdout
        summary = own.split("\n\n")[1].strip().splitlines()[0]
        assert f"  {name}" in text
        assert re.split("[,;.]", summary)[0] in text
        assert "--help" in own
    assert "130 interrupted" in " ".join(text.split())
    assert invoke("--version").stdout == f"oauthkit, version {__version__}\n"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_the_help_of_a_command_has_an_example_that_is_not_broken_into_lines(
    invoke: Invoke, name: str
) -> None:
    _, _, examples = invoke(name, "--help").stdout.partition("\nExamples:\n")

    assert examples.strip()
    assert all(line.startswith(("  oauthkit ", "  curl ")) for line in examples.splitlines())


def test_an_unknown_command_is_a_usage_error(invoke: Invoke) -> None:
    assert invoke("colour").exit_code == 2


def test_completion_knows_the_commands_and_their_options_and_imports_none() -> None:
    complete = ShellComplete(oauthkit, {}, "oauthkit", "_OAUTHKIT_COMPLETE")
    before = set(sys.modules)

    assert [item.value for item in complete.get_completions([], "lo")] == ["login", "logout"]
    assert [item.value for item in complete.get_completions([], "")] == NAMES
    assert "--version" in [item.value for item in complete.get_completions([], "--")]
    assert set(sys.modules) == before
    assert "--device" in [item.value for item in complete.get_completions(["login"], "--d")]


def documented() -> list[str]:
    """Return every command that the page shows."""
    page = (Path(__file__).parents[2] / "docs" / "terminal.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^(oauthkit [^\n&|]+)", page, re.MULTILINE)))


@pytest.mark.parametrize("line", documented())
def test_a_command_of_the_page_is_one(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = oauthkit.get_command(click.Context(oauthkit), name)
    assert command is not None
    if name == "request":
        arguments = [argument.replace("@report.txt", "text") for argument in arguments]

    assert command.make_context(name, arguments).params


def test_the_page_shows_every_command() -> None:
    assert {shlex.split(line)[1] for line in documented()} == {*NAMES} - {"demo"}


@pytest.mark.parametrize(
    "status, code, logins", [(0, 0, ""), (1, 1, ""), (3, 0, "login\n"), (4, 1, "")]
)
def test_the_line_of_the_page_for_scripts_logs_in_where_that_helps_and_fails_elsewhere(
    tmp_path: Path, status: int, code: int, logins: str
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "terminal.md").read_text(encoding="utf-8")
    found = re.search(r"^```sh\n(token=.*)\n```$", page, re.MULTILINE)
    assert found is not None
    status_file = tmp_path / "status"
    status_file.write_text(f"{status}")
    script = f"""
oauthkit() {{
    [ "$1" = login ] || return $(cat {status_file})
    echo login
    echo 0 > {status_file}
}}
{found[1]}
"""
    done = subprocess.run(  # noqa: S603 - our own text
        ["/bin/sh", "-c", script], capture_output=True, check=False, text=True, timeout=50
    )

    assert (done.returncode, done.stdout) == (code, logins)


TIMED = """
import sys, time
start = time.process_time()
{statement}
print(time.process_time() - start)
print(*sys.modules, file=sys.stderr)
"""
HELP = """
import io
import contextlib
sys.argv = ["oauthkit", "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    from oauthkit.cli import main
    main()
"""


def _timed(statement: str) -> tuple[float, set[str]]:
    # coverage of child processes costs as much again
    uncounted = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", TIMED.format(statement=statement)],
        capture_output=True,
        check=True,
        text=True,
        env=uncounted | {"PYTHONDONTWRITEBYTECODE": ""},
        timeout=50,
    )
    return float(done.stdout), set(done.stderr.split())


def test_the_help_costs_hardly_more_than_click(record_property: Any) -> None:
    """Twice of it at most: measured in turns, for the machine has other things to do."""
    _timed(HELP)  # its bytecode is on disk from here on
    rounds = [(_timed("import click")[0], _timed(HELP)) for _ in range(3)]
    alone = min(seconds for seconds, _ in rounds)
    ours = min(seconds for _, (seconds, _) in rounds)

    record_property("measured", f"oauthkit --help: {ours / alone:.2f} x import click")
    assert ours < 2 * alone
    assert rounds[0][1][1] & {"httpx", "anyio", "rich", "attrs"} == set()


@pytest.mark.parametrize(
    "error, code, words",
    [
        (ConfigurationError("what is wrong"), Exit.FAILED, "what is wrong"),
        (ReauthorizationRequired("gone"), Exit.LOGIN_NEEDED, "gone"),
        (TransportError("away", retry_after=7), Exit.TRY_LATER, "away; try again in 7 s"),
    ],
)
def test_an_error_ends_a_command_with_its_text_and_a_status_for_scripts(
    error: OAuthKitError, code: Exit, words: str
) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(Ended) as caught:
        run(fail)

    assert caught.value.exit_code == int(code)
    assert caught.value.message == words


@pytest.mark.parametrize(
    "error, code, words",
    [
        (KeyboardInterrupt(), Exit.INTERRUPTED, "Error: interrupted\n"),
        (OSError("no \x1b[31mspace"), Exit.FAILED, "Error: no \\x1b[31mspace\n"),
        (BrokenPipeError(errno.EPIPE, "nobody reads"), Exit.FAILED, ""),
    ],
)
def test_what_may_come_at_any_moment_ends_a_command_in_words(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: Exit, words: str
) -> None:
    """It comes where no asynchronous work is under way: a pipe is waited for, or a disk is full."""
    monkeypatch.setattr(serve, "callback", Mock(side_effect=error))
    result = invoke("serve")

    assert (result.exit_code, result.stderr) == (int(code), words)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("ALL_PROXY", "gopher://user:hidden@proxy.example", "names a proxy that cannot be used"),
        ("HTTP_PROXY", "http://proxy.example:port", "names a proxy that cannot be used"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem", "names cannot be read: No such file"),
    ],
)
def test_an_environment_that_no_request_can_be_sent_by_is_told(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)

    result = invoke("discover", "https://auth.example")

    assert result.exit_code == 1
    assert words in result.stderr
    assert "hidden" not in result.stderr


def test_what_standard_output_has_no_character_for_is_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "ascii"))
    monkeypatch.setattr(sys, "argv", ["oauthkit", "discover", "https://auth.example"])

    def shown_at_once(**_: object) -> None:
        show({"a": "b"}, ["RFC 8414 §2"])

    monkeypatch.setattr(discover, "callback", shown_at_once)

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 0
    assert shown.getvalue() == b"a  b\n! RFC 8414 \\xa72\n"


@pytest.mark.parametrize(
    "arguments, redirected, words",
    [
        (["token"], ">&-", "standard output is closed"),
        (["request", "GET", "https://api.example"], ">&-", "standard output is closed"),
        (["--help"], ">/dev/full", "No space left on device"),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_goes_nowhere_is_a_failure(
    home: Path, arguments: list[str], redirected: str, words: str
) -> None:
    command = shlex.join([sys.executable, "-m", "oauthkit", *arguments])

    done = subprocess.run(  # noqa: S602 - our own command
        f"{command} {redirected}",
        shell=True,
        capture_output=True,
        check=False,
        text=True,
        timeout=50,
    )

    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_no_error_of_ours_is_not_hidden() -> None:
    async def fail(text: str) -> None:
        raise ValueError(text)

    with pytest.raises(ValueError, match="a fault"):
        run(fail, "a fault")
    assert not issubclass(ValueError, OAuthKitError)


@pytest.mark.parametrize(
    "left, words",
    [
        (0.0, "in 0 s"),
        (59.0, "in 59 s"),
        (180.0, "in 3 min"),
        (7_200.0, "in 2 h"),
        (864_000.0, "in 10 d"),
        (-3.0, "3 s ago"),
    ],
)
def test_a_moment_is_told_by_how_far_it_is(left: float, words: str) -> None:
    assert moment(1_000.0 + left, now=1_000.0) == words
    assert moment(None) == "at a time that the server does not say"


def test_nothing_is_coloured_where_it_is_piped(invoke: Invoke, fake: Any) -> None:
    found = invoke("discover", fake.issuer)

    assert "\x1b" not in found.output
    assert json.loads(invoke("discover", fake.issuer, "--json").stdout)["issuer"] == fake.issuer
