"""What is imported is declared."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

import oauthkit

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads(
    (ROOT / "pyproject.toml").read_text(encoding="utf-8")
)["project"]
IMPORTED_AS: Final = {"httpx_aiohttp": "httpx-aiohttp", "opentelemetry": "opentelemetry-api"}
FOR_TYPES_ALONE: Final = {"respx", "typing_extensions"}
"""Imported where types are checked: who hands in a router has respx, a type checker the other."""
BROUGHT_BY: Final = {
    "trio": "anyio",
    "httpcore": "httpx",
    "httpcore2": "httpx2",
    "yarl": "aiohttp",
    "multidict": "aiohttp",
    "starlette": "fastapi",
}
"""What is there wherever that which brings it is in use, and is looked at then alone."""


LOADED_BY: Final = {"pytest"}
"""What loads the module that imports it, and is there so."""


def declared() -> set[str]:
    """Return the names of all requirements, those of the extras too."""
    requirements = [
        *PROJECT["dependencies"],
        *(item for extra in PROJECT["optional-dependencies"].values() for item in extra),
    ]
    return {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}


def imported() -> set[str]:
    """Return the names of all packages that some module imports, wherever it does."""
    names = set[str]()
    for path in Path(oauthkit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"oauthkit"}


def test_what_is_imported_is_declared() -> None:
    needed = {BROUGHT_BY.get(name, IMPORTED_AS.get(name, name)) for name in imported()}
    assert needed - declared() == FOR_TYPES_ALONE | LOADED_BY


def test_an_extra_is_named_for_what_it_brings() -> None:
    extras = PROJECT["optional-dependencies"]

    assert [item.partition(">")[0] for item in extras["sealed"]] == ["cryptography"]
    assert [item.partition(">")[0] for item in extras["testing"]] == ["h11"]
    (everything,) = extras["all"]
    assert set(re.findall(r"[\w-]+", everything)) - {"oauthkit"} == set(extras) - {"all"}


@pytest.mark.parametrize("page", ["README.md", "docs/stores.md"])
def test_pages_name_extras_that_there_are(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    extras = PROJECT["optional-dependencies"].keys()

    named = {
        name for group in re.findall(r"oauthkit\[([\w,-]+)\]", text) for name in group.split(",")
    }
    assert named <= extras
    (listed,) = re.findall(r"Extras: (.*?)\.\n", text, re.DOTALL) or [""]
    assert not listed or set(re.findall(r"`([\w-]+)`", listed)) == extras
