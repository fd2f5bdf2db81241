"""Where clients are registered with the fake server, and looked after (RFC 7591, RFC 7592)."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import urlsplit

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing.dialects import json_response
from oauthkit.testing.reading import UnreadableError, authorization
from oauthkit.testing.state import AuthorizationServerState

_SERVERS_ALONE: Final = frozenset(
    {
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    }
)
_WITHOUT_SECRET: Final = frozenset({"none", "private_key_jwt", "tls_client_auth"})
_PRIVATE: Final = {"cache-control": "no-store"}


def registration_answer(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    """Return the answer of the registration endpoint, or of a client's own URI below it."""
    client_id = urlsplit(request.url).path.partition("/register/")[2]
    if not client_id:
        return _registered(state, request)
    kept = state.registered.get(client_id)
    token = None if kept is None else kept["registration_access_token"]
    if kept is None or _bearer(request) != token:
        return HTTPResponse(HTTPStatus.UNAUTHORIZED, {"www-authenticate": "Bearer"})
    act = _ACTS.get(request.method)
    if act is None:
        return HTTPResponse(HTTPStatus.METHOD_NOT_ALLOWED)
    return act(state, kept, request)


def _registered(state: AuthorizationServerState, request: HTTPRequest) -> HTTPResponse:
    if request.method != "POST":
        return HTTPResponse(HTTPStatus.METHOD_NOT_ALLOWED)
    if state.initial_access_token not in {None, _bearer(request)}:
        return HTTPResponse(HTTPStatus.UNAUTHORIZED, {"www-authenticate": "Bearer"})
    metadata = _members(request)
    if metadata is None:
        return _refused("invalid_client_metadata", "the body is no JSON object")
    uris = metadata.get("redirect_uris", [])
    if not isinstance(uris, list) or any("#" in str(uri) for uri in cast("list[object]", uris)):
        return _refused("invalid_redirect_uri", "a redirect URI has no fragment")
    number = len(state.registered) + 1
    client_id = f"registered-{number}"
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    secret = {} if method in _WITHOUT_SECRET else _secret(f"{client_id}-secret-1")
    state.registered[client_id] = {
        **metadata,
        "client_id": client_id,
        "client_id_issued_at": int(state.clock.time()),
        "token_endpoint_auth_method": method,
        "registration_access_token": f"{client_id}-token-1",
        "registration_client_uri": f"{state.issuer}/register/{client_id}",
        **secret,
    }
    return json_response(HTTPStatus.CREATED, state.registered[client_id], _PRIVATE)


def _read(_: AuthorizationServerState, kept: dict[str, Any], _request: HTTPRequest) -> HTTPResponse:
    return json_response(HTTPStatus.OK, kept, _PRIVATE)


def _replaced(
    _: AuthorizationServerState, kept: dict[str, Any], request: HTTPRequest
) -> HTTPResponse:
    """Replace what is registered; the token to look after it with is a new one then."""
    metadata = _members(request)
    if metadata is None or metadata.get("client_id") != kept["client_id"]:
        return _refused("invalid_client_metadata", "an update names the client (RFC 7592 §2.2)")
    if _SERVERS_ALONE & metadata.keys():
        return _refused("invalid_client_metadata", "these are the server's to say (RFC 7592 §2.2)")
    own = {name: kept[name] for name in ("client_secret", *sorted(_SERVERS_ALONE)) if name in kept}
    before, _dash, number = str(kept["registration_access_token"]).rpartition("-")
    kept.clear()
    kept.update({**metadata, **own, "registration_access_token": f"{before}-{int(number) + 1}"})
    return json_response(HTTPStatus.OK, kept, _PRIVATE)


def _deleted(
    state: AuthorizationServerState, kept: dict[str, Any], _request: HTTPRequest
) -> HTTPResponse:
    del state.registered[kept["client_id"]]
    return HTTPResponse(HTTPStatus.NO_CONTENT)


_ACTS: Final[
    Mapping[str, Callable[[AuthorizationServerState, dict[str, Any], HTTPRequest], HTTPResponse]]
] = {"GET": _read, "PUT": _replaced, "DELETE": _deleted}


def _secret(text: str) -> dict[str, Any]:
    return {"client_secret": text, "client_secret_expires_at": 0}


def _bearer(request: HTTPRequest) -> str | None:
    with suppress(UnreadableError):
        scheme, token = authorization(request.headers) or ("", "")
        return token if scheme == "bearer" else None
    return None


def _members(request: HTTPRequest) -> dict[str, Any] | None:
    try:
        members: object = json.loads(request.content)
    except ValueError:
        return None
    return cast("dict[str, Any]", members) if isinstance(members, dict) else None


def _refused(error: str, description: str) -> HTTPResponse:
    fields = {"error": error, "error_description": description}
    return json_response(HTTPStatus.BAD_REQUEST, fields, _PRIVATE)
