"""Labels by key, as GIFTI and CIFTI tables name them: which keys are areas, and which are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.errors import AtlasError, SurfaceError
from cytomesh.core.labels import LabelTable, distinct_colours
from cytomesh.core.progress import warn
from cytomesh.core.sides import bare_area

NO_AREA = {
    *("", "unknown", "none", "background", "unassigned", "unlabeled", "unlabelled", "nolabel", "undefined"),
    *("medialwall", "freesurferdefinedmedialwall", "backgroundfreesurferdefinedmedialwall", "corpuscallosum"),
}
"""What atlases call vertices of no area, letters and digits alone."""
Entry = tuple[int, str, Sequence[float]]
"""Key, name and RGBA."""


def is_no_area(name: str) -> bool:
    """Whether a label's name says that it is none ("???", "unknown", "lh.Medial_wall"), whatever its side."""
    return "".join(filter(str.isalnum, bare_area(name).casefold())) in NO_AREA


def without_no_areas(labels: NDArray[np.int32], table: LabelTable) -> tuple[NDArray[np.int32], LabelTable]:
    """Make labels whose names say that they are none 0, and leave them out of the table."""
    is_area = np.array([not is_no_area(name) for name in table.names], bool)
    if is_area.all():
        return labels, table
    indices, names = np.asarray(table.indices, np.int64), np.asarray(table.names, object)
    kept = LabelTable(tuple(indices[is_area].tolist()), tuple(names[is_area]), table.colours[is_area])
    return np.where(np.isin(labels, indices[~is_area]), 0, labels).astype(np.int32), kept


def keyed_labels(path: Path, values: NDArray[Any], entries: Sequence[Entry]) -> tuple[NDArray[np.int32], LabelTable]:
    """Return (n,) int32 labels and their table; key 0 is none, by its name or as the only transparent one.

    Areas without a colour get one.

    Raises
    ------
    AtlasError
        If a value has no entry.
    SurfaceError
        If values are no whole numbers, two keys are named alike, or vertices are of an area with key 0, or of a key
        without a name.
    """
    with np.errstate(invalid="ignore"):
        whole = np.asarray(values).astype(np.int64)
    if (wrong := np.flatnonzero(whole != values)).size:
        found = f"{values[wrong[0]]} at vertex {wrong[0]}, and so on at {wrong.size} vertices"
        raise SurfaceError(
            path, "labels", found=found, expected="whole numbers", hint="give maps of numbers as features"
        )
    see_through = [key for key, _, rgba in entries if rgba[3] == 0]
    for key, name, _ in entries:
        if key == 0 and not is_no_area(name) and (n := np.count_nonzero(whole == 0)):
            if see_through != [0]:
                found = f"an area with key 0, '{name}'"
                hint = "give it another key, or call it '???' if it is no area"
                raise SurfaceError(path, found=found, expected="0 for vertices of no area", hint=hint)
            what = f"{counted(int(n), 'vertex', 'vertices')} of key 0, '{name}',"
            warn(f"{path}: {what} have no area: it alone is transparent")
        if not name and key and (n := np.count_nonzero(whole == key)):
            found = f"key {key} of {counted(int(n), 'vertex', 'vertices')} without a name"
            hint = "give every key of a vertex its own name, or '???' if it is no area"
            raise SurfaceError(path, "label table", found=found, hint=hint)
    areas = [entry for entry in entries if entry[0] != 0]
    colours = np.array([rgba for *_, rgba in areas], np.float64).reshape(-1, 4)
    colours = np.where(np.isfinite(colours).all(axis=1, keepdims=True), colours, distinct_colours(len(areas)))
    try:
        table = LabelTable(tuple(key for key, *_ in areas), tuple(name for _, name, _ in areas), colours)
    except AtlasError as cause:
        hint = cause.hint or "give every key its own name"
        raise SurfaceError(path, "label table", found=cause.found, expected=cause.expected, hint=hint) from cause
    if not len(table) and whole.any():
        hint = "write it with the names of its labels (wb_command -metric-label-import), or give an .annot"
        found = f"labels such as {whole[whole != 0][0]}, and no label table"
        raise AtlasError(path, found=found, expected="a name for every label", hint=hint)
    table.check(whole, str(path))
    return whole.astype(np.int32), table
