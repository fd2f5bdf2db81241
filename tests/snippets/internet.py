"""A small internet on the loopback address: names, TLS, and whoever answers behind a name.

A block of a page runs against it as it would against the world: the name is resolved, a socket is
opened, the certificate is checked. Two functions of the standard library are replaced for that, the
one that resolves a name and the one that connects a socket; nothing of oauthkit, of an HTTP library
or of an event loop is.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import attrs
import pytest
import uvicorn

from .certificates import Certificates

ASGI = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

HTTPS: Final = 443
PROXY: Final = ("proxy.example", 3128)
WITH_CERTIFICATE: Final = "mtls.example"
"""The host that talks to nobody without a client certificate."""

_resolve: Final = socket.getaddrinfo
_connect: Final = socket.socket.connect


@attrs.define(eq=False)
class Internet:
    """Names of hosts, and who answers there.

    Attributes:
        sites: Who answers, by host.
        visits: Which hosts were asked for what, by `host path`.
        tunnels: What the proxy was asked to connect to.
        errors: What went wrong in those who answer.
    """

    sites: dict[str, ASGI] = attrs.field(factory=dict[str, ASGI])
    visits: list[str] = attrs.field(factory=list[str])
    tunnels: list[str] = attrs.field(factory=list[str])
    errors: list[Exception] = attrs.field(factory=list[Exception])
    _ports: dict[tuple[str, int], int] = attrs.field(factory=dict[tuple[str, int], int])
    _names: list[str] = attrs.field(factory=list[str])

    @property
    def visited(self) -> set[str]:
        """The hosts that were asked for something."""
        return {visit.partition(" ")[0] for visit in self.visits}

    def route(self, host: str, port: int, to: int) -> None:
        """Let a host's port be a port of this machine."""
        self._ports[host, port] = to
        if host not in self._names:
            self._names.append(host)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Let whoever has the name answer; an ASGI application."""
        host = dict(scope["headers"])[b"host"].decode()
        self.visits.append(f"{host} {scope['path']}")
        try:
            await self.sites[host](scope, receive, send)
        except Exception as error:
            self.errors.append(error)
            raise

    @contextmanager
    def around(self, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
        """Be what programs of this process find when they look for a host."""

        def getaddrinfo(host: Any, port: Any, *arguments: Any, **keywords: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if name in self._names:
                address = f"192.0.2.{self._names.index(name)}"  # RFC 5737
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port)))]
            return _resolve(host, port, *arguments, **keywords)

        def connect(sock: socket.socket, address: Any) -> None:
            if sock.family is socket.AF_INET and address[0].startswith("192.0.2."):
                host = self._names[int(address[0].rpartition(".")[2])]
                address = ("127.0.0.1", self._ports[host, address[1]])
            _connect(sock, address)

        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", getaddrinfo)
            patch.setattr(socket.socket, "connect", connect)
            yield


@contextmanager
def served(internet: Internet, certificates: Certificates, hosts: list[str]) -> Generator[None]:
    """Run the servers of an internet in a thread with an event loop of its own."""
    open_door, guarded = listening(), listening()
    for host in hosts:
        at = guarded if host == WITH_CERTIFICATE else open_door
        internet.route(host, HTTPS, at.getsockname()[1])
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        async with (
            _https(internet, certificates, open_door),
            _https(internet, certificates, guarded, ssl_cert_reqs=ssl.CERT_REQUIRED),
            _proxy(internet),
        ):
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="internet")
    thread.start()
    assert ready.wait(20)
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def listening() -> socket.socket:
    """Return a socket at a free port of this machine."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


@asynccontextmanager
async def running(app: Any, sock: socket.socket, **settings: Any) -> AsyncGenerator[None]:
    """Run an ASGI application on a socket while the block is open."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", **settings))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0.01)
        assert not serving.done()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving
        sock.close()


@asynccontextmanager
async def _https(
    internet: Internet, certificates: Certificates, sock: socket.socket, **settings: Any
) -> AsyncGenerator[None]:
    async with running(
        internet,
        sock,
        lifespan="off",
        ssl_certfile=str(certificates.server),
        ssl_ca_certs=str(certificates.authority),
        **settings,
    ):
        yield


@asynccontextmanager
async def _proxy(internet: Internet) -> AsyncGenerator[None]:
    """Run a proxy that connects to hosts of the internet (RFC 9110 §9.3.6)."""
    under_way: set[asyncio.Task[None]] = set()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await _tunnel(internet, reader, writer)
        finally:
            under_way.discard(task)

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    internet.route(*PROXY, server.sockets[0].getsockname()[1])
    try:
        yield
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _tunnel(
    internet: Internet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    target = head.split()[1]
    internet.tunnels.append(target)
    host, _, port = target.rpartition(":")
    to = internet._ports[host, int(port)]
    their_reader, their_writer = await asyncio.open_connection("127.0.0.1", to)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, their_writer))
            tasks.create_task(_pump(their_reader, writer))
    finally:
        for closing in (writer, their_writer):
            closing.close()
            with suppress(OSError):
                await closing.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(65_536):
            sink.write(chunk)
            await sink.drain()
        sink.close()
