"""The seam to the Redis drivers: what a store asks for, in the words of each."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Protocol, Self

import attrs

from oauthkit.errors import ConfigurationError, StoreError


@attrs.frozen
class Script:
    """A Lua script; the server runs it as one step.

    Attributes:
        source: The text; it touches only the keys it is given, as Redis Cluster wants.
        digest: What the server calls it once it has seen it.
    """

    source: str
    digest: str

    @classmethod
    def of(cls, source: str) -> Self:
        """Return a script of the given text."""
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


class RedisClient(Protocol):
    """What a store needs of a driver."""

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
    except Exception as error:
        raise _store_error(error) from error


async def read_field(client: RedisClient, key: str, field: str) -> Any:
    """Return a field of a hash, or None.

    Raises:
        StoreError: The server cannot be reached, or refuses.
    """
    try:
        return await client.field(key, field)
    except Exception as error:
        raise _store_error(error) from error


def text(answer: str | bytes) -> str:
    """Return what a client answered as text, whether or not it was set up to decode answers."""
    return answer.decode() if isinstance(answer, bytes) else answer


def _store_error(error: Exception) -> StoreError:
    # Drivers raise errors of their own, of the event loop and of the system. Their texts may quote
    # what was sent, so the text here names the kind alone.
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return StoreError(f"Redis could not be asked ({kind}); try again later")


@attrs.frozen
class _RedisPy:
    _client: Any

    async def field(self, key: str, field: str) -> Any:
        return await self._client.hget(key, field)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        return await self._client.evalsha(script.digest, len(keys), *keys, *arguments)

    async def introduce(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        return await self._client.eval(script.source, len(keys), *keys, *arguments)


@attrs.frozen
class _Coredis:
    _client: Any

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
