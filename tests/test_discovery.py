"""Finding a server by its issuer, once for all who want to know, and a session over it."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import attrs
import httpx
import httpx2
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationRequest,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    Discovered,
    MemoryStore,
    OAuthKitError,
    Recovery,
    RenewalPolicy,
    ResponseError,
    Token,
    TransportError,
    discover,
    fetch_token,
)
from oauthkit.exchange import Exchange
from oauthkit.keyring import keyring_of
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer, FakeClock
from oauthkit.testing.mounts import AppTransport
from oauthkit.transport import send

ISSUER = "https://auth.example"
CLIENT = ClientSecretBasic("app", "secret")


@asynccontextmanager
async def client(fake: FakeAuthorizationServer) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        yield http


def answering(*answers: HTTPResponse, seen: list[httpx.Request]) -> httpx.AsyncClient:
    """Return a client that is given these answers, the last one again and again."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        response = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(response.status_code, content=response.content)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def document(issuer: str = ISSUER, **members: Any) -> HTTPResponse:
    named = {"issuer": issuer, "token_endpoint": f"{issuer}/token", **members}
    return HTTPResponse(200, {}, json.dumps(named).encode())


# discover


@pytest.mark.parametrize("make", [httpx.AsyncClient, httpx2.AsyncClient], ids=["httpx", "httpx2"])
async def test_a_server_is_found_on_a_real_socket_and_gives_a_token(make: Any) -> None:
    fake = FakeAuthorizationServer(metadata={"jwks_uri": f"{ISSUER}/keys"})
    async with fake.serve() as url, make() as http:
        server = await discover(http, url)
        token = await fetch_token(http, server, fake.client_auth, ClientCredentials())

    assert server.issuer == url
    assert server.jwks_uri == f"{ISSUER}/keys"
    assert server.metadata["response_types_supported"] == ["code"]
    assert token.issuer == url


async def test_the_document_says_where_is_asked_and_no_other_issuers_endpoint_has_a_code() -> None:
    """BC-18, IS-08: one issuer's document is all that a server is made of."""
    seen: list[httpx.Request] = []
    elsewhere = document(
        token_endpoint="https://tokens.example/t", authorization_endpoint=f"{ISSUER}/a"
    )
    token = HTTPResponse(200, {}, b'{"access_token": "a1", "token_type": "Bearer"}')
    async with answering(elsewhere, token, seen=seen) as http:
        server = await discover(http, ISSUER)
        await fetch_token(http, server, CLIENT, ClientCredentials())
        assert [str(request.url) for request in seen][1:] == ["https://tokens.example/t"]

        login = AuthorizationRequest.new(server, "app", redirect_uri="https://app.example/cb")
        code = login.accept(f"https://app.example/cb?code=c&state={login.state}")
        for mixed in (
            attrs.evolve(server, token_endpoint="https://evil.example/token"),
            attrs.evolve(server, issuer="https://evil.example"),
        ):
            with pytest.raises(ConfigurationError, match="belongs to the login at another server"):
                await fetch_token(http, mixed, CLIENT, code)
    assert len(seen) == 2


@pytest.mark.parametrize("path", ["", "/", "/realms/main", "/realms/main/"])
async def test_the_second_place_is_asked_where_the_first_has_nothing(path: str) -> None:
    """MD-01, MD-02, MD-04."""
    seen: list[httpx.Request] = []
    issuer = f"{ISSUER}{path}"
    async with answering(HTTPResponse(404), document(issuer), seen=seen) as http:
        server = await discover(http, issuer)

    bare = path.rstrip("/")
    assert server.issuer == issuer
    assert [str(request.url) for request in seen] == [
        f"{ISSUER}{bare}/.well-known/openid-configuration",
        f"{ISSUER}/.well-known/oauth-authorization-server{bare}",
    ]


async def test_where_there_is_nothing_at_all_the_error_says_what_to_look_at() -> None:
    seen: list[httpx.Request] = []
    async with answering(HTTPResponse(404), seen=seen) as http:
        with pytest.raises(ResponseError, match="Look at issuer=") as caught:
            await discover(http, ISSUER)
    assert caught.value.status_code == 404
    assert len(seen) == 2


