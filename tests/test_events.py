import ast
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import attrs
import pytest

import oauthkit
from oauthkit.errors import ErrorResponse, InvalidClient, ResponseError, StoreError
from oauthkit.events import (
    LONGEST_LINE,
    Event,
    RenewalFailed,
    StoreFailed,
    TokenAdopted,
    TokenRejected,
    TokenRenewed,
    TokenUnsaved,
    emit,
)
from oauthkit.labels import log_fields
from oauthkit.testing import FakeAuthorizationServer

RENEWED = TokenRenewed(
    key="k",
    grant_type="client_credentials",
    seconds=0.5,
    expires_at=None,
    requested_scope="canary",
    scope="canary",
)
FAILED = RenewalFailed(
    key="k", error=InvalidClient("invalid_client", status_code=401), usable=True, pause=1.0
)


def test_an_event_reaches_the_hook() -> None:
    seen: list[Event] = []
    emit(FAILED, seen.append)
    assert seen == [FAILED]


def test_an_event_without_a_hook_is_logged_alone(caplog: pytest.LogCaptureFixture) -> None:
    emit(TokenRejected(key="k"), None)
    assert [record.name for record in caplog.records] == ["oauthkit"]


@pytest.mark.parametrize(
    "event, level", [(TokenAdopted(key="k"), logging.DEBUG), (FAILED, logging.WARNING)]
)
def test_what_needs_attention_is_a_warning(
    event: Event, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="oauthkit"):
        emit(event, None)
    assert [record.levelno for record in caplog.records] == [level]


def test_a_hook_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Event) -> None:
        raise ZeroDivisionError

    emit(FAILED, hook)
    assert caplog.records[-1].levelno == logging.ERROR
    assert "RenewalFailed" in caplog.text


