"""The role of single backticks: a public name of cytomesh is a link to its page, all else is code."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

import cytomesh


class Name(SphinxRole):
    """`SpatialNCE` and `cytomesh.SpatialNCE` are links."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return a reference, or the text as code."""
        code = nodes.literal(self.rawtext, self.text)
        name = self.text.removeprefix("cytomesh.")
        if name not in cytomesh.__all__:
            return [code], []
        link = addnodes.pending_xref(
            self.rawtext, code, refdomain="py", reftype="obj", reftarget=f"cytomesh.{name}", refwarn=True
        )
        link["refdoc"] = self.env.docname
        return [link], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    app.add_role("name", Name())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
