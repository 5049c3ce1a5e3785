"""Small HTML builder: everything is escaped unless it was built here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

VOID_TAGS = frozenset({"br", "input", "meta"})


class Html(str):
    """Text that is HTML already; any other string is escaped by `tag`."""

    __slots__ = ()


Content = str | Html | int | float


def tag(name: str, /, *children: Content, **attributes: str | float | bool | None) -> Html:
    """Return one element, children and attribute values escaped.

    Parameters
    ----------
    name : str
        Element name.
    *children : Html, str or number
        Content; `Html` goes in as it is.
    **attributes : str, number or bool
        `class_` stands for `class` and `data_x` for `data-x`; None and False leave an attribute out, True gives a
        bare one.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(f" {attribute}" if value is True else f' {attribute}="{html.escape(str(value))}"')
    parts.append(">")
    if name not in VOID_TAGS:
        parts += [escape(child) for child in children]
        parts.append(f"</{name}>")
    return Html("".join(parts))


def escape(content: Content) -> Html:
    """Return content as HTML: escaped, unless it is HTML already."""
    return content if isinstance(content, Html) else Html(html.escape(str(content)))


def join(parts: Iterable[Content]) -> Html:
    """Return parts one after the other."""
    return Html("".join(escape(part) for part in parts))


def embed_json(data: Any, **attributes: str) -> Html:
    """Return a data block that scripts read; `<` is written so that no value can end the block."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return tag("script", Html(text), type="application/json", **attributes)


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell: what is shown, and the value by which a column is sorted."""

    text: Content
    value: float | str | None = None
    class_: str | None = None


def verdict_cell(is_passed: bool) -> Cell:
    """Return a cell that says pass or fail in words and colour."""
    word = "pass" if is_passed else "fail"
    return Cell(word, int(is_passed), word)


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers: its title, unit, and how those are written that come as numbers."""

    title: str
    unit: str = ""
    form: str = ".3f"


Column = str | Number
Row = Sequence[Cell | Content | None]


def table(columns: Sequence[Column], rows: Iterable[Row], *, caption: Content, sortable: bool = False) -> Html:
    """Return a table.

    Parameters
    ----------
    columns : sequence of str or Number
        Titles; those of columns of words are just that.
    rows : iterable of sequence of Cell, content or None
        The first cell of each is its head. Numbers are written as their column says, and sorted by their full value.
    caption : Html, str or number
    sortable : bool
        Heads are buttons (of a page with scripts).
    """
    heads = []
    for column in columns:
        title: Html = escape(column.title if isinstance(column, Number) else column)
        if isinstance(column, Number) and column.unit:
            title = join([title, " ", tag("span", column.unit, class_="unit")])
        content = tag("button", title, type="button") if sortable else title
        heads.append(tag("th", content, scope="col", class_="number" if isinstance(column, Number) else None))
    body = [
        tag("tr", *(_cell(cell, column, i == 0) for i, (cell, column) in enumerate(zip(row, columns, strict=True))))
        for row in rows
    ]
    grid = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *body),
        class_="sortable" if sortable else None,
    )
    return tag("div", grid, class_="table", tabindex=0, role="region", aria_label="table")


def without_empty(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Column], list[Row]]:
    """Leave out the columns that have a value in no row."""
    kept = [i for i in range(len(columns)) if not rows or any(_is_filled(row[i]) for row in rows)]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _is_filled(cell: Cell | Content | None) -> bool:
    return (cell.text if isinstance(cell, Cell) else cell) not in (None, "")


def _cell(cell: Cell | Content | None, column: Column, is_head: bool) -> Html:
    is_number = isinstance(column, Number)
    if isinstance(column, Number) and isinstance(cell, int | float):
        cell = Cell(format(cell, column.form), cell)
    elif not isinstance(cell, Cell):
        cell = Cell("" if cell is None else cell)
    classes = " ".join(part for part in ("number" if is_number else "", cell.class_ or "") if part) or None
    value = None if cell.value is None else str(cell.value)
    if is_head:
        return tag("th", cell.text, scope="row", class_=classes, data_value=value)
    return tag("td", cell.text, class_=classes, data_value=value)


def wrapped(words: str) -> Html:
    """Return words in as many lines as leave the numbers beside them in view."""
    return tag("span", words, class_="wrapped")


def bullets(items: Iterable[Content], class_: str | None = None) -> Html:
    """Return a list."""
    return tag("ul", *(tag("li", item) for item in items), class_=class_)


def folded(summary: str, body: Html) -> Html:
    """Return what is shown when its summary is clicked."""
    return tag("details", tag("summary", summary), body)


def swatch(colour: str) -> Html:
    """Return a small field of a colour, to stand before the name of what has it."""
    return tag("span", class_="swatch", style=f"background:{colour}")


def choice(label: str, panels: Sequence[tuple[str, Html]]) -> Html:
    """Return panels of which a selector shows one; a single panel comes without a selector."""
    if len(panels) == 1:
        return panels[0][1]
    options = [tag("option", title, value=i) for i, (title, _) in enumerate(panels)]
    selector = tag("label", label, " ", tag("select", *options, class_="choose"))
    bodies = [tag("div", body, class_="panel", hidden=i > 0) for i, (_, body) in enumerate(panels)]
    return tag("div", tag("div", selector, class_="bar"), *bodies, class_="choice")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the page: an anchor in the table of contents, a title and its content."""

    anchor: str
    title: str
    body: Html
    is_absent: bool = False


def missing(anchor: str, title: str, why: str) -> Part:
    """Return the part of a stage that has not run: one line."""
    return Part(anchor, title, not_shown(why), is_absent=True)


def not_shown(why: str) -> Html:
    """Return the line that stands in the place of what cannot be shown."""
    return tag("p", why, class_="missing")
