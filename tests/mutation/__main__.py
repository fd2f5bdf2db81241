"""Change the rules of the renewal a little, many times, and see that some test fails each time.

`nox -s mutation` changes all modules of the renewal, `nox -s mutation -- policy` one; both begin
with the mutants of `named.toml`. In every module statements, conditions and parts of conditions are
dropped; in those with the decisions mutmut also changes operators, numbers, words, arguments and
assignments. Whatever no test notices must stand in `survivors.toml`, with the reason why nothing
could.
"""

import ast
import difflib
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import attrs
import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
RENEWAL: Final = "oauthkit/renewal"
COPIED: Final = ("oauthkit", "tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")
LONGEST: Final = 60.0
"""Seconds for the tests of one mutant; who needs more has begun to wait for ever."""
LONGEST_TEST: Final = 10.0
"""The same for one test, where it can be told: the slowest of them needs a tenth of that."""
TEXTS: Final = (r"^\s*message = ", r'^\s*f?"', r"\(message\)$")
"""Lines that are the text of an error: its words are free."""
SURVIVED: Final = 0
FOUND: Final = frozenset({1, 2, 3, -9})
"""How pytest ends: a test failed, the module cannot be imported, a test failed in a way that pytest
cannot tell (a recursion that is too deep for it), or it waited for ever."""
FORK: Final = multiprocessing.get_context("fork")
LOADED: Final = ("blockbuster", "cattrs", "httpx", "hypothesis", "respx", "starlette", "trio")
"""What the tests import, so that a test run begins with it."""

DECISIONS: Final = (
    "renewal/test_state",
    "renewal/test_script",
    "renewal/test_policy",
    "renewal/test_spent",
)
MODULES: Final[dict[str, tuple[str, ...]]] = {
    "state": DECISIONS,
    "effects": (*DECISIONS, "renewal/test_effects"),
    "script": DECISIONS,
    "policy": DECISIONS,
    "spent": DECISIONS,
    "revocation": ("renewal/test_revocation",),
    "source": (
        "renewal/test_source",
        "renewal/test_on_demand",
        "renewal/test_rejected",
        "renewal/test_status",
        "renewal/test_ahead",
        "renewal/test_server_fails",
        "renewal/test_revocation",
        "renewal/test_turns",
        "integrations/test_opentelemetry",
    ),
    "shared": (
        "renewal/test_shared",
        "renewal/test_told_and_kept",
        "renewal/test_other_servers",
        "renewal/test_revocation",
    ),
    "performer": ("renewal/test_performer", "renewal/test_revocation", "renewal/test_turns"),
    "completion": ("renewal/test_completion",),
    "turns": ("renewal/test_turns",),
    "watch": ("renewal/test_watch", "renewal/test_completion"),
    "event_loop": ("renewal/test_completion",),
    "latch": ("renewal/test_latch",),
    "status": ("renewal/test_status",),
    "keeping": ("test_keeper",),
}
"""What is changed, with tests that are quick and about it: those that notice most come first."""
BY_MUTMUT: Final = frozenset({"state", "script", "policy", "spent", "revocation"})
SLOW: Final = ("a_crowd_that_gives_up", "does_not_hold_up_the_others")
"""Parts of the names of tests that would take too long for each mutant, and are left out."""


@attrs.frozen
class Mutant:
    """One change.

    Attributes:
        place: The module and the function.
        before: The lines that are taken away.
        after: The lines that come in their place.
    """

    place: str
    before: str
    after: str

    def __str__(self) -> str:
        """Show it as it is listed in `survivors.toml`."""
        return f'place = "{self.place}"\nbefore = {self.before!r}\nafter = {self.after!r}'


