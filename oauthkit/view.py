"""A session's view of a client: its connections and settings, and none of its cookies.

A client keeps the cookies of every answer, and sends them with every request to the host. Many
resource owners share it, so what an API set for the one would go out with the other's requests, and
what the token endpoint set with all of them. A view shares everything with its client but the jar,
which takes nothing in. So the client's owner goes on as if nobody else was there.

What the owner gave his client by `cookies={…}` has no domain, which no cookie of an answer lacks:
it is a setting like the headers, and goes out as they do.

It is also where every request of ours goes to the client's transport, so here it waits for its turn
at the pool (`acquisition`).

Part of the HTTP seam: it knows how httpx and httpx2 keep cookies, and the transport of aiohttp,
which has a jar of its own below.
"""

import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, Final, cast

from oauthkit.acquisition import line_of, needs_turns
from oauthkit.errors import ConfigurationError

_CLASSES: Final = 64  # of clients and of jars, known at once; there are rarely more than two
_LAYERS: Final = 5  # of transports around transports
_UPDATES: Final = ("update_cookies", "update_cookies_from_headers")  # the one since aiohttp 3.12


class _Send:
    """One request of a view on its way; a task that it began may outlive it."""

    under_way = True


_SEND: Final[ContextVar[_Send | None]] = ContextVar("oauthkit_send", default=None)

Allowed = Callable[[Any], bool]
"""Tells whether a URL may have the session's token."""


def _nowhere(_: Any) -> bool:
    return False


def view_of(
    client: Any, library: Any, *, allowed: Allowed = _nowhere, cookies: bool = False
) -> Any:
    """Return a client's view: it is a client of the same class, and neither opened nor closed.

    Args:
        client: Whose connections and settings are shared.
        library: The package it belongs to.
        allowed: Where the session's token may go: from there a redirect takes it nowhere else.
        cookies: Keep cookies, in a jar of the view's own, which begins with those of the client.

    Raises:
        ConfigurationError: The client cannot be kept from its cookies.
    """
    kind = _kind_of(client)
    if any(callable(getattr(kind, name, None)) for name in cast(dict[str, Any], vars(client))):
        # It is bound to its client, and would send the client's cookies past the view.
        raise _refusal(kind, "a client whose methods are those of its class")
    on_aiohttp = "httpx_aiohttp" in sys.modules and any(_below(client))
    try:
        view = object.__new__(_view_class(kind, library, on_aiohttp))
        view.__dict__ = client.__dict__
    except TypeError as error:
        raise _refusal(kind, "a plain AsyncClient of the library") from error
    view.cookies = library.Cookies(client.cookies) if cookies else _settings_of(client, library)
    view.allowed = allowed
    for transport in _below(client) if on_aiohttp else ():
        if _is_open(transport):  # what the owner's own function makes is seen to at the first send
            _blindfold(transport.client.cookie_jar)
    return view


def _settings_of(client: Any, library: Any) -> Any:
    """Return a jar of the cookies that the client was given as settings; it takes nothing in."""
    jar = _fixed_cookies(library)()
    for cookie in client.cookies.jar:
        if not cookie.domain:
            jar.jar.set_cookie(cookie)
    return jar


@lru_cache(_CLASSES)
def _view_class(kind: Any, library: Any, on_aiohttp: bool) -> type[Any]:  # noqa: FBT001 - a key
    if any(getattr(base, "__dict__", {}).get("__slots__") for base in kind.__mro__):
        message = "what stands in slots cannot be shared"
        raise TypeError(message)

    def redirect_headers(self: Any, request: Any, url: Any, method: str) -> Any:
        # The libraries let the header go from http to https of one host, whoever was named. From
        # where no token may go it is the caller's own.
        headers = kind._redirect_headers(self, request, url, method)  # noqa: SLF001 - no other way
        if self.allowed(request.url) and not self.allowed(url):
            headers.pop("authorization", None)
        return headers

    members: dict[str, Any] = {
        "__doc__": "View of a client.",
        "__module__": __name__,
        # A slot covers the library's property, and costs the busiest path nothing.
        "__slots__": ("allowed", "cookies"),
        "_redirect_headers": redirect_headers,
    }
    if needs_turns(library):
        members["_send_single_request"] = _send_in_turn(kind, library)
    if hasattr(kind, "__del__"):
        members["__del__"] = _nothing  # a client that closes itself at its end has not ended
    if on_aiohttp:
        members["send"] = _blind_send(kind)
    return type(kind.__name__, (kind,), members)


