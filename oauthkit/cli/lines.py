"""One way to a token under test: a server, a session, and calls that are timed."""

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import repeat
from typing import Final
from urllib.parse import urlsplit

import attrs
import httpx

from oauthkit.cli.plan import Plan
from oauthkit.cli.report import Row
from oauthkit.cli.ways import CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME, Way
from oauthkit.errors import OAuthKitError, printable
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse
from oauthkit.renewal.policy import RenewalPolicy
from oauthkit.session import AsyncTokenSession
from oauthkit.testing.documented import DocumentedSystems, Exchange, System

Call = Callable[[], Awaitable[object]]

RESOURCE: Final = "/resource"
"""What the tokens open of the systems that document no operation with one."""

_LIMITS: Final = httpx.Limits(
    max_connections=2,  # a session; where more are under way, a slow machine outlives their tokens
    max_keepalive_connections=0,  # httpcore passes a waiting call over for newer ones otherwise
)
_TIMEOUT: Final = 60.0
"""Seconds: nothing here is wrong where the machine is slow."""
_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made once: nothing here is encrypted, and reading certificates takes its time."""


class UnexpectedAnswerError(Exception):
    """A call was answered with something else than it should be."""


FAULTS: Final = (OAuthKitError, httpx.HTTPError, UnexpectedAnswerError)
"""What can go wrong with a call."""


@attrs.define(kw_only=True, eq=False)
class GuardedSystem(DocumentedSystems):
    """Be a documented system, with a resource that its own tokens open.

    Attributes:
        system: Whose tokens.
        begun_at: How many requests were in the log when the demonstration began.
    """

    system: System
    begun_at: int = attrs.field(default=0, init=False)

    def answer(self, request: HTTPRequest) -> HTTPResponse:
        """Answer a request."""
        if urlsplit(request.url).path != RESOURCE:
            return super().answer(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._desks[self.system].ledger.live(token):
            return HTTPResponse(HTTPStatus.OK)
        return HTTPResponse(HTTPStatus.UNAUTHORIZED, {"www-authenticate": "Bearer"})

    @property
    def token_requests(self) -> Sequence[Exchange]:
        """What came to the token endpoint since the demonstration began."""
        endpoint = self.token_paths[self.system]
        return [exchange for exchange in self.log[self.begun_at :] if exchange.path == endpoint]


@attrs.define(kw_only=True, eq=False)
class Line:
    """Be one way to a token under test: its server, its session, and how its calls fared.

    Attributes:
        url: Where the server is.
        turns: What is called, one after the other.
        slowest: Seconds that the slowest call took.
        failures: Why calls failed.
    """

    way: Way
    url: str
    systems: GuardedSystem
    session: AsyncTokenSession[httpx.Response]
    turns: Iterator[Call] = attrs.field(init=False)
    calls: int = 0
    slowest: float = 0.0
    failures: list[str] = attrs.field(factory=list[str])

    def __attrs_post_init__(self) -> None:
        """Call the resource, until there is something better to do."""
        self.turns = repeat(self._get_resource)

    @property
    def renewals(self) -> int:
        """How many token requests followed the first."""
        return len(self.systems.token_requests) - 1

    async def first_token(self) -> None:
        """Get the first token."""
        try:
            await self.session.token()
        except OAuthKitError as error:
            self.failures.append(named(error))

    async def timed_call(self) -> None:
        """Make one call, and note how it fared."""
        started = time.perf_counter()
        try:
            await next(self.turns)()
        except FAULTS as error:
            self.failures.append(named(error))
        self.calls += 1
        self.slowest = max(self.slowest, time.perf_counter() - started)

    async def _get_resource(self) -> None:
        response = await self.session.get(f"{self.url}{RESOURCE}")
        if response.status_code != HTTPStatus.OK:
            message = f"a call was answered with {response.status_code}"
            raise UnexpectedAnswerError(message)

    def row(self, plan: Plan) -> Row:
        """Return the line of the table."""
        row = Row.of(
            self.way.system,
            self.way.grant_type,
            self.way.format,
            self.systems.token_requests,
            life=plan.life,
        )
        return attrs.evolve(row, calls=self.calls, failed=len(self.failures), slowest=self.slowest)


@asynccontextmanager
async def open_line(way: Way, plan: Plan) -> AsyncGenerator[Line]:
    """Serve a system and open a session with it, while the block is open."""
    systems = GuardedSystem(
        system=way.system,
        expires_in=plan.life,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        username=USERNAME,
        password=PASSWORD,
        clock=time,
    )
    async with (
        systems.serve() as url,
        httpx.AsyncClient(limits=_LIMITS, timeout=_TIMEOUT, verify=_TLS) as http,
    ):
        server = way.server(url)
        grant = await way.begin(systems, server, http)
        systems.begun_at = len(systems.log)
        session = AsyncTokenSession(
            http,
            server=server,
            client_auth=way.client_auth,
            grant=grant,
            policy=RenewalPolicy(leeway=0.0),  # here a token is to end in use
        )
        async with session:
            yield Line(way=way, url=url, systems=systems, session=session)


def named(error: Exception) -> str:
    """Return kind and text of an error, on one line."""
    return f"{type(error).__name__}: {printable(str(error))}"
