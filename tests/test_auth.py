import io
import mimetypes
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import respx

from oauthkit import (
    AsyncTokenSession,
    AuthorizationServer,
    ConfigurationError,
    MemoryStore,
    Rejection,
    ResponseError,
    TransportError,
)
from oauthkit.auth import auth_class
from oauthkit.events import Event, OtherSchemeRequired
from oauthkit.testing import FakeAuthorizationServer

mimetypes.init()  # httpx asks it about files; it reads the system's list at the first question


def strict(fake: FakeAuthorizationServer, *challenges: str, times: int = 1) -> Any:
    """Return an API that refuses so many requests, whatever token they carry."""
    left = times

    def api(request: httpx.Request) -> httpx.Response:
        nonlocal left
        if left:
            left -= 1
            headers = [("www-authenticate", value) for value in challenges]
            return httpx.Response(401, headers=headers)
        return httpx.Response(200, content=request.content)

    return api


def carried(fake: FakeAuthorizationServer) -> list[str | None]:
    return [request.headers.get("authorization") for request in fake.api_requests]


# What a request carries


async def test_the_token_is_in_the_authorization_header_and_nowhere_else() -> None:
    """BT-01, BT-02: one way, with the scheme's own spelling."""
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.post("/report", data={"a": "b"}, params={"c": "d"})
    (request,) = fake.api_requests
    assert request.headers.get_all("authorization") == ("Bearer access-token-1",)
    assert "access-token" not in request.url
    assert b"access-token" not in request.content


@pytest.mark.parametrize("spelling", ["bearer", "BEARER", "Bearer"])
async def test_the_scheme_is_bearer_however_the_server_spells_it(spelling: str) -> None:
    """BT-02."""
    fake = FakeAuthorizationServer(extra={"token_type": spelling})
    async with fake.session() as session:
        await session.get("/")
    assert carried(fake) == ["Bearer access-token-1"]


async def test_a_header_of_the_callers_own_is_replaced() -> None:
    """BT-01."""
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.get("/", headers={"authorization": "Basic x"})
    assert carried(fake) == ["Bearer access-token-1"]


async def test_without_auth_nothing_is_carried_anywhere() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.get("/", auth=None)
        await session.get("http://elsewhere.example/", auth=None)
    assert carried(fake) == [None, None]
    assert fake.token_requests == []


@pytest.mark.parametrize(
    "member, value, reason",
    [
        ("token_type", "mac", "only Bearer tokens are sent"),
        ("access_token", "a\r\nx-evil: 1", "no header may carry"),
        ("access_token", "schlüssel", "no header may carry"),
    ],
)
async def test_what_no_header_may_carry_never_meets_one(
    member: str, value: str, reason: str
) -> None:
    fake = FakeAuthorizationServer(extra={member: value})
    async with fake.session() as session:
        for _ in range(2):
            with pytest.raises(ResponseError) as caught:
                await session.get("/")
            assert reason in str(caught.value).replace("which no header\n", "")
    assert fake.api_requests == []
    assert len(fake.token_requests) == 1


# Where it may go


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://api.example.evil.example/",
        "https://api.example:444/",
        "http://api.example/",
        "https://sub.api.example/",
        "https://api.example@evil.example/",
        "//evil.example/",
        "https:\\\\evil.example/",
    ],
)
async def test_another_origin_is_refused_before_a_byte_is_sent(url: str) -> None:
    """AT-09, AT-74, BC-11, BT-11: and the error names the argument that would allow it."""
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        with pytest.raises((ConfigurationError, httpx.InvalidURL)):
            await session.get(url)
    assert not fake.api_requests
    assert not fake.token_requests


async def test_the_refusal_says_what_is_allowed_and_how_to_allow_more() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.get("https://evil.example/")
    for words in ("https://evil.example", "https://api.example", "origins=", "auth=None"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/",
        "https://API.example:443/",
        "https://more.example/x",
        "https://auth.example/userinfo",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "https://[::1]:8443/",
    ],
)
async def test_the_origins_that_were_named_have_it(url: str) -> None:
    """BC-11."""
    fake = FakeAuthorizationServer()
    origins = ["https://more.example/any/path", "https://bücher.example", "https://[::1]:8443"]
    async with fake.session(origins=origins) as session:
        assert (await session.get(url)).status_code == 200


