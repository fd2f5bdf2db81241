import enum
from typing import Any, Literal

import attrs
import pytest

from oauthkit.protocol.secret import secret
from oauthkit.protocol.structure import structured, unstructured


class Color(enum.Enum):
    RED = "red"


@attrs.frozen
class User:
    name: str
    age: int = 0


@attrs.frozen
class Login:
    kind: Literal["a", "b"]
    password: str | None = secret(default=None)


@pytest.mark.parametrize(
    "value, kind, found",
    [
        ("text", str, "text"),
        ("", str, ""),
        (5, int, 5),
        (5.0, int, 5),
        ("5", int, 5),
        (" -5 ", int, -5),
        ("+5", int, 5),
        (1.5, float, 1.5),
        ("1.5", float, 1.5),
        ("2", float, 2.0),
        (2, float, 2.0),
        (True, bool, True),
        ("true", bool, True),
        ("False", bool, False),
        (" 1 ", bool, True),
        ("0", bool, False),
        (None, str | None, None),
        ("a", str | None, "a"),
        (["1", 2], list[int], [1, 2]),
        ({"name": "Ada", "age": "36", "more": 1}, User, User("Ada", 36)),
        ("red", Color, Color.RED),
    ],
    ids=repr,
)
def test_a_value_comes_as_the_type_that_is_wanted(value: object, kind: Any, found: object) -> None:
    result = structured(value, kind, name="member")

    assert result == found
    assert type(result) is type(found)


@pytest.mark.parametrize(
    "value, kind",
    [
        (None, str),
        (5, str),
        (True, str),
        (["canary"], str),
        (None, int),
        (True, int),
        (1.5, int),
        ("1.5", int),
        ("canary", int),
        ("", int),
        ("5" * 20, int),
        ("\u0665", int),
        (float("nan"), int),
        (float("inf"), int),
        ([], int),
        (None, float),
        (True, float),
        ("1e5", float),
        ("canary", float),
        ("9" * 20, float),
        (10**400, float),
        (float("inf"), float),
        ({}, float),
        (None, bool),
        (1, bool),
        (0, bool),
        ("yes", bool),
        ("canary", bool),
        (5, list[int]),
        (["canary"], list[int]),
        ("canary", list[str]),
        ({"canary": 1}, list[str]),
        ("canary", list[User]),
        ("canary", User),
        (["canary"], User),
        ({"age": 1}, User),
        ({"name": "canary", "age": "canary"}, User),
        ("canary", Color),
        ("canary", Literal["a", "b"]),
        ({"kind": "canary"}, Login),
        ("canary", ...),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_nothing_is_made_a_type_by_force_and_no_error_shows_the_value(
    value: object, kind: Any
) -> None:
    """AT-57."""
    with pytest.raises(ValueError, match="member") as caught:
        structured(value, kind, name="member")

    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_error_names_the_place() -> None:
    with pytest.raises(ValueError, match=r"expected a whole number, got str @ user\.age"):
        structured({"name": "a", "age": "x"}, User, name="user")
    with pytest.raises(ValueError, match="expected a text, got int @ scope"):
        structured(5, str, name="scope")
    with pytest.raises(ValueError, match=r"required field missing @ user\.name"):
        structured({}, User, name="user")


def test_a_typed_value_becomes_json_values_again() -> None:
    plain = unstructured([Login("a", "s3cret"), User("Ada", 36), Color.RED])

    assert plain == [{"kind": "a", "password": "s3cret"}, {"name": "Ada", "age": 36}, "red"]
