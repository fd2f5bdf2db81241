"""Who may log in at a server of the kit, for what, and for how long."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from oauthkit.clock import Clock
from oauthkit.kinds import Checked
from oauthkit.protocol.secret import Unprintable, secret
from oauthkit.testing.clock import advance, clock_or_own
from oauthkit.testing.ledger import Family
from oauthkit.testing.token_request import Asked

BY_CERTIFICATE: Final = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
"""Methods by which a client is known by its certificate (RFC 8705 §2)."""


@attrs.define(kw_only=True, eq=False)
class Settings(Checked):
    """Who may log in, for what, and for how long; see `FakeAuthorizationServer`."""

    expires_in: Any
    refresh_expires_in: float | None
    rotate: bool = True
    detect_reuse: bool = True
    grace: float = 0.0
    client_id: str = "client"
    client_secret: str | None = secret(default="secret")
    username: str = "ada"
    password: str = secret(default="lovelace")
    scope: str = "read"
    allowed_scope: str | None = None
    auth_method: str | None = None
    client_jwks: Mapping[str, Any] | None = None
    token_type: str | None = "Bearer"
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], converter=Unprintable)
    clock: Clock = attrs.field(
        default=None, converter=clock_or_own, on_setattr=attrs.setters.frozen
    )

    def advance(self, seconds: float) -> None:
        """Let time pass on this server's clock.

        A session of the application's own has a clock of its own, which does not move; give it
        this one: `AsyncTokenSession(…, clock=fake.clock)`.

        Raises:
            ConfigurationError: The clock is not a `FakeClock`.
        """
        advance(self.clock, seconds)

    @property
    def confidential(self) -> bool:
        """Whether the client has something to prove who it is."""
        proofs = (self.client_secret, self.client_jwks)
        return proofs != (None, None) or self.auth_method in BY_CERTIFICATE

    def fault_of_assertion(self, parameters: Mapping[str, object]) -> str | None:
        """Return what is wrong with a client's assertion: as a rule, that there is one."""
        return "no client_assertion is taken here"

    def said_of(self, family: Family, access_token: str) -> Mapping[str, Any]:
        """Return what an answer says beside the tokens: nothing, as a rule."""
        return {}

    def is_registered(self, asked: Asked) -> bool:
        """Tell whether a client that was registered here proves who it is."""
        return False

    def allows(self, scope: str) -> bool:
        """Tell whether all of a scope may be granted."""
        return self.allowed_scope is None or is_within(scope, self.allowed_scope)


def is_within(scope: str, wider: str) -> bool:
    """Tell whether all of a scope is in a wider one."""
    return set(scope.split()) <= set(wider.split())
