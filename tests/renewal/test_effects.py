"""What is wanted and what came of it, as values."""

from typing import Any

import pytest

from oauthkit import StoreError, Token
from oauthkit.renewal.effects import Delete, Done, Failed, GiveBack, Leased, Revoke, Save

AWAY = StoreError("away")


def test_values_are_what_their_members_are() -> None:
    assert Failed(AWAY) == Failed(error=AWAY, held=False)
    assert Failed(AWAY) != Failed(AWAY, held=True)
    assert Delete(leased=True) != Leased(held=True)
    assert len({Done(), Done(), GiveBack(), Save(Token("a")), Save(Token("a"))}) == 3
    assert repr(Failed(AWAY, held=True)) == f"Failed(error={AWAY!r}, held=True)"


def test_a_value_is_taken_apart_by_its_members() -> None:
    match Revoke("text", "hint"):
        case Revoke(text, hint):
            assert (text, hint) == ("text", "hint")


@pytest.mark.parametrize(
    "kind, values, named",
    [
        (Failed, (), {}),
        (Failed, (), {"held": True}),
        (Failed, (AWAY,), {"error": AWAY}),
        (Failed, (AWAY, True, "more"), {}),
        (Delete, (), {"unknown": True}),
        (Failed, (AWAY,), {"unknown": True}),
        (Done, ("more",), {}),
    ],
)
def test_a_value_has_its_members_each_once_and_no_others(
    kind: Any, values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=kind.__name__):
        kind(*values, **named)


def test_a_value_does_not_change() -> None:
    value: Any = Leased(held=False)
    with pytest.raises(AttributeError, match=r"Leased\.held does not change"):
        value.held = True
    assert not value.held
