"""Sign with a key in this process: a PEM, a private JWK, or a secret (RFC 7515)."""

from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Any

from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from oauthkit.errors import ConfigurationError
from oauthkit.jose.private_keys import (
    PrivateKey,
    algorithms_of,
    key_of_joserfc,
    key_of_jwk,
    key_of_pem,
)
from oauthkit.kinds import checked
from oauthkit.protocol.secret import NoPickle, SecretBytes, Unprintable


class KeySigner(NoPickle):
    """Sign with a key that is in this process.

    Without `alg` it is that of the JWK, else RS256 for RSA, for EC the one of the curve, and for
    Ed25519 the name `Ed25519` (RFC 9864). `fitting` takes another that fits the key, where the
    other side does not know this one.

    Example:
        ::

            from oauthkit.jose.signing import KeySigner

            signer = KeySigner(client_key_pem, key_id="2026-11")
            publish({"keys": [signer.public_jwk]})

    Args:
        key: The private key: a PEM as bytes, a JWK as a mapping, or a key of joserfc.
        alg: By which algorithm, by its name in JWS (RFC 7518 §3.1).
        key_id: The `kid`; None is that of the JWK.
        password: What the PEM is encrypted with; None is not encrypted.

    Attributes:
        alg: The algorithm.
        key_id: The `kid` of the header.

    Raises:
        ConfigurationError: It is no private key, one that is too weak, or one that does not fit
            the algorithm.
    """

    __slots__ = ("_algs", "_key", "alg", "key_id")

    @checked
    def __init__(
        self,
        key: bytes | Mapping[str, Any] | PrivateKey,
        alg: str | None = None,
        *,
        key_id: str | None = None,
        password: str | None = None,
    ) -> None:
        """Read the key; it is not kept in a form that can be printed."""
        if isinstance(key, bytes):
            self._take(key_of_pem(SecretBytes(key), password), alg, key_id)
        elif isinstance(key, Mapping):
            members = Unprintable(key)
            self._take(key_of_jwk(members), alg or members.get("alg"), key_id or members.get("kid"))
        else:
            self._take(key_of_joserfc(key), alg or key.alg, key_id or key.kid)

    @classmethod
    def symmetric(
        cls, secret: str, alg: str | None = None, *, key_id: str | None = None
    ) -> "KeySigner":
        """Return what signs with a secret that both sides have, taken as UTF-8.

        Args:
            secret: The secret, of as many bytes as the hash at least (RFC 7518 §3.2).
            alg: `HS256`, `HS384` or `HS512`; None is the first.
            key_id: The `kid`; None leaves it out.

        Raises:
            ConfigurationError: The secret is too short, or the algorithm is none for it.
        """
        text = urlsafe_b64encode(SecretBytes(secret.encode())).rstrip(b"=").decode("ascii")
        return cls(Unprintable(kty="oct", k=text), alg, key_id=key_id)

    def fitting(self, supported: Collection[str]) -> "KeySigner":
        """Return one that signs with the same key by an algorithm that the other side knows.

        It is this one where that knows this one's, or none that fits the key. An algorithm that was
        given, as an argument or by the JWK, is never left for another.

        Args:
            supported: The algorithms that the other side knows.
        """
        alg = next((alg for alg in self._algs if alg in supported), self.alg)
        return self if alg == self.alg else type(self)(self._key, alg, key_id=self.key_id)

    async def sign(self, data: bytes, /) -> bytes:
        """Return the signature of some bytes, as JWS has it."""
        # The registry's own lookup warns of `EdDSA`, which many servers know by no other name.
        return JWSRegistry.algorithms[self.alg].sign(data, self._key)

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public key as a JWK, as a client publishes it (RFC 7517 §4).

        Raises:
            ConfigurationError: It is a secret, which has no public part.
        """
        if isinstance(self._key, OctKey):
            message = "a secret has no public part; publish nothing of it"
            raise ConfigurationError(message)
        own = {"kid": self.key_id, "use": "sig", "alg": self.alg}
        named = {name: value for name, value in own.items() if value is not None}
        return {**self._key.as_dict(private=False), **named}

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the key: SHA-256 in Base64url (RFC 7638 §3)."""
        return self._key.thumbprint()

    def __repr__(self) -> str:
        """Name the algorithm and the key, and show nothing of it."""
        return f"KeySigner(alg={self.alg!r}, key_id={self.key_id!r})"

    def _take(self, key: PrivateKey, alg: str | None, key_id: str | None) -> None:
        if key_id == "":
            message = "the kid of a key is a text that is not empty (RFC 7517 §4.5)"
            raise ConfigurationError(message)
        self._key, self._algs = key, algorithms_of(key, alg)
        self.alg, self.key_id = self._algs[0], key_id
