"""The keys of an authorization server: a JWK Set, and which key may have signed (RFC 7517 §5).

What a header says of itself never chooses how its signature is looked at: the caller says which
algorithms are allowed, an algorithm has one kind of key, and a key is looked for in the set alone.
"""

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import attrs

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.answers import decode_fields, unusable
from oauthkit.protocol.endpoint import retry_after
from oauthkit.protocol.error_response import error_by_status
from oauthkit.protocol.messages import HTTPRequest, HTTPResponse

_MOST_KEYS: Final = 1_000
_JSON: Final = {"content-type": "application/json"}
_ACCEPT: Final = "application/jwk-set+json, application/json"


@attrs.frozen
class Algorithm:
    """What an algorithm needs (RFC 7518 §3.1, RFC 8037, RFC 9864).

    Attributes:
        kind: The key's `kty`.
        curves: Its `crv`; none where the kind has no curves.
        hash: By which hash it signs, as `hashlib` calls it.
    """

    kind: str
    curves: frozenset[str]
    hash: str


def _ec(curve: str, hash_name: str) -> Algorithm:
    return Algorithm("EC", frozenset({curve}), hash_name)


_NO_CURVE: Final = frozenset[str]()
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    **{f"RS{bits}": Algorithm("RSA", _NO_CURVE, f"sha{bits}") for bits in (256, 384, 512)},
    **{f"PS{bits}": Algorithm("RSA", _NO_CURVE, f"sha{bits}") for bits in (256, 384, 512)},
    "ES256": _ec("P-256", "sha256"),
    "ES384": _ec("P-384", "sha384"),
    "ES512": _ec("P-521", "sha512"),
    "EdDSA": Algorithm("OKP", frozenset({"Ed25519"}), "sha512"),
    "Ed25519": Algorithm("OKP", frozenset({"Ed25519"}), "sha512"),
    **{f"HS{bits}": Algorithm("oct", _NO_CURVE, f"sha{bits}") for bits in (256, 384, 512)},
}
"""Every algorithm that a signature may have here; `none` is none of them."""
_SAME: Final[Mapping[str, frozenset[str]]] = {
    "EdDSA": frozenset({"EdDSA", "Ed25519"}),
    "Ed25519": frozenset({"EdDSA", "Ed25519"}),
}
"""RFC 9864 gave the algorithm a name of its own, and both are sent."""
_DEFAULT: Final = "RS256"
_PUBLIC: Final = frozenset({"RSA", "EC", "OKP"})
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def allowed_algorithms(
    name: str, *, registered: str | None, supported: tuple[str, ...] | None
) -> frozenset[str]:
    """Return the algorithms that a signature of the server may have (RFC 8725 §3.1).

    What was registered for the client is the only one. Where nothing is said of that, the server's
    metadata says what it signs with, and a MAC or no signature at all is never meant by it; where
    that is silent too, it is RS256.

    Args:
        name: What is signed, as an error calls it.
        registered: The algorithm of the registration, such as `id_token_signed_response_alg`.
        supported: Those of the metadata, such as `id_token_signing_alg_values_supported`.

    Raises:
        ConfigurationError: None of them is known here.
    """
    if registered is not None:
        wanted = {registered}
    elif supported is None:
        wanted = {_DEFAULT}
    else:
        wanted = {alg for alg in supported if not alg.startswith("HS")}
    known = {same for alg in wanted & ALGORITHMS.keys() for same in _SAME.get(alg, {alg})}
    if not known:
        message = (
            f"no algorithm is left by which {name} may be signed: registered is {registered}, the "
            f"metadata says {printable(str(supported))}, and known are "
            f"{', '.join(ALGORITHMS)}; an unsigned one is never taken, and one with a MAC (HS256) "
            "only where that is said to be registered"
        )
        raise ConfigurationError(message)
    return frozenset(known)


def least_secret(algorithm: str) -> int:
    """Return how many octets the secret of a MAC has at least: as many as its hash has."""
    return int(ALGORITHMS[algorithm].hash.removeprefix("sha")) // 8


