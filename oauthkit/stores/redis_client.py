"""The seam to the Redis drivers: what a store asks for, in the words of each."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio
import attrs

from oauthkit.errors import ConfigurationError, Recovery, StoreError
from oauthkit.stores.leasing import give_back
from oauthkit.stores.redis_scripts import Script

_MOST_CONNECTIONS: Final = 16
_POOL_PARTS: Final = 4
_COMMAND_PARTS: Final = 2  # of those four; one is for the lines, and one is the caller's
_OPENING_SECONDS: Final = 2.0
_CLOSING_SECONDS: Final = 2.0
_OVERTIME_SECONDS: Final = 1.0
_NEVER: Final = 1e9

_T = TypeVar("_T")
Heard = Callable[[float], Awaitable[bool]]
"""Waits for so many seconds at most, and says whether something was said meanwhile.

`ListeningError` from it says that something may be missed from now on.
"""


class ListeningError(StoreError):
    """The server cannot be listened to."""

    def __init__(self, error: BaseException) -> None:
        """Tell why; the driver's own text may quote anything."""
        super().__init__(f"Redis could not be listened to ({_kind(error)}); try again later")


class RedisClient(Protocol):
    """What a store needs of a driver."""

    @property
    def given(self) -> Any:
        """The user's client."""
        ...

    @property
    def pool(self) -> Any:
        """What the connections come from; several clients may have the same."""
        ...

    @property
    def connections(self) -> int:
        """How many connections those who wait may take for one purpose: a quarter of a pool."""
        ...

    @property
    def commands(self) -> int | None:
        """How many commands may be under way; None where the driver refuses none, and queues."""
        ...

    @property
    def lines(self) -> int:
        """How many may listen at once, each with a connection; 0 where that cannot be."""
        ...

    def listen(
        self, channel: str, look: Callable[[], Awaitable[_T]]
    ) -> AbstractAsyncContextManager[tuple[Heard, _T]]:
        """Hear what is said on a channel, and what was found once nothing could be missed.

        Raises:
            ListeningError: It cannot be done, or not be ended well.
        """
        ...

    async def left_ms(self, key: str) -> Any:
        """Return when a key ends, in milliseconds; -1 for never, -2 where there is none."""
        ...

    async def field(self, key: str, field: str) -> Any:
        """Return a field of a hash, or None."""
        ...

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        """Run a script that the server knows."""
        ...

    async def introduce(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        """Run a script that the server does not know yet."""
        ...


def redis_client(client: Any) -> RedisClient:
    """Return the seam to a user's client.

    Raises:
        ConfigurationError: It is none that oauthkit knows.
    """
    modules = [cls.__module__ for cls in type(client).__mro__]
    for family, adapter in _FAMILIES.items():
        if any(f"{module}.".startswith(f"{family}.") for module in modules):
            return adapter(client)
    message = (
        "RedisStore takes a redis.asyncio.Redis, a redis.asyncio.RedisCluster, or a client of "
        f"coredis (which trio needs), not {type(client).__module__}.{type(client).__qualname__}"
    )
    raise ConfigurationError(message)


async def run_script(
    client: RedisClient, script: Script, keys: Sequence[str], arguments: Sequence[str]
) -> Any:
    """Run a script in one round trip, or two where the server has not seen it yet.

    Raises:
        StoreError: The server cannot be reached, or refuses.
    """
    try:
        try:
            return await client.run(script, keys, arguments)
        except Exception as error:
            if type(error).__name__ != "NoScriptError":  # so called by each driver
                raise
            return await client.introduce(script, keys, arguments)
    except UnicodeDecodeError:  # raised below, without it: it carries what is stored
        pass
    except Exception as error:
        raise _store_error(error) from error
    raise _unreadable()


async def read_field(client: RedisClient, key: str, field: str) -> Any:
    """Return a field of a hash, or None.

    Raises:
        StoreError: The server cannot be reached, or refuses.
    """
    try:
        return await client.field(key, field)
    except UnicodeDecodeError:  # raised below, without it: it carries what is stored
        pass
    except Exception as error:
        raise _store_error(error) from error
    raise _unreadable()


async def read_left(client: RedisClient, key: str) -> float | None:
    """Return in how many seconds a key ends, `math.inf` for never; None where there is none.

    Raises:
        StoreError: The server cannot be reached, or refuses.
    """
    try:
        left = int(await client.left_ms(key))
    except Exception as error:
        raise _store_error(error) from error
    if left == _MISSING:
        return None
    return math.inf if left == _ENDLESS else left / 1000


_MISSING: Final = -2  # by which PTTL says it
_ENDLESS: Final = -1


def text(answer: str | bytes) -> str:
    """Return what a client answered as text, whether or not it was set up to decode answers."""
    return answer.decode() if isinstance(answer, bytes) else answer


def _store_error(error: Exception) -> StoreError:
    if "WRONGTYPE" in str(error) or type(error).__name__ == "WrongTypeError":
        message = (
            "what Redis has under the name of this key is of another type than a token of oauthkit "
            "(WRONGTYPE), so somebody else uses that name; give RedisStore a prefix= of its own"
        )
        return StoreError(message, recovery=Recovery.CHANGE_REQUEST)
    # Drivers raise errors of their own, of the event loop and of the system. Their texts may quote
    # what was sent, so the text here names the kind alone.
    return StoreError(f"Redis could not be asked ({_kind(error)}); try again later")


def _unreadable() -> StoreError:
    message = (
        "what is stored under this key is no text, so no token of oauthkit; it is kept, and a "
        "login (save) or a logout (delete) replaces it"
    )
    return StoreError(message, recovery=Recovery.CHANGE_REQUEST)


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


@attrs.frozen
class _Connections:
    """What the client's pool has for those who wait; it belongs to the caller, who needs it too."""

    _client: Any
    pool: Any = attrs.field(init=False)

    @pool.default
    def _found_pool(self) -> Any:
        return getattr(self._client, "connection_pool", self._client)  # a cluster has none

    @property
    def given(self) -> Any:
        return self._client

    @property
    def connections(self) -> int:
        return max(self._quarter, 1)

    @property
    def lines(self) -> int:
        return self._quarter if hasattr(self._client, "pubsub") else 0

    @property
    def _most(self) -> float:
        """How many connections there may be."""
        if self.pool is not self._client:
            return float(getattr(self.pool, "max_connections", math.inf))
        # A cluster of redis-py has a pool for each node, all of one size. Which node a key belongs
        # to is the driver's to know, so all nodes together get what one bears.
        options: dict[str, Any] = getattr(self._client, "connection_kwargs", {})
        return float(options.get("max_connections", math.inf))

    @property
    def _quarter(self) -> int:
        return int(min(_MOST_CONNECTIONS, self._most // _POOL_PARTS))


async def _close(pubsub: Any) -> None:
    try:
        await pubsub.aclose()
    except Exception as error:
        raise _store_error(error) from error


async def _heard(pubsub: Any, seconds: float) -> bool:
    try:
        with anyio.fail_after(seconds + _OVERTIME_SECONDS):  # to reconnect may take the driver long
            return await pubsub.get_message(timeout=seconds) is not None
    except Exception as error:
        raise ListeningError(error) from error


@attrs.frozen
class _RedisPy(_Connections):
    @property
    def commands(self) -> int | None:
        if self._most == math.inf:
            return None
        return max(int(self._most * _COMMAND_PARTS // _POOL_PARTS), 1)

    @asynccontextmanager
    async def listen(
        self, channel: str, look: Callable[[], Awaitable[_T]]
    ) -> AsyncGenerator[tuple[Heard, _T]]:
        pubsub = self._client.pubsub()
        heard = partial(_heard, pubsub)
        try:
            try:
                with anyio.fail_after(_OPENING_SECONDS):
                    await pubsub.subscribe(channel)
            except Exception as error:
                raise ListeningError(error) from error
            await heard(_OPENING_SECONDS)  # it was only sent: what comes first confirms it
            yield heard, await look()
        finally:
            await give_back(partial(_close, pubsub), within=_CLOSING_SECONDS)

    async def left_ms(self, key: str) -> Any:
        return await self._client.pttl(key)

    async def field(self, key: str, field: str) -> Any:
        return await self._client.hget(key, field)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        return await self._client.evalsha(script.digest, len(keys), *keys, *arguments)

    async def introduce(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        return await self._client.eval(script.source, len(keys), *keys, *arguments)


@attrs.define(eq=False)
class _CoredisLine(Generic[_T]):
    """A subscription in a task of its own, which is never cancelled from outside.

    Cancelled while it opens a connection, be it for this or for the look, or while it leaves, the
    driver loses a place in its pool for good.
    """

    _pubsub: Any
    _channel: str
    _look: Callable[[], Awaitable[_T]]
    begun: anyio.Event = attrs.field(factory=anyio.Event)
    closing: anyio.Event = attrs.field(factory=anyio.Event)
    _opened: anyio.Event = attrs.field(factory=anyio.Event)
    _found: list[_T] = attrs.field(factory=list[_T])
    _failure: Exception | None = None

    async def opened(self) -> _T:
        """Return what was found when nothing could be missed any more.

        Raises:
            ListeningError: It cannot be listened.
        """
        await self.begun.wait()  # the end of an event loop may drop a task before its first step
        with anyio.CancelScope(shield=True):  # the opening has an end of its own
            await self._opened.wait()
        if self._failure is not None:
            raise self._failure
        return self._found[0]

    async def run(self, wait: anyio.CancelScope) -> None:
        """Listen until `closing` is set.

        Args:
            wait: The scope of whoever listens.
        """
        self.begun.set()
        try:
            with anyio.CancelScope(shield=True) as scope:
                await self._run(scope)
            if scope.cancelled_caught:
                self._failure = self._failure or ListeningError(TimeoutError())
        except anyio.get_cancelled_exc_class() as error:
            # The end of asyncio.run cancels each task by itself. This one may go, but it must not
            # take along whoever waits.
            if wait.cancel_called:
                raise
            self._failure = ListeningError(error)
        except Exception as error:  # noqa: BLE001 - the driver's, alone or in a group
            self._failure = ListeningError(error)
        finally:
            self._opened.set()

    async def _run(self, scope: anyio.CancelScope) -> None:
        scope.deadline = anyio.current_time() + _OPENING_SECONDS
        async with self._pubsub:
            await self._pubsub.subscribe(self._channel)
            await _heard(self._pubsub, _OPENING_SECONDS)  # the confirmation
            try:
                self._found.append(await self._look())
            except StoreError as error:
                self._failure = error
            self._opened.set()
            scope.deadline = math.inf
            await self.closing.wait()
            scope.deadline = anyio.current_time() + _CLOSING_SECONDS
            await self._pubsub.unsubscribe(self._channel)  # or the way out takes 0.1 s


@attrs.frozen
class _Coredis(_Connections):
    @property
    def commands(self) -> int | None:
        return None

    @asynccontextmanager
    async def listen(
        self, channel: str, look: Callable[[], Awaitable[_T]]
    ) -> AsyncGenerator[tuple[Heard, _T]]:
        pubsub = self._client.pubsub(
            subscription_timeout=_OPENING_SECONDS,
            max_idle_seconds=_NEVER,  # no PING of its own
        )
        line = _CoredisLine(pubsub, channel, look)
        failure: Exception | None = None
        async with anyio.create_task_group() as beside:
            beside.start_soon(line.run, beside.cancel_scope)
            try:
                yield partial(_heard, pubsub), await line.opened()
            except Exception as error:  # noqa: BLE001 - raised again, not in an exception group
                failure = error
            finally:
                line.closing.set()
        if not line.begun.is_set():
            failure = ListeningError(InterruptedError())
        if failure is not None:
            raise failure

    async def left_ms(self, key: str) -> Any:
        return await self._client.pttl(key)

    async def field(self, key: str, field: str) -> Any:
        return await self._client.hget(key, field)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        return await self._client.evalsha(script.digest, keys, arguments)

    async def introduce(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        return await self._client.eval(script.source, keys, arguments)


_FAMILIES: Final[dict[str, type[_RedisPy] | type[_Coredis]]] = {
    "redis.asyncio": _RedisPy,
    "coredis": _Coredis,
}
