import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import respx

from oauthkit.testing import FakeAuthorizationServer, FakeClock
from oauthkit.testing.conversion import Api, LostAnswerError

GRANT = {"grant_type": "client_credentials"}

Mount = Callable[
    [FakeAuthorizationServer, Api | None], AbstractAsyncContextManager[httpx.AsyncClient]
]


@asynccontextmanager
async def on_a_transport(
    fake: FakeAuthorizationServer, api: Api | None
) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=fake.transport(api), base_url="https://api.example"
    ) as http:
        yield http


@asynccontextmanager
async def on_respx(
    fake: FakeAuthorizationServer, api: Api | None
) -> AsyncGenerator[httpx.AsyncClient]:
    async with (
        respx.mock(assert_all_called=False) as router,
        httpx.AsyncClient(base_url="https://api.example") as http,
    ):
        fake.mount(router, api)
        yield http
        assert router["token"].call_count == len(fake.token_requests)


@asynccontextmanager
async def on_asgi(
    fake: FakeAuthorizationServer, api: Api | None
) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(fake.asgi(api)), base_url="https://api.example"
    ) as http:
        yield http


@asynccontextmanager
async def on_a_socket(
    fake: FakeAuthorizationServer, api: Api | None
) -> AsyncGenerator[httpx.AsyncClient]:
    async with fake.serve(api) as url, httpx.AsyncClient(base_url=url) as http:
        yield http


@pytest.fixture(params=[on_a_transport, on_respx, on_asgi, on_a_socket])
def mount(request: pytest.FixtureRequest) -> Mount:
    mount: Mount = request.param
    return mount


async def fetch(http: httpx.AsyncClient, fake: FakeAuthorizationServer) -> httpx.Response:
    return await http.post(
        fake.server.token_endpoint, data=GRANT, auth=(fake.client_id, str(fake.client_secret))
    )


async def test_a_token_is_fetched_and_lets_its_bearer_in(mount: Mount) -> None:
    fake = FakeAuthorizationServer()
    async with mount(fake, None) as http:
        token = (await fetch(http, fake)).json()["access_token"]
        report = await http.get("/report?page=2", headers={"authorization": f"Bearer {token}"})
        refused = await http.get("/report")

    assert report.json() == {"path": "/report"}
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="fake"'
    assert [request.status_code for request in fake.api_requests] == [200, 401]
    assert fake.api_requests[0].url.endswith("/report?page=2")
    assert fake.token_requests[0].parameters == GRANT


async def test_an_api_function_answers_who_has_a_live_token(mount: Mount) -> None:
    asked: list[bytes] = []

    def api(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        return httpx.Response(
            201, headers=[("x-tag", "a"), ("x-tag", "b")], json={"path": request.url.path}
        )

    fake = FakeAuthorizationServer()
    headers = {"authorization": f"Bearer {fake.issue().access_token}"}
    async with mount(fake, api) as http:
        made = await http.post("/things", content=b"body", headers=headers)
        refused = await http.post("/things", content=b"body")

    assert (made.status_code, made.json()) == (201, {"path": "/things"})
    assert made.headers.get_list("x-tag") == ["a", "b"]
    assert refused.status_code == 401
    assert asked == [b"body"]


async def test_an_api_function_may_be_async_and_stream(mount: Mount) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=chunks())

    fake = FakeAuthorizationServer()
    headers = {"authorization": f"Bearer {fake.issue().access_token}"}
    async with mount(fake, api) as http:
        answer = await http.get("/things", headers=headers)

    assert answer.content == b"one two"


async def test_an_api_function_may_stream_from_an_iterator(mount: Mount) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one "
        yield b"two"

    fake = FakeAuthorizationServer()
    headers = {"authorization": f"Bearer {fake.issue().access_token}"}
    async with mount(fake, lambda _: httpx.Response(200, content=chunks())) as http:
        answer = await http.get("/things", headers=headers)

    assert answer.content == b"one two"


