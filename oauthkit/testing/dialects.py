"""How authorization servers read and write: by the RFC, and as the five documented systems do."""

import json
import math
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import attrs

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.protocol.secret import Unprintable
from oauthkit.testing.checks import Check, Shape
from oauthkit.testing.data_contract import (
    JSON_TYPES,
    NAMESPACE,
    XML_TYPES,
    data_contract_error,
    data_contract_json,
    data_contract_xml,
    negotiated,
)
from oauthkit.testing.reading import (
    authorization,
    basic_credentials,
    code_challenge,
    form_decoded,
    media_type,
    read_parameters,
)
from oauthkit.testing.token_request import Asked, Dialect, Issued, RefusedError

_PRIVATE: Final = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 §5.1
_FORM: Final = "application/x-www-form-urlencoded"
_REFRESH: Final = Shape(("refresh_token",), ("scope",))
_REFRESH_AND_MORE: Final = attrs.evolve(_REFRESH, more=True)
_PAIR: Final = ("client_id", "client_secret")
_ADS: Final = {
    "password": Shape(("username", "password"), ("scope",), more=True),
    "refresh_token": _REFRESH_AND_MORE,
}
_HELLO: Final = {
    "authorization_code": Shape(("code", "redirect_uri"), more=True),
    "refresh_token": _REFRESH_AND_MORE,
}
_ID_SECRET: Final = {
    "client_credentials": Shape((), ("scope", *_PAIR)),
    "authorization_code": Shape(
        ("code", "redirect_uri", "client_id"),
        ("client_secret", "code_challenge", "code_verifier"),
    ),
    "refresh_token": Shape(("refresh_token",), ("scope", *_PAIR)),
}
_AUTH_V1: Final[Mapping[str, type]] = {
    "WindowsAuthentication": bool,
    "client_id": str,
    "client_secret": str,
    "scope": str,
    "username": str,
    "password": str,
    "grant_type": str,
    "refresh_token": str,
}
_PUT_AUTH: Final = Shape(
    (),
    (
        "grant_type",
        *_PAIR,
        "scope",
        "username",
        "password",
        "refresh_token",
        # The document says that codes are exchanged here, and does not list how they come.
        "code",
        "redirect_uri",
        "code_verifier",
    ),
)


def json_response(
    status_code: int, fields: Mapping[str, Any], headers: Mapping[str, str] = MappingProxyType({})
) -> HTTPResponse:
    """Return an answer with a JSON object."""
    return HTTPResponse(
        status_code,
        {"content-type": "application/json", **headers},
        json.dumps(fields).encode(),
    )


# RFC 6749


def _read_rfc(check: Check) -> Asked:
    parameters = read_parameters(check.request)
    if check.request.method != "POST":
        message = "the token endpoint takes POST alone (RFC 6749 §3.2)"
        status = HTTPStatus.METHOD_NOT_ALLOWED
        raise RefusedError(message, error="invalid_request", status=status)
    return Asked(parameters=parameters, credentials=_basic(check.request))


def _basic(request: HTTPRequest) -> frozenset[tuple[str, str]] | None:
    header = authorization(request.headers)
    if header is None:
        return None
    scheme, token = header
    if scheme != "basic":
        return frozenset()
    name, password = basic_credentials(token)
    return frozenset({(name, password), (form_decoded(name), form_decoded(password))})


def _write_rfc(issued: Issued, _: HTTPRequest) -> HTTPResponse:
    return json_response(HTTPStatus.OK, _said(_members(issued), issued), _PRIVATE)


def _refuse_rfc(refusal: RefusedError, _: HTTPRequest) -> HTTPResponse:
    fields = {"error": refusal.error, "error_description": refusal.description}
    return json_response(refusal.status, fields, {**_PRIVATE, **_challenge(refusal, "fake")})


RFC_6749: Final = Dialect(name="RFC 6749", read=_read_rfc, write=_write_rfc, refuse=_refuse_rfc)
"""By the book; a body in any format is read."""


