"""Visitors of a web application: many at once, who come, go on, leave half-way and log out.

An application has two routes with a visitor. `/mine` says who it is, by the login and by what the
API says of the token (`said_by`); `/stream` asks the API several times while it answers.
`FRAMEWORKS` has what serves one.
"""

import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from secrets import token_bytes
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import attrs
import httpx
from aiohttp import web
from fastapi import Depends, FastAPI, Response
from fastapi.responses import StreamingResponse

from oauthkit import AsyncTokenSession
from oauthkit.integrations import aiohttp, fastapi
from oauthkit.login import Visitor
from oauthkit.testing import FakeAuthorizationServer
from tests.snippets.internet import listening, running

LIFE: Final = 3
"""Seconds that a token lives."""
PAUSE: Final = (0.05, 0.6)
"""Seconds between two pages that one visitor asks for."""
PATIENCE: Final = (0.0, 0.15)
"""Seconds after which somebody leaves who does not wait for the answer."""
SLOW: Final = 0.05
"""Seconds that the server takes for a token, so that some leave meanwhile."""
ASKS: Final = 3
"""How often a stream asks the API."""
REFUSED: Final = "refused"
"""What a page shows where the API has refused a token, and the one that came after it: as it does
where both expire on the way, on a machine that has too much to do."""

BEGIN: Final = 2.0
"""Seconds within which they come: logins cost most."""

Application = Callable[[AsyncTokenSession], AbstractAsyncContextManager[str]]


def said_by(answer: httpx.Response) -> str:
    """Return whose token the API was shown."""
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return REFUSED
    return str(answer.raise_for_status().json()["subject"])


@asynccontextmanager
async def on_fastapi(session: AsyncTokenSession) -> AsyncGenerator[str]:
    """Serve an application of FastAPI by uvicorn; return its URL."""
    login = fastapi.Login(session, cookie_keys=[token_bytes(32)])
    app = FastAPI(lifespan=login.lifespan)
    app.include_router(login.router)

    @app.get("/mine")
    async def mine(visitor: Annotated[Visitor, Depends(login.visitor)]) -> dict[str, Any]:
        assert visitor.identity is not None
        answer = await visitor.session.get("/mine")
        return {"login": visitor.identity.subject, "api": said_by(answer)}

    @app.get("/stream")
    async def stream(visitor: Annotated[Visitor, Depends(login.visitor)]) -> Response:
        async def lines() -> AsyncIterator[str]:
            for _ in range(ASKS):
                yield said_by(await visitor.session.get("/mine")) + "\n"

        return StreamingResponse(lines())

    sock = listening()
    async with running(app, sock, lifespan="on"):
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def on_aiohttp(session: AsyncTokenSession) -> AsyncGenerator[str]:
    """Serve an application of aiohttp, which cancels whom a client has left; return its URL."""
    login = aiohttp.Login(session, cookie_keys=[token_bytes(32)])

    async def mine(request: web.Request) -> web.Response:
        visitor = await login.visitor(request)
        assert visitor.identity is not None
        answer = await visitor.session.get("/mine")
        return web.json_response({"login": visitor.identity.subject, "api": said_by(answer)})

    async def stream(request: web.Request) -> web.StreamResponse:
        visitor, answer = await login.visitor(request), web.StreamResponse()
        await answer.prepare(request)
        for _ in range(ASKS):
            line = said_by(await visitor.session.get("/mine")) + "\n"
            await answer.write(line.encode())
        return answer

    app = web.Application()
    app.add_routes([web.get("/mine", mine), web.get("/stream", stream)])
    login.setup(app)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    sock = listening()
    try:
        await web.SockSite(runner, sock).start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        await runner.cleanup()


FRAMEWORKS: Final[dict[str, Application]] = {"aiohttp": on_aiohttp, "fastapi": on_fastapi}


class Server(FakeAuthorizationServer):
    """An authorization server and an API to which each login is somebody else.

    Who it is, is the `nonce` of the login, which the visitor's browser has seen.
    """

    @classmethod
    def new(cls) -> "Server":
        server = cls(expires_in=LIFE, rotate=True, detect_reuse=True, clock=time)
        server.keys.algorithm = "ES256"
        server.edit_id_token = _named_by_nonce
        server.slow_next(SLOW, times=1_000_000)
        return server

    def api(self, request: httpx.Request) -> httpx.Response:
        """Say whose token it is."""
        token = request.headers["authorization"].partition(" ")[2]
        family = self.ledger._access[token].family
        return httpx.Response(200, json={"subject": family.asked["nonce"]})


