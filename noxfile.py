"""What is run before a hand-in: `nox` for the tests, `nox -s all` for everything, `nox --list`."""

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
from nox.command import CommandFailed

nox.needs_version = ">=2025.11.12"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_existing_virtualenvs = True

# As pip does by itself. Where Python writes no bytecode, each of the many processes of the tests
# would else compile everything anew, as it would the tests themselves.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT: Final = Path(__file__).parent
PROJECT: Final[dict[str, Any]] = nox.project.load_toml(ROOT / "pyproject.toml")
SAFE_PATH: Final = {"PYTHONSAFEPATH": "1"}
"""Keeps the checkout off `sys.path`, in child processes too: what is tested is the wheel."""

DEEPER: Final = ("tests/model/deeper", "tests/simulation/deeper")
"""Minutes instead of seconds; pytest comes to them, and to `tests/fleet`, `tests/interop` and
`tests/browser`, by their paths alone."""
OURS_ALONE: Final = ("tests/model", "tests/simulation")
"""What no version of another package makes a difference to: rules, in every order of events."""
EXAMPLES: Final = ("tests/snippets", "tests/test_docstrings.py")
"""Run, but not counted: what only an example comes through is not tested."""

FORGE: Final = {
    "dependabot": "dependabot.yml",
    "github-issue-config": "ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "github-workflows": "workflows/*.yml",
}
"""Which files keep to which schema."""

PARALLEL: Final = ("--max-worker-restart=0", "--numprocesses=auto", "--dist=worksteal")
"""A worker for each core: one that dies fails the run, one that is done helps another."""
SECOND_TRY: Final = ("--reruns=1", "-raR") if "CI" in os.environ else ()
"""On the shared machine of a CI, where a test may wait longer than anybody thought; pytest lists
who needed it, and a test that fails twice in a row fails."""
CROWDED: Final = (*PARALLEL, f"--numprocesses={2 * (os.cpu_count() or 1)}", *SECOND_TRY)
"""Two workers for each core, where half of the time is waiting and none of it is measured."""

CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
"""By one of these names it is known, as for `tests/browser`."""

RUNNING: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreters() -> list[str]:
    """Return the supported versions of Python that start on this machine, or the running one."""
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    supported = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", classifiers, re.MULTILINE
    )
    return [version for version in supported if starts(f"python{version}")] or [RUNNING]


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
ONE: Final = RUNNING if RUNNING in PYTHONS else MEASURED
"""The interpreter of the quick run."""

QUICK: Final = ["lint", f"tests-{ONE}"]
nox.options.sessions = QUICK


OTHERS: Final = [f"tests-{version}" for version in PYTHONS if version not in {ONE, MEASURED}]
BEYOND: Final = [
    "types",
    "docs",
    *OTHERS,
    "coverage",
    "lowest",
    "package",
    "demo",
    "model",
    "redis",
    "fleet",
    "interop",
    "browser",
]


@nox.session(venv_backend="none", requires=BEYOND)
def beyond(_: nox.Session) -> None:
    """Run what a change must pass beside what `nox` alone runs."""


@nox.session(name="all", venv_backend="none", requires=[*QUICK, "beyond"])
def everything(_: nox.Session) -> None:
    """Run everything that a change must pass, on each supported Python that is installed."""


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, the arrows between the layers, and what the forge reads."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")
    for schema, pattern in FORGE.items():
        files = sorted(str(path) for path in (ROOT / ".github").glob(pattern))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, as strictly as they can."""
    session.install("--editable", ".[all]", *group("typing"))
    session.run("mypy")
    session.run("pyright")


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist, and from it the wheel that the other sessions test."""
    shutil.rmtree(distributions(session), ignore_errors=True)
    session.install("build", *PROJECT["build-system"]["requires"])  # and nothing else: isolated
    outdir = str(distributions(session))
    session.run("python", "-m", "build", "--no-isolation", "--outdir", outdir, silent=True)


@nox.session(python=PYTHONS, requires=["build"])
def tests(session: nox.Session) -> None:
    """Run the tests on the built wheel, and every example of README, docs and docstrings.

    Those around a real Redis server are `redis`; coverage and the lowest versions have them too.
    """
    install_wheel(session, "all", *group("test"))
    run_pytest(session, *(session.posargs or ["tests", "-m", "not redis"]), *CROWDED)


@nox.session(python=MEASURED, requires=["build"])
def coverage(session: nox.Session) -> None:
    """Run the tests, and require that they run through every branch of the package."""
    install_wheel(session, "all", *group("test"))
    session.run("coverage", "erase")
    counted = [f"--ignore={path}" for path in EXAMPLES]
    run_pytest(session, "tests", *counted, *CROWDED, runner=("coverage", "run", "-m"))
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=LOWEST, requires=["build"])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that the package says it works with."""
    floors = Path(session.create_tmp()) / "floors.txt"
    floors.write_text("\n".join(lowest_versions()), encoding="utf-8")
    install_wheel(session, "all", *group("test"), "--constraint", str(floors))
    run_pytest(session, "tests", *(f"--ignore={path}" for path in OURS_ALONE), *CROWDED)


@nox.session
def docs(session: nox.Session) -> None:
    """Make the site of docs/; a link that leads nowhere, or any other warning, is an error."""
    session.install("--editable", ".", *group("docs"))
    out = str(Path(session.create_tmp()) / "site")
    session.run("sphinx-build", "--fail-on-warning", "--fresh-env", "--quiet", "docs", out)
    session.log(f"the site begins at {out}/index.html")


@nox.session(requires=["build"])
def snippets(session: nox.Session) -> None:
    """Run every example of README, docs and docstrings."""
    install_wheel(session, "all", *group("test"))
    run_pytest(session, *EXAMPLES, *session.posargs)


@nox.session(requires=["build"])
def package(session: nox.Session) -> None:
    """Check what the wheel and the sdist hold, and that the wheel works with nothing else."""
    wheel, sdist = distribution(session, "*.whl"), distribution(session, "*.tar.gz")
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("oauthkit/**/*.py")}
    modules.add("oauthkit/py.typed")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = {name for name in archive.namelist() if name.endswith("dist-info/METADATA")}
        page = archive.read(metadata).decode()
    if held != modules:
        session.error(f"the wheel and oauthkit/ differ in {sorted(held ^ modules)}")
    if lost := re.findall(r"\]\((?!https:|#)[^)]+\)", page):
        session.error(f"links of the README lead nowhere at the package index: {lost}")
    with tarfile.open(sdist) as archive:
        top = {name.split("/")[1] for name in archive.getnames()}
    expected = {".github", "oauthkit", "tests", "docs", "noxfile.py", "pyproject.toml", "PKG-INFO"}
    expected |= {"README.md", "CHANGELOG.md", "LICENSE", ".gitignore"}
    if top - {"docs"} != expected - {"docs"}:
        session.error(f"the sdist and what it should hold differ in {sorted(top ^ expected)}")
    install_wheel(session)
    session.run("python", "-W", "error", "-c", "import oauthkit", env=SAFE_PATH)


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure what the session costs, and fail beyond the limits: `nox -s bench -- --json`."""
    install_wheel(session, "all", *group("bench"))
    environment = SAFE_PATH | {"PYTHONPATH": str(ROOT / "tests")}
    session.run("python", "-m", "benchmarks", *session.posargs, env=environment)


@nox.session(requires=["build"])
def redis(session: nox.Session) -> None:
    """Run the tests of the Redis store around a real server."""
    look_for_redis(session)
    install_wheel(session, "all", *group("test"))
    run_pytest(session, "tests/stores", "-m", "redis", *CROWDED, *session.posargs)


@nox.session(requires=["build"])
def fleet(session: nox.Session) -> None:
    """Run the tests of many processes, some of them around a real Redis server."""
    look_for_redis(session)
    install_wheel(session, "all", *group("test"))
    run_pytest(session, "tests/fleet", "--timeout=300", *PARALLEL, *SECOND_TRY, *session.posargs)


@nox.session(requires=["build"])
def interop(session: nox.Session) -> None:
    """Run the tests around real authorization servers of other projects."""
    install_wheel(session, "all", *group("interop"))
    install_oidc_provider(session)
    run_pytest(session, "tests/interop", *PARALLEL, *SECOND_TRY, *session.posargs)


@nox.session(requires=["build"])
def browser(session: nox.Session) -> None:
    """Have people log in and out of the applications of the docs, in a real browser."""
    look_for_chromium(session)
    install_wheel(session, "all", *group("browser"))
    install_oidc_provider(session)
    run_pytest(session, "tests/browser", *SECOND_TRY, *session.posargs)


@nox.session(requires=["build"])
def model(session: nox.Session) -> None:
    """Explore three processes and more faults in every order; simulate a thousand workers."""
    install_wheel(session, "all", *group("test"))
    run_pytest(session, *DEEPER, *PARALLEL, *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the rules of the renewal, many times, and require that a test notices each change."""
    # The source is changed, so it is the checkout that is tested here and no wheel.
    session.install("--editable", ".[all]", *group("mutation"))
    environment = {"PYTHONPATH": str(ROOT / "tests")}
    session.run("python", "-m", "mutation", *session.posargs, env=environment)


@nox.session(requires=["build"])
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


def look_for_redis(session: nox.Session) -> None:
    """Say that there is no Redis server; a CI run may not go without."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            session.error("redis-server is not installed, and a CI run may not go without")
        session.warn("redis-server is not installed: the tests that need it are skipped")


def look_for_chromium(session: nox.Session) -> None:
    """Leave a session out where there is no browser; a CI run may not go without."""
    if not any(map(shutil.which, CHROMIUM)):
        if os.environ.get("CI"):
            session.error("chromium is not installed, and a CI run may not go without")
        session.skip("chromium is not installed")


def install_oidc_provider(session: nox.Session) -> None:
    """Have npm, which pip has brought, install what the lockfile says; a CI may not go without."""
    locked, directory = ROOT / "tests/interop/oidc_provider", session.cache_dir / "oidc-provider"
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(locked / name, directory)
    options = ("--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    try:
        session.run("npm", "ci", f"--prefix={directory}", *options)
    except CommandFailed:
        if os.environ.get("CI"):
            session.error("npm could not install oidc-provider, and a CI run may not go without")
        session.warn("npm could not install oidc-provider: the tests that need it are skipped")
    else:
        session.env["OIDC_PROVIDER"] = str(directory)


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
