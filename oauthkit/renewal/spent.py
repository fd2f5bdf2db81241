"""Rights that are used up, such as a refresh token that was rotated: none is presented again."""

from hashlib import blake2b
from typing import Final

import attrs

_DIGEST_BYTES: Final = 8
_REMEMBERED: Final = 64  # of one key; a backup that is older than so many renewals is rare


@attrs.define
class SpentRights:
    """Digests of the rights that were used up under one key; the rights are not kept.

    Attributes:
        digests: The newest last.
    """

    digests: bytes = attrs.field(default=b"", repr=False)

    def __contains__(self, right: str) -> bool:
        """Tell whether a right, named by its secrets, is known to be used up."""
        wanted, known = _digest(right), self.digests
        starts = range(0, len(known), _DIGEST_BYTES)
        return any(known[start : start + _DIGEST_BYTES] == wanted for start in starts)

    def add(self, right: str) -> None:
        """Remember that a right, named by its secrets, is used up."""
        if right not in self:
            most = _REMEMBERED * _DIGEST_BYTES
            self.digests = (self.digests + _digest(right))[-most:]


def _digest(right: str) -> bytes:
    # One of 64 is mistaken for another once in 10^17 times.
    return blake2b(right.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
