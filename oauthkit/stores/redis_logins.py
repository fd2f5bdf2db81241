"""What belongs to logins beside their tokens, in Redis: what was used, and who is who.

Each script touches one key, so that a Redis Cluster may keep them anywhere.
"""

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from oauthkit.kinds import checked
from oauthkit.stores.ending import checked_end
from oauthkit.stores.keys import check_key
from oauthkit.stores.logout_index import checked_visit, wanted_names
from oauthkit.stores.redis_client import redis_client, run_script, text
from oauthkit.stores.redis_scripts import Script
from oauthkit.stores.redis_turns import turns
from oauthkit.stores.single_use import mark_of

if TYPE_CHECKING:
    from oauthkit.stores.redis import Client

CLAIM: Final = Script.of(
    """
local holder = redis.call('GET', KEYS[1])
if holder then
  return holder == ARGV[1] and 1 or 0 -- its own: the driver sent this twice
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)
# What a key is found by, until the visit ends; what the key was found by before.
NOTE: Final = Script.of(
    """
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return before
"""
)
FORGET: Final = Script.of(
    """
local before = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return before
"""
)
# The keys of one subject or session, each with its own end; the last one to end takes them along.
ENTER: Final = Script.of(
    """
local key, ends_at, now, life_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], ends_at, key)
if redis.call('PTTL', KEYS[1]) < life_ms then
  redis.call('PEXPIRE', KEYS[1], life_ms)
end
return 1
"""
)
LEAVE: Final = Script.of("return redis.call('ZREM', KEYS[1], ARGV[1])")
FIND: Final = Script.of("return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')")


class _Room:
    """A part of a Redis server, by how its keys begin."""

    def __init__(self, client: Any, prefix: str, clock: Callable[[], float]) -> None:
        self._client = redis_client(client)
        self._prefix = prefix
        self._clock = clock

    async def _run(self, script: Script, name: str, *arguments: str) -> Any:
        async with turns(self._client).commands:
            return await run_script(self._client, script, [f"{self._prefix}{name}"], arguments)


class RedisSingleUseStore(_Room):
    """Remember what was used in Redis, for a whole fleet.

    A claim is one round trip. The server forgets a name once it has ended; one that is short of
    memory must not forget it before (`maxmemory-policy noeviction`).

    Example:
        >>> import redis.asyncio
        >>> used = RedisSingleUseStore(redis.asyncio.from_url("redis://cache.example"))

    Args:
        client: As for `RedisStore`.
        prefix: How the names of all keys begin.
        clock: Seconds since the epoch.
    """

    @checked
    def __init__(
        self,
        client: "Client",
        *,
        prefix: str = "oauthkit:used:",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask nothing yet."""
        super().__init__(client, prefix, clock)

    async def claim(self, name: str, /, *, expires_at: float) -> bool:
        """Note that something is used now; tell whether that is the first time.

        Raises:
            StoreError: Redis cannot be asked.
        """
        mark, now = mark_of(name), self._clock()
        life_ms = _ms(checked_end(expires_at, now=now) - now)
        return bool(await self._run(CLAIM, mark, secrets.token_hex(16), life_ms))

    async def release(self, name: str, /) -> None:
        """Forget a use that came to nothing.

        Raises:
            StoreError: Redis cannot be asked.
        """
        await self._run(FORGET, mark_of(name))


class RedisLogoutIndex(_Room):
    """Remember whose the tokens are in Redis, for a whole fleet.

    Example:
        >>> import redis.asyncio
        >>> index = RedisLogoutIndex(redis.asyncio.from_url("redis://cache.example"))

    Args:
        client: As for `RedisStore`.
        prefix: How the names of all keys begin.
        clock: Seconds since the epoch.
    """

    @checked
    def __init__(
        self,
        client: "Client",
        *,
        prefix: str = "oauthkit:visits:",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask nothing yet."""
        super().__init__(client, prefix, clock)

    async def add(
        self,
        key: str,
        /,
        *,
        issuer: str,
        subject: str,
        session_id: str | None = None,
        expires_at: float,
    ) -> None:
        """Note whose the token of a key is.

        Raises:
            StoreError: Redis cannot be asked.
        """
        visit, now = checked_visit(key, issuer, subject, session_id), self._clock()
        ends_at, member = checked_end(expires_at, now=now), _member(key)
        life_ms = _ms(ends_at - now)
        before = await self._run(NOTE, f"key:{member}", " ".join(visit.names), life_ms)
        for name in visit.names:
            await self._run(ENTER, name, member, repr(ends_at), repr(now), life_ms)
        await self._leave(member, before, but=visit.names)

    async def find(
        self, *, issuer: str, subject: str | None = None, session_id: str | None = None
    ) -> frozenset[str]:
        """Return the keys of whom a logout is about.

        Raises:
            StoreError: Redis cannot be asked.
        """
        names, now = wanted_names(issuer, subject, session_id), self._clock()
        found = [await self._run(FIND, name, repr(now)) for name in names]
        return frozenset[str].intersection(
            *(frozenset(_key(text(member)) for member in members) for members in found)
        )

    async def remove(self, key: str, /) -> None:
        """Forget a key.

        Raises:
            StoreError: Redis cannot be asked.
        """
        check_key(key)
        member = _member(key)
        await self._leave(member, await self._run(FORGET, f"key:{member}"))

    async def _leave(self, member: str, before: Any, *, but: tuple[str, ...] = ()) -> None:
        """Take a key from what it was found by before."""
        names = [] if before is None else text(before).split(" ")
        for name in names:
            if name not in but:
                await self._run(LEAVE, name, member)


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


def _member(key: str) -> str:
    return quote(key, safe="", errors="surrogatepass")


def _key(member: str) -> str:
    return unquote(member, errors="surrogatepass")
