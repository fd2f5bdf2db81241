from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oauthkit.stores import boot
from oauthkit.stores.boot import boot_id

Found = Callable[[str | None, str | None], str]


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Found]:
    """Return what is made of the files that Linux has; None is one that is not there."""

    def ask(name: str | None, offsets: str | None) -> str:
        for constant, content in (("_BOOT_ID", name), ("_OFFSETS", offsets)):
            path = tmp_path / constant
            if content is not None:
                path.write_bytes(content.encode())
            monkeypatch.setattr(boot, constant, path)
        boot_id.cache_clear()
        return boot_id()

    yield ask
    boot_id.cache_clear()


NO_OFFSETS = "monotonic           0         0\nboottime            0         0\n"


@pytest.mark.parametrize("offsets", [NO_OFFSETS, None, "\xff"])
def test_a_boot_of_linux_has_a_name(found: Found, offsets: str | None) -> None:
    assert found("6cf02668-007f\n", offsets) == "6cf02668-007f"


@pytest.mark.parametrize("name", [None, "\xff", ""])
def test_other_systems_have_none(found: Found, name: str | None) -> None:
    assert not found(name, NO_OFFSETS)


@pytest.mark.parametrize(
    "offsets", [NO_OFFSETS.replace("0\n", "5\n"), "monotonic -86400 0\nboottime 0 0\n"]
)
def test_a_clock_that_is_not_the_machines_has_none(found: Found, offsets: str) -> None:
    assert not found("6cf02668-007f\n", offsets)
