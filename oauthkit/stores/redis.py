"""Tokens in Redis, which the processes of a fleet share."""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio
import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, WatchedStore
from oauthkit.stores.leasing import (
    checked_lease_seconds,
    extended,
    give_back,
    lease_lost,
    pauses,
)
from oauthkit.stores.records import decode_token, encode_token
from oauthkit.stores.redis_client import Script, read_field, redis_client, run_script, text

if TYPE_CHECKING:
    import coredis
    import redis.asyncio

    Client = (
        redis.asyncio.Redis
        | redis.asyncio.RedisCluster
        | coredis.Redis[Any]
        | coredis.RedisCluster[Any]
    )

_SLACK_SECONDS: Final = 300.0  # a token outlives its use by this, for clocks that differ
_PARTING_SECONDS: Final = 2.0

# KEYS are the token and the lease of one store key. The lease holds its owner's name, which is
# random and never used twice, so it is the fence as well: whoever lost the lease can never look as
# if they held it.
ACQUIRE: Final = Script.of(
    """
local owner, lease_ms, seen = ARGV[1], ARGV[2], ARGV[3]
local stored = redis.call('HMGET', KEYS[1], 'version', 'token')
local version, token = stored[1] or 'none', stored[2]
if seen ~= '' and token and version ~= seen then
  return {0, version, token} -- renewed while this one waited
end
local held = redis.call('SET', KEYS[2], owner, 'NX', 'PX', lease_ms) and 1 or 0
if held == 0 and redis.call('GET', KEYS[2]) == owner then
  held = 1 -- the driver sent this twice
end
if held == 0 and version == seen then
  return {0, version, false} -- as it was: not worth the bytes
end
return {held, version, token}
"""
)
EXTEND: Final = Script.of(
    """
local owner, lease_ms = ARGV[1], ARGV[2]
if redis.call('GET', KEYS[2]) ~= owner then
  return 0
end
return redis.call('PEXPIRE', KEYS[2], lease_ms)
"""
)
SAVE: Final = Script.of(
    """
local owner, version, life_ms, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if owner == '' then
  redis.call('DEL', KEYS[2]) -- a login: whoever renews is too late
elseif redis.call('GET', KEYS[2]) ~= owner then
  return 0
end
redis.call('HSET', KEYS[1], 'version', version, 'token', token)
if life_ms == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], life_ms)
end
return 1
"""
)
RELEASE: Final = Script.of(
    """
local owner = ARGV[1]
if redis.call('GET', KEYS[2]) ~= owner then
  return 0
end
return redis.call('DEL', KEYS[2])
"""
)
DELETE: Final = Script.of(
    """
return redis.call('DEL', KEYS[1], KEYS[2])
"""
)


