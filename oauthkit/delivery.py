"""What becomes of one request on its way: how far it came, and what an error there means.

Part of the HTTP seam, with `transport`. Whether a server may have seen a request decides whether a
code or a refresh token is spent, so it is told by what was written where the transport says that,
by the class of the error where that is sure, and believed everywhere else.
"""

import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address, ip_address
from socket import gaierror
from types import ModuleType, TracebackType
from typing import Any, Final, cast

import anyio
import attrs

from oauthkit.beside import beside
from oauthkit.errors import ConfigurationError, OAuthKitError, TransportError, printable
from oauthkit.protocol.echoes import without_secrets

_BELOW: Final = frozenset({"aiohttp", "h11", "h2", "httpcore", "httpcore2", "idna"})
_BEGUN: Final = ".send_request_headers.started"
_CONNECTED: Final = ".connect_tcp.complete"
_TO_A_PROXY: Final = b"CONNECT"
_BEFORE_SENDING: Final = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
# httpx-aiohttp calls it ConnectTimeout, too, when a connection is lost after sending.
_BEFORE_SENDING_IN_AIOHTTP: Final = frozenset(
    {"ClientConnectorError", "ConnectionTimeoutError", "ClientHttpProxyError"}
)
_CLOSED: Final = ("client has been closed", "Session is closed", "Connector is closed")
_LOOP_CLOSED: Final = "Event loop is closed"
_OF_NO_LOOP: Final = (
    "no running event loop",
    "Timeout context manager should be used inside a task",
    "must be called from async context",
)
_UNSENT: Final = (*_CLOSED, *_OF_NO_LOOP)
_OF_ANOTHER_LOOP: Final = (
    *_OF_NO_LOOP,
    "bound to a different event loop",
    "attached to a different loop",
)
_NO_PLACE: Final = (
    "label empty",  # that is, of the host; each Python says it in a longer text of its own
    "label too long",
    "port must be 0-65535",
    "Cannot combine AUTHORIZATION header",
)
"""What is said of a URL by classes that say nothing: those of Python itself."""
_SHOWING: Final = _BELOW | {"anyio", "hpack", "httpx_aiohttp", "trio"}
"""Packages whose frames have what goes out, token and secrets too, among their local values."""
_KIND_LIMIT: Final = 80
_GRACE_SECONDS: Final = 0.1


@attrs.define
class Delivery:
    """Watch one request on its way.

    Attributes:
        ready: Called before the first byte is sent; what it raises keeps the request back.
        traced: Whether the transport tells what it does (`trace`, of httpcore).
        begun: Whether it told that the request was begun to be written.
        refusal: What `ready` raised.
        public_only: Whether it may go to public addresses alone.
    """

    ready: Callable[[], None] | None = None
    traced: bool = False
    begun: bool = False
    refusal: Exception | None = attrs.field(default=None, repr=False)
    public_only: bool = False
    _stream: Any = attrs.field(default=None, repr=False)
    # An error that was being handled before is the context of every other one, and says nothing.
    _before: BaseException | None = attrs.field(factory=sys.exception, repr=False)

    def check(self) -> None:
        """Ask whether the request may be sent.

        Raises:
            Exception: What `ready` raises.
        """
        self.refusal = None
        try:
            self.check_address(self._stream)
            if self.ready is not None:
                self.ready()
        except Exception as error:
            self.refusal = error
            raise

    def check_address(self, stream: Any) -> None:
        """Refuse a connection to an address that is not public, where it has to be.

        Args:
            stream: The connection, as the transport has it; None where none is known yet.

        Raises:
            ConfigurationError: It leads to this machine, or into a network of its own.
        """
        if not self.public_only or stream is None:
            return
        address = stream.get_extra_info("server_addr")
        if not _is_public(address):
            message = (
                "the host has an address that is not public, and the server may have public ones "
                "alone (public_only=True, RFC 9728 §7.7); nothing of an answer is used"
            )
            raise ConfigurationError(message)

    async def trace(self, name: str, info: Any) -> None:
        """Hear what the transport does next; the first line to a proxy is not yet the request."""
        self.traced = True
        if name.endswith(_CONNECTED):
            self._stream = info.get("return_value")
        if name.endswith(_BEGUN) and getattr(info.get("request"), "method", b"") != _TO_A_PROXY:
            self.check()
            self.begun = True

    def timed_out(self, where: str, *, seconds: float) -> TransportError:
        """Return the error for an answer that did not come in time.

        Args:
            where: Who was asked.
            seconds: How long was waited.
        """
        message = f"no whole answer from {where} within {seconds:g} s"
        return TransportError(message, sent=self.begun or not self.traced)

    def failed(
        self, error: Exception, where: str, library: ModuleType, *, secrets: Collection[str]
    ) -> Exception:
        """Return the error to raise for one that came from the transport.

        It is an error of ours whatever came: a fault in the way of a request is nothing that a
        caller can foresee. What came is its cause, unless it would show a secret.

        Args:
            error: What came.
            where: Who was asked.
            library: The HTTP library.
            secrets: What no error may show.
        """
        if self.refusal is not None:
            return self.refusal
        if isinstance(error, OAuthKitError):
            return error
        chain = list(_chain(error, before=self._before))
        _leave_frames_out(chain)
        before_sending = not self.begun and (self.traced or _before_sending(chain, library))
        reason: OAuthKitError | None = of_a_closed_client(error)
        # What is written to a connection of another loop is sent; only the answer is not to be had.
        if reason is not None and before_sending:
            failure = reason
        else:
            message = f"no usable answer from {where}: {reason or _kind(chain)}"
            failure = TransportError(message, sent=not before_sending)
        if not _shown(chain, secrets):
            failure.__cause__ = error
        return failure