def _send_in_turn(kind: Any, library: Any) -> Callable[..., Any]:
    async def send(self: Any, request: Any) -> Any:
        # Here, between the hooks of the client and its transport: a hook may wait for long.
        inner = kind._send_single_request  # noqa: SLF001 - there is no other way
        line = line_of(self._transport_for_url(request.url), library)
        if line is None:
            return await inner(self, request)
        return await line.send(partial(inner, self), request, library)

    return send


@lru_cache(_CLASSES)
def _fixed_cookies(library: Any) -> type[Any]:
    members = {"__doc__": "Jar that stays as it is.", "extract_cookies": _nothing}
    return type("FixedCookies", (library.Cookies,), members)


def _nothing(*_: object) -> None:
    """Do nothing."""


# What lies below on aiohttp


def _blind_send(kind: Any) -> Callable[..., Any]:
    async def send(self: Any, request: Any, **options: Any) -> Any:
        for transport in _below(self):
            if not _is_open(transport):
                transport.client = transport.get_client()  # as its first request does
            _blindfold(transport.client.cookie_jar)
        this = _Send()
        before = _SEND.set(this)
        try:
            return await kind.send(self, request, **options)
        finally:
            this.under_way = False
            _SEND.reset(before)

    return send


def _is_open(transport: Any) -> bool:
    return transport.client is not None and not callable(transport.client)


def _blindfold(jar: Any) -> None:
    """See to it that a jar below the client is blind while a view sends.

    Raises:
        ConfigurationError: It cannot be made so; nothing was sent.
    """
    kind = _kind_of(jar)
    if hasattr(kind, "sees_nothing"):
        return
    try:
        # In place, so that its owner finds it where it was, with what is in it.
        jar.__class__ = _blind_jar_class(kind)
    except TypeError as error:
        raise _refusal(kind, "an aiohttp.DummyCookieJar") from error


@lru_cache(_CLASSES)
def _blind_jar_class(kind: Any) -> type[Any]:
    from http.cookies import SimpleCookie  # noqa: PLC0415 - for whoever has aiohttp

    def filter_cookies(self: Any, *args: Any, **options: Any) -> Any:
        if is_sending():
            return SimpleCookie()
        return kind.filter_cookies(self, *args, **options)

    def unless_blind(name: str) -> Callable[..., None]:
        def update(self: Any, *args: Any, **options: Any) -> None:
            if not is_sending():
                getattr(kind, name)(self, *args, **options)

        return update

    members = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__slots__": (),
        "sees_nothing": True,
        "filter_cookies": filter_cookies,
        **{name: unless_blind(name) for name in _UPDATES if hasattr(kind, name)},
    }
    return type(kind.__name__, (kind,), members)


def is_sending() -> bool:
    """Tell whether what goes on in this task is the request of a view, over aiohttp."""
    send = _SEND.get()
    return send is not None and send.under_way


def _below(client: Any) -> Iterator[Any]:
    """Give the transports of aiohttp that a client sends through, however they are wrapped."""
    layer = [client._transport, *client._mounts.values()]  # noqa: SLF001 - there is no other way
    for _ in range(_LAYERS):
        inner: list[Any] = []
        for transport in layer:
            if hasattr(transport, "get_client") and hasattr(transport, "client"):
                yield transport
            elif hasattr(transport, "handle_async_request"):
                inner += getattr(transport, "__dict__", {}).values()
        layer = inner


def _kind_of(value: object) -> Any:
    return cast("Any", type(value))


def _refusal(kind: Any, instead: str) -> ConfigurationError:
    message = (
        f"{kind.__module__}.{kind.__qualname__} cannot be kept from sharing its cookies between "
        f"resource owners; give {instead}"
    )
    return ConfigurationError(message)
