import logging

import pytest

from oauthkit.errors import InvalidClient, StoreError
from oauthkit.events import (
    LONGEST_LINE,
    Event,
    RenewalFailed,
    StoreFailed,
    TokenAdopted,
    TokenRejected,
    TokenRenewed,
    emit,
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


def test_an_event_that_nobody_logs_is_not_printed_at_all() -> None:
    class UnprintableEvent(Event):
        def __repr__(self) -> str:
            raise ZeroDivisionError

    logging.getLogger("oauthkit").setLevel(logging.CRITICAL)
    try:
        emit(UnprintableEvent(key="k"), None)
    finally:
        logging.getLogger("oauthkit").setLevel(logging.NOTSET)


def test_the_library_prints_nothing_by_itself() -> None:
    handlers = logging.getLogger("oauthkit").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
