"""One request at a time asks a pool for a connection, and the next as soon as that one has it."""

from typing import Any, Final

import anyio
import attrs
import httpcore
import httpx
import httpx2
import pytest
import respx
from httpcore._async import http11

from oauthkit import AsyncTokenSession, Token
from oauthkit.acquisition import Line, line_of, needs_turns
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.sockets import LoopbackServer

STARTED: Final = "http11.send_request_headers.started"
CROWD: Final = 200


@attrs.define(eq=False)
class Transport:
    """Note what is sent, and answer when told."""

    sent: list[httpx.Request] = attrs.field(factory=list[httpx.Request])
    answers: dict[str, anyio.Event] = attrs.field(factory=dict[str, anyio.Event])

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        self.answers[request.url.path] = answer = anyio.Event()
        await answer.wait()
        if request.url.path == "/fails":
            message = "refused"
            raise httpx.ConnectError(message)
        return httpx.Response(200)

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.sent]

    async def told(self, path: str, what: str) -> None:
        """Tell of a request's progress, as httpcore does."""
        (request,) = (request for request in self.sent if request.url.path == path)
        await request.extensions["trace"](what, {})
        await anyio.wait_all_tasks_blocked()


@attrs.define(eq=False)
class Crowd:
    """Requests before one pool, the first of them alone."""

    line: Line = attrs.field(factory=Line)
    transport: Transport = attrs.field(factory=Transport)
    requests: dict[str, httpx.Request] = attrs.field(factory=dict[str, httpx.Request])
    failures: list[Exception] = attrs.field(factory=list[Exception])

    async def send(self, path: str, **extensions: Any) -> None:
        request = httpx.Request("GET", f"http://api.example{path}", extensions=extensions)
        self.requests[path] = request
        try:
            await self.line.send(self.transport, request, httpx)
        except httpx.TransportError as error:
            self.failures.append(error)

    async def begin(self, tasks: Any, *paths: str, **extensions: Any) -> None:
        for path in paths:
            tasks.start_soon(lambda path=path: self.send(path, **extensions))
            await anyio.wait_all_tasks_blocked()


async def test_one_that_is_alone_is_sent_as_it_is() -> None:
    crowd = Crowd()
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone")
        assert crowd.transport.sent[0].extensions == {}
        assert crowd.line.under_way == 1
        crowd.transport.answers["/alone"].set()
    assert crowd.line.under_way == 0


@pytest.mark.parametrize("event", [STARTED, "connection.connect_tcp.started"])
async def test_the_next_one_asks_when_the_one_before_has_begun_to_connect_or_to_write(
    event: str,
) -> None:
    crowd = Crowd()
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone", "/one", "/two", "/three")
        assert crowd.transport.paths == ["/alone", "/one"]
        await crowd.transport.told("/one", "connection.close.complete")
        assert crowd.transport.paths == ["/alone", "/one"]
        await crowd.transport.told("/one", event)
        assert crowd.transport.paths == ["/alone", "/one", "/two"]
        await crowd.transport.told("/one", STARTED)  # which is nobody else's turn
        assert crowd.transport.paths == ["/alone", "/one", "/two"]
        await crowd.transport.told("/two", event)
        assert crowd.transport.paths == ["/alone", "/one", "/two", "/three"]
        for answer in crowd.transport.answers.values():
            answer.set()


@pytest.mark.parametrize("path", ["/fails", "/answers"])
async def test_one_that_never_had_a_connection_lets_the_next_one_ask_at_its_end(path: str) -> None:
    crowd = Crowd()
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone", path, "/next")
        crowd.transport.answers[path].set()
        await anyio.wait_all_tasks_blocked()
        assert crowd.transport.paths == ["/alone", path, "/next"]
        for answer in crowd.transport.answers.values():
            answer.set()
    assert [str(failure) for failure in crowd.failures] == ["refused"] * (path == "/fails")


async def test_one_that_tells_nothing_is_waited_for_half_a_second() -> None:
    crowd = Crowd()
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone", "/one", "/two", "/three", "/four")
        await anyio.sleep(0.3)
        assert crowd.transport.paths == ["/alone", "/one"]
        await anyio.sleep(0.4)
        assert crowd.transport.paths == ["/alone", "/one", "/two"]
        await crowd.transport.told("/one", STARTED)  # its turn is over
        assert crowd.transport.paths == ["/alone", "/one", "/two"]
        await crowd.transport.told("/two", STARTED)
        assert crowd.transport.paths == ["/alone", "/one", "/two", "/three"]
        await anyio.sleep(0.7)
        assert crowd.transport.paths[-1] == "/four"
        for answer in crowd.transport.answers.values():
            answer.set()