async def test_a_browser_is_redirected_by_the_authorization_endpoint(mount: Mount) -> None:
    fake = FakeAuthorizationServer()
    async with mount(fake, None) as http:
        answer = await http.get(
            str(fake.server.authorization_endpoint),
            params={
                "response_type": "code",
                "client_id": "client",
                "redirect_uri": "https://app.example/cb",
            },
        )

    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://app.example/cb?code=code-1&iss=http")


async def test_a_lost_answer_is_a_broken_connection_after_the_work_was_done(
    mount: Mount,
) -> None:
    fake = FakeAuthorizationServer()
    async with mount(fake, None) as http:
        fake.lose_next_answer()
        with pytest.raises((httpx.RemoteProtocolError, LostAnswerError)):
            await fetch(http, fake)
        answer = await fetch(http, fake)

    assert answer.json()["access_token"] == "access-token-2"


async def test_the_next_requests_fail_as_ordered_and_are_not_worked_on(mount: Mount) -> None:
    fake = FakeAuthorizationServer()
    fake.fail_next(times=2)
    fake.fail_next(429, headers={"retry-after": "7"}, content=b"slow down")
    async with mount(fake, None) as http:
        answers = [await fetch(http, fake) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [503, 503, 429, 200]
    assert (answers[2].headers["retry-after"], answers[2].text) == ("7", "slow down")
    assert answers[3].json()["access_token"] == "access-token-1"
    assert [request.status_code for request in fake.token_requests] == [503, 503, 429, 200]


async def test_an_ordered_answer_may_come_from_a_server_with_another_clock(mount: Mount) -> None:
    fake, date = FakeAuthorizationServer(), "Tue, 14 Nov 2000 22:13:20 GMT"
    fake.fail_next(503, headers={"date": date})
    async with mount(fake, None) as http:
        answers = [await fetch(http, fake) for _ in range(2)]

    assert answers[0].headers.get_list("date") == [date]
    assert answers[1].headers["date"] != date


async def test_a_slow_answer_moves_the_fake_clock(mount: Mount) -> None:
    fake = FakeAuthorizationServer(clock=FakeClock())
    began = fake.clock.time()
    fake.slow_next(20)
    async with mount(fake, None) as http:
        await fetch(http, fake)
        await fetch(http, fake)

    assert fake.clock.time() == began + 20
    assert [request.at for request in fake.token_requests] == [began, began + 20]


async def test_a_slow_answer_takes_real_time_on_the_real_clock() -> None:
    fake = FakeAuthorizationServer(clock=time)
    fake.slow_next(3600)
    answered = anyio.Event()

    async def ask(http: httpx.AsyncClient) -> None:
        await fetch(http, fake)
        answered.set()

    async with on_a_transport(fake, None) as http, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, http)
        with anyio.fail_after(10):
            while not fake.token_requests:  # noqa: ASYNC110 - the server tells nobody
                await anyio.sleep(0.001)
        with anyio.move_on_after(0.01):
            await answered.wait()
        assert not answered.is_set()
        tasks.cancel_scope.cancel()


async def test_held_answers_wait_until_they_are_released(mount: Mount) -> None:
    fake = FakeAuthorizationServer()
    answers: list[httpx.Response] = []

    async def ask(http: httpx.AsyncClient) -> None:
        answers.append(await fetch(http, fake))

    async with mount(fake, None) as http, anyio.create_task_group() as tasks:
        with fake.hold() as held:
            tasks.start_soon(ask, http)
            tasks.start_soon(ask, http)
            await held.arrived(2)
            assert (len(fake.token_requests), answers) == (2, [])

            held.release()
            await ask(http)

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_held_answers_go_when_the_block_ends() -> None:
    fake = FakeAuthorizationServer()
    async with on_a_transport(fake, None) as http, anyio.create_task_group() as tasks:
        with fake.hold() as held:
            tasks.start_soon(fetch, http, fake)
            await held.arrived()

    assert len(fake.token_requests) == 1


async def test_waiting_for_a_request_that_does_not_come_has_a_deadline() -> None:
    with FakeAuthorizationServer().hold() as held, pytest.raises(TimeoutError):
        await held.arrived(timeout=0.01)


