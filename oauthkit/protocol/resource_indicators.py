"""Where a token is to be used and for whom: `resource`, `audience` (RFC 8707, RFC 8693 §2.1)."""

from collections.abc import Iterable
from typing import cast

from oauthkit.errors import ConfigurationError, printable
from oauthkit.protocol.redirects import is_absolute


def resources(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return one resource or several, in the order given.

    Raises:
        ConfigurationError: One is no absolute URI without a fragment (RFC 8707 §2).
    """
    found = several_texts("resource", value)
    for resource in found:
        if not is_absolute(resource):
            message = (
                f"resource {printable(resource, 80)!r} must be an absolute URI without a fragment "
                "(RFC 8707 §2)"
            )
            raise ConfigurationError(message)
    return found


def audiences(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return one audience or several, in the order given.

    Raises:
        ConfigurationError: One is empty, or no text.
    """
    return several_texts("audience", value)


def several_texts(name: str, value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return one text or several; none for None.

    Raises:
        ConfigurationError: One is empty, or no text.
    """
    texts = (value,) if isinstance(value, str) else tuple(value or ())
    for text in cast("tuple[object, ...]", texts):
        if not isinstance(text, str) or not text:
            message = f"{name}= takes a text that is not empty, or several of them"
            raise ConfigurationError(message)
    return texts
