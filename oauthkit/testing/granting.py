"""What the documented systems have in common behind their token endpoints."""

from collections.abc import Mapping
from typing import Final

import attrs

from oauthkit.exchange import Clock
from oauthkit.protocol.secret import secret
from oauthkit.testing.checks import Check
from oauthkit.testing.clock import advance, clock_or_fake
from oauthkit.testing.ledger import Family, Ledger, SpentError
from oauthkit.testing.reading import code_challenge

_CODE_LIFE: Final = 60.0


@attrs.define(kw_only=True, eq=False)
class Settings:
    """Who may log in, and for how long."""

    expires_in: int = 3600
    refresh_expires_in: int = 86_400
    client_id: str = "client"
    client_secret: str = secret(default="secret")
    username: str = "ada"
    password: str = secret(default="lovelace")
    scope: str = "read"
    clock: Clock = attrs.field(
        default=None, converter=clock_or_fake, on_setattr=attrs.setters.frozen
    )

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ConfigurationError: The clock is not a `FakeClock`.
        """
        advance(self.clock, seconds)


@attrs.frozen
class Issued:
    """Tokens, before a system writes them down in its own way."""

    access_token: str
    refresh_token: str | None
    scope: str
    at: int


@attrs.frozen
class Refusal:
    """Why there are none, in the words of RFC 6749 §5.2."""

    error: str
    description: str

    @property
    def of_client(self) -> bool:
        """Whether the client is not known, rather than its right no good."""
        return self.error == "invalid_client"


@attrs.define(eq=False)
class _Code:
    redirect_uri: str
    challenge: str | None
    family: Family
    expires_at: float
    spent: bool = False


class _RefusedError(Exception):
    def __init__(self, description: str, *, error: str = "invalid_grant") -> None:
        super().__init__(description)
        self.refusal = Refusal(error, description)


@attrs.define(eq=False)
class Desk:
    """Grant tokens for one system."""

    settings: Settings
    ledger: Ledger = attrs.field(init=False)
    _codes: dict[str, _Code] = attrs.field(factory=dict[str, _Code], init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Open the ledger."""
        self.ledger = Ledger(self.settings.clock)

    def issue_code(self, redirect_uri: str, challenge: str | None, scope: str) -> str:
        """Return an authorization code."""
        code = f"code-{len(self._codes) + 1}"
        expires_at = self.settings.clock.time() + _CODE_LIFE
        self._codes[code] = _Code(redirect_uri, challenge, Family(scope), expires_at)
        return code

    def serve(
        self,
        check: Check,
        parameters: Mapping[str, object],
        credentials: tuple[str, str] | None = None,
        *,
        proof: bool = False,
    ) -> Issued | Refusal:
        """Grant tokens, or say why not.

        Args:
            check: What was found out about the request; with violations it is refused.
            parameters: What came in the body.
            credentials: What came in the header.
            proof: Whether the client must prove who it is. For client credentials it always must;
                whoever tries is held to it.
        """
        if check.violations:
            return Refusal("invalid_request", "; ".join(check.violations))
        try:
            self._authenticate(parameters, credentials, proof=proof)
            return self._issue(parameters)
        except _RefusedError as error:
            return error.refusal
        except SpentError:
            return Refusal("invalid_grant", "the refresh token is not good any more")

    def _authenticate(
        self,
        parameters: Mapping[str, object],
        credentials: tuple[str, str] | None,
        *,
        proof: bool,
    ) -> None:
        known = self.settings.client_id, self.settings.client_secret
        came = credentials or (parameters.get("client_id"), parameters.get("client_secret"))
        needed = proof or parameters.get("grant_type") == "client_credentials"
        public = not needed and came in {(None, None), (known[0], None)}
        if came != known and not public:
            message = "client authentication failed"
            raise _RefusedError(message, error="invalid_client")

    def _issue(self, parameters: Mapping[str, object]) -> Issued:
        asked = str(parameters.get("scope") or self.settings.scope)
        match parameters.get("grant_type"):
            case "client_credentials":
                return self._issued(Family(asked), None)
            case "authorization_code":
                return self._first(self._exchanged(parameters))
            case "refresh_token":
                return self._refreshed(parameters)
            case "password":
                self._check_password(parameters)
                return self._first(Family(asked))
            case _:
                message = "this grant_type is not supported"
                raise _RefusedError(message, error="unsupported_grant_type")

    def _exchanged(self, parameters: Mapping[str, object]) -> Family:
        code = self._codes.get(str(parameters.get("code")))
        if code is None or code.spent or self.settings.clock.time() >= code.expires_at:
            if code is not None:
                code.family.alive = False  # RFC 6749 §4.1.2
            message = "the code is unknown, expired or spent"
            raise _RefusedError(message)
        if parameters.get("redirect_uri") != code.redirect_uri:
            message = "the redirect_uri is not that of the login"
            raise _RefusedError(message)
        verifier = code_challenge(parameters.get("code_verifier"))
        proofs = {verifier, parameters.get("code_challenge")} - {None}
        if proofs != {code.challenge} - {None}:
            message = "the code_verifier does not fit the code_challenge"
            raise _RefusedError(message)
        code.spent = True
        return code.family

    def _refreshed(self, parameters: Mapping[str, object]) -> Issued:
        presented = str(parameters.get("refresh_token"))
        granted = self.ledger.family_of(presented)
        scope = str(parameters.get("scope") or "") or None
        if granted and scope and not set(scope.split()) <= set(granted.scope.split()):
            message = "a refresh cannot widen the scope"
            raise _RefusedError(message, error="invalid_scope")
        family, successor = self.ledger.exchange(
            presented,
            rotate=True,
            grace=0.0,
            detect_reuse=True,
            life=self.settings.refresh_expires_in,
        )
        return self._issued(family, successor, scope=scope)

    def _check_password(self, parameters: Mapping[str, object]) -> None:
        came = parameters.get("username"), parameters.get("password")
        windows = parameters.get("WindowsAuthentication") is True and came == (None, None)
        if came != (self.settings.username, self.settings.password) and not windows:
            message = "the username or the password is wrong"
            raise _RefusedError(message)

    def _first(self, family: Family) -> Issued:
        life = self.settings.refresh_expires_in
        return self._issued(family, self.ledger.refresh_token(family, life=life))

    def _issued(
        self, family: Family, refresh_token: str | None, *, scope: str | None = None
    ) -> Issued:
        access_token = self.ledger.access_token(family, life=self.settings.expires_in)
        at = int(self.settings.clock.time())
        return Issued(access_token, refresh_token, scope or family.scope, at)
