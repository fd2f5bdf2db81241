"""OAuth 2.0 for asynchronous Python: install it, read it, and stop worrying about tokens.

Three nouns describe every token: who issues it (`AuthorizationServer`), who asks (`ClientAuth`), by
what right (`GrantStrategy`). An `AsyncTokenSession` is those three, an HTTP client and a place to
keep the token.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from oauthkit.errors import (
    AccessDenied,
    CallbackError,
    ConfigurationError,
    EndpointError,
    ErrorResponse,
    InvalidClient,
    InvalidGrant,
    LeaseLost,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    StoreError,
    TransportError,
)
from oauthkit.operations import fetch_token
from oauthkit.policy import RenewalPolicy
from oauthkit.protocol.authorization import AuthorizationRequest
from oauthkit.protocol.challenge import Challenge, parse_challenges
from oauthkit.protocol.client_auth import (
    Authentication,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
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
from oauthkit.protocol.secret import secret
from oauthkit.protocol.server import AuthorizationServer, rename_fields
from oauthkit.protocol.token import Token
from oauthkit.session import AsyncTokenSession
from oauthkit.stores.base import Lease, TokenStore
from oauthkit.stores.memory import MemoryStore
from oauthkit.version import __version__

if TYPE_CHECKING:
    from oauthkit.stores.redis import RedisStore
    from oauthkit.stores.sealed import SealedStore
    from oauthkit.stores.sqlite import SQLiteStore

__all__ = [
    "FORM",
    "JSON",
    "MULTIPART",
    "XML",
    "AccessDenied",
    "AsyncTokenSession",
    "Authentication",
    "AuthorizationCode",
    "AuthorizationRequest",
    "AuthorizationServer",
    "CallbackError",
    "Challenge",
    "ClientAuth",
    "ClientCredentials",
    "ClientSecretBasic",
    "ClientSecretPost",
    "ConfigurationError",
    "EndpointError",
    "ErrorResponse",
    "FormRequest",
    "GrantStrategy",
    "InvalidClient",
    "InvalidGrant",
    "JSONRequest",
    "Lease",
    "LeaseLost",
    "MemoryStore",
    "MultipartRequest",
    "OAuthKitError",
    "PublicClient",
    "ReauthorizationRequired",
    "Recovery",
    "RedisStore",
    "RefreshToken",
    "RenewalPolicy",
    "Repeat",
    "RequestFormat",
    "ResourceOwnerPassword",
    "ResponseError",
    "SQLiteStore",
    "SealedStore",
    "StoreError",
    "Token",
    "TokenStore",
    "TransportError",
    "XMLRequest",
    "__version__",
    "fetch_token",
    "parse_challenges",
    "rename_fields",
    "secret",
]

_LATE: Final = {
    "RedisStore": "oauthkit.stores.redis",
    "SQLiteStore": "oauthkit.stores.sqlite",
    "SealedStore": "oauthkit.stores.sealed",
}


def __getattr__(name: str) -> Any:
    """Load a store that not everybody needs, when it is asked for."""
    if name not in _LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_LATE[name]), name)
