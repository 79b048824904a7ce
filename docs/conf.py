"""Settings of the documentation's web site: `make docs` writes docs/_build/html, without a network."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from site_pages import write  # noqa: E402

import pisolve  # noqa: E402

project, author, copyright = "pisolve", "the pisolve authors", "2026, the pisolve authors"
version = release = pisolve.__version__
extensions = ["myst_parser"]
exclude_patterns = ["templates", "_build", "**/__pycache__"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # the reference begins its entries at the level of their class
pygments_style = "friendly"
html_theme = "furo"
html_title = f"pisolve {version}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

write(DOCS, run=os.environ.get("PISOLVE_DOCS_GALLERY", "run") == "run")
