"""How Sphinx makes the site: `make docs`. The pages are docs/*.md, as they are read without it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))
import options

import msnas

project = "msnas"
author = "the authors of msnas"
version = release = msnas.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["results/*.csv"]
myst_heading_anchors = 4
autodoc_default_options = {"member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "none"  # the docstrings tell shapes and units
autodoc_preserve_defaults = True
add_module_names = False
html_theme = "furo"
html_title = "msnas"
html_copy_source = html_show_sourcelink = html_show_copyright = False
pygments_style, pygments_dark_style = "default", "monokai"


class Options(SphinxDirective):
    """`{options} method`: the options of a group of conf/ and their settings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Its page, as Markdown."""
        for group in options.groups():
            for path in (options.CONF / group).glob("*.yaml"):
                self.env.note_dependency(str(path))
        text = options.page(self.arguments[0])
        return self.parse_text_to_nodes(text, allow_section_headings=True)


SPAN = re.compile(r"(`[^`]+`)")


def as_written(
    _app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Docstrings are Markdown with `Args:`; autodoc wants fields and reStructuredText."""
    in_arguments = False
    for number, line in enumerate(lines):
        if line == "Args:" or (line and not line.startswith(" ")):
            in_arguments = line == "Args:"
        if line.lstrip().startswith((">>>", "...")):
            continue
        parts = [
            f"`{part}`" if part.startswith("`") else re.sub(r"([*|\\]|_\b)", r"\\\1", part)
            for part in SPAN.split(line)
        ]
        text = re.sub(r"^( *)\\\* ", r"\1* ", "".join(parts))  # a bullet
        if in_arguments:
            text = re.sub(r"^    (\w+): ", r":param \1: ", text) if line != "Args:" else ""
        lines[number] = text


def setup(app: Sphinx) -> dict[str, bool]:
    """The directive, and docstrings as they are written."""
    app.add_directive("options", Options)
    app.connect("autodoc-process-docstring", as_written)
    return {"parallel_read_safe": True}