# A and B


def _read_oauth(check: Check, *, shapes: Mapping[str, Shape]) -> Asked:
    check.method("POST")
    credentials = check.basic()
    return Asked(parameters=check.form(shapes), credentials=credentials)


def _write_oauth_token(issued: Issued, _: HTTPRequest) -> HTTPResponse:
    """Write `OAuthToken`, its numbers as text."""
    fields = _members(issued) | {"refresh_expires_in": None}
    if math.isfinite(issued.expires_at):
        fields |= {"expires_in": str(issued.expires_in), "expiry": str(int(issued.expires_at))}
    return json_response(HTTPStatus.OK, _said(fields, issued))


def _refuse_as_oauth_provider(refusal: RefusedError, _: HTTPRequest) -> HTTPResponse:
    """Write `OAuthProvider`: 401 is about the client, 400 about all else."""
    fields = {
        "error": refusal.error,
        "error_description": refusal.description,
        "error_uri": "https://datatracker.ietf.org/doc/html/rfc6749#section-5.2",
    }
    return json_response(refusal.status, fields, _challenge(refusal, "documented"))


ADS: Final = Dialect(
    name="ads",
    read=partial(_read_oauth, shapes=_ADS),
    write=_write_oauth_token,
    refuse=_refuse_as_oauth_provider,
)
"""System A: a password or a refresh token, form-urlencoded, Basic."""
HELLO: Final = attrs.evolve(ADS, name="hello", read=partial(_read_oauth, shapes=_HELLO))
"""System B: the same for a code or a refresh token."""


# C


def _read_id_secret(check: Check) -> Asked:
    check.method("POST")
    credentials = check.basic() if "authorization" in check.request.headers else None
    parameters = check.form(_ID_SECRET)
    # The document has the challenge itself in the token request, and no verifier.
    said = parameters.get("code_challenge")
    proven = code_challenge(parameters.get("code_verifier"))
    both = said is not None and proven is not None
    check.expect(not both or said == proven, "the challenge of the code_verifier", "another one")
    return Asked(
        parameters=parameters,
        credentials=credentials,
        public=parameters.get("grant_type") != "client_credentials",
        challenge=proven or (None if said is None else str(said)),
    )


def _write_id_secret(issued: Issued, _: HTTPRequest) -> HTTPResponse:
    fields = _members(issued) | {
        "id_token": issued.refresh_token and f"id-token-of-{issued.access_token}",
        "refresh_expires_in": None,
        "token_type": issued.token_type and issued.token_type.lower(),
    }
    return json_response(HTTPStatus.OK, _said(fields, issued))


def _refuse_with_errors(refusal: RefusedError, _: HTTPRequest) -> HTTPResponse:
    status = HTTPStatus.FORBIDDEN if refusal.of_client else HTTPStatus.BAD_REQUEST
    pagination = {"limit": 0, "offset": 0, "total_count": 0}
    errors = [{"httpcode": status, "message": refusal.description}]
    return json_response(status, {"meta": {"pagination": pagination}, "errors": errors})


ID_SECRET: Final = Dialect(
    name="id_secret", read=_read_id_secret, write=_write_id_secret, refuse=_refuse_with_errors
)
"""System C: form-urlencoded, refusals as a list of errors."""


# D


def _read_auth_v1(check: Check) -> Asked:
    check.method("POST")
    check.no_authorization()
    kind = media_type(check.request.headers)
    check.expect(
        kind in {*JSON_TYPES, *XML_TYPES, _FORM},
        f"{JSON_TYPES}, {XML_TYPES} or {_FORM}",
        kind or "none",
    )
    check.at_most_once("content-type")
    parameters = _auth_v1_parameters(check, kind)
    default = "refresh_token" if "refresh_token" in parameters else "password"
    parameters = Unprintable({"grant_type": default, **parameters})
    windows = parameters.get("WindowsAuthentication") is True
    return Asked(
        parameters=parameters,
        public=parameters["grant_type"] != "client_credentials",
        known_owner=windows and not {"username", "password"} & parameters.keys(),
    )


