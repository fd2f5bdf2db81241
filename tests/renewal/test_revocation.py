"""The end of a login: dropped here first, revoked at the server, whatever is on its way."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    ClientAuth,
    ClientCredentials,
    ConfigurationError,
    ErrorResponse,
    Lease,
    LeaseTaken,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    RefreshToken,
    RenewalPolicy,
    ResponseError,
    StoreError,
    Token,
    TransportError,
)
from oauthkit.protocol.binding import Binding
from oauthkit.renewal.effects import (
    Delete,
    Done,
    Dropped,
    Ended,
    Failed,
    GiveBack,
    Leased,
    Look,
    LookAgain,
    Overtaken,
    Revoke,
    Stored,
    TakeLease,
    Unrevoked,
)
from oauthkit.renewal.revocation import Revocation
from oauthkit.renewal.script import Plan
from oauthkit.renewal.state import HeldToken, Moment, TokenState
from oauthkit.stores.sealed import SealedStore
from oauthkit.testing import FakeAuthorizationServer

from .world import STEADY, Elsewhere, ShakyStore, crowd, fail, shared_of, stored

MAY_LIVE_ON: Final = "it may live on at the server"
QUICK: Final = RenewalPolicy(jitter=0.0, timeout=0.1, save_timeout=0.1)


class Hanging(ShakyStore):
    """Be a store that can fail to delete, too."""

    async def delete(self, key: str, /) -> None:
        await self._called("delete")
        await super().delete(key)


def revoked(fake: FakeAuthorizationServer) -> list[Any]:
    """Return which tokens the server was asked to revoke."""
    return [request.parameters["token"] for request in fake.endpoint_requests["revoke"]]


@asynccontextmanager
async def logged_in(
    fake: FakeAuthorizationServer, store: MemoryStore | Elsewhere | None = None, **settings: Any
) -> AsyncGenerator[tuple[AsyncTokenSession[Any], Any]]:
    """Give a session over a store, in use by a login, and the store."""
    over = MemoryStore() if store is None else store
    await over.save("k", fake.issue())
    async with crowd(fake, over, **{"policy": STEADY, **settings}) as session:
        await session.get("/report")
        yield session, over


# What it does


async def test_a_login_that_is_revoked_is_over_here_and_there() -> None:
    """RV-07: with the refresh token the access token goes, from the store and from memory."""
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, store):
        await session.revoke()

        assert revoked(fake) == ["refresh-token-1"]
        assert fake.endpoint_requests["revoke"][0].parameters["token_type_hint"] == "refresh_token"
        assert await store.load("k") is None
        assert session.status().condition == "none"
        assert isinstance(await fail(session.get("/report")), ReauthorizationRequired)
    assert fake.families_alive == 0
    assert not fake.token_requests


async def test_an_access_token_without_another_is_revoked_itself() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.get("/report")
        await session.revoke()
        assert revoked(fake) == ["access-token-1"]
        assert fake.endpoint_requests["revoke"][0].parameters["token_type_hint"] == "access_token"

        await session.get("/report")
    assert [request.status_code for request in fake.api_requests] == [200, 200]
    assert len(fake.token_requests) == 2


async def test_to_revoke_again_asks_nobody() -> None:
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, _):
        await session.revoke()
        await session.revoke()

    assert len(revoked(fake)) == 1


async def test_a_key_of_a_session_is_revoked_alone() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await store.save("ada", fake.issue())
    async with logged_in(fake, store) as (session, _):
        await session.for_key("ada").revoke()

        assert await store.load("ada") is None
        assert (await session.get("/report")).status_code == 200


async def test_a_session_that_is_closed_revokes_nothing() -> None:
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, _):
        pass
    with pytest.raises(ConfigurationError, match="closed"):
        await session.revoke()


async def test_a_token_to_begin_with_is_revoked_before_its_first_use() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(grant=None, token=fake.issue()) as session:
        await session.revoke()

        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert revoked(fake) == ["refresh-token-1"]


async def test_a_grant_that_presents_the_token_does_not_bring_it_back() -> None:
    """Whatever the server said to it: here it was down."""
    fake = FakeAuthorizationServer(rotate=False)
    token = fake.issue()
    grant = RefreshToken(refresh_token=str(token.refresh_token))
    async with fake.session(grant=grant) as session:
        await session.token()
        fake.fail_next(503, endpoint="revoke")
        await fail(session.revoke())

        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_another_login_at_the_same_key_is_good() -> None:
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, store):
        await session.revoke()
        await store.save("k", fake.issue())

        assert (await session.get("/report")).status_code == 200


async def test_another_process_sees_it_as_it_sees_a_logout() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with logged_in(fake, store) as (_, _), crowd(fake, Elsewhere(store)) as other:
        await other.revoke()
        fake.advance(RenewalPolicy().recheck)
        async with crowd(fake, Elsewhere(store)) as third:
            assert isinstance(await fail(third.token()), ReauthorizationRequired)
            assert store is not None


# Where the server fails


async def gone(fake: FakeAuthorizationServer, session: Any, store: Any) -> OAuthKitError:
    """Return what comes of a revocation that fails, after which no token is here any more."""
    error = await fail(session.revoke())
    assert await store.load("k") is None
    assert session.status().condition == "none"
    assert shared_of(session).state.newest() is None
    assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert "the token was dropped here; it may live on at the server" in str(error)
    return error


async def test_a_server_that_is_busy_keeps_no_token_here() -> None:
    """RV-05: and the error says so after that."""
    fake = FakeAuthorizationServer()
    fake.fail_next(503, headers={"retry-after": "7"}, endpoint="revoke")
    async with logged_in(fake) as (session, store):
        error = await gone(fake, session, store)

    assert isinstance(error, ResponseError)
    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 7.0)
    assert "cannot answer now" in str(error)


async def test_a_server_that_does_not_answer_keeps_no_token_here() -> None:
    fake = FakeAuthorizationServer()
    fake.lose_next_answer(endpoint="revoke")
    async with logged_in(fake) as (session, store):
        assert isinstance(await gone(fake, session, store), TransportError)


async def test_a_refusal_keeps_its_advice_and_no_token() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(401, content=b'{"error": "invalid_client"}', endpoint="revoke")
    async with logged_in(fake) as (session, store):
        assert "look at the client id" in str(await gone(fake, session, store))


async def test_a_server_without_the_endpoint_keeps_no_token_here() -> None:
    fake = FakeAuthorizationServer()
    server = attrs.evolve(fake.server, revocation_endpoint=None)
    async with logged_in(fake, server=server) as (session, store):
        assert isinstance(await gone(fake, session, store), ConfigurationError)


@attrs.frozen
class Faulty(ClientAuth):
    """Be a way to be known that has a fault."""

    client_id: str = "client"

    async def authenticate(self, *_: Any, **__: Any) -> Any:
        message = "what is a key?"
        raise LookupError(message)


async def test_a_fault_in_somebodys_own_code_is_theirs_and_keeps_no_token() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with logged_in(fake, store, client_auth=Faulty()) as (session, _):
        with pytest.raises(LookupError) as caught:
            await session.revoke()

    assert await store.load("k") is None
    assert MAY_LIVE_ON in caught.value.__notes__[0]


async def test_a_server_that_revokes_no_refresh_tokens_revokes_the_access_token() -> None:
    """RV-06: and what lives on is said."""
    fake = FakeAuthorizationServer()
    fake.fail_next(400, content=b'{"error": "unsupported_token_type"}', endpoint="revoke")
    async with logged_in(fake) as (session, store):
        error = await gone(fake, session, store)

    assert isinstance(error, ErrorResponse)
    assert error.error == "unsupported_token_type"
    assert revoked(fake) == ["refresh-token-1", "access-token-2"]
    hints = [request.parameters["token_type_hint"] for request in fake.endpoint_requests["revoke"]]
    assert hints == ["refresh_token", "access_token"]


# What is on its way


async def test_what_a_renewal_on_its_way_gets_is_revoked() -> None:
    """In this process: it comes to its end first, and nothing of it stays."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with logged_in(fake, store) as (session, _):
        fake.advance(61)
        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.token)
                await held.arrived()
                tasks.start_soon(session.revoke)
                await anyio.wait_all_tasks_blocked()
                assert revoked(fake) == []
                held.release()

        assert await store.load("k") is None
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert revoked(fake) == ["refresh-token-3"]
    assert fake.families_alive == 0


