"""Who issues tokens: an authorization server and its ways."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import checked
from oauthkit.protocol.formats import FORM, ParameterValue, RequestFormat
from oauthkit.protocol.messages import Origin, check_endpoint, shown_url
from oauthkit.protocol.metadata import ServerMetadata, text
from oauthkit.protocol.refusals import ErrorRule
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.token import Token

Adapter = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Turns the fields of an answer, good or bad, into the field names of RFC 6749 §5."""

RequestAdapter = Callable[[Mapping[str, ParameterValue], str], Mapping[str, ParameterValue]]
"""Turns the parameters of a request, and the client_id, into what the server wants to read."""


_URLS: Final = (
    "authorization_endpoint",
    "issuer",
    "jwks_uri",
    "userinfo_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "end_session_endpoint",
    "device_authorization_endpoint",
    "pushed_authorization_request_endpoint",
    "registration_endpoint",
)
_ALIASED: Final = frozenset(
    {
        "token_endpoint",
        "userinfo_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "registration_endpoint",
        "backchannel_authentication_endpoint",
    }
)
_SUCCESSFUL: Final = frozenset({None, *range(200, 300)})


def _rules(errors: object) -> tuple[ErrorRule, ...]:
    rules = tuple(cast("Iterable[object]", errors)) if isinstance(errors, Iterable) else (None,)
    if not all(isinstance(rule, ErrorRule) for rule in rules):
        message = "errors= takes rules, such as (ErrorRule(…), ErrorRule(…)), and nothing else"
        raise ConfigurationError(message)
    return cast("tuple[ErrorRule, ...]", rules)


