"""The logins on devices that a fake server knows (RFC 8628)."""

from typing import Final

import attrs

from oauthkit.clock import Clock
from oauthkit.testing.granting import Desk
from oauthkit.testing.token_request import Asked, Issued, RefusedError

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"


@attrs.define(eq=False)
class PendingDevice:
    """A login on a device, as the server sees it.

    Attributes:
        user_code: What the resource owner enters.
        scope: What is asked for.
        interval: Seconds between two requests, at least.
        expires_at: When it ends, in seconds since the epoch.
        decision: Whether the resource owner agreed; None before that.
        spent: Whether a token was given for it.
        asked_at: When the token was asked for the last time.
        username: Who has decided, where that was somebody in particular.
    """

    user_code: str
    scope: str
    interval: float
    expires_at: float
    decision: bool | None = None
    spent: bool = False
    asked_at: float | None = None
    username: str | None = None

    def waits(self) -> bool:
        """Tell whether the resource owner has not decided yet."""
        return self.decision is None


@attrs.define(eq=False)
class DeviceCodes:
    """Keep the logins on devices, and give tokens for those that were agreed to."""

    clock: Clock
    _pending: dict[str, PendingDevice] = attrs.field(factory=dict[str, PendingDevice], repr=False)

    def begin(self, scope: str, *, interval: float, life: float) -> tuple[str, PendingDevice]:
        """Return the device code of a new login, and the login."""
        number = len(self._pending) + 1
        expires_at = self.clock.time() + life
        login = PendingDevice(f"USER-{number:04}", scope, interval, expires_at)
        self._pending[f"device-code-{number}"] = login
        return f"device-code-{number}", login

    def decide(self, user_code: str, *, agreed: bool, username: str | None = None) -> None:
        """Let the resource owner agree to a login, or refuse it.

        Raises:
            ValueError: There is none with this user code that waits for that.
        """
        for login in self._pending.values():
            waits = login.waits() and self.clock.time() < login.expires_at
            if login.user_code == user_code and waits:
                login.decision, login.username = agreed, username
                return
        message = f"no login with the user code {user_code!r} waits for the resource owner"
        raise ValueError(message)

    def issue(self, desk: Desk, asked: Asked) -> Issued:
        """Return tokens for a login that was agreed to.

        Raises:
            RefusedError: It was not, or not yet, or is over.
        """
        login = self._pending.get(asked.text("device_code"))
        error = "invalid_grant" if login is None or login.spent else self._refusal(login)
        if login is None or error is not None:
            message = f"no token is given for this device code: {error}"
            raise RefusedError(message, error=str(error))
        login.spent = True
        return desk.issue(login.scope, asked={"scope": login.scope}, username=login.username)

    def _refusal(self, login: PendingDevice) -> str | None:
        """Return the error of RFC 8628 §3.5 that is due; None where a token is."""
        now = self.clock.time()
        before, login.asked_at = login.asked_at, now
        if now >= login.expires_at:
            return "expired_token"
        if before is not None and before < now < before + login.interval:  # not where time stands
            return "slow_down"
        if login.waits():
            return "authorization_pending"
        return "access_denied" if login.decision is False else None