async def test_what_a_renewal_of_another_process_gets_is_revoked() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, Elsewhere(store)) as other, crowd(fake, store) as session:
        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other.token)
                await held.arrived()
                tasks.start_soon(session.revoke)
                await anyio.sleep(0.02)
                assert revoked(fake) == []
                held.release()

        assert await store.load("k") is None
    assert len(fake.token_requests) == 1
    assert fake.families_alive == 0


async def test_a_token_that_the_store_has_not_taken_is_revoked() -> None:
    fake, store = FakeAuthorizationServer(), ShakyStore()
    await stored(fake, store)
    store.broken = {"save"}
    async with crowd(fake, store, policy=QUICK) as session:
        await fail(session.token())
        newest = shared_of(session).state.newest()
        await fail(session.revoke())

        assert newest is not None
        assert revoked(fake) == [str(newest.refresh_token)]
        assert not session.status().unsaved
        store.broken = set()
        assert isinstance(await fail(session.token()), ReauthorizationRequired)


async def test_who_wants_a_token_meanwhile_does_not_wait_for_the_server() -> None:
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, store):
        with fake.hold(endpoint="revoke") as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.revoke)
                await held.arrived()
                assert not session.status().renewing
                assert isinstance(await fail(session.token()), ReauthorizationRequired)
                await store.save("k", fake.issue())
                assert (await session.get("/report")).status_code == 200
                assert not session.status().renewing
                held.release()

        assert (await session.get("/report")).status_code == 200


