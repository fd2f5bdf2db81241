"""A session that begins with an authorization code, which is good once."""

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from oauthkit import (
    Authentication,
    ClientSecretBasic,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    ResponseError,
    TransportError,
    fetch_token,
)
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import code_of, crowd, fail


async def test_sessions_and_fetch_token_share_the_list_of_used_codes() -> None:
    """RFC 6749 §4.1.2: a server revokes all that it gave for a code that comes twice."""
    fake = FakeAuthorizationServer()
    one, other = code_of(fake), code_of(fake)
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        await fetch_token(http, fake.server, fake.client_auth, one, clock=fake.clock)
        async with fake.session(grant=one) as session:
            error = await fail(session.token())
            assert isinstance(error, ReauthorizationRequired)
            assert "nothing was sent" in str(error)
        async with fake.session(grant=other) as session:
            await session.token()
        error = await fail(fetch_token(http, fake.server, fake.client_auth, other))
    assert isinstance(error, ReauthorizationRequired)
    assert len(fake.token_requests) == 2


async def test_a_code_is_good_where_a_fault_kept_its_request_from_being_built() -> None:
    class Signing(ClientSecretBasic):
        keys = 0

        async def authenticate(self, *args: Any, **options: Any) -> Authentication:
            assert Signing.keys, "no key"
            return await super().authenticate(*args, **options)

    fake = FakeAuthorizationServer()
    signing = Signing(fake.client_id, str(fake.client_secret))
    async with crowd(fake, MemoryStore(), grant=code_of(fake), client_auth=signing) as session:
        with pytest.raises(AssertionError, match="no key"):
            await session.token()
        assert fake.token_requests == []
        Signing.keys = 1
        await session.token()
    assert len(fake.token_requests) == 1


async def test_sessions_with_stores_of_their_own_send_one_code_once() -> None:
    fake, ends = FakeAuthorizationServer(), list[str]()
    code = code_of(fake)

    async def begin() -> None:
        async with crowd(fake, MemoryStore(), grant=code) as session:
            try:
                ends.append((await session.token()).access_token)
            except ReauthorizationRequired:
                ends.append("refused")

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(begin)
    assert sorted(ends)[1:] == ["refused"] * 9
    assert len(fake.token_requests) == 1


def fails_with(status: int) -> Callable[[FakeAuthorizationServer], Any]:
    return lambda fake: fake.fail_next(status, headers={"retry-after": "1"}, times=9)


def lose_answers(fake: FakeAuthorizationServer) -> None:
    fake.lose_next_answer(9)


@pytest.mark.parametrize(
    "fault, kind",
    [
        (fails_with(500), ResponseError),
        (fails_with(503), ResponseError),
        (lose_answers, TransportError),
    ],
    ids=["500", "503", "lost"],
)
async def test_a_code_that_may_be_spent_asks_for_a_new_login_and_no_later_try(
    fault: Callable[[FakeAuthorizationServer], Any], kind: type[OAuthKitError]
) -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    fault(fake)
    async with fake.session(grant=code) as session:
        error = await fail(session.token())
        assert isinstance(error, kind)
        assert (error.recovery, error.retry_after) == (Recovery.REAUTHORIZE, None)
        fake.advance(600)
        again = await fail(session.token())
    assert isinstance(again, ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_a_code_whose_connection_was_refused_by_a_class_of_the_transports_own_is_good() -> (
    None
):
    class TunnelError(httpx.ConnectError):
        """A transport's own."""

    fake, down = FakeAuthorizationServer(), True

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if down:
                message = "no way"
                raise TunnelError(message)
            return await real.handle_async_request(request)

    real = fake.transport()
    async with (
        httpx.AsyncClient(transport=Transport()) as http,
        fake.session(http=http, grant=code_of(fake)) as session,
    ):
        error = await fail(session.token())
        assert isinstance(error, TransportError)
        assert (error.sent, error.recovery) == (False, Recovery.RETRY_LATER)
        down = False
        fake.advance(2)
        assert (await session.token()).refresh_token


async def test_a_code_is_still_good_where_the_lease_was_lost_before_it_was_sent() -> None:
    fake = FakeAuthorizationServer()
    store = MemoryStore(lease_seconds=20, clock=fake.clock.monotonic)
    code, stood = code_of(fake), False

    class Transport(httpx.AsyncBaseTransport):
        """Is stopped, the first time, for as long as a lease lives, before a byte is sent."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal stood
            if not stood:
                stood = True
                fake.advance(21)
            await request.extensions["trace"]("http11.send_request_headers.started", {})
            return await real.handle_async_request(request)

    real = fake.transport()
    policy = RenewalPolicy(timeout=5, jitter=0)
    async with (
        httpx.AsyncClient(transport=Transport()) as http,
        crowd(fake, store, grant=code, http=http, policy=policy) as session,
    ):
        assert (await session.token()).refresh_token
    assert len(fake.token_requests) == 1
