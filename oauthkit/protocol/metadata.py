"""What an authorization server says of itself: names as in its metadata (RFC 8414 §2)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import attrs

from oauthkit.kinds import Checked

_NAMES: Final[Any] = tuple[str, ...] | None


def _several(names: list[str] | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _own(members: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(members)


def _quiet(_kind: type, fields: list["attrs.Attribute[Any]"]) -> list["attrs.Attribute[Any]"]:
    """Leave what is often there out of the `repr`, and take lists for what is several."""
    several: dict[str, Any] = {"converter": _several}
    return [
        field.evolve(repr=False, **several if cast("Any", field.type) == _NAMES else {})
        for field in fields
    ]


@attrs.frozen(kw_only=True, field_transformer=_quiet)
class ServerMetadata(Checked):
    """Hold what a server's metadata document says, or what is known of it by hand.

    Names and meanings are those of RFC 8414 §2, OpenID Connect Discovery 1.0 §3 and the documents
    that have registered more. A list is None where the server does not say; a URL that came by
    metadata is checked when it is used, so that a bad one costs only itself.

    Attributes:
        metadata: All members of the document, also those that have no attribute here, and values
            that are not of the kind that they should be.
    """

    jwks_uri: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    end_session_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    registration_endpoint: str | None = None
    service_documentation: str | None = None
    op_policy_uri: str | None = None
    op_tos_uri: str | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = attrs.field(
        default=None,
        converter=_several,  # said here for type checkers: a list was always taken
    )
    scopes_supported: tuple[str, ...] | None = None
    response_types_supported: tuple[str, ...] | None = None
    response_modes_supported: tuple[str, ...] | None = None
    grant_types_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] | None = None
    revocation_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    revocation_endpoint_auth_signing_alg_values_supported: tuple[str, ...] | None = None
    introspection_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    introspection_endpoint_auth_signing_alg_values_supported: tuple[str, ...] | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None
    id_token_encryption_alg_values_supported: tuple[str, ...] | None = None
    id_token_encryption_enc_values_supported: tuple[str, ...] | None = None
    userinfo_signing_alg_values_supported: tuple[str, ...] | None = None
    userinfo_encryption_alg_values_supported: tuple[str, ...] | None = None
    userinfo_encryption_enc_values_supported: tuple[str, ...] | None = None
    introspection_signing_alg_values_supported: tuple[str, ...] | None = None
    introspection_encryption_alg_values_supported: tuple[str, ...] | None = None
    introspection_encryption_enc_values_supported: tuple[str, ...] | None = None
    request_object_signing_alg_values_supported: tuple[str, ...] | None = None
    authorization_signing_alg_values_supported: tuple[str, ...] | None = None
    dpop_signing_alg_values_supported: tuple[str, ...] | None = None
    subject_types_supported: tuple[str, ...] | None = None
    acr_values_supported: tuple[str, ...] | None = None
    claims_supported: tuple[str, ...] | None = None
    claim_types_supported: tuple[str, ...] | None = None
    prompt_values_supported: tuple[str, ...] | None = None
    display_values_supported: tuple[str, ...] | None = None
    ui_locales_supported: tuple[str, ...] | None = None
    claims_locales_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False
    require_pushed_authorization_requests: bool = False
    require_signed_request_object: bool = False
    claims_parameter_supported: bool = False
    tls_client_certificate_bound_access_tokens: bool = False
    backchannel_logout_supported: bool = False
    backchannel_logout_session_supported: bool = False
    mtls_endpoint_aliases: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], hash=False, converter=_own
    )
    metadata: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, converter=_own)


def attributes_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a document says, by the names of attributes.

    A member of another kind than it should be counts as one that is not there, as `null` and an
    empty list do (RFC 8414 §3.2): the rest of the document is as good as before.

    Args:
        document: The members as they came.
    """
    return dict(_usable(document))


def text(value: object) -> str | None:
    """Return a member that should be a text; None where it is none."""
    return value if isinstance(value, str) and value else None


def _usable(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for field in attrs.fields(ServerMetadata):
        read = _READERS[field.type]
        value = read(document.get(field.name))
        if value:
            yield field.name, value


def _list(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    members = cast("list[object]", value)
    return tuple(member for member in members if isinstance(member, str))


def _true(value: object) -> bool:
    return value is True


def _members(value: object) -> Mapping[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


_READERS: Final[Mapping[Any, Callable[[object], Any]]] = {
    str | None: text,
    _NAMES: _list,
    bool: _true,
    Mapping[str, Any]: _members,
}