@pytest.mark.parametrize("status", [302, 400, 403, 500, 503])
async def test_another_refusal_does_not_lead_to_the_second_place(status: int) -> None:
    """MD-04, MD-10."""
    seen: list[httpx.Request] = []
    answer = HTTPResponse(status, {"location": "https://evil.example"})
    async with answering(answer, seen=seen) as http:
        with pytest.raises(ResponseError):
            await discover(http, ISSUER)
    assert len(seen) == 1


async def test_a_redirect_is_not_followed_even_by_a_client_that_follows_them() -> None:
    """MD-10."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers={"location": "https://evil.example/x"})

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as http:
        with pytest.raises(ResponseError, match="redirect"):
            await discover(http, ISSUER)
    assert seen == ["auth.example"]


async def test_nothing_of_the_clients_own_goes_along() -> None:
    seen: list[httpx.Request] = []
    http = answering(document(), seen=seen)
    http.headers["authorization"], http.auth = "Bearer canary", ("user", "canary")
    http.cookies.set("session", "canary")
    async with http:
        await discover(http, ISSUER)

    assert "canary" not in str(seen[0].headers.raw)


async def test_a_server_that_does_not_answer_is_asked_again_later() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        message = "refused"
        raise httpx.ConnectError(message, request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
        with pytest.raises(TransportError) as caught:
            await discover(http, ISSUER)
    assert caught.value.recovery is Recovery.RETRY_LATER


async def test_both_places_together_have_one_end() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url, httpx.AsyncClient() as http:
        with fake.hold(endpoint="metadata"), pytest.raises(TransportError, match=r"0\.2 s"):
            await discover(http, url, timeout=0.2)


async def test_wrong_kinds_and_issuers_are_refused_before_anything_is_sent() -> None:
    """MD-05."""
    seen: list[httpx.Request] = []
    wrong: Any = 7
    async with answering(document(), seen=seen) as http:
        for issuer in ("http://auth.example", f"{ISSUER}?x", f"{ISSUER}#x", wrong):
            with pytest.raises(ConfigurationError):
                await discover(http, issuer)
            with pytest.raises(ConfigurationError):
                Discovered(issuer)
        for options in ({"timeout": "1"}, {"clock": 1}):
            arguments: Any = options
            with pytest.raises(ConfigurationError):
                await discover(http, ISSUER, **arguments)
        with pytest.raises(ConfigurationError):
            await discover(wrong, ISSUER)
        with pytest.raises(ConfigurationError):
            await Discovered(ISSUER).server(wrong)
    assert seen == []


# One who finds it for all


async def test_a_thousand_who_want_to_know_cause_one_request() -> None:
    """MD-12."""
    fake, found = FakeAuthorizationServer(), list[AuthorizationServer]()
    discovered = Discovered(fake.issuer, clock=fake.clock)

    async def ask(http: Any) -> None:
        found.append(await discovered.server(http))

    async with client(fake) as http:
        assert repr(discovered) == f"<Discovered {fake.issuer}: not known yet>"
        with fake.hold(endpoint="metadata") as held:
            async with anyio.create_task_group() as tasks:
                for _ in range(1000):
                    tasks.start_soon(ask, http)
                await held.arrived()
                held.release()
    assert len(fake.metadata_requests) == 1
    assert {id(server) for server in found} == {id(found[0])}
    assert repr(discovered) == f"<Discovered {fake.issuer}>"


async def test_who_is_cancelled_as_it_looks_leaves_it_to_the_next_one() -> None:
    fake, found = FakeAuthorizationServer(), list[AuthorizationServer]()
    discovered = Discovered(fake.issuer, clock=fake.clock)

    async def ask(http: Any, scope: anyio.CancelScope) -> None:
        with scope:
            found.append(await discovered.server(http))

    scopes = [anyio.CancelScope() for _ in range(3)]
    async with client(fake) as http:
        with fake.hold(endpoint="metadata") as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, http, scopes[0])
                await held.arrived()
                for scope in scopes[1:]:
                    tasks.start_soon(ask, http, scope)
                await anyio.wait_all_tasks_blocked()
                scopes[0].cancel()
                await held.arrived(2)
                held.release()
    assert len(found) == 2
    assert len(fake.metadata_requests) == 2


async def test_what_was_found_is_looked_for_again_when_it_has_had_its_time() -> None:
    """MD-12."""
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock, life=600)
    async with client(fake) as http:
        await discovered.server(http)
        fake.advance(599)
        await discovered.server(http)
        assert len(fake.metadata_requests) == 1
        fake.metadata = {"token_endpoint": f"{ISSUER}/moved"}
        fake.advance(1)
        assert (await discovered.server(http)).token_endpoint == f"{ISSUER}/moved"
    assert len(fake.metadata_requests) == 2


async def test_while_the_issuer_is_down_what_was_found_is_used_on() -> None:
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with client(fake) as http:
        before = await discovered.server(http)
        fake.advance(3600)
        fake.fail_next(503, times=2, endpoint="metadata")
        assert await discovered.server(http) is before
        assert await discovered.server(http) is before
        assert len(fake.metadata_requests) == 2
        fake.advance(2)
        assert await discovered.server(http) is before
        fake.advance(2)
        assert await discovered.server(http) is not before
    assert len(fake.metadata_requests) == 4


@pytest.mark.parametrize("asked, pause", [(None, 2), ("30", 30), ("0", 2), ("9999", 60)])
async def test_an_issuer_that_is_down_at_the_start_is_asked_again_after_a_pause(
    asked: str | None, pause: float
) -> None:
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    headers = {} if asked is None else {"retry-after": asked}
    async with client(fake) as http:
        fake.fail_next(503, headers=headers, endpoint="metadata")
        for waited in (0, pause / 2):
            fake.advance(waited)
            with pytest.raises(ResponseError) as caught:
                await discovered.server(http)
            assert caught.value.recovery is Recovery.RETRY_LATER
            assert caught.value.retry_after == pytest.approx(pause - waited)
        assert len(fake.metadata_requests) == 1
        fake.advance(pause / 2)
        assert (await discovered.server(http)).issuer == fake.issuer
    assert len(fake.metadata_requests) == 2


async def test_a_server_that_is_doubted_is_looked_for_again_but_not_at_once() -> None:
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with client(fake) as http:
        server = await discovered.server(http)
        fake.advance(29)
        discovered.doubt(server)
        assert await discovered.server(http) is server
        fake.advance(1)
        discovered.doubt(server)
        newer = await discovered.server(http)
        assert newer is not server
        fake.advance(30)
        discovered.doubt(server)
        assert await discovered.server(http) is newer
    assert len(fake.metadata_requests) == 2


async def test_a_server_can_be_given_further_settings_or_be_refused() -> None:
    """AT-07: the endpoints of a document are looked at before anything is sent there."""
    fake = FakeAuthorizationServer()

    def only_here(server: AuthorizationServer) -> AuthorizationServer:
        if not server.token_endpoint.startswith(f"{fake.issuer}/"):
            raise ConfigurationError(server.token_endpoint)
        return attrs.evolve(server, accept="application/jwt")

    async with client(fake) as http:
        adjusted = Discovered(fake.issuer, adjust=only_here, clock=fake.clock)
        assert (await adjusted.server(http)).accept == "application/jwt"
        fake.metadata = {"token_endpoint": "https://elsewhere.example/token"}
        refusing = Discovered(fake.issuer, adjust=only_here, clock=fake.clock)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"elsewhere\.example"):
                await refusing.server(http)
    assert len(fake.metadata_requests) == 2


class MovedError(ConfigurationError):
    """An error of the caller's own, which cannot be copied."""

    def __init__(self, url: str, *, wanted: str) -> None:
        super().__init__(f"{url} is not {wanted}")


