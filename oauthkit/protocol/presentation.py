"""How a token is shown to an API."""

import re
from typing import ClassVar, Final

import attrs

from oauthkit.errors import ResponseError, printable
from oauthkit.protocol.secret import SecretStr
from oauthkit.protocol.token import Token

_NOT_APPLICABLE: Final = "n_a"
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


@attrs.frozen
class Bearer:
    """Presentation of a token to whoever asks: one header, the same for all requests.

    RFC 6750 §2.1; there is no way into a body or a query.
    """

    scheme: ClassVar[str] = "bearer"
    """The authentication scheme in lower case, as challenges name it."""

    def authorization(self, token: Token) -> str:
        """Return the `Authorization` header value for a token.

        Raises:
            ResponseError: The token is not of type Bearer (RFC 6749 §7.1), or has a character that
                would break out of the header.
        """
        if token.token_type.lower() == _NOT_APPLICABLE:
            message = (
                "the token is of type 'N_A', so what was issued is no access token (RFC 8693 "
                "§2.2.1), and only Bearer tokens are sent to APIs; hand it on, for example as the "
                "assertion= of a JWTBearer"
            )
            raise ResponseError(message)
        if token.token_type.lower() != self.scheme:
            message = (
                f"the token is of type {printable(token.token_type, 40)!r}, and only Bearer tokens "
                "are sent to APIs; where the server means Bearer, say so with adapt="
            )
            raise ResponseError(message)
        if not _VISIBLE.fullmatch(token.access_token):
            message = (
                "the access token has white space, control or non-ASCII characters, which no "
                "header may carry (RFC 6750 §2.1)"
            )
            raise ResponseError(message)
        return SecretStr(f"Bearer {token.access_token}")


BEARER: Final = Bearer()
