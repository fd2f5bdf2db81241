"""What the stores that several processes share do alike: wait for a lease, and keep one."""

import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio

from oauthkit.errors import ConfigurationError, LeaseLost, StoreError

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.03  # with the look itself, what changed is known within 50 ms
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
    """Return the error of a save that came too late."""
    return LeaseLost("the lease ran out, or the token was deleted or replaced meanwhile")


def pauses() -> Iterator[float]:
    """Yield the seconds between looks at a lease that somebody else holds, without end."""
    pause = _FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - spreads the looks of a fleet
        pause = min(pause * 2, _LONGEST_PAUSE)


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
    failure: Exception | None = None
    async with anyio.create_task_group() as beside:
        beside.start_soon(_keep, extend, lease_seconds / _PARTS)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again, not in an exception group
            failure = error
        beside.cancel_scope.cancel()
    if failure is not None:
        raise failure


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


async def _keep(extend: Callable[[], Awaitable[bool]], every: float) -> None:
    held = True
    for _ in range(_EXTENSIONS):
        await anyio.sleep(every)
        with suppress(StoreError):
            held = await extend()
        if not held:
            return