def as_alias(server: AuthorizationServer) -> AuthorizationServer:
    return attrs.evolve(server, issuer="https://alias.example")


def as_nothing(server: AuthorizationServer) -> Any:
    return None


def as_moved(server: AuthorizationServer) -> AuthorizationServer:
    raise MovedError(server.token_endpoint, wanted="here")


def as_broken(server: Any) -> Any:
    raise KeyError(server)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"adjust": as_alias}, "adjust= must return an AuthorizationServer whose issuer is"),
        ({"adjust": as_nothing}, "adjust= must return"),
        ({"adjust": as_moved}, "is not here"),
        ({"adjust": as_broken}, "adjust= failed with KeyError"),
        ({"accept_issuer": as_broken}, "failed with KeyError"),
    ],
)
async def test_a_function_of_the_callers_that_fails_is_told_and_makes_no_storm(
    options: dict[str, Any], told: str
) -> None:
    fake = FakeAuthorizationServer(metadata={"issuer": "https://other.example"})
    if "adjust" in options:
        fake.metadata = {}
    discovered = Discovered(fake.issuer, clock=fake.clock, **options)
    async with client(fake) as http:
        for _ in range(3):
            with pytest.raises(ConfigurationError, match=told):
                await discovered.server(http)
    assert len(fake.metadata_requests) == 1


