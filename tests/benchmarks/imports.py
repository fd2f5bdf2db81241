"""What `import oauthkit` costs in a fresh interpreter, and that it loads nothing optional."""

import json
import os
import statistics
import subprocess
import sys
from typing import Any, Final

from .figures import Figure

ROUNDS: Final = 15

ALONE: Final = """
import sys
for name in ("click", "h2", "pygments", "rich", "socksio", "trio"):
    sys.modules[name] = None
"""
"""Hides what httpx and httpcore load where it happens to be installed, and dear: the comparison is
between plain installations."""

TIMED: Final = """
import json, sys, time
start = time.process_time()
import {module}
seconds = time.process_time() - start
print(json.dumps([seconds, [name for name, module in sys.modules.items() if module]]))
"""

OPTIONAL: Final = (
    "aiohttp",
    "click",
    "coredis",
    "cryptography",
    "fastapi",
    "httpx2",
    "httpx_aiohttp",
    "joserfc",
    "oauthkit.cli",
    "oauthkit.integrations",
    "oauthkit.stores.redis",
    "oauthkit.stores.sealed",
    "oauthkit.testing",
    "pytest",
    "redis",
    "respx",
    "rich",
    "sqlite3",
    "starlette",
    "trio",
    "uvicorn",
    "xml.etree",
)


def measure() -> list[Figure]:
    """Return all figures of this module."""
    for module in ("oauthkit", "httpx"):
        _timed(module)  # its bytecode is on disk from here on
    ratios: list[float] = []
    loaded: list[str] = []
    for _ in range(ROUNDS):
        (own, loaded), (other, _) = _timed("oauthkit"), _timed("httpx")
        ratios.append(own / other)
    optional = [name for name in OPTIONAL if name in loaded]
    return [
        Figure(
            "import oauthkit / import httpx", statistics.median(ratios), "x", limit=1.75, aim=1.25
        ),
        Figure("modules after import oauthkit", len(loaded), limit=270),
        Figure(f"optional modules loaded {' '.join(optional)}".rstrip(), len(optional), limit=0),
    ]


def _timed(module: str) -> tuple[float, list[str]]:
    command = [sys.executable, "-c", ALONE + TIMED.format(module=module)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)  # noqa: S603 - our own text
    answer: Any = json.loads(done.stdout)
    return answer[0], answer[1]
