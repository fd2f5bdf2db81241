"""Which request to the port of a login is its callback (RFC 8252 §7.3, §8.3).

Nothing here does I/O. Every page in every browser of this machine, and every process, can send
requests to the port. So whatever is not the one navigation that brings the callback is answered
with an error that says nothing, and the login goes on waiting.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import attrs

from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.messages import HTTPRequest

_NAVIGATION: Final = "navigate"


@attrs.frozen(kw_only=True)
class Expected:
    """Say what the callback of a login looks like.

    Attributes:
        authority: The address that was bound, as it stands in the `Host` header.
        path: Where the callback comes, exactly.
        once_id: Names the login whose callback it is; None before there is one.
    """

    authority: str
    path: str
    once_id: str | None = None


def fault_of(request: HTTPRequest, expected: Expected) -> HTTPStatus | None:
    """Return why a request is not the callback; None where it is.

    A name that was turned to this machine (DNS rebinding) is seen by its `Host`; a page's script by
    its `Origin`, its method or its `Sec-Fetch-Mode`; a guess by its `state`.

    Args:
        request: What came.
        expected: What was expected.
    """
    headers = request.headers
    if headers.get("host", "").lower() != expected.authority:
        return HTTPStatus.MISDIRECTED_REQUEST
    if urlsplit(request.url).path != expected.path:
        return HTTPStatus.NOT_FOUND
    if request.method != "GET":
        return HTTPStatus.METHOD_NOT_ALLOWED
    ahead = "prefetch" in headers.get("sec-purpose", headers.get("purpose", ""))
    if ahead or "origin" in headers or headers.get("sec-fetch-mode", _NAVIGATION) != _NAVIGATION:
        return HTTPStatus.FORBIDDEN
    found = AuthorizationRequest.once_id_of(request.url)
    if found is None or found != expected.once_id:
        return HTTPStatus.BAD_REQUEST
    return None
