"""Values and labels of vertices as other programs write them: GIFTI, CIFTI-2, FreeSurfer, NumPy, tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import nibabel.freesurfer as freesurfer
import numpy as np
from nibabel.cifti2.cifti2_axes import LabelAxis
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import reading
from cytomesh.surface.gifti import is_no_area, read_labels
from cytomesh.surface.map_readers import MAP_READERS, MapReader, Maps, read_cifti

T = TypeVar("T")
KNOWN_LABELS = ".label.gii, .annot or .dlabel.nii"


def read_vertex_data(path: Path, n_vertices: int, hemisphere: str) -> Maps:
    """Read one or more values a vertex.

    Parameters
    ----------
    path : Path
        Of a kind in `MAP_READERS`. A table has one row a vertex, in their order; columns of text are kept.
    n_vertices : int
        Vertices of the surface that the values belong to.
    hemisphere : str
        "L" or "R": which part of a CIFTI file is meant.

    Returns
    -------
    dict of str to (n_vertices,) array
        By the names that the file gives them, or the file's own name; NaN at vertices that a CIFTI file leaves out.

    Raises
    ------
    SurfaceError
        If the file is of no known kind, damaged, or not of one row a vertex.
    """
    reader = _map_reader(path)
    return _rows_checked(path, _read(path, partial(reader.read, hemisphere=hemisphere)), n_vertices)


def read_cortex(path: Path, n_vertices: int, hemisphere: str) -> NDArray[np.bool_]:
    """Return where a map of the vertices (its first, if it has several) is above 0, (n_vertices,) bool."""
    values = next(iter(read_vertex_data(path, n_vertices, hemisphere).values()))
    if values.dtype.kind not in "iufb":
        raise SurfaceError(path, found=f"values of type {values.dtype}", expected="numbers, above 0 in cortex")
    return np.asarray(values > 0, bool)


def read_vertex_labels(path: Path, n_vertices: int, hemisphere: str) -> tuple[NDArray[np.int32], LabelTable]:
    """Read one label a vertex, (n_vertices,) int32 with 0 for none, and the table of labels.

    Raises
    ------
    SurfaceError, AtlasError
        If the file is of no known kind (see `KNOWN_LABELS`), damaged, or not of one value a vertex.
    """
    if path.name.endswith(".gii"):
        labels, table = read_labels(path)
    elif path.name.endswith(".annot"):
        labels, table = _read(path, _annot)
    elif path.name.endswith(".dlabel.nii"):
        labels, table = _read(path, partial(_dlabel, hemisphere))
    else:
        raise SurfaceError(path, found="labels of an unknown kind", expected=KNOWN_LABELS, hint="convert it")
    _rows_checked(path, {"labels": labels}, n_vertices)
    table.check(labels, str(path))
    return labels, table


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    if not path.exists() and not path.is_symlink():
        raise SurfaceError(path, found="no such file", hint="check the path")
    # each library has its own errors; all mean that this file is not what it is named
    found, hint = "a file that cannot be read as its name says", "copy or write it again"
    with reading(path, SurfaceError, found=found, hint=hint, also=(Exception,)):
        return reader(path)


def _rows_checked(path: Path, maps: Maps, n_vertices: int) -> Maps:
    if not maps:
        raise SurfaceError(path, found="no values", expected=f"{n_vertices} rows")
    for name, values in maps.items():
        if values.shape != (n_vertices,):
            found = f"{' x '.join(map(str, values.shape))} values"
            raise SurfaceError(path, name, found=found, expected=f"one for each of the surface's {n_vertices} vertices")
    return maps


def _map_reader(path: Path) -> MapReader:
    reader = next((reader for reader in MAP_READERS.values() if reader.takes(path)), None)
    if reader is None:
        known = ", ".join(suffix for reader in MAP_READERS.values() for suffix in reader.suffixes)
        raise SurfaceError(
            path, found="values of an unknown kind", expected=f"{known} or FreeSurfer's lh.thickness", hint="convert it"
        )
    return reader()


def _dlabel(hemisphere: str, path: Path) -> tuple[NDArray[np.int32], LabelTable]:
    axis, rows = read_cifti(path, hemisphere)
    if not isinstance(axis, LabelAxis) or len(rows) != 1:
        raise SurfaceError(
            path, found=f"{len(rows)} maps", expected="one map of labels", hint="wb_command -cifti-merge"
        )
    labels = np.nan_to_num(rows[0]).astype(np.int64)
    entries = {key: entry for key, entry in axis.label[0].items() if key != 0}
    here = sorted(key for key in entries if (labels == key).any())  # the other hemisphere's areas are left out
    colours = np.array([entries[key][1] for key in here], np.float64).reshape(-1, 4)
    table = LabelTable(tuple(here), tuple(str(entries[key][0]) for key in here), colours)
    table.check(labels, str(path))
    return labels.astype(np.int32), table


def _annot(path: Path) -> tuple[NDArray[np.int32], LabelTable]:
    """Rows of FreeSurfer's colour table become labels from 1; its rows for no area, and vertices without one, 0."""
    rows, colours, names = freesurfer.read_annot(path)
    words = [name.decode() for name in names]
    areas = [i for i, word in enumerate(words) if not is_no_area(word)]
    label_of_row = np.zeros(len(words) + 1, np.int32)  # the last one is for row -1
    label_of_row[areas] = np.arange(1, len(areas) + 1)
    rgba = np.column_stack([colours[areas, :3] / 255.0, np.ones(len(areas))])
    return label_of_row[rows], LabelTable(tuple(range(1, len(areas) + 1)), tuple(words[i] for i in areas), rgba)
