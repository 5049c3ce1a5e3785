"""Columns of values of vertices that a graph takes over: of the kind, and in the range, that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError
from cytomesh.core.progress import warn
from cytomesh.study.sections import SectionRole
from cytomesh.surface.map_readers import NO_VALUE, is_number
from cytomesh.surface.vertex_data import KNOWN_LABELS, read_vertex_data

MAX_SECTION = 2**31 - 1
LEAST_CORTEX = 0.5
"""Share of a hemisphere's vertices: the medial wall has some 7 %, and what covers fewer may be its mask."""


def numbers_of(path: Path, name: str, values: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return numbers in a floating type.

    Raises
    ------
    GraphError
        If they are none, or beyond its range.
    """
    if values.dtype.kind not in "iufb":
        text = text_cells(values)[0]
        found = f"text, such as {_cell(values, text[0])}" if text else f"values of type {values.dtype}"
        hint = "give tables of numbers here (n/a for missing ones), "
        hint += f"areas as 'labels' ({KNOWN_LABELS}), and other text as 'columns'"
        raise GraphError(path, name, found=found, expected="numbers", hint=hint)
    with np.errstate(over="ignore"):
        numbers = values.astype(dtype)
    if (lost := np.isfinite(values) & ~np.isfinite(numbers)).any():
        found, expected = f"{values[lost][0]:g} and the like", f"numbers up to {np.finfo(dtype).max:.2g}"
        raise GraphError(
            path, name, found=found, expected=expected, hint="divide the map by a constant, or take its log"
        )
    return numbers


def text_cells(values: NDArray[Any]) -> tuple[list[int], int]:
    """Return the rows of a column of text whose cells are neither numbers nor empty, and how many are numbers.

    Examples
    --------
    >>> text_cells(np.array(["0.5", "low", "n/a", "1e3"], object))
    ([1], 2)
    """
    cells = [(row, cell) for row, cell in enumerate(values.tolist()) if isinstance(cell, str) and cell not in NO_VALUE]
    text = [row for row, cell in cells if not is_number(cell)]
    return text, len(cells) - len(text)


def refuse_stray_text(path: Path, name: str, values: NDArray[Any]) -> None:
    """Refuse a column of text that would be one of numbers but for some cells.

    Raises
    ------
    GraphError
        If more of its cells are numbers than are not.
    """
    text, n_numbers = text_cells(values)
    if len(text) >= n_numbers:
        return
    found, hint = "numbers kept as text", "store them as numbers"
    if text:
        found = f"{_cell(values, text[0])}, where {n_numbers} cells are numbers and {len(text)} not"
        hint = "write n/a where there is no value"
    raise GraphError(path, f"column '{name}'", found=found, expected="numbers", hint=hint)


def _cell(values: NDArray[Any], row: int) -> str:
    return f"{values[row]!r:.40} at node {row} (from 0)"


def feature_of(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Return a map of numbers as float32.

    Raises
    ------
    GraphError
        If it has none: no vertex would have features.
    """
    numbers = numbers_of(path, name, values, np.float32)
    if not np.isfinite(numbers).any():
        raise GraphError(path, name, found="no value at any vertex", expected="numbers", hint="leave this map out")
    return np.asarray(numbers, np.float32)


def read_features(path: Path, n_vertices: int, hemisphere: str) -> list[tuple[str, NDArray[np.float32]]]:
    """Read the maps of numbers of a file, (name, (n,) float32) each.

    Raises
    ------
    SurfaceError, GraphError
        If the file cannot be read, or holds other maps, too.
    """
    maps = read_vertex_data(path, n_vertices, hemisphere)
    return [(name, feature_of(path, name, values)) for name, values in maps.items()]


def sections_of(path: Path, values: NDArray[Any]) -> NDArray[np.int32]:
    """Return numbers of sections, -1 where there is none (NaN).

    Raises
    ------
    GraphError
        If they are no whole numbers of 32 bits.
    """
    numbers = numbers_of(path, "section", values, np.float64)
    numbers = np.where(np.isnan(numbers), -1, numbers)
    wrong = (numbers != np.rint(numbers)) | (numbers < -1) | (numbers > MAX_SECTION)
    if wrong.any():
        found, expected = f"{numbers[wrong][0]:g} and the like", f"whole numbers from 0 to {MAX_SECTION}, n/a for none"
        raise GraphError(path, "section", found=found, expected=expected, hint="number the sections anew")
    return numbers.astype(np.int32)


def roles_of(path: Path, values: NDArray[Any]) -> NDArray[np.str_]:
    """Return roles of sections, "none" where there is no word.

    Raises
    ------
    GraphError
        If they are not those of a study's sections.
    """
    known = get_args(SectionRole)
    words = np.array(["none" if value in (None, "") or value != value else str(value) for value in values.tolist()])
    if others := sorted(set(words.tolist()) - set(known)):
        found, hint = f"roles {', '.join(others[:5])}", "other words can be split by under another name: kind: column"
        raise GraphError(path, "section_role", found=found, expected=f"one of {', '.join(known)}", hint=hint)
    return words


FREE_COLUMNS: Mapping[str, Callable[[Path, NDArray[Any]], NDArray[Any]]] = {
    "section": sections_of,
    "section_role": roles_of,
}
"""Columns of every graph that a table of further columns may give."""


def read_cortex(path: Path, n_vertices: int, hemisphere: str) -> NDArray[np.bool_]:
    """Read which vertices are cortex, (n_vertices,) bool: those above 0 in the file's only map.

    Raises
    ------
    SurfaceError, GraphError
        If the file cannot be read, or holds no such map.
    """
    maps = read_vertex_data(path, n_vertices, hemisphere)
    if len(maps) != 1:
        found, hint = f"{len(maps)} maps: {', '.join(maps)}", "write the one that is above 0 in cortex to its own file"
        raise GraphError(path, found=found, expected="one map", hint=hint)
    ((name, values),) = maps.items()
    is_cortex = numbers_of(path, name, values, np.float32) > 0
    if not is_cortex.any():
        expected, hint = "a map that is above 0 in cortex", "turn it round if it is one of the medial wall"
        raise GraphError(path, name, found="no vertex above 0", expected=expected, hint=hint)
    if is_cortex.mean() < LEAST_CORTEX:
        what = f"{int(is_cortex.sum()):,} of {n_vertices:,} vertices are above 0 in '{name}', and count as cortex"
        warn(f"{path}: {what}: is it a mask of the medial wall? Cortex is what is above 0")
    return is_cortex
