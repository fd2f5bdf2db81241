"""The pytest plugin as an installation has it, for a pytest that is started in a directory."""

import tomllib
from pathlib import Path
from typing import Any, Final

PROJECT: Final[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)["project"]


def install_plugin(directory: Path) -> None:
    """Have the entry points found by a pytest that starts here, also where a checkout is tested."""
    lines = [f"{name} = {module}" for name, module in PROJECT["entry-points"]["pytest11"].items()]
    installed = directory / "oauthkit_checkout-0.dist-info"
    installed.mkdir()
    metadata = "Metadata-Version: 2.1\nName: oauthkit-checkout\nVersion: 0\n"
    (installed / "METADATA").write_text(metadata, encoding="utf-8")
    text = "\n".join(["[pytest11]", *lines, ""])
    (installed / "entry_points.txt").write_text(text, encoding="utf-8")
