"""What is good once: an authorization code and a login (RFC 6749 §4.1.2, §10.5, §10.12).

A second use is found by the value itself, whoever brings it: a code comes again in another grant,
task or thread, and a login that was kept as a dict is restored twice. So the memory belongs to the
process and not to an object. It is bounded, and holds digests, so that no secret outlives its use.
What another process has used it does not know; there the server's own look at the code decides.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import Final

import attrs


@attrs.define(eq=False)
class SingleUse:
    """Memory of what was used, by digests; the oldest are forgotten first.

    Any number of threads may ask it at once. There is no lock, because each step is one operation
    of an `OrderedDict`, which no other thread comes between.

    Attributes:
        most: How many digests are remembered.
    """

    most: int = 10_000
    _used: OrderedDict[bytes, object] = attrs.field(
        factory=OrderedDict[bytes, object], init=False, repr=False
    )

    def claim(self, *names: str) -> bool:
        """Note that something is used now; tell whether that is the first time.

        Args:
            names: What it is known by. None but the last may have a null character in it.
        """
        mark = object()
        if self._used.setdefault(_digest(names), mark) is not mark:
            return False
        if len(self._used) > self.most:
            self._used.popitem(last=False)
        return True

    def knows(self, *names: str) -> bool:
        """Tell whether something was used, as far as is remembered.

        Args:
            names: As for `claim`.
        """
        return _digest(names) in self._used

    def release(self, *names: str) -> None:
        """Forget a use that came to nothing for certain.

        Args:
            names: As for `claim`.
        """
        self._used.pop(_digest(names), None)


CODES: Final = SingleUse()
"""Authorization codes that may have reached a server: by token endpoint and code."""

LOGINS: Final = SingleUse()
"""Logins that a callback was accepted for: by code verifier and state."""


def _digest(names: tuple[str, ...]) -> bytes:
    return sha256("\0".join(names).encode(errors="surrogatepass")).digest()
