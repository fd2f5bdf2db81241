"""Work beside a block: it ends with the block, and never takes the block with it."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from oauthkit import OAuthKitError, StoreError, TransportError
from oauthkit.delivery import time_limit
from oauthkit.stores.leasing import extended
from oauthkit.stores.redis_client import ListeningError, _Coredis

Block = Callable[[], AbstractAsyncContextManager[object]]
ITS_OWN = "its own error"
ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])


async def extend() -> bool:
    return True


def a_lease() -> AbstractAsyncContextManager[None]:
    return extended(extend, lease_seconds=60.0)


def a_request() -> AbstractAsyncContextManager[None]:
    return time_limit(60.0, on_a_socket=True)


class Client:
    """As much of a coredis client as it takes to begin to listen."""

    def pubsub(self, **_: object) -> None:
        """Return nothing that could be listened to."""


def a_subscription() -> AbstractAsyncContextManager[object]:
    return _Coredis(Client()).listen("channel", extend)


BLOCKS = pytest.mark.parametrize("block", [a_lease, a_request])


@BLOCKS
@ASYNCIO
async def test_the_end_of_the_event_loop_takes_no_block_with_it_that_has_just_begun(
    block: Block,
) -> None:
    """The task beside is cancelled first of all, as `asyncio.run` does at its end."""
    before = asyncio.all_tasks()
    async with block():
        for task in asyncio.all_tasks() - before:
            task.cancel()
        await anyio.sleep(0.01)
        went_on = True
    assert went_on


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize(
    "block, unbegun, words",
    [
        (a_lease, StoreError, "the event loop ended"),
        (a_request, TransportError, "the event loop ended"),
        (a_subscription, ListeningError, "InterruptedError"),
    ],
)
@ASYNCIO
async def test_no_block_is_begun_where_the_event_loop_ends_first(
    block: Block, unbegun: type[OAuthKitError], words: str
) -> None:
    """The task beside is cancelled before its first step."""
    before = asyncio.all_tasks()

    async def begin() -> None:
        async with block():
            pytest.fail("nothing may begin")

    def end() -> None:
        for task in asyncio.all_tasks() - before - {begun}:
            task.cancel()

    begun = asyncio.get_running_loop().create_task(begin())
    asyncio.get_running_loop().call_soon(end)
    with pytest.raises(unbegun, match=words):
        await asyncio.wait_for(begun, 5)
    gc.collect()  # asyncio drops such a task without a word, and Python says so of its coroutine


@BLOCKS
async def test_what_a_block_raises_is_raised_as_it_is(block: Block) -> None:
    with pytest.raises(KeyError, match="its own"):
        async with block():
            raise KeyError(ITS_OWN)
