"""What came to the fake server, written down."""

from collections.abc import Mapping
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

import attrs

from oauthkit.protocol.messages import Headers
from oauthkit.protocol.secret import Unprintable

Endpoint = Literal[
    "token",
    "authorize",
    "activate",
    "device",
    "register",
    "revoke",
    "introspect",
    "userinfo",
    "logout",
    "metadata",
    "jwks",
]
"""What the authorization server has, each with faults on demand."""
_ELSEWHERE: Final = {"token": "token_requests", "metadata": "metadata_requests"}
"""The endpoints whose requests have a list of their own."""


@attrs.frozen(kw_only=True)
class TokenRequest:
    """What came to the token endpoint, and the status it was answered with.

    Attributes:
        parameters: The body's parameters; none where it cannot be read.
        headers: As they came.
        content_type: The format of the body, without charset or boundary.
        status_code: What was answered.
        at: When, in seconds since the epoch.
    """

    parameters: Mapping[str, object] = attrs.field(converter=Unprintable)
    headers: Headers
    content_type: str
    status_code: int
    at: float


@attrs.frozen(kw_only=True)
class EndpointRequest(TokenRequest):
    """What came to another endpoint of the server, and the status it was answered with.

    Attributes:
        parameters: The body's parameters; none where it cannot be read.
        method: Such as `POST`.
        url: As it came, query included.
    """

    method: str
    url: str


@attrs.frozen(kw_only=True)
class APIRequest:
    """What came to the API, and the status it was answered with.

    Attributes:
        url: As it came, query included.
        headers: As they came; `headers["authorization"]` is what was presented.
        content: The body.
        status_code: What was answered.
        at: When, in seconds since the epoch.
    """

    method: str
    url: str
    headers: Headers
    content: bytes = attrs.field(repr=lambda content: f"<{len(content)} bytes>")
    status_code: int
    at: float

    @property
    def path(self) -> str:
        """The path of the URL."""
        return urlsplit(self.url).path


class EndpointRequests(dict[str, list[EndpointRequest]]):
    """Requests by their endpoint; a name that none has is an error, and no empty list."""

    def __missing__(self, name: str) -> list[EndpointRequest]:
        """Begin the list of an endpoint.

        Raises:
            KeyError: No endpoint has this name, or its requests stand elsewhere.
        """
        if name in _ELSEWHERE:
            message = f"what came to {name} is in {_ELSEWHERE[name]}"
            raise KeyError(message)
        return self.setdefault(checked_endpoint(name), [])


def checked_endpoint(name: str) -> str:
    """Return the name of an endpoint.

    Raises:
        KeyError: None has this name; the message has all that there are.
    """
    if name not in get_args(Endpoint):
        message = f"no endpoint is called {name!r}; there are {', '.join(get_args(Endpoint))}"
        raise KeyError(message)
    return name
