"""The command line, and the demo behind it."""

import io
import json
import subprocess
import sys
from typing import Any

import attrs
import click.testing
import pytest
from rich.console import Console

from oauthkit import ClientSecretPost, __version__, cli
from oauthkit.cli import commands, demo, lines
from oauthkit.cli.demo import run_demo
from oauthkit.cli.display import PlainDisplay, SilentDisplay, display_for
from oauthkit.cli.plan import Plan, Progress
from oauthkit.cli.report import Report, Row
from oauthkit.cli.terminal import TerminalDisplay
from oauthkit.cli.ways import Way, documented_ways
from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse
from oauthkit.testing.documented import Exchange

SMALL = Plan(crowd=34, life=1, expiries=1)
SMALL_OPTIONS = ["--crowd", "34", "--life", "1", "--expiries", "1"]
ROW = Row(
    system="ads",
    grant="password",
    format="form",
    fetched=1,
    refreshed=3,
    expiries=3,
    extra=0,
    calls=1_234,
    failed=0,
    slowest=0.5,
)
REPORT = Report(
    rows=(
        ROW,
        attrs.evolve(ROW, system="auth_v1", format="JSON"),
        attrs.evolve(ROW, system="auth_v1", format="text/json", slowest=1.25),
        attrs.evolve(ROW, system="auth_v1", grant="client_credentials", fetched=4, refreshed=0),
    ),
    answers={"say_hello": "Hello, Ada!", "test": {"counter": 228}},
    requests=99,
    violations=0,
    peak=500,
    life=2,
    seconds=7.25,
    problems=(),
)


