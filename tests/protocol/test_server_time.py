"""What time it is at the server."""

import pytest

from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.server_time import moment_of, server_ahead

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
MOMENT = 784_111_777.0


@pytest.mark.parametrize(
    "text, moment",
    [
        (DATE, MOMENT),
        ("Sun, 06 Nov 1994 08:49:37 -0000", MOMENT),
        ("Sun Nov  6 08:49:37 1994", MOMENT),
        ("Sun, 06 Nov 1994 09:49:37 +0100", MOMENT),
        ("", None),
        ("now", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_a_date_is_read_in_every_form_that_a_server_may_write(
    text: str, moment: float | None
) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize(
    "sent_at, read_at, ahead",
    [
        (MOMENT - 20, MOMENT - 10, 10.0),
        (MOMENT - 20, MOMENT + 10, 0.0),
        (MOMENT + 10, MOMENT + 20, -10.0),
    ],
)
def test_what_the_time_on_the_way_explains_is_no_other_clock(
    sent_at: float, read_at: float, ahead: float
) -> None:
    """JA-06."""
    response = HTTPResponse(401, {"date": DATE})

    assert server_ahead(response, sent_at=sent_at, read_at=read_at) == ahead


def test_an_answer_without_a_date_tells_of_no_other_clock() -> None:
    assert server_ahead(HTTPResponse(401), sent_at=0.0, read_at=0.0) == 0.0
