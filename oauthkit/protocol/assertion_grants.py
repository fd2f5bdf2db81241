"""A SAML 2.0 assertion as a right (RFC 7522); a JWT is one in `oauthkit.jose.jwt_bearer`."""

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import given
from oauthkit.protocol.formats import ParameterValue
from oauthkit.protocol.grants import GrantStrategy, Repeat, scope_text
from oauthkit.protocol.secret import SecretStr, Unprintable
from oauthkit.protocol.server import AuthorizationServer
from oauthkit.protocol.supplied import awaited, supplied

SuppliedXML = str | bytes | Callable[[], Awaitable[str | bytes]]
"""An XML document; or an asynchronous function that returns it."""


class _Encoded(SecretStr):
    """Assertion as it is sent."""

    __slots__ = ()


def _octets(document: str) -> bytes:
    """Return a text in UTF-8; nothing where it is none."""
    with suppress(UnicodeEncodeError):
        return document.encode()
    return b""


def _encoded(document: object) -> object:
    """Return a document as it is sent; what supplies it stays as it is.

    It is not read: whether it is an assertion, and a good one, is for the server to say.

    Raises:
        ConfigurationError: It is no XML, or was encoded before.
    """
    if isinstance(document, _Encoded) or callable(document):
        return document
    content = _octets(document) if isinstance(document, str) else document
    if not isinstance(content, bytes) or b"<" not in content:
        what = "something else" if isinstance(content, bytes) else given(document)
        del document, content  # a traceback that shows local values would show them
        message = (
            "assertion= of a SAML2Bearer takes the XML document itself, as bytes or a text; it is "
            f"encoded here (RFC 7522 §2.1). What came is {what}"
        )
        raise ConfigurationError(message)
    return _Encoded(urlsafe_b64encode(content).rstrip(b"=").decode("ascii"))


@attrs.frozen(kw_only=True)
class SAML2Bearer(GrantStrategy):
    """Ask by a SAML 2.0 assertion (RFC 7522 §2.1).

    The XML is written down in base64url, and never looked into.

    Example:
        >>> SAML2Bearer(assertion=b"<saml2:Assertion>...</saml2:Assertion>", scope="read")
        SAML2Bearer(request_format=None, additional=<>, assertion='***', scope='read')

    Attributes:
        assertion: The XML document, as bytes or a text; or an asynchronous function that returns
            it, called for each request anew. A document that was given is not presented again once
            it was refused, or has led to a token.
        scope: What is asked for.

    Raises:
        ConfigurationError: The document is no XML.
    """

    grant_type = "urn:ietf:params:oauth:grant-type:saml2-bearer"

    assertion: SuppliedXML = supplied(converter=_encoded)
    scope: str | None = attrs.field(default=None, converter=scope_text)

    @property
    def repeat(self) -> Repeat:  # type: ignore[override] # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether it can be asked again: always by an assertion that is supplied anew."""
        return repeat_of(self.assertion)

    async def prepared(
        self, server: AuthorizationServer, *, client_id: str, now: float
    ) -> GrantStrategy:
        """Return the grant with the document as it is sent."""
        if isinstance(self.assertion, str):
            return self
        supply = cast("Callable[[], object]", self.assertion)
        document = _encoded(await awaited("assertion", supply))
        if not isinstance(document, str):
            message = "what supplies assertion= must return the XML document, not another function"
            raise ConfigurationError(message)
        return attrs.evolve(self, assertion=document)

    def parameters(self) -> Mapping[str, ParameterValue]:
        """Return assertion and scope."""
        there = isinstance(self.assertion, str)
        return Unprintable(assertion=self.assertion if there else None, scope=self.scope)


def repeat_of(assertion: object) -> Repeat:
    """Return how often an assertion may be presented.

    One that is supplied anew each time always may. A server may take one that was given once alone
    (RFC 7523 §3), so that after a lost answer one more try can only help, and nothing else can.
    """
    return Repeat.ONCE if isinstance(assertion, str) else Repeat.ALWAYS
