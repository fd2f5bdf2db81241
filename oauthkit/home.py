"""Where a session is at home: one event loop, in one thread, until it is closed."""

from threading import get_ident
from typing import Final

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.renewal.event_loop import current_loop

_NOBODYS: Final = 0
"""Of no thread: whoever comes next is asked."""


@attrs.define
class Home:
    """The event loop that a session is used in.

    An HTTP client belongs to one loop: from another thread it may hang, and a waiter in one loop
    cannot be woken from another. So the first use decides, and a loop that has ended is forgotten.

    Attributes:
        thread: The thread in which nothing needs to be checked: the busiest path compares it.
        closed: Whether the session was closed.
    """

    thread: int = _NOBODYS
    closed: bool = False
    _loop: object = None

    def check(self) -> None:
        """Let the running event loop in, if it may come in.

        Raises:
            ConfigurationError: The session is closed, or in use in another event loop.
        """
        if self.closed:
            message = "this session is closed; make a new one, or leave its block later"
            raise ConfigurationError(message)
        here, thread = current_loop(), get_ident()
        if self._loop is not here and thread != self.thread and not self._is_over():
            message = (
                "this session is in use in the event loop of another thread, and its HTTP client "
                "belongs to that; make a client and a session in each thread: over one store and "
                "key they share the token"
            )
            raise ConfigurationError(message)
        self._loop, self.thread = here, thread

    def close(self) -> None:
        """Let nobody in any more."""
        self.closed, self.thread = True, _NOBODYS

    def _is_over(self) -> bool:
        """Tell whether there is no loop yet, or it has ended; one that cannot say so has."""
        is_closed = getattr(self._loop, "is_closed", None)
        return is_closed is None or bool(is_closed())