def _is_public(address: object) -> bool:
    """Tell whether a connection leads to a public address; an unknown one is not."""
    host = cast("tuple[object, ...]", address)[0] if isinstance(address, tuple) else None
    try:
        found = ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_global and not (mapped or found).is_multicast


def library_error(error: Exception, library: Any, client: Any, method: str, url: Any) -> Exception:
    """Return the error that a caller of an HTTP library expects, for one that came from below it.

    A caller's own requests raise the errors of the HTTP library. It lets through what the packages
    under it raise for a malformed answer, and those no caller can name: they become what the
    library itself calls such an answer, or such a URL. So does that of a connection of another
    event loop, to which the request was written. A client that is closed, or of no loop here, is
    said to be that. Whatever else comes stays what it is: it may be the caller's own.

    The error of a package below is not its cause, because that of aiohttp shows the token.

    Args:
        error: What came.
        library: The HTTP library.
        client: Who was to send the request.
        method: The request's.
        url: The request's.
    """
    _leave_frames_out(_chain(error, before=None))
    reason = of_a_closed_client(error)
    if reason is not None and _is_unsent(error):
        reason.__cause__ = error  # whoever raised these words by himself finds where
        return reason
    below = _package(type(error).__module__) in _BELOW or _leads_nowhere(error)
    if reason is None and not below:
        return error
    kind = reason or _kind([error])
    try:
        request = client.build_request(method, url)
        host = request.url.host
    except Exception:  # noqa: BLE001 - it is the URL that cannot be read
        return cast("Exception", library.InvalidURL(f"the URL cannot be read: {kind}"))
    message = f"the answer of {host}, or the place it leads to, cannot be read: {kind}"
    return cast("Exception", library.RemoteProtocolError(message, request=request))


def of_a_closed_client(error: BaseException) -> ConfigurationError | None:
    """Return the error to raise where a client is closed, or of another event loop; else None.

    Args:
        error: What the HTTP library raised.
    """
    text = str(error) if isinstance(error, RuntimeError) else ""
    if any(words in text for words in _CLOSED):
        message = "the HTTP client is closed; keep it open as long as the session is used"
        return ConfigurationError(message)
    reason = "that has ended" if _LOOP_CLOSED in text else ""
    if any(words in text for words in _OF_ANOTHER_LOOP):
        reason = "other than this one"
    if not reason:
        return None
    message = (
        f"the HTTP client belongs to an event loop {reason}; make one for each loop, such as each "
        "asyncio.run, and a session over it: over one store and key they share the token"
    )
    return ConfigurationError(message)


def _is_unsent(error: BaseException) -> bool:
    """Tell of the error of a client of no use here whether it comes before anything is sent."""
    return any(words in str(error) for words in _UNSENT)


