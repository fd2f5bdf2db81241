"""A grant's secret that is given as a text, or supplied anew for each request."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import SECRET, given
from oauthkit.protocol.secret import SecretStr, check_given
from oauthkit.protocol.token import Token

Supplied = str | Callable[[], Awaitable[str | Token]]
"""A text; or an asynchronous function that returns it, or a token in which it is.

The function is called for every try anew: `session.token` of another session always gives a token
that is good.
"""


def supplied(
    *, default: Any = attrs.NOTHING, converter: Callable[[object], object] | None = None
) -> Any:
    """Declare an attrs field that holds a secret text, or what supplies it.

    Args:
        default: The value where none is given; without it the field is required.
        converter: Makes the secret text; by default of any text.
    """
    return cast(
        "Any",
        attrs.field(
            default=default, converter=converter or _hidden, repr=_shown, metadata={SECRET: True}
        ),
    )


def check_supplied(**values: object) -> None:
    """Refuse what is empty; what supplies it is looked at when it has done so.

    Raises:
        ConfigurationError: One is empty.
    """
    for name, value in values.items():
        if not callable(value):
            check_given(**{name: value})


def known(value: Supplied | None) -> str | None:
    """Return a text that is there already; None where it is still to be supplied."""
    return value if isinstance(value, str) else None


async def text_of(name: str, value: Supplied, *, member: str = "access_token") -> SecretStr:
    """Return the text, supplied if it has to be.

    Args:
        name: What it is called.
        value: The text, or what supplies it.
        member: Which member of a token it is.

    Raises:
        ConfigurationError: What was supplied is of another kind, or empty.
    """
    found: object = value if isinstance(value, str) else await awaited(name, value)
    if isinstance(found, Token):
        found = _member(name, found, member)
    if not isinstance(found, str):
        message = f"what supplies {name}= must return a text or a Token, not {given(found)}"
        raise ConfigurationError(message)
    check_given(**{name: found})
    return SecretStr(found)


async def awaited(name: str, supply: Callable[[], object]) -> object:
    """Return what a function supplies.

    Raises:
        ConfigurationError: It is not asynchronous.
    """
    coming = supply()
    if not isinstance(coming, Awaitable):
        message = (
            f"{name}= must be given, or supplied by an asynchronous function, such as "
            f"session.token; the function returned {given(coming)} at once"
        )
        raise ConfigurationError(message)
    return await cast("Awaitable[object]", coming)


def _member(name: str, token: Token, member: str) -> str:
    text: str | None = getattr(token, member)
    if text is None:
        message = f"{name}= is to be the {member} of a token, and the token has none"
        raise ConfigurationError(message)
    return SecretStr(text)


def _hidden(value: object) -> object:
    return SecretStr(value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    return "'***'" if isinstance(value, str) else "None" if value is None else "<supplied>"
