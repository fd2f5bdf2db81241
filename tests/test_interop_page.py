"""What docs/servers.md says was run against real servers is what `tests/interop` runs."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
INTEROP: Final = ROOT / "tests" / "interop"
PAGE: Final = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SERVERS: Final = ["oidc_provider", "django_toolkit"]


def table() -> list[list[str]]:
    """Return the cells of the page's table, its head first."""
    section = PAGE.partition("## Run against real servers\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def shown(server: str) -> Iterator[str]:
    """Give what each test shows: the first words of its docstring, up to a colon or its end."""
    for path in sorted((INTEROP / server).glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                text = ast.get_docstring(node) or f"nothing is said by {node.name}"
                yield re.split(r"[:.](?:\s|$)", text, maxsplit=1)[0]


@pytest.mark.parametrize("server", SERVERS)
def test_the_page_says_what_the_tests_show_and_nothing_else(server: str) -> None:
    column = 1 + SERVERS.index(server)
    said = {row[0] for row in table()[1:] if row[column] == "yes"}

    assert said == set(shown(server))


def test_the_page_names_each_thing_once_and_each_was_shown_somewhere() -> None:
    names = [row[0] for row in table()[1:]]

    assert len(names) == len(set(names)) > 0
    assert {cell for row in table()[1:] for cell in row[1:]} <= {"yes", ""}
    assert [row[0] for row in table()[1:] if "yes" not in row] == []


def test_the_page_names_the_versions_that_are_run() -> None:
    package = json.loads((INTEROP / "oidc_provider" / "package.json").read_text("utf-8"))
    requirements = [item for item in PROJECT["dependency-groups"]["interop"] if "oauth" in item]
    (django,) = re.findall(r"django-oauth-toolkit>=(3\.\d+)", " ".join(requirements))

    pinned = package["dependencies"]["oidc-provider"]
    assert table()[0][1:] == [f"`oidc-provider` {pinned}", f"`django-oauth-toolkit` {django}"]