async def test_a_renewal_that_begins_meanwhile_is_everybodys_after_it_too() -> None:
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, store):
        with fake.hold(endpoint="revoke") as revoking, fake.hold() as renewing:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.revoke)
                await revoking.arrived()
                await stored(fake, store)
                tasks.start_soon(session.token)
                await renewing.arrived()
                revoking.release()
                await anyio.wait_all_tasks_blocked()
                assert session.status().renewing
                tasks.start_soon(session.token)
                renewing.release()
    assert len(fake.token_requests) == 1


async def test_it_waits_for_no_turn_at_the_token_endpoint() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    policy = attrs.evolve(STEADY, concurrency=1)
    await stored(fake, store)
    async with crowd(fake, store, policy=policy) as session:
        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.token)
                await held.arrived()
                await store.save("ada", fake.issue())
                with anyio.fail_after(2):
                    await session.for_key("ada").revoke()
                held.release()
    assert len(revoked(fake)) == 1


async def test_a_renewal_without_a_lease_is_waited_for() -> None:
    """RV-07: with the store away there is nothing else that would keep the two apart."""
    fake, store = FakeAuthorizationServer(), Hanging()
    policy = attrs.evolve(STEADY, renew_without_lease=True)
    async with logged_in(fake, store, policy=policy) as (session, _):
        fake.advance(61)
        store.broken = {"lease", "load"}
        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.token)
                await held.arrived()
                tasks.start_soon(fail, session.revoke())
                await anyio.wait_all_tasks_blocked()
                assert revoked(fake) == []
                held.release()
    assert fake.families_alive == 0


