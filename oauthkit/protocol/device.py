"""The request that begins a login on a device, its answer, and when to ask next (RFC 8628)."""

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import attrs

from oauthkit.errors import ErrorResponse, OAuthKitError, Recovery, ResponseError, printable
from oauthkit.protocol.answers import unusable
from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.device_login import DEFAULT_INTERVAL, DeviceLogin
from oauthkit.protocol.endpoint import Parameters, build_request, combined_parameters, read_answer
from oauthkit.protocol.expiry import expires_at
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import Unprintable, secrets_of
from oauthkit.protocol.server import AuthorizationServer, RequestAdapter
from oauthkit.protocol.tries import growing_pause

ENDPOINT: Final = "device_authorization_endpoint"

_KNOWN: Final = frozenset(
    {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
)
_SLOWER: Final = 5.0
"""Seconds that `slow_down` adds to the interval, for good (RFC 8628 §3.5)."""
_LONGEST_INTERVAL: Final = 86_400.0


def build_device_request(
    server: AuthorizationServer,
    client_auth: ClientAuth,
    authentication: Authentication,
    *,
    scope: str | None = None,
    resource: tuple[str, ...] = (),
    additional: Mapping[str, ParameterValue] | None = None,
) -> HTTPRequest:
    """Return the request that begins a login (RFC 8628 §3.1).

    Args:
        server: Who is asked.
        client_auth: Who asks.
        authentication: What `client_auth` gave for this try.
        scope: What is asked for.
        resource: Where the token is to be used (RFC 8707 §2).
        additional: Further parameters.

    Raises:
        ConfigurationError: The server names no such endpoint, or a parameter is given twice.
    """
    adapt = server.adapt_request
    return build_request(
        server,
        server.endpoint(ENDPOINT),
        combined_parameters({"scope": scope, "resource": resource}, additional or {}),
        authentication,
        name=ENDPOINT,
        adapt=None if adapt is None else partial(_adapted, adapt, client_auth.client_id),
        secrets=secrets_of(client_auth),
    )


def parse_device_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    requested_at: float,
    client_id: str | None = None,
    scope: str | None = None,
    secrets: Collection[str] = (),
) -> DeviceLogin:
    """Return the login that was begun (RFC 8628 §3.2).

    Args:
        server: Who answered.
        response: The answer.
        requested_at: When the request was sent, in seconds since the epoch; its end counts from it.
        client_id: Who asked.
        scope: What was asked for.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no.
        ResponseError: The answer is not one that RFC 8628 §3.2 describes.
    """
    fields = read_answer(server, response, now=requested_at, name=ENDPOINT, secrets=secrets)
    if isinstance(fields, ResponseError):
        raise fields
    try:
        return DeviceLogin(
            device_code=_required(fields, "device_code"),
            user_code=_required(fields, "user_code"),
            verification_uri=_required(fields, "verification_uri"),
            verification_uri_complete=_text(fields, "verification_uri_complete"),
            expires_at=_end(fields, requested_at),
            interval=_interval(fields.get("interval")),
            scope=scope,
            token_endpoint=server.token_endpoint,
            issuer=server.issuer,
            client_id=client_id,
            extra=Unprintable((n, v) for n, v in fields.items() if n not in _KNOWN),
        )
    except ValueError as error:
        reason = str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    raise unusable(response, reason, secrets=secrets)


@attrs.define
class Polling:
    """Say how long to wait before the next request, and after what there is none (RFC 8628 §3.5).

    Attributes:
        interval: Seconds between two requests; it grows for good where the server says so.
        failures: How many requests in a row had no answer that says anything.
        asked: Seconds that the server asked for the last time.
    """

    interval: float
    failures: int = 0
    asked: float = 0.0

    @property
    def pause(self) -> float:
        """Seconds before the next request: twice as many after each one that failed."""
        return max(growing_pause(self.failures + 1, first=self.interval), self.asked)

    def goes_on(self, error: OAuthKitError) -> bool:
        """Note what a request led to, and tell whether there is another one."""
        self.asked = error.retry_after or 0.0
        code = error.error if isinstance(error, ErrorResponse) else None
        if code in {"authorization_pending", "slow_down"}:
            self.failures = 0
            self.interval += _SLOWER if code == "slow_down" else 0.0
            return True
        self.failures += 1
        return error.recovery is Recovery.RETRY_LATER


def _adapted(adapt: RequestAdapter, client_id: str, parameters: Parameters) -> Parameters:
    return adapt(parameters, client_id)


def _required(fields: Mapping[str, Any], name: str) -> str:
    text = _text(fields, name)
    if text is None:
        hint = ""
        if name == "verification_uri" and "verification_url" in fields:
            hint = (
                "; where this server calls it verification_url, say AuthorizationServer(…, adapt="
                'rename_fields({"verification_url": "verification_uri"}))'
            )
        message = f"a device authorization needs {name} (RFC 8628 §3.2), and it is missing{hint}"
        raise ValueError(message)
    return text


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        message = f"{name} must be a text, not {type(value).__name__}"
        raise ValueError(message)
    if value and printable(value, len(value)) != value:
        message = f"{name} has control characters, and it is to be shown or sent"
        raise ValueError(message)
    return value or None


def _end(fields: Mapping[str, Any], requested_at: float) -> float:
    end = expires_at(fields, requested_at=requested_at)
    if end is None:
        message = "a device authorization needs expires_in (RFC 8628 §3.2), as a number of seconds"
        raise ValueError(message)
    return end


def _interval(value: object) -> float:
    if value is None:
        return DEFAULT_INTERVAL
    seconds = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            seconds = float(value)
    if not seconds >= 0:
        message = "interval must be a number of seconds from 0 on (RFC 8628 §3.2)"
        raise ValueError(message)
    return min(seconds, _LONGEST_INTERVAL)
