"""A server that fails, is busy or does not answer."""

import anyio
import anyio.lowlevel
import httpx
import pytest

from oauthkit import (
    ClientSecretBasic,
    InvalidClient,
    InvalidGrant,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    ResponseError,
    TransportError,
)
from oauthkit.events import (
    RenewalFailed,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import JSON_TYPE, STEADY, Heard, code_of, crowd, fail, stored


def refused(fake: FakeAuthorizationServer) -> httpx.AsyncClient:
    """Return a client whose connections to the token endpoint are refused, and count."""

    async def handle(request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        fake.token_requests.append(None)  # type: ignore[arg-type]
        raise httpx.ConnectError(str(request.url))

    return httpx.AsyncClient(transport=httpx.MockTransport(handle))


async def test_a_crowd_at_a_token_endpoint_that_answers_500_asks_a_few_times_alone() -> None:
    """AT-75: not once per waiter."""
    fake, errors = FakeAuthorizationServer(), list[OAuthKitError]()
    fake.fail_next(500, times=100)

    async def use() -> None:
        errors.append(await fail(session.get("/report")))

    async with fake.session() as session:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(use)
            for _ in range(10):
                await use()
    assert len(errors) == 60
    assert {error.recovery for error in errors} == {Recovery.RETRY_LATER}
    assert len(fake.token_requests) <= 3
    assert errors[-1].retry_after is not None


async def test_a_crowd_at_a_token_endpoint_that_refuses_connections_tries_a_few_times_alone() -> (
    None
):
    fake, errors = FakeAuthorizationServer(), list[OAuthKitError]()

    async def use() -> None:
        errors.append(await fail(session.get("/report")))

    async with refused(fake) as http, fake.session(http=http) as session:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(use)
            await use()
    assert len(errors) == 51
    assert all(isinstance(error, TransportError) and not error.sent for error in errors)
    assert len(fake.token_requests) <= 3


async def test_each_waiter_gets_an_error_of_its_own() -> None:
    """A shared one would collect everybody's traceback."""
    fake, errors = FakeAuthorizationServer(), list[OAuthKitError]()
    fake.fail_next(500)

    async def use() -> None:
        errors.append(await fail(session.token()))

    async with fake.session() as session, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(use)
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors}) == 1


async def test_a_failing_renewal_ahead_is_tried_after_growing_pauses_while_the_token_serves() -> (
    None
):
    fake, heard = FakeAuthorizationServer(expires_in=1000), Heard()
    policy = RenewalPolicy(leeway=100, jitter=0)
    async with fake.session(policy=policy, on_event=heard.append) as session:
        first = await session.token()
        fake.advance(901)
        fake.fail_next(500, times=100)
        for _ in range(900):
            assert await session.token() == first
            await session.settled()
            fake.advance(0.1)
    failures = heard.of(RenewalFailed)
    assert [event.pause for event in failures] == [1, 2, 4, 8, 16, 32, pytest.approx(36, abs=2)]
    assert all(event.usable for event in failures)


async def test_a_pause_ends_with_the_token() -> None:
    """What came before the expiry is no reason not to ask at the expiry."""
    fake = FakeAuthorizationServer(expires_in=100)
    async with fake.session(policy=STEADY) as session:
        first = await session.token()
        fake.advance(70)
        fake.fail_next(500, times=5)
        for _ in range(299):
            await session.token()
            await session.settled()
            fake.advance(0.1)
        fake.advance(0.2)
        assert await session.token() != first


async def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    """AT-82: with a cap."""
    fake, heard = FakeAuthorizationServer(), Heard()
    fake.fail_next(503, headers={"retry-after": "40"})
    async with fake.session(on_event=heard.append) as session:
        error = await fail(session.token())
        assert (error.retry_after, heard.of(RenewalFailed)[0].pause) == (40, 40)
        fake.advance(39)
        assert (await fail(session.token())).retry_after == pytest.approx(1)
        fake.advance(1)
        await session.token()
        fake.fail_next(503, headers={"retry-after": "86400"})
        fake.advance(61)
        await fail(session.token())
        assert heard.of(RenewalFailed)[-1].pause == 60
    assert len(fake.token_requests) == 3


