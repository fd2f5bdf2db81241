"""An authorization server and an API in a process of their own, which strike on order.

Who presents a refresh token is known by the header `x-presenter`: a name, a process and the number
of the request. Orders strike at a refresh token that is presented for the first time, after it was
exchanged and before the answer leaves: the worst moment there is.
"""

import json
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import attrs

from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.testing import FakeAuthorizationServer
from oauthkit.testing.conversion import LostAnswerError
from oauthkit.testing.sockets import LoopbackServer

OK: Final = 200


@attrs.define
class Exchange:
    """One request at the token endpoint; all moments are on the clock of the machine."""

    refresh_token: str
    presenter: str
    pid: int
    number: int
    at: float
    status: int
    struck: str = ""


@attrs.define
class Stop:
    """One time that a process was stopped."""

    pid: int
    at: float
    until: float


@attrs.define
class Server:
    fake: FakeAuthorizationServer
    tasks: anyio.abc.TaskGroup
    exchanges: list[Exchange] = attrs.field(factory=list[Exchange])
    presented: set[str] = attrs.field(factory=set[str])
    orders: deque[dict[str, Any]] = attrs.field(factory=deque[dict[str, Any]])
    kills: list[tuple[int, float]] = attrs.field(factory=list[tuple[int, float]])
    stops: list[Stop] = attrs.field(factory=list[Stop])

    async def app(self, request: HTTPRequest) -> HTTPResponse:
        path = urlsplit(request.url).path
        if path.startswith("/control/"):
            return self.control(path.removeprefix("/control/"), request.content)
        if path == "/token":
            return await self.exchanged(request)
        await anyio.lowlevel.checkpoint()
        answer = self.fake.answer(request)
        self.fake.api_requests.clear()
        return answer

    def control(self, what: str, content: bytes) -> HTTPResponse:
        answer: Any = None
        if what == "order":
            self.orders.append(json.loads(content))
        elif what == "login":
            answer = self.fake.issue().to_dict()
        elif what == "state":
            answer = {
                "alive": self.fake.families_alive,
                "lost": self.fake.families_killed,
                "renewals": len({e.refresh_token for e in self.exchanges if e.status == OK}),
                "orders": len(self.orders),
            }
        elif what == "report":
            answer = {
                "exchanges": [attrs.asdict(exchange) for exchange in self.exchanges],
                "kills": self.kills,
                "stops": [attrs.asdict(stop) for stop in self.stops],
            }
        headers = {"content-type": "application/json"}
        return HTTPResponse(OK, headers, json.dumps(answer).encode())

    async def exchanged(self, request: HTTPRequest) -> HTTPResponse:
        (token,) = parse_qs(request.content.decode())["refresh_token"]
        presenter, pid, number = request.headers["x-presenter"].split()
        at = time.monotonic()
        response = self.fake.answer(request)
        first = token not in self.presented
        self.presented.add(token)
        exchange = Exchange(token, presenter, int(pid), int(number), at, response.status_code)
        self.exchanges.append(exchange)
        if first and response.status_code == OK and self.orders:
            await self.strike(self.orders.popleft(), exchange)
        return response

    async def strike(self, order: dict[str, Any], exchange: Exchange) -> None:
        exchange.struck = order["what"]
        if order["what"] == "cut":
            message = "as ordered"
            raise LostAnswerError(message)
        if order["what"] == "delay":
            await anyio.sleep(order["seconds"])
        if order["what"] == "kill":
            self.kills.append((exchange.pid, time.monotonic()))
            os.kill(exchange.pid, signal.SIGKILL)
        if order["what"] == "stop":
            self.tasks.start_soon(self.stopped, exchange.pid, order["seconds"])
            await anyio.sleep(0.05)

    async def stopped(self, pid: int, seconds: float) -> None:
        stop = Stop(pid, time.monotonic(), time.monotonic() + seconds)
        self.stops.append(stop)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await anyio.sleep(seconds)
            stop.until = time.monotonic()
            os.kill(pid, signal.SIGCONT)


async def main() -> None:
    settings = json.loads(sys.argv[1])
    fake = FakeAuthorizationServer(clock=time, **settings)
    async with anyio.create_task_group() as tasks:
        server = Server(fake, tasks)
        async with LoopbackServer(server.app) as loopback:
            fake.issuer = loopback.url
            sys.stdout.write(f"{loopback.url}\n")
            sys.stdout.flush()
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
        tasks.cancel_scope.cancel()


anyio.run(main)
