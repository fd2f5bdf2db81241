"""What endpoints of the fake server have in common that a client asks and is known at."""

from collections.abc import Callable, Mapping

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check
from oauthkit.testing.dialects import RFC_6749
from oauthkit.testing.reading import UnreadableError
from oauthkit.testing.state import AuthorizationServerState
from oauthkit.testing.token_request import Asked, RefusedError

Work = Callable[[Asked], HTTPResponse]
"""Answers a request whose client is known."""


def answer_to_client(
    state: AuthorizationServerState, request: HTTPRequest, work: Work, *, known: bool = False
) -> HTTPResponse:
    """Return the answer to a client that is known, or a refusal (RFC 6749 §5.2).

    Args:
        state: The server's.
        request: What came.
        work: Answers it.
        known: Whether who asks is known already, in another way.
    """
    try:
        asked = RFC_6749.read(Check(request))
        if not known:
            state.desk.authenticate(asked)
        return work(asked)
    except UnreadableError as error:
        refusal = RefusedError(str(error), error="invalid_request")
    except RefusedError as error:
        refusal = error
    return RFC_6749.refuse(refusal, request)


def said(members: Mapping[str, object]) -> dict[str, object]:
    """Return the members that are said; None as a value leaves one out."""
    return {name: value for name, value in members.items() if value is not None}