def _auth_v1_parameters(check: Check, kind: str) -> Mapping[str, object]:
    if kind in XML_TYPES:
        return check.xml("TokenRequest", NAMESPACE, _AUTH_V1)
    if kind in JSON_TYPES:
        return check.json(_AUTH_V1, required=False)
    return check.fields(_AUTH_V1)


def _write_auth_v1(issued: Issued, request: HTTPRequest) -> HTTPResponse:
    """Write every member, as a data contract does: an absent text as null, a number as 0."""
    fields: dict[str, object] = {
        "access_token": issued.access_token,
        "expires_in": issued.expires_in or 0,
        "redirect_url": "https://app.example/start",
        "ip": None,
        "is_editor": True,
        "refresh_expires_in": issued.refresh_expires_in or 0,
        "refresh_token": issued.refresh_token,
        "token_type": issued.token_type,
        "not_before_policy": 0,
        "session_state": None,
        "scope": issued.scope,
        **issued.extra,
    }
    kind = negotiated(request.headers, media_type(request.headers))
    if kind in XML_TYPES:
        content = data_contract_xml("AccessTokenResponse", fields)
    else:
        content = data_contract_json(fields)
    return _contract_answer(HTTPStatus.OK, kind, content)


def _refuse_with_message(refusal: RefusedError, request: HTTPRequest) -> HTTPResponse:
    kind = negotiated(request.headers, media_type(request.headers))
    return _contract_answer(refusal.status, kind, data_contract_error(kind, refusal.description))


def _contract_answer(status_code: int, kind: str, content: bytes) -> HTTPResponse:
    return HTTPResponse(status_code, {"content-type": f"{kind}; charset=utf-8"}, content)


AUTH_V1: Final = Dialect(
    name="auth_v1", read=_read_auth_v1, write=_write_auth_v1, refuse=_refuse_with_message
)
"""System D: a data contract in JSON, XML or form-urlencoded, refusals as a `Message`."""


# E


def _read_put_auth(check: Check) -> Asked:
    check.method("POST")
    check.header("accept", "application/json")
    check.no_authorization()
    parameters = Unprintable({"grant_type": "refresh_token", **check.multipart(_PUT_AUTH)})
    return Asked(parameters=parameters, public=parameters["grant_type"] != "client_credentials")


def _write_put_auth(issued: Issued, _: HTTPRequest) -> HTTPResponse:
    return json_response(HTTPStatus.OK, _said(_members(issued), issued))


def _refuse_without_words(_: RefusedError, __: HTTPRequest) -> HTTPResponse:
    return HTTPResponse(HTTPStatus.BAD_REQUEST)


PUT_AUTH: Final = Dialect(
    name="put_auth", read=_read_put_auth, write=_write_put_auth, refuse=_refuse_without_words
)
"""System E: multipart, a refusal is a 400 and nothing else."""


def _members(issued: Issued) -> dict[str, Any]:
    """Return what RFC 6749 §5.1 has, and the life of a refresh token, which many servers add."""
    return Unprintable(
        access_token=issued.access_token,
        token_type=issued.token_type,
        expires_in=issued.expires_in,
        refresh_token=issued.refresh_token,
        refresh_expires_in=issued.refresh_expires_in,
        scope=issued.scope,
    )


def _said(fields: Mapping[str, Any], issued: Issued) -> dict[str, Any]:
    """Leave out what there is not, and add what the server always says."""
    present = {name: value for name, value in fields.items() if value is not None}
    return Unprintable(present | dict(issued.extra))


def _challenge(refusal: RefusedError, realm: str) -> dict[str, str]:
    return {"www-authenticate": f'Basic realm="{realm}"'} if refusal.of_client else {}
