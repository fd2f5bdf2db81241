"""The code blocks of the README and the docs."""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STARTERS: Final = ("asyncio.run", "trio.run", "start_blocking_portal")
_TAKE_A_URL: Final = frozenset(
    {
        "AuthorizationServer",
        "Discovered",
        "authorization_server",
        "discover",
        "get",
        "post",
        "put",
        "patch",
        "delete",
    }
)


@attrs.frozen
class Block:
    """One code block of a page.

    Attributes:
        page: Its file.
        text: What is pasted.
        line: The line of the page before it.
    """

    page: Path
    text: str = attrs.field(repr=False)
    line: int

    def __str__(self) -> str:
        """Name the page and the line."""
        return f"{self.page.name}:{self.line}"

    @property
    def is_test(self) -> bool:
        """Whether pytest runs it."""
        return "def test_" in self.text

    @property
    def is_app(self) -> bool:
        """Whether a server runs it."""
        return bool(re.search("^app = ", self.text, re.MULTILINE))

    def paste(self, directory: Path, name: str = "pasted.py") -> Path:
        """Put it into a file, and nothing else but empty lines: a traceback then shows the page's.

        Args:
            directory: Where.
            name: The name of the file.
        """
        path = directory / name
        path.write_text("\n" * self.line + self.text, encoding="utf-8")
        return path

    def run(self, directory: Path) -> dict[str, Any]:
        """Run it as `python pasted.py` does, in a namespace of its own, and return that."""
        return runpy.run_path(str(self.paste(directory)), run_name="__main__")

    @property
    def servers(self) -> set[str]:
        """The hosts that it means to talk to: of token endpoints, base URLs, and what it gets.

        They are none where it starts nothing, and merely shows how something is made.
        """
        if not any(word in self.text for word in _STARTERS):
            return set()
        calls = [node for node in ast.walk(ast.parse(self.text)) if isinstance(node, ast.Call)]
        urls = [url for call in calls for url in _urls(call)]
        return {host for url in urls if (host := urlsplit(url).hostname)}


def blocks() -> list[Block]:
    """Return every Python block of the README and the docs."""
    return [
        Block(page, found[1], text.count("\n", 0, found.start(1)))
        for page in pages()
        for text in [page.read_text(encoding="utf-8")]
        for found in _BLOCK.finditer(text)
    ]


def pages() -> list[Path]:
    """Return the README and the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def block(page: str, text: str) -> Block:
    """Return the one block of a page that has a text in it."""
    (found,) = [one for one in blocks() if one.page.name == page and text in one.text]
    return found


def _urls(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[:1] if name in _TAKE_A_URL else []
    named = [keyword.value for keyword in call.keywords if keyword.arg == "base_url"]
    for value in [*first, *named]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value
        elif isinstance(value, ast.JoinedStr) and isinstance(value.values[0], ast.Constant):
            yield str(value.values[0].value)
