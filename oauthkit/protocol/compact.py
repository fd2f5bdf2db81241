"""A signed token as it stands in a text: three parts with dots between (RFC 7515 §7.1).

It is read strictly, for two readers must not see two things in it: no padding, no character beside
the alphabet, no bit that is left over, no member twice, nothing critical that is not understood
(RFC 8725 §3). Who reads it believes nothing yet: `oauthkit.jose` looks at the signature.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

import attrs

from oauthkit.errors import printable
from oauthkit.protocol.answers import json_object
from oauthkit.protocol.secret import NoPickle, SecretBytes, names_of, unprintable

_LONGEST: Final = 131_072
_LONGEST_HEADER: Final = 16_384
"""Characters: certificates may stand in a header."""
_LONGEST_KEY_ID: Final = 1_024
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_PARTS: Final = 3
_PARTS_ENCRYPTED: Final = 5


@attrs.frozen(kw_only=True)
class SignedToken(NoPickle):
    """Be a token whose signature nobody has looked at.

    Attributes:
        header: What its header says of itself.
        algorithm: By which algorithm it says that it is signed (`alg`).
        key_id: By which key (`kid`), or None.
        type: What kind of token it says that it is (`typ`), in lower case and without
            `application/`; None where it does not say.
        payload: What is signed.
        signed: The bytes that are signed: header and payload as they came.
        signature: The signature.
    """

    header: Mapping[str, Any] = attrs.field(converter=unprintable, repr=names_of, hash=False)
    algorithm: str
    key_id: str | None
    type: str | None
    payload: bytes = attrs.field(repr=False, converter=SecretBytes)
    signed: bytes = attrs.field(repr=False, converter=SecretBytes)
    signature: bytes = attrs.field(repr=False, converter=SecretBytes)

    def claims(self) -> Mapping[str, Any]:
        """Return the members of the payload (RFC 7519 §7.2).

        Raises:
            ValueError: It is no JSON object; the message shows nothing of it.
        """
        return _members(self.payload, "payload")


def is_encrypted(text: str) -> bool:
    """Tell whether a token has the five parts of an encrypted one (RFC 7516 §7.1)."""
    return text.count(".") == _PARTS_ENCRYPTED - 1


def read_signed(text: str) -> SignedToken:
    """Return a token's parts (RFC 7515 §5.2, steps 1 to 7).

    Args:
        text: The token.

    Raises:
        ValueError: It is no token of this form; the message shows nothing of it.
    """
    if len(text) > _LONGEST:
        message = f"it is longer than {_LONGEST} characters"
        raise ValueError(message)
    parts = text.split(".")
    if len(parts) != _PARTS:
        message = (
            "it is encrypted, and was to be signed alone"
            if len(parts) == _PARTS_ENCRYPTED
            else f"a signed token has three parts with dots between, and this has {len(parts)}"
        )
        raise ValueError(message)
    if len(parts[0]) > _LONGEST_HEADER:
        message = f"its header is longer than {_LONGEST_HEADER} characters"
        raise ValueError(message)
    header = _members(decoded(parts[0], "header"), "header")
    if "crit" in header:
        message = "its header has something critical (crit), and nothing such is understood"
        raise ValueError(message)
    key_id, kind = _text(header, "kid"), _text(header, "typ")
    if key_id is not None and len(key_id) > _LONGEST_KEY_ID:
        message = f"its kid is longer than {_LONGEST_KEY_ID} characters"
        raise ValueError(message)
    return SignedToken(
        header=header,
        algorithm=_text(header, "alg") or "",
        key_id=key_id,
        type=None if kind is None else kind.lower().removeprefix("application/"),
        payload=decoded(parts[1], "payload"),
        signed=text.rpartition(".")[0].encode("ascii"),
        signature=decoded(parts[2], "signature"),
    )


def read_encrypted_header(text: str) -> Mapping[str, Any]:
    """Return what the header of an encrypted token says of itself (RFC 7516 §4).

    Args:
        text: The token.

    Raises:
        ValueError: It is no token of this form; the message shows nothing of it.
    """
    if len(text) > _LONGEST or not is_encrypted(text):
        message = "an encrypted token has five parts with dots between, and this has not"
        raise ValueError(message)
    return _members(decoded(text.partition(".")[0], "header"), "header")


def decoded(part: str, name: str) -> bytes:
    """Return the bytes of a part: base64url, with nothing beside it (RFC 7515 §2).

    Args:
        part: The text.
        name: What the error calls it.

    Raises:
        ValueError: It is none, or could be written otherwise too.
    """
    message = f"its {name} is not base64url without padding"
    if not _ALPHABET.fullmatch(part) or len(part) % 4 == 1:
        raise ValueError(message)
    found = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if part and urlsafe_b64encode(found[-(len(found) % 3 or 3) :]).rstrip(b"=") != part[
        -(len(part) % 4 or 4) :
    ].encode("ascii"):
        raise ValueError(message)
    return found


def _members(content: bytes, name: str) -> Mapping[str, Any]:
    try:
        return json_object(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    # Raised out here, so that the error does not carry the reader's own, which quotes the token.
    message = f"its {name} is no JSON object: {printable(reason)}"
    raise ValueError(message)


def _text(header: Mapping[str, Any], name: str) -> str | None:
    value = header.get(name)
    if value is not None and not isinstance(value, str):
        message = f"its {name} is no text"
        raise ValueError(message)
    return value
