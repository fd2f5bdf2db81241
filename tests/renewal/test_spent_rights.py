"""Rights that are used up or refused."""

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    ClientCredentials,
    ConfigurationError,
    ErrorResponse,
    GrantStrategy,
    InvalidGrant,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    RefreshToken,
    RenewalPolicy,
    Repeat,
    ResourceOwnerPassword,
)
from oauthkit.exchange import Ready
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer
from tests.renewal.world import JSON_TYPE, PASSWORD, STEADY, crowd, fail, stored


async def test_invalid_grant_is_one_request_and_everybody_learns_at_once() -> None:
    """O2-39: no retry loop, and the stored credentials are marked dead."""
    fake, store, errors = FakeAuthorizationServer(), MemoryStore(), list[OAuthKitError]()
    token = await stored(fake, store)
    fake.revoke(token)

    async def use() -> None:
        errors.append(await fail(session.get("/report")))

    async with crowd(fake, store) as session:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(use)
        for _ in range(3):
            await use()
    assert {type(error) for error in errors} == {ReauthorizationRequired}
    assert {error.recovery for error in errors} == {Recovery.REAUTHORIZE}
    assert len(fake.token_requests) == 1
    dead = await store.load("k")
    assert dead is not None
    assert dead.refresh_token is None


async def test_a_valid_token_serves_to_its_end_although_its_refresh_token_is_dead() -> None:
    fake, store = FakeAuthorizationServer(expires_in=100), MemoryStore()
    token = await stored(fake, store, expired=False)
    async with crowd(fake, store, policy=STEADY) as session:
        fake.fail_next(400, headers=JSON_TYPE, content=b'{"error":"invalid_grant"}')
        for _ in range(99):
            assert (await session.token()).access_token == token.access_token
            await session.settled()
            fake.advance(1)
        fake.advance(2)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_after_a_new_login_under_the_key_the_session_goes_on() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    fake.revoke(await stored(fake, store))
    async with crowd(fake, store) as session:
        await fail(session.token())
        await store.save("k", fake.issue())
        assert (await session.get("/")).status_code == 200


async def test_a_password_starts_anew_when_the_refresh_token_is_dead() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(grant=PASSWORD) as session:
        token = await session.token()
        fake.advance(61)
        fake.revoke(token)
        assert (await session.get("/")).status_code == 200
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["password", "refresh_token", "password"]


async def test_all_rights_of_one_renewal_share_one_end() -> None:
    """So that a lease which lives longer than the policy's timeout outlives the renewal."""
    fake, ends = FakeAuthorizationServer(), list[float]()
    async with fake.session(grant=PASSWORD, policy=RenewalPolicy(timeout=5)) as session:
        fake.revoke(await session.token())
        fake.advance(61)
        exchange = session._source.performer.exchange
        send = exchange.send

        async def watched(
            request: HTTPRequest,
            /,
            *,
            timeout: float,  # noqa: ASYNC109 - the seam's own
            ready: Ready | None,
        ) -> HTTPResponse:
            ends.append(anyio.current_time() + timeout)
            await anyio.sleep(0.05)
            return await send(request, timeout=timeout, ready=ready)

        exchange.send = watched
        await session.token()
    assert len(ends) == 2
    assert ends[1] == pytest.approx(ends[0], abs=0.02)


async def test_a_wrong_password_is_not_tried_again_and_again() -> None:
    """It may lock the account."""
    fake = FakeAuthorizationServer()
    grant = ResourceOwnerPassword(username="ada", password="wrong")
    async with fake.session(grant=grant) as session:
        for _ in range(10):
            assert isinstance(await fail(session.token()), InvalidGrant)
    assert len(fake.token_requests) == 1


async def test_client_credentials_are_repeated_and_a_refresh_token_is_not_relied_on() -> None:
    """O2-25."""
    fake = FakeAuthorizationServer(extra={"refresh_token": "no"})
    async with fake.session() as session:
        await session.token()
        fake.advance(61)
        await session.token()
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["client_credentials"] * 2


