import logging

import pytest

from oauthkit.errors import InvalidClient
from oauthkit.events import Event, RenewalFailed, TokenAdopted, TokenRejected, emit

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


def test_the_library_prints_nothing_by_itself() -> None:
    handlers = logging.getLogger("oauthkit").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