async def test_after_a_success_pauses_begin_anew() -> None:
    fake, heard = FakeAuthorizationServer(), Heard()
    async with fake.session(on_event=heard.append) as session:
        for _ in range(2):
            fake.fail_next(500, times=2)
            for _ in range(2):
                await fail(session.token())
            fake.advance(1)
            await session.token()
            fake.advance(61)
    assert [event.pause for event in heard.of(RenewalFailed)] == [0, 1, 0, 1]


async def test_invalid_client_is_one_request() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(client_auth=ClientSecretBasic("client", "wrong")) as session:
        for _ in range(10):
            assert isinstance(await fail(session.token()), InvalidClient)
    assert len(fake.token_requests) == 1


async def test_a_lost_answer_is_asked_for_once_more_with_the_same_refresh_token() -> None:
    """A server with a grace window answers it."""
    fake, store = FakeAuthorizationServer(grace=10), MemoryStore()
    await stored(fake, store)
    fake.lose_next_answer()
    async with crowd(fake, store) as session:
        assert (await session.get("/")).status_code == 200
    assert (len(fake.token_requests), fake.families_killed) == (2, 0)


async def test_an_answer_that_stays_lost_keeps_the_stored_token() -> None:
    """py-identity-model sends the refresh token four times."""
    fake, store = FakeAuthorizationServer(grace=1000), MemoryStore()
    token = await stored(fake, store)
    fake.lose_next_answer(times=2)
    async with crowd(fake, store) as session:
        error = await fail(session.get("/"))
        assert isinstance(error, TransportError)
        assert await store.load("k") == token
        assert len(fake.token_requests) == 2
        fake.advance(2)
        assert (await session.get("/")).status_code == 200


async def test_a_lost_answer_to_client_credentials_is_asked_for_again() -> None:
    """AT-81: nothing is spent by it."""
    fake = FakeAuthorizationServer()
    fake.lose_next_answer(times=2)
    async with fake.session() as session:
        await session.token()
    assert len(fake.token_requests) == 3


async def test_a_code_is_exchanged_once_and_its_refresh_token_goes_on() -> None:
    """O2-18."""
    fake = FakeAuthorizationServer()
    async with fake.session(grant=code_of(fake)) as session:
        for _ in range(3):
            assert (await session.get("/")).status_code == 200
            fake.advance(61)
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["authorization_code", "refresh_token", "refresh_token"]


@pytest.mark.parametrize("fault", ["lost", "500", "invalid_grant"])
async def test_a_code_whose_exchange_failed_is_never_sent_again(fault: str) -> None:
    """O2-18, AT-81: refused locally."""
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    if fault == "lost":
        fake.lose_next_answer()
    elif fault == "500":
        fake.fail_next(500)
    else:
        fake.advance(61)
    async with fake.session(grant=code) as session:
        first = await fail(session.token())
        fake.advance(61)
        second = await fail(session.token())
    assert isinstance(
        first, {"lost": TransportError, "500": ResponseError}.get(fault, InvalidGrant)
    )
    assert isinstance(second, ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_a_code_that_was_never_sent_is_still_good() -> None:
    """O2-18: for the session that could not send it, too, and for all who share its key."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    code = code_of(fake)
    async with (
        refused(fake) as http,
        fake.session(http=http, grant=code, store=store, key="k") as cut,
        fake.session(grant=code, store=store, key="k") as session,
    ):
        error = await fail(cut.token())
        tries = len(fake.token_requests)
        fake.advance(10)  # the pause after a failure
        assert (await session.get("/")).status_code == 200
    assert isinstance(error, TransportError)
    assert (error.sent, error.recovery) == (False, Recovery.RETRY_LATER)
    assert [request.parameters["code"] for request in fake.token_requests[tries:]] == [code.code]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_error_member_of_an_answer_that_is_none_is_not_believed(status: int) -> None:
    """A proxy's page must cost nobody the refresh token."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    token = await stored(fake, store)
    fake.fail_next(status, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
    async with crowd(fake, store) as session:
        error = await fail(session.get("/"))
        assert error.recovery is Recovery.RETRY_LATER
        assert await store.load("k") == token
        assert (await session.get("/")).status_code == 200


async def test_an_error_with_status_200_is_an_error() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await stored(fake, store)
    fake.fail_next(200, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
    async with crowd(fake, store) as session:
        assert isinstance(await fail(session.get("/")), ReauthorizationRequired)