async def test_a_refresh_token_known_to_be_dead_is_not_tried() -> None:
    fake = FakeAuthorizationServer(refresh_expires_in=100)
    async with fake.session(grant=PASSWORD) as session:
        await session.token()
        fake.advance(101)
        await session.token()
    types = [request.parameters["grant_type"] for request in fake.token_requests]
    assert types == ["password", "password"]


@pytest.mark.parametrize("rotate", [True, False])
async def test_a_refresh_token_from_a_first_login_goes_on_for_ever(*, rotate: bool) -> None:
    """O2-35: also at servers that do not rotate, whose answers have no refresh token."""
    fake = FakeAuthorizationServer(rotate=rotate)
    grant = RefreshToken(refresh_token=str(fake.issue().refresh_token))
    async with fake.session(grant=grant) as session:
        for _ in range(4):
            assert (await session.get("/")).status_code == 200
            fake.advance(61)
    assert len(fake.token_requests) == 4
    assert fake.presented_twice == 0


async def test_a_refresh_token_from_a_first_login_is_not_presented_again_when_its_line_ends() -> (
    None
):
    fake = FakeAuthorizationServer()
    grant = RefreshToken(refresh_token=str(fake.issue().refresh_token))
    async with fake.session(grant=grant) as session:
        token = await session.token()
        fake.advance(61)
        fake.revoke(token)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 2
    assert fake.presented_twice == 0


@attrs.frozen(kw_only=True)
class OneTime(GrantStrategy):
    """A right of the user's own that is used up by an answer."""

    grant_type = "client_credentials"
    repeat = Repeat.ONCE

    def parameters(self) -> dict[str, str]:
        return {}


async def test_a_right_of_ones_own_that_is_used_up_is_not_used_again() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(grant=OneTime()) as session:
        await session.token()
        fake.advance(61)
        assert isinstance(await fail(session.token()), ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_an_error_response_of_another_kind_is_raised() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(400, headers=JSON_TYPE, content=b'{"error":"invalid_scope"}', times=9)
    async with fake.session() as session:
        error = await fail(session.token())
    assert isinstance(error, ErrorResponse)
    assert error.error == "invalid_scope"


async def test_a_fault_in_a_grant_of_ones_own_is_raised_as_it_is() -> None:
    class Broken(ClientCredentials):
        def parameters(self) -> dict[str, Any]:
            raise ZeroDivisionError

    fake = FakeAuthorizationServer()
    async with fake.session(grant=Broken()) as session:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await session.token()


async def test_a_setting_that_does_not_fit_is_no_request_and_no_pause() -> None:
    from oauthkit import PublicClient

    fake = FakeAuthorizationServer()
    async with fake.session(client_auth=PublicClient("client")) as session:
        for _ in range(3):
            error = await fail(session.token())
            assert isinstance(error, ConfigurationError)
            assert error.retry_after is None
    assert fake.token_requests == []


async def test_nothing_to_begin_with_says_what_to_do() -> None:
    fake = FakeAuthorizationServer()
    async with crowd(fake, MemoryStore()) as session:
        with pytest.raises(ReauthorizationRequired, match="save the new token under this key"):
            await session.token()
    assert fake.token_requests == []


@attrs.frozen(kw_only=True)
class Assertion(GrantStrategy):
    """A grant of a user's own, which does not say that its assertion is a secret."""

    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion: str

    def parameters(self) -> dict[str, str]:
        return {"assertion": self.assertion}


async def test_a_new_right_of_a_grant_without_secrets_is_not_mistaken_for_the_spent_one() -> None:
    store, asked = MemoryStore(), list[str]()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(parse_qs(request.content.decode())["assertion"][0])
        fields = {"access_token": "t", "token_type": "Bearer", "expires_in": 60}
        return httpx.Response(200, json=fields)

    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        for assertion in ("one", "one", "two"):
            grant = Assertion(assertion=assertion)
            async with crowd(fake, store, grant=grant, token_http=http) as session:
                with suppress(ReauthorizationRequired):
                    await session.token()
            fake.advance(61)
    assert asked == ["one", "two"]
