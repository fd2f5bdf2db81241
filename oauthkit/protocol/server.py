"""Who issues tokens: an authorization server and its ways."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.formats import FORM, ParameterValue, RequestFormat
from oauthkit.protocol.messages import Origin, check_endpoint
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.token import Token

Adapter = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Turns the fields of an answer, good or bad, into the field names of RFC 6749 §5."""

RequestAdapter = Callable[[Mapping[str, ParameterValue], str], Mapping[str, ParameterValue]]
"""Turns the parameters of a request, and the client_id, into what the server wants to read."""


@attrs.frozen
class AuthorizationServer:
    """Describe who issues tokens; names as in RFC 8414 §2 where that has them.

    Example:
        >>> server = AuthorizationServer("https://auth.example/token")
        >>> legacy = AuthorizationServer(
        ...     "https://legacy.example/token",
        ...     adapt=rename_fields({"AccessToken": "access_token", "ValidFor": "expires_in"}),
        ...     default_token_type="Bearer",
        ... )

    Attributes:
        token_endpoint: Where tokens are asked for; its query is kept (RFC 6749 §3.2).
        issuer: The issuer identifier, compared with `iss` of a callback (RFC 9207).
        authorization_endpoint: Where the resource owner's browser is sent.
        code_challenge_methods_supported: PKCE methods, None where the server does not say.
        authorization_response_iss_parameter_supported: Whether every callback carries `iss`.
        request_format: How token requests are written, where the grant does not say.
        accept: The `Accept` header of token requests.
        adapt: Gives the fields of an answer their RFC names; see `rename_fields`.
        adapt_request: Gives the parameters of a request the names or additions the server wants.
        token_class: `Token`, or a subclass with further fields.
        default_token_type: What is assumed where an answer has no `token_type`. None refuses such
            an answer, as RFC 6749 §5.1 has it.
        allow_plain_http: Let credentials and tokens travel over plain http to this server, and to
            the APIs of a session that uses it, beyond this machine's own loopback addresses.
            False refuses such a server at once; None when something secret would be sent there,
            for documented systems whose other calls need no token.

    Raises:
        ConfigurationError: An endpoint is not absolute, not https, or has a fragment.
    """

    token_endpoint: str
    issuer: str | None = attrs.field(default=None, kw_only=True)
    authorization_endpoint: str | None = attrs.field(default=None, kw_only=True)
    code_challenge_methods_supported: tuple[str, ...] | None = attrs.field(
        default=None, kw_only=True
    )
    authorization_response_iss_parameter_supported: bool = attrs.field(default=False, kw_only=True)
    request_format: RequestFormat = attrs.field(default=FORM, kw_only=True)
    accept: str = attrs.field(default="application/json", kw_only=True)
    adapt: Adapter | None = attrs.field(default=None, kw_only=True)
    adapt_request: RequestAdapter | None = attrs.field(default=None, kw_only=True)
    token_class: type[Token] = attrs.field(default=Token, kw_only=True)
    default_token_type: str | None = attrs.field(default=None, kw_only=True)
    allow_plain_http: bool | None = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check every URL at once, so that nothing wrong is found in the middle of a login."""
        optional = ("authorization_endpoint", "issuer")
        given = [name for name in optional if getattr(self, name) is not None]
        for name in ("token_endpoint", *given):
            url = getattr(self, name)
            check_endpoint(url, name=name, allow_plain_http=self.allow_plain_http is not False)
        if self.authorization_response_iss_parameter_supported and self.issuer is None:
            message = (
                "authorization_response_iss_parameter_supported needs the issuer that callbacks "
                "are compared with (RFC 9207 §2.4); give issuer="
            )
            raise ConfigurationError(message)

    @property
    def origin(self) -> Origin:
        """The token endpoint's origin."""
        return Origin.of(self.token_endpoint)


def rename_fields(names: Mapping[str, str]) -> Adapter:
    """Return an adapter that gives fields of an answer their names of RFC 6749 §5.

    Args:
        names: The server's name of a field, and the RFC's. A dotted name reaches into an object:
            `{"data.accessToken": "access_token"}`. Other fields stay as they are.
    """

    def adapt(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        renamed = Unprintable(fields)
        for theirs, ours in names.items():
            value = _reached(fields, theirs)
            if value is not None:
                renamed.pop(theirs, None)
                renamed[ours] = value
        return renamed

    return adapt


def _reached(fields: Mapping[str, Any], name: str) -> object:
    if name in fields:
        return fields[name]
    outer, _, inner = name.partition(".")
    within = fields.get(outer)
    if not inner or not isinstance(within, Mapping):
        return None
    return _reached(cast("Mapping[str, Any]", within), inner)
