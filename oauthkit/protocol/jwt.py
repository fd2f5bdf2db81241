"""A JSON Web Token that we sign: what is signed, and its compact form (RFC 7519, RFC 7515 §3.1).

Who signs is a value of its own: a key in this process, or one in a key service that nothing leaves.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol, cast

from oauthkit.errors import ConfigurationError, printable
from oauthkit.kinds import check_kind

_NO_SIGNATURE: Final = "none"


class Signer(Protocol):
    """Sign with one key, which may be in a key service.

    Example:
        ::

            class KeyServiceSigner:
                alg = "ES256"
                key_id = "2026-11"

                async def sign(self, data: bytes) -> bytes:
                    return await key_service.sign("client-key", data)

    Attributes:
        alg: The algorithm, by its name in JWS (RFC 7518 §3.1), such as `ES256`.
        key_id: The `kid` of the header, by which the other side finds the public key; None leaves
            it out.
    """

    @property
    def alg(self) -> str:
        """The algorithm, by its name in JWS (RFC 7518 §3.1), such as `ES256`."""
        ...

    @property
    def key_id(self) -> str | None:
        """The `kid` of the header; None leaves it out."""
        ...

    async def sign(self, data: bytes, /) -> bytes:
        """Return the signature of some bytes, as JWS has it.

        With ECDSA that is `r` and `s` one after the other (RFC 7518 §3.4), and not the DER form
        that some key services give.
        """
        ...


async def sign_jwt(
    signer: Signer,
    claims: Mapping[str, Any],
    *,
    typ: str | None = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    """Return a signed JWT in its compact form (RFC 7515 §7.1).

    Example:
        ::

            from oauthkit.protocol.jwt import sign_jwt

            signed = await sign_jwt(signer, {"iss": "app", "exp": 1767225600}, typ="JWT")

    Args:
        signer: Signs; `alg` and `kid` of the header are its own.
        claims: What is said.
        typ: The type that the header names (RFC 8725 §3.11); None leaves it out.
        header: Further members of the header, such as `x5t#S256`.

    Raises:
        ConfigurationError: The signer or what is to be signed is of another form.
    """
    check_signer("sign_jwt: signer", signer)
    own = {"alg": signer.alg, "kid": signer.key_id, "typ": typ}
    members = {name: value for name, value in own.items() if value is not None}
    data = signing_input({**(header or {}), **members}, claims)
    signature = cast("object", await signer.sign(data))
    if not isinstance(signature, bytes) or not signature:
        message = (
            f"{type(signer).__name__}.sign must return the signature as bytes that are not empty, "
            f"not {type(signature).__name__}"
        )
        raise ConfigurationError(message)
    return compact(data, signature)


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """Return what is signed: header and claims as JSON, each in Base64url (RFC 7515 §5.1).

    Example:
        >>> signing_input({"alg": "HS256"}, {"iss": "joe"})
        b'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ'

    Raises:
        ConfigurationError: One of them cannot be written as JSON.
    """
    return b".".join((_encoded("header", header), _encoded("claims", claims)))


def compact(signed: bytes, signature: bytes) -> str:
    """Return the compact form: what was signed, and the signature (RFC 7515 §7.1).

    Example:
        >>> compact(b"eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ", b"signature")
        'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.c2lnbmF0dXJl'
    """
    return b".".join((signed, _base64url(signature))).decode("ascii")


def check_signer(name: str, signer: object) -> None:
    """Refuse what cannot sign.

    Args:
        name: What the error message calls it.
        signer: What was given.

    Raises:
        ConfigurationError: It has no `sign`, or `alg` and `key_id` are none; an algorithm `none` is
            never taken.
    """
    check_kind(name, signer, Signer)
    alg, key_id = getattr(signer, "alg", None), getattr(signer, "key_id", None)
    if not isinstance(alg, str) or not alg or alg.lower() == _NO_SIGNATURE:
        message = (
            f"{name} must have the name of its algorithm as `alg`, such as 'ES256' (RFC 7518 "
            "§3.1); 'none' signs nothing, and is never taken"
        )
        raise ConfigurationError(message)
    if key_id is not None and (not isinstance(key_id, str) or not key_id):
        message = f"{name} must have the kid of its key as `key_id`, a text, or None"
        raise ConfigurationError(message)


def fitting_signer(signer: Signer, supported: Collection[str] | None, *, where: str) -> Signer:
    """Return what signs by an algorithm that the other side knows.

    A signer with a method `fitting`, such as a `KeySigner`, is asked for another way to sign with
    its key.

    Args:
        signer: What signs.
        supported: The algorithms that the other side knows; None where it does not say.
        where: What its metadata calls the list.

    Raises:
        ConfigurationError: The key signs by none of them.
    """
    if supported is None:
        return signer
    choose = getattr(signer, "fitting", None)
    found = cast("Signer", choose(supported) if callable(choose) else signer)
    if found.alg in supported:
        return found
    message = (
        f"the server takes signatures by {', '.join(map(printable, supported))} ({where}), and "
        f"this key signs by {found.alg}; nothing was sent. Give another alg= or another key"
    )
    raise ConfigurationError(message)


def _encoded(what: str, members: Mapping[str, Any]) -> bytes:
    text: bytes | None
    try:
        text = json.dumps(
            dict(members), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None:  # raised out here: what refused it may show a part of it
        message = (
            f"the {what} of a JWT must be JSON: texts, finite numbers, True, False, None, and "
            "lists and dicts of these (RFC 7519 §7.1)"
        )
        raise ConfigurationError(message)
    return _base64url(text)


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
