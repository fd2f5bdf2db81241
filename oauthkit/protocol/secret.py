"""Secrets that have no printable form."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast

import attrs

_MASK: Final = "'***'"
_SECRET: Final = "oauthkit.secret"


class SecretStr(str):
    """Be a string whose `repr` is masked, so that no dump or traceback shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Hide the value."""
        return _MASK


class SecretBytes(bytes):
    """Be bytes whose printed form tells their number only."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Tell the number."""
        return f"<{len(self)} bytes>"

    __str__ = __repr__


class Unprintable(dict[str, Any]):
    """Be a mapping that may hold secrets: its `repr` tells the names only."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show the names."""
        return f"<{', '.join(map(repr, self))}>"


class NoPickle:
    """Refuse to be pickled, so that no secret leaves by accident."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        """Refuse."""
        message = (
            f"{type(self).__name__} holds secrets and is not pickled; a Token or an "
            "AuthorizationRequest travels as .to_dict()"
        )
        raise TypeError(message)

    def __copy__(self) -> "NoPickle":
        """Return the same immutable value."""
        return self

    def __deepcopy__(self, _memo: object) -> "NoPickle":
        """Return the same immutable value."""
        return self


def unprintable(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a copy that cannot be changed, and whose `repr` tells the names only.

    `attrs.asdict` leaves it as it is, where it would make a plain dict of an `Unprintable`.
    """
    return MappingProxyType(Unprintable(members))


def names_of(members: Mapping[str, Any]) -> str:
    """Return the printed form of a mapping that may hold secrets: its names."""
    return repr(Unprintable(members))


def hidden_items(members: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give names and values, texts as secrets, so that no traceback through a loop shows them."""
    return ((n, SecretStr(v) if isinstance(v, str) else v) for n, v in members.items())


def secret(*, default: Any = attrs.NOTHING, kw_only: bool | None = None) -> Any:
    """Declare an attrs field that holds a secret.

    Example:
        >>> import attrs
        >>> @attrs.frozen
        ... class Login:
        ...     password: str = secret()
        >>> Login("s3cret")
        Login(password='***')

    Args:
        default: The value where none is given; without it the field is required.
        kw_only: As in `attrs.field`.
    """
    return cast(
        "Any",
        attrs.field(
            default=default,
            kw_only=kw_only,
            converter=_hidden,
            repr=_masked,
            metadata={_SECRET: True},
        ),
    )


def secrets_of(value: object) -> frozenset[str]:
    """Return the secrets in the fields of an attrs value, so that echoes of them can be masked."""
    kind = type(value)
    if not attrs.has(kind):
        return frozenset()
    found = (getattr(value, f.name) for f in attrs.fields(kind) if f.metadata.get(_SECRET))
    return frozenset(text for text in found if text)


def _hidden(value: str | None) -> SecretStr | None:
    return None if value is None else SecretStr(value)


def _masked(value: str | None) -> str:
    return "None" if value is None else _MASK