def _leads_nowhere(error: Exception) -> bool:
    told = [error, *_grouped(error)]  # anyio connects in a task group
    plain = [str(one) for one in told if type(one).__module__ == "builtins"]
    return any(words in text for text in plain for words in _NO_PLACE)


def _leave_frames_out(chain: Iterable[BaseException]) -> None:
    """Take the frames off that show secrets: who reports errors may do so with local values."""
    for error in chain:
        steps, kept = error.__traceback__, list[TracebackType]()
        while steps is not None:
            if _package(steps.tb_frame.f_globals.get("__name__")) not in _SHOWING:
                kept.append(steps)
            steps = steps.tb_next
        for step, following in zip(kept, [*kept[1:], None], strict=False):
            step.tb_next = following
        error.__traceback__ = kept[0] if kept else None


def _package(module: object) -> str:
    return str(module).partition(".")[0]


def _chain(error: BaseException, *, before: BaseException | None) -> Iterator[BaseException]:
    """Give an error and all that it came from, down to what was there before."""
    waiting: list[BaseException | None] = [error]
    seen = {id(None), id(before)}
    while waiting:
        found = waiting.pop(0)
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__]
        waiting += _grouped(found)


def _grouped(error: BaseException) -> tuple[BaseException, ...]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def _kind(chain: list[BaseException]) -> str:
    """Say what failed: the error's class, and what lies at the bottom of it where that is known."""
    name = printable(type(chain[0]).__name__, _KIND_LIMIT)
    of_tls = [error for error in chain if isinstance(error, ssl.SSLError)]
    if of_tls:  # an error of aiohttp's is one by class, without its attributes
        said = [_said(error, "verify_message") or _said(error, "reason") for error in of_tls]
        return f"{name}, TLS failed: {max(said, key=len) or 'no reason is known'}"
    if any(isinstance(error, gaierror) for error in chain):
        return f"{name}, no address is known for the host"
    if any(isinstance(error, ConnectionRefusedError) for error in chain):
        return f"{name}, the connection was refused"
    return name


def _said(error: BaseException, attribute: str) -> str:
    return printable(str(getattr(error, attribute, None) or ""), _KIND_LIMIT)


def _before_sending(chain: list[BaseException], library: ModuleType) -> bool:
    """Tell whether an error can only come before anything is sent; a repeated try is no such."""
    if isinstance(chain[0], RuntimeError):
        return _is_unsent(chain[0])
    of_aiohttp = [_names(error) for error in chain if "aiohttp" in _packages(error)]
    if of_aiohttp:
        return all(names & _BEFORE_SENDING_IN_AIOHTTP for names in of_aiohttp)
    sure = tuple(getattr(library, name) for name in _BEFORE_SENDING)
    own = [error for error in chain if isinstance(error, library.HTTPError)]
    return bool(own) and all(isinstance(error, sure) for error in own)


def _names(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _packages(error: BaseException) -> frozenset[str]:
    return frozenset(_package(kind.__module__) for kind in type(error).__mro__)


def _shown(chain: list[BaseException], secrets: Collection[str]) -> bool:
    """Tell whether a secret stands in an error, in its chain, or may do so."""
    try:
        text = " ".join(f"{error} {error!r}" for error in chain)
    except Exception:  # noqa: BLE001 - an error of anybody's class, which cannot even be shown
        return True
    return without_secrets(text, secrets) != text


@asynccontextmanager
async def time_limit(seconds: float, *, on_a_socket: bool) -> AsyncGenerator[None]:
    """Leave the block when the time is up.

    A process that was stopped finds first that the time is up, and only then that the answer came
    meanwhile and lies in the socket's buffer. Who looks at the clock alone throws it away, and with
    it, maybe, the next refresh token. So where the end comes late, the block gets a moment more.

    Args:
        seconds: The time.
        on_a_socket: Whether an answer can wait there.
    """
    if not on_a_socket:
        with anyio.move_on_after(seconds):
            yield
        return
    message = "the event loop ended before the request was begun; nothing was sent"
    end = partial(_end, anyio.current_time() + seconds)
    async with beside(end, unbegun=TransportError(message, sent=False)):
        yield


async def _end(deadline: float, block: anyio.CancelScope) -> None:
    await anyio.sleep_until(deadline)
    await anyio.sleep(min(anyio.current_time() - deadline, _GRACE_SECONDS))
    block.cancel()
