"""What is run before a hand-in, and beside it: `nox`, `nox --list`, `nox -s tests-3.12`."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Final

import nox

nox.needs_version = ">=2025.11.12"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "lowest", "snippets", "coverage", "package"]

ROOT: Final = Path(__file__).parent
PROJECT: Final[dict[str, Any]] = nox.project.load_toml(ROOT / "pyproject.toml")
SAFE_PATH: Final = {"PYTHONSAFEPATH": "1"}
"""Keeps the checkout off `sys.path`, in child processes too: what is tested is the wheel."""


def interpreters() -> list[str]:
    """Return the supported versions of Python that start on this machine, or the running one."""
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    supported = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", classifiers, re.MULTILINE
    )
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [version for version in supported if starts(f"python{version}")] or [running]


def starts(name: str) -> bool:
    """Tell whether an interpreter of this name is on the search path and starts."""
    path = shutil.which(name)
    return path is not None and subprocess.run([path, "-c", ""], check=False).returncode == 0


def with_pyenv(search_path: str) -> str:
    """Return the search path with every pyenv interpreter: shims start only activated ones."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(str(path) for path in root.glob("versions/3.*/bin"))
    return os.pathsep.join([*found, search_path])


os.environ["PATH"] = with_pyenv(os.environ.get("PATH", os.defpath))
PYTHONS: Final = interpreters()
LOWEST, MEASURED = PYTHONS[0], PYTHONS[-1]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the arrows between the layers."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, as strictly as they can."""
    session.install("--editable", ".[all]", *group("typing"))
    session.run("mypy")
    session.run("pyright")


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the sdist, and from it the wheel that the other sessions test."""
    shutil.rmtree(distributions(session), ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(distributions(session)), silent=True)


@nox.session(python=PYTHONS, requires=["build"])
def tests(session: nox.Session) -> None:
    """Run the tests on the built wheel; the newest interpreter measures coverage."""
    install_wheel(session, "all", *group("test"))
    measured = session.python == MEASURED
    if measured:
        session.run("coverage", "erase")
    run_pytest(
        session,
        *(session.posargs or ["tests"]),
        *("--ignore=tests/fleet", "--ignore=tests/snippets"),
        runner=("coverage", "run", "-m") if measured else ("python", "-m"),
    )


@nox.session(python=LOWEST, requires=["build"])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that the package says it works with."""
    floors = Path(session.create_tmp()) / "floors.txt"
    floors.write_text("\n".join(lowest_versions()), encoding="utf-8")
    install_wheel(session, "all", *group("test"), "--constraint", str(floors))
    run_pytest(session, "tests", "--ignore=tests/fleet", "--ignore=tests/snippets")


@nox.session(requires=["build"])
def snippets(session: nox.Session) -> None:
    """Run every code block of the README and the docs."""
    install_wheel(session, "all", *group("test"))
    run_pytest(session, "tests/snippets", *session.posargs)


@nox.session(requires=[f"tests-{MEASURED}"])
def coverage(session: nox.Session) -> None:
    """Require that the tests run through every branch of the package."""
    session.install("coverage")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(requires=["build"])
def package(session: nox.Session) -> None:
    """Check what the wheel and the sdist hold, and that the wheel works with nothing else."""
    wheel, sdist = distribution(session, "*.whl"), distribution(session, "*.tar.gz")
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("oauthkit/**/*.py")}
    modules.add("oauthkit/py.typed")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    if held != modules:
        session.error(f"the wheel and oauthkit/ differ in {sorted(held ^ modules)}")
    with tarfile.open(sdist) as archive:
        top = {name.split("/")[1] for name in archive.getnames()}
    expected = {"oauthkit", "tests", "docs", "noxfile.py", "pyproject.toml", "PKG-INFO"}
    expected |= {"README.md", "CHANGELOG.md", "LICENSE", ".gitignore"}
    if top - {"docs"} != expected - {"docs"}:
        session.error(f"the sdist and what it should hold differ in {sorted(top ^ expected)}")
    install_wheel(session)
    session.run("python", "-W", "error", "-c", "import oauthkit", env=SAFE_PATH)


@nox.session(default=False, requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure what the session costs, and fail beyond the limits: `nox -s bench -- --json`."""
    install_wheel(session, "all", *group("bench"))
    environment = SAFE_PATH | {"PYTHONPATH": str(ROOT / "tests")}
    session.run("python", "-m", "benchmarks", *session.posargs, env=environment)


@nox.session(default=False, requires=["build"])
def fleet(session: nox.Session) -> None:
    """Run the tests of many processes, some of them around a real Redis server."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            session.error("redis-server is not installed, and a CI run may not go without")
        session.warn("redis-server is not installed: the tests that need it are skipped")
    install_wheel(session, "all", *group("test"))
    run_pytest(session, "tests/fleet", "--timeout=300", *session.posargs)


@nox.session(default=False, requires=["build"])
def demo(session: nox.Session) -> None:
    """Run `oauthkit demo`, as a user has it: from the wheel, outside the checkout."""
    install_wheel(session, "cli")
    session.chdir(session.create_tmp())
    session.run("oauthkit", "demo", *session.posargs)


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def distributions(session: nox.Session) -> Path:
    """Return the directory that `build` writes to."""
    return session.cache_dir / "distributions"


def distribution(session: nox.Session, pattern: str) -> Path:
    """Return the one built file of this kind."""
    (path,) = distributions(session).glob(pattern)
    return path


def install_wheel(session: nox.Session, extra: str = "", *further: str) -> None:
    """Install the built wheel, and make sure that it is what will be imported."""
    wheel = str(distribution(session, "*.whl"))
    session.install(f"{wheel}[{extra}]" if extra else wheel, *further)
    session.install("--force-reinstall", "--no-deps", wheel)
    session.run(
        *("python", "-c"),
        "import oauthkit, sysconfig; "
        "assert oauthkit.__file__.startswith(sysconfig.get_path('purelib')), oauthkit.__file__",
        env=SAFE_PATH,
        silent=True,
    )


def run_pytest(
    session: nox.Session, *arguments: str, runner: tuple[str, ...] = ("python", "-m")
) -> None:
    """Run pytest on what is installed, not on the checkout."""
    session.run(*runner, "pytest", *arguments, env=SAFE_PATH)


def lowest_versions() -> list[str]:
    """Return a pin on the lower bound of every requirement of the package and its extras."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    requirements = [
        *PROJECT["project"]["dependencies"],
        *(item for extra in extras for item in extra),
    ]
    return [
        f"{name}=={version}"
        for name, version in re.findall(
            r"^([\w-]+)>=([\d.]+)", "\n".join(requirements), re.MULTILINE
        )
    ]
