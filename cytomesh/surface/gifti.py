"""GIFTI surfaces, labels and scalars that Connectome Workbench opens; hostile files are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from xml.parsers.expat import ExpatError

import nibabel as nib
import numpy as np
from nibabel.gifti import GiftiCoordSystem, GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable, GiftiMetaData
from nibabel.nifti1 import intent_codes, xform_codes
from numpy.typing import NDArray

from cytomesh.core.errors import MissingStageError, SurfaceError
from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import gunzip, reading, regular_size
from cytomesh.core.sides import check_side
from cytomesh.surface.gifti_guard import MAX_BYTES, refuse_bombs
from cytomesh.surface.keyed import keyed_labels
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.rows import distinct, in_order

Hemisphere = Literal["L", "R"]
SurfaceKind = Literal["pial", "white", "midthickness", "sphere"]
"""What a graph may have from elsewhere; `write_surface` writes inflated ones, too."""

STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}
STRUCTURE_KEY = "AnatomicalStructurePrimary"
NO_SCALARS = {"POINTSET", "TRIANGLE", "LABEL"}
# NIfTI's numbers of spaces.
UNKNOWN_SPACE, SCANNER_SPACE = 0, 1
# A centre nearer to the origin than this moves nothing.
CENTRE_MM = 0.01
_SECONDARY = {
    "pial": "Pial",
    "white": "GrayWhite",
    "midthickness": "MidThickness",
    "sphere": "",
    "inflated": "MidThickness",
}
_GEOMETRIC = {"sphere": "Spherical", "inflated": "Inflated"}


def write_surface(path: Path, mesh: Mesh, hemisphere: str, kind: SurfaceKind | Literal["inflated"]) -> None:
    """Write a `.surf.gii`; coordinates are stored as float32 (GIFTI's only float type), about 1e-5 mm."""
    anatomy = {
        STRUCTURE_KEY: STRUCTURES[hemisphere],
        "AnatomicalStructureSecondary": _SECONDARY[kind],
        "GeometricType": _GEOMETRIC.get(kind, "Anatomical"),
    }
    points = GiftiDataArray(
        mesh.vertices.astype(np.float32),
        intent="NIFTI_INTENT_POINTSET",
        datatype="NIFTI_TYPE_FLOAT32",
        meta=GiftiMetaData({key: value for key, value in anatomy.items() if value}),
        coordsys=GiftiCoordSystem(dataspace=0, xformspace=0),
    )
    triangles = GiftiDataArray(
        mesh.faces.astype(np.int32),
        intent="NIFTI_INTENT_TRIANGLE",
        datatype="NIFTI_TYPE_INT32",
        meta=GiftiMetaData({"TopologicalType": "Closed" if mesh.is_closed else "Open"}),
        coordsys=None,
    )
    _save(path, GiftiImage(darrays=[points, triangles], meta=_structure(hemisphere)))


def read_surface(path: Path, hemisphere: str | None = None) -> Mesh:
    """Read a `.surf.gii`; vertex order is kept, and coordinates are brought into the scanner's space (RAS, mm).

    FreeSurfer's are off by the centre of its volume (c_ras), which its GIFTI files name as `VolGeomC_*` and, from
    version 7 on, as a transform from unknown to scanner coordinates; that transform is applied.

    Raises
    ------
    SurfaceError
        If the file is damaged or no surface, says that it is not of `hemisphere`, if its transform leads to another
        space, or if the centre of its volume is off the origin and nothing says whether coordinates count from there.
    """
    points, faces = _read_arrays(path, hemisphere)
    with reading(path, SurfaceError, found="no surface", hint="write or download it again"):
        return Mesh(_in_scanner_space(path, points), faces)


def read_sphere(path: Path, hemisphere: str | None = None) -> Mesh:
    """Read a spherical `.surf.gii` as `read_surface` does, but leave its coordinates: it has no place in a scanner."""
    points, faces = _read_arrays(path, hemisphere)
    with reading(path, SurfaceError, found="no surface", hint="write or download it again"):
        return Mesh(points.data, faces)


def _read_arrays(path: Path, hemisphere: str | None) -> tuple[GiftiDataArray, NDArray[np.int64]]:
    image = _load(path, hemisphere)
    points = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    triangles = image.get_arrays_from_intent("NIFTI_INTENT_TRIANGLE")
    if len(points) != 1 or len(triangles) != 1:
        found = f"{len(points)} point sets and {len(triangles)} triangle lists"
        raise SurfaceError(path, found=found, expected="one of each (a .surf.gii)")
    return points[0], triangles[0].data


def read_structure(path: Path) -> Hemisphere | None:
    """Return the side that a GIFTI file says it is of (AnatomicalStructurePrimary); None if it says nothing."""
    said = _structures(_load(path))
    sides: list[Hemisphere] = ["L", "R"]
    return next((side for side in sides if STRUCTURES[side] in said), None)


def _in_scanner_space(path: Path, points: GiftiDataArray) -> NDArray[np.float64]:
    """Return the points as the file's coordinate system has them, see `read_surface`."""
    vertices = np.asarray(points.data, np.float64)
    system = points.coordsys
    matrix = np.eye(4) if system is None or system.xform is None else np.asarray(system.xform, np.float64)
    if matrix.size != 16:
        raise SurfaceError(path, "MatrixData", found=f"{matrix.size} numbers", expected="4 x 4", hint="write it again")
    matrix = matrix.reshape(4, 4)  # in one line or four
    is_affine = np.isfinite(matrix).all() and np.allclose(matrix[3], (0, 0, 0, 1), atol=1e-6)
    source, target = (0, 0) if system is None else (_space_code(system.dataspace), _space_code(system.xformspace))
    if not is_affine or not np.allclose(matrix, np.eye(4), atol=1e-6):
        if is_affine and (source, target) == (UNKNOWN_SPACE, SCANNER_SPACE) and np.linalg.cond(matrix) < 1e8:
            return vertices @ matrix[:3, :3].T + matrix[:3, 3]
        found = f"coordinates of space {source} with a transform to space {target}, {matrix.tolist()}"
        hint = "apply the transform (wb_command -surface-apply-affine) and write the identity"
        raise SurfaceError(path, found=found, expected="coordinates in scanner space, RAS, mm", hint=hint)
    centre = [float(points.meta.get(f"VolGeomC_{axis}", 0) or 0) for axis in "RAS"]
    if source == UNKNOWN_SPACE and not np.abs(centre).max() <= CENTRE_MM:  # NaN, too
        raise SurfaceError(
            path,
            found=f"a volume whose centre (VolGeomC) is {centre} mm, and no word on whether coordinates count from it",
            expected="coordinates in scanner space, RAS, mm",
            hint="write it by mris_convert --to-scanner and remove VolGeomC_*, or state the transform to scanner space",
        )
    return vertices


def _space_code(code: Any) -> int:
    """Return NIfTI's number of a space: nibabel gives numbers for files that it reads, and names as they were set."""
    return int(xform_codes.code[code])


def write_labels(path: Path, labels: NDArray[Any], table: LabelTable, hemisphere: str, name: str = "areas") -> None:
    """Write a `.label.gii` with its label table; 0 is the transparent "???", as Workbench and FreeSurfer have it.

    `name` is that of the map, as Workbench lists it.
    """
    table.check(labels, str(path))
    gifti_table = GiftiLabelTable()
    for index, area, rgba in [(0, "???", np.zeros(4)), *table.rows()]:
        label = GiftiLabel(index, *(float(value) for value in rgba))
        label.label = area
        gifti_table.labels.append(label)
    array = GiftiDataArray(
        labels.astype(np.int32),
        intent="NIFTI_INTENT_LABEL",
        datatype="NIFTI_TYPE_INT32",
        meta=GiftiMetaData({"Name": name}),
        coordsys=None,
    )
    _save(path, GiftiImage(darrays=[array], labeltable=gifti_table, meta=_structure(hemisphere)))


def read_labels(path: Path, hemisphere: str | None = None) -> tuple[NDArray[np.int32], LabelTable]:
    """Read a `.label.gii`: (n,) int32 labels and their table.

    Raises
    ------
    AtlasError
        If a value has no entry in the file's label table.
    SurfaceError
        If the file is damaged, says that it is not of `hemisphere`, or its table names two keys alike or an area by
        key 0.
    """
    image = _load(path, hemisphere)
    arrays = image.get_arrays_from_intent("NIFTI_INTENT_LABEL")
    if len(arrays) != 1:
        raise SurfaceError(path, found=f"{len(arrays)} label arrays", expected="one (a .label.gii)")
    # nibabel gives a label without text no attribute, and one without colours None
    entries = [(label.key, getattr(label, "label", None) or "", [*label.rgba]) for label in image.labeltable.labels]
    return keyed_labels(path, _vector(arrays[0].data), entries)


def write_scalars(path: Path, maps: Mapping[str, NDArray[Any]], hemisphere: str) -> None:
    """Write a `.func.gii` or `.shape.gii`: one named float32 map a data array."""
    intent = "NIFTI_INTENT_SHAPE" if path.name.endswith(".shape.gii") else "NIFTI_INTENT_NONE"
    arrays = [
        GiftiDataArray(
            values.astype(np.float32),
            intent=intent,
            datatype="NIFTI_TYPE_FLOAT32",
            meta=GiftiMetaData({"Name": name}),
            coordsys=None,
        )
        for name, values in maps.items()
    ]
    _save(path, GiftiImage(darrays=arrays, meta=_structure(hemisphere)))


def read_scalars(path: Path, hemisphere: str | None = None) -> dict[str, NDArray[np.float32]]:
    """Read the named maps of a `.func.gii` or `.shape.gii`; those without a name, or of one name, are numbered.

    AFNI's list of the vertices that rows belong to (NODE_INDEX) puts them in place.

    Raises
    ------
    SurfaceError
        If the file is damaged, says that it is not of `hemisphere`, or holds other things than values of vertices.
    """
    arrays = _load(path, hemisphere).darrays
    intents = [intent_codes.niistring[array.intent].removeprefix("NIFTI_INTENT_") for array in arrays]
    if others := sorted(set(intents) & NO_SCALARS):
        hint = "give labels as 'labels', and surfaces as surfaces"
        raise SurfaceError(path, found=f"arrays of intent {', '.join(others)}", expected="maps of values", hint=hint)
    maps = [array for array, intent in zip(arrays, intents, strict=True) if intent != "NODE_INDEX"]
    named = distinct([(array.meta.get("Name", ""), np.asarray(_vector(array.data), np.float32)) for array in maps])
    rows = [("NODE_INDEX", array.data) for array, name in zip(arrays, intents, strict=True) if name == "NODE_INDEX"]
    return in_order(path, named, rows)


def _structure(hemisphere: str) -> GiftiMetaData:
    return GiftiMetaData({STRUCTURE_KEY: STRUCTURES[hemisphere]})


def _save(path: Path, image: GiftiImage) -> None:
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def _vector(values: NDArray[Any]) -> NDArray[Any]:
    """Return (n,) for values of (n, 1)."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _load(path: Path, hemisphere: str | None = None) -> GiftiImage:
    if not path.exists() and not path.is_symlink():
        raise MissingStageError(path, found="no such file")
    with reading(
        path, SurfaceError, found="a damaged GIFTI file", hint="write or download it again", also=(ExpatError,)
    ):
        regular_size(path, MAX_BYTES)
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):  # .gii.gz, as nilearn and TemplateFlow pack them
            raw = gunzip(raw, MAX_BYTES)
        refuse_bombs(path, raw)
        image = GiftiImage.from_bytes(raw)
    if hemisphere is not None:
        check_side(path, hemisphere, _structures(image))
    return image


def _structures(image: GiftiImage) -> list[str]:
    """Return the structures that a file, or an array of it, says it is of."""
    return [text for part in (image, *image.darrays) if (text := part.meta.get(STRUCTURE_KEY))]