async def test_a_renewal_that_goes_on_without_its_callers_is_not_waited_for() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    policy = attrs.evolve(STEADY, timeout=5.0, save_timeout=0.02)
    await stored(fake, store)
    store.broken = {"save"}
    async with crowd(fake, store, policy=policy) as session:
        await fail(session.token())
        with anyio.fail_after(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.revoke)
                while store.calls.count("lease") == 1:
                    await anyio.lowlevel.checkpoint()
                store.broken = set()
    assert fake.families_alive == 0


async def test_who_wants_a_token_while_it_is_dropped_waits_for_that_alone() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    errors: list[OAuthKitError] = []
    async with logged_in(fake, store) as (session, _):
        fake.advance(61)
        dropping, go_on = anyio.Event(), anyio.Event()

        async def wait() -> None:
            dropping.set()
            await go_on.wait()

        async def want(what: Any) -> None:
            errors.append(await fail(what()))

        store.before["delete"] = wait
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.revoke)
            await dropping.wait()
            tasks.start_soon(want, session.token)
            tasks.start_soon(want, session.renew)
            tasks.start_soon(session.revoke)
            await anyio.wait_all_tasks_blocked()
            go_on.set()

    assert [type(error) for error in errors] == [ReauthorizationRequired] * 2
    assert not fake.token_requests
    assert len(revoked(fake)) == 1


async def test_a_caller_that_is_cancelled_stops_nothing() -> None:
    fake = FakeAuthorizationServer()
    async with logged_in(fake) as (session, store):
        with fake.hold(endpoint="revoke") as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.revoke)
                await held.arrived()
                assert await store.load("k") is None
                held.release()
                tasks.cancel_scope.cancel()
        await session.settled()
    assert fake.families_alive == 0


async def test_a_lease_that_somebody_else_keeps_is_not_waited_for_for_ever() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    async with crowd(fake, store, policy=QUICK) as session:
        async with store.lease("k"):
            error = await fail(session.revoke())

        assert isinstance(error, StoreError)
        assert "whether another process had renewed it meanwhile could not be seen" in str(error)
        assert isinstance(error.__cause__, LeaseTaken)
        assert await store.load("k") is None
    assert fake.families_alive == 0


async def test_a_login_between_the_look_and_the_deletion_is_not_deleted_unseen() -> None:
    """RV-07: it is looked at and ended with the rest."""
    fake, store = FakeAuthorizationServer(), Hanging()
    async with logged_in(fake, store) as (session, _):

        async def log_in_again() -> None:
            del store.before["delete"]
            await MemoryStore.save(store, "k", fake.issue())

        store.before["delete"] = log_in_again
        await session.revoke()

        assert await store.load("k") is None
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert revoked(fake) == ["refresh-token-3", "refresh-token-1"]
    assert fake.families_alive == 0


async def test_a_token_that_changes_again_and_again_is_deleted_in_the_end_and_told_of() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    async with logged_in(fake, store) as (session, _):

        async def log_in_again() -> None:
            await MemoryStore.save(store, "k", fake.issue())

        store.before["delete"] = log_in_again
        error = await fail(session.revoke())

        assert "whether another process had renewed it meanwhile could not be seen" in str(error)
        assert "changed again and again" in str(error.__cause__)
        assert await store.load("k") is None


class Old(MemoryStore):
    """Be a store from before there was a deletion under a lease."""

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Any]:
        async with super().lease(key) as lease:
            yield OldLease(lease)


@attrs.define
class OldLease:
    lease: Any
    lost: int = 0

    @property
    def held(self) -> bool:
        return bool(self.lease.held)

    async def load(self) -> Token | None:
        token: Token | None = await self.lease.load()
        return token

    async def save(self, token: Token) -> None:
        await self.lease.save(token)


class OldLeaseByName(OldLease, Lease):
    """Have the method of the protocol, which does nothing."""


