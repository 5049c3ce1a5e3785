"""`{columns} FILE.yaml`: what a stage writes, column by column, or key by key; tests hold runs to the same file.

Each entry of the file has `files`, a pattern below the run directory, `about`, and `columns` of a table or `keys` of a
JSON file: name to `[type, unit, meaning]`, with a fourth word where it is there only sometimes, which says when. Names
of keys within keys are paths. `<n>` and the like stand for any word, of lists for the number of an element, and
`{a,b}` for a and for b.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._ext.settings import text_nodes

TOKENS = re.compile(r"<[\w|]+>|\{[\w,]+\}")


@cache
def fitting(name: str) -> re.Pattern[str]:
    """Return what fits a name with words that stand for others."""
    words = [token.group() for token in TOKENS.finditer(name)]
    fits = ["[^/]+" if word.startswith("<") else f"(?:{word[1:-1].replace(',', '|')})" for word in words]
    plain = [re.escape(part) for part in TOKENS.split(name)]
    return re.compile("".join(part + fit for part, fit in zip(plain, [*fits, ""], strict=True)))


@dataclass(frozen=True)
class Column:
    """One documented column or key; `when` is empty for those that are always there."""

    name: str
    type: str
    unit: str
    about: str
    when: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """What names in a file fit."""
        return fitting(self.name)


@dataclass(frozen=True)
class TableFile:
    """One kind of table or JSON file; `word` is what its columns are called."""

    files: str
    about: str
    columns: tuple[Column, ...]
    word: str = "column"

    @property
    def pattern(self) -> re.Pattern[str]:
        """What paths below the run directory fit."""
        return fitting(self.files)


def read_tables(path: Path) -> list[TableFile]:
    """Read the documentation of tables."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = []
    for entry in found:
        word = "key" if "keys" in entry else "column"
        columns = tuple(Column(name, *map(str, own)) for name, own in entry[f"{word}s"].items())
        tables.append(TableFile(entry["files"], entry["about"], columns, word))
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
        head = (table.word, "type", "unit", "meaning")
        rows = [_row([[nodes.Text(word)] for word in head])]
        for column in table.columns:
            about = text_nodes(column.about)
            if column.when:
                about += [nodes.Text(" "), nodes.emphasis("", "", *text_nodes(f"({column.when})"))]
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
