"""The only module that knows asyncio from trio: which event loop runs, and tasks of its own."""

import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

Main = Callable[[], Coroutine[Any, Any, None]]


def current_loop() -> object:
    """Return what tells the running event loop from every other one."""
    loop = _asyncio_loop()
    if loop is not None:
        return loop
    import trio  # noqa: PLC0415 - it is running, so it is loaded

    return trio.lowlevel.current_trio_token()


def on_asyncio() -> bool:
    """Tell whether the running event loop is one of asyncio's."""
    return _asyncio_loop() is not None


def is_stray(error: BaseException) -> bool:
    """Tell whether this is a cancellation of asyncio's that nobody asked for.

    Somebody's code may raise one by itself, as where it waits for a task of its own that the end of
    `asyncio.run` has cancelled.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    task = _this_task()
    return task is None or not task.cancelling()


def start_hidden(main: Main, context: contextvars.Context) -> object:
    """Begin a task that the end of the event loop does not cancel on asyncio; on trio it does.

    asyncio holds its tasks weakly: what is returned has to be kept.

    Args:
        main: What it does.
        context: In which; more than once, maybe.
    """
    loop = _asyncio_loop()
    if loop is None:
        import trio  # noqa: PLC0415 - it is running, so it is loaded

        return trio.lowlevel.spawn_system_task(main, context=context)
    import asyncio  # noqa: PLC0415 - it is running, so it is loaded

    task = context.run(loop.create_task, main())
    # Not in all_tasks(): the end of asyncio.run cancels every task there, and waits for it. asyncio
    # documents the call under "Extending".
    asyncio._unregister_task(task)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return task


def start_seen(main: Main, dropped: Callable[[], None]) -> object:
    """Begin a task that the end of the event loop cancels, and waits for; see `start_hidden`.

    Args:
        main: What it does. It is to end by itself, also where it is cancelled.
        dropped: Called where it was cancelled before its first step, as asyncio may do.
    """
    loop = _asyncio_loop()
    if loop is None:
        import trio  # noqa: PLC0415 - it is running, so it is loaded

        return trio.lowlevel.spawn_system_task(main)

    def ended(task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            dropped()

    # In a context of its own: it is no part of what any caller does.
    task = contextvars.Context().run(loop.create_task, main())
    task.add_done_callback(ended)
    return task


def cancel_of_this_task() -> Callable[[], object] | None:
    """Return what cancels the running task of asyncio's; on trio there is none."""
    task = _this_task()
    return None if task is None else task.cancel


def _this_task() -> "asyncio.Task[Any] | None":
    loop = _asyncio_loop()
    return None if loop is None else sys.modules["asyncio"].current_task(loop)


def _asyncio_loop() -> "asyncio.AbstractEventLoop | None":
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio is not None else None
        # A guest run of trio is stepped by an asyncio loop, in no task of that loop.
        return loop if asyncio is not None and asyncio.current_task() is not None else None
    except RuntimeError:
        return None