class Raising(logging.Handler):
    """A handler of a user's that handles no error."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError(record.funcName)


@pytest.fixture
def raising() -> Generator[None]:
    log, handler = logging.getLogger("oauthkit"), Raising(logging.WARNING)
    log.addHandler(handler)
    yield
    log.removeHandler(handler)


@pytest.mark.usefixtures("raising")
async def test_a_handler_of_the_log_that_fails_harms_nobody() -> None:
    """A renewal goes on, and on trio the whole program, which it ran beside."""
    fake, heard = FakeAuthorizationServer(), list[Event]()
    async with fake.session(on_event=heard.append) as session:
        fake.fail_next(500)
        with pytest.raises(ResponseError):
            await session.token()
        fake.advance(10)
        await session.token()
    assert [type(event) for event in heard] == [RenewalFailed, TokenRenewed]


def test_a_record_says_where_it_was_written(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Event) -> None:
        raise ZeroDivisionError

    emit(FAILED, hook)
    assert [(record.filename, record.funcName) for record in caplog.records] == [
        ("events.py", "emit")
    ] * 2


@pytest.mark.parametrize(
    "event",
    [
        TokenRenewed(
            key="k",
            grant_type="client_credentials",
            seconds=0.1,
            expires_at=None,
            requested_scope="s" * 900_000,
            scope="s" * 900_000,
        ),
        TokenAdopted(key="\x00\u202e" * 900_000),
        RenewalFailed(
            key="k", error=InvalidClient("e\n" * 900_000), usable=True, pause=float("inf")
        ),
        StoreFailed(key="k", error=StoreError("\x1b[31m" * 900_000)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_one_line_of_bounded_length(
    event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Event] = []
    with caplog.at_level(logging.DEBUG, logger="oauthkit"):
        emit(event, seen.append)
    (message,) = caplog.messages
    assert len(message) == LONGEST_LINE + 1
    assert message.endswith("…")
    assert message.isprintable()
    assert seen == [event]  # whole: the hook is the application's own


class UnshownError(StoreError):
    """Error of a user's own that cannot even show itself."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "event",
    [
        RenewalFailed(key="k", error=UnshownError("canary"), usable=True, pause=1.0),
        StoreFailed(key="k", error=UnshownError("canary")),
        TokenUnsaved(key="k", error=UnshownError("canary")),
    ],
)
def test_an_error_that_cannot_be_shown_is_told_by_its_kind(
    event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    emit(event, None)
    (record,) = caplog.records
    assert "error=<UnshownError>" in record.getMessage()


def test_an_event_that_nobody_logs_is_not_printed_at_all() -> None:
    class UnprintableEvent(Event):
        def __repr__(self) -> str:
            raise ZeroDivisionError

    logging.getLogger("oauthkit").setLevel(logging.CRITICAL)
    try:
        emit(UnprintableEvent(key="k"), None)
    finally:
        logging.getLogger("oauthkit").setLevel(logging.NOTSET)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a program reads in a record."""
    return {name: value for name, value in vars(record).items() if name.startswith("oauth_")}


@pytest.mark.parametrize(
    "event, expected",
    [
        (
            RENEWED,
            {
                "oauth_event": "TokenRenewed",
                "oauth_server": "https://auth.example",
                "oauth_grant_type": "client_credentials",
                "oauth_outcome": "done",
                "oauth_seconds": 0.5,
            },
        ),
        (
            attrs.evolve(FAILED, grant_type="urn:of-my-own", seconds=2.0),
            {
                "oauth_event": "RenewalFailed",
                "oauth_server": "https://auth.example",
                "oauth_grant_type": "_OTHER",
                "oauth_outcome": "failed",
                "oauth_seconds": 2.0,
                "oauth_error": "invalid_client",
                "oauth_recovery": "change_request",
            },
        ),
        (
            RenewalFailed(key="k", error=LookupError("canary"), usable=False, pause=1.0),
            {
                "oauth_event": "RenewalFailed",
                "oauth_server": "https://auth.example",
                "oauth_outcome": "failed",
                "oauth_seconds": 0.0,
                "oauth_error": "_OTHER",
            },
        ),
        (
            TokenRejected(key="canary"),
            {
                "oauth_event": "TokenRejected",
                "oauth_server": "https://auth.example",
                "oauth_outcome": "rejected",
            },
        ),
    ],
    ids=["renewed", "failed", "a fault", "rejected"],
)
def test_a_record_has_what_a_program_reads_and_neither_key_nor_text(
    event: Event, expected: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="oauthkit"):
        emit(event, None, server="https://auth.example/token?key=canary")

    (record,) = caplog.records
    assert fields(record) == expected


async def test_a_session_logs_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeAuthorizationServer()
    fake.slow_next(0.25)
    fake.fail_next(400, content=b'{"error": "made up"}')
    async with fake.session() as session:
        with pytest.raises(ErrorResponse):
            await session.token()

    (record,) = caplog.records
    assert fields(record) == {
        "oauth_event": "RenewalFailed",
        "oauth_server": "https://auth.example",
        "oauth_grant_type": "client_credentials",
        "oauth_outcome": "failed",
        "oauth_seconds": 0.25,
        "oauth_error": "ErrorResponse",
        "oauth_recovery": "change_request",
    }


def calls(tree: ast.AST) -> list[ast.Call]:
    """Return what writes to a log."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and "log" in node.func.value.id.lower()
        and node.func.attr in {"debug", "info", "warning", "error", "exception", "log"}
    ]


def test_no_record_is_written_without_fields() -> None:
    paths = list(Path(oauthkit.__file__).parent.rglob("*.py"))
    written = {path: calls(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    assert sum(map(len, written.values())) > 10
    bare = [
        f"{path.name}:{call.lineno}"
        for path, found in written.items()
        for call in found
        if "extra" not in {keyword.arg for keyword in call.keywords}
    ]
    assert bare == []


def test_a_server_that_is_no_url_has_no_origin() -> None:
    assert log_fields("X", url="nonsense") == {
        "oauth_event": "X",
        "oauth_outcome": "done",
    }


def test_a_hook_that_fails_is_told_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Event) -> None:
        raise ZeroDivisionError

    emit(RENEWED, hook)
    assert fields(caplog.records[-1]) == {
        "oauth_event": "HookFailed",
        "oauth_outcome": "failed",
        "oauth_error": "_OTHER",
    }


def test_the_library_prints_nothing_by_itself() -> None:
    handlers = logging.getLogger("oauthkit").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
