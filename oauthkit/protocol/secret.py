"""Secrets that have no printable form."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, Final, NoReturn, SupportsIndex, TypeVar, cast

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import SECRET, Checked, given, guarded

C = TypeVar("C", bound=type[Any])

_MASK: Final = "'***'"


class SecretStr(str):
    """Be a string whose `repr` is masked, so that no dump or traceback shows it.

    Nor does one that prints the beginning of what is long: it takes a slice, and prints that.
    """

    __slots__ = ()

    def __getitem__(self, key: SupportsIndex | slice, /) -> "SecretStr":
        """Return a part, which is as secret."""
        return SecretStr(super().__getitem__(key))

    def __repr__(self) -> str:
        """Hide the value."""
        return _MASK


class SecretBytes(bytes):
    """Be bytes whose printed form tells their number only, and a slice's likewise."""

    __slots__ = ()

    def __getitem__(self, key: SupportsIndex | slice, /) -> Any:
        """Return a byte as an int, or a part, which is as secret."""
        part = super().__getitem__(key)
        return part if isinstance(part, int) else SecretBytes(part)

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

    def __rich_repr__(self) -> Iterator[str]:
        """Tell the names to rich, which goes into every dict by itself."""
        yield from self

    def copy(self) -> "Unprintable":
        """Return one that is as silent: what prints a mapping at length prints a copy of it."""
        return Unprintable(self)


class NoPickle(Checked):
    """Refuse to be pickled, so that no secret leaves by accident."""

    __slots__ = ()

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Do this for every class that is made of it."""
        guarded_secrets(cls)

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


def guarded_secrets(made: C) -> C:
    """Have an attrs class check what it is given, and not tell in what two of its values differ."""
    open_class: Any = made
    if "__eq__" in vars(made):
        open_class.__eq__ = _silent(open_class.__eq__)
    return guarded(made)


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
            metadata={SECRET: True},
        ),
    )


def secrets_of(value: object) -> frozenset[str]:
    """Return the secrets in the fields of an attrs value, so that echoes of them can be masked."""
    kind = type(value)
    if not attrs.has(kind):
        return frozenset()
    found = (getattr(value, f.name) for f in attrs.fields(kind) if f.metadata.get(SECRET))
    return frozenset(text for text in found if isinstance(text, str) and text)


def check_given(**texts: object) -> None:
    """Refuse what is missing where a request needs it: it would leave the request in silence.

    Args:
        texts: What was given, by name.

    Raises:
        ConfigurationError: One is empty, or no text.
    """
    for name, text in Unprintable(texts).items():
        if not isinstance(text, str) or not text:
            given = "empty" if isinstance(text, str) else f"of the type {type(text).__name__}"
            hint = "; a client without one is a PublicClient" if name == "client_secret" else ""
            message = (
                f"{name} must be a text that is not empty, and it is {given}; look at the setting "
                f"or the answer that it comes from{hint}"
            )
            raise ConfigurationError(message)


def _silent(equal: Callable[[Any, object], bool]) -> Callable[[Any, object], bool]:
    """Return the same comparison, not known as one of attrs.

    Of values that attrs compares, pytest shows how each field differs: the text of both secrets.
    """

    @wraps(equal)
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807 - it becomes the method
        return equal(self, other)

    return __eq__


def check_secrets(value: object) -> None:
    """Refuse an attrs value one of whose secrets is empty, or missing although it is required.

    Raises:
        ConfigurationError: There is such a field.
    """
    kind = type(value)
    for field in attrs.fields(kind) if attrs.has(kind) else ():
        if field.metadata.get(SECRET):
            found = getattr(value, field.name)
            if found == "" or (found is None and field.default is attrs.NOTHING):
                check_given(**{field.name: found})


def _hidden(value: object) -> SecretStr | None:
    if value is None or isinstance(value, str):
        return None if value is None else SecretStr(value)
    message = f"a secret is a text, not {given(value)}"
    raise ConfigurationError(message)


def _masked(value: object) -> str:
    return "None" if value is None else _MASK
