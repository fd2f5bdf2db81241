"""The token request and its answer (RFC 6749 §4 to §6)."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, cast

from oauthkit.errors import ConfigurationError, ResponseError
from oauthkit.protocol.answers import unusable
from oauthkit.protocol.client_auth import Authentication, ClientAuth
from oauthkit.protocol.endpoint import (
    Parameters,
    build_request,
    combined_parameters,
    read_answer,
)
from oauthkit.protocol.expiry import expires_at, refresh_expires_at
from oauthkit.protocol.grants import GrantStrategy
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import check_secrets, secrets_of
from oauthkit.protocol.server import AuthorizationServer, RequestAdapter
from oauthkit.protocol.token import Token, further_fields


def build_token_request(
    server: AuthorizationServer,
    client_auth: ClientAuth,
    grant: GrantStrategy,
    authentication: Authentication,
) -> HTTPRequest:
    """Return the request that asks for a token.

    It is built anew for every try, so that what may be used once only is made anew.

    Args:
        server: Who is asked.
        client_auth: Who asks.
        grant: By what right.
        authentication: What `client_auth` gave for this try.

    Raises:
        ConfigurationError: Client, grant and server do not fit each other.
    """
    if grant.for_client and not client_auth.confidential:
        message = (
            f"{grant.grant_type} is for clients that can prove who they are (RFC 6749 §4.4); use "
            "ClientSecretBasic or ClientSecretPost in place of PublicClient"
        )
        raise ConfigurationError(message)
    _check_binding(server, client_auth.client_id, grant)
    check_secrets(grant)
    adapt = server.adapt_request
    return build_request(
        server,
        server.endpoint("token_endpoint"),
        _parameters(grant, client_id=client_auth.client_id),
        authentication,
        adapt=None if adapt is None else partial(_adapted, adapt, client_auth.client_id),
        request_format=grant.request_format,
        secrets=secrets_of(client_auth) | secrets_of(grant),
    )


def _check_binding(server: AuthorizationServer, client_id: str, grant: GrantStrategy) -> None:
    """Refuse a right that was given by another server, or to another client."""
    issuers = {grant.bound_to_issuer, server.issuer} - {None}  # a server may have none by hand
    if grant.bound_to not in {None, server.token_endpoint} or len(issuers) > 1:
        message = (
            "this code belongs to the login at another server (RFC 9700 §4.4); exchange it with "
            "the AuthorizationServer that the login was begun at"
        )
        raise ConfigurationError(message)
    if grant.bound_to_client not in {None, client_id}:
        message = (
            f"this code was given to the client {grant.bound_to_client!r}, and "
            f"{client_id!r} may not exchange it (RFC 6749 §4.1.3); begin and end a login as the "
            "same client"
        )
        raise ConfigurationError(message)


def _adapted(adapt: RequestAdapter, client_id: str, parameters: Parameters) -> Parameters:
    return adapt(parameters, client_id)


def _parameters(grant: GrantStrategy, *, client_id: str) -> Parameters:
    """Return what the grant asks with; a client_id there is the client's own (RFC 6749 §3.2.1)."""
    parameters = combined_parameters(
        {"grant_type": grant.grant_type}, grant.parameters(), grant.additional
    )
    if parameters.get("client_id") not in {None, client_id}:
        message = (
            "additional= or the grant names another client_id than the client authentication does; "
            "leave it out"
        )
        raise ConfigurationError(message)
    return parameters


def parse_token_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    requested_at: float,
    grant_type: str | None = None,
    previous: Token | None = None,
    requested_scope: str | None = None,
    objection: Callable[[Token], str | None] | None = None,
    secrets: Collection[str] = (),
) -> Token:
    """Return the token of an answer.

    Args:
        server: Who answered.
        response: The answer.
        requested_at: When the request was sent, in seconds since the epoch; lifetimes count from
            it.
        grant_type: By which grant was asked; without it no `ErrorRule` fits that names one.
        previous: The token that was refreshed: where the answer is silent, its refresh token, its
            scope (RFC 6749 §6) and its ID Token (OpenID Connect Core §12.2) go on.
        requested_scope: What was asked for: where the answer is silent, it was granted (§5.1).
        objection: Tells why a token is not what was asked for, if it is not.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no; subclasses say to whom it matters.
        InvalidJWT: The ID Token is of somebody else than the one of the token before.
        ResponseError: The answer is not one that RFC 6749 §5 describes.
    """
    fields = read_answer(server, response, now=requested_at, grant_type=grant_type, secrets=secrets)
    if isinstance(fields, ResponseError):
        raise fields
    if server.success_status not in {None, response.status_code}:
        message = f"a token was expected with status {server.success_status}, and with no other"
        raise unusable(response, message, secrets=secrets)
    token = _token(
        server,
        fields,
        response,
        secrets,
        requested_at=requested_at,
        previous=previous,
        requested_scope=requested_scope,
    )
    reason = None if objection is None else objection(token)
    if reason is not None:
        raise unusable(response, reason, secrets=secrets)
    return token


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
    if previous is not None and previous.id_token is not None:
        _check_same_person(previous.id_token, fields.get("id_token"))
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
            id_token=_optional(fields, "id_token") or (previous.id_token if previous else None),
            extra=extra,
            unknown=previous.unknown if previous else {},  # a later version's are not ours to lose
            **further,
        )
    except ValueError as error:
        reason = str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    raise unusable(response, reason, secrets=secrets)


def _check_same_person(before: str, after: object) -> None:
    if isinstance(after, str) and after and after != before:
        # Few refreshes bring an ID Token: what reads one is loaded by who meets it.
        from oauthkit.protocol.id_token import check_same_person  # noqa: PLC0415

        check_same_person(before, after)


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
