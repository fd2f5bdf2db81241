"""A store that can be broken, and what the tests of renewal share."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final
from weakref import WeakSet

import anyio
import anyio.lowlevel
import attrs
import pytest

from oauthkit import (
    AsyncTokenSession,
    AuthorizationCode,
    Lease,
    MemoryStore,
    OAuthKitError,
    RenewalPolicy,
    ResourceOwnerPassword,
    Token,
    TokenStore,
)
from oauthkit.events import Event
from oauthkit.renewal.shared import SharedToken
from oauthkit.testing import FakeAuthorizationServer

ASYNCIO: Final = pytest.mark.parametrize("anyio_backend", ["asyncio"])
PASSWORD: Final = ResourceOwnerPassword(username="ada", password="lovelace")
JSON_TYPE: Final = {"content-type": "application/json"}
STEADY: Final = RenewalPolicy(jitter=0.0, save_timeout=0.2)


class ShakyStore(MemoryStore):
    """Be a store that can be counted, slowed down and broken."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.error: Exception = OSError("no store")
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await anyio.lowlevel.checkpoint()
        if name in self.before:
            await self.before[name]()
        if name in self.broken:
            raise self.error

    async def load(self, key: str, /) -> Token | None:
        await self._called("load")
        return await super().load(key)

    @asynccontextmanager
    async def lease(self, key: str, /) -> AsyncGenerator[Lease]:
        await self._called("lease")
        async with super().lease(key) as lease:
            yield _ShakyLease(self, lease)
        await self._called("release")

    async def called(self, name: str) -> None:
        await self._called(name)


@attrs.frozen
class _ShakyLease:
    store: ShakyStore
    lease: Lease

    @property
    def held(self) -> bool:
        return self.lease.held

    async def load(self) -> Token | None:
        await self.store.called("lease.load")
        return await self.lease.load()

    async def save(self, token: Token) -> None:
        await self.store.called("save")
        await self.lease.save(token)

    async def delete(self) -> None:
        await self.store.called("delete")
        await self.lease.delete()


class Heard(list[Event]):
    """Be a list of events that came."""

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


def shared_of(session: AsyncTokenSession[Any]) -> SharedToken:
    """Return what a session shares with others over its store."""
    return session._source.shared


async def stored(
    fake: FakeAuthorizationServer, store: MemoryStore, *, expired: bool = True
) -> Token:
    """Put a token as after a login under the key `k`, and let it expire."""
    token = fake.issue()
    await store.save("k", token)
    if expired:
        fake.advance(61)
    return token


def crowd(fake: FakeAuthorizationServer, store: TokenStore, **settings: Any) -> Any:
    """Return a session over a store, which has what it needs there."""
    keywords: dict[str, Any] = {"grant": None, "store": store, "key": "k", **settings}
    return fake.session(**keywords)


async def fail(what: Awaitable[object]) -> OAuthKitError:
    """Return the error that comes."""
    with pytest.raises(OAuthKitError) as caught:
        await what
    return caught.value


class Elsewhere:
    """Be a store as another process has it: the same tokens, and nothing that is kept beside."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.lease_seconds = store.lease_seconds

    async def load(self, key: str, /) -> Token | None:
        return await self._store.load(key)

    async def save(self, key: str, token: Token, /) -> None:
        with self._unwatched():
            await self._store.save(key, token)

    async def delete(self, key: str, /) -> None:
        with self._unwatched():
            await self._store.delete(key)

    def lease(self, key: str, /) -> AbstractAsyncContextManager[Lease]:
        return self._store.lease(key)

    @contextmanager
    def _unwatched(self) -> Generator[None]:
        """Tell nobody: no process hears of another's logins."""
        watchers, self._store._watchers = self._store._watchers, WeakSet()
        try:
            yield
        finally:
            self._store._watchers = watchers


async def quiet(session: AsyncTokenSession[Any]) -> None:
    """Wait until nothing goes on beside, and the store has what it should have."""
    with anyio.fail_after(10):
        while session.status().renewing or session.status().unsaved:  # noqa: ASYNC110 - no event
            await anyio.sleep(0.01)


async def used(session: AsyncTokenSession[Any]) -> None:
    await session.get("/report")


def code_of(fake: FakeAuthorizationServer) -> AuthorizationCode:
    """Return the code of a login."""
    from oauthkit import AuthorizationRequest

    login = AuthorizationRequest.new(
        fake.server, fake.client_id, redirect_uri="https://app.example/cb"
    )
    return login.accept(fake.authorize(login.url))
