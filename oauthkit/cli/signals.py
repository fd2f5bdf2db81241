"""The end of a command by a signal, as `timeout`, a service manager or a closed terminal ask it.

Python would end at once, in the middle of a renewal: where the server gives a new refresh token
with each one (RFC 6749 §6), the answer that is on its way is all that is left of the login.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

T = TypeVar("T")

_ENDING: Final = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL: Final = 128
"""What shells add to the number of the signal that has ended a process."""


async def ended_by_signals(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work of a command, and let a signal cancel it instead of ending the process.

    What may not be lost is done first, as it is at Ctrl-C. Then the process ends by that signal, as
    whoever sent it expects. A second one ends it at once.

    Args:
        work: An async function.
    """
    # One that is ignored, as nohup has it, stays ignored.
    heard = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    came: list[int] = []
    loop = asyncio.get_running_loop()  # anyio.run starts no other unless it is told to

    def deaf() -> None:
        while heard:
            loop.remove_signal_handler(heard.pop())

    with anyio.CancelScope() as scope:

        def end(number: int) -> None:
            came.append(number)
            deaf()
            scope.cancel()

        for number in heard:
            loop.add_signal_handler(number, end, number)
        try:
            return await work()
        finally:
            deaf()
    signal.raise_signal(came[0])
    raise SystemExit(_BY_SIGNAL + came[0])
