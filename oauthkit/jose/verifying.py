"""Whether a key has signed a token: the mathematics is joserfc's, what is asked of it is ours.

Every key is loaded by itself, so that one that is odd costs only itself, and once.
"""

from typing import Any, Final

from joserfc import jwk, jws
from joserfc.errors import JoseError

from oauthkit.protocol.compact import SignedToken
from oauthkit.protocol.keys import PublicKey

_RSA_BITS: Final = range(2_048, 16_385)
"""RFC 7518 §3.3 wants 2,048 at least; a larger one than this takes too long to look at."""
_LONGEST_NUMBER: Final = 2_800
"""Characters of base64url, for the largest modulus."""
_EXPONENTS: Final = range(3, 2**33, 2)
_KINDS: Final[dict[str, Any]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}
_MEMBERS: Final = ("kty", "crv", "n", "e", "x", "y")
_WRONG: Final = (JoseError, ArithmeticError, KeyError, TypeError, ValueError)
"""What joserfc and cryptography raise for a key that is none."""


def is_signed_by(token: SignedToken, key: PublicKey) -> bool:
    """Tell whether a key has signed a token, by the algorithm that the token names.

    That the algorithm is allowed was looked at before.

    Args:
        token: The token.
        key: The key; one that is not meant for that algorithm has not signed.
    """
    if not key.may_have_signed(token.algorithm):
        return False
    if key.loaded is None:
        key.loaded = _loaded(dict(key.members)) or False
    if key.loaded is False:
        return False
    return _holds(token, key.loaded)


def is_signed_with(token: SignedToken, secret: bytes) -> bool:
    """Tell whether a token has the MAC that a secret gives it (RFC 7518 §3.2).

    Args:
        token: The token, whose algorithm is one of HMAC.
        secret: The octets of the secret.
    """
    return _holds(token, jwk.OctKey(secret, secret))


def _holds(token: SignedToken, key: Any) -> bool:
    # The registry's own lookup warns of `EdDSA`, which many servers know by no other name.
    return jws.JWSRegistry.algorithms[token.algorithm].verify(token.signed, token.signature, key)


def _loaded(members: dict[str, Any]) -> jwk.Key | None:
    """Return a key as joserfc has it; None where it is none, or too weak, or absurd."""
    numbers = (members.get(name) for name in ("n", "e", "x", "y"))
    if any(isinstance(text, str) and len(text) > _LONGEST_NUMBER for text in numbers):
        return None
    try:
        # What it is for was looked at already, and what else stands there is not of a key. It is
        # made without `import_key`, which warns of what is refused here.
        kind = _KINDS[members["kty"]]
        named = {name: members[name] for name in _MEMBERS if name in members}
        kind.validate_dict_key(named)
        raw: Any = kind.binding.import_from_dict(named)
    except _WRONG:
        return None
    if kind is jwk.RSAKey and not (
        raw.key_size in _RSA_BITS and raw.public_numbers().e in _EXPONENTS
    ):
        return None
    key: jwk.Key = kind(raw, raw)
    return key
