"""What the fake authorization server knows: its settings, its tokens, its codes."""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from oauthkit.exchange import Clock
from oauthkit.protocol.client_auth import ClientAuth, ClientSecretBasic, PublicClient
from oauthkit.protocol.grants import ClientCredentials, GrantStrategy
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.protocol.secret import Unprintable, secret
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.testing.clock import advance, clock_or_fake
from oauthkit.testing.ledger import Family, Ledger
from oauthkit.testing.records import APIRequest, TokenRequest

_OK: Final = 200


@attrs.define(eq=False)
class Code:
    """An authorization code; it has a family once it was exchanged."""

    scope: str
    redirect_uri: str
    challenge: str | None
    expires_at: float
    family: Family | None = None


@attrs.define(kw_only=True, eq=False)
class AuthorizationServerState:
    """Keep what an authorization server knows; see `FakeAuthorizationServer`."""

    expires_in: object = 60
    rotate: bool = True
    detect_reuse: bool = True
    grace: float = 0.0
    refresh_expires_in: float | None = None
    client_id: str = "client"
    client_secret: str | None = secret(default="secret")
    username: str = "ada"
    password: str = secret(default="lovelace")
    scope: str = "read"
    issuer: str = "https://auth.example"
    clock: Clock = attrs.field(
        default=None, converter=clock_or_fake, on_setattr=attrs.setters.frozen
    )
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], converter=Unprintable)

    token_requests: list[TokenRequest] = attrs.field(
        factory=list[TokenRequest], init=False, repr=False
    )
    api_requests: list[APIRequest] = attrs.field(factory=list[APIRequest], init=False, repr=False)
    ledger: Ledger = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(lambda self: Ledger(self.clock), takes_self=True),
    )
    codes: dict[str, Code] = attrs.field(factory=dict[str, Code], init=False, repr=False)

    @property
    def server(self) -> AuthorizationServer:
        """What a client has to know about this server."""
        return AuthorizationServer(
            f"{self.issuer}/token",
            issuer=self.issuer,
            authorization_endpoint=f"{self.issuer}/authorize",
            code_challenge_methods_supported=("S256",),
            authorization_response_iss_parameter_supported=True,
        )

    @property
    def client_auth(self) -> ClientAuth:
        """How the registered client authenticates: Basic, or not at all where it has no secret."""
        if self.client_secret is None:
            return PublicClient(self.client_id)
        return ClientSecretBasic(self.client_id, self.client_secret)

    @property
    def grant(self) -> GrantStrategy:
        """A grant that this server takes: client credentials."""
        return ClientCredentials()

    @property
    def families_alive(self) -> int:
        """How many logins have refresh tokens that are not revoked."""
        return sum(family.alive for family in self.ledger.families)

    @property
    def families_killed(self) -> int:
        """How many logins were revoked, by hand or because a spent refresh token was reused."""
        return len(self.ledger.families) - self.families_alive

    @property
    def presented_twice(self) -> int:
        """How many times a refresh token came that had been exchanged before."""
        return self.ledger.presented_twice

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ConfigurationError: The clock is not a `FakeClock`.
        """
        advance(self.clock, seconds)

    def issue(self, scope: str | None = None) -> Token:
        """Return a token with a refresh token, as after a login.

        Args:
            scope: What is granted; None is the server's `scope`.
        """
        fields = self.first(Family(scope or self.scope), refreshable=True)
        return parse_token_response(
            self.server, json_response(_OK, fields), requested_at=self.clock.time()
        )

    def revoke(self, token: Token | str) -> None:
        """Revoke a token: an access token alone, or a refresh token with all that came of it.

        Args:
            token: A `Token` is revoked wholly.

        Raises:
            ValueError: The text is no token of this server.
        """
        if isinstance(token, Token):
            revoked = self.ledger.revoke(token.refresh_token or token.access_token)
        else:
            revoked = self.ledger.revoke(token)
        if not revoked:
            message = "this is no token of this server, or an access token revoked before"
            raise ValueError(message)

    def revoke_access_tokens(self) -> None:
        """Revoke every access token issued so far; refresh tokens stay good."""
        self.ledger.revoke_access_tokens()

    def first(self, family: Family, *, refreshable: bool) -> dict[str, Any]:
        """Return the answer to a new grant.

        Args:
            family: What its tokens belong to.
            refreshable: Whether it gets a refresh token.
        """
        refresh_token = None
        if refreshable:
            refresh_token = self.ledger.refresh_token(family, life=self.refresh_life)
        return self.fields(family, refresh_token, scope=family.scope)

    def fields(self, family: Family, refresh_token: str | None, *, scope: str) -> dict[str, Any]:
        """Return an answer with a new access token."""
        fields = {
            "access_token": self.ledger.access_token(family, life=_seconds(self.expires_in)),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": refresh_token,
            "refresh_expires_in": None if refresh_token is None else self.refresh_expires_in,
            "scope": scope,
        }
        present = {name: value for name, value in fields.items() if value is not None}
        return Unprintable(present | dict(self.extra))

    @property
    def refresh_life(self) -> float:
        """How long a refresh token is good, in seconds."""
        return math.inf if self.refresh_expires_in is None else self.refresh_expires_in


def json_response(
    status_code: int, fields: Mapping[str, Any], headers: Mapping[str, str] = MappingProxyType({})
) -> HTTPResponse:
    """Return an answer with a JSON object."""
    return HTTPResponse(
        status_code,
        {"content-type": "application/json", **headers},
        json.dumps(fields).encode(),
    )


def _seconds(expires_in: object) -> float:
    """Return how long an access token lives, where servers of many kinds say so in many ways."""
    try:
        return float(expires_in)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.inf
