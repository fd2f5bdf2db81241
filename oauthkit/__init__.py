"""OAuth 2.0 and OpenID Connect for asynchronous Python, so that you stop worrying about tokens.

Three nouns describe every token: who issues it (`AuthorizationServer`), who asks (`ClientAuth`), by
what right (`GrantStrategy`). An `AsyncTokenSession` is those three, an HTTP client and a place to
keep the token.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from oauthkit.version import __version__

if TYPE_CHECKING:
    from oauthkit.client_keys import ClientSecretJWT, PrivateKeyJWT
    from oauthkit.discovery import Discovered, discover
    from oauthkit.errors import (
        AccessDenied,
        CallbackError,
        ConfigurationError,
        EndpointError,
        ErrorResponse,
        InteractionRequired,
        InvalidClient,
        InvalidGrant,
        InvalidJWT,
        LeaseLost,
        LeaseTaken,
        OAuthKitError,
        ReauthorizationRequired,
        Recovery,
        ResponseError,
        StoreError,
        TransportError,
        UnmetRequirements,
    )
    from oauthkit.jose.jwt_bearer import JWTBearer
    from oauthkit.keeping import keeper
    from oauthkit.operations.device import poll_device_login, start_device_login
    from oauthkit.operations.id_token import verify_id_token
    from oauthkit.operations.introspection import introspect
    from oauthkit.operations.introspection_cache import IntrospectionCache
    from oauthkit.operations.login import LoggedIn, complete_login
    from oauthkit.operations.logout import LoggedOut, complete_logout, verify_logout_token
    from oauthkit.operations.registered_client import RegisteredClient
    from oauthkit.operations.registration import (
        delete_registration,
        read_registration,
        register_client,
        update_registration,
    )
    from oauthkit.operations.revocation import revoke
    from oauthkit.operations.token import fetch_token
    from oauthkit.operations.userinfo import fetch_userinfo
    from oauthkit.protocol.assertion_grants import SAML2Bearer
    from oauthkit.protocol.authorization import AuthorizationRequest
    from oauthkit.protocol.challenge import Challenge, parse_challenges
    from oauthkit.protocol.client_auth import (
        AnonymousClient,
        Authentication,
        ClientAuth,
        ClientSecretBasic,
        ClientSecretPost,
        PublicClient,
        SelfSignedTLSClientAuth,
        TLSClientAuth,
    )
    from oauthkit.protocol.client_metadata import ClientMetadata
    from oauthkit.protocol.device_login import DeviceLogin
    from oauthkit.protocol.formats import (
        FORM,
        JSON,
        MULTIPART,
        XML,
        FormRequest,
        JSONRequest,
        MultipartRequest,
        RequestFormat,
        XMLRequest,
    )
    from oauthkit.protocol.grants import (
        AuthorizationCode,
        ClientCredentials,
        GrantStrategy,
        RefreshToken,
        Repeat,
        ResourceOwnerPassword,
    )
    from oauthkit.protocol.id_token import Identity
    from oauthkit.protocol.introspection import Introspection
    from oauthkit.protocol.jwt import Signer
    from oauthkit.protocol.logout import LogoutRequest, end_session_url
    from oauthkit.protocol.logout_token import LogoutToken
    from oauthkit.protocol.refusals import ErrorRule
    from oauthkit.protocol.rejection import Rejection
    from oauthkit.protocol.secret import secret
    from oauthkit.protocol.server import AuthorizationServer, rename_fields
    from oauthkit.protocol.several_servers import servers_by_issuer
    from oauthkit.protocol.third_party_login import ThirdPartyLogin, third_party_login
    from oauthkit.protocol.token import Token
    from oauthkit.protocol.token_exchange import TokenExchange
    from oauthkit.protocol.userinfo import UserInfo
    from oauthkit.renewal.policy import RenewalPolicy
    from oauthkit.renewal.status import SessionStatus
    from oauthkit.session import AsyncTokenSession
    from oauthkit.stores.base import Lease, TokenStore
    from oauthkit.stores.logout_index import LogoutIndex, MemoryLogoutIndex
    from oauthkit.stores.memory import MemoryStore
    from oauthkit.stores.redis import RedisStore
    from oauthkit.stores.redis_logins import RedisLogoutIndex, RedisSingleUseStore
    from oauthkit.stores.sealed import SealedStore
    from oauthkit.stores.single_use import (
        LeasedSingleUseStore,
        MemorySingleUseStore,
        SingleUseStore,
    )
    from oauthkit.stores.sqlite import SQLiteStore
    from oauthkit.stores.sqlite_logins import SQLiteLogoutIndex, SQLiteSingleUseStore

__all__ = [
    "FORM",
    "JSON",
    "MULTIPART",
    "XML",
    "AccessDenied",
    "AnonymousClient",
    "AsyncTokenSession",
    "Authentication",
    "AuthorizationCode",
    "AuthorizationRequest",
    "AuthorizationServer",
    "CallbackError",
    "Challenge",
    "ClientAuth",
    "ClientCredentials",
    "ClientMetadata",
    "ClientSecretBasic",
    "ClientSecretJWT",
    "ClientSecretPost",
    "ConfigurationError",
    "DeviceLogin",
    "Discovered",
    "EndpointError",
    "ErrorResponse",
    "ErrorRule",
    "FormRequest",
    "GrantStrategy",
    "Identity",
    "InteractionRequired",
    "Introspection",
    "IntrospectionCache",
    "InvalidClient",
    "InvalidGrant",
    "InvalidJWT",
    "JSONRequest",
    "JWTBearer",
    "Lease",
    "LeaseLost",
    "LeaseTaken",
    "LeasedSingleUseStore",
    "LoggedIn",
    "LoggedOut",
    "LogoutIndex",
    "LogoutRequest",
    "LogoutToken",
    "MemoryLogoutIndex",
    "MemorySingleUseStore",
    "MemoryStore",
    "MultipartRequest",
    "OAuthKitError",
    "PrivateKeyJWT",
    "PublicClient",
    "ReauthorizationRequired",
    "Recovery",
    "RedisLogoutIndex",
    "RedisSingleUseStore",
    "RedisStore",
    "RefreshToken",
    "RegisteredClient",
    "Rejection",
    "RenewalPolicy",
    "Repeat",
    "RequestFormat",
    "ResourceOwnerPassword",
    "ResponseError",
    "SAML2Bearer",
    "SQLiteLogoutIndex",
    "SQLiteSingleUseStore",
    "SQLiteStore",
    "SealedStore",
    "SelfSignedTLSClientAuth",
    "SessionStatus",
    "Signer",
    "SingleUseStore",
    "StoreError",
    "TLSClientAuth",
    "ThirdPartyLogin",
    "Token",
    "TokenExchange",
    "TokenStore",
    "TransportError",
    "UnmetRequirements",
    "UserInfo",
    "XMLRequest",
    "__version__",
    "complete_login",
    "complete_logout",
    "delete_registration",
    "discover",
    "end_session_url",
    "fetch_token",
    "fetch_userinfo",
    "introspect",
    "keeper",
    "parse_challenges",
    "poll_device_login",
    "read_registration",
    "register_client",
    "rename_fields",
    "revoke",
    "secret",
    "servers_by_issuer",
    "start_device_login",
    "third_party_login",
    "update_registration",
    "verify_id_token",
    "verify_logout_token",
]

_NAMES: Final = {
    "oauthkit.client_keys": ("ClientSecretJWT", "PrivateKeyJWT"),
    "oauthkit.discovery": ("Discovered", "discover"),
    "oauthkit.errors": (
        "AccessDenied",
        "CallbackError",
        "ConfigurationError",
        "EndpointError",
        "ErrorResponse",
        "InteractionRequired",
        "InvalidClient",
        "InvalidGrant",
        "InvalidJWT",
        "LeaseLost",
        "LeaseTaken",
        "OAuthKitError",
        "ReauthorizationRequired",
        "Recovery",
        "ResponseError",
        "StoreError",
        "TransportError",
        "UnmetRequirements",
    ),
    "oauthkit.jose.jwt_bearer": ("JWTBearer",),
    "oauthkit.keeping": ("keeper",),
    "oauthkit.operations.id_token": ("verify_id_token",),
    "oauthkit.operations.introspection": ("introspect",),
    "oauthkit.operations.introspection_cache": ("IntrospectionCache",),
    "oauthkit.operations.login": ("LoggedIn", "complete_login"),
    "oauthkit.operations.logout": ("LoggedOut", "complete_logout", "verify_logout_token"),
    "oauthkit.operations.revocation": ("revoke",),
    "oauthkit.operations.device": ("poll_device_login", "start_device_login"),
    "oauthkit.operations.registered_client": ("RegisteredClient",),
    "oauthkit.operations.registration": (
        "delete_registration",
        "read_registration",
        "register_client",
        "update_registration",
    ),
    "oauthkit.operations.token": ("fetch_token",),
    "oauthkit.operations.userinfo": ("fetch_userinfo",),
    "oauthkit.protocol.assertion_grants": ("SAML2Bearer",),
    "oauthkit.protocol.authorization": ("AuthorizationRequest",),
    "oauthkit.protocol.challenge": ("Challenge", "parse_challenges"),
    "oauthkit.protocol.client_auth": (
        "AnonymousClient",
        "Authentication",
        "ClientAuth",
        "ClientSecretBasic",
        "ClientSecretPost",
        "PublicClient",
        "SelfSignedTLSClientAuth",
        "TLSClientAuth",
    ),
    "oauthkit.protocol.client_metadata": ("ClientMetadata",),
    "oauthkit.protocol.device_login": ("DeviceLogin",),
    "oauthkit.protocol.formats": (
        "FORM",
        "JSON",
        "MULTIPART",
        "XML",
        "FormRequest",
        "JSONRequest",
        "MultipartRequest",
        "RequestFormat",
        "XMLRequest",
    ),
    "oauthkit.protocol.grants": (
        "AuthorizationCode",
        "ClientCredentials",
        "GrantStrategy",
        "RefreshToken",
        "Repeat",
        "ResourceOwnerPassword",
    ),
    "oauthkit.protocol.id_token": ("Identity",),
    "oauthkit.protocol.introspection": ("Introspection",),
    "oauthkit.protocol.logout": ("LogoutRequest", "end_session_url"),
    "oauthkit.protocol.logout_token": ("LogoutToken",),
    "oauthkit.protocol.jwt": ("Signer",),
    "oauthkit.protocol.refusals": ("ErrorRule",),
    "oauthkit.protocol.rejection": ("Rejection",),
    "oauthkit.protocol.secret": ("secret",),
    "oauthkit.protocol.server": ("AuthorizationServer", "rename_fields"),
    "oauthkit.protocol.several_servers": ("servers_by_issuer",),
    "oauthkit.protocol.third_party_login": ("ThirdPartyLogin", "third_party_login"),
    "oauthkit.protocol.token": ("Token",),
    "oauthkit.protocol.token_exchange": ("TokenExchange",),
    "oauthkit.protocol.userinfo": ("UserInfo",),
    "oauthkit.renewal.policy": ("RenewalPolicy",),
    "oauthkit.renewal.status": ("SessionStatus",),
    "oauthkit.session": ("AsyncTokenSession",),
    "oauthkit.stores.base": ("Lease", "TokenStore"),
    "oauthkit.stores.logout_index": ("LogoutIndex", "MemoryLogoutIndex"),
    "oauthkit.stores.memory": ("MemoryStore",),
    "oauthkit.stores.redis": ("RedisStore",),
    "oauthkit.stores.redis_logins": ("RedisLogoutIndex", "RedisSingleUseStore"),
    "oauthkit.stores.sealed": ("SealedStore",),
    "oauthkit.stores.single_use": (
        "LeasedSingleUseStore",
        "MemorySingleUseStore",
        "SingleUseStore",
    ),
    "oauthkit.stores.sqlite": ("SQLiteStore",),
    "oauthkit.stores.sqlite_logins": ("SQLiteLogoutIndex", "SQLiteSingleUseStore"),
}
"""Where the public names are. Each is loaded when it is first asked for, so that `import oauthkit`
alone costs next to nothing; what imports names from it at its top pays for these and no others."""

_LATE: Final = {name: module for module, names in _NAMES.items() for name in names}
_ROOMS: Final = frozenset(
    {"errors", "events", "operations", "protocol", "renewal", "session", "stores"}
)
"""Modules that can be reached through the package itself. None may have a public name's name: an
import of the module would put it in the place of that name."""


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for (PEP 562)."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in _LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(import_module(_LATE[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names too that nobody has asked for yet."""
    return sorted({*globals(), *__all__})
