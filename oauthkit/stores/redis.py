"""Tokens in Redis, which the processes of a fleet share."""

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import checked
from oauthkit.protocol.record import FARTHEST
from oauthkit.protocol.token import Token
from oauthkit.stores.base import Lease, WatchedStore
from oauthkit.stores.keys import check_key, check_saved
from oauthkit.stores.leasing import (
    checked_lease_seconds,
    extended,
    give_back,
    lease_lost,
)
from oauthkit.stores.records import decode_token, encode_token, hidden
from oauthkit.stores.redis_client import (
    read_field,
    redis_client,
    run_script,
    text,
)
from oauthkit.stores.redis_scripts import ACQUIRE, DELETE, EXTEND, RELEASE, SAVE, Script
from oauthkit.stores.redis_turns import turns
from oauthkit.stores.redis_waiting import Look, Waiting

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


class RedisStore(WatchedStore):
    """Keep tokens in Redis; renewal is exclusive among all processes that use the server.

    A renewal costs four round trips: one looks, one has the lease and the token, one saves, one
    gives the lease back. A token is kept until its refresh token ends, where that is known; without
    a refresh token until it expires; else until it is deleted.

    "Stored for good" is what the server makes of it: a server that keeps nothing on disk, or fails
    over to a replica that lags behind, forgets the latest tokens. Use `appendfsync always` and no
    eviction (`maxmemory-policy noeviction`) where a login is expensive.

    Example:
        >>> import redis.asyncio
        >>> store = RedisStore(redis.asyncio.from_url("redis://cache.example"))

    Args:
        client: A `redis.asyncio` client, of one server or of a cluster, or one of coredis, which
            works on trio too. It stays the caller's, who closes it, and belongs to one event loop.
            Give it a `socket_timeout`: the store waits for an answer as long as the client does.
        prefix: How the names of all keys begin.
        lease_seconds: How long a lease lives; longer than `RenewalPolicy.timeout`. It is extended
            while its holder is at work.
        clock: Seconds on a clock that is never set, for the leases; for tests.
    """

    @checked
    def __init__(
        self,
        client: "Client",
        *,
        prefix: str = "oauthkit:",
        lease_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
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
        self._waiting = Waiting(self._client, clock)
        self._prefix = prefix
        self.place: Final = f"redis {prefix}"
        self._clock = clock

    async def load(self, key: str, /) -> Token | None:
        """Return the token of a key; None where there is none.

        Raises:
            StoreError: Redis cannot be asked, or what it has is no token.
        """
        check_key(key)
        gates = turns(self._client)
        async with gates.loads, gates.commands:
            found = hidden(await read_field(self._client, self._names(key)[0], "token"))
        return _token(found)

    async def save(self, key: str, token: Token, /) -> None:
        """Store the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be stored.
        """
        check_saved(key, token)
        await self._put(key, token, owner="")
        self._changed(key)

    async def delete(self, key: str, /) -> None:
        """Forget the token of a key; a lease open on it is lost.

        Raises:
            StoreError: It could not be forgotten.
        """
        check_key(key)
        await self._run(DELETE, key, "")
        self._changed(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        """Wait for the right to renew the token of a key.

        Raises:
            StoreError: Redis cannot be asked.
        """
        check_key(key)
        lease = _RedisLease(self, key, secrets.token_hex(16), self._clock)
        try:
            lease.look = await self._waited_for(lease)
            if not lease.had:
                yield lease
                return
            async with extended(partial(self._extend, lease), lease_seconds=self.lease_seconds):
                yield lease
        finally:
            if lease.had:
                lease.good_until = 0.0
                await self._release(key, lease.owner)

    async def save_leased(self, key: str, owner: str, token: Token) -> None:
        """Store a token under a lease."""
        check_saved(key, token)
        if not await self._put(key, token, owner=owner):
            raise lease_lost()

    async def delete_leased(self, lease: "_RedisLease") -> None:
        """Forget a token under a lease."""
        if not await self._run(DELETE, lease.key, lease.owner):
            raise lease_lost()
        lease.good_until = 0.0
        self._changed(lease.key)

    async def _waited_for(self, lease: "_RedisLease") -> Look:
        """Return the look at which the lease was had, or the token had changed."""
        first = await self._look(lease, "")
        look_again = partial(self._look, lease, first.version)
        return await self._waiting.wait(self._names(lease.key), first, look_again)

    async def _look(self, lease: "_RedisLease", seen: str) -> Look:
        async with turns(self._client).looks:  # saves do not wait behind all who begin
            good_until = self._clock() + self.lease_seconds
            try:
                held, version, token, tells = await self._run(
                    ACQUIRE, lease.key, lease.owner, self._lease_ms, seen
                )
            except BaseException:
                await self._release(lease.key, lease.owner)  # cut off: it may have been granted
                raise
        if held:
            lease.had, lease.good_until = True, good_until
        return Look(bool(held), text(version), token, bool(tells))

    async def _extend(self, lease: "_RedisLease") -> bool:
        good_until = self._clock() + self.lease_seconds
        held = bool(await self._run(EXTEND, lease.key, lease.owner, self._lease_ms))
        lease.good_until = good_until if held else 0.0
        return held

    async def _release(self, key: str, owner: str) -> None:
        await give_back(lambda: self._run(RELEASE, key, owner), within=_PARTING_SECONDS)

    async def _put(self, key: str, token: Token, *, owner: str) -> bool:
        # A server without EVALSHA quotes the first 128 characters of what it was sent in its error:
        # the version stands before the token, and is long.
        version, content = secrets.token_hex(32), encode_token(token)
        return bool(await self._run(SAVE, key, owner, version, _life_ms(token), content))

    async def _run(self, script: Script, key: str, *arguments: str) -> Any:
        async with turns(self._client).commands:
            return await run_script(self._client, script, self._names(key), arguments)

    @property
    def _lease_ms(self) -> str:
        return str(max(round(self.lease_seconds * 1000), 1))

    def _names(self, key: str) -> tuple[str, str]:
        """Return the names of token and lease, which Redis Cluster keeps in one slot."""
        tag = quote(key, safe="/:@ ", errors="surrogatepass")
        return f"{self._prefix}{{{tag}}}:token", f"{self._prefix}{{{tag}}}:lease"


@attrs.define
class _RedisLease:
    """The first `load` gives what came with the lease; later ones ask again."""

    _store: RedisStore
    key: str
    owner: str
    _clock: Callable[[], float]
    had: bool = False
    good_until: float = 0.0
    look: Look | None = None

    @property
    def held(self) -> bool:
        return self._clock() < self.good_until

    async def load(self) -> Token | None:
        look, self.look = self.look, None
        return await self._store.load(self.key) if look is None else _token(hidden(look.token))

    async def save(self, token: Token) -> None:
        await self._store.save_leased(self.key, self.owner, token)

    async def delete(self) -> None:
        await self._store.delete_leased(self)


def _token(found: str | None) -> Token | None:
    return None if found is None else decode_token(found)


def _life_ms(token: Token) -> str:
    """Return how long a token is worth keeping; nothing where that is not known."""
    ends = token.expires_at
    if token.refresh_token is not None:
        ends = token.refresh_expires_at and max(token.refresh_expires_at, ends or 0.0)
    if ends is None or not ends <= FARTHEST:
        return ""
    return str(round((max(ends - time.time(), 0.0) + _SLACK_SECONDS) * 1000))
