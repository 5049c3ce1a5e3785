"""Values and labels of vertices as other programs write them: GIFTI, CIFTI-2, FreeSurfer, NumPy, tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import nibabel.freesurfer as freesurfer
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis, ScalarAxis
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import gunzip, reading
from cytomesh.surface.gifti import STRUCTURES, is_no_area, read_labels, read_scalars

Maps = dict[str, NDArray[Any]]
"""Name of a map to its values, (n,)."""
T = TypeVar("T")
KNOWN_MAPS = (
    ".shape.gii, .func.gii, .dscalar.nii, .npy, .npz, .parquet, .csv, .tsv, FreeSurfer's .mgh, .mgz or lh.thickness"
)
MAX_BYTES = 2**30
"""What a packed file may become."""
KNOWN_LABELS = ".label.gii, .annot or .dlabel.nii"


def read_vertex_data(path: Path, n_vertices: int, hemisphere: str) -> Maps:
    """Read one or more values a vertex.

    Parameters
    ----------
    path : Path
        See `KNOWN_MAPS`. A table has one row a vertex, in the order of the vertices; columns of text are kept.
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
    return _rows_checked(path, _read(path, _map_reader(path, hemisphere)), n_vertices)


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


def _map_reader(path: Path, hemisphere: str) -> Callable[[Path], Maps]:
    readers: dict[str, Callable[[Path], Maps]] = {
        ".gii": _gifti,
        ".gii.gz": _gifti,
        ".dscalar.nii": partial(_dscalar, hemisphere),
        ".npy": _npy,
        ".npz": _npz,
        ".parquet": _parquet,
        ".csv": _text_table,
        ".tsv": _text_table,
        ".mgh": _mgh,
        ".mgz": _mgh,
    }
    reader = next((reader for end, reader in readers.items() if path.name.endswith(end)), None)
    if reader is None and path.name.partition(".")[0] in ("lh", "rh"):
        return lambda path: {_stem(path): freesurfer.read_morph_data(path)}
    if reader is None:
        raise SurfaceError(path, found="values of an unknown kind", expected=KNOWN_MAPS, hint="convert it")
    return reader


def _stem(path: Path) -> str:
    """Return what a file calls its values: "thickness" of sub-01.L.thickness.shape.gii and of lh.thickness."""
    name = path.name.removesuffix(".gz")
    for end in (".shape.gii", ".func.gii", ".gii", ".dscalar.nii", ".npy", ".mgh", ".mgz"):
        name = name.removesuffix(end)
    return name.rpartition(".")[2]


def _columns(name: str, values: NDArray[Any]) -> Maps:
    """Name the columns of (n,) or (n, ...) values, with a number where there are several."""
    if values.ndim == 1:
        return {name: values}
    return {f"{name} {i + 1}": column for i, column in enumerate(values.reshape(len(values), -1).T)}


def _gifti(path: Path) -> Maps:
    maps = read_scalars(path)
    return {_stem(path) if name == "map 0" and len(maps) == 1 else name: values for name, values in maps.items()}


def _dscalar(hemisphere: str, path: Path) -> Maps:
    axis, rows = _cifti(path, hemisphere)
    names = axis.name if isinstance(axis, ScalarAxis) else [f"{_stem(path)} {i + 1}" for i in range(len(rows))]
    return dict(zip(map(str, names), rows, strict=True))


def _dlabel(hemisphere: str, path: Path) -> tuple[NDArray[np.int32], LabelTable]:
    axis, rows = _cifti(path, hemisphere)
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


def _cifti(path: Path, hemisphere: str) -> tuple[Any, NDArray[np.float64]]:
    """Return the axis of maps and (maps, vertices) values of one hemisphere, NaN where the file has none."""
    image = Cifti2Image.from_filename(path)
    axes = [image.header.get_axis(i) for i in range(2)]
    if not isinstance(axes[1], BrainModelAxis):
        raise SurfaceError(path, found="no dense CIFTI file", expected="values of vertices (.dscalar.nii, .dlabel.nii)")
    structure = BrainModelAxis.to_cifti_brain_structure_name(STRUCTURES[hemisphere])
    for name, columns, model in axes[1].iter_structures():
        if name == structure:
            values = np.full((len(axes[0]), model.nvertices[name]), np.nan)
            values[:, model.vertex] = np.asarray(image.dataobj)[:, columns]
            return axes[0], values
    raise SurfaceError(path, found=f"no {structure}", expected=f"values of hemisphere {hemisphere}")


def _annot(path: Path) -> tuple[NDArray[np.int32], LabelTable]:
    """Rows of FreeSurfer's colour table become labels from 1; its rows for no area, and vertices without one, 0."""
    rows, colours, names = freesurfer.read_annot(path)
    words = [name.decode() for name in names]
    areas = [i for i, word in enumerate(words) if not is_no_area(word)]
    label_of_row = np.zeros(len(words) + 1, np.int32)  # the last one is for row -1
    label_of_row[areas] = np.arange(1, len(areas) + 1)
    rgba = np.column_stack([colours[areas, :3] / 255.0, np.ones(len(areas))])
    return label_of_row[rows], LabelTable(tuple(range(1, len(areas) + 1)), tuple(words[i] for i in areas), rgba)


def _npy(path: Path) -> Maps:
    return _columns(_stem(path), np.load(path, allow_pickle=False))


def _npz(path: Path) -> Maps:
    maps: Maps = {}
    with np.load(path, allow_pickle=False) as data:
        for name in data.files:
            maps |= _columns(name, data[name])
    return maps


def _parquet(path: Path) -> Maps:
    return _arrow(pq.read_table(path))


def _text_table(path: Path) -> Maps:
    options = pa_csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
    empty = pa_csv.ConvertOptions(null_values=["", "n/a", "NA", "NaN", "nan"])
    return _arrow(pa_csv.read_csv(path, parse_options=options, convert_options=empty))


def _arrow(table: pa.Table) -> Maps:
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _mgh(path: Path) -> Maps:
    raw = path.read_bytes()
    image = nib.MGHImage.from_bytes(gunzip(raw, MAX_BYTES) if path.suffix == ".mgz" else raw)
    values = np.asarray(image.dataobj)  # (n, 1, 1) or (n, 1, 1, maps)
    return _columns(_stem(path), values.reshape(len(values), -1) if values.ndim > 3 else values.ravel())
