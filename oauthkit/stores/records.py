"""Tokens as text, for stores that keep text."""

import json

from oauthkit.errors import ConfigurationError, Recovery, StoreError
from oauthkit.protocol.secret import SecretStr
from oauthkit.protocol.token import Token


def encode_token(token: Token) -> str:
    """Return a token as ASCII text, **secrets included**, for keeping.

    Raises:
        StoreError: A member in `Token.extra` is not a JSON value.
    """
    try:
        return SecretStr(json.dumps(token.to_dict(), separators=(",", ":")))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the token holds what JSON cannot say, and was not stored: {error}"
        raise StoreError(message, recovery=Recovery.CHANGE_REQUEST) from error


def decode_token(text: str) -> Token:
    """Return the token that `encode_token` wrote.

    Raises:
        StoreError: This is not such a text; the message shows nothing of it.
    """
    try:
        return Token.from_dict(json.loads(text))
    except (AttributeError, ConfigurationError, RecursionError, TypeError, ValueError):
        message = (
            "what is stored under this key is not a token written by oauthkit; it is kept, "
            "and a login (save) or a logout (delete) replaces it"
        )
        # Without the cause: a JSON error carries the whole text, secrets included.
        raise StoreError(message, recovery=Recovery.CHANGE_REQUEST) from None
