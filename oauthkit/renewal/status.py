"""How it stands with a session's token, for people and dashboards; no secret is in it."""

import math

import attrs

from oauthkit.renewal.state import Condition, Moment, TokenState


@attrs.frozen(kw_only=True)
class SessionStatus:
    """How it stands with a session's token; `AsyncTokenSession.status` makes it.

    All moments are seconds since the epoch.

    Attributes:
        key: The store key; None where the session was given none.
        condition: "none", "fresh", "unchecked", "due", "expired" or "rejected"; see `Condition`.
        fresh_until: When the token will be renewed; None where there is none, or for ever.
        expires_at: When it expires; None where there is none, or that is not known.
        renewing: Whether a renewal is on its way, in this event loop.
        failures: How many tries failed in a row.
        failure: What the last of them failed with.
        next_try_at: Before then nothing is tried; None where there is no pause.
        unsaved: Whether the store has not taken the newest token yet.
    """

    key: str | None
    condition: Condition
    fresh_until: float | None = None
    expires_at: float | None = None
    renewing: bool = False
    failures: int = 0
    failure: Exception | None = None
    next_try_at: float | None = None
    unsaved: bool = False

    def __str__(self) -> str:
        """Say it in a few words."""
        words = [self.condition.value]
        if self.renewing:
            words.append("renewing")
        if self.failures:
            words.append(f"failed {self.failures} times in a row ({type(self.failure).__name__})")
        if self.unsaved:
            words.append("not saved yet")
        return ", ".join(words)


def status_of(state: TokenState, at: Moment, *, key: str | None, renewing: bool) -> SessionStatus:
    """Return how it stands.

    Args:
        state: What the process knows.
        at: Now.
        key: The store key.
        renewing: Whether a renewal is on its way.
    """
    held, since_boot = state.held, at.time - at.monotonic

    def on_the_wall(moment: float) -> float | None:
        return moment + since_boot if math.isfinite(moment) else None

    paused = at.monotonic < state.resume_at
    return SessionStatus(
        key=key,
        condition=state.condition(at.monotonic),
        fresh_until=None if held is None else on_the_wall(held.stale_at),
        expires_at=None if held is None else on_the_wall(held.expires_at),
        renewing=renewing,
        failures=state.failures,
        failure=state.failure,
        next_try_at=on_the_wall(state.resume_at) if paused else None,
        unsaved=state.unsaved is not None,
    )
