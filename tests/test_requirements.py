"""Every id that a test cites can be looked up, and every row that is written down has a test."""

import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ID: Final = re.compile(r"\b[A-Z][A-Z0-9]-\d{2}\b")
ROW: Final = re.compile(r"^\| ([A-Z][A-Z0-9]-\d{2}) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS: Final = ROW.findall((ROOT / "docs" / "requirements.md").read_text(encoding="utf-8"))


NO_IDS: Final = {"PG-13"}
"""A film's rating, in an example of RFC 6750."""


@cache
def cited() -> dict[str, str]:
    """Return every id that a test cites, with a file that does."""
    return {
        name: path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)
        for name in set(ID.findall(path.read_text(encoding="utf-8"))) - NO_IDS
    }


def test_every_id_that_a_test_cites_is_written_down() -> None:
    defined = {name for name, _, _ in ROWS}

    assert {name: path for name, path in cited().items() if name not in defined} == {}


def test_every_row_that_is_written_down_is_cited_by_a_test() -> None:
    assert {name for name, _, _ in ROWS} - cited().keys() == set()


def test_every_row_stands_there_once_says_where_it_is_from_and_is_a_sentence() -> None:
    names = [name for name, _, _ in ROWS]

    assert len(names) == len(set(names)) > 100
    assert [name for name, source, _ in ROWS if not re.search(r"§|RFC|App\.", source)] == []
    assert [name for name, _, text in ROWS if not text.endswith(".")] == []


def test_no_page_names_an_id_that_is_not_written_down() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").glob("*.md")]
    named = {name for page in pages for name in ID.findall(page.read_text(encoding="utf-8"))}

    assert named - {name for name, _, _ in ROWS} == set()
