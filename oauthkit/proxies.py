"""This machine is never asked through a proxy; part of the HTTP seam.

Both HTTP libraries read `HTTP_PROXY`, and neither makes an exception of `localhost`. To a proxy
that is another machine; and plain http to this one is allowed because nobody reads it on the way.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.messages import Origin

C = TypeVar("C")


def around_proxies(client: C) -> C:
    """Return a client as it asks this machine: past its proxies, and else as ever.

    What the client has, it has too: settings, cookies, connections, and whether it is closed.

    Args:
        client: Of httpx or httpx2. Itself is returned where it has no proxy.
    """
    mounts = cast("Mapping[object, object]", getattr(client, "_mounts", None) or {})
    if not any(map(_is_proxy, mounts.values())):
        return client
    kind = _kind_around(cast("Any", type(client)))
    around = object.__new__(kind)
    around.__dict__ = client.__dict__  # shared, so that what is set later holds for both
    return cast("C", around)


class _AroundProxies:
    """Client that finds its own way to this machine."""

    _mounts: Mapping[Any, Any]
    _transport: Any

    def _transport_for_url(self, url: Any) -> Any:
        fitting = (transport for pattern, transport in self._mounts.items() if pattern.matches(url))
        if _is_this_machine(url):
            fitting = (transport for transport in fitting if not _is_proxy(transport))
        return next(fitting, None) or self._transport


@cache
def _kind_around(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (_AroundProxies, kind), {"__doc__": kind.__doc__})


def _is_proxy(transport: Any) -> bool:
    if getattr(transport, "proxy", None) is not None:  # of the aiohttp transport
        return True
    return type(getattr(transport, "_pool", None)).__name__.endswith("Proxy")


def _is_this_machine(url: object) -> bool:
    try:
        return Origin.of(str(url)).loopback
    except ConfigurationError:
        return False
