"""Whether a client proves who it is, in the one way that it is registered for (RFC 6749 §2.3)."""

from collections.abc import Mapping
from typing import Final

from oauthkit.testing.settings import BY_CERTIFICATE, Settings
from oauthkit.testing.token_request import Asked, RefusedError

_SHOWN: Final[Mapping[str, frozenset[str]]] = {
    "client_secret_basic": frozenset({"client_secret_basic"}),
    "client_secret_post": frozenset({"client_secret_post"}),
    "client_assertion": frozenset({"client_secret_jwt", "private_key_jwt"}),
    "none": BY_CERTIFICATE | {"none"},
}
"""What a request shows of how a client is known, and the methods that show that."""


def check_client(settings: Settings, asked: Asked) -> None:
    """Let the client in that the settings have.

    Raises:
        RefusedError: It is another one, or one that does not prove who it is.
    """
    came = _way(asked)
    if settings.auth_method not in {None, *_SHOWN[came]}:
        fault: str | None = f"this client is known by {settings.auth_method}"
    elif came == "client_assertion":
        fault = settings.fault_of_assertion(asked.parameters)
    elif settings.auth_method in BY_CERTIFICATE:
        fault = _unless(asked.parameters.get("client_id") == settings.client_id)
    else:
        fault = _unless(_knows_secret(settings, asked))
    if fault is not None:
        raise RefusedError(fault, error="invalid_client")


def _way(asked: Asked) -> str:
    """Return how a client shows who it is.

    Raises:
        RefusedError: It does so in more than one way.
    """
    came = {
        "client_secret_basic": asked.credentials,
        "client_secret_post": asked.parameters.get("client_secret"),
        "client_assertion": asked.parameters.get("client_assertion"),
    }
    ways = [way for way, shown in came.items() if shown is not None]
    if len(ways) > 1:
        message = "a client authenticates in one way, not in two (RFC 6749 §2.3)"
        raise RefusedError(message, error="invalid_request")
    return ways[0] if ways else "none"


def _knows_secret(settings: Settings, asked: Asked) -> bool:
    client_id, client_secret = settings.client_id, settings.client_secret
    named = asked.parameters.get("client_id"), asked.parameters.get("client_secret")
    if asked.credentials is None:
        public = asked.public and named in {(None, None), (client_id, None)}
        return public or named == (client_id, client_secret)
    good = (client_id, client_secret or "") in asked.credentials
    return good and named[0] in {None, client_id}


def _unless(known: bool) -> str | None:  # noqa: FBT001 - the one thing that it is told
    return None if known else "client authentication failed"
