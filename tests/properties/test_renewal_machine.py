"""Renewals as a state machine: whatever happens in whatever order, no family is lost."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oauthkit import (
    AsyncTokenSession,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    RenewalPolicy,
    Token,
    TokenStore,
)
from oauthkit.protocol.messages import HTTPRequest
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import Elsewhere

LIFE = 100
KEY = "ada"


class Renewals(RuleBasedStateMachine):
    """Two processes over one store, a server that rotates and detects reuse, and bad luck."""

    backend = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self._portal_of = start_blocking_portal(self.backend)
        self.portal = self._portal_of.__enter__()
        self.fake = FakeAuthorizationServer(expires_in=LIFE)
        self.lost_answers = 0
        self.logged_in = False
        self.failing = 0

    def teardown(self) -> None:
        try:
            self._check_the_end()
        finally:
            self.portal.call(self._close)
            self._portal_of.__exit__(None, None, None)

    @initialize(shared=st.booleans())
    def open(self, *, shared: bool) -> None:
        self.portal.call(self._open, shared)

    async def _open(self, shared: bool) -> None:  # noqa: FBT001 - a portal passes by position
        self.store = MemoryStore(clock=self.fake.clock.monotonic)
        self.http = httpx.AsyncClient(transport=self.fake.transport())
        # where it is not shared, the second one knows nothing of the first one's process
        others: Any = self.store if shared else Elsewhere(self.store)
        self.sessions = [self._session(self.store), self._session(others)]

    def _session(self, store: TokenStore) -> AsyncTokenSession[httpx.Response]:
        return AsyncTokenSession(
            self.http,
            server=self.fake.server,
            client_auth=self.fake.client_auth,
            base_url="https://api.example",
            store=store,
            key=KEY,
            clock=self.fake.clock,
            policy=RenewalPolicy(recheck=5.0),
        )

    async def _close(self) -> None:
        for session in self.sessions:
            await session.aclose()
        await self.http.aclose()

    # What may happen

    @rule(seconds=st.sampled_from([0.5, 4, 6, 30, LIFE - 31, LIFE - 1, LIFE + 1, 1000]))
    def advance(self, seconds: float) -> None:
        self.fake.advance(seconds)

    @rule(seconds=st.sampled_from([-3600, -10, 10]))
    def set_the_wall_clock(self, seconds: float) -> None:
        """AT-79: a server's clock is its own, so it must not move with this machine's."""
        self.fake.clock.jump(0.0 if self.logged_in else seconds)  # type: ignore[attr-defined]

    @rule()
    def log_in(self) -> None:
        self.portal.call(self.store.save, KEY, self.fake.issue())
        self.logged_in = True

    @rule()
    def log_out(self) -> None:
        self.portal.call(self.store.delete, KEY)
        self.logged_in = False

    @rule()
    def revoke_access_tokens(self) -> None:
        self.fake.revoke_access_tokens()

    @rule(times=st.integers(1, 3))
    def fail(self, times: int) -> None:
        self.fake.fail_next(503, times=times)
        self.failing += times

    @precondition(lambda self: self.lost_answers == 0)
    @rule()
    def lose_an_answer(self) -> None:
        self.fake.lose_next_answer()
        self.lost_answers += 1

    @rule(who=st.integers(0, 1), calls=st.integers(1, 4))
    def call(self, who: int, calls: int) -> None:
        self._check(self.portal.call(self._calls, [who] * calls))

    @rule()
    def call_side_by_side(self) -> None:
        self._check(self.portal.call(self._calls, [0, 1, 0, 1]))

    @rule(who=st.integers(0, 1))
    def renew(self, who: int) -> None:
        self.portal.call(self._attempt, self.sessions[who].renew)

    @rule(who=st.integers(0, 1), patience=st.integers(0, 12))
    def call_and_cancel(self, who: int, patience: int) -> None:
        self.portal.call(self._cancelled, who, patience)

    async def _calls(self, who: list[int]) -> list[object]:
        outcomes: list[object] = []

        async def one(session: AsyncTokenSession[httpx.Response]) -> None:
            outcomes.append(await self._attempt(lambda: session.get("/report")))

        async with anyio.create_task_group() as tasks:
            for index in who:
                tasks.start_soon(one, self.sessions[index])
        await self._settle()
        return outcomes

    async def _attempt(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> object:
        before = await self._at_hand()
        with anyio.fail_after(20):
            try:
                result = await call()
            except OAuthKitError as error:
                return before, error
        return before, getattr(result, "status_code", 200)

    async def _cancelled(self, who: int, patience: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._attempt, lambda: self.sessions[who].get("/report"))
            for _ in range(patience):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await self._settle()

    async def _settle(self) -> None:
        for session in self.sessions:
            await session.settled()

    async def _at_hand(self) -> Token | None:
        """Return the stored token, if an API would take it now."""
        token = await self.store.load(KEY)
        if token is None:
            return None
        headers = {"authorization": f"Bearer {token.access_token}"}
        probe = HTTPRequest("GET", "https://api.example/probe", headers)
        return token if (await self.fake.respond(probe)).status_code == 200 else None

    # What must hold

    def _check(self, outcomes: list[Any]) -> None:
        for before, outcome in outcomes:
            if before is not None:
                assert not isinstance(outcome, OAuthKitError), "failed with a valid token at hand"
            if self.logged_in and isinstance(outcome, ReauthorizationRequired):
                assert self.lost_answers, "logged out although nothing was lost"

    @invariant()
    def no_refresh_token_is_spent_twice_unless_an_answer_was_lost(self) -> None:
        assert self.fake.presented_twice <= self.lost_answers

    @invariant()
    def no_family_is_lost_unless_an_answer_was_lost(self) -> None:
        assert self.fake.families_killed <= self.lost_answers

    def _check_the_end(self) -> None:
        """The stored refresh token is good: once the server answers again, calls succeed."""
        if not self.logged_in or self.lost_answers:
            return
        outcomes: list[Any] = []
        for _ in range(self.failing + 1):
            self.fake.advance(LIFE + 61)
            outcomes = self.portal.call(self._calls, [0])
            if outcomes[0][1] == 200:
                return
        raise AssertionError(outcomes)


class RenewalsOnTrio(Renewals):
    backend = "trio"


LIMITS = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_renewals_on_asyncio() -> None:
    """BC-15, AT-75, AT-78: in any order of events."""
    run_state_machine_as_test(Renewals, settings=LIMITS)


def test_renewals_on_trio() -> None:
    """BC-15, AT-75, AT-78: in any order of events."""
    run_state_machine_as_test(RenewalsOnTrio, settings=LIMITS)
