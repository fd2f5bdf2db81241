"""The memory of rights that are used up, by itself."""

from oauthkit.renewal.spent import SpentRights


def test_a_right_is_remembered_without_being_kept() -> None:
    spent = SpentRights()
    assert "r1" not in spent
    spent.add("r1")
    spent.add("r1")
    assert "r1" in spent
    assert "r2" not in spent
    assert b"r1" not in spent.digests
    assert len(spent.digests) == 8


def test_the_newest_rights_are_remembered() -> None:
    spent = SpentRights()
    for number in range(100):
        spent.add(f"r{number}")
    assert [f"r{number}" in spent for number in (0, 35, 36, 99)] == [False, False, True, True]


def test_a_digest_is_not_found_across_two_others() -> None:
    spent = SpentRights()
    spent.add("r1")
    assert "r1" not in SpentRights(bytes(4) + spent.digests + bytes(4))


def test_a_right_of_any_letters_is_remembered() -> None:
    """JSON may bring a lone surrogate, which UTF-8 has no bytes for."""
    spent = SpentRights()
    spent.add("\ud800")
    assert "\ud800" in spent
