"""Values and labels of vertices as other programs write them: GIFTI, CIFTI-2, FreeSurfer, NumPy, tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from nibabel.cifti2.cifti2_axes import LabelAxis
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.errors import SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import reading
from cytomesh.core.registry import by_suffix
from cytomesh.core.sides import check_areas, check_side
from cytomesh.surface.annot import read_annot
from cytomesh.surface.gifti import read_labels
from cytomesh.surface.keyed import keyed_labels, without_no_areas
from cytomesh.surface.map_readers import CONVERSIONS, MAP_READERS, MapReader, Maps, read_cifti

T = TypeVar("T")
KNOWN_LABELS = ".label.gii, .annot or .dlabel.nii"
BOTH_SIDES = (".dscalar.nii", ".dlabel.nii")
"""CIFTI files say which values are of which side; their names need not."""


def read_vertex_data(path: str | Path, n_vertices: int, hemisphere: str) -> Maps:
    """Read one or more values a vertex.

    Parameters
    ----------
    path : Path
        Of a kind in `MAP_READERS`. A table has one row per vertex, in their order or in that of a column that numbers
        them ("vertex", the index of pandas); columns of text are kept.
    n_vertices : int
        Vertices of the surface that the values belong to.
    hemisphere : str
        "L" or "R": which part of a CIFTI file is meant; other files must not say that they are of the other side.

    Returns
    -------
    dict of str to (n_vertices,) array
        By the names that the file gives them, or the file's own name; NaN at vertices that a CIFTI file leaves out.

    Raises
    ------
    SurfaceError
        If the file is of no known kind, damaged, of the other side, or not of one row per vertex.

    Examples
    --------
    >>> from cytomesh import read_any_surface
    >>> n = read_any_surface("run/graphs/T01_hemi-L/pial.surf.gii").n_vertices
    >>> maps = read_vertex_data("run/graphs/T01_hemi-L/thickness.shape.gii", n, "L")
    >>> {name: len(values) == n for name, values in maps.items()}
    {'T01_hemi-L thickness_mm': True}
    """
    path = Path(path)
    reader = _map_reader(path)
    _check_name(path, hemisphere)
    return _rows_checked(path, _read(path, partial(reader.read, hemisphere=hemisphere)), n_vertices)


def read_vertex_labels(path: str | Path, n_vertices: int, hemisphere: str) -> tuple[NDArray[np.int32], LabelTable]:
    """Read one label per vertex, (n_vertices,) int32 with 0 for none, and the table of labels.

    Areas whose names say that they are none, as the medial wall, are 0.

    Raises
    ------
    SurfaceError, AtlasError
        If the file is of no known kind (see `KNOWN_LABELS`), damaged, of the other side, or not of one value per
        vertex.

    Examples
    --------
    >>> from cytomesh import read_any_surface
    >>> n = read_any_surface("run/graphs/T01_hemi-L/pial.surf.gii").n_vertices
    >>> labels, table = read_vertex_labels("run/graphs/T01_hemi-L/annotation.label.gii", n, "L")
    >>> labels.shape == (n,), table.name(1)
    (True, 'P01')
    """
    path = Path(path)
    _check_name(path, hemisphere)
    kind = path.name.lower()
    if kind.endswith((".gii", ".gii.gz")):
        labels, table = _read(path, partial(read_labels, hemisphere=hemisphere))
    elif kind.endswith(".annot"):
        labels, table = _read(path, read_annot)
    elif kind.endswith(".dlabel.nii"):
        labels, table = _read(path, partial(_dlabel, hemisphere))
    else:
        raise SurfaceError(path, found="labels of an unknown kind", expected=KNOWN_LABELS, hint="convert it")
    _rows_checked(path, {"labels": labels}, n_vertices)
    table.check(labels, str(path))
    labels, table = without_no_areas(labels, table)
    check_areas(path, hemisphere, [table.name(label) for label in np.unique(labels[labels != 0]).tolist()])
    return labels, table


def _check_name(path: Path, hemisphere: str) -> None:
    if hemisphere not in ("L", "R"):
        raise SurfaceError(path, "hemisphere", found=repr(hemisphere), expected="'L' or 'R'")
    if not path.name.lower().endswith(BOTH_SIDES):
        check_side(path, hemisphere)


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    if not os.path.lexists(path):  # False for names that cannot be, too
        raise SurfaceError(path, found="no such file", hint="check the path")
    # each library has its own errors; all mean that this file is not what it is named
    found, hint = "a file that cannot be read as its name says", "copy or write it again"
    with reading(path, SurfaceError, found=found, hint=hint, also=(Exception,)):
        return reader(path)


def _rows_checked(path: Path, maps: Maps, n_vertices: int) -> Maps:
    if not isinstance(maps, Mapping):  # of a reader that another package adds
        raise SurfaceError(path, found=f"a {type(maps).__name__} from its reader", expected="arrays by their names")
    if not maps:
        raise SurfaceError(path, found="no values", expected=f"{n_vertices} rows")
    for name, values in maps.items():
        values = np.asarray(values)
        if values.shape != (n_vertices,):
            found = f"{' x '.join(map(str, values.shape))} values"
            raise SurfaceError(path, name, found=found, expected=f"one for each of the surface's {n_vertices} vertices")
    return maps


def _map_reader(path: Path) -> MapReader:
    reader = by_suffix(MAP_READERS, path) or next((kind for kind in MAP_READERS.values() if kind.takes(path)), None)
    if reader is None:
        known = ", ".join(suffix for reader in MAP_READERS.values() for suffix in reader.suffixes)
        kind = next((end for end in CONVERSIONS if path.name.lower().endswith(end)), "")
        found, expected = (
            f"values of an unknown kind{', ' if kind else ''}{kind}",
            f"{known} or FreeSurfer's lh.thickness",
        )
        raise SurfaceError(path, found=found, expected=expected, hint=CONVERSIONS.get(kind, "convert it"))
    return reader()


def _dlabel(hemisphere: str, path: Path) -> tuple[NDArray[np.int32], LabelTable]:
    axis, rows = read_cifti(path, hemisphere)
    if not isinstance(axis, LabelAxis) or len(rows) != 1:
        hint = f"wb_command -cifti-merge ONE.dlabel.nii -cifti {path} -column 1"
        raise SurfaceError(path, found=counted(len(rows), "map"), expected="one map of labels", hint=hint)
    labels = np.nan_to_num(rows[0])
    here = {0, *np.unique(labels).tolist()}  # the other hemisphere's areas are left out
    entries = [(key, str(name), rgba) for key, (name, rgba) in sorted(axis.label[0].items()) if key in here]
    return keyed_labels(path, labels, entries)
