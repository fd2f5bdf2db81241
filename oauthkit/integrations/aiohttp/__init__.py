"""For aiohttp: its client with a session's token (`token_middleware`), and logins (`Login`)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from oauthkit.integrations import installed_by

if TYPE_CHECKING:
    from oauthkit.integrations.aiohttp.client import token_middleware as token_middleware
    from oauthkit.integrations.aiohttp.web import Login as Login
    from oauthkit.integrations.aiohttp.web import Visitor as Visitor

__all__ = ["Login", "Visitor", "token_middleware"]

_LATE: Final = {"Login": "web", "Visitor": "web", "token_middleware": "client"}
"""Where the names are. Each is loaded when it is first asked for, as those of `oauthkit` are."""


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for (PEP 562)."""
    if name not in _LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    with installed_by("'oauthkit[aiohttp]'"):
        module = import_module(f"{__name__}.{_LATE[name]}")
    value = globals()[name] = getattr(module, name)
    return value
