import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import attrs
import httpx
import httpx2
import pytest

from oauthkit import (
    AuthorizationCode,
    AuthorizationRequest,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    ErrorResponse,
    InvalidClient,
    MemoryStore,
    OAuthKitError,
    ReauthorizationRequired,
    Recovery,
    ResponseError,
    Token,
    TransportError,
    fetch_token,
)
from oauthkit.testing import FakeAuthorizationServer


def code_of(fake: FakeAuthorizationServer) -> AuthorizationCode:
    """Return the code of a login."""
    login = AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri="https://app.example/callback", scope="read"
    )
    return login.accept(fake.authorize(login.url))


@asynccontextmanager
async def asking(
    fake: FakeAuthorizationServer,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncGenerator[Callable[..., Awaitable[Token]]]:
    """Give a short form of `fetch_token`."""
    async with httpx.AsyncClient(transport=transport or fake.transport()) as http:
        yield partial(fetch_token, http, fake.server, fake.client_auth, clock=fake.clock)


def failing(answer: httpx.Response | Exception) -> httpx.MockTransport:
    """Answer every request with this."""

    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return httpx.MockTransport(respond)


async def test_a_token_is_fetched_once() -> None:
    fake = FakeAuthorizationServer(expires_in="60")
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        token = await fetch_token(
            http, fake.server, fake.client_auth, ClientCredentials(scope="read"), clock=fake.clock
        )
    assert token.expires_at == fake.clock.time() + 60
    assert len(fake.token_requests) == 1


async def test_httpx2_fetches_it_too() -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve(),
        httpx2.AsyncClient() as http,
    ):
        token = await fetch_token(http, fake.server, fake.client_auth, fake.grant)
    assert token.access_token == "access-token-1"


