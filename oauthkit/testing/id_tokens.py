"""The keys of the fake server, and the ID Tokens that it signs with them (OpenID Connect Core)."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from oauthkit.jose import require_joserfc
from oauthkit.protocol.keys import ALGORITHMS

LIFE: Final = 300.0
"""Seconds that an ID Token is good."""


@attrs.define(eq=False)
class SigningKeys:
    """Have the keys of a server.

    Attributes:
        algorithm: What is signed with.
        number: Which key signs now.
    """

    algorithm: str = "RS256"
    number: int = 1
    _published: list[tuple[str, int]] = attrs.field(factory=list[tuple[str, int]], repr=False)

    @property
    def current(self) -> Any:
        """The key that signs now, as joserfc has it."""
        require_joserfc("a FakeAuthorizationServer that signs")
        from oauthkit.jose.issuing import new_key  # noqa: PLC0415 - it loads joserfc

        named = self.algorithm, self.number
        if named not in self._published and not self.algorithm.startswith("HS"):
            self._published.append(named)
        return new_key(*named)

    def rotate(self, *, keep_old: bool = False) -> None:
        """Sign with a new key from now on.

        Args:
            keep_old: Publish the one before, too, as servers do for a while.
        """
        self.number += 1
        if not keep_old:
            self._published.clear()

    def jwks(self) -> dict[str, Any]:
        """Return what is published (RFC 7517 §5)."""
        from oauthkit.jose.issuing import new_key, public_jwk  # noqa: PLC0415 - it loads joserfc

        if not self.algorithm.startswith("HS"):
            _ = self.current
        return {"keys": [public_jwk(new_key(*named)) for named in self._published]}


@attrs.define(eq=False)
class Draft:
    """Be an ID Token that is not signed yet; change it, and it is signed as it is then.

    Attributes:
        header: Its header.
        claims: Its claims.
        key: What signs it: a key as joserfc has it, or a secret.
    """

    header: dict[str, Any]
    claims: dict[str, Any] = attrs.field(repr=lambda claims: f"<{', '.join(claims)}>")
    key: Any = attrs.field(repr=False)

    def signed(self) -> str:
        """Return the token."""
        from oauthkit.jose.issuing import signed_jwt  # noqa: PLC0415 - it loads joserfc

        return signed_jwt(self.header, self.claims, self.key)


Edit = Callable[[Draft], str | None]
"""Changes a draft, or returns what is sent in its place."""


def left_half(text: str, algorithm: str) -> str:
    """Return the hash that ties a token or a code to an ID Token (Core §3.1.3.6)."""
    digest = hashlib.new(ALGORITHMS[algorithm].hash, text.encode()).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")


def drafted(
    keys: SigningKeys, claims: Mapping[str, Any], *, secret: str | None, kind: str | None = None
) -> Draft:
    """Return a draft that is right: the algorithm's header, these claims, the key of now.

    Args:
        keys: The server's.
        claims: What is said; None leaves a claim out.
        secret: The client's, for a MAC.
        kind: The `typ` of its header, where it has one.
    """
    with_mac = keys.algorithm.startswith("HS")
    header: dict[str, Any] = {"alg": keys.algorithm}
    if not with_mac:
        header["kid"] = f"key-{keys.number}"
    if kind is not None:
        header["typ"] = kind
    said = {name: value for name, value in claims.items() if value is not None}
    return Draft(header, said, (secret or "") if with_mac else keys.current)
