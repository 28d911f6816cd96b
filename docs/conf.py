"""Sphinx configuration: MyST pages, numpydoc docstrings, no network."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from results_gallery import gallery_markdown

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

project = "statetrack"
author = "The statetrack developers"
project_copyright = "The statetrack developers, Apache-2.0"
release = version = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give types with shapes
numpydoc_show_class_members = False  # autodoc lists them

html_theme = "pydata_sphinx_theme"
html_theme_options = {"header_links_before_dropdown": 5, "navigation_with_keys": False}
html_sidebars = {"*": []}  # only the reference, api/*, has a second level
html_title = f"statetrack {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_extra_path = ["../experiments/results"]  # reports and tables, which the gallery links to


def fill_gallery(app, docname, source):
    """Put the committed results into their page, so that new ones appear by themselves."""
    if docname == "gallery":
        source[0] = source[0].replace("<!-- results -->", gallery_markdown())


def setup(app):
    app.connect("source-read", fill_gallery)
    app.connect("env-get-outdated", lambda *_: ["gallery"])
