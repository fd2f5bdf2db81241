"""What came to the fake server, written down."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

from oauthkit.protocol.messages import Headers
from oauthkit.protocol.secret import Unprintable


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
