"""Every block of the README and the docs works as it stands there.

Each is put into a file and run, as somebody does who pastes it: it imports what it uses, and finds
a network with the hosts that it names, the files and environment variables that it reads, a person
who answers its questions, and nothing else.
"""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin import install_plugin

from .pages import ROOT, Block, blocks
from .world import World

SCRIPTS = [block for block in blocks() if not block.is_test and not block.is_app]
TESTS = [block for block in blocks() if block.is_test]
ON_ASYNCIO = ("asyncio.", "redis.asyncio", "aiohttp")
"""What keeps a block from running on trio, beside the line that starts it."""

Prepare = Callable[[Block], None]


@pytest.fixture
def prepare(world: World, request: pytest.FixtureRequest) -> Prepare:
    """Have what some blocks need beyond the names that all of them use."""

    def prepared(block: Block) -> None:
        if "cache.example" in block.text:
            request.getfixturevalue("cached_login")
        if block.page.name == "providers.md":
            world.provide(block.text)

    return prepared


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_a_block_runs_as_it_stands(
    block: Block, prepare: Prepare, world: World, tmp_path: Path
) -> None:
    """What it names as a server, it has talked to."""
    prepare(block)

    block.run(tmp_path)

    assert block.servers <= world.internet.visited


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_a_block_with_a_session_names_a_server(block: Block) -> None:
    """So that the test above has something to compare."""
    asks = "AsyncTokenSession(" in block.text or "fetch_token(" in block.text
    starts = "asyncio.run(" in block.text or "portal" in block.text

    assert bool(block.servers) is (asks and starts)


def on_trio(block: Block) -> str:
    """Return the text of a block, started by trio."""
    started = block.text.replace("asyncio.run(main())", "trio.run(main)")
    return started.replace("import asyncio\n", "import trio\n")


def runs_on_trio(block: Block) -> bool:
    text = on_trio(block)
    return "trio.run(" in text and not any(word in text for word in ON_ASYNCIO)


@pytest.mark.parametrize("block", [b for b in SCRIPTS if runs_on_trio(b)], ids=str)
def test_a_block_runs_on_trio_with_one_other_word(
    block: Block, prepare: Prepare, world: World, tmp_path: Path
) -> None:
    prepare(block)
    path = tmp_path / "pasted.py"
    path.write_text("\n" * block.line + on_trio(block), encoding="utf-8")

    runpy.run_path(str(path), run_name="__main__")

    assert block.servers <= world.internet.visited


def test_the_blocks_that_are_tests_pass(tmp_path: Path) -> None:
    """Under a pytest with the one setting that the page asks for, and none of this repository's."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n", encoding="utf-8")
    install_plugin(tmp_path)
    for example in (ROOT / "docs" / "examples").glob("*.py"):
        (tmp_path / example.name).write_bytes(example.read_bytes())
    expected = 0
    for number, block in enumerate(TESTS):
        block.paste(tmp_path, f"test_pasted_{number}.py")
        # those that are asynchronous run on asyncio and on trio
        expected += block.text.count("def test_") + block.text.count("async def test_")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    ran = subprocess.run(  # noqa: S603 - the interpreter that runs this
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout
    assert f"{expected} passed" in ran.stdout