async def test_what_is_true_without_being_true_itself_accepts_nothing() -> None:
    """MD-16: as a promise of `async def` is."""
    careless: Any = object
    fake = FakeAuthorizationServer(metadata={"issuer": "https://other.example"})
    async with client(fake) as http:
        with pytest.raises(ResponseError, match="must be equal"):
            await discover(http, fake.issuer, accept_issuer=lambda _: careless())


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
async def test_times_that_cannot_be_are_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="life= must be above 0"):
        Discovered(ISSUER, life=seconds)
    with pytest.raises(ConfigurationError, match="timeout= must be above 0"):
        Discovered(ISSUER, timeout=seconds)
    async with client(FakeAuthorizationServer()) as http:
        with pytest.raises(ConfigurationError, match="timeout= must be above 0"):
            await discover(http, ISSUER, timeout=seconds)


async def test_a_client_that_is_closed_is_no_matter_of_others() -> None:
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with client(fake) as closed:
        pass
    async with client(fake) as http:
        with pytest.raises(ConfigurationError, match="closed"):
            await discovered.server(closed)
        assert (await discovered.server(http)).issuer == fake.issuer


@pytest.mark.parametrize("endpoint", [None, "/token", "http://auth.example/token"])
async def test_a_worse_document_does_not_replace_a_good_one(
    endpoint: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with client(fake) as http:
        good = await discovered.server(http)
        fake.advance(3600)
        fake.metadata = {"token_endpoint": endpoint}
        assert await discovered.server(http) is good
        assert "could not be looked for again" in caplog.text
        assert "token_endpoint" in caplog.text
        told = vars(caplog.records[-1])
        assert (told["oauth_event"], told["oauth_server"]) == ("DiscoveryFailed", fake.issuer)
        fake.metadata = {}
        fake.advance(2)
        assert await discovered.server(http) is not good


async def test_a_document_without_a_token_endpoint_is_looked_at_again_soon() -> None:
    fake = FakeAuthorizationServer(metadata={"token_endpoint": None})
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with client(fake) as http:
        assert (await discovered.server(http)).authorization_endpoint is not None
        fake.metadata = {}
        fake.advance(30)
        assert (await discovered.server(http)).endpoint("token_endpoint") == f"{ISSUER}/token"


async def test_an_issuer_that_hangs_stops_no_renewal_once_its_server_is_known() -> None:
    clock = FakeClock()
    fake = FakeAuthorizationServer(clock=clock)
    async with fake.serve() as url, httpx.AsyncClient() as http:
        discovered = Discovered(url, clock=clock, timeout=5.0)
        async with AsyncTokenSession(
            http,
            server=discovered,
            client_auth=fake.client_auth,
            grant=fake.grant,
            policy=RenewalPolicy(timeout=2.0),
            clock=clock,
        ) as session:
            await session.token()
            clock.advance(4000)
            with fake.hold(endpoint="metadata"):
                await session.renew()
    assert len(fake.token_requests) == 2
    assert len(fake.metadata_requests) == 2


async def test_who_waits_for_another_ones_look_waits_no_longer_than_was_said() -> None:
    fake, found = FakeAuthorizationServer(), list[AuthorizationServer]()
    async with fake.serve() as url, httpx.AsyncClient() as http:
        discovered = Discovered(url, timeout=30.0)

        async def ask() -> None:
            found.append(await discovered.server(http))

        with fake.hold(endpoint="metadata") as held:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await held.arrived()
                with pytest.raises(TransportError, match="did not come in time"):
                    await discovered.within(http, 0.05)
                held.release()
    assert [server.issuer for server in found] == [url]
    assert len(fake.metadata_requests) == 1


async def test_who_is_in_a_hurry_leaves_the_look_to_who_is_not() -> None:
    fake = FakeAuthorizationServer()
    auth, found = Discovered(fake.issuer, clock=fake.clock), list[AuthorizationServer]()
    async with httpx.AsyncClient(transport=fake.transport()) as http:

        async def patient() -> None:
            found.append(await auth.server(http))

        with fake.hold(endpoint="metadata") as held:
            async with anyio.create_task_group() as group:

                async def hasty() -> None:
                    with pytest.raises(TransportError, match="within"):
                        await auth.within(http, 0.05)
                    await held.arrived(2)  # the other one asks by itself, and at once
                    held.release()

                group.start_soon(hasty)
                await held.arrived()
                group.start_soon(patient)

    assert found[0].issuer == fake.issuer


async def test_keys_that_are_nowhere_named_any_more_are_let_go() -> None:
    """AT-15: a document may name another place each time."""
    fake = FakeAuthorizationServer()
    auth, places = Discovered(fake.issuer, clock=fake.clock), iter(range(9))

    def respond(request: httpx.Request) -> httpx.Response:
        document = {
            "issuer": fake.issuer,
            "token_endpoint": f"{fake.issuer}/token",
            "jwks_uri": f"{fake.issuer}/keys/{next(places)}",
        }
        return httpx.Response(200, json=document)

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
        server = await auth.server(http)
        for _ in range(2):
            keyring_of(server)
            fake.advance(3_600)
            server = await auth.server(http)
        keyring_of(server)

    assert list(server.fetched) == [f"{fake.issuer}/keys/2"]


async def test_a_template_is_accepted_by_an_explicit_function_alone() -> None:
    """MD-16."""
    fake = FakeAuthorizationServer(metadata={"issuer": f"{ISSUER}/{{tenantid}}"})
    async with client(fake) as http:
        with pytest.raises(ResponseError, match="accept_issuer="):
            await Discovered(fake.issuer, clock=fake.clock).server(http)
        known = Discovered(fake.issuer, accept_issuer=partial(str.__eq__, f"{ISSUER}/{{tenantid}}"))
        assert (await known.server(http)).issuer == fake.issuer
        found = await discover(http, fake.issuer, accept_issuer=lambda issuer: "{" in issuer)
    assert found.metadata["issuer"] == f"{ISSUER}/{{tenantid}}"


# A session


@asynccontextmanager
async def session_over(
    fake: FakeAuthorizationServer, discovered: Discovered, **options: Any
) -> AsyncGenerator[AsyncTokenSession[httpx.Response]]:
    async with fake.session(server=discovered, base_url=None, **options) as session:
        yield session


async def test_a_session_finds_its_server_at_its_first_use_and_only_then() -> None:
    fake = FakeAuthorizationServer()
    async with session_over(fake, Discovered(fake.issuer, clock=fake.clock)) as session:
        assert repr(session).startswith(f"<AsyncTokenSession {fake.issuer}: ")
        assert fake.metadata_requests == []
        assert (await session.get(f"{fake.issuer}/report")).status_code == 200
        token = await session.token()
    assert (token.issuer, token.token_endpoint) == (fake.issuer, f"{fake.issuer}/token")
    assert len(fake.metadata_requests) == len(fake.token_requests) == 1


async def test_a_session_survives_an_issuer_that_is_down_at_the_start() -> None:
    fake = FakeAuthorizationServer()
    async with session_over(fake, Discovered(fake.issuer, clock=fake.clock)) as session:
        fake.fail_next(503, endpoint="metadata")
        with pytest.raises(TransportError, match=f"where to ask {fake.issuer}") as caught:
            await session.token()
        assert not caught.value.sent
        assert caught.value.recovery is Recovery.RETRY_LATER
        assert fake.token_requests == []
        fake.advance(120)
        assert (await session.get(f"{fake.issuer}/report")).status_code == 200


async def test_an_issuer_that_leads_to_no_server_is_a_fault_of_the_settings() -> None:
    def refuse(server: AuthorizationServer) -> AuthorizationServer:
        message = "not this one"
        raise ConfigurationError(message)

    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, adjust=refuse, clock=fake.clock)
    async with session_over(fake, discovered) as session:
        with pytest.raises(ConfigurationError, match="not this one"):
            await session.token()


