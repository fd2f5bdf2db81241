"""The README as the package index shows it, where a link into the repository leads nowhere."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


class Readme(MetadataHookInterface):
    """Give the index a README whose links lead to the repository, at the tag of the version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme; hatchling calls this for each build."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        pages = f"{metadata['urls']['Homepage']}/blob/v{metadata['version']}"
        linked = _LINK.sub(rf"]({pages}/\1)", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": linked}
