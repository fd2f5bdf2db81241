"""The phases of a worker's renewals: each is a place where it may be stopped to order.

Around the store, its leases and the transport of the token endpoint, and nothing in between: what
is stopped is the code that everybody runs.
"""

import os
import signal
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import attrs
import httpx

from oauthkit import Lease, Token, TokenStore
from tests.fleet.orders import Orders, Phase
from tests.fleet.processes.journal import Journal

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here is encrypted, and a client that reads certificates takes long to be made."""
BEGUN: Final = "http11.send_request_headers.started"
BUSY: Final = 503
SOON: Final = {Phase.WAITING: 0.02, Phase.PAUSING: 0.05, Phase.SAVING: 0.15}
"""Seconds after which a process is in the middle of a phase that lasts."""


@attrs.define(eq=False)
class Renewals:
    """The renewals of one key, as this process sees them.

    Attributes:
        number: Of the latest token request, among all of the process.
        looked: When the lease was last seen to be held.
        until: How long it was good for at that moment, if nothing extended it.
    """

    key: str
    orders: Orders
    journal: Journal
    number: int = 0
    looked: float = 0.0
    until: float = 0.0

    def reach(self, phase: Phase) -> None:
        """Stop here, if that is the order."""
        if self.orders.take(phase, os.getpid(), self.key):
            os.kill(os.getpid(), signal.SIGSTOP)

    def enter(self, phase: Phase) -> Callable[[], None]:
        """Stop in the middle of a phase, if that is the order; return what tells of its end."""
        over = threading.Event()
        if self.orders.wanted(phase):  # a thread, because an event loop may be at its end
            threading.Thread(target=self._later, args=(phase, over), daemon=True).start()
        return over.set

    def _later(self, phase: Phase, over: threading.Event) -> None:
        if not over.wait(SOON[phase]):
            self.reach(phase)


@attrs.define(eq=False)
class PhasedStore:
    """A store whose leases are phased."""

    inner: TokenStore
    renewals: Renewals
    load: Any = attrs.field(init=False)
    save: Any = attrs.field(init=False)
    delete: Any = attrs.field(init=False)
    lease_seconds: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.load, self.save, self.delete = self.inner.load, self.inner.save, self.inner.delete
        self.lease_seconds = self.inner.lease_seconds

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        had = self.renewals.enter(Phase.WAITING)
        try:
            async with self.inner.lease(key) as lease:
                had()
                if lease.held:
                    self.renewals.reach(Phase.LEASED)
                yield PhasedLease(lease, self.renewals)
        finally:
            had()


@attrs.define
class PhasedLease:
    """A lease that notes when it was looked at, and stops around its save."""

    inner: Lease
    renewals: Renewals

    @property
    def held(self) -> bool:
        now = time.monotonic()
        held = self.inner.held
        if held:
            self.renewals.looked, self.renewals.until = now, _end_of(self.inner)
        return held

    async def load(self) -> Token | None:
        return await self.inner.load()

    async def delete(self) -> None:
        await self.inner.delete()

    async def save(self, token: Token) -> None:
        self.renewals.reach(Phase.ANSWERED)
        saved = self.renewals.enter(Phase.SAVING)
        try:
            await self.inner.save(token)
        finally:
            saved()
        self.renewals.reach(Phase.SAVED)


def _end_of(lease: Any) -> float:
    """Return until when a lease is good, which the stores keep to themselves."""
    return float(getattr(lease, "_claim", lease).good_until)


@attrs.define(eq=False)
class Numbers:
    """How many token requests this process has begun."""

    last: int = 0

    def next(self) -> int:
        self.last += 1
        return self.last


class PhasedTransport(httpx.AsyncHTTPTransport):
    """The transport of a token endpoint: it says who asks, and notes when the first byte leaves."""

    def __init__(self, name: str, numbers: Numbers, renewals: Renewals) -> None:
        super().__init__(verify=NO_TLS)
        self._name = name
        self._numbers = numbers
        self._renewals = renewals

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = self._numbers.next()
        self._renewals.number = 0  # until its first byte
        presenter = f"{self._name} {os.getpid()} {number} {self._renewals.key}"
        request.headers["x-presenter"] = presenter
        request.extensions = {**request.extensions, "trace": self._traced(request, number)}
        try:
            response = await super().handle_async_request(request)
        except httpx.TransportError:
            self._note("broken", number)
            self._renewals.enter(Phase.PAUSING)
            raise
        except anyio.get_cancelled_exc_class():
            self._note("given_up", number)
            raise
        if response.status_code == BUSY:
            self._renewals.enter(Phase.PAUSING)
        return response

    def _note(self, what: str, number: int) -> None:
        if self._renewals.number == number:  # else nothing was sent
            self._renewals.journal.write(what, number=number)

    def _traced(self, request: httpx.Request, number: int) -> Any:
        before = request.extensions.get("trace")

        async def trace(name: str, info: Any) -> None:
            if before is not None:
                await before(name, info)
            if name == BEGUN:  # what is asked before the first byte was asked by now
                self._begin(number)

        return trace

    def _begin(self, number: int) -> None:
        renewals = self._renewals
        renewals.number = number
        renewals.reach(Phase.WINDOW)
        renewals.journal.write("sent", number=number, looked=renewals.looked, until=renewals.until)
