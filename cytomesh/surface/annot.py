"""Labels in FreeSurfer's `.annot` format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel.freesurfer as freesurfer
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable

# FreeSurfer's own row for vertices without a label: name and RGB.
UNKNOWN = ("unknown", (25, 5, 25))


def write_annot(path: Path, labels: NDArray[Any], table: LabelTable) -> None:
    """Write one label a vertex as `.annot`, e.g. `lh.economo.annot`.

    FreeSurfer counts the rows of its colour table: row 0 is "unknown" (label 0), row i the i-th label of `table`,
    whatever its index there. It also recognises a label by its 8-bit colour, so that colours that would be the same
    are moved apart by the fewest steps of blue.

    Parameters
    ----------
    labels : (n,) int
        0 or an index of `table`.

    Raises
    ------
    AtlasError
        If a label is not in the table.
    """
    table.check(labels, str(path))
    rows = (table.columns(labels) + 1).astype(np.int32)
    colours = _distinct(np.rint(255.0 * table.colours[:, :3]).astype(np.int32))
    # the fourth column is FreeSurfer's transparency: 0 is opaque
    rgbt = np.column_stack([colours, np.zeros(len(colours), np.int32)])
    with atomic_path(path) as temporary:
        freesurfer.write_annot(temporary, rows, rgbt, [UNKNOWN[0], *table.names], fill_ctab=True)


def _distinct(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the colour of "unknown" and `colours`, no two the same and none black (which FreeSurfer reads as none)."""
    taken = {(0, 0, 0)}
    result = []
    for red, green, blue in [UNKNOWN[1], *colours.tolist()]:
        steps = sorted(range(256), key=lambda level: (abs(level - blue), level))
        free = next((red, green, level) for level in steps if (red, green, level) not in taken)
        taken.add(free)
        result.append(free)
    return np.array(result, np.int32)
