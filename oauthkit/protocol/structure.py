"""Typed values from decoded answers, strictly: nothing is made a text or a number by force."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast

import attrs
import cattrs
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.gen import make_dict_structure_fn

Hook = Callable[[object, Any], Any]

_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,19}(\.\d{1,19})?", re.ASCII)
_LARGEST: Final = 1.7e308  # beyond it, an integer is no float
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def structured(value: object, kind: Any, *, name: str) -> Any:
    """Return a decoded value as the wanted type.

    Numbers and booleans may come as text, as they do in XML and in the answers of some servers.

    Args:
        value: What was decoded.
        kind: The type, an attrs class or one that cattrs knows.
        name: What the error message calls it.

    Raises:
        ValueError: It is not one; the message shows nothing of the value.
    """
    try:
        return _CONVERTER.structure(value, kind)
    except cattrs.BaseValidationError as error:
        reason = "; ".join(cattrs.transform_error(error, path=name, format_exception=_told))
    except Exception as error:  # noqa: BLE001 - a type's own constructor may raise anything
        reason = f"{_told(error, kind)} @ {name}"
    del value  # a traceback that shows local values would show it
    # Raised out here, so that the error does not carry cattrs' own, which may quote the value.
    raise ValueError(reason)


def unstructured(value: object) -> Any:
    """Return a typed value as JSON values, as `structured` takes them."""
    return _CONVERTER.unstructure(value)


class _MismatchError(ValueError):
    """Say in one's own words what was expected and what came."""


def _told(error: BaseException, kind: Any) -> str:
    if isinstance(error, _MismatchError):
        return str(error)
    if isinstance(error, KeyError):
        return "required field missing"
    return f"expected {getattr(kind, '__name__', kind)}"


def _refuse(value: object, expected: str) -> NoReturn:
    message = f"expected {expected}, got {type(value).__name__}"
    raise _MismatchError(message)


def _text(value: object, _: object) -> str:
    return value if isinstance(value, str) else _refuse(value, "a text")


def _integer(value: object, _: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        _refuse(value, "a whole number")
    return int(value)


def _number(value: object, _: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
        _refuse(value, "a number")
    return float(value)


def _boolean(value: object, _: object) -> bool:
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    return value if isinstance(value, bool) else _refuse(value, "true or false")


def _object_hook(kind: Any, converter: cattrs.Converter) -> Hook:
    structure = make_dict_structure_fn(kind, converter)

    def from_object(value: object, to: Any) -> Any:
        if not isinstance(value, Mapping):
            _refuse(value, "an object")
        return structure(cast("Mapping[str, Any]", value), to)

    return from_object


def _list_hook(kind: Any, converter: cattrs.Converter) -> Hook:
    structure = list_structure_factory(kind, converter)

    def from_list(value: object, to: Any) -> Any:
        return structure(value, to) if isinstance(value, list) else _refuse(value, "a list")

    return from_list


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook_factory(attrs.has, _object_hook)
    converter.register_structure_hook_factory(is_sequence, _list_hook)
    return converter


_CONVERTER: Final = _converter()
