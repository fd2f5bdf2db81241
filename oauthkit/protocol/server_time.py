"""What time it is at the server, as its answers say (RFC 9110 §5.6.7, §6.6.1)."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from oauthkit.protocol.messages import HTTPResponse


def moment_of(text: str) -> float | None:
    """Return the moment of a date in a header, in seconds since the epoch; None where it is none.

    Args:
        text: Such as `Sun, 22 Nov 2026 18:00:00 GMT`; a date without a zone is in UTC.
    """
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def server_ahead(response: HTTPResponse, *, sent_at: float, read_at: float) -> float:
    """Return the seconds by which the server's clock is ahead of this machine's; below 0, behind.

    It is what the time between the request and the reading of its answer does not explain, and 0
    where that explains all, or the answer has no `Date`.

    Args:
        response: The answer.
        sent_at: When the request was sent, in seconds since the epoch.
        read_at: When the answer had been read, likewise.
    """
    date = moment_of(response.headers.get("date", ""))
    if date is None:
        return 0.0
    return date - min(max(date, sent_at), read_at)