async def test_the_origin_rule_goes_with_the_auth_that_is_lent() -> None:
    """AT-74."""
    fake = FakeAuthorizationServer()
    async with (
        fake.session() as session,
        httpx.AsyncClient(transport=fake.transport(), auth=session.auth) as sdk,
    ):
        assert (await sdk.get("https://api.example/")).status_code == 200
        with pytest.raises(ConfigurationError):
            await sdk.get("https://evil.example/")


# 401


async def test_a_revoked_token_is_renewed_and_the_request_repeated_once() -> None:
    """BT-08, AT-83."""
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.get("/")
        fake.revoke_access_tokens()
        response = await session.post("/report", json={"n": 1})
    assert response.status_code == 200
    assert [request.status_code for request in fake.api_requests] == [200, 401, 200]
    assert fake.api_requests[1].content == fake.api_requests[2].content == b'{"n":1}'


async def test_a_second_401_is_handed_back() -> None:
    """BT-08: one refresh, one repeat."""
    fake = FakeAuthorizationServer()
    async with fake.session(strict(fake, 'Bearer error="invalid_token"', times=9)) as session:
        await session.token()
        response = await session.get("/")
    assert response.status_code == 401
    assert len(fake.api_requests) == 2
    assert len(fake.token_requests) == 2


async def test_a_401_to_a_token_fetched_by_this_very_call_is_handed_back() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(strict(fake)) as session:
        assert (await session.get("/")).status_code == 401
        assert (await session.get("/")).status_code == 200
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize(
    "challenges",
    [
        [],
        ['Bearer realm="x"'],
        ['Bearer realm="x", error="invalid_token"'],
        ['error="invalid_token"'],
        ['Bearer error="invalid_request"'],
        ["Negotiate abc", 'Bearer realm="x"'],
        ['Basic realm="y", error="insufficient_scope"', "Bearer"],
    ],
    ids=str,
)
async def test_a_401_that_a_new_token_may_cure_is_tried(challenges: list[str]) -> None:
    """BT-09: without an error code the token is not taken for revoked, and one renewal is tried."""
    fake = FakeAuthorizationServer()
    async with fake.session(strict(fake, *challenges)) as session:
        await session.token()
        assert (await session.get("/")).status_code == 200
    assert len(fake.token_requests) == 2


@pytest.mark.parametrize("error", ["insufficient_scope", "use_dpop_nonce"])
async def test_a_401_that_a_new_token_cannot_cure_is_handed_back(error: str) -> None:
    """BT-10: no renewal is tried; the challenge is there to be read."""
    fake = FakeAuthorizationServer()
    challenges = "Negotiate", f'Bearer error="{error}", scope="admin"'
    async with fake.session(strict(fake, *challenges, times=9)) as session:
        await session.token()
        response = await session.get("/")
    assert response.status_code == 401
    assert f'error="{error}"' in response.headers["www-authenticate"]
    assert len(fake.token_requests) == 1


@pytest.mark.parametrize(
    "challenge", ['Basic realm="x"', "Negotiate abc", 'DPoP error="use_dpop_nonce"']
)
async def test_a_lone_challenge_of_another_scheme_spends_nothing_and_is_told_once(
    challenge: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake, told = FakeAuthorizationServer(), list[Event]()
    api = strict(fake, challenge, times=9)
    async with fake.session(api, on_event=told.append) as session:
        await session.token()
        told.clear()
        for _ in range(3):
            assert (await session.get("/")).status_code == 401
    assert len(fake.token_requests) == 1
    assert len(fake.api_requests) == 3
    (event,) = told
    assert isinstance(event, OtherSchemeRequired)
    assert event.schemes == challenge.partition(" ")[0].lower()
    for words in ("no token was renewed", "auth=", "renew_on="):
        assert words in caplog.text


async def test_what_an_api_asks_for_instead_is_told_once_for_all_keys() -> None:
    fake, told = FakeAuthorizationServer(), list[Event]()
    api = strict(fake, "Basic", times=9)
    async with fake.session(api, store=MemoryStore(), key="app", on_event=told.append) as session:
        for key in ("ada", "bob"):
            assert (await session.for_key(key, grant=fake.grant).get("/")).status_code == 401
    assert [event.key for event in told if isinstance(event, OtherSchemeRequired)] == ["ada"]


async def test_an_api_that_makes_schemes_up_fills_no_log() -> None:
    fake, told = FakeAuthorizationServer(), list[Event]()
    schemes = iter(range(100))

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, headers={"www-authenticate": f"Scheme{next(schemes)}"})

    async with fake.session(api, on_event=told.append) as session:
        for _ in range(30):
            await session.get("/")
    assert sum(isinstance(event, OtherSchemeRequired) for event in told) == 8


