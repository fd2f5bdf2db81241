"""The token request and its answer (RFC 6749 §4 to §6)."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from oauthkit.errors import (
    AccessDenied,
    ConfigurationError,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    OAuthKitError,
    Recovery,
    printable,
)
from oauthkit.protocol.answers import decode_fields, masked, unusable, without_secrets
from oauthkit.protocol.client_auth import ClientAuth
from oauthkit.protocol.expiry import expires_at, refresh_expires_at
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import AuthorizationCode, GrantStrategy
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, check_endpoint
from oauthkit.protocol.secret import SecretStr, Unprintable, hidden_items, secrets_of
from oauthkit.protocol.server import Adapter, AuthorizationServer
from oauthkit.protocol.token import Token, further_fields

_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
_CLIENT_ERRORS: Final = range(400, 500)
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_LONGEST_PAGE: Final = 2_048
_BUSY: Final = frozenset({408, 425, _TOO_MANY})

_ERRORS: Final[Mapping[str, type[ErrorResponse]]] = {
    "invalid_client": InvalidClient,
    "invalid_grant": InvalidGrant,
    "access_denied": AccessDenied,
}


def build_token_request(
    server: AuthorizationServer, client_auth: ClientAuth, grant: GrantStrategy
) -> HTTPRequest:
    """Return the request that asks for a token.

    It is built anew for every try, so that what may be used once only is made anew.

    Raises:
        ConfigurationError: Client, grant and server do not fit each other.
    """
    check_endpoint(
        server.token_endpoint,
        name="token_endpoint",
        allow_plain_http=bool(server.allow_plain_http),
    )
    if grant.for_client and not client_auth.confidential:
        message = (
            f"{grant.grant_type} is for clients that can prove who they are (RFC 6749 §4.4); use "
            "ClientSecretBasic or ClientSecretPost in place of PublicClient"
        )
        raise ConfigurationError(message)
    if isinstance(grant, AuthorizationCode) and grant.token_endpoint not in {
        None,
        server.token_endpoint,
    }:
        message = (
            "this authorization code belongs to the login at another server (RFC 9700 §4.4); "
            "exchange it with the AuthorizationServer that the AuthorizationRequest was made for"
        )
        raise ConfigurationError(message)
    authentication = client_auth.authenticate(server)
    parameters: Mapping[str, ParameterValue] = _combined(
        {"grant_type": grant.grant_type},
        grant.parameters(),
        grant.additional,
        authentication.parameters,
    )
    if server.adapt_request is not None:
        parameters = Unprintable(server.adapt_request(parameters, client_auth.client_id))
    request_format = grant.request_format or server.request_format
    content_type, content = request_format.encode(parameters)
    return HTTPRequest(
        "POST",
        server.token_endpoint,
        {"content-type": content_type, "accept": server.accept, **authentication.headers},
        content,
        secrets_of(client_auth) | secrets_of(grant) | _credentials(authentication.headers),
    )


def parse_token_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    requested_at: float,
    previous: Token | None = None,
    requested_scope: str | None = None,
    secrets: Collection[str] = (),
) -> Token:
    """Return the token of an answer.

    Args:
        server: Who answered.
        response: The answer.
        requested_at: When the request was sent, in seconds since the epoch; lifetimes count from
            it.
        previous: The token that was refreshed: where the answer is silent, its refresh token and
            its scope go on (RFC 6749 §6).
        requested_scope: What was asked for: where the answer is silent, it was granted (§5.1).
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no; subclasses say to whom it matters.
        ResponseError: The answer is not one that RFC 6749 §5 describes.
    """
    _check_status(response, secrets, requested_at=requested_at)
    fields: Mapping[str, Any] = decode_fields(response, secrets=secrets)
    if server.adapt is not None:
        fields = _adapted(server.adapt, fields, response, secrets)
    if error := fields.get("error"):
        raise _refusal(error, fields, response, secrets)
    if response.status_code not in _OK:
        message = "the token endpoint refused, and did not say why in the words of RFC 6749 §5.2"
        raise unusable(response, message, secrets=secrets)
    return _token(
        server,
        fields,
        response,
        secrets,
        requested_at=requested_at,
        previous=previous,
        requested_scope=requested_scope,
    )


def retry_after(response: HTTPResponse, *, now: float) -> float | None:
    """Return the seconds that the `Retry-After` header asks to wait (RFC 9110 §10.2.3).

    Args:
        response: The answer.
        now: Seconds since the epoch, for a date there.
    """
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(aware.timestamp() - now, 0.0)


def _credentials(headers: Mapping[str, str]) -> frozenset[str]:
    return frozenset(SecretStr(value.rpartition(" ")[2]) for value in headers.values())


def _combined(*sources: Mapping[str, ParameterValue]) -> Unprintable:
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


def _check_status(response: HTTPResponse, secrets: Collection[str], *, requested_at: float) -> None:
    status = response.status_code
    if status in _REDIRECTS:
        message = (
            "the token endpoint answered with a redirect, which is never followed with "
            "credentials (RFC 9700 §4.12); name the final URL as token_endpoint"
        )
        raise unusable(response, message, secrets=secrets)
    if status not in _OK and (status in _BUSY or status not in _CLIENT_ERRORS):
        message = "the authorization server cannot answer now"
        raise unusable(
            response,
            message,
            secrets=secrets,
            recovery=Recovery.RETRY_LATER,
            retry_after=retry_after(response, now=requested_at),
        )


def _adapted(
    adapt: Adapter, fields: Mapping[str, Any], response: HTTPResponse, secrets: Collection[str]
) -> Mapping[str, Any]:
    try:
        return Unprintable(adapt(fields))
    except OAuthKitError:
        raise
    except Exception as error:
        message = f"adapt= failed with {type(error).__name__} on an answer of another form"
        raise unusable(response, message, secrets=secrets) from error


def _refusal(
    error: object, fields: Mapping[str, Any], response: HTTPResponse, secrets: Collection[str]
) -> OAuthKitError:
    if not isinstance(error, str):
        message = "the error member is not a text; adapt= can make one of it"
        return unusable(response, message, secrets=secrets)
    kind = _ERRORS.get(error, ErrorResponse)
    if response.status_code == _UNAUTHORIZED and kind is ErrorResponse:
        kind = InvalidClient  # RFC 6749 §5.2 gives 401 to failed client authentication alone
    return kind(
        masked(error, secrets=secrets),
        _text(fields.get("error_description"), secrets),
        _page(fields.get("error_uri"), secrets),
        status_code=response.status_code,
        www_authenticate=response.headers.get_all("www-authenticate"),
    )


def _text(value: object, secrets: Collection[str]) -> str | None:
    return masked(value, secrets=secrets) if isinstance(value, str) and value else None


def _page(value: object, secrets: Collection[str]) -> str | None:
    if not isinstance(value, str) or not value or len(value) > _LONGEST_PAGE:
        return None
    return without_secrets(value, secrets)


def _token(
    server: AuthorizationServer,
    fields: Mapping[str, Any],
    response: HTTPResponse,
    secrets: Collection[str],
    *,
    requested_at: float,
    previous: Token | None,
    requested_scope: str | None,
) -> Token:
    try:
        granted = _scope(fields.get("scope"))
        further, extra = further_fields(server.token_class, fields)
        return server.token_class(
            access_token=_required(fields, "access_token"),
            token_type=_optional(fields, "token_type")
            or server.default_token_type
            or _required(fields, "token_type"),
            issued_at=requested_at,
            expires_at=expires_at(fields, requested_at=requested_at),
            refresh_token=_optional(fields, "refresh_token")
            or (previous.refresh_token if previous else None),
            refresh_expires_at=_refresh_expires_at(fields, requested_at, previous),
            scope=granted or requested_scope or (previous.scope if previous else None),
            id_token=_optional(fields, "id_token"),
            extra=extra,
            **further,
        )
    except ValueError as error:
        reason = str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    raise unusable(response, reason, secrets=secrets)


def _refresh_expires_at(
    fields: Mapping[str, Any], requested_at: float, previous: Token | None
) -> float | None:
    moment = refresh_expires_at(fields, requested_at=requested_at)
    if moment is None and previous is not None and not fields.get("refresh_token"):
        return previous.refresh_expires_at  # the old refresh token goes on, and so does its end
    return moment


def _required(fields: Mapping[str, Any], name: str) -> str:
    text = _optional(fields, name)
    if text is None:
        message = f"a token answer needs {name} (RFC 6749 §5.1), and this one has none"
        raise ValueError(message)
    return text


def _optional(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        message = f"{name} must be a text, not {type(value).__name__}"
        raise ValueError(message)
    return value or None


def _scope(value: object) -> str | None:
    if isinstance(value, list):
        tokens = cast("list[object]", value)
        texts = [token for token in tokens if isinstance(token, str)]
        value = " ".join(texts) if len(texts) == len(tokens) else tokens
    if value is not None and not isinstance(value, str):
        message = f"scope must be a text or a list of texts, not {type(value).__name__}"
        raise ValueError(message)
    return value or None
