"""What docs/rfc-map.md says is done somewhere is there, and its tests are about it."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

import oauthkit

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs" / "rfc-map.md").read_text(encoding="utf-8")
REQUIREMENTS: Final = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
CELLS: Final = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
RULE: Final = re.compile(r"^\| ([A-Z][A-Z0-9]-\d{2}) \| ([^|]+) \|", re.MULTILINE)
CODE: Final = re.compile(r"`([^`]+)`")
SECTION: Final = re.compile(r"(RFC \d+ ?)?((?:§[\d.]+|App\. [A-Z])(?:, (?=§))?)*")
WITHOUT_A_DOCUMENT: Final = {"keeper", "rename_fields", "secret"}
"""Functions that no document asks for."""


@attrs.frozen
class Row:
    """One line of the page, under the heading of its document."""

    document: str
    section: str
    what: str
    names: tuple[str, ...]
    files: tuple[str, ...]

    def __str__(self) -> str:
        """Name the line."""
        return f"{self.document.partition(':')[0]} {self.section} {self.what}"

    @property
    def source(self) -> set[str]:
        """The documents that it is about."""
        return documents(self.section) or documents(self.document)


def documents(text: str) -> set[str]:
    """Return the documents that a text names: RFCs by their number, others by their last words."""
    several = re.sub(r"RFC (\d+) to (\d+)", _each, text)
    names = re.findall(r"Core|Discovery|Registration|Form Post|(?:RP-Init|Back-Ch)\S+ Logout", text)
    numbers = re.findall(r"(?<!\d)\d{4,5}(?!\d)", several) if "RFC" in text else []
    return {*names, *numbers}


def _each(found: re.Match[str]) -> str:
    return "RFC " + ", ".join(str(number) for number in range(int(found[1]), int(found[2]) + 1))


def parts(page: str) -> Iterator[tuple[str, str]]:
    """Give each heading of the second level with what stands below it."""
    _, *found = HEADING.split(page)
    yield from zip(found[::2], found[1::2], strict=True)


def rows() -> list[Row]:
    return [
        Row(document, section, what, tuple(CODE.findall(by)), tuple(CODE.findall(shown)))
        for document, text in parts(PAGE)
        for section, what, by, shown in CELLS.findall(text)
        if section not in {"Section", "---"}
    ]


def rules() -> dict[str, set[str]]:
    """Return the documents that each row of docs/requirements.md is from."""
    return {
        name: documents(source) or documents(heading)
        for heading, text in parts(REQUIREMENTS)
        for name, source in RULE.findall(text)
    }


def found(name: str) -> Any:
    """Return what has a name: a public one, or a module and what is in it."""
    if not name.startswith("oauthkit."):
        first, *more = name.split(".")
        assert first in oauthkit.__all__, f"{first} is not public"
        value = getattr(oauthkit, first)
    else:
        module = name
        while not (ROOT / Path(*module.split("."))).with_suffix(".py").is_file():
            module = module.rpartition(".")[0]
        value, more = import_module(module), name[len(module) :].split(".")[1:]
    for part in more:
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("row", rows(), ids=str)
def test_what_a_row_names_is_there_and_each_of_its_tests_is_about_it(row: Row) -> None:
    """A test cites a row of docs/requirements.md of that document, or uses what is named."""
    assert SECTION.fullmatch(row.section), row.section
    assert row.names
    assert row.files
    assert all(found(name) is not None for name in row.names)
    about = {name for name, source in rules().items() if source & row.source}
    used = {name.rpartition(".")[2] for name in row.names}
    for file in row.files:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"\b({'|'.join(sorted(about | used))})\b", text), file


def test_every_document_has_rows_and_says_what_is_left_out() -> None:
    with_rows = {row.document for row in rows()}

    for document, text in parts(PAGE):
        assert document in with_rows
        assert text.count("\nLeft out: ") == 1, document


def test_the_page_can_be_read_in_one_go() -> None:
    assert 80 <= len(rows()) <= 120


def test_no_two_rows_are_the_same() -> None:
    lines = [(row.document, row.section, row.what) for row in rows()]

    assert len(lines) == len(set(lines))


def test_every_public_function_that_a_document_asks_for_is_on_the_page() -> None:
    functions = {name for name in oauthkit.__all__ if name.islower() and name.isidentifier()}
    named = {name for row in rows() for name in row.names}

    assert functions - named - WITHOUT_A_DOCUMENT - {"__version__"} == set()
