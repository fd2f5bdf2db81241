"""Serve an application of `docs/examples`, in a process of its own, until that is ended."""

import logging
import runpy
import sys
from pathlib import Path
from socket import socket
from typing import Final

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"


def main(example: str, descriptor: str) -> None:
    """Serve it.

    Args:
        example: The name of its file.
        descriptor: That of the socket, on which visitors may be waiting already.
    """
    logging.basicConfig(level=logging.INFO)
    app = runpy.run_path(str(EXAMPLES / example))["app"]
    listening = socket(fileno=int(descriptor))
    if example.startswith("aiohttp"):
        from aiohttp import web

        web.run_app(app, sock=listening, print=None)
    else:
        import uvicorn

        uvicorn.Server(uvicorn.Config(app)).run([listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