async def test_mocked_requests_that_wait_for_each_other_get_through() -> None:
    """The library respx takes the place of the pool, and of all that it tells."""
    everybody, here = anyio.Event(), 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal here
        here += 1
        if here == 4:
            everybody.set()
        await everybody.wait()
        return httpx.Response(200)

    fake = FakeAuthorizationServer()
    with respx.mock, anyio.fail_after(10):
        respx.get("https://api.example/report").mock(side_effect=answer)
        async with (
            AsyncTokenSession(
                server=fake.server,
                client_auth=fake.client_auth,
                token=Token("t"),
                base_url="https://api.example",
            ) as session,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(4):
                tasks.start_soon(session.get, "/report")
    assert here == 4


async def test_one_that_is_cancelled_in_the_line_is_passed_over() -> None:
    crowd = Crowd()
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone", "/one")
        async with anyio.create_task_group() as cancelled:
            await crowd.begin(cancelled, "/cancelled")
            await crowd.begin(tasks, "/two")
            cancelled.cancel_scope.cancel()
        await crowd.transport.told("/one", STARTED)
        assert crowd.transport.paths == ["/alone", "/one", "/two"]
        for answer in crowd.transport.answers.values():
            answer.set()
    assert crowd.line.under_way == 0


async def test_the_line_is_waited_in_for_the_pool_timeout_of_the_request() -> None:
    crowd = Crowd()
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone", "/one")
        await crowd.send("/two", timeout={"pool": 0.05})
        (failure,) = crowd.failures
        assert isinstance(failure, httpx.PoolTimeout)
        assert str(failure) == "no connection of the pool was free within 0.05 s"
        assert failure.request.url.path == "/two"
        assert crowd.line.under_way == 2
        for answer in crowd.transport.answers.values():
            answer.set()


@pytest.mark.parametrize("seconds", [30.0, None])
async def test_what_was_waited_in_the_line_the_pool_need_not_wait_again(
    seconds: float | None,
) -> None:
    crowd, timeout = Crowd(), {"pool": seconds, "read": 5.0}
    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone", "/one")
        await crowd.begin(tasks, "/two", timeout=timeout)
        await anyio.sleep(0.2)
        await crowd.transport.told("/one", STARTED)
        seen = crowd.transport.sent[-1].extensions["timeout"]
        assert seen["read"] == 5.0
        if seconds is None:
            assert seen["pool"] is None
        else:
            assert 0.1 < seconds - seen["pool"] < 20
        for answer in crowd.transport.answers.values():
            answer.set()
    assert crowd.requests["/two"].extensions == {"timeout": timeout}


async def test_a_trace_of_the_callers_own_is_told_everything() -> None:
    crowd, heard = Crowd(), list[str]()

    async def trace(name: str, _: Any) -> None:
        heard.append(name)

    async with anyio.create_task_group() as tasks:
        await crowd.begin(tasks, "/alone")
        await crowd.begin(tasks, "/one", trace=trace)
        await crowd.transport.told("/one", STARTED)
        await crowd.transport.told("/one", "http11.send_request_headers.complete")
        for answer in crowd.transport.answers.values():
            answer.set()
    assert heard == [STARTED, "http11.send_request_headers.complete"]
    assert crowd.requests["/one"].extensions == {"trace": trace}


class OfOnesOwn(httpx.AsyncHTTPTransport):
    """May answer without a connection."""


async def test_turns_are_for_the_pool_of_httpx_alone() -> None:
    assert needs_turns(httpx)
    assert not needs_turns(httpx2)
    pooled, other, bare = (httpx.AsyncHTTPTransport() for _ in range(3))
    line = line_of(pooled, httpx)
    assert line is not None
    assert line_of(pooled, httpx) is line
    assert line_of(other, httpx) is not line
    for transport in (
        httpx.AsyncHTTPTransport(http2=True),
        OfOnesOwn(),
        httpx.MockTransport(lambda _: httpx.Response(200)),
    ):
        assert line_of(transport, httpx) is None
    del bare._pool
    assert line_of(bare, httpx) is None


async def retries(get: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often a request was promised a connection that another one had by then."""
    lost = 0

    class Counted(httpcore.ConnectionNotAvailable):
        def __init__(self) -> None:
            nonlocal lost
            lost += 1

    with monkeypatch.context() as patch:
        patch.setattr(http11, "ConnectionNotAvailable", Counted)
        async with anyio.create_task_group() as tasks:
            for _ in range(CROWD):
                tasks.start_soon(get, "/report")
    return lost


async def test_no_request_of_a_crowd_is_promised_a_connection_that_another_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On real sockets; httpx alone shows what it is spared."""
    fake = FakeAuthorizationServer()

    async def app(_: HTTPRequest) -> HTTPResponse:
        await anyio.sleep(0.005)
        return HTTPResponse(200, {}, b"")

    limits = httpx.Limits(max_connections=10)
    async with LoopbackServer(app) as api:
        async with httpx.AsyncClient(base_url=api.url, limits=limits, timeout=30) as http:
            alone = await retries(http.get, monkeypatch)
        async with (
            httpx.AsyncClient(base_url=api.url, limits=limits, timeout=30) as http,
            AsyncTokenSession(
                http, server=fake.server, client_auth=fake.client_auth, token=Token("t")
            ) as session,
        ):
            in_turn = await retries(session.get, monkeypatch)
    assert in_turn * 10 < alone
