"""How the pages of docs/ become a site: `nox -s docs`."""

from oauthkit.version import __version__

project = "oauthkit"
author = "oauthkit contributors"
copyright = "oauthkit contributors"  # noqa: A001 - the name that Sphinx gives it
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
]
html_theme = "furo"
html_title = f"oauthkit {release}"
html_copy_source = False
default_role = "code"

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