def main(chosen: list[str]) -> int:
    """Run the named mutants and those of the chosen modules, and return 0 where all is well."""
    for name in LOADED:
        importlib.import_module(name)
    unlisted = {path.stem for path in (ROOT / RENEWAL).glob("[!_]*.py")} - set(MODULES)
    if unlisted:
        print(f"say which tests are about {', '.join(sorted(unlisted))}")
        return 1
    missed = list(named_that_survive())
    modules = {module: MODULES[module] for module in chosen}
    decisions = {module: tests for module, tests in modules.items() if module in BY_MUTMUT}
    survived = {*(of_mutmut(decisions) if decisions else ()), *of_drops(modules)}
    listed = {
        Mutant(entry["place"], entry["before"], entry["after"])
        for entry in tomllib.loads((HERE / "survivors.toml").read_text("utf-8"))["survivor"]
        if entry["place"].partition(".")[0] in modules
    }
    for mutant in sorted(survived - listed, key=str):
        print(f"\nnot noticed by any test:\n{mutant}")
    for mutant in sorted(listed - survived, key=str):
        print(f"\nlisted, and it does not survive:\n{mutant}")
    return int(bool(missed) or survived != listed)


# What mutmut changes


def of_mutmut(modules: dict[str, tuple[str, ...]]) -> Iterator[Mutant]:
    """Yield the mutants of mutmut that survive."""
    with tempfile.TemporaryDirectory() as place:
        root = checkout(Path(place))
        settings = {
            "source_paths": ["oauthkit"],
            "only_mutate": [f"{RENEWAL}/{module}.py" for module in modules],
            "also_copy": COPIED,
            "pytest_add_cli_args_test_selection": paths(modules),
            "pytest_add_cli_args": ["-p", "no:cacheprovider"],
            "do_not_mutate_patterns": TEXTS,
        }
        lines = ("\n    ".join((f"{name} =", *values)) for name, values in settings.items())
        (root / "setup.cfg").write_text("\n".join(("[mutmut]", *lines)), "utf-8")
        subprocess.run([*MUTMUT, "run"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        results = dict(
            line.strip().rsplit(": ", 1)
            for line in output(root, "results", "--all", "true").splitlines()
            if ": " in line
        )
        print(f"mutmut: {len(results)} mutants of {', '.join(modules)}")
        if "not checked" in results.values():
            message = "mutmut did not come to its end"
            raise SystemExit(message)
        for name, result in results.items():
            if result in {"survived", "no tests"}:
                yield mutant_of(name, output(root, "show", name))


MUTMUT: Final = (sys.executable, "-m", "mutmut")


def output(root: Path, *arguments: str) -> str:
    """Return what mutmut prints."""
    run = subprocess.run(
        [*MUTMUT, *arguments], cwd=root, check=True, capture_output=True, encoding="utf-8"
    )
    return run.stdout


def mutant_of(name: str, shown: str) -> Mutant:
    """Return a mutant from mutmut's name for it, and the difference that mutmut shows."""
    plain = name.removeprefix("oauthkit.renewal.").rpartition("__mutmut_")[0]
    module, _, mangled = plain.partition(".")
    words = mangled.removeprefix("x").removeprefix("_" if "ǁ" not in mangled else "ǁ")
    lines = [line for line in shown.splitlines() if not line.startswith(("---", "+++"))]
    taken = [line[1:].strip() for line in lines if line.startswith("-")]
    given = [line[1:].strip() for line in lines if line.startswith("+")]
    return Mutant(f"{module}.{words.replace('ǁ', '.')}", "\n".join(taken), "\n".join(given))


# What mutmut leaves as it is


def of_drops(modules: dict[str, tuple[str, ...]]) -> Iterator[Mutant]:
    """Yield the mutants that survive of those in which something is dropped."""
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, FORK) as pool:
        for module, tests in modules.items():
            file, source = f"{RENEWAL}/{module}.py", (ROOT / RENEWAL / f"{module}.py").read_bytes()
            mutants = list(drops(module, source))
            print(f"dropped: {len(mutants)} mutants of {module}", flush=True)
            shares = [mutants[worker::workers] for worker in range(workers)]
            jobs = [
                pool.submit(unnoticed, file, [text for _, text in share], paths({module: tests}))
                for share in shares
            ]
            for share, job in zip(shares, jobs, strict=True):
                yield from (share[number][0] for number in job.result())


def drops(module: str, source: bytes) -> Iterator[tuple[Mutant, bytes]]:
    """Yield each mutant in which something is dropped, with the whole text of its module."""
    before = source.decode().splitlines()
    for function, node in inside(ast.parse(source)):
        for target, text in replacements(node, source.decode()):
            after = replaced(source, target, text)
            changes = list(difflib.ndiff(before, after.decode().splitlines()))
            taken = "\n".join(line[2:].strip() for line in changes if line.startswith("- "))
            given = "\n".join(line[2:].strip() for line in changes if line.startswith("+ "))
            yield Mutant(f"{module}.{function}", taken, given), after


def inside(node: ast.AST, name: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield all that stands in functions, with the function's name and its class's."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from inside(child, f"{name}.{child.name}".lstrip("."))
        else:
            yield from ((name, part) for part in ([child] if name else []))
            yield from inside(child, name)


def replacements(node: ast.AST, source: str) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield what may stand in the place of what."""
    match node:
        case ast.Expr(ast.Constant()):
            return  # a docstring
        case ast.Expr():
            yield node, "pass"
        case ast.If():
            yield node.test, "True"
            yield node.test, "False"
        case ast.BoolOp():
            word = " and " if isinstance(node.op, ast.And) else " or "
            for dropped in node.values:
                kept = [value for value in node.values if value is not dropped]
                texts = [f"({ast.get_source_segment(source, value)})" for value in kept]
                yield node, f"({word.join(texts)})"
        case _:
            return


def replaced(source: bytes, node: ast.expr | ast.stmt, text: str) -> bytes:
    """Return the source with another text in the place of a node."""
    lines = source.splitlines(keepends=True)
    begin = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: (node.end_lineno or 0) - 1])) + (node.end_col_offset or 0)
    return source[:begin] + text.encode() + source[end:]


# Mutants with a name


def named_that_survive() -> Iterator[str]:
    """Yield the mutants of `named.toml` that no test notices.

    Raises:
        SystemExit: One of them does not fit the source.
    """
    for entry in tomllib.loads((HERE / "named.toml").read_text("utf-8"))["mutant"]:
        source = (ROOT / entry["file"]).read_text("utf-8")
        if source.count(entry["before"]) != 1:
            message = f"{entry['file']} does not have this once:\n{entry['before']}"
            raise SystemExit(message)
        text = source.replace(entry["before"], entry["after"]).encode()
        missed = unnoticed(entry["file"], [text], entry["tests"])
        print(f"{'not noticed by any test' if missed else 'noticed'}: {entry['name']}", flush=True)
        yield from (entry["name"] for _ in missed)


# Run the tests


def unnoticed(file: str, texts: Sequence[bytes], tests: list[str]) -> list[int]:
    """Return which texts can stand in a file without a failing test.

    Raises:
        SystemExit: A test fails with the file as it is, or the tests could not be run.
    """
    missed: list[int] = []
    with tempfile.TemporaryDirectory() as place:
        root = checkout(Path(place))
        for number, text in enumerate([(root / file).read_bytes(), *texts], -1):
            (root / file).write_bytes(text)
            # A compiled module is told from its successor by its size and the second.
            shutil.rmtree((root / file).parent / "__pycache__", ignore_errors=True)
            end = tested(root, tests)
            if end not in ({SURVIVED} if number < 0 else {SURVIVED, *FOUND}):
                message = f"pytest ended with {end} on {file}, number {number}"
                raise SystemExit(message)
            if number >= 0 and end == SURVIVED:
                missed.append(number)
    return missed


def tested(root: Path, tests: list[str]) -> int | None:
    """Return what pytest exits with; a negative number where it had to be killed."""
    child = FORK.Process(target=run_tests, args=(root, tests))
    child.start()
    child.join(LONGEST)
    child.kill()
    child.join()
    return child.exitcode


def run_tests(root: Path, tests: list[str]) -> None:
    """Run tests on a checkout, in a process that has loaded all but oauthkit itself."""
    os.chdir(root)
    sys.path.insert(0, str(root))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.dup2(silence, sys.stderr.fileno())
    loaded = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    quick = f"not ({' or '.join(SLOW)})"
    plain = ("-x", "-q", "-p", "no:cacheprovider", f"--timeout={LONGEST_TEST}")
    os._exit(pytest.main([*plain, "-W", loaded, "-k", quick, *tests]))


def checkout(place: Path) -> Path:
    """Return a copy of all that the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)
    return place


def paths(modules: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the files with the tests of some modules, in their order."""
    names = dict.fromkeys(name for tests in modules.values() for name in tests)
    return [f"tests/{name}.py" for name in names]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(MODULES)))
