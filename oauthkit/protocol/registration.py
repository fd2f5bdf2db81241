"""Registering a client with a server, and looking after what is registered (RFC 7591, RFC 7592)."""

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

import attrs

from oauthkit.errors import ConfigurationError, ResponseError
from oauthkit.protocol.answers import unusable
from oauthkit.protocol.endpoint import read_answer
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse, shown_url
from oauthkit.protocol.record import check_version, recorded, unknown_members
from oauthkit.protocol.registration_metadata import as_json, check_metadata, may_sign
from oauthkit.protocol.secret import (
    NoPickle,
    SecretStr,
    Unprintable,
    check_given,
    names_of,
    secret,
    unprintable,
)
from oauthkit.protocol.server import AuthorizationServer, usable_endpoint

R = TypeVar("R", bound="Registration")

ENDPOINT: Final = "registration_endpoint"
MANAGEMENT: Final = "registration_client_uri"

_BY_KEY: Final = "private_key_jwt"
_BEARER: Final = re.compile(r"[\x21-\x7e]+")
_TEXT: Final = (str, type(None))
_MOMENT: Final = (int, float, type(None))
_OWN: Final[Mapping[str, tuple[type, ...]]] = {
    "client_id": (str,),
    "client_secret": _TEXT,
    "client_secret_expires_at": _MOMENT,
    "client_id_issued_at": _MOMENT,
    "registration_access_token": _TEXT,
    "registration_client_uri": _TEXT,
}
"""Members of an answer that are about the registration, and not about the client."""
_RECORD: Final[Mapping[str, tuple[type, ...]]] = {**_OWN, "issuer": _TEXT, "metadata": (dict,)}
_SERVERS_ALONE: Final = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)
"""What an update must not say (RFC 7592 §2.2)."""
_GONE: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "is gone, or its access token is not good any more; register anew",
    HTTPStatus.FORBIDDEN: "may not be read, changed or deleted so, by what the server allows",
    HTTPStatus.NOT_FOUND: "is not to be found; register anew",
    HTTPStatus.METHOD_NOT_ALLOWED: "cannot be looked after so: the server does not support it",
}


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)