async def test_metadata_that_does_not_come_in_time_stops_no_renewal_for_longer() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url:
        discovered = Discovered(url)
        async with (
            httpx.AsyncClient() as http,
            AsyncTokenSession(
                http, server=discovered, client_auth=fake.client_auth, grant=fake.grant
            ) as session,
        ):
            exchange = session._source.performer.exchange
            with (
                fake.hold(endpoint="metadata"),
                pytest.raises(TransportError, match="where to ask") as caught,
            ):
                await exchange.one_try(ClientCredentials(), seconds=0.2)
    assert not caught.value.sent


@pytest.mark.parametrize("body", [b"", b'{"status": 404, "error": "Not Found"}'])
async def test_a_session_follows_an_endpoint_that_has_moved(body: bytes) -> None:
    fake = FakeAuthorizationServer(expires_in=60)
    discovered = Discovered(fake.issuer, clock=fake.clock)
    asked: list[str] = []

    async def answer(request: HTTPRequest) -> HTTPResponse:
        asked.append(request.url)
        if request.url == f"{fake.issuer}/token" and fake.metadata:
            return HTTPResponse(404, {"content-type": "application/json"}, body)
        moved = request.url.replace("/new-token", "/token")
        return await fake.respond(attrs.evolve(request, url=moved))

    async with (
        httpx.AsyncClient(transport=AppTransport(answer)) as http,
        session_over(fake, discovered, http=http) as session,
    ):
        await session.token()
        fake.metadata = {"token_endpoint": f"{fake.issuer}/new-token"}
        fake.advance(60)
        with pytest.raises(OAuthKitError):
            await session.renew()
        fake.advance(60)
        await session.renew()
    assert asked.count(f"{fake.issuer}/new-token") == 1
    assert asked.count(f"{fake.issuer}/token") == 2
    assert len(fake.metadata_requests) == 2


