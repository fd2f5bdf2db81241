"""What kind of thing an argument is: as its annotation says, for who uses no type checker.

Whoever gives a wrong kind is told at once and by name, not by an `AttributeError` in the middle of
a login. What was given is never shown, only its kind: it may be a secret in the wrong place.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from types import NoneType, TracebackType, UnionType
from typing import Annotated, Any, Final, ParamSpec, TypeVar, Union, get_args, get_origin

import attrs

from oauthkit.errors import ConfigurationError, OAuthKitError

SECRET: Final = "oauthkit.secret"
"""By which a field that holds a secret is known; what it takes is what the field says."""

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type[Any])

_WORDS: Final[Mapping[str, str]] = {
    "AsyncHTTPClient": "an httpx.AsyncClient or an httpx2.AsyncClient",
    "Callable": "something that can be called",
    "Iterable": "several, such as a list",
    "Mapping": "a mapping, such as a dict",
    "NoneType": "None",
    "bool": "True or False",
    "bytes": "bytes",
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
}
_HINTS: Final[Mapping[str, str]] = {
    "AuthorizationServer": 'such as AuthorizationServer("https://…")',
    "ClientAuth": 'such as ClientSecretBasic("id", "secret")',
    "Environment": "such as oauthkit.services.ads.NEW",
    "GrantStrategy": "such as ClientCredentials()",
    "RenewalPolicy": "such as RenewalPolicy(leeway=60)",
    "RequestFormat": "such as FORM, JSON, MULTIPART or XML of oauthkit",
    "Token": "a dict that Token.to_dict() gave becomes one by Token.from_dict(…)",
    "TokenStore": 'such as MemoryStore() or SQLiteStore("tokens.db")',
}


_PLAIN: Final = (type, str, bytes, int, float, dict, list, tuple)
"""Kinds that happen to have a method of the name that one of our protocols wants."""


class Checked:
    """Be the base of values whose arguments are checked: attrs classes, each with its own."""

    __slots__ = ()

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Check what is given to the class; attrs calls this for each one that is made."""
        guarded(cls)


def check_kind(name: str, value: object, kind: Any) -> None:
    """Refuse an argument of another kind than is taken.

    Args:
        name: What the error message calls it.
        value: What was given.
        kind: A class, or several as an annotation has them.

    Raises:
        ConfigurationError: It is of another kind; the message says what came and what is taken.
    """
    if not _fits(value, kind):
        raise ConfigurationError(_refusal(name, value, kind))


