"""Sphinx's settings for `make docs`: the Markdown files as they are, as a site without any request to another host.

https://www.sphinx-doc.org/en/master/usage/configuration.html
"""

project = "Warmboard"
html_title = project
root_doc = "docs/index"
include_patterns = ["docs/**.md", "*.md"]
extensions = ["myst_parser"]

# GitHub's anchors, which the links between pages use.
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.strikethrough"]

html_theme = "furo"
html_show_sphinx = False
html_show_copyright = False
html_extra_path = ["index.html"]
html_copy_source = False
html_favicon = "../../webapp/static/webapp/icon.svg"
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
pygments_style, pygments_dark_style = "tango", "monokai"