def invoke(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(commands.oauthkit, ["demo", *arguments])


def ignored(progress: Progress) -> None:
    """Watch nothing."""


def two_ways(**changes: Any) -> list[Way]:
    """Return the ways of the systems A and B, the first one changed."""
    ads, hello, *_ = documented_ways()
    return [attrs.evolve(ads, **changes), hello]


async def test_everything_is_as_documented_and_every_expiry_costs_one_token_request() -> None:
    steps: list[Progress] = []

    report = await run_demo(SMALL, steps.append)

    assert report.problems == ()
    assert report.ok
    assert (report.failed, report.extra, report.violations) == (0, 0, 0)
    assert report.peak == SMALL.crowd
    assert report.calls >= SMALL.crowd
    assert report.requests > 0
    assert all(row.expiries >= SMALL.expiries for row in report.rows)
    assert all(row.fetched + row.refreshed == 1 + row.expiries for row in report.rows)
    assert {row.grant for row in report.rows if row.refreshed == 0} == {"client_credentials"}
    assert 0 < report.slowest < report.seconds
    assert report.answers == {
        "say_hello": "Hello, Ada!",
        "get_bibcode": "1999ApJ...517..565P AST SHORT",
        "test": {"counter": 228},
    }
    assert len(dict.fromkeys(progress.step for progress in steps)) == 4
    assert steps[-1].share == 1.0


def test_every_documented_system_grant_and_format_has_its_row() -> None:
    formats = ("JSON", "text/json", "XML", "text/xml", "form")

    assert [(way.system, way.grant_type, way.format) for way in documented_ways()] == [
        ("ads", "password", "form"),
        ("hello", "authorization_code", "form"),
        ("id_secret", "client_credentials", "form"),
        ("id_secret", "authorization_code", "form"),
        *(("auth_v1", "password", name) for name in formats),
        *(("auth_v1", "client_credentials", name) for name in formats),
        ("put_auth", "refresh_token", "multipart"),
        ("put_auth", "authorization_code", "multipart"),
        ("put_auth", "password", "multipart"),
    ]


async def test_a_request_that_is_not_as_documented_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client_auth = ClientSecretPost("demo client", "it's a: s3cret+")  # Basic is documented
    monkeypatch.setattr(demo, "documented_ways", lambda: two_ways(client_auth=client_auth))

    report = await run_demo(SMALL, ignored)

    problems = "\n".join(report.problems)
    assert not report.ok
    assert report.violations > 0
    assert "ads, token: expected Authorization: Basic, came none" in problems
    assert "ads, password, form: a token request was answered with 400" in problems
    assert "the demo ended early: ErrorResponse: " in problems
    assert "s3cret" not in problems


async def test_a_failed_call_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = lines.GuardedSystem.answer

    def refused(self: lines.GuardedSystem, request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(503) if request.url.endswith("/resource") else answer(self, request)

    monkeypatch.setattr(demo, "documented_ways", two_ways)
    monkeypatch.setattr(lines.GuardedSystem, "answer", refused)

    report = await run_demo(attrs.evolve(SMALL, crowd=4), ignored)

    assert report.failed > 0
    assert (
        "hello, authorization_code, form: UnexpectedAnswerError: a call was answered with 503"
        in report.problems
    )


async def test_an_answer_of_a_function_that_is_another_than_documented_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def other(*_: object, **__: object) -> dict[str, int]:
        return {"counter": 7}

    monkeypatch.setattr(demo, "documented_ways", two_ways)
    monkeypatch.setattr(demo, "test", other)

    report = await run_demo(SMALL, ignored)

    assert report.problems[0] == (
        "the demo ended early: UnexpectedAnswerError: "
        "test returned {'counter': 7}, not {'counter': 228}"
    )


@pytest.mark.parametrize("token", ["", "Basic YTpi", "Bearer unknown"])
async def test_the_resource_opens_for_live_tokens_alone(token: str) -> None:
    system = lines.GuardedSystem(system="put_auth")
    headers = {"authorization": token} if token else {}

    response = await system.respond(HTTPRequest("GET", "http://localhost/resource", headers))

    assert response.status_code == 401


def token_request(at: float, *names: str, status_code: int = 200) -> Exchange:
    return Exchange(
        system="ads",
        operation="token",
        method="POST",
        path="/token",
        headers=Headers(),
        parameters=("grant_type", *names),
        violations=(),
        status_code=status_code,
        at=at,
    )


def test_requests_of_one_expiry_too_many_are_counted_and_a_problem() -> None:
    requests = [
        token_request(0.0, "password"),
        token_request(2.0, "refresh_token"),
        token_request(2.1, "refresh_token"),
        token_request(4.1, "refresh_token", status_code=400),
    ]

    row = Row.of("ads", "password", "form", requests, life=2)

    assert (row.fetched, row.refreshed, row.expiries, row.extra) == (1, 3, 2, 1)
    assert row.problems(requests, expiries=3) == [
        "ads, password, form: a token request was answered with 400",
        "ads, password, form: 1 more token requests than its 2 expiries",
        "ads, password, form: the token expired 2 times, not 3",
    ]


def test_a_first_token_from_a_refresh_token_was_fetched() -> None:
    requests = [token_request(0.0, "refresh_token"), token_request(2.0, "refresh_token")]

    row = Row.of("put_auth", "refresh_token", "multipart", requests, life=2)

    assert (row.fetched, row.refreshed) == (1, 1)


def test_the_demo_prints_nothing_but_json_when_asked_for_it() -> None:
    result = invoke("--json", *SMALL_OPTIONS)

    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert report["ok"] is True
    assert report["oauthkit"] == __version__
    assert set(report) == {
        "oauthkit",
        "ok",
        "problems",
        "seconds",
        "token_life",
        "requests_checked",
        "violations",
        "calls",
        "failed",
        "peak",
        "expiries",
        "extra_token_requests",
        "answers",
        "rows",
    }
    assert all(set(row) == set(attrs.fields_dict(Row)) for row in report["rows"])
    assert len(report["rows"]) == len(documented_ways())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_demo_prints_plain_text_where_there_is_no_terminal(backend: str) -> None:
    result = invoke("--backend", backend, *SMALL_OPTIONS)

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "34 calls at once, tokens live 1 s" in result.stdout
    assert "D auth_v1    password            JSON" in result.stdout
    assert "expiries of tokens that live 1 s: each cost one token request" in result.stdout


def test_a_violation_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    client_auth = ClientSecretPost("demo client", "it's a: s3cret+")
    monkeypatch.setattr(demo, "documented_ways", lambda: two_ways(client_auth=client_auth))

    result = invoke(*SMALL_OPTIONS)

    assert result.exit_code == 1
    assert "NOT  ads, token: expected Authorization: Basic, came none" in result.stdout


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), BaseExceptionGroup("trio", [KeyboardInterrupt()])],
)
def test_ctrl_c_ends_the_demo_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def interrupted(*_: object) -> Report:
        raise error

    monkeypatch.setattr(commands, "run_demo", interrupted)

    result = invoke()

    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"
    assert result.stdout == ""


def test_a_reader_that_went_away_ends_the_demo_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unread(*_: object) -> Report:
        message = "tasks"
        raise ExceptionGroup(message, [BrokenPipeError()])

    monkeypatch.setattr(commands, "run_demo", unread)

    result = invoke()

    assert result.exit_code == 1
    assert result.output == ""


@pytest.mark.parametrize("option", [["--crowd", "16"], ["--life", "0"], ["--expiries", "0"]])
def test_a_demo_too_small_is_a_usage_error(option: list[str]) -> None:
    assert invoke(*option).exit_code == 2


