"""What the fake authorization server knows: its settings, its tokens, what came to it."""

from collections.abc import Mapping, Sequence
from secrets import token_urlsafe
from typing import Any, Final

import attrs

from oauthkit.protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    PublicClient,
    SelfSignedTLSClientAuth,
    TLSClientAuth,
)
from oauthkit.protocol.grants import ClientCredentials, GrantStrategy
from oauthkit.protocol.id_token import LOGOUT_EVENT
from oauthkit.protocol.messages import HTTPRequest
from oauthkit.protocol.secret import secret
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.token import Token
from oauthkit.protocol.token_endpoint import parse_token_response
from oauthkit.testing.client_assertions import ClientAssertions
from oauthkit.testing.device_codes import DEVICE_CODE, DeviceCodes
from oauthkit.testing.dialects import RFC_6749
from oauthkit.testing.further_grants import FURTHER_GRANTS
from oauthkit.testing.granting import Desk, FurtherGrant
from oauthkit.testing.id_tokens import LIFE, Draft, Edit, SigningKeys, drafted, left_half
from oauthkit.testing.ledger import Family, Ledger
from oauthkit.testing.records import APIRequest, EndpointRequests, TokenRequest
from oauthkit.testing.settings import Settings
from oauthkit.testing.token_request import Asked, Dialect

_TLS: Final[Mapping[str | None, type[TLSClientAuth]]] = {
    "tls_client_auth": TLSClientAuth,
    "self_signed_tls_client_auth": SelfSignedTLSClientAuth,
}


def _names(people: Sequence[str]) -> tuple[str, ...]:
    """Return who there is; a text alone is one name, and not its letters."""
    return (people,) if isinstance(people, str) else tuple(people)


