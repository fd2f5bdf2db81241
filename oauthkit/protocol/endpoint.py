"""What every endpoint of an authorization server shares: how it is asked, and how it refuses.

Authentication, grant and adapter each say what goes into a request; here it becomes one, in which
no parameter occurs twice. Of an answer the status, a refusal in whatever words, and `Retry-After`
are read here; what a success means is for the endpoint's own module.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from oauthkit.errors import (
    ConfigurationError,
    OAuthKitError,
    ResponseError,
    printable,
    whereabouts,
)
from oauthkit.protocol.answers import decode_fields, unusable
from oauthkit.protocol.client_auth import Authentication
from oauthkit.protocol.error_response import error_by_name, error_by_rule, error_by_status
from oauthkit.protocol.formats import ParameterValue, RequestFormat
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, check_endpoint
from oauthkit.protocol.secret import SecretStr, Unprintable, check_given, hidden_items
from oauthkit.protocol.server import Adapter, AuthorizationServer
from oauthkit.protocol.server_time import moment_of

Parameters = Mapping[str, ParameterValue]

LONGEST_RETRY_AFTER: Final = 3_600.0
"""Seconds; a longer pause is not believed.

A server whose clock is wrong asked for 31 years. Whoever is asked again after an hour can say so
again, and a pause that nobody outlives is a fault that nobody can repair.
"""

_OK: Final = range(200, 300)
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.1
_FIELD_VALUE: Final = re.compile(r"[\t -~]*")
_OF_THE_BODY: Final = frozenset({"content-type", "content-length", "transfer-encoding", "host"})
_OF_THE_CLIENT: Final = frozenset({"client_secret", "client_assertion", "client_assertion_type"})


def build_request(
    server: AuthorizationServer,
    url: str,
    parameters: Parameters,
    authentication: Authentication,
    *,
    name: str = "token_endpoint",
    adapt: Callable[[Parameters], Parameters] | None = None,
    request_format: RequestFormat | None = None,
    secrets: frozenset[str] = frozenset(),
) -> HTTPRequest:
    """Return the POST request that asks an endpoint of an authorization server.

    Args:
        server: Who is asked; its formats and what it accepts hold for all its endpoints.
        url: The endpoint.
        parameters: What is asked, without what tells who asks.
        authentication: Who asks.
        name: What the server's metadata, and so an error, calls the endpoint (RFC 8414 §2).
        adapt: Gives all parameters the names or additions that the server wants.
        request_format: How the parameters are written; None is the server's way.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ConfigurationError: The URL may not be an endpoint; a parameter is given twice, or belongs
            to the client authentication; or something of that is empty, or no header.
    """
    check_endpoint(url, name=name, allow_plain_http=bool(server.allow_plain_http))
    for parameter, text in hidden_items(authentication.parameters):
        check_given(**{parameter: text})
    combined = combined_parameters(own_parameters(parameters), authentication.parameters)
    if adapt is not None:
        combined = Unprintable(adapt(combined))
    content_type, content = (request_format or server.request_format).encode(combined)
    headers = _checked_headers(authentication.headers)
    return HTTPRequest(
        "POST",
        url,
        {"content-type": content_type, "accept": server.accept, **headers},
        content,
        secrets | _credentials(authentication),
        public_only=server.public_only,
    )


def combined_parameters(*sources: Parameters) -> Unprintable:
    """Return the parameters of several sources as one mapping.

    Raises:
        ConfigurationError: Two of them give the same one (RFC 6749 §3.2).
    """
    combined = Unprintable()
    for source in sources:
        for name, value in hidden_items(source):
            if combined.get(name) is not None and value is not None:
                message = (
                    f"the parameter {printable(name)!r} is given twice, by the grant, by "
                    "additional= or by the client authentication; a parameter occurs once "
                    "(RFC 6749 §3.2)"
                )
                raise ConfigurationError(message)
            combined[name] = value if value is not None else combined.get(name)
    return combined


def own_parameters(parameters: Parameters) -> Parameters:
    """Return parameters that do not come from the client authentication, if they may be such.

    Beside `Basic` a secret in the body would be a second proof, which RFC 6749 §2.3 forbids, and
    one that a log of bodies shows.

    Raises:
        ConfigurationError: One of them proves who asks.
    """
    for name in sorted(_OF_THE_CLIENT & parameters.keys()):
        message = (
            f"the parameter {name} belongs to the client authentication, which is one alone "
            "(RFC 6749 §2.3); leave it out of additional= and of the grant, and give a ClientAuth, "
            "such as ClientSecretPost"
        )
        raise ConfigurationError(message)
    return parameters


def read_answer(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    now: float,
    name: str = "token_endpoint",
    grant_type: str | None = None,
    secrets: Collection[str] = (),
) -> Unprintable | ResponseError:
    """Return the fields of a success.

    A success whose body has no fields is the error that says so, which is not raised: an endpoint
    may answer with nothing, as revocation does (RFC 7009 §2.2).

    Args:
        server: Who answered.
        response: The answer.
        now: When the request was sent, in seconds since the epoch, for a date in `Retry-After`.
        name: What the server's metadata, and so an error, calls the endpoint.
        grant_type: By which grant was asked; without it no `ErrorRule` fits that names one.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no; subclasses say to whom it matters.
        ResponseError: It refused in other words, or cannot answer now.
    """
    answer = _decoded(response, secrets)
    readable = Unprintable() if isinstance(answer, ResponseError) else answer
    pause = retry_after(response, now=now)
    refusal = error_by_rule(
        server, readable, response, grant_type=grant_type, secrets=secrets, pause=pause
    ) or error_by_status(response, secrets=secrets, pause=pause, name=name)
    if refusal is not None:
        raise refusal
    if isinstance(answer, ResponseError):
        if response.status_code not in _OK:
            raise _refused(response, secrets, name)
        return answer
    fields = answer if server.adapt is None else _adapted(server.adapt, answer, response, secrets)
    if error := fields.get("error"):
        raise error_by_name(error, fields, response, secrets=secrets, pause=pause)
    if response.status_code not in _OK:
        raise _refused(response, secrets, name)
    return fields


def retry_after(response: HTTPResponse, *, now: float) -> float | None:
    """Return the seconds that the `Retry-After` header asks to wait (RFC 9110 §10.2.3).

    They are at least 0 and at most `LONGEST_RETRY_AFTER`, whatever stands there.

    Args:
        response: The answer.
        now: Seconds since the epoch, for a date there.
    """
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+", text, re.ASCII):
        return min(float(text), LONGEST_RETRY_AFTER)
    moment = moment_of(text)
    return None if moment is None else min(max(moment - now, 0.0), LONGEST_RETRY_AFTER)


def _checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in hidden_items(headers):
        fits = isinstance(value, str) and _FIELD_VALUE.fullmatch(value)
        if not fits or not _FIELD_NAME.fullmatch(name):
            message = (
                f"the client authentication makes a header {printable(name)!r} that is none: its "
                "name is a token, its value visible ASCII on one line (RFC 9110 §5)"
            )
            raise ConfigurationError(message)
        if name.lower() in _OF_THE_BODY:
            message = (
                f"the client authentication makes the header {name}, which belongs to the body; "
                "leave it out"
            )
            raise ConfigurationError(message)
    return headers


def _credentials(authentication: Authentication) -> frozenset[str]:
    """Return what proves who asks: the last word of each header, and each proof in the body."""
    words = (value.rpartition(" ")[2] for value in authentication.headers.values())
    proofs = (authentication.parameters.get(name) for name in _OF_THE_CLIENT)
    found = [*words, *(text for text in proofs if isinstance(text, str))]
    return frozenset(map(SecretStr, found))


def _decoded(response: HTTPResponse, secrets: Collection[str]) -> Unprintable | ResponseError:
    """Return the fields of an answer, or the error for one that cannot be read.

    It is not raised yet: a refusal may be known by its status alone.
    """
    try:
        return decode_fields(response, secrets=secrets)
    except ResponseError as error:
        return error


def _refused(response: HTTPResponse, secrets: Collection[str], name: str) -> ResponseError:
    message = (
        f"the {name.replace('_', ' ')} refused, and did not say why in the words of RFC 6749 §5.2; "
        "AuthorizationServer(errors=…) can say what this server means"
    )
    return unusable(response, message, secrets=secrets)


def _adapted(
    adapt: Adapter, fields: Mapping[str, Any], response: HTTPResponse, secrets: Collection[str]
) -> Unprintable:
    try:
        return Unprintable(adapt(fields))
    except OAuthKitError:
        raise
    except Exception as error:  # noqa: BLE001 - a function of the user's
        reason = whereabouts(error)
    # Raised out here: the adapter's own error, and its variables, may show the token in the answer.
    message = f"adapt= failed with {reason} on an answer of another form"
    raise unusable(response, message, secrets=secrets)
