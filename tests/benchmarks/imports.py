"""What imports cost in a fresh interpreter, and that they load nothing optional.

`import oauthkit` loads a name when it is asked for; so what a program pays that begins with
`from oauthkit import …` is measured, too.
"""

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
{before}
start = time.process_time()
{statement}
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
    "opentelemetry",
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


HTTPX: Final = "import httpx"
BARE: Final = "import oauthkit"
USED: Final = (
    "from oauthkit import AsyncTokenSession, AuthorizationServer, ClientCredentials, "
    "ClientSecretBasic"
)


def measure() -> list[Figure]:
    """Return all figures of this module."""
    for statement in (BARE, USED, HTTPX):
        _timed(statement)  # its bytecode is on disk from here on
    bare: list[float] = []
    used: list[float] = []
    loaded: list[str] = []
    for _ in range(ROUNDS):
        httpx, _ = _timed(HTTPX)
        bare.append((_timed(BARE, before=HTTPX)[0] + httpx) / httpx)
        seconds, loaded = _timed(USED, before=HTTPX)
        used.append((seconds + httpx) / httpx)
    optional = [name for name in OPTIONAL if name in loaded]
    return [
        Figure(
            "import httpx, oauthkit / import httpx",
            statistics.median(bare),
            unit="x",
            limit=1.6,
            aim=1.1,
        ),
        Figure("… and what a session needs / import httpx", statistics.median(used), "x", aim=1.6),
        Figure("modules after that", len(loaded), limit=300),
        Figure(f"optional modules loaded {' '.join(optional)}".rstrip(), len(optional), limit=0),
    ]


def _timed(statement: str, *, before: str = "") -> tuple[float, list[str]]:
    command = [sys.executable, "-c", ALONE + TIMED.format(statement=statement, before=before)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)  # noqa: S603 - our own text
    answer: Any = json.loads(done.stdout)
    return answer[0], answer[1]
