"""What a newcomer, a contributor and a release rely on, outside the package."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

import oauthkit

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FORGE: Final = ROOT / ".github"
WORKFLOWS: Final = sorted((FORGE / "workflows").glob("*.yml"))
CHANGELOG: Final = (ROOT / "CHANGELOG.md").read_text("utf-8")
ONE_FORM: Final = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def test_the_test_group_brings_what_the_extras_bring() -> None:
    """`pip install -e . --group test` installs no extra, and the tests need them all."""
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.findall(r"[\w-]+", everything.removeprefix("oauthkit"))

    assert set(named) == extras.keys() - {"all"}
    brought = {requirement for name in named for requirement in extras[name]}
    brought = {item for item in brought if not item.startswith("oauthkit[")}
    assert brought - set(PROJECT["dependency-groups"]["extras"]) == set()
    assert {"include-group": "extras"} in PROJECT["dependency-groups"]["test"]


def test_what_takes_minutes_or_other_servers_is_come_to_by_its_path_alone() -> None:
    apart = set(PROJECT["tool"]["pytest"]["norecursedirs"]) - {".*"}
    folders = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}

    assert apart == {"browser", "deeper", "fleet", "interop"}
    assert apart <= folders
    for path in re.findall(
        r"tests/[\w/]*(?:browser|deeper|fleet|interop)", (ROOT / "noxfile.py").read_text("utf-8")
    ):
        assert (ROOT / path).is_dir()


def test_the_ci_tests_every_python_that_the_classifiers_name() -> None:
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    supported = re.findall(r":: (3\.\d+)$", classifiers, re.MULTILINE)
    (matrix,) = re.findall(r"python: \[(.*)\]", (FORGE / "workflows" / "ci.yml").read_text("utf-8"))

    assert supported == re.findall(r"3\.\d+", matrix)
    assert PROJECT["project"]["requires-python"] == f">={supported[0]}"


@ONE_FORM
def test_a_workflow_has_the_least_permissions(workflow: Path) -> None:
    """Nothing by default, and a right to write only where a job says what for."""
    text = workflow.read_text("utf-8")
    written = re.findall(r"^ +([\w-]+): write.*$", text, re.MULTILINE)

    assert re.search(r"^permissions:(?: \{\}|\n  contents: read)$", text, re.MULTILINE)
    assert written == (["id-token"] if workflow.name == "release.yml" else [])
    assert "secrets." not in text


@ONE_FORM
def test_a_workflow_uses_actions_by_a_tag(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)", workflow.read_text("utf-8"))

    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@v\d+(\.\d+)*", action)] == []


@ONE_FORM
def test_a_workflow_runs_sessions_that_there_are(workflow: Path) -> None:
    sessions = set(
        re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE)
    )
    text = workflow.read_text("utf-8")
    named = re.findall(r"nox -s ([a-z ]+)$", text, re.MULTILINE)
    listed = re.findall(r"session: (?:\[(.*)\]|(\w+))", text)

    asked = re.findall(r"[a-z]+", " ".join([*named, *(part for pair in listed for part in pair)]))
    assert set(asked) - sessions == set()


def test_the_changelog_is_dated_and_linked() -> None:
    """As Keep a Changelog has it, the newest version first."""
    first, *released = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    versions = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", line) for line in released]
    links = dict(re.findall(r"^\[(.+)\]: (https://\S+)$", CHANGELOG, re.MULTILINE))
    sections = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))

    assert first == "[Unreleased]"
    assert all(versions)
    found = [(match[1], date.fromisoformat(match[2])) for match in versions if match]
    assert [when for _, when in found] == sorted([when for _, when in found], reverse=True)
    assert found[0][0] == oauthkit.__version__
    assert list(links) == ["Unreleased", *(version for version, _ in found)]
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_every_link_of_the_contributors_pages_leads_somewhere() -> None:
    for page in FORGE.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert link.startswith("https://") or (FORGE / link).resolve().exists(), link


def test_the_limit_for_a_test_run_is_the_one_that_contributors_are_told() -> None:
    from tests.duration import LONGEST

    assert LONGEST == 6 * 60
    assert "**six minutes**" in (FORGE / "CONTRIBUTING.md").read_text("utf-8")
