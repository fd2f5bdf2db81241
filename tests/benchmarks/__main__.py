"""Measure what a session costs: `nox -s bench`, `nox -s bench -- --json`.

The exit status is 1 when a limit is broken. `--plots DIRECTORY` draws them, too; `--profile` shows
where the bytecodes of a request are spent instead.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import attrs
import httpx

from . import crowds, fetching, imports, middleware, overhead, sockets, stores, verifying
from .figures import Figure, table


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure what a session costs.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--profile", action="store_true", help="print bytecodes by function")
    parser.add_argument("--plots", type=Path, metavar="DIRECTORY", help="draw the figures there")
    options = parser.parse_args()
    if options.profile:
        more = asyncio.run(overhead.more_bytecodes(httpx, overhead.Immediate))
        print("\n".join(f"{count:6} {name}" for name, count in more.most_common() if count))
        return 0
    figures = _figures()
    if options.plots is not None:
        from . import plots  # not before: what it loads would be measured with the rest

        plots.plot(figures, options.plots)
    rows = [attrs.asdict(figure) | {"broken": figure.broken} for figure in figures]
    print(json.dumps(rows, indent=2) if options.json else table(figures))
    return int(any(figure.broken for figure in figures))


def _figures() -> list[Figure]:
    return [
        *imports.measure(),
        *asyncio.run(fetching.measure()),
        *asyncio.run(overhead.measure()),
        *asyncio.run(verifying.measure()),
        *asyncio.run(sockets.measure()),
        *asyncio.run(middleware.measure()),
        *asyncio.run(crowds.measure()),
        *asyncio.run(stores.measure()),
    ]


sys.exit(main())
