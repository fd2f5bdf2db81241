"""Grants whose values are asked for or signed first, for every try anew."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import attrs
import httpx
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ClientCredentials,
    ConfigurationError,
    ErrorResponse,
    GrantStrategy,
    InvalidGrant,
    MemoryStore,
    ReauthorizationRequired,
    Recovery,
    RenewalPolicy,
    Repeat,
    ResponseError,
    Token,
    TransportError,
    fetch_token,
)
from oauthkit.exchange import Exchange
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.single_use import CODES
from oauthkit.testing import FakeAuthorizationServer, FakeClock
from tests.test_exchange import CLIENT, NEVER_SENT, SERVER, UNANSWERED, Line, good

Make = Callable[[], Awaitable[Any]]


@attrs.frozen(kw_only=True)
class Fetched(GrantStrategy):
    """A grant whose password comes from elsewhere."""

    grant_type = "password"
    repeat = Repeat.ALWAYS

    make: Make = attrs.field(eq=False)
    password: str | None = None
    told: list[tuple[str, str, float]] = attrs.field(factory=list[tuple[str, str, float]])

    def parameters(self) -> Mapping[str, ParameterValue]:
        return {"username": "ada", "password": self.password, "scope": "read"}

    async def prepared(
        self, server: AuthorizationServer, *, client_id: str, now: float
    ) -> GrantStrategy:
        self.told.append((server.token_endpoint, client_id, now))
        return attrs.evolve(self, password=await self.make())


class Passwords:
    """Make one after the other."""

    def __init__(self, *made: str | BaseException, seconds: float = 0.0) -> None:
        self.made, self.asked, self.seconds = list(made), 0, seconds

    async def __call__(self) -> str:
        await anyio.sleep(self.seconds)
        made = self.made[min(self.asked, len(self.made) - 1)]
        self.asked += 1
        if isinstance(made, BaseException):
            raise made
        return made


def exchange(line: Line, *, within: float = 5.0) -> Exchange:
    return Exchange(line.send, SERVER, CLIENT, clock=FakeClock(), timeout=within)


async def test_a_grant_is_prepared_anew_for_each_try() -> None:
    grant = Fetched(make=Passwords("one", "two", "three"))
    line = Line(NEVER_SENT, UNANSWERED, good())
    token = await exchange(line).token(grant)
    assert [request.content.decode() for request in line.requests] == [
        f"grant_type=password&username=ada&password={word}&scope=read"
        for word in ("one", "two", "three")
    ]
    assert grant.told == [(SERVER.token_endpoint, CLIENT.client_id, 1_700_000_000.0)] * 3
    assert token.scope == "read"


async def test_a_grant_that_needs_no_preparation_is_asked_nothing_more() -> None:
    question = exchange(Line())._token_question(SERVER, ClientCredentials(), None)
    assert question.prepare is None
    grant = ClientCredentials()
    assert await grant.prepared(SERVER, client_id="app", now=0.0) is grant


@pytest.mark.parametrize(
    "fault, recovery",
    [
        (TransportError("away"), Recovery.RETRY_LATER),
        (ReauthorizationRequired("nothing left"), Recovery.REAUTHORIZE),
        (InvalidGrant("invalid_grant"), Recovery.REAUTHORIZE),
        (ErrorResponse("invalid_scope"), Recovery.CHANGE_REQUEST),
        (TimeoutError(), Recovery.RETRY_LATER),
    ],
    ids=repr,
)
async def test_what_fails_in_the_preparation_was_never_sent_and_says_what_helps(
    fault: Exception, recovery: Recovery
) -> None:
    line, made = Line(good()), Passwords(fault)
    with pytest.raises(TransportError, match=f"the grant failed with {type(fault).__name__}") as at:
        await exchange(line).token(Fetched(make=made))
    assert (at.value.sent, at.value.__cause__, at.value.recovery) == (False, fault, recovery)
    assert line.requests == []
    assert made.asked == (3 if recovery is Recovery.RETRY_LATER else 1)


@pytest.mark.parametrize("fault", [ConfigurationError("no key"), ZeroDivisionError()], ids=repr)
async def test_a_mistake_in_the_preparation_is_raised_as_it_is(fault: Exception) -> None:
    line = Line(good())
    with pytest.raises(type(fault)) as caught:
        await exchange(line).token(Fetched(make=Passwords(fault)))
    assert caught.value is fault
    assert line.requests == []


async def test_a_preparation_that_hangs_has_an_end_before_the_request_would() -> None:
    line = Line(good())
    with pytest.raises(TransportError, match=r"Fetched\.prepared took longer") as caught:
        await exchange(line, within=0.2).one_try(Fetched(make=Passwords("x", seconds=60)))
    assert not caught.value.sent
    assert line.requests == []


class NotAwaited(ClientCredentials):
    def prepared(self, server: Any, *, client_id: str, now: float) -> Any:
        return self


class OtherArguments(ClientCredentials):
    async def prepared(self) -> Any:  # type: ignore[override]
        return self


class Forgetful(ClientCredentials):
    async def prepared(self, server: Any, *, client_id: str, now: float) -> Any:
        """Return nothing."""


@pytest.mark.parametrize(
    "grant, told",
    [
        (NotAwaited(), r"async def prepared\(self, server, \*, client_id, now\)"),
        (OtherArguments(), r"async def prepared\(self, server, \*, client_id, now\)"),
        (Forgetful(), "must return a GrantStrategy, such as attrs.evolve.* not NoneType"),
    ],
)
async def test_a_preparation_of_another_form_says_how_it_is_written(
    grant: GrantStrategy, told: str
) -> None:
    line = Line(good())
    with pytest.raises(ConfigurationError, match=told):
        await exchange(line).token(grant)
    assert line.requests == []


async def test_what_is_good_once_is_that_of_the_prepared_grant() -> None:
    @attrs.frozen(kw_only=True)
    class Coded(GrantStrategy):
        grant_type = "authorization_code"
        code: str | None = None

        def parameters(self) -> Mapping[str, ParameterValue]:
            return {"code": self.code}

        async def prepared(
            self, server: AuthorizationServer, *, client_id: str, now: float
        ) -> GrantStrategy:
            return attrs.evolve(self, code="prepared-code")

    CODES.release(SERVER.token_endpoint, "prepared-code")
    line = Line(good())
    await exchange(line).token(Coded())
    with pytest.raises(ReauthorizationRequired):
        await exchange(line).token(Coded())
    assert len(line.requests) == 1


async def test_a_token_that_is_not_what_was_asked_for_is_refused_with_the_grants_reason() -> None:
    class Choosy(ClientCredentials):
        def objection(self, token: Token) -> str | None:
            return None if token.extra else "nothing more came"

    assert (await exchange(Line(good(more=1))).token(Choosy())).extra == {"more": 1}
    with pytest.raises(ResponseError, match="nothing more came") as caught:
        await exchange(Line(good())).token(Choosy())
    assert caught.value.status_code == 200
    assert "a1" not in caught.value.excerpt


async def test_a_session_renews_by_the_grant_as_it_was_given() -> None:
    """A refresh first; when that right has died, the grant is prepared anew."""
    fake, store = FakeAuthorizationServer(expires_in=60), MemoryStore()
    passwords = Passwords("lovelace")
    async with fake.session(grant=Fetched(make=passwords), store=store, key="ada") as session:
        first = await session.token()
        fake.advance(61)
        await session.token()
        assert passwords.asked == 1
        fake.ledger.revoke_all()
        fake.advance(61)
        await session.token()
    kinds = [request.parameters["grant_type"] for request in fake.token_requests]
    assert kinds == ["password", "refresh_token", "refresh_token", "password"]
    assert passwords.asked == 2
    assert first.client_id == fake.client_id


async def test_a_session_whose_grant_cannot_be_prepared_says_so_and_recovers() -> None:
    fake = FakeAuthorizationServer()
    passwords = Passwords(ReauthorizationRequired("log in at the other one"), "lovelace")
    policy = RenewalPolicy(longest_pause=1.0)
    async with fake.session(grant=Fetched(make=passwords), policy=policy) as session:
        with pytest.raises(TransportError, match="log in at the other one") as caught:
            await session.token()
        assert caught.value.recovery is Recovery.REAUTHORIZE
        assert fake.token_requests == []
        fake.advance(2)
        await session.token()


async def test_one_session_gives_another_its_token_on_real_sockets() -> None:
    first, second = FakeAuthorizationServer(), FakeAuthorizationServer(password="access-token-1")
    async with (
        first.serve(),
        second.serve(),
        httpx.AsyncClient() as http,
        AsyncTokenSession(
            http, server=first.server, client_auth=first.client_auth, grant=ClientCredentials()
        ) as inner,
    ):

        async def text() -> str:
            return (await inner.token()).access_token

        token = await fetch_token(http, second.server, second.client_auth, Fetched(make=text))
    assert token.access_token == "access-token-2"
    assert second.token_requests[0].parameters["password"] == "access-token-1"