def check_seconds(**given: float) -> None:
    """Refuse a time that nothing can be done in.

    Raises:
        ConfigurationError: One is not above 0.
    """
    for name, seconds in given.items():
        if not seconds > 0:
            message = f"{name}= must be above 0 seconds, not {seconds!r}"
            raise ConfigurationError(message)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that refuses arguments of other kinds than its annotations say.

    Of what it raises, no frame that holds an argument as it came is kept in the traceback.
    """
    return _checking(function, lambda: function.__annotations__, function.__qualname__)


def guarded(made: C) -> C:
    """Have an attrs class refuse arguments of other kinds than its annotations say."""
    init = vars(made).get("__init__")
    if init is not None and "__attrs_init__" not in vars(made):  # else it is somebody's own
        made.__init__ = _checking(init, lambda: _kinds_of(made, init), made.__name__)
    return made


def _kinds_of(made: type[Any], init: Any) -> dict[str, Any]:
    """Return what is taken: what a field's converter takes, else what the field is.

    Of what a user's own class adds, secrets alone are looked at: its own converters and types say
    what else fits, and an answer of a server must not be lost for a list in place of a tuple.
    """
    taken: dict[str, Any] = dict(init.__annotations__)
    for field in attrs.fields(made):
        if SECRET in field.metadata:
            taken[field.alias] = field.type
        elif not _is_ours(made, field.name):
            taken.pop(field.alias, None)
        elif taken.get(field.alias, Any) is Any:
            taken[field.alias] = field.type
    return taken


def _is_ours(made: type[Any], field: str) -> bool:
    """Tell whether oauthkit declares a field of a class."""
    declaring = next(
        kind
        for kind in made.__mro__
        for one in vars(kind).get("__attrs_attrs__", ())
        if one.name == field and not one.inherited
    )
    return declaring.__module__.partition(".")[0] == __name__.partition(".")[0]


def _checking(
    function: Callable[P, T], kinds: Callable[[], Mapping[str, Any]], owner: str
) -> Callable[P, T]:
    read: list[tuple[tuple[str, ...], Mapping[str, Any], dict[str, frozenset[Any]]]] = []

    def refusal(args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        if not read:  # at the first call: an import need not pay for it
            code, taken = function.__code__, kinds()
            plain = {name: frozenset(_plain_kinds(kind)) for name, kind in taken.items()}
            read.append((code.co_varnames[: code.co_argcount], taken, plain))
        names, taken, plain = read[0]
        for given in (zip(names, args, strict=False), named.items()):
            for name, value in given:
                # Nearly always it is just what is taken: a token is made in a few microseconds.
                unusual = name in taken and type(value) not in plain[name]
                if unusual and not _fits(value, taken[name]):
                    return _refusal(
                        f"{owner.removesuffix('.__init__')}: {name}=", value, taken[name]
                    )
        return None

    @wraps(function)
    def check_and_call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            refused = refusal(args, kwargs)
            if refused is None:
                return function(*args, **kwargs)
            failure: Exception = ConfigurationError(refused)
        except Exception as error:  # noqa: BLE001 - raised again, without the frames that show it
            failure = error.with_traceback(_inner(error))
        del args, kwargs
        raise failure

    return check_and_call


def _plain_kinds(kind: Any) -> Iterator[Any]:
    """Give the classes whose own instances, not those of subclasses, need no further look."""
    if kind is None:
        yield NoneType
    elif get_origin(kind) in {Union, UnionType}:
        for one in get_args(kind):
            yield from _plain_kinds(one)
    elif isinstance(kind, type):
        yield kind


@cache
def _plain(kind: Any) -> frozenset[Any]:
    return frozenset(_plain_kinds(kind))


def _inner(error: Exception) -> TracebackType | None:
    """Return the frames that hold no argument as it came; none of an error that tells enough."""
    if isinstance(error, OAuthKitError) or error.__traceback__ is None:
        return None
    called = error.__traceback__.tb_next
    return called and called.tb_next


def _fits(value: object, kind: Any) -> bool:
    """Tell whether a value is of a kind; a kind that cannot be looked at is left to others."""
    if type(value) is kind or kind is Any:
        return True
    origin = get_origin(kind)
    if isinstance(kind, TypeVar) or origin is Annotated:
        meant = get_args(kind)[0] if origin is Annotated else kind.__bound__ or object
        return _fits(value, meant)
    if origin in {Union, UnionType}:
        return type(value) in _plain(kind) or any(_fits(value, one) for one in get_args(kind))
    if origin is type:
        (wanted,) = get_args(kind)
        wanted = object if wanted is Any else get_origin(wanted) or wanted
        return isinstance(value, type) and issubclass(value, wanted)
    kind = origin or kind
    if kind is None or not isinstance(kind, type):
        return kind is not None or value is None
    return _is_one(value, kind)


def _is_one(value: object, kind: type[Any]) -> bool:
    if kind in {int, float}:
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if _is_protocol(kind):
        return not isinstance(value, _PLAIN) and not _missing(value, kind)
    if issubclass(kind, str):  # a text becomes one of its subclasses by a converter
        return isinstance(value, str)
    try:
        return isinstance(value, kind)
    except TypeError:  # a TypedDict, or anybody's metaclass
        return True


def _is_protocol(kind: Any) -> bool:
    own = getattr(kind, "__dict__", {})
    return bool(own.get("_is_protocol")) and not own.get("_is_runtime_protocol")


def _missing(value: object, kind: type[Any]) -> list[str]:
    return [name for name in _methods(kind) if not callable(getattr(value, name, None))]


def _methods(kind: type[Any]) -> list[str]:
    return [name for name, value in vars(kind).items() if name[0] != "_" and callable(value)]


def _refusal(name: str, value: object, kind: Any) -> str:
    if isinstance(kind, TypeVar):
        kind = kind.__bound__
    kinds = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    hint = next((_HINTS[n] for n in map(_name, kinds) if n in _HINTS), None)
    taken = " or ".join(map(_word, kinds))
    return f"{name} takes {taken}, not {given(value)}" + (f"; {hint}" if hint else "")


def _word(kind: Any) -> str:
    name = _name(kind)
    if name in _WORDS:
        return _WORDS[name]
    if get_origin(kind) is type:
        return f"a class such as {_name(get_args(kind)[0])}"
    methods = " and ".join(f"{method}()" for method in _methods(kind)) if _is_protocol(kind) else ""
    return f"{_article(name)} {name}" + (f" with {methods}" if methods else "")


def given(value: object) -> str:
    """Return what kind of thing came, in words that show nothing of it."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{_article(type(value).__name__)} {type(value).__name__}"


def _name(kind: Any) -> str:
    kind = NoneType if kind is None else get_origin(kind) or kind
    return str(getattr(kind, "__name__", kind))


def _article(name: str) -> str:
    return "an" if name[:1].lower() in "aeiou" else "a"