async def test_a_login_ends_with_a_token_that_a_session_goes_on_with() -> None:
    """O2-18: the code is exchanged once, and a second time is not sent."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    code = code_of(fake)
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        token = await fetch_token(http, fake.server, fake.client_auth, code, clock=fake.clock)
        await store.save("ada", token)
        with pytest.raises(ReauthorizationRequired, match="good once"):
            await fetch_token(http, fake.server, fake.client_auth, code, clock=fake.clock)
    async with fake.session(grant=None, store=store, key="ada") as session:
        fake.advance(61)
        await session.token()  # a server kills all tokens of a code that comes twice

    assert [request.parameters["grant_type"] for request in fake.token_requests] == [
        "authorization_code",
        "refresh_token",
    ]


async def test_the_servers_no_is_raised() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        with pytest.raises(InvalidClient):
            await fetch_token(http, fake.server, ClientSecretBasic("client", "wrong"), fake.grant)


async def test_an_answer_that_never_comes_has_an_end() -> None:
    fake = FakeAuthorizationServer()
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        with fake.hold(), pytest.raises(TransportError):
            await fetch_token(http, fake.server, fake.client_auth, fake.grant, timeout=0.05)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
async def test_a_time_that_is_none_is_refused_as_that(timeout: float) -> None:  # noqa: ASYNC109
    """It is a setting: to try it later is no help."""
    fake = FakeAuthorizationServer()
    async with asking(fake) as fetch:
        with pytest.raises(ConfigurationError, match="timeout= must be above 0 seconds, not"):
            await fetch(fake.grant, timeout=timeout)
    assert not fake.token_requests


async def test_a_synchronous_client_is_refused() -> None:
    fake = FakeAuthorizationServer()
    with httpx.Client() as http, pytest.raises(ConfigurationError, match="AsyncClient"):
        await fetch_token(http, fake.server, fake.client_auth, fake.grant)  # type: ignore[arg-type]


def test_a_token_endpoint_over_plain_http_is_refused_before_a_byte_leaves() -> None:
    """O2-12: loopback excepted, or said in so many words."""
    with pytest.raises(ConfigurationError, match="allow_plain_http=True"):
        AuthorizationServer("http://auth.example/token")
    AuthorizationServer("http://127.0.0.1:8080/token")
    AuthorizationServer("http://auth.example/token", allow_plain_http=True)


# A code is good once


async def refusal(asked: Awaitable[Token]) -> OAuthKitError:
    """Return the error that comes."""
    with pytest.raises(OAuthKitError) as caught:
        await asked
    return caught.value


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
@pytest.mark.parametrize("headers", [{}, {"retry-after": "0"}, {"retry-after": "1"}], ids=str)
async def test_a_server_that_fails_at_a_code_has_spent_it(
    status: int, headers: dict[str, str]
) -> None:
    """RFC 6749 §4.1.2: nobody knows how far it came, so the way on is a new login."""
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    fake.fail_next(status, headers=headers, content=b"busy", times=9)
    async with asking(fake) as ask:
        error = await refusal(ask(code))
        again = await refusal(ask(code))

    assert isinstance(error, ResponseError)
    assert (error.status_code, error.excerpt) == (status, "busy")
    assert (error.recovery, error.retry_after) == (Recovery.REAUTHORIZE, None)
    assert "new login" in "".join(traceback.format_exception(error))
    assert isinstance(again, ReauthorizationRequired)
    assert len(fake.token_requests) == 1


async def test_an_answer_that_is_lost_at_a_code_has_spent_it() -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    fake.lose_next_answer(9)
    async with asking(fake) as ask:
        error = await refusal(ask(code))
        again = await refusal(ask(code))

    assert isinstance(error, TransportError)
    assert error.sent
    assert isinstance(error.__cause__, httpx.HTTPError)
    assert (error.recovery, again.recovery) == (Recovery.REAUTHORIZE, Recovery.REAUTHORIZE)
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize("name", ["temporarily_unavailable", "server_error", "slow_down"])
async def test_a_code_is_spent_by_a_server_that_says_later(name: str) -> None:
    fake = FakeAuthorizationServer()
    answer = httpx.Response(400, json={"error": name}, headers={"retry-after": "7"})
    async with asking(fake, failing(answer)) as ask:
        error = await refusal(ask(code_of(fake)))

    assert isinstance(error, ErrorResponse)
    assert (error.error, error.recovery, error.retry_after) == (name, Recovery.REAUTHORIZE, None)


async def test_what_the_operator_must_change_is_said_as_it_is() -> None:
    fake = FakeAuthorizationServer()
    answer = httpx.Response(401, json={"error": "invalid_client"})
    async with asking(fake, failing(answer)) as ask:
        error = await refusal(ask(code_of(fake)))

    assert isinstance(error, InvalidClient)
    assert error.recovery is Recovery.CHANGE_REQUEST


async def test_another_right_may_be_tried_later() -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(503, headers={"retry-after": "99"})
    async with asking(fake) as ask:
        error = await refusal(ask(fake.grant))

    assert (error.recovery, error.retry_after) == (Recovery.RETRY_LATER, 99.0)


async def test_a_code_is_known_again_in_another_grant() -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    another = AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri="https://app.example/callback"
    )
    callback = {"code": code.code, "state": another.state, "iss": fake.issuer}
    grants = [
        attrs.evolve(code),
        AuthorizationCode(code=code.code, redirect_uri=code.redirect_uri),
        another.accept(callback),
    ]
    async with asking(fake) as ask:
        await ask(code)
        for grant in grants:
            assert isinstance(await refusal(ask(grant)), ReauthorizationRequired)

    assert len(fake.token_requests) == 1


async def test_a_code_is_sent_once_by_many_at_once() -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    ends: list[str] = []
    async with asking(fake) as ask:

        async def exchange() -> None:
            try:
                ends.append((await ask(code)).access_token)
            except ReauthorizationRequired:
                ends.append("refused")

        with fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(exchange)
                await held.arrived()
                held.release()

    assert sorted(ends) == ["access-token-2", *["refused"] * 9]
    assert len(fake.token_requests) == 1


async def test_a_code_of_another_server_is_another_code() -> None:
    fake, other = FakeAuthorizationServer(), FakeAuthorizationServer(issuer="https://other.example")
    async with asking(fake) as ask, asking(other) as ask_other:
        assert code_of(fake).code == code_of(other).code
        await ask(code_of(fake))
        await ask_other(code_of(other))


async def test_a_code_that_was_never_sent_is_still_good() -> None:
    """A refused connection spends nothing, however often it is tried."""
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    async with asking(fake, failing(httpx.ConnectError("refused"))) as ask:
        error = await refusal(ask(code))
    async with asking(fake) as ask:
        token = await ask(code)

    assert isinstance(error, TransportError)
    assert (error.sent, error.recovery) == (False, Recovery.RETRY_LATER)
    assert token.refresh_token


async def test_a_code_is_still_good_after_a_mistake_that_was_found_before_it_was_sent() -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    http = httpx.AsyncClient(transport=fake.transport())
    await http.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await fetch_token(http, fake.server, fake.client_auth, code)
    async with asking(fake) as ask:
        with pytest.raises(ConfigurationError, match="given twice"):
            await ask(attrs.evolve(code, additional={"code": "another"}))
        await ask(code)


async def test_a_code_is_spent_by_who_stops_waiting() -> None:
    fake = FakeAuthorizationServer()
    code = code_of(fake)
    async with asking(fake) as ask:
        with fake.hold():
            with anyio.move_on_after(0.05):
                await ask(code)
            assert isinstance(await refusal(ask(code)), ReauthorizationRequired)

    assert len(fake.token_requests) == 1


async def test_the_next_fake_gives_new_codes_under_old_names() -> None:
    """Codes of a fake are numbered, and each test has a fake of its own."""
    for _ in range(2):
        fake = FakeAuthorizationServer()
        code = code_of(fake)
        async with asking(fake) as ask:
            await ask(code)
        assert code.code == "code-1"
