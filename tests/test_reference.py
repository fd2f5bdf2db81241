"""The site has every page, and its reference every public name, once."""

import re
from pathlib import Path
from typing import Final

import oauthkit

DOCS: Final = Path(__file__).parents[1] / "docs"
REFERENCE: Final = DOCS / "reference"
NAMED: Final = re.compile(r"^\.\. auto(?:class|data|exception|function):: (\w+)$", re.MULTILINE)


def test_the_reference_has_every_public_name_once() -> None:
    pages = sorted(REFERENCE.glob("*.rst"))
    found = [name for page in pages for name in NAMED.findall(page.read_text(encoding="utf-8"))]

    assert sorted(found) == sorted(set(oauthkit.__all__) - {"__version__"})


def test_every_page_of_the_reference_is_in_its_table() -> None:
    table = (REFERENCE / "index.rst").read_text(encoding="utf-8")

    assert {page.stem for page in REFERENCE.glob("*.rst")} - {"index"} == set(
        re.findall(r"^   (\w+)$", table, re.MULTILINE)
    )


def test_every_page_is_in_the_index_once() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z][\w/-]*)$", index, re.MULTILINE)

    assert sorted(listed) == sorted(
        ["reference/index", *(page.stem for page in DOCS.glob("*.md") if page.stem != "index")]
    )


def test_no_diagram_has_a_semicolon() -> None:
    """It would end the statement, and the diagram with it: Mermaid shows an error in its place."""
    pages = [page.read_text(encoding="utf-8") for page in DOCS.glob("*.md")]
    diagrams = [
        text for page in pages for text in re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    ]

    assert len(diagrams) >= 4
    assert [text for text in diagrams if ";" in text] == []