@attrs.define(kw_only=True, eq=False)
class AuthorizationServerState(Settings):
    """Keep what an authorization server knows; see `FakeAuthorizationServer`."""

    expires_in: object = 60
    refresh_expires_in: float | None = None
    issuer: str = "https://auth.example"
    metadata: Mapping[str, object] = attrs.field(factory=dict[str, object])
    authenticated_at: float | None = None
    people: Sequence[str] = attrs.field(default=(), converter=_names)
    dialect: Dialect = attrs.field(default=RFC_6749, on_setattr=attrs.setters.frozen)
    claims: Mapping[str, object] = attrs.field(factory=dict[str, object])
    keys: SigningKeys = attrs.field(factory=SigningKeys)
    edit_id_token: Edit | None = None
    device_expires_in: float = 600.0
    device_interval: float | None = 5.0
    initial_access_token: str | None = secret(default=None)

    authenticated: str | None = attrs.field(default=None, init=False, repr=False)
    token_requests: list[TokenRequest] = attrs.field(
        factory=list[TokenRequest], init=False, repr=False
    )
    metadata_requests: list[float] = attrs.field(factory=list[float], init=False, repr=False)
    endpoint_requests: EndpointRequests = attrs.field(
        factory=EndpointRequests, init=False, repr=False
    )
    api_requests: list[APIRequest] = attrs.field(factory=list[APIRequest], init=False, repr=False)
    _assertions: ClientAssertions = attrs.field(factory=ClientAssertions, init=False, repr=False)
    registered: dict[str, dict[str, Any]] = attrs.field(
        factory=dict[str, dict[str, Any]], init=False, repr=False
    )
    device_codes: DeviceCodes = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(lambda self: DeviceCodes(self.clock), takes_self=True),
    )
    desk: Desk = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(lambda self: self._new_desk(), takes_self=True),
    )

    def _new_desk(self) -> Desk:
        device = FurtherGrant(self.device_codes.issue)
        further = {**FURTHER_GRANTS, DEVICE_CODE: device}
        return Desk(self, self.dialect, further, lambda: self.names)

    def is_registered(self, asked: Asked) -> bool:
        """Tell whether a client that was registered here proves who it is, by its secret."""
        body = asked.parameters.get("client_id"), asked.parameters.get("client_secret")
        came = [body] if asked.credentials is None else [*asked.credentials]
        return any(
            (client["client_id"], client.get("client_secret")) in came
            for client in self.registered.values()
        )

    def approve_device(self, user_code: str) -> None:
        """Let the resource owner agree to a login on a device.

        Raises:
            ValueError: None with this user code waits for that.
        """
        self.device_codes.decide(user_code, agreed=True)

    def deny_device(self, user_code: str) -> None:
        """Let the resource owner refuse a login on a device.

        Raises:
            ValueError: None with this user code waits for that.
        """
        self.device_codes.decide(user_code, agreed=False)

    @property
    def ledger(self) -> Ledger:
        """Which tokens were issued, and which of them are still good."""
        return self.desk.ledger

    @property
    def names(self) -> frozenset[str]:
        """What an assertion may call this server (RFC 7523 §3)."""
        return frozenset({self.issuer, self.server.token_endpoint})

    @property
    def server(self) -> AuthorizationServer:
        """What a client has to know about this server."""
        return AuthorizationServer(
            f"{self.issuer}/token",
            issuer=self.issuer,
            authorization_endpoint=f"{self.issuer}/authorize",
            jwks_uri=f"{self.issuer}/jwks",
            id_token_signing_alg_values_supported=(self.keys.algorithm,),
            revocation_endpoint=f"{self.issuer}/revoke",
            introspection_endpoint=f"{self.issuer}/introspect",
            device_authorization_endpoint=f"{self.issuer}/device",
            userinfo_endpoint=f"{self.issuer}/userinfo",
            end_session_endpoint=f"{self.issuer}/logout",
            registration_endpoint=f"{self.issuer}/register",
            code_challenge_methods_supported=("S256",),
            authorization_response_iss_parameter_supported=True,
        )

    @property
    def auth_methods(self) -> tuple[str, ...]:
        """The ways in which the client may be known, as the metadata lists them."""
        if self.auth_method is not None:
            return (self.auth_method,)
        shared = ("client_secret_basic", "client_secret_post")
        by_secret = ("none",) if self.client_secret is None else shared
        return by_secret if self.client_jwks is None else ("private_key_jwt", *by_secret)

    def fault_of_assertion(self, parameters: Mapping[str, object]) -> str | None:
        """Return what is wrong with a client's assertion; None where nothing is."""
        by_key, by_secret = (
            self.auth_method in {None, way} for way in ("private_key_jwt", "client_secret_jwt")
        )
        return self._assertions.fault(
            parameters,
            client_id=self.client_id,
            client_secret=self.client_secret if by_secret else None,
            jwks=self.client_jwks if by_key else None,
            issuer=self.issuer,
            now=self.clock.time(),
        )

    def said_of(self, family: Family, access_token: str) -> Mapping[str, object]:
        """Return the ID Token that belongs to a token, where a person has logged in for it."""
        if "openid" not in family.scope.split() or not family.asked:
            return {}
        draft = self.draft(family.asked, access_token, began=family.began, username=family.username)
        edited = None if self.edit_id_token is None else self.edit_id_token(draft)
        return {"id_token": edited or draft.signed()}

    def draft(
        self,
        asked: Mapping[str, str],
        access_token: str | None = None,
        *,
        began: float,
        username: str | None = None,
    ) -> Draft:
        """Return an ID Token before it is signed.

        Args:
            asked: The parameters of the authorization request.
            access_token: What it comes with.
            began: When the person authenticated, in seconds since the epoch.
            username: Who that is; None is the one resource owner.
        """
        now = self.clock.time()
        wanted = asked.get("acr_values", "").split()
        algorithm = self.keys.algorithm
        claims = {
            "iss": self.issuer,
            "sub": username or self.username,
            "aud": self.client_id,
            "iat": int(now),
            "exp": int(now + LIFE),
            "auth_time": int(began),
            "nonce": asked.get("nonce"),
            "acr": wanted[0] if wanted else None,
            "at_hash": access_token and left_half(access_token, algorithm),
            **self.claims,
        }
        return drafted(self.keys, claims, secret=self.client_secret)

    def signed(self, claims: Mapping[str, object], *, kind: str | None = None) -> str:
        """Return claims signed with the key of now, as an answer of an endpoint (RFC 7519).

        Args:
            claims: What is said.
            kind: The `typ` of the header, where it has one.
        """
        return drafted(self.keys, claims, secret=self.client_secret, kind=kind).signed()

    def logout_token(self, subject: str | None = None, session_id: str | None = None) -> str:
        """Return what is sent to a client when somebody has logged out (Back-Channel Logout §2.4).

        Args:
            subject: Who; None leaves it out.
            session_id: Which session alone; None leaves it out.
        """
        return self.logout_draft(subject, session_id).signed()

    def logout_draft(self, subject: str | None = None, session_id: str | None = None) -> Draft:
        """Return a Logout Token before it is signed, to make one that is wrong."""
        now = self.clock.time()
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": int(now),
            "exp": int(now + LIFE),
            "jti": token_urlsafe(16),
            "sub": subject,
            "sid": session_id,
            "events": {LOGOUT_EVENT: dict[str, object]()},
        }
        return drafted(self.keys, claims, secret=self.client_secret, kind="logout+jwt")

    @property
    def client_auth(self) -> ClientAuth:
        """How the registered client authenticates: Basic, or not at all where it has no secret.

        By a certificate where `auth_method` says so. A key of `client_jwks` is the client's own.
        """
        if self.auth_method in _TLS:
            return _TLS[self.auth_method](self.client_id)
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

    def issue(self, scope: str | None = None) -> Token:
        """Return a token with a refresh token, as after a login.

        Args:
            scope: What is granted; None is the server's `scope`.
        """
        response = RFC_6749.write(
            self.desk.issue(scope or self.scope), HTTPRequest("POST", f"{self.issuer}/token")
        )
        return parse_token_response(self.server, response, requested_at=self.clock.time())

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
