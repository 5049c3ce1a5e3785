"""`{benches} AREA`: the benchmarks of one folder of `benchmarks/`, as their first lines say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._ext.settings import text_nodes

HOME = Path(__file__).parents[2] / "benchmarks"


class Benches(SphinxDirective):
    """Title, command and claim of each benchmark."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return one entry a script; what cannot be run is none."""
        items = []
        for path in sorted((HOME / self.arguments[0]).glob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "__main__" in source and (text := ast.get_docstring(ast.parse(source))):
                items.append(_item(f"benchmarks.{self.arguments[0]}.{path.stem}", text))
        return [nodes.definition_list("", *items)]


def _item(module: str, text: str) -> nodes.definition_list_item:
    first, *others = text.split("\n\n")
    title, _, rest = re.sub(r":? ?`python -m [^`]*`", "", " ".join(first.split())).partition(". ")
    parts = [part for part in (rest, *others) if part]
    paragraphs = [nodes.paragraph("", "", *text_nodes(part)) for part in parts]
    command = nodes.paragraph("", "", nodes.literal("", f"python -m {module}"))
    head = nodes.term("", "", nodes.strong("", title.rstrip(".") + "."))
    return nodes.definition_list_item("", head, nodes.definition("", command, *paragraphs))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("benches", Benches)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
