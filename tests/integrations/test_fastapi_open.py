"""Connections that stay open, applications that open and close, and both on real sockets."""

import runpy
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Annotated, Any, Final, Self
from urllib.parse import quote

import anyio
import attrs
import httpx
import pytest
from fastapi import Depends, FastAPI, Response, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette

from oauthkit import (
    AsyncTokenSession,
    ConfigurationError,
    MemoryLogoutIndex,
    ReauthorizationRequired,
    SQLiteSingleUseStore,
    SQLiteStore,
    TransportError,
)
from oauthkit.integrations.fastapi import Login, Visitor
from oauthkit.integrations.starlette import login_request, login_routes
from oauthkit.testing import FakeAuthorizationServer
from tests.snippets.internet import listening, running

from .visits import KEY, PAGE, SITE, Site, asked_for, site

EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "examples" / "fastapi_app.py"


@attrs.define(eq=False)
class Client:
    """A client of one connection, as a server hands on what it says (ASGI)."""

    said: list[Any]
    heard: list[Any] = attrs.field(factory=list[Any])
    left: anyio.Event = attrs.field(factory=anyio.Event)

    async def receive(self) -> Any:
        if self.said:
            return self.said.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.heard.append(message)


def scope(kind: str, path: str, visitor: str, **headers: str) -> dict[str, Any]:
    """Return what a server says of a connection, to begin with."""
    fields = {"host": "app.example", "cookie": f"__Host-visitor={visitor}", **headers}
    return {
        "type": kind,
        "scheme": "wss" if kind == "websocket" else "https",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), text.encode()) for name, text in fields.items()],
        **({} if kind == "websocket" else {"method": "GET"}),
    }


async def spoken(here: Site, visitor: str, path: str = "/talk", **headers: str) -> list[Any]:
    """Open a WebSocket, and return what it said until it was closed."""
    client = Client([{"type": "websocket.connect"}])
    await here.app(scope("websocket", path, visitor, **headers), client.receive, client.send)
    return client.heard


@asynccontextmanager
async def talking() -> AsyncGenerator[tuple[Site, str]]:
    """Open an application with a WebSocket, and log a visitor in."""
    async with site() as here, here.browser() as browser:

        @here.app.websocket("/talk")
        async def talk(
            websocket: WebSocket, visitor: Annotated[Visitor, Depends(here.login.visitor)]
        ) -> None:
            """Say what the API says, or raise."""
            await websocket.accept()
            if here.raises:
                raise here.raises.pop()
            await websocket.send_text((await visitor.session.get("/news")).text)
            await websocket.close()

        @here.app.websocket("/listen")
        async def listen(
            websocket: WebSocket,
            visitor: Annotated[Visitor | None, Depends(here.login.visitor_or_none)],
        ) -> None:
            await websocket.accept()
            await websocket.close(3000 if visitor is None else 3001)

        yield here, await here.log_in(browser)


async def test_a_websocket_has_its_visitor() -> None:
    async with talking() as (here, visitor):
        heard = await spoken(here, visitor, origin=SITE)

    assert [message["type"] for message in heard] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert heard[1]["text"] == '{"path": "/news"}'


async def test_a_websocket_without_a_visitor_is_closed_before_it_is_open() -> None:
    async with talking() as (here, _):
        (closed,) = await spoken(here, "made-up", origin=SITE)
        answers = await spoken(here, "made-up", "/listen", origin=SITE)

    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert answers[-1]["code"] == 3000


async def test_a_page_of_another_site_opens_no_websocket_of_a_visitor() -> None:
    """A browser lets it, and sends the cookie along (cross-site WebSocket hijacking)."""
    async with talking() as (here, visitor):
        for origin in ("https://evil.example", "http://app.example", "null"):
            (closed,) = await spoken(here, visitor, origin=origin)
            assert closed["code"] == 1008
        nobody = await spoken(here, visitor, "/listen", origin="https://evil.example")
        ours = await spoken(here, visitor, "/listen", origin=SITE)

    assert (nobody[-1]["code"], ours[-1]["code"]) == (3000, 3001)


