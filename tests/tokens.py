"""Tokens in their compact form, right and wrong ones, and what an error shows of them."""

import json
import traceback
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import oauthkit
from oauthkit.jose.issuing import new_key, public_jwk
from oauthkit.protocol.compact import SignedToken, read_signed
from oauthkit.protocol.keys import PublicKey

PACKAGE = str(Path(oauthkit.__file__).parent)


def base64url(data: bytes | str) -> str:
    octets = data.encode() if isinstance(data, str) else data
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def written(header: Any, payload: Any = None, signature: bytes = b"signature") -> str:
    """Return three parts; what is no text or bytes is written as JSON."""
    parts = [header, {"iss": "joe"} if payload is None else payload]
    texts = [part if isinstance(part, str | bytes) else json.dumps(part) for part in parts]
    return ".".join([*map(base64url, texts), base64url(signature)])


def token_of(
    claims: Any, *, header: dict[str, Any] | None = None, signature: bytes = b"signature"
) -> SignedToken:
    """Return a token whose signature nobody looks at."""
    return read_signed(written({"alg": "RS256", **(header or {})}, claims, signature))


def public_key(algorithm: str, number: int = 1, /, **members: Any) -> PublicKey:
    """Return the public half of a key of the fake server, with other members; None drops one."""
    merged = {**public_jwk(new_key(algorithm, number)), **members}
    return PublicKey({name: value for name, value in merged.items() if value is not None})


def shown(error: BaseException | None) -> str:
    """Return all that an error tells: texts, attributes, and what our frames hold."""
    texts: list[str] = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename.startswith(PACKAGE):
                texts += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)
