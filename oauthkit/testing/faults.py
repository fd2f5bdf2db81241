"""What can go wrong on the way to a token, on demand."""

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.protocol.messages import HTTPResponse
from oauthkit.testing.bell import Bell
from oauthkit.testing.clock import FakeClock
from oauthkit.testing.conversion import LostAnswerError

_DEADLINE: Final = 10.0


@attrs.define(eq=False)
class Held:
    """Token requests whose answers are held back; `FakeAuthorizationServer.hold` makes it."""

    _arrivals: int = 0
    _news: Bell = attrs.field(factory=Bell, repr=False)
    _released: Bell = attrs.field(factory=Bell, repr=False)

    async def arrived(self, requests: int = 1, *, timeout: float = _DEADLINE) -> None:  # noqa: ASYNC109 - a deadline with a default
        """Wait until token requests have arrived since the hold began.

        Args:
            requests: How many.
            timeout: Seconds, in real time.

        Raises:
            TimeoutError: They did not arrive.
        """
        with anyio.fail_after(timeout):
            news = self._news  # taken first: another thread may count on in between
            while self._arrivals < requests:
                await news.wait()
                news = self._news

    def release(self) -> None:
        """Let the answers go, those held and those to come."""
        self._released.ring()

    async def pass_through(self) -> None:
        """Wait, as a token request, until the answers may go."""
        self._arrivals += 1
        news, self._news = self._news, Bell()
        news.ring()
        await self._released.wait()


@attrs.define(eq=False)
class Faults:
    """What happens to the next token requests."""

    _failures: deque[HTTPResponse] = attrs.field(factory=deque[HTTPResponse])
    _pauses: deque[float] = attrs.field(factory=deque[float])
    _losses: int = 0
    _holds: list[Held] = attrs.field(factory=list[Held])

    def fail(self, response: HTTPResponse, times: int) -> None:
        """Answer the next requests with this."""
        self._failures.extend([response] * times)

    def slow(self, seconds: float, times: int) -> None:
        """Let the next answers take their time."""
        self._pauses.extend([seconds] * times)

    def lose(self, times: int) -> None:
        """Lose the next answers."""
        self._losses += times

    @contextmanager
    def hold(self) -> Generator[Held]:
        """Hold answers back while the block is open."""
        held = Held()
        self._holds.append(held)
        try:
            yield held
        finally:
            self._holds.remove(held)
            held.release()

    def failure(self) -> HTTPResponse | None:
        """Return what answers this request in the server's place, if anything does."""
        return self._failures.popleft() if self._failures else None

    async def on_the_way_back(self, clock: Clock) -> None:
        """Delay or lose one answer.

        Raises:
            LostAnswerError: It is lost.
        """
        lost, self._losses = self._losses > 0, max(self._losses - 1, 0)
        pause = self._pauses.popleft() if self._pauses else 0.0
        for held in tuple(self._holds):
            await held.pass_through()
        if isinstance(clock, FakeClock):
            clock.advance(pause)
        else:
            await anyio.sleep(pause)
        if lost:
            message = "the connection was cut after the request (lose_next_answer)"
            raise LostAnswerError(message)
