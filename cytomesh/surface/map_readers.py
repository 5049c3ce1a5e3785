"""Readers of values of vertices: GIFTI, CIFTI-2, FreeSurfer, NumPy, tables; other packages add theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import nibabel.freesurfer as freesurfer
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, ScalarAxis
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.reading import gunzip
from cytomesh.core.registry import Registry
from cytomesh.surface.gifti import STRUCTURES, read_scalars
from cytomesh.surface.rows import Named, distinct, in_order, numbers_rows

Maps = dict[str, NDArray[Any]]
"""Name of a map to its values, (n,)."""
MAX_BYTES = 2**30
"""What a packed file may become."""
MAX_LINE = 2**20
NO_VALUE = [
    "",
    *(word for text in ("n/a", "na", "nan", "null", "#n/a") for word in (text, text.upper())),
    "NaN",
    "None",
]
"""Cells of text tables without a value."""
CONVERSIONS = {
    ".label": "a list of vertices; numpy: mask = zeros(n); mask[nibabel.freesurfer.read_label('lh.cortex.label')] = 1; "
    "save('lh.cortex.npy', mask)",
    ".asc": "FreeSurfer's text; take the file that it was made from, or mris_convert -c lh.thickness.asc lh.white "
    "lh.thickness.shape.gii",
    ".annot": "areas: give the file as 'labels'",
    ".dlabel.nii": "areas: give the file as 'labels'",
    ".surf.gii": "a surface: give the file as midthickness, pial, white or sphere",
    ".dtseries.nii": "a time series; wb_command -cifti-reduce IN.dtseries.nii MEAN OUT.dscalar.nii",
    ".nii": "a volume; wb_command -volume-to-surface-mapping, or mri_vol2surf",
    ".nii.gz": "a volume; wb_command -volume-to-surface-mapping, or mri_vol2surf",
    ".txt": "a table without names; give it a first row of names, separated by commas, as .csv",
    ".1d": "a table without names; give it a first row of names, separated by commas, as .csv",
    ".niml.dset": "AFNI's; ConvertDset -o_gii -input IN.niml.dset -prefix OUT.func.gii",
}
"""Kinds of files that are known, and are no maps: what they are, and the way from there."""


class MapReader(ABC):
    """Reads values of vertices from the files of some suffixes."""

    suffixes: ClassVar[tuple[str, ...]]
    """Ends of file names."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        """Return whether a file is of this kind, by its name."""
        return path.name.lower().endswith(cls.suffixes)

    @abstractmethod
    def read(self, path: Path, hemisphere: str) -> Maps:
        """Return (n,) values a map by its name, NaN at vertices without one; whatever it raises names the file.

        Parameters
        ----------
        path : Path
        hemisphere : str
            "L" or "R": which part of a file with both is meant.
        """


MAP_READERS: Registry[MapReader] = Registry(
    "cytomesh.feature_readers",
    MapReader,
    {
        "gifti": "cytomesh.surface.map_readers:GiftiReader",
        "cifti": "cytomesh.surface.map_readers:CiftiReader",
        "numpy": "cytomesh.surface.map_readers:NumpyReader",
        "parquet": "cytomesh.surface.map_readers:ParquetReader",
        "text": "cytomesh.surface.map_readers:TextReader",
        "mgh": "cytomesh.surface.map_readers:MghReader",
        "morph": "cytomesh.surface.map_readers:MorphReader",
    },
)


class GiftiReader(MapReader):
    """GIFTI's func and shape files."""

    suffixes = (".shape.gii", ".func.gii", ".gii", ".gii.gz")

    def read(self, path: Path, hemisphere: str) -> Maps:
        """Return the maps by their names."""
        maps = read_scalars(path, hemisphere)
        return {stem(path) if name == "map 0" and len(maps) == 1 else name: values for name, values in maps.items()}


class CiftiReader(MapReader):
    """Dense scalars of CIFTI-2."""

    suffixes = (".dscalar.nii",)

    def read(self, path: Path, hemisphere: str) -> Maps:
        """Return the maps of the hemisphere by their names."""
        axis, rows = read_cifti(path, hemisphere)
        names = axis.name if isinstance(axis, ScalarAxis) else [f"{stem(path)} {i + 1}" for i in range(len(rows))]
        return distinct(zip(map(str, names), rows, strict=True), stem(path))


class NumpyReader(MapReader):
    """NumPy's arrays, (n,) or (n, maps)."""

    suffixes = (".npy", ".npz")

    def read(self, path: Path, hemisphere: str) -> Maps:  # noqa: ARG002
        """Return the columns by the names of their arrays."""
        if path.suffix.lower() == ".npy":
            return dict(_columns(stem(path), np.load(path, allow_pickle=False)))
        with np.load(path, allow_pickle=False) as data:
            return distinct(column for name in data.files for column in _columns(name, data[name]))