def _named_by_nonce(draft: Any) -> None:
    draft.claims["sub"] = draft.claims["nonce"]


@attrs.define(eq=False)
class Crowd:
    """Visitors, and what they found.

    Attributes:
        server: Who logs them in.
        url: Where the application is.
        seed: What decides what they do.
        until: When they stop, by the monotonic clock.
        done: What they did, how often.
        wrong: What should not have happened.
    """

    server: Server
    url: str
    seed: int
    until: float
    done: Counter[str] = attrs.field(factory=Counter[str])
    wrong: list[str] = attrs.field(factory=list[str])

    async def run(self, visitors: int) -> None:
        """Let so many of them visit at once."""
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(base_url=self.url, timeout=30, limits=limits) as http,
            anyio.create_task_group() as tasks,
        ):
            for number in range(visitors):
                chance = random.Random(f"{self.seed}-{number}")  # noqa: S311 - no secret
                tasks.start_soon(self._visit, Browser(self, http), chance)

    async def _visit(self, browser: "Browser", chance: random.Random) -> None:
        await anyio.sleep(chance.uniform(0, BEGIN))
        await browser.log_in()
        while time.monotonic() < self.until:
            await anyio.sleep(chance.uniform(*PAUSE))
            doing = chance.choices(
                [browser.look, browser.listen, browser.leave, browser.hurry, browser.log_out],
                [10, 2, 6, 2, 1],
            )[0]
            await doing(chance)
            self.done[doing.__name__] += 1


@attrs.define(eq=False)
class Browser:
    """One visitor's browser: their cookies, over connections that are anybody's."""

    crowd: Crowd
    http: httpx.AsyncClient
    subject: str = ""
    cookies: dict[str, str] = attrs.field(factory=dict[str, str])

    async def log_in(self) -> None:
        begun = await self._ask("GET", "/auth/login")
        url = begun.headers["location"]
        (self.subject,) = parse_qs(urlsplit(url).query)["nonce"]
        done = await self._ask("GET", self.crowd.server.authorize(url))
        self._expect(done.status_code == 303, f"a login ended with {done.status_code}")

    async def look(self, _: random.Random) -> None:
        answer = await self._ask("GET", "/mine")
        found = answer.json() if answer.status_code == HTTPStatus.OK else {"api": None}
        mine = found["api"] == REFUSED or found == {"login": self.subject, "api": self.subject}
        self._expect(mine, f"/mine: {answer.status_code} {answer.text}")
        self.crowd.done[REFUSED] += found["api"] == REFUSED

    async def listen(self, _: random.Random) -> None:
        answer = await self._ask("GET", "/stream")
        lines = answer.text.split()
        mine = len(lines) == ASKS and {*lines} <= {self.subject, REFUSED}
        self._expect(mine, f"/stream: {answer.status_code} {answer.text}")
        self.crowd.done[REFUSED] += lines.count(REFUSED)

    async def leave(self, chance: random.Random) -> None:
        """Go away in the middle of a request; its connection is closed with it."""
        with anyio.move_on_after(chance.uniform(*PATIENCE)):
            await self._ask("GET", chance.choice(["/mine", "/stream"]))

    async def hurry(self, chance: random.Random) -> None:
        """Ask for several pages at once."""
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(self.look, chance)

    async def log_out(self, _: random.Random) -> None:
        kept = dict(self.cookies)
        out = await self._ask("POST", "/auth/logout")
        self._expect(out.status_code == 303 and kept != self.cookies, f"{out.status_code}")
        self.cookies = kept
        answer = await self._ask("GET", "/mine")
        self._expect(answer.status_code == 401, f"logged out, and {answer.status_code}")
        self.cookies = {}
        await self.log_in()

    async def _ask(self, method: str, url: str) -> httpx.Response:
        headers = {"cookie": "; ".join(f"{name}={text}" for name, text in self.cookies.items())}
        answer = await self.http.request(method, url, headers=headers)
        for line in answer.headers.get_list("set-cookie"):
            name, _, text = line.partition(";")[0].partition("=")
            self.cookies[name] = text
        return answer

    def _expect(self, as_it_should_be: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
        if not as_it_should_be:
            self.crowd.wrong.append(otherwise)