async def test_a_403_can_be_declared_to_mean_a_dead_token() -> None:
    fake = FakeAuthorizationServer()
    answers = [httpx.Response(403), httpx.Response(200)]
    async with fake.session(
        lambda _: answers.pop(0), renew_on=[Rejection(), Rejection(status=403)]
    ) as session:
        await session.token()
        assert (await session.get("/")).status_code == 200
    assert len(fake.token_requests) == 2


async def test_a_declared_403_that_asks_for_more_scope_is_handed_back() -> None:
    """BT-10."""
    fake = FakeAuthorizationServer()
    headers = {"www-authenticate": 'Bearer error="insufficient_scope", scope="admin"'}
    async with fake.session(
        lambda _: httpx.Response(403, headers=headers), renew_on=Rejection(status=403)
    ) as session:
        await session.token()
        assert (await session.get("/")).status_code == 403
    assert len(fake.token_requests) == 1


async def test_without_a_rule_no_answer_renews() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(renew_on=()) as session:
        await session.token()
        fake.revoke_access_tokens()
        assert (await session.get("/")).status_code == 401
    assert len(fake.token_requests) == 1


async def test_an_api_that_says_basic_and_means_bearer_can_be_declared() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(
        strict(fake, 'Basic realm="x"'), renew_on=Rejection(schemes={"Basic"})
    ) as session:
        await session.token()
        assert (await session.get("/")).status_code == 200
    assert len(fake.token_requests) == 2


async def test_the_rules_go_with_every_key_and_with_the_auth_that_is_lent() -> None:
    fake = FakeAuthorizationServer()
    answers = [httpx.Response(403), httpx.Response(200)] * 2
    http = httpx.AsyncClient(transport=fake.transport(lambda _: answers.pop(0)))
    async with http, fake.session(http=http, renew_on=Rejection(status=403)) as session:
        ada = session.for_key("ada", grant=fake.grant)
        await ada.token()
        assert (await ada.get("/")).status_code == 200
        await session.token()
        assert (await http.get("https://api.example/", auth=session.auth)).status_code == 200


async def test_a_403_is_handed_back() -> None:
    """BT-10."""
    fake = FakeAuthorizationServer()
    headers = {"www-authenticate": 'Bearer error="insufficient_scope", scope="admin"'}
    async with fake.session(lambda _: httpx.Response(403, headers=headers)) as session:
        await session.token()
        assert (await session.get("/")).status_code == 403
    assert len(fake.token_requests) == 1


async def test_a_renewal_that_fails_after_a_401_is_raised() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session(strict(fake)) as session:
        await session.token()
        fake.lose_next_answer(times=3)
        with pytest.raises(TransportError):
            await session.get("/")


# Bodies


async def chunks() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


class Pipe(io.BytesIO):
    """A file that cannot be rewound."""

    def seekable(self) -> bool:
        return False


class Odd:
    """A file that does not say whether it can be rewound."""

    def __init__(self) -> None:
        self.left = b"odd"

    def read(self, size: int = -1) -> bytes:
        left, self.left = self.left, b""
        return left


REPEATABLE: dict[str, Any] = {
    "nothing": {},
    "bytes": {"content": b"x"},
    "text": {"content": "x"},
    "json": {"json": {"a": 1}},
    "form": {"data": {"a": "1"}},
    "multipart of bytes": {"files": {"f": b"x"}, "data": {"a": "1"}},
    "multipart of text": {"files": {"f": ("name", "x")}},
}


@pytest.mark.parametrize("options", REPEATABLE.values(), ids=list(REPEATABLE))
async def test_a_body_that_can_be_sent_twice_is(options: dict[str, Any]) -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
        fake.revoke_access_tokens()
        assert (await session.post("/", **options)).status_code == 200
    first, second = fake.api_requests
    assert first.content == second.content


