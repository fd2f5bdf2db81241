"""A session in a second event loop, in another thread, or closed: it works, or says so."""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import httpx2
import httpx_aiohttp
import pytest
import trio

from oauthkit import (
    AsyncTokenSession,
    AuthorizationCode,
    AuthorizationServer,
    ClientCredentials,
    ClientSecretBasic,
    ConfigurationError,
    MemoryStore,
    PublicClient,
    ReauthorizationRequired,
    Recovery,
    TransportError,
    fetch_token,
    keeper,
)
from oauthkit.protocol.pkce import new_verifier
from oauthkit.testing import FakeClock

CLIENTS: dict[str, Callable[[], Any]] = {
    "own": lambda: None,
    "httpx": httpx.AsyncClient,
    "httpx2": httpx2.AsyncClient,
    "aiohttp": httpx_aiohttp.HttpxAiohttpClient,
}
VERBS = ["get", "post", "put", "patch", "delete", "head", "options"]
RECEIVED: list[bytes] = []
ANSWER = json.dumps({"access_token": "a", "token_type": "Bearer", "expires_in": 3600}).encode()


# What a loop that has ended leaves open is its own affair: here it is collected where it was left.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that is gone without a word is no news
            super().handle()

    def do_GET(self) -> None:
        RECEIVED.append(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    do_POST = do_GET  # noqa: N815 - as the standard library names them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A server on a socket, in a thread: it outlives every event loop."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def session_over(client: Any, base_url: str, **options: Any) -> AsyncTokenSession[Any]:
    return AsyncTokenSession(
        client,
        server=AuthorizationServer(f"{base_url}/token"),
        client_auth=ClientSecretBasic("reporter", "s3cret"),
        grant=ClientCredentials(),
        base_url=base_url,
        **options,
    )


async def report(session: AsyncTokenSession[Any]) -> int:
    return int((await session.get("/report")).status_code)


async def streamed(session: AsyncTokenSession[Any]) -> int:
    async with session.stream("GET", "/report") as response:
        await response.aread()
        return int(response.status_code)


async def lent(session: AsyncTokenSession[Any]) -> int:
    async with httpx.AsyncClient(auth=session.auth) as http:
        return (await http.get(f"{session.server.origin}/report")).status_code


async def kept(session: AsyncTokenSession[Any]) -> int:
    async with keeper(session):
        return 200


async def renewed(session: AsyncTokenSession[Any]) -> int:
    await session.renew()
    return 200


Use = Callable[[AsyncTokenSession[Any]], Coroutine[Any, Any, int]]


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
@pytest.mark.parametrize("use", [report, streamed])
def test_a_second_event_loop_is_told_that_the_client_belongs_to_the_first(
    client: Callable[[], Any], use: Use, base_url: str
) -> None:
    """Not by an error that says that nothing was sent: the API may have the request."""
    session = session_over(client(), base_url)
    assert asyncio.run(report(session)) == 200

    errors = (httpx.RemoteProtocolError, httpx2.RemoteProtocolError)
    with pytest.raises(errors, match=r"event loop that has ended; make one for each"):
        asyncio.run(use(session))


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_renewal_in_a_second_event_loop_works_or_is_told_the_same(
    client: Callable[[], Any], base_url: str
) -> None:
    session = session_over(client(), base_url)
    assert asyncio.run(report(session)) == 200
    told = ""
    try:
        assert asyncio.run(renewed(session)) == 200
    except TransportError as error:
        told = str(error)

    assert not told or "make one for each loop" in told


@pytest.mark.parametrize("client", list(CLIENTS.values())[1:], ids=list(CLIENTS)[1:])
def test_a_code_that_left_in_a_second_event_loop_does_not_leave_again(
    client: Callable[[], Any], base_url: str
) -> None:
    """It is written to a connection of the first loop, and only its answer is not to be had."""
    http, code = client(), AuthorizationCode(code=new_verifier())
    server, client_auth = AuthorizationServer(f"{base_url}/token"), PublicClient("app")
    sent = code.code.encode()

    async def warm() -> None:
        await http.get(f"{base_url}/report")

    async def exchange() -> None:
        await fetch_token(http, server, client_auth, code)

    asyncio.run(warm())
    with pytest.raises(TransportError, match="event loop that has ended; make one") as caught:
        asyncio.run(exchange())
    assert caught.value.sent
    assert caught.value.recovery is Recovery.REAUTHORIZE
    with pytest.raises(ReauthorizationRequired, match="nothing was sent"):
        asyncio.run(exchange())
    assert sum(sent in body for body in RECEIVED) <= 1


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_loop_of_another_kind_is_told_that_the_client_belongs_to_the_first(
    library: Any, base_url: str
) -> None:
    session = session_over(library.AsyncClient(), base_url)
    assert asyncio.run(report(session)) == 200

    for use in (report, renewed, streamed):
        with pytest.raises(ConfigurationError, match=r"event loop .*; make one for each loop"):
            trio.run(use, session)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_one_run_of_trio_after_another_goes_on(library: Any, base_url: str) -> None:
    session = session_over(library.AsyncClient(), base_url)

    async def last() -> int:
        status = await report(session)
        await session.http.aclose()
        return status

    assert trio.run(report, session) == 200
    assert trio.run(last) == 200


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_another_thread_is_told_at_once(client: Callable[[], Any], base_url: str) -> None:
    """Where it would hang, waiting for a connection that another loop frees.

    A fresh token is waited for by nobody, and may be read anywhere.
    """
    errors: list[BaseException] = []
    tokens: list[str] = []
    clock = FakeClock()

    def elsewhere(session: AsyncTokenSession[Any]) -> None:
        tokens.append(asyncio.run(session.token()).access_token)
        clock.advance(3600)
        for use in (report, streamed, renewed, lent, kept, AsyncTokenSession.token):
            try:
                asyncio.run(asyncio.wait_for(use(session), 10))
            except BaseException as error:  # noqa: BLE001 - it is looked at below
                errors.append(error)

    async def main() -> int:
        async with session_over(client(), base_url, clock=clock) as session:
            await report(session)
            await asyncio.to_thread(elsewhere, session)
            status = await report(session)
            if client() is not None:
                await session.http.aclose()
            return status

    assert asyncio.run(main()) == 200
    assert tokens == ["a"]
    assert [type(error) for error in errors] == [ConfigurationError] * 6
    assert {str(error)[:60] for error in errors} == {
        "this session is in use in the event loop of another thread, "
    }


def test_a_thread_may_come_after_another_whose_loop_has_ended() -> None:
    """As in a pool of threads, each with a loop for one piece of work."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=ANSWER, headers={"content-type": "application/json"})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    session = session_over(client, "https://api.example")
    statuses: list[int] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: statuses.append(asyncio.run(report(session))))
        thread.start()
        thread.join()
    asyncio.run(client.aclose())

    assert statuses == [200, 200]


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_closed_session_says_so_at_every_verb(client: Callable[[], Any], base_url: str) -> None:
    async def main() -> None:
        http = client()
        async with session_over(http, base_url) as session:
            await report(session)
            open_and_closed = [session.is_closed]
        open_and_closed.append(session.is_closed)
        assert open_and_closed == [False, True]
        calls = [getattr(session, verb) for verb in VERBS]
        for call in calls:
            with pytest.raises(ConfigurationError, match="this session is closed; make a new one"):
                await call("/report")
        for use in (streamed, renewed, lent, kept, AsyncTokenSession.token):
            with pytest.raises(ConfigurationError, match="this session is closed; make a new one"):
                await use(session)
        await session.aclose()
        if http is not None:
            await http.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("use", [report, streamed, renewed])
def test_a_session_over_a_client_that_was_closed_says_so(use: Use, base_url: str) -> None:
    async def main() -> None:
        client = httpx.AsyncClient()
        session = session_over(client, base_url)
        await client.aclose()
        with pytest.raises(ConfigurationError, match="the HTTP client is closed; keep it open"):
            await use(session)

    asyncio.run(main())


def test_a_hook_that_raises_the_words_of_a_closed_client_is_the_cause(base_url: str) -> None:
    async def check(request: httpx.Request) -> None:
        raise own

    async def main() -> None:
        async with httpx.AsyncClient(event_hooks={"request": [check]}) as client:
            await report(session_over(client, base_url))

    own = RuntimeError("the database Session is closed")
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(main())
    assert caught.value.__cause__ is own


def test_what_is_raised_within_a_stream_is_the_callers_own(base_url: str) -> None:
    async def main() -> None:
        session = session_over(None, base_url)
        async with session, session.stream("GET", "/report"):
            message = "Event loop is closed"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        asyncio.run(main())


def test_another_fault_of_a_client_is_its_own() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        message = "of the caller's own transport"
        raise RuntimeError(message)

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
            session = session_over(client, "https://api.example")
            with pytest.raises(RuntimeError, match="the caller's own"):
                await session.get("/report", auth=None)
            with pytest.raises(RuntimeError, match="the caller's own"):
                async with session.stream("GET", "/report", auth=None):
                    raise AssertionError

    asyncio.run(main())


def test_a_key_of_a_closed_session_is_closed_too(base_url: str) -> None:
    """Even where its token is fresh, because others of the store have it."""

    async def main() -> None:
        store, grant = MemoryStore(), ClientCredentials()
        async with session_over(None, base_url, store=store, key="application") as session:
            await session.for_key("ada", grant=grant).token()
        with pytest.raises(ConfigurationError, match="this session is closed"):
            await session.for_key("ada", grant=grant).token()

    asyncio.run(main())


def test_a_session_of_another_key_is_closed_by_itself_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=ANSWER, headers={"content-type": "application/json"})

    async def main() -> int:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            session = AsyncTokenSession(
                client,
                server=AuthorizationServer("https://auth.example/token"),
                client_auth=ClientSecretBasic("reporter", "s3cret"),
                grant=ClientCredentials(),
                base_url="https://api.example",
                store=MemoryStore(),
                key="application",
            )
            async with session.for_key("ada", grant=ClientCredentials()) as ada:
                assert await report(ada) == 200
            assert (ada.is_closed, session.is_closed) == (True, False)
            with pytest.raises(ConfigurationError, match="this session is closed"):
                await report(ada)
            return await report(session)

    assert asyncio.run(main()) == 200
