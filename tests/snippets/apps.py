"""Applications of the pages, on sockets, under the name that they have for their visitors."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from aiohttp import web

from .certificates import Certificates
from .internet import HTTPS, listening, running
from .world import World

NAME: Final = "app.example"


@asynccontextmanager
async def visited(
    app: Any, world: World, certificates: Certificates
) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve an application of FastAPI or aiohttp over TLS, and visit it with a browser."""
    sock = listening()
    world.internet.route(NAME, HTTPS, sock.getsockname()[1])
    serving = _aiohttp if isinstance(app, web.Application) else _fastapi
    async with (
        serving(app, sock, certificates),
        httpx.AsyncClient(base_url=f"https://{NAME}") as browser,
    ):
        yield browser


@asynccontextmanager
async def _fastapi(app: Any, sock: Any, certificates: Certificates) -> AsyncGenerator[None]:
    async with running(app, sock, lifespan="on", ssl_certfile=str(certificates.server)):
        yield


@asynccontextmanager
async def _aiohttp(app: Any, sock: Any, certificates: Certificates) -> AsyncGenerator[None]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, sock, ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()