class ParquetReader(MapReader):
    """Parquet tables."""

    suffixes = (".parquet",)

    def read(self, path: Path, hemisphere: str) -> Maps:  # noqa: ARG002
        """Return the columns."""
        return _arrow(path, pq.read_table(path))


class TextReader(MapReader):
    """Tables as text, with names in the first row."""

    suffixes = (".csv", ".tsv")

    def read(self, path: Path, hemisphere: str) -> Maps:  # noqa: ARG002
        """Return the columns."""
        with path.open("rb") as file:
            head = file.readline(MAX_LINE)
        if b";" in head and not (b"," in head or b"\t" in head):  # of a locale whose numbers have commas
            expected = "commas (.csv) or tabs (.tsv) between columns, and points in numbers"
            hint = "pandas.read_csv(OLD, sep=';', decimal=',').to_csv(NEW, index=False)"
            raise SurfaceError(path, "line 1", found="semicolons between columns", expected=expected, hint=hint)
        options = pa_csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        empty = pa_csv.ConvertOptions(null_values=NO_VALUE)
        table = pa_csv.read_csv(path, parse_options=options, convert_options=empty)
        if all(map(is_number, table.column_names)):
            hint = "write the names of the columns above the first row"
            raise SurfaceError(path, "line 1", found="numbers", expected="names of columns", hint=hint)
        return _arrow(path, table)


class MghReader(MapReader):
    """FreeSurfer's volumes of one row per vertex."""

    suffixes = (".mgh", ".mgz")

    def read(self, path: Path, hemisphere: str) -> Maps:  # noqa: ARG002
        """Return the frames."""
        raw = path.read_bytes()
        image = nib.MGHImage.from_bytes(gunzip(raw, MAX_BYTES) if path.suffix.lower() == ".mgz" else raw)
        # (n, 1, 1), or as FreeSurfer reshapes long ones, (n / 6, 1, 6); and (..., maps)
        values = np.asarray(image.dataobj)
        shape = (-1, values.shape[3]) if values.ndim > 3 else (-1,)
        return dict(_columns(stem(path), values.reshape(shape, order="F")))


class MorphReader(MapReader):
    """FreeSurfer's lh.thickness and the like, which have no suffix of their own."""

    suffixes = ()

    @classmethod
    def takes(cls, path: Path) -> bool:
        """Return whether the name is as FreeSurfer's are, lh.thickness or lh.area.pial."""
        side, _, name = path.name.partition(".")
        return side in ("lh", "rh") and not name.endswith(tuple(CONVERSIONS))

    def read(self, path: Path, hemisphere: str) -> Maps:  # noqa: ARG002
        """Return the values."""
        return {stem(path): freesurfer.read_morph_data(path)}


def read_cifti(path: Path, hemisphere: str) -> tuple[Any, NDArray[np.float64]]:
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


def stem(path: Path) -> str:
    """Return what a file calls its values: "thickness" of sub-01.L.thickness.shape.gii and of lh.thickness."""
    name = path.name
    for end in (".gz", ".shape.gii", ".func.gii", ".gii", ".dscalar.nii", ".npy", ".mgh", ".mgz"):
        name = name[: -len(end)] if name.lower().endswith(end) else name
    return name.rpartition(".")[2]


def _columns(name: str, values: NDArray[Any]) -> list[Named]:
    """Name the columns of (n,) or (n, ...) values, with a number where there are several."""
    if values.ndim == 1:
        return [(name, values)]
    return [(f"{name} {i + 1}", column) for i, column in enumerate(values.reshape(len(values), -1).T)]


def _arrow(path: Path, table: pa.Table) -> Maps:
    """Return the columns of a table, its rows in the order of the vertices that a column, or pandas' index, names."""
    facts = (table.schema.pandas_metadata or {}).get("index_columns", [])
    index = {name for name in facts if isinstance(name, str)}
    named = [(field.name, _plain(column)) for field, column in zip(table.schema, table.columns, strict=True)]
    is_row = [name in index or numbers_rows(path, name, values) for name, values in named]
    rows = [column for column, is_its in zip(named, is_row, strict=True) if is_its]
    rows += [("index", _range(range_)) for range_ in facts if isinstance(range_, dict) and range_.get("step") != 1]
    others = [column for column, is_its in zip(named, is_row, strict=True) if not is_its]
    return in_order(path, distinct(others), rows)


def _range(facts: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return an index that pandas keeps as a rule, such as that of rows in reverse order."""
    return np.arange(facts["start"], facts["stop"], facts["step"])


def is_number(text: str) -> bool:
    """Return whether a cell of a table is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as an array; one without any value, which has no type, as NaN."""
    return np.full(len(column), np.nan) if pa.types.is_null(column.type) else column.to_numpy()