@pytest.mark.parametrize("kind", [OldLease, OldLeaseByName])
async def test_a_store_without_a_deletion_under_a_lease_is_asked_to_delete(
    monkeypatch: pytest.MonkeyPatch, kind: type[OldLease]
) -> None:
    """And what came before that is noticed, as far as `held` tells."""
    monkeypatch.setitem(globals(), "OldLease", kind)
    fake, store = FakeAuthorizationServer(), Old()
    async with logged_in(fake, store) as (session, _):
        look = kind.load

        async def look_and_log_in(lease: OldLease) -> Token | None:
            token = await look(lease)
            monkeypatch.setattr(kind, "load", look)
            await store.save("k", fake.issue())
            return token

        monkeypatch.setattr(kind, "load", look_and_log_in)
        await session.revoke()

        assert await store.load("k") is None
    assert revoked(fake) == ["refresh-token-3", "refresh-token-1"]


# Where the store fails


async def test_a_store_that_does_not_delete_is_told_after_the_server() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    store.broken = {"delete"}
    async with logged_in(fake, store) as (session, _):
        error = await fail(session.revoke())
        assert session.status().condition == "none"

    assert isinstance(error, StoreError)
    assert "the token was revoked, and the store did not delete it" in str(error)
    assert fake.families_alive == 0


async def test_where_both_fail_both_are_told() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    store.broken = {"delete"}
    fake.fail_next(503, endpoint="revoke")
    async with logged_in(fake, store) as (session, _):
        error = await fail(session.revoke())

    assert isinstance(error, ResponseError)
    assert "the store did not delete it (Hanging failed with OSError" in str(error)
    assert MAY_LIVE_ON in str(error)


async def test_a_store_that_is_away_does_not_keep_the_token_at_hand_alive() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    async with logged_in(fake, store) as (session, _):
        store.broken = {"lease", "load", "delete"}
        error = await fail(session.revoke())

        assert isinstance(error, StoreError)
        assert revoked(fake) == ["refresh-token-1"]


async def test_without_store_and_copy_there_is_nothing_to_revoke_and_nothing_is_deleted() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    await store.save("k", fake.issue())
    store.broken = {"lease.load"}
    async with crowd(fake, store) as session:
        error = await fail(session.revoke())

    assert (type(error), error.recovery) == (StoreError, Recovery.RETRY_LATER)
    assert await MemoryStore.load(store, "k") is not None
    assert revoked(fake) == []