def shown_plainly(report: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    PlainDisplay().show(report)
    return capsys.readouterr().out.splitlines()


def test_the_plain_table_names_system_and_grant_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_plainly(REPORT, capsys) == [
        "",
        "  say_hello    Hello, Ada!",
        "  test         {'counter': 228}",
        "",
        "system     grant               format     fetched  refreshed  calls  slowest",
        "---------  ------------------  ---------  -------  ---------  -----  -------",
        "A ads      password            form             1          3  1,234   0.50 s",
        "D auth_v1  password            JSON             1          3  1,234   0.50 s",
        "                               text/json        1          3  1,234   1.25 s",
        "           client_credentials  form             4          0  1,234   0.50 s",
        "---------  ------------------  ---------  -------  ---------  -----  -------",
        "all        2 grants            3 formats        7          9  4,936   1.25 s",
        "",
        "ok   99 requests compared with their documents: no differences",
        "ok   4,936 calls, up to 500 at once: none failed",
        "ok   12 expiries of tokens that live 2 s: each cost one token request",
        "ok   done in 7.2 s",
    ]


def test_the_plain_verdict_says_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    row = attrs.evolve(ROW, failed=2, extra=1)
    report = attrs.evolve(REPORT, rows=(row,), violations=3, problems=("a problem",))

    assert shown_plainly(report, capsys)[-5:] == [
        "NOT  99 requests compared with their documents: 3 differences",
        "NOT  1,234 calls, up to 500 at once: 2 failed",
        "NOT  3 expiries of tokens that live 2 s: 1 token requests too many",
        "NOT  done in 7.2 s",
        "NOT  a problem",
    ]


def test_a_report_without_rows_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    report = attrs.evolve(REPORT, rows=(), answers={}, problems=("the demo ended early",))

    assert shown_plainly(report, capsys)[-1] == "NOT  the demo ended early"


def test_plain_progress_is_a_line_a_step_and_a_line_a_quarter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = PlainDisplay()

    display.watch(Progress(step="servers start"))
    for share in (0.0, 0.1, 0.26, 0.3, 0.6, 1.0):
        display.watch(Progress(step="calls", share=share, detail=f"{share:.0%} of them"))

    assert capsys.readouterr().out.splitlines() == [
        "servers start",
        "calls",
        "   25%  26% of them",
        "   50%  60% of them",
        "  100%  100% of them",
    ]


def test_a_silent_display_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with SilentDisplay() as display:
        display.watch(Progress(step="calls"))
        display.show(REPORT)

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal(width: int) -> None:
    file = io.StringIO()
    display = TerminalDisplay(
        Console(
            file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False
        )
    )

    with display:
        display.watch(Progress(step="servers start"))
        display.watch(Progress(step="calls", share=0.5, detail="7 calls"))
    display.show(REPORT)

    screen = file.getvalue()
    assert "✓ servers start" in screen
    assert "✓ calls" in screen
    assert "A ads" in screen
    assert "client_credentials" in screen
    assert "…" not in screen
    assert "✓ 12 expiries of tokens that live 2 s: each cost one token request" in screen


def test_a_terminal_without_utf_8_gets_ascii_marks() -> None:
    content = io.BytesIO()
    file = io.TextIOWrapper(content, encoding="ascii")
    display = TerminalDisplay(Console(file=file, width=80, color_system=None))

    display.show(attrs.evolve(REPORT, problems=("a problem",)))
    file.flush()

    assert b"+ 99 requests" in content.getvalue()
    assert b"! a problem" in content.getvalue()


class Terminal(io.StringIO):
    """Be a terminal."""

    def isatty(self) -> bool:
        return True


def opened_display() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        return display_for(as_json=False)


def test_a_terminal_gets_the_display_for_terminals() -> None:
    assert isinstance(opened_display(), TerminalDisplay)


def test_a_terminal_gets_plain_text_where_rich_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "oauthkit.cli.terminal")
    monkeypatch.setitem(sys.modules, "rich", None)

    assert isinstance(opened_display(), PlainDisplay)


def test_another_missing_module_is_not_taken_for_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "oauthkit.cli.terminal")
    monkeypatch.setitem(sys.modules, "rich.console", None)

    with pytest.raises(ModuleNotFoundError, match=r"rich\.console"):
        opened_display()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "oauthkit.cli.commands")
    monkeypatch.setitem(sys.modules, "click", None)

    with pytest.raises(SystemExit, match=r"pip install 'oauthkit\[cli\]'"):
        cli.main()


def test_another_missing_module_is_not_taken_for_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "oauthkit.cli.commands")
    monkeypatch.setitem(sys.modules, "oauthkit.cli.demo", None)

    with pytest.raises(ModuleNotFoundError, match=r"oauthkit\.cli\.demo"):
        cli.main()


def test_the_command_is_called_oauthkit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["oauthkit", "--version"])

    with pytest.raises(SystemExit) as caught:
        cli.main()

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"oauthkit, version {__version__}\n"


def test_the_package_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "oauthkit", "demo", "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert "Usage: oauthkit demo" in result.stdout
    assert "rich" not in result.stderr
