"""Tokens as text, for stores that keep text."""

import json
from typing import Final

from oauthkit.errors import ConfigurationError, Recovery, StoreError
from oauthkit.protocol.secret import SecretStr
from oauthkit.protocol.token import Token

UNREADABLE: Final = SecretStr("\N{REPLACEMENT CHARACTER}")
"""What stands for bytes that are no text; it is no record."""


def encode_token(token: Token) -> str:
    """Return a token as ASCII text, **secrets included**, for keeping.

    Raises:
        StoreError: A member in `Token.extra` is not a JSON value.
    """
    try:
        return SecretStr(json.dumps(token.to_dict(), separators=(",", ":")))
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    # Raised out here: the frames of the encoder hold the whole record.
    message = f"the token holds what JSON cannot say, and was not stored: {reason}"
    raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)


def decode_token(text: str) -> Token:
    """Return the token that `encode_token` wrote, this version's or an earlier one's.

    Raises:
        StoreError: This is not such a text; the message shows nothing of it.
    """
    try:
        return Token.from_dict(json.loads(text))
    except ConfigurationError as error:
        reason = f" ({error})"
    except (RecursionError, TypeError, ValueError):
        reason = ""
    del text  # a traceback that shows local values would show the token in it
    # Raised out here, so that nothing leads to the JSON error, which carries the whole text.
    message = (
        f"what is stored under this key is not a token that this oauthkit can read{reason}; it is "
        "kept, and a login (save) or a logout (delete) replaces it"
    )
    raise StoreError(message, recovery=Recovery.CHANGE_REQUEST)


def hidden(stored: str | bytes | None) -> SecretStr | None:
    """Return what a store has as text that no traceback shows; None where it has nothing."""
    if stored is None or isinstance(stored, str):
        return None if stored is None else SecretStr(stored)
    try:
        return SecretStr(stored.decode())
    except UnicodeDecodeError:
        return UNREADABLE
