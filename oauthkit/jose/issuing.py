"""Sign as an authorization server does, for `oauthkit.testing`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from joserfc import jwe, jwk
from joserfc.jws import JWSRegistry

from oauthkit.protocol.jwt import compact, signing_input
from oauthkit.protocol.keys import ALGORITHMS

_RSA_BITS = 2_048


@cache
def new_key(algorithm: str, number: int) -> Any:
    """Return a key pair for an algorithm; the same number gives the same one in a process.

    An RSA key takes a tenth of a second to be made, and every test would make its own.

    Args:
        algorithm: By its name in JWS, such as `RS256`.
        number: Which one.
    """
    needs = ALGORITHMS[algorithm]
    parameters: Any = {"kid": f"key-{number}", "use": "sig", "alg": algorithm}
    if needs.kind == "RSA":
        return jwk.RSAKey.generate_key(_RSA_BITS, parameters)
    curve: Any = next(iter(needs.curves))
    made = jwk.ECKey if needs.kind == "EC" else jwk.OKPKey
    return made.generate_key(curve, parameters)


def public_jwk(key: Any) -> dict[str, Any]:
    """Return the public part of a key, as a server publishes it."""
    return dict(key.as_dict(private=False))


def signed_jwt(header: Mapping[str, Any], claims: Mapping[str, Any], key: Any) -> str:
    """Return a token signed by a key, or with a secret, by the algorithm that its header names."""
    used = jwk.OctKey.import_key(key) if isinstance(key, str) else key
    data = signing_input(header, claims)
    return compact(data, JWSRegistry.algorithms[header["alg"]].sign(data, used))


def encrypted_jwt(text: str, public: Mapping[str, Any], *, algorithm: str, encryption: str) -> str:
    """Return a token encrypted for a client's public key (RFC 7516)."""
    registry = jwe.JWERegistry(algorithms=[algorithm, encryption])
    header = {"alg": algorithm, "enc": encryption, "cty": "JWT"}
    return jwe.encrypt_compact(header, text, jwk.import_key(dict(public)), registry=registry)