async def test_a_token_that_cannot_be_read_is_dropped_and_told_of() -> None:
    """A logout is one also where the key of the store has changed: with it, the token came back."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await SealedStore(store, {"old": bytes(32)}).save("k", fake.issue())
    async with crowd(fake, SealedStore(store, {"new": bytes(range(32))})) as session:
        error = await fail(session.revoke())

        assert (type(error), error.recovery) == (StoreError, Recovery.CHANGE_REQUEST)
        assert "could not be read, and was dropped; it may live on at the server" in str(error)
        assert "not among the keys" in str(error)
        assert await store.load("k") is None
        await session.revoke()
    assert revoked(fake) == []


async def test_another_servers_token_is_left_where_it_is() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    others = attrs.evolve(fake.issue(), issuer="https://other.example")
    async with logged_in(fake, store) as (session, _):
        await store.save("k", others)
        with pytest.raises(ConfigurationError, match=r"under 'k'.*other\.example"):
            await session.revoke()

        assert session.status().condition == "none"
    assert await store.load("k") == others
    assert revoked(fake) == []


async def test_who_waits_for_one_that_comes_to_nothing_goes_on() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    errors: list[OAuthKitError] = []
    looking, go_on = anyio.Event(), anyio.Event()

    async def want(what: Any) -> None:
        errors.append(await fail(what()))

    async def wait() -> None:
        looking.set()
        await go_on.wait()

    async with logged_in(fake, store) as (session, _):
        await store.save("k", attrs.evolve(fake.issue(), issuer="https://other.example"))
        fake.advance(61)
        store.before["lease.load"] = wait
        with anyio.fail_after(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(want, session.revoke)
                await looking.wait()
                tasks.start_soon(want, session.token)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
    assert [type(error) for error in errors] == [ConfigurationError] * 2


async def test_an_event_loop_that_ends_first_is_no_success() -> None:
    fake, store = FakeAuthorizationServer(), Hanging()
    errors: list[OAuthKitError] = []

    async def revoke(session: Any) -> None:
        errors.append(await fail(session.revoke()))

    await stored(fake, store, expired=False)
    impatient = RenewalPolicy(jitter=0.0, timeout=0.3, save_timeout=0.02)
    async with crowd(fake, store, policy=impatient) as session:
        await session.token()
        store.before["lease"] = anyio.sleep_forever
        with fake.hold(endpoint="revoke"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(revoke, session)
                await anyio.wait_all_tasks_blocked()
                await session.aclose()

    assert "the event loop ended before the revocation" in str(errors[0])


# The script


NOW: Final = 1_700_000_000.0
AT: Final = Moment(monotonic=0.0, time=NOW, loop=0.0)
KEPT: Final = Token("a1", refresh_token="r1", issued_at=NOW, expires_at=NOW + 60)
NEXT: Final = Token("a2", refresh_token="r2", issued_at=NOW, expires_at=NOW + 60)
AWAY: Final = StoreError("away")
Line = Sequence[tuple[type[Any], Any]]
CHANGED: Final[Line] = [(TakeLease, Leased(held=False)), (GiveBack, Done())]
DROPPED: Final = (Dropped, Done())


def told(
    *line: tuple[type[Any], Any], state: TokenState | None = None, **plan: Any
) -> tuple[Ended | Exception, list[Any]]:
    """Tell a script what came of what it wanted, and return how it ended, and what it wanted."""
    settings: dict[str, Any] = {"grant": None, "policy": STEADY, "recheck": 5.0, **plan}
    script = Revocation(state or TokenState(), Plan(key="k", **settings), AT)
    part, effects = script.run(), list[Any]()
    wanted = next(part)
    for kind, outcome in line:
        assert isinstance(wanted, kind), f"{wanted} is wanted, and not {kind.__name__}"
        assert script.owes_store
        effects.append(wanted)
        try:
            wanted = part.send((outcome, AT))
        except StopIteration as end:
            return end.value, effects
        except OAuthKitError as error:
            return error, effects
    message = f"{wanted} is wanted, too"
    raise AssertionError(message)


def dropped(found: Token | None) -> Line:
    return [
        (TakeLease, Leased(held=True)),
        (LookAgain, Stored(found)),
        (Delete, Done()),
        (GiveBack, Done()),
        DROPPED,
    ]


def overtaken(found: Token | None) -> Line:
    """What is looked at, and is another one by the time that it is to be deleted."""
    return [*dropped(found)[:2], (Delete, Overtaken()), (GiveBack, Done())]


def test_it_is_deleted_before_the_server_is_asked() -> None:
    ended, effects = told(*dropped(KEPT), (Revoke, Done()))

    assert ended == Ended(None)
    assert effects[-1] == Revoke("r1", "refresh_token")
    assert "r1" not in repr(effects)


def test_where_there_is_nothing_nobody_is_asked() -> None:
    assert told(*dropped(None))[0] == Ended(None)


def test_what_another_one_has_just_renewed_is_looked_at_under_a_lease_of_its_own() -> None:
    assert told(*CHANGED, *dropped(NEXT), (Revoke, Done()))[0] == Ended(None)


def test_a_lease_that_is_never_had_is_not_waited_for_for_ever() -> None:
    line: Line = [(Look, Stored(NEXT)), (Delete, Done()), DROPPED, (Revoke, Done())]
    ended, effects = told(*[*CHANGED] * 5, *line)

    assert isinstance(ended, StoreError)
    why = "the stored token changed again and again while it was looked at"
    assert str(ended.__cause__) == why
    assert str(ended).endswith(why)
    assert ended.recovery is Recovery.RETRY_LATER
    assert len(effects) == 10 + 4


def test_the_first_failure_of_the_store_is_the_one_that_is_told() -> None:
    state = TokenState()
    state.adopt(KEPT, STEADY, AT, recheck=5.0)
    line: Line = [
        (TakeLease, Failed(LeaseTaken("taken"))),
        (Look, Failed(AWAY)),
        (Delete, Done()),
        DROPPED,
        (Revoke, Done()),
    ]
    ended, effects = told(*line, state=state)

    assert "taken" in str(ended)
    assert effects[-1] == Revoke("r1", "refresh_token")


def test_a_look_that_fails_under_the_lease_is_told_with_its_advice() -> None:
    state = TokenState()
    state.adopt(KEPT, STEADY, AT, recheck=5.0)
    away = StoreError("away", recovery=Recovery.CHANGE_REQUEST, retry_after=7.0)
    line: Line = [
        (TakeLease, Leased(held=True)),
        (LookAgain, Failed(away)),
        (Delete, Done()),
        (GiveBack, Done()),
        DROPPED,
        (Revoke, Done()),
    ]
    ended, _ = told(*line, state=state)

    assert isinstance(ended, StoreError)
    assert (ended.recovery, ended.retry_after) == (Recovery.CHANGE_REQUEST, 7.0)
    assert ended.__cause__ is away


def test_what_was_overtaken_is_looked_at_anew_and_all_that_was_seen_is_revoked() -> None:
    line: Line = [*overtaken(KEPT), *overtaken(KEPT), *dropped(NEXT)]
    ended, effects = told(*line, (Revoke, Done()), (Revoke, Done()))

    assert ended == Ended(None)
    assert effects[-2:] == [Revoke("r2", "refresh_token"), Revoke("r1", "refresh_token")]
    assert [effect.leased for effect in effects if isinstance(effect, Delete)] == [True] * 3


def test_every_token_is_revoked_and_the_first_failure_is_the_one_that_is_told() -> None:
    state, grant = TokenState(), RefreshToken(refresh_token="r1")
    first, second = TransportError("the first"), TransportError("the second")
    line: Line = [(Revoke, Unrevoked(first)), (Revoke, Unrevoked(second))]
    ended, _ = told(*overtaken(KEPT), *dropped(NEXT), *line, state=state, grant=grant)

    assert ended is first
    assert state.is_spent("r1")


def test_what_failed_to_be_seen_and_was_overtaken_is_seen_the_second_time() -> None:
    state = TokenState()
    state.adopt(KEPT, STEADY, AT, recheck=5.0)
    line: Line = [(TakeLease, Leased(held=True)), (LookAgain, Failed(AWAY)), *overtaken(KEPT)[2:]]
    ended, _ = told(*line, *dropped(KEPT), (Revoke, Done()), state=state)

    assert ended == Ended(None)


def test_without_a_lease_in_the_end_what_is_there_is_deleted_and_that_is_told() -> None:
    line: Line = [(Look, Stored(NEXT)), (Delete, Done()), DROPPED]
    again_and_again = [*overtaken(KEPT)] * 5
    ended, effects = told(*again_and_again, *line, (Revoke, Done()), (Revoke, Done()))

    assert isinstance(ended, StoreError)
    assert "changed again and again" in str(ended)
    assert [effect.leased for effect in effects if isinstance(effect, Delete)][-2:] == [True, False]


def test_a_lease_under_which_nothing_is_dropped_is_given_back() -> None:
    away = [(TakeLease, Leased(held=True)), (LookAgain, Failed(AWAY)), (GiveBack, Done())]

    ended, effects = told(*away)
    assert ended is AWAY
    assert len(effects) == 3


@pytest.mark.parametrize(
    "deleted, words",
    [(Done(), "and was dropped"), (Failed(AWAY), r"and was not deleted either \(away\)")],
)
def test_what_cannot_be_read_is_deleted_under_the_lease_and_told_of(
    deleted: Done | Failed, words: str
) -> None:
    garbled = StoreError("garbled", recovery=Recovery.CHANGE_REQUEST)
    line: Line = [
        (TakeLease, Leased(held=True)),
        (LookAgain, Failed(garbled)),
        (Delete, deleted),
        (GiveBack, Done()),
        DROPPED,
    ]
    ended, effects = told(*line)

    assert isinstance(ended, StoreError)
    assert (ended.__cause__, ended.recovery) == (garbled, Recovery.CHANGE_REQUEST)
    assert re.search(rf"{words}; it may live on at the server: garbled", str(ended))
    assert effects[2] == Delete(leased=True)


def test_a_login_in_the_place_of_what_could_not_be_read_is_looked_at_and_revoked() -> None:
    garbled = StoreError("garbled", recovery=Recovery.CHANGE_REQUEST)
    line: Line = [
        (TakeLease, Leased(held=True)),
        (LookAgain, Failed(garbled)),
        (Delete, Overtaken()),
        (GiveBack, Done()),
    ]
    ended, effects = told(*line, *dropped(NEXT), (Revoke, Done()))

    assert ended == Ended(None)
    assert effects[-1] == Revoke("r2", "refresh_token")


def test_a_store_that_was_set_back_does_not_hide_the_newest_token() -> None:
    state = TokenState()
    state.adopt(NEXT, STEADY, AT, recheck=5.0)
    state.spend("r1")

    assert told(*dropped(KEPT), (Revoke, Done()), state=state)[1][-1] == Revoke(
        "r2", "refresh_token"
    )


def test_what_the_store_has_not_taken_is_the_newest_token() -> None:
    state = TokenState()
    held = HeldToken.of(NEXT, STEADY, AT, recheck=5.0, fetched=True)
    state.answered(held, follows=KEPT, event=None)  # type: ignore[arg-type]
    effects = told(*dropped(KEPT), (Revoke, Done()), state=state)[1]

    assert effects[-1] == Revoke("r2", "refresh_token")
    assert state.unsaved is None
    assert state.held is None


def test_a_token_to_begin_with_of_another_server_is_sent_to_none() -> None:
    binding = Binding(issuer="https://auth.example")
    others = attrs.evolve(KEPT, issuer="https://other.example")

    assert told(*dropped(None), initial=others, binding=binding)[0] == Ended(None)


def test_a_right_of_another_kind_stays_as_it_was() -> None:
    state = TokenState()
    told(*dropped(KEPT), (Revoke, Done()), state=state, grant=ClientCredentials())

    assert not state.is_spent("r1")


def test_a_right_that_was_not_revoked_stays_as_it_was() -> None:
    state, grant = TokenState(), RefreshToken(refresh_token="r9")
    told(*dropped(None), state=state, grant=grant)
    told(*dropped(KEPT), (Revoke, Done()), state=state, grant=grant)

    assert not state.is_spent("r9")


def test_a_refusal_of_another_kind_is_told_and_the_server_is_asked_once() -> None:
    """RV-06."""
    refusal = ErrorResponse("invalid_request", status_code=400)
    ended, effects = told(*dropped(KEPT), (Revoke, Unrevoked(refusal)))

    assert ended is refusal
    assert refusal.hint == f"the token was dropped here; {MAY_LIVE_ON}"
    assert effects[-1] == Revoke("r1", "refresh_token")


def test_an_error_with_a_text_of_its_own_says_what_became_of_the_token() -> None:
    cut = TransportError("cut")
    ended, _ = told(*dropped(KEPT), (Revoke, Unrevoked(cut)))

    assert str(ended) == f"cut; the token was dropped here; {MAY_LIVE_ON}"


async def test_it_is_revoked_over_a_socket() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    async with (
        fake.serve(),
        httpx.AsyncClient() as http,
        logged_in(fake, store, http=http, base_url=fake.issuer) as (session, _),
    ):
        await session.revoke()

    assert fake.families_alive == 0