@pytest.mark.parametrize(
    "error, code",
    [
        (ReauthorizationRequired("logged out elsewhere"), 1008),
        (TransportError("no answer"), 1013),
    ],
)
async def test_a_websocket_that_is_open_is_closed_with_the_reason(
    error: Exception, code: int
) -> None:
    async with talking() as (here, visitor):
        here.raises.append(error)
        heard = await spoken(here, visitor, origin=SITE)

    assert [heard[0]["type"], heard[-1]["type"]] == ["websocket.accept", "websocket.close"]
    assert heard[-1]["code"] == code


async def test_a_client_that_leaves_a_stream_takes_no_renewal_along() -> None:
    """What the server answers is kept, and is what the next request has."""
    async with site() as here, here.browser() as browser:

        @here.app.get("/stream")
        async def stream(visitor: Annotated[Visitor, Depends(here.login.visitor)]) -> Response:
            async def chunks() -> AsyncIterator[str]:
                yield "first"
                yield (await visitor.session.get("/news")).text

            return StreamingResponse(chunks())

        visitor = await here.log_in(browser)
        here.fake.revoke_access_tokens()
        client = Client([{"type": "http.request", "body": b"", "more_body": False}])
        with here.fake.hold() as held:
            async with anyio.create_task_group() as tasks:
                asked = scope("http", "/stream", visitor)
                tasks.start_soon(here.app, asked, client.receive, client.send)
                await held.arrived()
                client.left.set()
                await anyio.wait_all_tasks_blocked()
                held.release()
            assert (await browser.get("/inbox/")).status_code == 200

        assert b"first" in [message.get("body") for message in client.heard]
        grants = [request.parameters["grant_type"] for request in here.fake.token_requests]
        assert grants == ["authorization_code", "refresh_token"]


async def test_a_stream_that_fails_half_way_is_cut_off() -> None:
    """Nobody can be told 503 any more, and nothing is said instead."""
    async with site() as here, here.browser() as browser:

        @here.app.get("/stream")
        async def stream(visitor: Annotated[Visitor, Depends(here.login.visitor)]) -> Response:
            async def chunks() -> AsyncIterator[str]:
                yield visitor.key
                message = "no answer"
                raise TransportError(message)

            return StreamingResponse(chunks())

        visitor = await here.log_in(browser)
        client = Client([{"type": "http.request", "body": b"", "more_body": False}])
        with pytest.raises((RuntimeError, ExceptionGroup)):
            await here.app(scope("http", "/stream", visitor), client.receive, client.send)

        assert [message["type"] for message in client.heard][-1] == "http.response.body"
        assert client.heard[-1]["more_body"]


# What opens and closes with the application


class Opened(SQLiteStore):
    """A store that says whether it is open."""

    is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        return await super().__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.is_open = False
        await super().__aexit__(*exc_info)


@pytest.mark.parametrize("own", [False, True], ids=["alone", "within one of one's own"])
async def test_what_was_given_is_open_while_the_application_runs(
    tmp_path: Path, *, own: bool
) -> None:
    fake = FakeAuthorizationServer()
    store = Opened(tmp_path / "tokens.db")
    session = AsyncTokenSession(
        server=fake.server, client_auth=fake.client_auth, store=store, key="application"
    )
    login = Login(
        session,
        cookie_keys=[KEY],
        used=SQLiteSingleUseStore(tmp_path / "tokens.db"),
        logout_index=MemoryLogoutIndex(),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, str]]:
        async with login.lifespan(app):
            yield {"shop": "open"}

    app = FastAPI(lifespan=lifespan if own else login.lifespan)

    http: Any = session.http
    async with app.router.lifespan_context(app) as state:
        assert state == ({"shop": "open"} if own else None)
        assert vars(store)["is_open"]
        assert not http.is_closed
    assert not vars(store)["is_open"]
    assert http.is_closed


async def test_starlette_alone_has_the_same_routes() -> None:
    async with site() as here:
        app = Starlette(routes=login_routes(here.login.flow))
        async with here.browser(app) as browser:
            done = await browser.get(await here.begin(browser))
            looked = await browser.head("/auth/callback?state=a&code=b")

    assert done.headers["location"] == "/"
    assert looked.status_code == 400


