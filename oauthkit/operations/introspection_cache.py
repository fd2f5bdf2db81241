"""What was said of tokens lately, for who is shown the same one again and again."""

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Final

import anyio
import attrs

from oauthkit.clock import Clock
from oauthkit.errors import ConfigurationError, TransportError, for_another
from oauthkit.kinds import check_kind
from oauthkit.protocol.introspection import Introspection
from oauthkit.renewal.event_loop import current_loop
from oauthkit.renewal.latch import Latch

Ask = Callable[[float], Awaitable[Introspection]]
"""Asks the server, within some seconds."""

_LONGEST_INACTIVE: Final = 5.0
"""Seconds: a token that is not active yet, or was looked up on a replica that lagged behind, is
good a moment later."""


@attrs.frozen
class _Kept:
    said: Introspection
    good_until: float


@attrs.define(eq=False)
class _Question:
    """One question on its way, for all who want to know the same.

    Attributes:
        seconds: How long who asked wanted to wait.
        done: Set at its end.
        said: The answer, also one that is not kept.
        failure: Why there is none; where there is neither, who asked was cancelled.
    """

    seconds: float
    done: Latch = attrs.field(factory=Latch)
    said: Introspection | None = None
    failure: Exception | None = None


class IntrospectionCache:
    """What a server said of tokens lately, bounded in time and number.

    A revoked token is let in for as long as its entry lives: choose `seconds` by what that may
    cost (RFC 7662 §4). An entry ends with its token, at `exp`; that a token is not active is
    believed for five seconds at most. Many who are shown one token at once ask the server once.
    Tokens are not kept, only digests of them under a key of this object's own.

    Example:
        >>> cache = IntrospectionCache(seconds=30, capacity=10_000)

    Args:
        seconds: How long an answer is believed.
        capacity: The most answers that are kept; the one that was used least lately goes first.

    Raises:
        ConfigurationError: One of the two is not above 0.
    """

    def __init__(self, *, seconds: float, capacity: int = 10_000) -> None:
        """Start empty."""
        check_kind("IntrospectionCache: seconds=", seconds, float)
        check_kind("IntrospectionCache: capacity=", capacity, int)
        if not seconds > 0 or capacity < 1:
            message = "IntrospectionCache needs seconds above 0 and a capacity of at least 1"
            raise ConfigurationError(message)
        self._seconds, self._capacity = seconds, capacity
        self._key = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._asked: dict[tuple[object, bytes], _Question] = {}  # nobody waits for another loop

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return len(self._kept)

    def __repr__(self) -> str:
        """Say how many answers are kept, and for how long."""
        return f"<IntrospectionCache {len(self)} of {self._capacity}, {self._seconds:g} s>"

    def clear(self) -> None:
        """Forget all answers, also those that are on their way: they are for who asked already."""
        self._kept.clear()
        self._asked.clear()

    async def get(
        self, about: tuple[str, ...], ask: Ask, clock: Clock, *, seconds: float
    ) -> Introspection:
        """Return what was said lately, or ask.

        Args:
            about: Whom is asked, by whom, about which token, and how.
            ask: Asks the server.
            clock: Tells the time.
            seconds: How long it may take.

        Raises:
            OAuthKitError: As `ask` does; whoever waited for the same answer gets the same error,
                but for who would have waited twice as long.
        """
        digest = self._digest(about)
        name = current_loop(), digest
        ends = anyio.current_time() + seconds
        while (said := self._found(digest, clock.monotonic())) is None:
            left = ends - anyio.current_time()
            question = self._asked.get(name)
            if question is None:
                return await self._first(name, ask, clock, left)
            with anyio.move_on_after(left):
                await question.done.wait()
            if question.said is not None:
                return question.said
            if question.failure is not None and not _was_short(question, left):
                raise for_another(question.failure)
            if anyio.current_time() >= ends:
                message = f"another task asked about the same token, for more than {seconds:g} s"
                raise TransportError(message, sent=True)
        return said

    async def _first(
        self, name: tuple[object, bytes], ask: Ask, clock: Clock, seconds: float
    ) -> Introspection:
        question = self._asked[name] = _Question(seconds)
        try:
            question.said = said = await ask(seconds)
            if self._asked.get(name) is question:
                self._keep(name[1], said, clock)
        except Exception as error:
            question.failure = error
            raise
        else:
            return said
        finally:
            if self._asked.get(name) is question:
                del self._asked[name]
            question.done.set()

    def _found(self, digest: bytes, now: float) -> Introspection | None:
        kept = self._kept.get(digest)
        if kept is None:
            return None
        if now >= kept.good_until:
            del self._kept[digest]
            return None
        self._kept.move_to_end(digest)
        return kept.said

    def _keep(self, digest: bytes, said: Introspection, clock: Clock) -> None:
        life = self._seconds if said.active else min(self._seconds, _LONGEST_INACTIVE)
        if said.expires_at is not None:
            life = min(life, said.expires_at - clock.time())
        if life > 0:
            self._kept[digest] = _Kept(said, clock.monotonic() + life)
            self._kept.move_to_end(digest)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)

    def _digest(self, about: tuple[str, ...]) -> bytes:
        made = blake2b(key=self._key, digest_size=32)
        for text in about:
            told = text.encode(errors="surrogatepass")
            made.update(len(told).to_bytes(8, "big") + told)
        return made.digest()


def _was_short(question: _Question, seconds: float) -> bool:
    """Tell whether no answer came to who had not half as much time for it."""
    return isinstance(question.failure, TransportError) and 2 * question.seconds < seconds
