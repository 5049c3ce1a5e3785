"""Columns of values of vertices: names that differ, and rows in the order of the vertices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.progress import warn

Named = tuple[str, NDArray[Any]]
VERTEX_COLUMN = re.compile(
    r"|unnamed: ?\d+|__index_level_\d+__|index|vno|(vertex|vertices|vtx|node)([ _-]?(id|idx|index|no|number))?",
    re.IGNORECASE,
)
"""How programs name the column that says which vertex, or row, a row is; R and pandas leave its name empty."""
ROW_COLUMN = re.compile("(row|point)?[ _-]?(id|idx|no|nr|number)|row|point", re.IGNORECASE)
"""Names that may mean that, too: they do where the column numbers all rows."""


def distinct(maps: Iterable[Named], unnamed: str = "map") -> dict[str, NDArray[Any]]:
    """Return maps by their names; those without a name, or of one name, get their number in the file."""
    maps = list(maps)
    times = Counter(name for name, _ in maps)
    found: dict[str, NDArray[Any]] = {}
    for i, (name, values) in enumerate(maps):
        known = name if name and times[name] == 1 else f"{name or unnamed} {i}"
        while known in found:
            known += "'"
        found[known] = values
    return found


def is_vertex_column(name: str) -> bool:
    """Whether a column of this name says which vertex a row is, and is no map."""
    return VERTEX_COLUMN.fullmatch(name.strip()) is not None


def numbers_rows(path: Path, name: str, values: NDArray[Any]) -> bool:
    """Whether a column says which vertex, or row, a row is: by its name, or since it has each number once.

    Raises
    ------
    SurfaceError
        If it numbers all vertices in another order than the rows', and its name does not say that it does.
    """
    if is_vertex_column(name):
        return True
    order = _order(values)
    if order is None:
        return False
    if ROW_COLUMN.fullmatch(name.strip()) or np.array_equal(order, np.arange(len(order))):
        return True
    raise SurfaceError(
        path,
        f"column '{name}'",
        found=f"each of the numbers {values[order[0]]:g} to {values[order[-1]]:g} once, as of vertices or ranks",
        expected="values of a map",
        hint="call it 'vertex' if it says which vertex a row is, or leave it out",
    )


def in_order(path: Path, maps: dict[str, NDArray[Any]], columns: Sequence[Named]) -> dict[str, NDArray[Any]]:
    """Return maps with row i at vertex i, by columns that say which vertex each row is, from 0 or from 1.

    Raises
    ------
    SurfaceError
        If such a column does not name every vertex once, or two say different things.
    """
    orders: list[Named] = []
    for name, values in columns:
        order = _order(values)
        if order is None:
            raise SurfaceError(
                path,
                f"column '{name}'",
                found=_fault(values),
                expected="the number of every vertex once, from 0 or 1, in any order",
                hint="give a row to every vertex (n/a where there is no value), or another name to a column of values",
            )
        if np.array_equal(order, np.arange(len(order))):
            warn(f"{path}: column '{name}' only counts the rows: it is left out")
        else:
            orders.append((name, order))
    if not orders:
        return maps
    (name, order), *others = orders
    if other := next((its for its, values in others if not np.array_equal(values, order)), None):
        found, expected = f"columns '{name}' and '{other}' that order the rows differently", "one order"
        raise SurfaceError(path, found=found, expected=expected, hint="leave one of them out")
    warn(f"{path}: rows are sorted by column '{name}'")
    return {its: values[order] if len(values) == len(order) else values for its, values in maps.items()}


def _fault(values: NDArray[Any]) -> str:
    """Say why a column does not number all vertices."""
    if values.dtype.kind in "iuf" and values.size:
        known, times = np.unique(values, return_counts=True)
        if (times > 1).any():
            return f"{known[times > 1][0]:g} in {times[times > 1][0]} rows"
        gaps = np.flatnonzero(known != known[0] + np.arange(len(known)))
        if known[0] in (0, 1) and gaps.size:
            return f"no row of vertex {known[0] + gaps[0]:g}"
    return "values that are not the numbers of vertices"


def _order(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return which row belongs to each vertex; None unless each of n vertices has one."""
    if values.dtype.kind not in "iuf" or values.ndim != 1 or not values.size:
        return None
    first = float(values.min())
    if first not in (0, 1) or float(values.max()) != first + len(values) - 1:  # maps of values need no sorting
        return None
    order = np.argsort(values, kind="stable").astype(np.int64)
    return order if np.array_equal(values[order], first + np.arange(len(values))) else None