def test_a_server_need_not_say_how_a_path_came() -> None:
    """`raw_path` is an addition to ASGI."""
    from starlette.requests import Request

    asked = scope("http", "/a b/ä", "")

    assert login_request(Request(asked)).url == f"{SITE}/a%20b/%C3%A4"
    assert login_request(Request({**asked, "raw_path": b"/a%20b\xe9"})).path == "/a%20b%E9"


def test_a_query_may_be_of_any_bytes() -> None:
    """Some servers hand on what is no UTF-8, such as HTTP/2 may bring it."""
    from starlette.requests import Request

    asked = {**scope("http", "/inbox", ""), "query_string": b"a=\xff&b=%C3%A4"}

    assert login_request(Request(asked)).url == f"{SITE}/inbox?a=%FF&b=%C3%A4"


# On sockets


@pytest.fixture
async def served() -> AsyncGenerator[str]:
    """Serve the example of the docs by uvicorn, with a server and an API on sockets as well."""
    fake = FakeAuthorizationServer()
    fake.keys.algorithm = "ES256"
    sock = listening()
    with pytest.MonkeyPatch.context() as patch:
        async with fake.serve() as issuer:
            for name, value in {
                "ISSUER": issuer,
                "CLIENT_ID": fake.client_id,
                "CLIENT_SECRET": str(fake.client_secret),
                "COOKIE_KEY": urlsafe_b64encode(token_bytes(32)).decode(),
                "API_URL": f"{issuer}/userinfo",
            }.items():
                patch.setenv(name, value)
            app = runpy.run_path(str(EXAMPLE))["app"]
            async with running(app, sock, lifespan="on"):
                yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_example_of_the_docs_runs_on_sockets(served: str) -> None:
    """A visitor comes, is logged in, sees what the API says of them, and logs out."""
    kept = dict[str, str]()

    async def visit(method: str, url: str) -> httpx.Response:
        """Be a browser to which this machine is a safe place, as to real ones."""
        cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
        headers = {"accept": "text/html", "cookie": cookie, "origin": served}
        answer = await browser.request(method, url, headers=headers)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            kept[name] = value
        return answer

    async with httpx.AsyncClient(base_url=served) as browser:
        at = (await visit("GET", "/")).headers["location"]
        assert at == "/auth/login?return_to=%2F"
        for _ in range(3):  # to the server, back with a code, and on to the page
            at = (await visit("GET", at)).headers["location"]
        assert at == "/"
        page = await visit("GET", at)
        assert page.status_code == 200
        assert "&quot;sub&quot;: &quot;ada&quot;" in page.text
        assert page.headers["cache-control"] == "no-store"
        out = await visit("POST", "/auth/logout")
        assert "/logout?" in out.headers["location"]
        assert (await visit("GET", "/")).status_code == 303


def test_the_example_is_what_a_user_writes_in_25_lines() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").partition("\n\nsession")[2].splitlines()

    assert len([line for line in lines if line.strip()]) < 25


async def test_a_router_with_a_prefix_says_so_before_a_callback_meets_no_route() -> None:
    async with site() as here:
        app = FastAPI()
        app.include_router(here.login.router, prefix="/api")
        async with here.browser(app) as browser:
            with pytest.raises(ConfigurationError, match="redirect_path='/api/auth/callback'"):
                await browser.get("/api/auth/login")


@pytest.mark.parametrize("root", ["/", "/a", "/shop", "/in", "/ü b"])
async def test_a_root_that_a_server_leaves_out_of_paths_is_come_back_to(root: str) -> None:
    """As behind a proxy that takes it off, with `hypercorn --root-path` or a root of FastAPI's."""
    shown = quote(root.rstrip("/"))
    async with site() as here:
        transport = httpx.ASGITransport(here.app, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url=SITE, headers=PAGE) as browser:
            away = await browser.get("/inbox/%2F?x")
            begun = await browser.get(away.headers["location"].removeprefix(shown))
            callback = asked_for(here.fake.authorize(begun.headers["location"]))
            done = await browser.get(callback.removeprefix(shown))

    assert away.headers["location"].startswith(f"{shown}/auth/login?return_to=")
    assert done.headers["location"] == f"{shown}/inbox/%2F?x"
