"""The manual: `make docs`, or `sphinx-build -W -D plot_gallery=0 docs BUILD` without running the gallery."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("MPLBACKEND", "Agg")

import cytomesh  # noqa: E402

project = "cytomesh"
author = "the cytomesh developers"
project_copyright = author
version = release = cytomesh.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "docs._ext.benches",
    "docs._ext.columns",
    "docs._ext.commands",
    "docs._ext.kinds",
    "docs._ext.mathml",
    "docs._ext.names",
    "docs._ext.settings",
]
templates_path = ["_templates"]
exclude_patterns = ["_ext", "_templates", "gallery"]
nitpicky = True
smartquotes = False
default_role = "name"
suppress_warnings = ["config.cache"]  # of sphinx-gallery's settings, which hold objects

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "amsmath", "attrs_inline"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_validation_checks: set[str] = set()

html_theme = "pydata_sphinx_theme"
html_title = "cytomesh"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_math_renderer = "mathml"
html_sidebars = {"reference/changelog": []}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_depth": 2,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
}

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"plot_",
    "doc_module": ("cytomesh",),
    "backreferences_dir": "api/used",  # which examples use a name: the end of its page
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,  # a page that loads scripts from the network
    "within_subsection_order": "FileNameSortKey",
}
warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated", category=FutureWarning)
