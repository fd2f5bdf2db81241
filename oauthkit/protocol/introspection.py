"""What a server says of a token: the introspection request and its answer (RFC 7662)."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

import attrs

from oauthkit.errors import ConfigurationError, InvalidJWT, ResponseError, printable
from oauthkit.protocol.answers import unusable
from oauthkit.protocol.client_auth import Authentication
from oauthkit.protocol.compact import SignedToken
from oauthkit.protocol.endpoint import build_request, read_answer
from oauthkit.protocol.id_token import (
    Expected,
    check_audience,
    check_issuer,
    number,
    read_claims,
)
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.record import FARTHEST
from oauthkit.protocol.secret import NoPickle, SecretStr, check_given, names_of, unprintable
from oauthkit.protocol.server import AuthorizationServer

ENDPOINT: Final = "introspection_endpoint"

_SIGNED: Final = "application/token-introspection+jwt"
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


@attrs.frozen(kw_only=True)
class Introspection(NoPickle):
    """What an authorization server says of a token (RFC 7662 §2.2).

    Of a token that is not active nothing else is said, whatever stood in the answer.

    Example:
        >>> Introspection(active=True, scope="read", client_id="reporter").scope
        'read'

    Attributes:
        active: Whether the token is good, now, for whoever asked.
        scope: What it is good for, space-separated.
        client_id: Whom it was issued to.
        username: The resource owner, as people call them.
        token_type: Such as `Bearer`.
        expires_at: When it expires, in seconds since the epoch.
        issued_at: When it was issued, in seconds since the epoch.
        not_before: Before when it is not to be taken, in seconds since the epoch.
        subject: The resource owner, as the server calls them (`sub`).
        audience: Whom it is meant for (`aud`).
        issuer: Who issued it (`iss`).
        token_id: What it is called (`jti`).
        confirmation: What its bearer has to prove (`cnf`, RFC 7800), such as the key of `jkt` (RFC
            9449 §6.2) or the certificate of `x5t#S256` (RFC 8705 §3.2). Whoever lets a token in
            that has one must check it.
        claims: All members of the answer, as they came.
    """

    active: bool
    scope: str | None = None
    client_id: str | None = None
    username: str | None = None
    token_type: str | None = None
    expires_at: float | None = None
    issued_at: float | None = None
    not_before: float | None = None
    subject: str | None = None
    audience: tuple[str, ...] = ()
    issuer: str | None = None
    token_id: str | None = None
    confirmation: Mapping[str, Any] | None = attrs.field(
        default=None, converter=attrs.converters.optional(unprintable), hash=False
    )
    claims: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=names_of
    )


def build_introspection_request(
    server: AuthorizationServer,
    token_text: str,
    hint: str | None,
    authentication: Authentication,
    *,
    access_token: str | None = None,
    signed: bool = False,
) -> HTTPRequest:
    """Return the request that asks what a token is good for (RFC 7662 §2.1).

    Args:
        server: Who is asked.
        token_text: The token itself.
        hint: What kind of token it is, `access_token` or `refresh_token`; None lets the server
            find out.
        authentication: Who asks, where that is a client.
        access_token: What the caller is known by otherwise: a token of its own.
        signed: Ask for a signed answer (RFC 9701 §4).

    Raises:
        ConfigurationError: The server has no introspection endpoint, it may not be one, or a token
            is empty or fits into no header.
    """
    check_given(token=token_text)
    if access_token is not None:
        authentication = _bearer(access_token)
    request = build_request(
        server,
        server.endpoint(ENDPOINT),
        {"token": token_text, "token_type_hint": hint},
        authentication,
        name=ENDPOINT,
        secrets=frozenset({SecretStr(token_text)}),
    )
    return (
        attrs.evolve(request, headers={**request.headers, "accept": _SIGNED}) if signed else request
    )


def _bearer(access_token: str) -> Authentication:
    if not _VISIBLE.fullmatch(access_token):
        message = (
            "access_token= is empty, or has white space, control or non-ASCII characters, which no "
            "header may carry (RFC 6750 §2.1)"
        )
        raise ConfigurationError(message)
    return Authentication(headers={"authorization": f"Bearer {access_token}"})


def parse_introspection_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    requested_at: float,
    secrets: Collection[str] = (),
) -> Introspection:
    """Return what an answer says of a token.

    Args:
        server: Who answered.
        response: The answer.
        requested_at: When the request was sent, in seconds since the epoch, for a date in
            `Retry-After`.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no, to whoever asked.
        ResponseError: The answer is not one that RFC 7662 §2.2 describes: `active` is neither true
            nor false, or another member is of another kind; or the server cannot answer now.
    """
    fields = read_answer(server, response, now=requested_at, name=ENDPOINT, secrets=secrets)
    if isinstance(fields, ResponseError):
        raise _signed(response) if _is_signed(response) else fields
    try:
        return introspection_of(fields)
    except ValueError as error:
        reason = str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    raise unusable(response, reason, secrets=secrets)


def parse_signed_introspection_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    requested_at: float,
    secrets: Collection[str] = (),
) -> str:
    """Return a signed answer, of which nothing is to be believed yet (RFC 9701 §5).

    Args:
        server: Who answered.
        response: The answer.
        requested_at: As for `parse_introspection_response`.
        secrets: Likewise.

    Raises:
        ErrorResponse: The server said no, to whoever asked.
        ResponseError: The answer is not signed, although it is registered to be (§8.1), or the
            server cannot answer now.
    """
    fields = read_answer(server, response, now=requested_at, name=ENDPOINT, secrets=secrets)
    if not _is_signed(response) or not isinstance(fields, ResponseError):
        message = (
            "the answer is not signed, and is registered to be "
            "(introspection_signed_response_alg, RFC 9701 §8.1): it is not used"
        )
        raise ResponseError(message, status_code=response.status_code)
    return SecretStr(response.content.decode("ascii", "replace").strip())


def check_signed_introspection(
    token: SignedToken, expected: Expected, *, now: float
) -> Introspection:
    """Return what a signed answer says of a token (RFC 9701 §5).

    Args:
        token: The answer, its signature looked at.
        expected: Who may have signed it, and for whom.
        now: Seconds since the epoch.

    Raises:
        InvalidJWT: It is something else.
    """
    if token.type != "token-introspection+jwt":
        message = f"it is another kind of token: its typ is {printable(str(token.type))!r}"
        raise InvalidJWT(message)
    claims = read_claims(token)
    check_issuer(claims, expected)
    check_audience(claims, expected.client_id)
    if number(claims, "iat") > now + expected.leeway:
        message = "it was issued in the future (iat); is this machine's clock right?"
        raise InvalidJWT(message)
    members = claims.get("token_introspection")
    reason = "it has no object token_introspection (RFC 9701 §5)"
    if isinstance(members, Mapping):
        try:
            return introspection_of(cast("Mapping[str, Any]", members))
        except ValueError as error:
            reason = str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    raise InvalidJWT(reason)


def introspection_of(members: Mapping[str, Any]) -> Introspection:
    """Return what the members of an answer say, in whatever envelope they came.

    Args:
        members: Those of the JSON object of RFC 7662 §2.2, or, in a signed answer that was
            verified, those of its `token_introspection` (RFC 9701 §5).

    Raises:
        ValueError: They are not such members; the message shows nothing of them.
    """
    active = members.get("active")
    if not isinstance(active, bool):
        message = (
            f"active must be true or false (RFC 7662 §2.2), not {_kind(active)}; a token of which "
            "the server does not say so clearly is not let in"
        )
        raise ValueError(message)  # noqa: TRY004 - all refusals are one kind
    if not active:
        return Introspection(active=False)
    return Introspection(
        active=True,
        scope=_scope(members.get("scope")),
        client_id=_text(members, "client_id"),
        username=_text(members, "username"),
        token_type=_text(members, "token_type"),
        expires_at=_moment(members, "exp"),
        issued_at=_moment(members, "iat"),
        not_before=_moment(members, "nbf"),
        subject=_text(members, "sub"),
        audience=_several(members, "aud"),
        issuer=_text(members, "iss"),
        token_id=_text(members, "jti"),
        confirmation=_object(members, "cnf"),
        claims=members,
    )


def _is_signed(response: HTTPResponse) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == _SIGNED


def _signed(response: HTTPResponse) -> ResponseError:
    message = (
        "the answer is signed (RFC 9701), and it was asked for as JSON; say how it is registered "
        "to be signed, by client_metadata=ClientMetadata(introspection_signed_response_alg=…)"
    )
    return ResponseError(message, status_code=response.status_code)


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise _mismatch(name, "a text", value)
    return value


def _moment(members: Mapping[str, Any], name: str) -> float | None:
    value = members.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > FARTHEST:
        raise _mismatch(name, "a number of seconds since the epoch", value)
    return float(value)


def _several(members: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value: object = members.get(name)
    if value is None:
        return ()
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    found = tuple(text for text in texts if isinstance(text, str))
    if len(found) < len(texts):
        raise _mismatch(name, "a text or a list of texts", members.get(name))
    return found


def _scope(value: object) -> str | None:
    """Return a scope as one text; some servers give a list."""
    if value is None or value == "":
        return None
    return " ".join(_several({"scope": value}, "scope"))


def _object(members: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = members.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise _mismatch(name, "an object", value)
    return cast("Mapping[str, Any] | None", value)


def _mismatch(name: str, expected: str, value: object) -> ValueError:
    return ValueError(f"{name} must be {expected} (RFC 7662 §2.2), not {_kind(value)}")


def _kind(value: object) -> str:
    return "missing or null" if value is None else f"of the type {type(value).__name__}"