async def test_the_issuer_is_the_url_while_the_server_is_on_a_socket() -> None:
    fake = FakeAuthorizationServer()
    async with fake.serve() as url:
        assert fake.server.token_endpoint == f"{url}/token"
        assert url.startswith("http://127.0.0.1:")
    assert fake.issuer == "https://auth.example"


async def test_a_body_that_cannot_be_sent_twice_shows_it_on_the_transport() -> None:
    """Unlike `httpx.MockTransport`, which reads request bodies first."""

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    fake = FakeAuthorizationServer()
    async with on_a_transport(fake, None) as http:
        request = http.build_request("POST", "/things", content=body())
        await http.send(request)
        with pytest.raises(httpx.StreamConsumed):
            await http.send(request)

    assert fake.api_requests[0].content == b"once"


async def test_a_client_of_httpx2_is_served_over_asgi() -> None:
    fake = FakeAuthorizationServer()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(fake.asgi())) as http:
        answer = await http.post(fake.server.token_endpoint, data=GRANT, auth=("client", "secret"))

    assert answer.json()["access_token"] == "access-token-1"


async def test_an_asgi_server_is_told_that_the_application_started_and_stopped() -> None:
    incoming = ["lifespan.startup", "lifespan.shutdown"]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": incoming.pop(0)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    await FakeAuthorizationServer().asgi()({"type": "lifespan"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_asgi_scope_without_host_and_raw_path_is_understood() -> None:
    """ASGI makes both optional."""
    messages: list[MutableMapping[str, Any]] = []
    chunks: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]

    async def receive() -> dict[str, Any]:
        return chunks.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    fake = FakeAuthorizationServer()
    scope: dict[str, Any] = {
        "type": "http",
        "method": "PUT",
        "path": "/a b",
        "headers": [],
        "server": ("127.0.0.1", 80),
    }
    await fake.asgi()(scope, receive, send)

    assert (fake.api_requests[0].url, fake.api_requests[0].content) == (
        "http://127.0.0.1:80/a%20b",
        b"ab",
    )
    assert messages[0]["status"] == 401


async def test_what_is_not_below_the_issuer_is_the_api() -> None:
    fake = FakeAuthorizationServer(issuer="https://host.example/realm")
    async with httpx.AsyncClient(transport=fake.transport()) as http:
        token = (await fetch(http, fake)).json()["access_token"]
        bearer = {"authorization": f"Bearer {token}"}
        report = await http.get("https://host.example/token", headers=bearer)

    assert report.json() == {"path": "/token"}
    assert len(fake.token_requests) == len(fake.api_requests) == 1


async def test_an_error_of_the_api_function_reaches_the_test(mount: Mount) -> None:
    def api(request: httpx.Request) -> httpx.Response:
        message = "the test's own mistake"
        raise LookupError(message)

    fake = FakeAuthorizationServer()
    headers = {"authorization": f"Bearer {fake.issue().access_token}"}

    async def call() -> None:
        async with mount(fake, api) as http:
            assert (await http.get("/things", headers=headers)).status_code == 500

    with pytest.raises(LookupError, match="own mistake"):
        await call()


async def test_a_session_runs_on_the_fake_server_and_its_clock() -> None:
    fake = FakeAuthorizationServer(expires_in=60)

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"pages": 3})

    async with fake.session(api) as session:
        await session.get("/report")
        fake.advance(61)
        report = await session.get("/report")

    assert report.json() == {"pages": 3}
    assert len(fake.token_requests) == 2


async def test_a_session_takes_a_client_and_keywords_of_its_own() -> None:
    fake = FakeAuthorizationServer()
    async with (
        on_a_transport(fake, None) as http,
        fake.session(
            http=http, grant=None, token=fake.issue(), base_url="https://other.example"
        ) as session,
    ):
        answer = await session.get("/report")
        assert not http.is_closed

    assert answer.json() == {"path": "/report"}
    assert fake.api_requests[0].url == "https://other.example/report"
    assert fake.token_requests == []
