"""Work beside a block, for as long as the block takes: to extend its lease, to end it in time."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

Work = Callable[[anyio.CancelScope], Awaitable[None]]
"""Told what the block is in, which it may cancel."""


@asynccontextmanager
async def beside(work: Work, *, unbegun: Exception) -> AsyncGenerator[None]:
    """Do the work beside the block; it is cancelled at the block's end.

    The end of `asyncio.run` cancels each task by itself. The work may go then, but it takes the
    block not with it, in which an answer may be waited for, or waiting to be saved. What the block
    raises is raised as it is, in no exception group.

    Args:
        work: What is done.
        unbegun: Raised where the event loop ended before the block was begun.
    """
    failed: BaseException | None = None
    begun = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_alone, work, tasks.cancel_scope, begun)
        # Before the block: asyncio drops a task that is cancelled before its first step, and what
        # that cancels in turn is the block. TaskGroup.start would then wait for ever.
        await begun.wait()
        try:
            yield
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - the task group would wrap it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    if not begun.is_set():
        raise unbegun


async def _alone(work: Work, block: anyio.CancelScope, begun: anyio.Event) -> None:
    begun.set()
    try:
        await work(block)
    except anyio.get_cancelled_exc_class():
        if block.cancel_called:
            raise
