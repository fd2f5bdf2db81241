"""The exchange of one token for another (RFC 8693)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.kinds import given
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import GrantStrategy, Repeat, scope_text
from oauthkit.protocol.redirects import is_absolute
from oauthkit.protocol.resource_indicators import audiences, resources
from oauthkit.protocol.secret import Unprintable
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.supplied import Supplied, check_supplied, known, supplied, text_of
from oauthkit.protocol.token import Token

_NAMESPACE: Final = "urn:ietf:params:oauth:token-type:"
_SHORT: Final = ("access_token", "id_token", "id-jag", "jwt", "refresh_token", "saml1", "saml2")
_MEMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {f"{_NAMESPACE}id_token": "id_token", f"{_NAMESPACE}refresh_token": "refresh_token"}
)
"""Which member of a `Token` is meant by a type; of any other type it is the access token."""


def token_type_uri(name: object) -> str | None:
    """Return the identifier of a token type (RFC 8693 §3) for its short name, or for itself.

    Raises:
        ConfigurationError: It is neither.
    """
    if name is None:
        return None
    if isinstance(name, str) and (name in _SHORT or is_absolute(name)):
        return _NAMESPACE + name if name in _SHORT else name
    what = repr(printable(name, 60)) if isinstance(name, str) else given(name)
    message = (
        f"a token type is a URI (RFC 8693 §3), or one of {', '.join(_SHORT)}, which stand for "
        f"{_NAMESPACE}…; it is not {what}"
    )
    raise ConfigurationError(message)


def _required_type(name: object) -> str:
    uri = token_type_uri(name)
    if uri is None:
        message = "subject_token_type= must say what the subject_token is (RFC 8693 §2.1)"
        raise ConfigurationError(message)
    return uri


@attrs.frozen(kw_only=True)
class TokenExchange(GrantStrategy):
    """Exchange a token for another one (RFC 8693): for another API, or on somebody's behalf.

    What a token is called is a URI (§3). The registered ones have short names: `access_token`,
    `refresh_token`, `id_token`, `jwt`, `saml1`, `saml2`, and `id-jag`.

    What is issued is in `Token.extra["issued_token_type"]`. Where `token_type` is `N_A` it is no
    access token: it is handed on, and no session sends it to an API.

    Example:
        >>> grant = TokenExchange(
        ...     subject_token="a token that came with a request",
        ...     subject_token_type="access_token",
        ...     audience="orders",
        ... )
        >>> grant.subject_token_type
        'urn:ietf:params:oauth:token-type:access_token'

    Attributes:
        subject_token: Whom the new token is about: a text, or an asynchronous function that returns
            the text or a token, such as `session.token` of another session. It is called for each
            request anew. Of a `Token` that is the access token, or the one that
            `subject_token_type` names.
        subject_token_type: What that is.
        actor_token: Who acts on the subject's behalf, in the same way; None is the client itself.
        actor_token_type: What that is; there if, and only if, `actor_token` is.
        resource: Where the token will be used: an absolute URI, or several (RFC 8707 §2).
        audience: For whom, by the name that the server knows; or several.
        scope: What the token shall be good for.
        requested_token_type: What is asked for; None leaves it to the server. An answer with
            another `issued_token_type` is refused.
        issued_token_type_required: Refuse an answer that does not say what was issued (§2.2.1).

    Raises:
        ConfigurationError: A token is empty; one of its types is missing, or none; a resource is
            relative, or has a fragment.
    """

    grant_type = "urn:ietf:params:oauth:grant-type:token-exchange"
    repeat = Repeat.ALWAYS  # the exchange does not use the subject token up (§2.1)

    subject_token: Supplied = supplied()
    subject_token_type: str = attrs.field(converter=_required_type)
    actor_token: Supplied | None = supplied(default=None)
    actor_token_type: str | None = attrs.field(default=None, converter=token_type_uri)
    resource: tuple[str, ...] = attrs.field(default=(), converter=resources)
    audience: tuple[str, ...] = attrs.field(default=(), converter=audiences)
    scope: str | None = attrs.field(default=None, converter=scope_text)
    requested_token_type: str | None = attrs.field(default=None, converter=token_type_uri)
    issued_token_type_required: bool = True

    def __attrs_post_init__(self) -> None:
        """Check what must be there together."""
        check_supplied(subject_token=self.subject_token)
        if self.actor_token is not None:
            check_supplied(actor_token=self.actor_token)
        if (self.actor_token is None) != (self.actor_token_type is None):
            message = (
                "actor_token and actor_token_type are there together, or neither is (RFC 8693 §2.1)"
            )
            raise ConfigurationError(message)

    async def prepared(
        self, server: AuthorizationServer, *, client_id: str, now: float
    ) -> GrantStrategy:
        """Return the grant with its tokens as texts."""
        subject, actor = self.subject_token, self.actor_token
        if isinstance(subject, str) and (actor is None or isinstance(actor, str)):
            return self
        subject = await text_of("subject_token", subject, member=_member(self.subject_token_type))
        if actor is not None:
            actor = await text_of("actor_token", actor, member=_member(self.actor_token_type))
        return attrs.evolve(self, subject_token=subject, actor_token=actor)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return what is asked for, and the tokens as far as they are texts already."""
        return Unprintable(
            subject_token=known(self.subject_token),
            subject_token_type=self.subject_token_type,
            actor_token=known(self.actor_token),
            actor_token_type=self.actor_token_type,
            resource=self.resource,
            audience=self.audience,
            scope=self.scope,
            requested_token_type=self.requested_token_type,
        )

    def objection(self, token: Token) -> str | None:
        """Return why what was issued is not what was asked for (§2.2.1)."""
        issued = getattr(token, "issued_token_type", None) or token.extra.get("issued_token_type")
        if issued is None:
            return _NOT_SAID if self.issued_token_type_required else None
        if not isinstance(issued, str):
            return "issued_token_type must be a text (RFC 8693 §2.2.1)"
        if self.requested_token_type in {None, issued}:
            return None
        return (
            f"a token of type {printable(str(self.requested_token_type), 80)} was asked for, and "
            f"one of type {printable(issued, 80)} was issued (RFC 8693 §2.2.1)"
        )


_NOT_SAID: Final = (
    "the answer does not say what was issued: issued_token_type is required (RFC 8693 §2.2.1); "
    "TokenExchange(…, issued_token_type_required=False) does without"
)


def _member(token_type: str | None) -> str:
    return _MEMBERS.get(token_type or "", "access_token")
