"""A token request as a server of the kit reads it, and what comes of it, in no dialect yet."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import attrs

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.checks import Check
from oauthkit.testing.reading import code_challenge


@attrs.frozen(kw_only=True)
class Asked:
    """A token request, as it was read.

    Attributes:
        parameters: What came in the body.
        credentials: How the client's name and secret in the header can be read, if they came there.
        public: Whether the client may leave its secret out.
        known_owner: Whether the resource owner is known without a password.
        challenge: The PKCE challenge that the request proves to know.
    """

    parameters: Mapping[str, object] = attrs.field(repr=False)
    credentials: frozenset[tuple[str, str]] | None = attrs.field(default=None, repr=False)
    public: bool = False
    known_owner: bool = False
    challenge: str | None = attrs.field(
        default=attrs.Factory(
            lambda self: code_challenge(self.parameters.get("code_verifier")), takes_self=True
        ),
        repr=False,
    )

    @property
    def anonymous(self) -> bool:
        """Whether nothing is said of the client."""
        named = {"client_id", "client_secret", "client_assertion"} & self.parameters.keys()
        return self.credentials is None and not named

    def text(self, name: str) -> str:
        """Return a parameter that must be there.

        Raises:
            RefusedError: It is not, or is no text.
        """
        value = self.parameters.get(name)
        if not isinstance(value, str):
            message = f"{name} is {'missing' if value is None else 'not a text'}"
            raise RefusedError(message, error="invalid_request")
        return value


@attrs.frozen(kw_only=True)
class Issued:
    """Tokens, before a dialect writes them down.

    Attributes:
        expires_in: The lifetime as it is to be said; None where it is not.
        expires_at: When the access token expires, in seconds since the epoch.
        refresh_expires_in: The same of the refresh token, if there is one.
        extra: Further members of the answer.
    """

    access_token: str = attrs.field(repr=False)
    token_type: str | None
    expires_in: Any
    expires_at: float
    refresh_token: str | None = attrs.field(repr=False)
    refresh_expires_in: float | None
    scope: str
    extra: Mapping[str, Any] = attrs.field(repr=False)


class RefusedError(Exception):
    """The token endpoint refuses, in the words of RFC 6749 §5.2, before a dialect says so.

    Attributes:
        error: The name.
        description: What is wrong.
        status: What RFC 6749 §5.2 answers with.
    """

    def __init__(
        self,
        description: str,
        *,
        error: str = "invalid_grant",
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    ) -> None:
        """Say why."""
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = HTTPStatus.UNAUTHORIZED if self.of_client else status

    @property
    def of_client(self) -> bool:
        """Whether the client is not known, rather than its right no good."""
        return self.error == "invalid_client"


@attrs.frozen(kw_only=True)
class Dialect:
    """How one authorization server reads token requests, and writes its answers.

    Attributes:
        name: What it is called.
        read: Reads a request; what is not as it should be is a violation, or raises.
        write: Writes tokens down.
        refuse: Says no.
    """

    name: str
    read: Callable[[Check], Asked] = attrs.field(repr=False)
    write: Callable[[Issued, HTTPRequest], HTTPResponse] = attrs.field(repr=False)
    refuse: Callable[[RefusedError, HTTPRequest], HTTPResponse] = attrs.field(repr=False)
