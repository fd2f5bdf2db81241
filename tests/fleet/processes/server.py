"""An authorization server and an API in a process of their own, which fail to order.

Who presents a refresh token is known by the header `x-presenter`: a name, a process, the number of
the request and the key. What befalls a request that was worked on befalls each refresh token once
at most, the first time it is presented: so no second failure hits the very same renewal.
"""

import json
import os
import signal
import time
from collections import deque
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import attrs

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.conversion import LostAnswerError
from oauthkit.testing.ledger import Family
from oauthkit.testing.sockets import LoopbackServer
from tests.fleet.orders import Orders, Phase, orders_in
from tests.fleet.processes.door import Door
from tests.fleet.settings import ServerSettings, urls_in

OK: Final = 200
BUSY: Final = 503
RETRY_AFTER: Final = 1
A_MOMENT: Final = 0.1
"""Seconds between the exchange and the answer to who was stopped: it is let go on before."""


@attrs.define
class Exchange:
    """One refresh token that the server has worked on, on the clock of the machine."""

    refresh_token: str
    presenter: str
    pid: int
    number: int
    at: float
    status: int
    struck: str = ""


@attrs.define
class Server:
    """Answer, and fail to order.

    Attributes:
        faults: What befalls the next requests: "busy" and "lost" before they are worked on, "cut"
            after.
        delays: Seconds by which the next answers are late.
    """

    fake: FakeAuthorizationServer
    orders: Orders
    exchanges: list[Exchange] = attrs.field(factory=list[Exchange])
    presented: set[str] = attrs.field(factory=set[str])
    faults: deque[str] = attrs.field(factory=deque[str])
    delays: deque[float] = attrs.field(factory=deque[float])
    logins: dict[str, Family] = attrs.field(factory=dict[str, Family])
    door: Door = attrs.field(init=False)

    async def app(self, request: HTTPRequest) -> HTTPResponse:
        path = urlsplit(request.url).path
        if path.startswith("/control/"):
            answer = self.told(path.removeprefix("/control/"), json.loads(request.content))
            content = json.dumps(answer).encode()
            return HTTPResponse(OK, {"content-type": "application/json"}, content)
        await anyio.lowlevel.checkpoint()
        answer = self.fake.answer(request)
        self.fake.api_requests.clear()
        return answer

    def told(self, what: str, order: dict[str, Any]) -> Any:
        """Do what the driver wants, or tell it what it wants to know."""
        if what == "fault":
            self.faults.append(order["what"])
        elif what == "delay":
            self.delays.append(order["seconds"])
        elif what == "shut":
            self.door.shut(order["seconds"])
        elif what == "lives":
            self.fake.expires_in = order["seconds"]
        elif what == "forgive":
            self.fake.grace += order["seconds"]
        elif what == "login":
            return self.login(order["key"])
        elif what == "unspent":
            return self.unspent(order["refresh_token"])
        elif what == "state":
            return self.state()
        else:
            return {"exchanges": [attrs.asdict(exchange) for exchange in self.exchanges]}
        return None

    def login(self, key: str) -> dict[str, Any]:
        token = self.fake.issue()
        self.logins[key] = self.fake.ledger.families[-1]
        return token.to_dict()

    def unspent(self, refresh_token: str | None) -> bool:
        """Tell whether a refresh token is the latest one of a login that is alive.

        A token that was refused has none any more.
        """
        if refresh_token is None:
            return False
        entry = self.fake.ledger._refresh[refresh_token]
        return entry.family.alive and entry.successor is None

    def state(self) -> dict[str, Any]:
        return {
            "dead": [key for key, family in self.logins.items() if not family.alive],
            "lost": self.fake.families_killed,
            "renewals": len({e.refresh_token for e in self.exchanges if e.status == OK}),
            "faults": list(self.faults),
        }

    async def asked(self, request: HTTPRequest) -> HTTPResponse:
        """Answer a token request."""
        (token,) = parse_qs(request.content.decode())["refresh_token"]
        presenter, pid, number, key = request.headers["x-presenter"].split()
        if self.faults and self.faults[0] in {"busy", "lost"}:
            return self.turned_away(self.faults.popleft())
        first = token not in self.presented
        if first:
            await self.reach(Phase.ARRIVED, int(pid), key)
        at = time.monotonic()
        response = self.fake.answer(request)
        self.presented.add(token)
        exchange = Exchange(token, presenter, int(pid), int(number), at, response.status_code)
        self.exchanges.append(exchange)
        if first and response.status_code == OK:
            if self.faults and self.faults[0] == "cut":
                exchange.struck = self.faults.popleft()
                raise LostAnswerError(exchange.struck)
            await self.reach(Phase.EXCHANGED, int(pid), key)
        if self.delays:
            await anyio.sleep(self.delays.popleft())
        return response

    def turned_away(self, fault: str) -> HTTPResponse:
        if fault == "lost":
            raise LostAnswerError(fault)
        return HTTPResponse(BUSY, {"retry-after": str(RETRY_AFTER)})

    async def reach(self, phase: Phase, pid: int, key: str) -> None:
        """Stop who is asking, if that is the order."""
        if self.orders.take(phase, pid, key):
            os.kill(pid, signal.SIGSTOP)
            await anyio.sleep(A_MOMENT)


async def serve(settings: ServerSettings) -> None:
    """Answer until it is killed, or its parent has ended."""
    fake = FakeAuthorizationServer(
        clock=settings.clock, grace=settings.grace, expires_in=settings.expires_in
    )
    server, parent = Server(fake, orders_in(settings.directory)), os.getppid()
    async with (
        LoopbackServer(server.app) as api,
        Door(server.asked) as server.door,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server.door.stand)
        fake.issuer = server.door.inner_url
        tell_urls(settings.directory, {"url": api.url, "token_url": f"{server.door.url}/token"})
        while os.getppid() == parent:  # noqa: ASYNC110 - the end of a parent sets no event
            await anyio.sleep(A_MOMENT)
        tasks.cancel_scope.cancel()


def tell_urls(directory: str, urls: dict[str, str]) -> None:
    """Write down where it is; the file is there whole or not at all."""
    told = urls_in(directory)
    written = told.with_suffix(".part")
    written.write_text(json.dumps(urls), encoding="utf-8")
    written.rename(told)


def run(settings: ServerSettings) -> None:
    """Be a server."""
    anyio.run(serve, settings)
