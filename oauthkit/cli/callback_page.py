"""The page that a browser shows at the end of a login on this machine."""

from html import escape
from http import HTTPStatus
from typing import Final

from oauthkit.protocol.messages import HTTPResponse

_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    # the code stands in the URL of this page, and goes nowhere from here (RFC 9700 §4.2.4)
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto }}
</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


def page(status: HTTPStatus, title: str, text: str) -> HTTPResponse:
    """Return a page without anything from elsewhere, and without what came with the request.

    Args:
        status: The HTTP status.
        title: Its heading; it is escaped.
        text: What it says; it is escaped.
    """
    content = _PAGE.format(title=escape(title), text=escape(text))
    return HTTPResponse(status, _HEADERS, content.encode())


def refusal(status: HTTPStatus) -> HTTPResponse:
    """Return the answer to a request that is not the callback."""
    return page(
        status, "Not here", "This port waits for the end of one login, and for nothing else."
    )


def success() -> HTTPResponse:
    """Return the page after a login."""
    return page(
        HTTPStatus.OK, "You are logged in", "You can close this page, and go on in the terminal."
    )


def failure(reason: str) -> HTTPResponse:
    """Return the page after a login that failed."""
    return page(HTTPStatus.OK, "The login failed", f"{reason}. The terminal says more.")