@attrs.define(eq=False)
class PublicKey:
    """One key of a set, as far as it can be told before it is tried.

    Attributes:
        members: The JWK without what would be private.
        loaded: The key as `oauthkit.jose` has made it, once it was needed; `False` for one that
            is no key.
    """

    members: Mapping[str, Any] = attrs.field(repr=False)
    loaded: Any = attrs.field(default=None, repr=False)

    @property
    def key_id(self) -> str | None:
        """The key's name, if it has one."""
        value = self.members.get("kid")
        return value if isinstance(value, str) else None

    def may_have_signed(self, algorithm: str) -> bool:
        """Tell whether the key is meant for signatures by an algorithm (RFC 7517 §4)."""
        wanted, members = ALGORITHMS[algorithm], self.members
        operations = members.get("key_ops")
        return (
            members.get("kty") == wanted.kind
            and (not wanted.curves or _is_one_of(members.get("crv"), wanted.curves))
            and _is_open(members.get("use"), {"sig"})
            and (not isinstance(operations, list) or "verify" in operations)
            and _is_open(members.get("alg"), _SAME.get(algorithm, {algorithm}))
        )


@attrs.frozen
class KeySet:
    """Be the keys of a server that may be used: those that are odd are left out (RFC 7517 §5).

    Attributes:
        keys: Each once, in the order in which they came.
        had_private: Whether one of them had private members, which were dropped.
    """

    keys: tuple[PublicKey, ...] = ()
    had_private: bool = False

    def has(self, key_id: str | None) -> bool:
        """Tell whether a key of this name is among them."""
        return key_id is not None and any(key.key_id == key_id for key in self.keys)

    def candidates(self, algorithm: str, key_id: str | None) -> list[PublicKey]:
        """Return the keys that may have signed.

        Args:
            algorithm: By which algorithm.
            key_id: What the header calls the key; None fits every key.
        """
        fitting = [key for key in self.keys if key.may_have_signed(algorithm)]
        return [key for key in fitting if key_id is None or key.key_id == key_id]


def build_keys_request(jwks_uri: str, *, public_only: bool = False) -> HTTPRequest:
    """Return the request for the keys of a server (RFC 7517 §8.5).

    Args:
        jwks_uri: Where they are.
        public_only: Whether it may be sent to public addresses alone.
    """
    return HTTPRequest("GET", jwks_uri, {"accept": _ACCEPT}, public_only=public_only)


def parse_keys_response(response: HTTPResponse, *, now: float) -> KeySet:
    """Return the keys of an answer (RFC 7517 §5).

    Args:
        response: The answer.
        now: When the request was sent, in seconds since the epoch, for a date in `Retry-After`.

    Raises:
        ResponseError: It is no set, or none of its members is a key that may be public.
    """
    pause = retry_after(response, now=now)
    refusal = error_by_status(response, secrets=(), pause=pause, name="jwks_uri")
    if refusal is not None:
        raise refusal
    if response.status_code != HTTPStatus.OK:
        message = "the keys could not be had; jwks_uri of the metadata should answer with a 200"
        raise unusable(response, message)
    document = decode_fields(attrs.evolve(response, headers=_JSON))
    listed = document.get("keys")
    if not isinstance(listed, list):
        message = "a JWK Set has a list of keys (RFC 7517 §5), and this has none"
        raise unusable(response, message)
    objects = [
        cast("dict[str, Any]", jwk)
        for jwk in cast("list[object]", listed)[:_MOST_KEYS]
        if isinstance(jwk, dict)
    ]
    keys = key_set(objects)
    if not keys.keys:
        message = "the JWK Set has no key that a signature could be looked at with"
        raise unusable(response, message)
    return keys


def key_set(listed: list[dict[str, Any]]) -> KeySet:
    """Return the keys of a list that may be public ones.

    Args:
        listed: JWKs as they came.
    """
    public = [jwk for jwk in listed if _is_one_of(jwk.get("kty"), _PUBLIC)]
    had_private = any(_PRIVATE & jwk.keys() for jwk in listed)
    return KeySet(tuple(PublicKey(dict(_public_members(jwk))) for jwk in public), had_private)


def _public_members(jwk: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in jwk.items() if name not in _PRIVATE)


def _is_one_of(value: object, names: Collection[str]) -> bool:
    """Tell whether a member is one of some names; a list or an object is none."""
    return isinstance(value, str) and value in names


def _is_open(value: object, names: Collection[str]) -> bool:
    """Tell whether a member is one of some names, or is not there and leaves it open."""
    return value is None or _is_one_of(value, names)
