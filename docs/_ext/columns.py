"""`{columns} FILE.yaml`: the tables that a stage writes, column by column; the same file is what tests hold runs to.

Each entry of the file has `files`, a pattern below the run directory, `about`, and `columns`: name to `[type, unit,
meaning]`, with a fourth word where a column is there only sometimes, which says when. `<n>` and the like stand for any
word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._ext.settings import text_nodes


@dataclass(frozen=True)
class Column:
    """One documented column; `when` is empty for those that are always there."""

    name: str
    type: str
    unit: str
    about: str
    when: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """What names in a file fit."""
        return re.compile(re.sub(r"<\w+>", "[^/]+", re.sub(r"([.:()])", r"\\\1", self.name)))


@dataclass(frozen=True)
class TableFile:
    """One kind of table."""

    files: str
    about: str
    columns: tuple[Column, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What paths below the run directory fit."""
        return re.compile(re.sub(r"<\w+>", "[^/]+", self.files.replace(".", r"\.")))


def read_tables(path: Path) -> list[TableFile]:
    """Read the documentation of tables."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = []
    for entry in found:
        columns = tuple(Column(name, *map(str, own)) for name, own in entry["columns"].items())
        tables.append(TableFile(entry["files"], entry["about"], columns))
    return tables


class Columns(SphinxDirective):
    """A heading, a sentence and a list of columns for each table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the tables."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        return [node for table in read_tables(Path(path)) for node in self._table(table)]

    def _table(self, table: TableFile) -> Iterator[nodes.Node]:
        yield nodes.rubric("", "", nodes.literal("", table.files))
        yield nodes.paragraph("", "", *text_nodes(table.about))
        head = ("column", "type", "unit", "meaning")
        rows = [_row([[nodes.Text(word)] for word in head])]
        for column in table.columns:
            about = text_nodes(column.about)
            if column.when:
                about += [nodes.Text(" "), nodes.emphasis("", f"({column.when})")]
            cells = [[nodes.literal("", column.name)], [nodes.Text(column.type)], [nodes.Text(column.unit)], about]
            rows.append(_row(cells))
        group = nodes.tgroup("", *(nodes.colspec("", colwidth=width) for width in (3, 1, 1, 5)), cols=4)
        group += [nodes.thead("", rows[0]), nodes.tbody("", *rows[1:])]
        yield nodes.table("", group, classes=["columns"])


def _row(cells: list[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("columns", Columns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
