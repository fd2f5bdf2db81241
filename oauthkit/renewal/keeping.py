"""Renew ahead whatever the traffic, so that no call waits and no refresh token dies idle."""

from typing import Final

import anyio
import anyio.lowlevel
import attrs

from oauthkit.errors import OAuthKitError, Recovery
from oauthkit.renewal.script import Wish
from oauthkit.renewal.shared import SharedToken, SharedTokens
from oauthkit.renewal.source import TokenSource
from oauthkit.renewal.state import HeldToken
from oauthkit.renewal.watch import Guard

_NAP: Final = 1.0
_AT_ONCE: Final = 50
"""Keys that are looked at before other tasks have their turn."""
_IDLE: Final = 0.9
"""Of the life of an idle refresh token: after so much of it the token is used."""


@attrs.define(eq=False)
class Keeping:
    """See to it that tokens are renewed before anybody asks for them.

    Attributes:
        own: The source of the session's own key, which is kept whatever the traffic.
        shared: All keys at hand, of which those in use by sessions derived from this one are kept,
            each as its own session would; None where only the own one is.
    """

    own: TokenSource
    shared: SharedTokens | None

    async def work(self, guard: Guard) -> None:
        """Keep the tokens until the work is to end."""
        guard.idle.set()  # nobody need wait for it
        while not guard.ending.is_set():
            self._tend(self.own)
            if self.shared is not None:
                await self._tend_all(self.shared)
            with anyio.move_on_after(_NAP):
                await guard.ending.wait()

    async def _tend_all(self, shared: SharedTokens) -> None:
        """Tend every key of this family that is due, and was used since it was renewed."""
        for number, (_, token) in enumerate(shared.items()):
            if number % _AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            if token.family is not self.own.completion:
                continue  # another server's, maybe, and none of this session's business
            if not self._is_due(token):
                token.see_next_use()
                continue
            performer = attrs.evolve(self.own.performer, plan=token.plan)
            source = TokenSource(performer, token, self.own.completion)
            if self._may_begin(source) and token.take_need():
                self._begin(source)

    def _tend(self, source: TokenSource) -> None:
        """Begin a renewal where one is due."""
        if self._may_begin(source) and self._is_due(source.shared):
            self._begin(source)

    def _may_begin(self, source: TokenSource) -> bool:
        now = source.clock.monotonic()
        return not source.shared.renewing and now >= self._not_before(source)

    def _begin(self, source: TokenSource) -> None:
        held = source.state.held
        if held is not None and self._is_idle(held):
            source.begin(Wish(unwanted=held.token.access_token))
        else:
            source.begin(Wish(beside=True))

    def _is_due(self, token: SharedToken) -> bool:
        held, now = token.state.held, self.own.clock.monotonic()
        if held is None or token.state.is_rejected(held.token):
            return True
        return now >= held.stale_at or self._is_idle(held)

    def _is_idle(self, held: HeldToken) -> bool:
        """Tell whether a refresh token was not used for so long that it should be."""
        life, token = self.own.plan.policy.idle_life, held.token
        if life is None or token.refresh_token is None or token.issued_at is None:
            return False
        return self.own.clock.time() >= token.issued_at + life * _IDLE

    def _not_before(self, source: TokenSource) -> float:
        """Return before when nothing is begun: what failed for good is not tried every second."""
        state = source.state
        failure, resume_at = state.failure, state.resume_at
        if state.held is not None and state.is_rejected(state.held.token):
            resume_at = max(resume_at, state.held.futile_until)
        if isinstance(failure, OAuthKitError) and failure.recovery is not Recovery.RETRY_LATER:
            return max(resume_at, state.failed_at + source.plan.policy.longest_pause)
        return resume_at
