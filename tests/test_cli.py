"""The command line, and the demo behind it."""

import io
import json
import re
import subprocess
import sys
from typing import Any

import anyio
import attrs
import click.testing
import pytest
from rich.console import Console

from oauthkit import ClientSecretPost, __version__, cli
from oauthkit.cli import demo, lines
from oauthkit.cli.commands import demo as command
from oauthkit.cli.commands import oauthkit
from oauthkit.cli.demo import run_demo
from oauthkit.cli.display import Display, display_for
from oauthkit.cli.plan import Plan, Progress
from oauthkit.cli.report import Report, Row
from oauthkit.cli.ways import Way, documented_ways
from oauthkit.protocol.messages import Headers, HTTPRequest, HTTPResponse
from oauthkit.testing.documented import Exchange

SMALL = Plan(crowd=34, life=2, expiries=1)
SMALL_OPTIONS = ["--crowd", "34", "--life", "2", "--expiries", "1"]
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
    return click.testing.CliRunner().invoke(oauthkit, ["demo", *arguments])


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each call of the crowd wait first: what is shown of many calls, a few show as well."""
    call = lines.Line.timed_call

    async def later(self: lines.Line) -> None:
        await anyio.sleep(0.1)
        await call(self)

    monkeypatch.setattr(lines.Line, "timed_call", later)


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


@pytest.mark.parametrize("patience, life, expiries", [(30.0, SMALL.life, 1), (0.2, 3600, 0)])
async def test_the_crowd_waits_for_the_planned_expiries_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, patience: float, life: int, expiries: int
) -> None:
    monkeypatch.setattr(demo, "documented_ways", two_ways)
    monkeypatch.setattr(Plan, "seconds", 0.1)
    monkeypatch.setattr(Plan, "patience", patience)

    report = await run_demo(attrs.evolve(SMALL, life=life), ignored)

    assert [row.expiries for row in report.rows] == [expiries, expiries]
    assert report.ok is (expiries > 0)
    assert all("expired 0 times, not 1" in problem for problem in report.problems)


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
    monkeypatch.setattr(Plan, "seconds", 0.3)
    monkeypatch.setattr(Plan, "patience", 0.3)

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
def test_the_demo_prints_plain_text_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    by_json = [way for way in documented_ways() if way.format == "JSON"]
    monkeypatch.setattr(demo, "documented_ways", lambda: [*two_ways(), *by_json])

    result = invoke("--backend", backend, *SMALL_OPTIONS)

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "34 calls at once, tokens live 2 s" in result.stdout
    assert re.search(r"^D auth_v1 +password +JSON +1 ", result.stdout, re.MULTILINE)
    assert "expiries of tokens that live 2 s: each cost one token request" in result.stdout


def test_a_violation_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    client_auth = ClientSecretPost("demo client", "it's a: s3cret+")
    monkeypatch.setattr(demo, "documented_ways", lambda: two_ways(client_auth=client_auth))

    result = invoke(*SMALL_OPTIONS)

    assert result.exit_code == 1
    assert "✗ ads, token: expected Authorization: Basic, came none" in result.stdout


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), BaseExceptionGroup("trio", [KeyboardInterrupt()])],
)
def test_ctrl_c_ends_the_demo_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def interrupted(*_: object) -> Report:
        raise error

    monkeypatch.setattr(command, "run_demo", interrupted)

    result = invoke()

    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"
    assert result.stdout == ""


@pytest.mark.parametrize("error", [BrokenPipeError(), SystemExit(1)])
def test_a_reader_that_went_away_ends_the_demo_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def unread(*_: object) -> Report:
        message = "tasks"
        raise BaseExceptionGroup(message, [error])

    monkeypatch.setattr(command, "run_demo", unread)

    result = invoke()

    assert result.exit_code == 1
    assert result.output == ""


@pytest.mark.parametrize("option", [["--crowd", "16"], ["--life", "0"], ["--expiries", "0"]])
def test_a_demo_too_small_is_a_usage_error(option: list[str]) -> None:
    assert invoke(*option).exit_code == 2


def shown(report: Report, **settings: Any) -> list[str]:
    """Return the lines that a file gets, or a terminal."""
    file = io.StringIO()
    Display(Console(file=file, width=80, legacy_windows=False, **settings)).show(report)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_table_names_system_and_grant_once() -> None:
    lines = [line for line in shown(REPORT) if line and "─" not in line]

    assert lines == [
        "  say_hello  Hello, Ada!",
        "  test       {'counter': 228}",
        "system     grant               format     fetched  refreshed  calls  slowest",
        "A ads      password            form             1          3  1,234   0.50 s",
        "D auth_v1  password            JSON             1          3  1,234   0.50 s",
        "                               text/json        1          3  1,234   1.25 s",
        "           client_credentials  form             4          0  1,234   0.50 s",
        "all        2 grants            3 formats        7          9  4,936   1.25 s",
        "✓ 99 requests compared with their documents: no differences",
        "✓ 4,936 calls, up to 500 at once: none failed",
        "✓ 12 expiries of tokens that live 2 s: each cost one token request",
        "✓ done in 7.2 s",
    ]


def test_the_verdict_says_what_went_wrong() -> None:
    row = attrs.evolve(ROW, failed=2, extra=1)
    problem = "a problem that is told in one line, however wide the [terminal] that it is shown on"
    report = attrs.evolve(REPORT, rows=(row,), violations=3, problems=(problem,))

    assert shown(report)[-5:] == [
        "✗ 99 requests compared with their documents: 3 differences",
        "✗ 1,234 calls, up to 500 at once: 2 failed",
        "✗ 3 expiries of tokens that live 2 s: 1 token requests too many",
        "✗ done in 7.2 s",
        f"✗ {problem}",
    ]


def test_a_report_without_rows_is_shown_too() -> None:
    report = attrs.evolve(REPORT, rows=(), answers={}, problems=("the demo ended early",))

    assert shown(report)[-1] == "✗ the demo ended early"
    assert shown(report, force_terminal=True, color_system=None)[-1] == "✗ the demo ended early"


def test_where_no_line_can_move_progress_is_a_line_a_step_and_a_line_a_quarter() -> None:
    file = io.StringIO()
    display = Display(Console(file=file))

    display.watch(Progress(step="servers start"))
    for share in (0.0, 0.1, 0.26, 0.3, 0.6, 1.0):
        display.watch(Progress(step="calls", share=share, detail=f"{share:.0%} of them"))

    assert file.getvalue().splitlines() == [
        "servers start",
        "calls",
        "   25%  26% of them",
        "   50%  60% of them",
        "  100%  100% of them",
    ]


def test_beside_json_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with display_for(as_json=True) as display:
        display.watch(Progress(step="calls"))
        display.show(REPORT)

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal(width: int) -> None:
    file = io.StringIO()
    display = Display(
        Console(
            file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False
        )
    )

    with display:
        display.watch(Progress(step="servers start"))
        display.watch(Progress(step="calls", share=0.5, detail="7 calls"))
        display.watch(Progress(step="calls", share=0.9, detail="12 calls"))
    display.show(REPORT)

    screen = file.getvalue()
    assert screen.count("✓ servers start") == 1
    assert screen.count("✓ calls") == 1, "a step is left above the line when it is done"
    assert "A ads" in screen
    assert "client_credentials" in screen
    assert "…" not in screen
    assert "✓ 12 expiries of tokens that live 2 s: each cost one token request" in screen


def test_a_terminal_without_utf_8_gets_ascii_marks() -> None:
    content = io.BytesIO()
    file = io.TextIOWrapper(content, encoding="ascii")
    display = Display(Console(file=file, width=80, color_system=None))

    display.show(attrs.evolve(REPORT, problems=("a problem",)))
    file.flush()

    assert b"+ 99 requests" in content.getvalue()
    assert b"! a problem" in content.getvalue()


@pytest.mark.parametrize(
    "missing, name",
    [
        ("click", "--help"),
        ("rich", "demo"),
        ("h11", "login"),
        ("platformdirs", "token"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, name: str) -> None:
    for module in [module for module in sys.modules if module.startswith("oauthkit.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["oauthkit", name, "--help"])

    with pytest.raises(SystemExit, match=r"pip install 'oauthkit\[cli\]'"):
        cli.main()


def test_another_missing_module_is_not_taken_for_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "oauthkit.cli.commands.demo")
    monkeypatch.setitem(sys.modules, "oauthkit.cli.demo", None)
    monkeypatch.setattr(sys, "argv", ["oauthkit", "demo"])

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


def test_a_stand_in_for_standard_output_is_written_to_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as IDLE's, or a test's; it has no encoding that could lack a character."""
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "argv", ["oauthkit", "--version"])

    with pytest.raises(SystemExit) as caught:
        cli.main()

    assert caught.value.code == 0
    assert shown.getvalue() == f"oauthkit, version {__version__}\n"


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
