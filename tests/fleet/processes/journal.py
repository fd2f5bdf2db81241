"""What a worker writes down at once, so that it survives `kill -9`: a line of JSON each."""

import json
import os
import time
from pathlib import Path
from typing import Any, Self

import attrs


@attrs.frozen
class Journal:
    """A file of lines that each appear whole or not at all."""

    file: int

    @classmethod
    def opened(cls, path: Path) -> Self:
        return cls(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))

    def write(self, what: str, **more: Any) -> None:
        line = {"at": time.monotonic(), "pid": os.getpid(), "what": what, **more}
        os.write(self.file, json.dumps(line).encode() + b"\n")
