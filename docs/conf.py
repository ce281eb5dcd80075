"""Sphinx's configuration of the documents as a site: ``make docs``."""

from ropg_twisted import __version__

project = "ropg-twisted"
copyright = "the authors of ropg-twisted"
version = release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 4
highlight_language = "none"
nitpicky = True

# The theme brings everything that a page needs: nothing is loaded from elsewhere.
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = f"ropg-twisted {release}"
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