class RedisStore(WatchedStore):
    """Keep tokens in Redis; renewal is exclusive among all processes that use the server.

    A renewal costs three round trips: one has the lease and the token, one saves, one gives the
    lease back. A token is kept until its refresh token ends, where that is known; without a
    refresh token until it expires; else until it is deleted.

    "Stored for good" is what the server makes of it: a server that keeps nothing on disk, or fails
    over to a replica that lags behind, forgets the latest tokens. Use `appendfsync always` and no
    eviction (`maxmemory-policy noeviction`) where a login is expensive.

    Example:
        >>> import redis.asyncio
        >>> store = RedisStore(redis.asyncio.from_url("redis://cache.example"))

    Args:
        client: A `redis.asyncio` client, of one server or of a cluster, or one of coredis, which
            works on trio too. It stays the caller's, who closes it. Give it a `socket_timeout`:
            the store waits for an answer as long as the client does.
        prefix: How the names of all keys begin.
        lease_seconds: How long a lease lives; longer than `RenewalPolicy.timeout`. It is extended
            while its holder is at work.
    """

    def __init__(
        self, client: "Client", *, prefix: str = "oauthkit:", lease_seconds: float = 60.0
    ) -> None:
        """Ask nothing yet.

        Raises:
            ConfigurationError: The client is of no known kind, the prefix has a brace in it, or
                `lease_seconds` is not above 0.
        """
        super().__init__()
        if "{" in prefix or "}" in prefix:
            message = "the prefix of a RedisStore holds no braces: they decide about cluster slots"
            raise ConfigurationError(message)
        self.lease_seconds: Final = checked_lease_seconds(lease_seconds)
        self._client = redis_client(client)
        self._prefix = prefix

    async def load(self, key: str, /) -> Token | None:
        """Return the token of a key; None where there is none.

        Raises:
            StoreError: Redis cannot be asked, or what it has is no token.
        """
        return _token(await read_field(self._client, self._names(key)[0], "token"))

    async def save(self, key: str, token: Token, /) -> None:
        """Store the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be stored.
        """
        await self._put(key, token, owner="")
        self._changed(key)

    async def delete(self, key: str, /) -> None:
        """Forget the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be forgotten.
        """
        await self._run(DELETE, key)
        self._changed(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        """Wait for the right to renew the token of a key.

        Raises:
            StoreError: Redis cannot be asked.
        """
        owner = secrets.token_hex(16)
        look = await self._waited_for(key, owner)
        lease = _RedisLease(self, key, owner, look, look.good_until)
        if not look.held:
            yield lease
            return

        async def extend() -> bool:
            good_until = time.monotonic() + self.lease_seconds
            held = bool(await self._run(EXTEND, key, owner, self._lease_ms))
            lease.good_until = good_until if held else 0.0
            return held

        try:
            async with extended(extend, lease_seconds=self.lease_seconds):
                yield lease
        finally:
            await self._release(key, owner)

    async def save_leased(self, key: str, owner: str, token: Token) -> None:
        """Store a token under a lease."""
        if not await self._put(key, token, owner=owner):
            raise lease_lost()

    async def _waited_for(self, key: str, owner: str) -> "_Look":
        """Return the look at which the lease was had, or the token had changed."""
        first = look = await self._look(key, owner, seen="")
        pause = pauses()
        while not look.held and (look.token is None or look.version == first.version):
            await anyio.sleep(next(pause))
            look = await self._look(key, owner, seen=first.version)
        return look

    async def _look(self, key: str, owner: str, *, seen: str) -> "_Look":
        good_until = time.monotonic() + self.lease_seconds
        try:
            held, version, token = await self._run(ACQUIRE, key, owner, self._lease_ms, seen)
        except BaseException:
            await self._release(key, owner)  # cut off: the server may have granted it
            raise
        return _Look(bool(held), text(version), token, good_until if held else 0.0)

    async def _release(self, key: str, owner: str) -> None:
        await give_back(lambda: self._run(RELEASE, key, owner), within=_PARTING_SECONDS)

    async def _put(self, key: str, token: Token, *, owner: str) -> bool:
        # A server without EVALSHA quotes the first 128 characters of what it was sent in its error:
        # the version stands before the token, and is long.
        version, content = secrets.token_hex(32), encode_token(token)
        return bool(await self._run(SAVE, key, owner, version, _life_ms(token), content))

    async def _run(self, script: Script, key: str, *arguments: str) -> Any:
        return await run_script(self._client, script, self._names(key), arguments)

    @property
    def _lease_ms(self) -> str:
        return str(max(round(self.lease_seconds * 1000), 1))

    def _names(self, key: str) -> tuple[str, str]:
        """Return the names of token and lease, which Redis Cluster keeps in one slot."""
        tag = quote(key, safe="/:@ ", errors="surrogatepass") or "%"
        return f"{self._prefix}{{{tag}}}:token", f"{self._prefix}{{{tag}}}:lease"


@attrs.frozen
class _Look:
    held: bool
    version: str
    token: str | bytes | None = attrs.field(repr=False)
    good_until: float  # on the monotonic clock, counted from before the server was asked


@attrs.define
class _RedisLease:
    """The first `load` gives what came with the lease; later ones ask again."""

    _store: RedisStore
    _key: str
    _owner: str
    _look: _Look | None
    good_until: float

    @property
    def held(self) -> bool:
        return time.monotonic() < self.good_until

    async def load(self) -> Token | None:
        look, self._look = self._look, None
        return await self._store.load(self._key) if look is None else _token(look.token)

    async def save(self, token: Token) -> None:
        if not self.good_until:
            raise lease_lost()
        await self._store.save_leased(self._key, self._owner, token)


def _token(found: str | bytes | None) -> Token | None:
    return None if found is None else decode_token(text(found))


def _life_ms(token: Token) -> str:
    """Return how long a token is worth keeping; nothing where that is not known."""
    ends = token.expires_at
    if token.refresh_token is not None:
        ends = token.refresh_expires_at and max(token.refresh_expires_at, ends or 0.0)
    if ends is None:
        return ""
    return str(round((max(ends - time.time(), 0.0) + _SLACK_SECONDS) * 1000))
