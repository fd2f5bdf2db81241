"""The end of a command by a signal, as `timeout`, a service manager or a closed terminal ask it.

Python would end at once, in the middle of a renewal: where the server gives a new refresh token
with each one (RFC 6749 §6), the answer that is on its way is all that is left of the login.
"""

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from oauthkit.beside import beside

T = TypeVar("T")

_ENDING: Final = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)


async def ended_by_signals(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work of a command, and let a signal cancel it instead of ending the process.

    What may not be lost is done first, as it is at Ctrl-C. Then the process ends by that signal, as
    whoever sent it expects. A second one ends it at once.

    Args:
        work: An async function.
    """
    # One that is ignored, as nohup has it, stays ignored.
    heard = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    if not heard:
        return await work()
    came: list[int] = []
    found: list[T] = []

    async def wait(block: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(*heard) as received:
            came.append(await anext(received))
            block.cancel()

    async with beside(wait, unbegun=OSError("the event loop has ended")):
        found.append(await work())
    if found:
        return found[0]
    signal.raise_signal(came[0])
    raise SystemExit(128 + came[0])