@attrs.frozen(kw_only=True)
class Registration(NoPickle):
    """Client as a server has registered it (RFC 7591 §3.2.1, RFC 7592 §3).

    Attributes:
        client_id: The client's identifier.
        client_secret: Its secret; None where it has none.
        client_secret_expires_at: When that ends, in seconds since the epoch; 0 is never, None is
            not said.
        client_id_issued_at: When it was registered, in seconds since the epoch, if that is said.
        registration_access_token: What the registration is looked after with, if it may be.
        registration_client_uri: Where.
        issuer: Whose registration it is; None is unknown.
        metadata: All else that the server has registered, as it came. What counts is what stands
            here, and not what was asked for.
        unknown: Members of its record that a later oauthkit has put there; they are kept.
    """

    client_id: str
    client_secret: str | None = secret(default=None)
    client_secret_expires_at: float | None = attrs.field(default=None, converter=_seconds)
    client_id_issued_at: float | None = attrs.field(default=None, converter=_seconds)
    registration_access_token: str | None = secret(default=None)
    registration_client_uri: str | None = attrs.field(default=None, repr=shown_url)
    issuer: str | None = None
    metadata: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=names_of
    )
    unknown: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=unprintable, hash=False, repr=False
    )

    @property
    def token_endpoint_auth_method(self) -> str:
        """How the client authenticates: what is registered, or what follows where it is not said.

        That is `client_secret_basic` where there is a secret (RFC 7591 §2), and `none` where there
        is none.
        """
        method = self.metadata.get("token_endpoint_auth_method")
        if isinstance(method, str) and method:
            return method
        return "none" if self.client_secret is None else "client_secret_basic"

    def differences(self, requested: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return what was registered in another way than was asked for (RFC 7591 §3.2.1).

        Args:
            requested: What was asked for.

        Returns:
            What was asked for and what was registered, by name; None is not there.
        """
        return {
            name: (asked, self.metadata.get(name))
            for name, asked in requested.items()
            if asked != self.metadata.get(name)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return it as a plain dict of JSON values, **secrets included**, for keeping."""
        fields = {name: getattr(self, name) for name in _RECORD}
        plain = {name: str(v) if isinstance(v, str) else v for name, v in fields.items()}
        return recorded({**plain, "metadata": dict(self.metadata)}, self.unknown)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave.

        Raises:
            ConfigurationError: This is not such a dict, or a newer oauthkit's.
        """
        made, reason = None, "it is no such dict"
        try:
            check_version(data)
            known = _typed(data, _RECORD)
            made = cls(**known, unknown=unknown_members(data, _RECORD))
        except (AttributeError, TypeError):
            pass
        except ValueError as error:
            reason = str(error)
        del data  # a traceback that shows local values would show the secret in it
        if made is None:
            message = f"a kept client must be what {cls.__name__}.to_dict() gives: {reason}"
            raise ConfigurationError(message)
        return made


def build_registration_request(
    server: AuthorizationServer,
    metadata: Mapping[str, Any],
    *,
    initial_access_token: str | None = None,
) -> HTTPRequest:
    """Return the request that registers a client (RFC 7591 §3.1).

    Args:
        server: Who is asked.
        metadata: What the client says of itself.
        initial_access_token: What the server lets one register with, if it wants that.

    Raises:
        ConfigurationError: The server names no such endpoint, or the metadata contradicts itself.
    """
    check_metadata(metadata)
    url = server.endpoint(ENDPOINT)
    content = as_json({**_preferred(server, metadata), **metadata})
    return _request(server, "POST", url, initial_access_token, content)


def build_management_request(
    server: AuthorizationServer,
    method: str,
    registration: Registration,
    metadata: Mapping[str, Any] | None = None,
) -> HTTPRequest:
    """Return the request that reads, replaces or deletes a registration (RFC 7592 §2).

    Args:
        server: Who is asked.
        method: `GET`, `PUT` or `DELETE`.
        registration: Which one; its URI is asked as it was given.
        metadata: With `PUT`, all that the client says of itself from now on.

    Raises:
        ConfigurationError: The server gave no URI or token for that, or it is another's; or the
            metadata contradicts itself or the registration.
    """
    url, token = registration.registration_client_uri, registration.registration_access_token
    if url is None or token is None:
        message = (
            "the server gave no registration_client_uri and registration_access_token, so the "
            "registration cannot be looked after here (RFC 7592 §3)"
        )
        raise ConfigurationError(message)
    if registration.issuer is not None and server.issuer not in {None, registration.issuer}:
        message = f"this client was registered with {registration.issuer}, not {server.issuer}"
        raise ConfigurationError(message)
    url = usable_endpoint(server, url, name=MANAGEMENT)
    content = b"" if metadata is None else as_json(_updated(registration, metadata))
    return _request(server, method, url, token, content)


def parse_registration_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    kind: type[R],
    *,
    now: float,
    previous: Registration | None = None,
    secrets: Collection[str] = (),
) -> R:
    """Return what is registered (RFC 7591 §3.2, RFC 7592 §3).

    Args:
        server: Who answered.
        response: The answer.
        kind: What is returned.
        now: When the request was sent, in seconds since the epoch, for a date in `Retry-After`.
        previous: What was known before: where the answer is silent, its secret and what it is
            looked after with go on.
        secrets: What no error may show, should the answer echo it.

    Raises:
        ErrorResponse: The server said no.
        ResponseError: The answer is not one that RFC 7591 §3.2 describes.
    """
    name = ENDPOINT if previous is None else MANAGEMENT
    if previous is not None:
        _check_there(response, secrets)
    fields = read_answer(server, response, now=now, name=name, secrets=secrets)
    if isinstance(fields, ResponseError):
        raise fields
    try:
        own = _typed(fields, _OWN)
        check_given(client_id=own["client_id"])
        metadata = Unprintable((n, v) for n, v in fields.items() if n not in _OWN)
        return _following(kind(**own, issuer=server.issuer, metadata=metadata), previous)
    except ValueError as error:
        reason = str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the answer.
    raise unusable(response, reason, secrets=secrets)


def parse_deletion_response(
    server: AuthorizationServer,
    response: HTTPResponse,
    *,
    now: float,
    secrets: Collection[str] = (),
) -> None:
    """Return where a registration was deleted (RFC 7592 §2.3).

    Raises:
        ErrorResponse: The server said no.
        ResponseError: It was gone (401), may not be deleted (403), or cannot be (405); or the
            answer is not one that RFC 7592 §2.3 describes.
    """
    _check_there(response, secrets)
    read_answer(server, response, now=now, name=MANAGEMENT, secrets=secrets)


def _request(
    server: AuthorizationServer, method: str, url: str, token: str | None, content: bytes
) -> HTTPRequest:
    headers = {"accept": server.accept}
    if content:
        headers["content-type"] = "application/json"
    if token is not None:
        if not _BEARER.fullmatch(token):
            message = "an access token is visible ASCII without spaces (RFC 6750 §2.1)"
            raise ConfigurationError(message)
        headers["authorization"] = SecretStr(f"Bearer {token}")
    return HTTPRequest(
        method,
        url,
        headers,
        content,
        frozenset({SecretStr(token or "")} - {""}),
        public_only=server.public_only,
    )


def _preferred(server: AuthorizationServer, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how a client with keys that sign is to be known, where it does not say.

    By them (RFC 9700 §2.5). Left unsaid, it would be by a secret (RFC 7591 §2).
    """
    listed = server.token_endpoint_auth_methods_supported or ()
    if _BY_KEY not in listed or not may_sign(metadata):
        return {}
    return {"token_endpoint_auth_method": _BY_KEY}


def _updated(registration: Registration, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an update says (RFC 7592 §2.2).

    Raises:
        ConfigurationError: The metadata contradicts itself or the registration.
    """
    check_metadata(metadata)
    for name in ("client_id", "client_secret"):
        if metadata.get(name) not in {None, getattr(registration, name)}:
            message = (
                f"{name} is the server's to choose, and an update says it unchanged or not at all "
                "(RFC 7592 §2.2)"
            )
            raise ConfigurationError(message)
    said = {n: v for n, v in metadata.items() if n not in _SERVERS_ALONE}
    return Unprintable(said, client_id=registration.client_id)


def _check_there(response: HTTPResponse, secrets: Collection[str]) -> None:
    """Refuse an answer that says that a registration is not there to be looked after."""
    reason = _GONE.get(response.status_code)
    if reason is not None:
        message = f"the registration {reason} (RFC 7592 §2)"
        raise unusable(response, message, secrets=secrets)


def _following(made: R, previous: Registration | None) -> R:
    """Return a registration with what goes on where the answer was silent.

    Raises:
        ValueError: It is that of another client.
    """
    if previous is None:
        return made
    if made.client_id != previous.client_id:
        message = "the answer is about another client than was asked about (RFC 7592 §2)"
        raise ValueError(message)
    carried: dict[str, Any] = {}
    if made.registration_access_token is None:
        carried["registration_access_token"] = previous.registration_access_token
    if made.registration_client_uri is None:
        carried["registration_client_uri"] = previous.registration_client_uri
    has_secret = str(made.metadata.get("token_endpoint_auth_method", "client_secret"))
    if made.client_secret is None and has_secret.startswith("client_secret"):
        carried["client_secret"] = previous.client_secret
        carried["client_secret_expires_at"] = previous.client_secret_expires_at
    return attrs.evolve(made, **carried)


def _typed(fields: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return the members that are known.

    Raises:
        ValueError: One is missing, or of another type.
    """
    found = Unprintable((name, fields.get(name)) for name in kinds)
    for name, expected in kinds.items():
        value = found[name]
        if not isinstance(value, expected) or isinstance(value, bool):
            message = f"{name} is missing, or of another type (RFC 7591 §3.2.1)"
            raise ValueError(message)  # noqa: TRY004 - as for all that an answer may not be
    return found
