"""What oauthkit tests itself with, for the tests of its users."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oauthkit.testing.clock import FakeClock
    from oauthkit.testing.documented import DocumentedSystems
    from oauthkit.testing.server import FakeAuthorizationServer
    from oauthkit.testing.sockets import LoopbackServer

__all__ = ["DocumentedSystems", "FakeAuthorizationServer", "FakeClock", "LoopbackServer"]

_LATE: Final = {
    "DocumentedSystems": "documented",
    "FakeAuthorizationServer": "server",
    "FakeClock": "clock",
    "LoopbackServer": "sockets",
}
"""Where the names are. Each is loaded when it is first asked for: pytest loads this package, for
its plugin, in each run of whoever has oauthkit installed."""


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for (PEP 562)."""
    if name not in _LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    return value


def __dir__() -> list[str]:
    """Return the names too that nobody has asked for yet."""
    return sorted({*globals(), *__all__})
