"""What the stores that several processes share do alike: wait for a lease, and keep one."""

import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import anyio

from oauthkit.beside import beside
from oauthkit.errors import ConfigurationError, LeaseLost, StoreError
from oauthkit.protocol.tries import growing_pause
from oauthkit.stores.base import Lease, TokenStore

_FIRST_PAUSE: Final = 0.002
_EARLY_PAUSE: Final = 0.04
_SHARE: Final = 0.045  # of the time waited, which says how long it may yet take
_LONGEST_PAUSE: Final = 0.045  # with the look itself, what changed is known within 50 ms
_EXTENSIONS: Final = 30  # a holder that hangs is as good as dead at some point
_PARTS: Final = 3  # of a lease; one is over when it is extended, so two tries may fail


def checked_lease_seconds(lease_seconds: float) -> float:
    """Return how long a lease lives.

    Raises:
        ConfigurationError: It is not above 0.
    """
    if not lease_seconds > 0:
        message = f"lease_seconds must be above 0, not {lease_seconds!r}"
        raise ConfigurationError(message)
    return lease_seconds


def lease_lost() -> LeaseLost:
    """Return the error of a save or a deletion whose right has passed to somebody else."""
    message = (
        "the lease is no longer this one's: somebody else had it since, or a login or a logout "
        "came in between, or it was given back"
    )
    return LeaseLost(message)


def pauses(
    now: Callable[[], float] = anyio.current_time, *, longest: float = _LONGEST_PAUSE
) -> Iterator[float]:
    """Yield the seconds between looks at a lease that somebody else holds, without end.

    They grow with the wait, so that a fleet which waits for one slow server asks its store less and
    less. As far as `longest` lets them, they never make a wait longer by more than a twentieth, or
    by 45 ms.

    Args:
        now: Seconds on the clock of the event loop.
        longest: The most seconds of a pause.
    """
    began, looks = now(), 0
    while True:
        looks += 1
        early = growing_pause(looks, first=_FIRST_PAUSE, longest=_EARLY_PAUSE)
        pause = max(early, min(_SHARE * (now() - began), longest))
        yield pause * random.uniform(0.8, 1)  # noqa: S311 - spreads the looks of a fleet


@asynccontextmanager
async def extended(
    extend: Callable[[], Awaitable[bool]], *, lease_seconds: float
) -> AsyncGenerator[None]:
    """Extend a lease beside the block, so that it outlasts a renewal that takes long.

    Args:
        extend: Says whether the lease was still held. `StoreError` from it is passed over: the
            next try may succeed, and the lease itself decides about the save.
        lease_seconds: How long the lease lives.
    """
    message = "the event loop ended before the lease could be kept; it was given back"
    keep = partial(_keep, extend, lease_seconds / _PARTS)
    async with beside(keep, unbegun=StoreError(message)):
        yield


async def give_back(release: Callable[[], Awaitable[object]], *, within: float = math.inf) -> None:
    """Release a lease, also when cancelled; where that fails, the lease ends by itself.

    Args:
        release: May be called twice.
        within: How many seconds it may take.
    """
    with anyio.move_on_after(within, shield=True), suppress(StoreError):
        try:
            await release()
        except anyio.get_cancelled_exc_class():  # asyncio's own, which no shield holds off
            await release()
            raise


async def delete_leased(store: TokenStore, key: str, lease: Lease) -> None:
    """Forget the token of a key under its lease.

    A lease of a user's own store may have no `delete`, which came later than the rest of it, or the
    empty one of the protocol.

    Raises:
        LeaseLost: The lease was lost, and nothing was deleted.
        StoreError: The store failed.
    """
    delete = getattr(lease, "delete", None)
    if delete is not None and getattr(delete, "__func__", None) is not Lease.delete:
        await delete()
    elif lease.held:
        await store.delete(key)
    else:
        raise lease_lost()


async def _keep(extend: Callable[[], Awaitable[bool]], every: float, _: anyio.CancelScope) -> None:
    held, extensions = True, 0
    while held and extensions < _EXTENSIONS:
        extensions += 1
        await anyio.sleep(every)
        with suppress(StoreError):
            held = await extend()
