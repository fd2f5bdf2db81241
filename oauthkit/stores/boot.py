"""Which boot of the machine this is: within one, its processes share a clock that is never set."""

from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # Linux makes one at every boot
_OFFSETS: Final = Path("/proc/self/timens_offsets")


@cache
def boot_id() -> str:
    """Return a name for this boot; nothing where it has none, or the clock is not the machine's."""
    try:
        found = _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return "" if _has_a_clock_of_its_own() else found


def _has_a_clock_of_its_own() -> bool:
    # A time namespace shifts the monotonic clock for the processes in it, and leaves the boot's id.
    try:
        lines = _OFFSETS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # before Linux 5.6 there are no such namespaces
        return False
    return any(set(line.split()[1:]) - {"0"} for line in lines)