async def test_a_file_that_can_be_rewound_is_sent_twice() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
        fake.revoke_access_tokens()
        response = await session.post("/", files={"f": io.BytesIO(b"content")})
    assert response.status_code == 200
    first, second = fake.api_requests
    assert first.content == second.content
    assert b"content" in first.content


ONCE: dict[str, Any] = {
    "generator": lambda: {"content": chunks()},
    "pipe": lambda: {"files": {"f": Pipe(b"x")}},
    "odd file": lambda: {"files": {"f": Odd()}},
}


@pytest.mark.parametrize("options", ONCE.values(), ids=list(ONCE))
async def test_a_body_that_can_be_sent_once_is_never_replayed(options: Any) -> None:
    """The 401 is handed back, and the next request has a new token."""
    fake = FakeAuthorizationServer()
    async with fake.session() as session:
        await session.token()
        fake.revoke_access_tokens()
        assert (await session.post("/", **options())).status_code == 401
        assert (await session.post("/", **options())).status_code == 200
    assert len(fake.token_requests) == 2
    assert len(fake.api_requests) == 2


async def test_a_one_time_body_behind_a_redirect_is_never_replayed() -> None:
    """The redirected request has no body, and the repeated one would have a spent one."""
    fake = FakeAuthorizationServer()

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example":
            return await fake.transport().handle_async_request(request)
        if request.method == "POST":
            async for _ in request.stream:  # type: ignore[union-attr]
                pass
            return httpx.Response(303, headers={"location": "/result"})
        return httpx.Response(401)

    class Handler(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await handle(request)

    async with (
        httpx.AsyncClient(transport=Handler(), follow_redirects=True) as http,
        fake.session(http=http) as session,
    ):
        await session.token()
        response = await session.post("/", content=chunks())
    assert response.status_code == 401
    assert len(fake.token_requests) == 1


# Redirects, in process; see also wire/


async def test_a_redirect_to_another_origin_loses_the_token_and_its_401_renews_nothing() -> None:
    """BT-12, AT-29."""
    seen: dict[str, str | None] = {}
    fake = FakeAuthorizationServer()

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example":
            return await fake.transport().handle_async_request(request)
        seen[request.url.host] = request.headers.get("authorization")
        if request.url.host == "api.example":
            return httpx.Response(302, headers={"location": "https://evil.example/"})
        return httpx.Response(401)

    transport = httpx.MockTransport(handle)
    async with (
        httpx.AsyncClient(transport=transport, follow_redirects=True) as http,
        fake.session(http=http) as session,
    ):
        await session.token()
        response = await session.get("/")
    assert response.status_code == 401
    assert seen == {"api.example": "Bearer access-token-1", "evil.example": None}
    assert len(fake.token_requests) == 1


PLAIN: Any = AuthorizationServer("http://auth.example/token", allow_plain_http=True)


class Upgrading:
    """Answers plain http with a redirect to https, and remembers what came by which."""

    def __init__(
        self, library: ModuleType, fake: FakeAuthorizationServer, host: str = "api.example"
    ) -> None:
        self.host = host
        self.seen: dict[str, str | None] = {}
        self.library = library
        self.client = library.AsyncClient(
            transport=library.MockTransport(self.answer), follow_redirects=True
        )

    def answer(self, request: Any) -> Any:
        if request.url.host == "auth.example":
            return self.library.Response(200, json={"access_token": "a", "token_type": "Bearer"})
        self.seen[str(request.url)] = request.headers.get("authorization")
        if request.url.scheme == "http":
            return self.library.Response(301, headers={"location": f"https://{self.host}/x"})
        return self.library.Response(200)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("host", ["api.example", "bücher.example"])
@pytest.mark.parametrize("taken", [None, "Bearer a"])
async def test_from_http_to_https_the_token_goes_where_that_was_named(
    library: ModuleType, host: str, taken: str | None
) -> None:
    """Also a host of any letters: the libraries show it decoded, an origin is written in ASCII."""
    fake, in_ascii = FakeAuthorizationServer(), host.encode("idna").decode()
    api, more = Upgrading(library, fake, host=in_ascii), [f"https://{host}"] if taken else []
    async with (
        api.client as http,
        fake.session(http=http, server=PLAIN, base_url=f"http://{host}", origins=more) as session,
    ):
        await session.get("/x")
    assert api.seen == {f"http://{in_ascii}/x": "Bearer a", f"https://{in_ascii}/x": taken}


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_from_http_to_https_credentials_of_the_callers_own_go_as_the_library_has_it(
    library: ModuleType,
) -> None:
    api, own = Upgrading(library, FakeAuthorizationServer()), {"Authorization": "Basic abc"}
    async with api.client as http, FakeAuthorizationServer().session(http=http) as session:
        await session.get("http://api.example/x", headers=own, auth=None)
    assert api.seen == dict.fromkeys(["http://api.example/x", "https://api.example/x"], "Basic abc")


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("named", [False, True])
async def test_a_client_that_is_not_the_sessions_takes_it_only_where_https_was_named_too(
    library: ModuleType, *, named: bool
) -> None:
    fake = FakeAuthorizationServer()
    api, own = Upgrading(library, fake), Upgrading(library, fake)
    more = ["https://api.example"] if named else []
    async with (
        api.client as http,
        own.client as session_http,
        fake.session(
            http=session_http, server=PLAIN, base_url="http://api.example", origins=more
        ) as session,
    ):
        auth = session.auth_for(library)
        if named:
            assert (await http.get("http://api.example/x", auth=auth)).status_code == 200
            assert set(api.seen.values()) == {"Bearer a"}
        else:
            with pytest.raises(ConfigurationError, match=r"https://api\.example was not named"):
                await http.get("http://api.example/x", auth=auth)
            assert not api.seen


# Lent


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Lend to clients of both HTTP libraries."""
    module: ModuleType = request.param
    return module


async def test_clients_of_both_libraries_take_it(library: ModuleType) -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        fake.session(http=library.AsyncClient(), base_url=url) as session,
        library.AsyncClient(auth=session.auth_for(library), base_url=url) as sdk,
    ):
        assert isinstance(session.auth_for(sdk), library.Auth)
        assert (await sdk.get("/one")).status_code == 200
        fake.revoke_access_tokens()
        statuses = {(await sdk.post("/two", json={})).status_code for _ in range(3)}
        assert statuses == {200}
        await session.http.aclose()
    assert len(fake.token_requests) == 2


async def test_an_httpx_session_lends_to_an_httpx2_client() -> None:
    fake = FakeAuthorizationServer()
    async with (
        fake.serve() as url,
        httpx.AsyncClient() as http,
        fake.session(http=http, base_url=url) as session,
        httpx2.AsyncClient(auth=session.auth_for(httpx2)) as sdk,
    ):
        assert (await sdk.get(f"{url}/one")).status_code == 200


async def test_a_synchronous_client_is_told_that_this_cannot_be() -> None:
    fake = FakeAuthorizationServer()
    async with fake.session() as session:

        def call() -> None:
            transport = httpx.MockTransport(lambda _: httpx.Response(200))
            with httpx.Client(transport=transport) as sync:
                sync.get("https://api.example/", auth=session.auth)

        with pytest.raises(ConfigurationError, match="asynchronous clients only"):
            await anyio.to_thread.run_sync(call)


def test_what_is_no_client_gets_none() -> None:
    fake = FakeAuthorizationServer()
    session: AsyncTokenSession[httpx.Response] = AsyncTokenSession(
        httpx.AsyncClient(), server=fake.server, client_auth=fake.client_auth
    )
    with pytest.raises(ConfigurationError, match=r"auth_for"):
        session.auth_for(object())


def test_one_class_is_made_for_each_library(library: ModuleType) -> None:
    made: Callable[[ModuleType], type[Any]] = auth_class
    assert made(library) is made(library)
    assert issubclass(made(library), library.Auth)
    assert made(library).__doc__


async def test_it_works_behind_respx(respx_mock: respx.MockRouter) -> None:
    fake = FakeAuthorizationServer()
    fake.mount(respx_mock)
    async with (
        httpx.AsyncClient() as http,
        fake.session(http=http) as session,
    ):
        await session.get("/")
        fake.revoke_access_tokens()
        assert (await session.get("/")).status_code == 200
    assert len(respx_mock.routes["token"].calls) == 2