class Down(httpx.AsyncBaseTransport):
    """Reach no token endpoint."""

    def __init__(self, fake: FakeAuthorizationServer, error: type[httpx.TransportError]) -> None:
        self.fake, self.error = fake.transport(), error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            message = "nothing there"
            raise self.error(message)
        return await self.fake.handle_async_request(request)


@pytest.mark.parametrize("error, looks", [(httpx.ConnectError, 2), (httpx.ReadError, 1)])
async def test_an_endpoint_that_cannot_be_reached_may_have_moved(
    error: type[httpx.TransportError], looks: int
) -> None:
    """MD-12: one that was reached, and did not answer, has not."""
    fake = FakeAuthorizationServer()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with httpx.AsyncClient(transport=Down(fake, error)) as http:
        await discovered.server(http)
        fake.advance(60)
        source = discovered.over(http)
        exchange = Exchange(partial(send, http), source, fake.client_auth, clock=fake.clock)
        with pytest.raises(TransportError):
            await exchange.one_try(ClientCredentials())
        await discovered.server(http)

    assert len(fake.metadata_requests) == looks


async def test_a_refusal_that_says_nothing_of_the_endpoint_raises_no_doubt() -> None:
    fake = FakeAuthorizationServer()
    async with session_over(fake, Discovered(fake.issuer, clock=fake.clock)) as session:
        await session.token()
        fake.advance(60)
        fake.fail_next(400)
        with pytest.raises(ResponseError):
            await session.renew()
        fake.advance(60)
        await session.renew()
    assert len(fake.metadata_requests) == 1