@attrs.frozen
class AuthorizationServer(ServerMetadata):
    """Describe who issues tokens; names as in RFC 8414 §2 where that has them.

    It is written by hand, or found by `discover`. What its metadata may say beside is in the
    attributes of the same names: `jwks_uri`, `userinfo_endpoint`, `scopes_supported` and so on.

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
        request_format: How token requests are written, where the grant does not say.
        accept: The `Accept` header of token requests.
        adapt: Gives the fields of an answer their RFC names; see `rename_fields`.
        adapt_request: Gives the parameters of a request the names or additions the server wants.
        errors: What the server's own ways to refuse mean in the words of RFC 6749 §5.2; the first
            rule that fits decides.
        success_status: The one HTTP status that a token comes with, where a server documents one
            and means it (RFC 6749 §5.1 says 200). None is any from 200 to 299.
        token_class: `Token`, or a subclass with further fields.
        default_token_type: What is assumed where an answer has no `token_type`. None refuses such
            an answer, as RFC 6749 §5.1 has it.
        allow_plain_http: Let credentials and tokens travel over plain http to this server, and to
            the APIs of a session that uses it, and codes to its redirect URIs, beyond this
            machine's own loopback addresses and `localhost`.
            False refuses such a server at once; None when something secret would be sent there,
            for documented systems whose other calls need no token.
        public_only: Send requests to public addresses alone (RFC 9728 §7.7): for issuers that
            somebody else has named, so that what they name is nothing within a network of ours. It
            is the address that a connection was made to which counts, not the name.
        fetched: What was fetched of this server's own, such as its keys, by URL; whoever fetches
            keeps it here, so that it lives as long as the server does.

    Raises:
        ConfigurationError: An endpoint is not absolute, not https, or has a fragment; or another
            setting cannot work.
    """

    token_endpoint: str = attrs.field(repr=shown_url)
    issuer: str | None = attrs.field(default=None, kw_only=True)
    authorization_endpoint: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    request_format: RequestFormat = attrs.field(default=FORM, kw_only=True)
    accept: str = attrs.field(default="application/json", kw_only=True)
    adapt: Adapter | None = attrs.field(default=None, kw_only=True)
    adapt_request: RequestAdapter | None = attrs.field(default=None, kw_only=True)
    errors: tuple[ErrorRule, ...] = attrs.field(default=(), kw_only=True, converter=_rules)
    success_status: int | None = attrs.field(default=None, kw_only=True)
    token_class: type[Token] = attrs.field(default=Token, kw_only=True)
    default_token_type: str | None = attrs.field(default=None, kw_only=True)
    allow_plain_http: bool | None = attrs.field(default=False, kw_only=True)
    public_only: bool = attrs.field(default=False, kw_only=True)
    fetched: dict[str, Any] = attrs.field(factory=dict[str, Any], init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check all of it at once, so that nothing wrong is found in the middle of a login.

        What came by metadata is checked when it is used.
        """
        given = [name for name in _URLS if getattr(self, name) is not None]
        for name in () if self.metadata else ("token_endpoint", *given):
            url = getattr(self, name)
            check_endpoint(url, name=name, allow_plain_http=self.allow_plain_http is not False)
        if self.authorization_response_iss_parameter_supported and self.issuer is None:
            message = (
                "authorization_response_iss_parameter_supported needs the issuer that callbacks "
                "are compared with (RFC 9207 §2.4); give issuer="
            )
            raise ConfigurationError(message)
        if self.success_status not in _SUCCESSFUL:
            message = (
                f"success_status={self.success_status!r} is no status that a token comes with; "
                "give one from 200 to 299, or None for any of them"
            )
            raise ConfigurationError(message)

    @property
    def origin(self) -> Origin:
        """The token endpoint's origin."""
        found = self.endpoint("token_endpoint") if self.metadata else self.token_endpoint
        return Origin.of(found)

    def endpoint(self, name: str) -> str:
        """Return the URL of an endpoint, if there is one that may be used.

        Args:
            name: As the metadata calls it, such as `revocation_endpoint`.

        Raises:
            ConfigurationError: There is none; or it is not absolute, not https, or has a fragment
                or credentials in it.
        """
        url = getattr(self, name, None) or text(self.metadata.get(name))
        if not isinstance(url, str) or not url:
            whose = f"the metadata of {self.issuer}" if self.metadata else "this server"
            message = f"{whose} names no {name}; give AuthorizationServer(…, {name}=…)"
            raise ConfigurationError(message)
        return usable_endpoint(self, url, name=name)

    def mtls_alias(self, name: str) -> str | None:
        """Return where an endpoint is asked with a client certificate, if that is elsewhere.

        `mtls_endpoint_aliases` names endpoints that a client asks itself (RFC 8705 §5). What it
        says of others, such as `authorization_endpoint`, counts as not said.

        Args:
            name: As the metadata calls it, such as `token_endpoint`.

        Raises:
            ConfigurationError: It is not absolute, not https, or has a fragment or credentials in
                it.
        """
        url = text(self.mtls_endpoint_aliases.get(name)) if name in _ALIASED else None
        whose = f"mtls_endpoint_aliases.{name}"
        return None if url is None else usable_endpoint(self, url, name=whose)


def usable_endpoint(server: AuthorizationServer, url: str, *, name: str) -> str:
    """Return a URL that a server has named, if a request may be sent there.

    Args:
        server: Who has named it.
        url: The URL.
        name: What the error message calls it.

    Raises:
        ConfigurationError: It is not absolute, not https, or has a fragment or credentials in it;
            or it is on this machine, and the server was found elsewhere.
    """
    check_endpoint(url, name=name, allow_plain_http=bool(server.allow_plain_http))
    if server.metadata and not Origin.of(server.issuer or url).may_be_here:
        _check_elsewhere(url, name)
    return str(url)


def _check_elsewhere(url: str, name: str) -> None:
    """Refuse this machine as an endpoint of a server that is another one.

    Raises:
        ConfigurationError: It is this machine.
    """
    if Origin.of(url).may_be_here:
        message = (
            f"{name} is on this machine, and the issuer is not: nothing is sent to what a document "
            "from elsewhere finds here"
        )
        raise ConfigurationError(message)


@checked
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