def test_the_fake_answers_without_a_transport_too() -> None:
    fake = FakeAuthorizationServer(client_secret=None, metadata={"token_endpoint": None})
    response = fake.answer(HTTPRequest("GET", f"{ISSUER}/.well-known/openid-configuration"))
    said = json.loads(response.content)

    assert said["issuer"] == fake.issuer
    assert said["token_endpoint_auth_methods_supported"] == ["none"]
    assert "token_endpoint" not in said
    assert len(fake.metadata_requests) == 1


async def test_sessions_of_one_issuer_share_what_is_found() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with session_over(fake, discovered, store=store, key="application") as session:
        for number in range(5):
            mine = session.for_key(f"user {number}", grant=ClientCredentials())
            await mine.token()
    assert len(fake.metadata_requests) == 1
    assert len(fake.token_requests) == 5


async def test_a_token_of_the_issuer_found_by_hand_fits_and_one_of_another_does_not() -> None:
    fake, store = FakeAuthorizationServer(), MemoryStore()
    await store.save("ada", attrs.evolve(fake.issue(), issuer=fake.issuer))
    await store.save("eve", attrs.evolve(fake.issue(), issuer="https://b.example"))
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with session_over(fake, discovered, store=store, key="ada") as session:
        await session.token()
        with pytest.raises(ConfigurationError, match=r"issued by https://b\.example"):
            await session.for_key("eve").token()
    assert fake.metadata_requests == []


async def test_a_token_that_names_no_issuer_fits_where_its_endpoint_is_the_issuers() -> None:
    """AT-03: a session over an issuer sends it nothing that another server gave."""
    fake, store = FakeAuthorizationServer(), MemoryStore()
    theirs = Token("theirs", refresh_token="theirs", token_endpoint="https://a.example/token")
    await store.save("eve", theirs)
    await store.save("ada", attrs.evolve(fake.issue(), token_endpoint=f"{fake.issuer}/token"))
    discovered = Discovered(fake.issuer, clock=fake.clock)
    async with session_over(fake, discovered, store=store, key="ada") as session:
        await session.token()
        with pytest.raises(ConfigurationError, match=r"issued by https://a\.example"):
            await session.for_key("eve").token()
    assert fake.token_requests == []


async def test_the_token_goes_to_the_issuers_origin_and_to_no_other() -> None:
    """AT-74."""
    fake = FakeAuthorizationServer(metadata={"token_endpoint": "https://tokens.example/token"})
    async with session_over(fake, Discovered(fake.issuer, clock=fake.clock)) as session:
        with pytest.raises(ConfigurationError, match=r"may not have this session's token"):
            await session.get("https://tokens.example/report")
    assert fake.api_requests == []


async def test_a_login_at_a_found_server_needs_its_authorization_endpoint() -> None:
    """MD-06, MD-09."""
    fake = FakeAuthorizationServer()
    begin: Callable[..., AuthorizationRequest] = partial(
        AuthorizationRequest.new, client_id="client", redirect_uri="https://app.example/callback"
    )
    async with client(fake) as http:
        discovered = Discovered(fake.issuer, clock=FakeClock())
        login = begin(await discovered.server(http))
        token = await fetch_token(
            http,
            await discovered.server(http),
            fake.client_auth,
            login.accept(fake.authorize(login.url)),
            clock=fake.clock,
        )
        assert token.issuer == fake.issuer
        for url, message in ((None, "names no auth"), ("javascript:alert(1)", "must be an abs")):
            fake.metadata = {"authorization_endpoint": url}
            server = await discover(http, fake.issuer)
            with pytest.raises(ConfigurationError, match=message):
                begin(server)
