"""The columns of a graph's node table: their units, and what every stage relies on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError
from cytomesh.core.reading import way_back
from cytomesh.core.tables import Table

NODE_UNITS = {
    "x_mm": "mm",
    "y_mm": "mm",
    "z_mm": "mm",
    "ref_x_mm": "mm",
    "ref_y_mm": "mm",
    "ref_z_mm": "mm",
    "column_px": "px",
    "row_px": "px",
    "angle_deg": "deg",
    "obliqueness_deg": "deg",
    "distance_mm": "mm",
    "thickness_mm": "mm",
    "curvature_per_mm": "1/mm",
    "sulcal_depth_mm": "mm",
    "area_mm2": "mm2",
}
FACTS = ("brain", "hemisphere", "brain_role")
"""What the metadata of a node table says of the whole graph."""
PLACE = ("x_mm", "y_mm", "z_mm")
LINK = ("column_px", "row_px", "angle_deg")
COLUMNS = {
    **dict.fromkeys((*PLACE, *LINK, "ref_x_mm", "ref_y_mm", "ref_z_mm"), "f"),
    **dict.fromkeys(("section", "annotation"), "i"),
    "is_linked": "b",
    "section_role": "U",
}
"""What every stage reads of a node table, and of which kind it is."""
MAX_COORDINATE = 1e9
# Meshes are stored as float32: about 1e-5 mm.
SAME_PLACE_MM = 0.01


def check_facts(path: Path, nodes: Table) -> None:
    """Raise GraphError if the table lost what cytomesh writes beside its columns."""
    missing = [fact for fact in FACTS if fact not in nodes.metadata]
    if missing:
        writer = "by pandas" if "pandas" in nodes.metadata else "by another program"
        found = f"no {', '.join(missing)} in the metadata of the file: it was written again {writer}"
        hint = f"{way_back(path)}; to change columns, keep the metadata (pyarrow: replace_schema_metadata)"
        raise GraphError(path, found=found, expected="a node table of cytomesh", hint=hint)


def check_columns(path: Path, nodes: Table) -> None:
    """Raise GraphError unless all columns that every stage reads are there, of their kind and within its range."""
    wrong = []
    for name, kind in COLUMNS.items():
        if name not in nodes:
            wrong.append(f"no {name}")
            continue
        values = np.asarray(nodes[name])
        if values.ndim != 1 or (values.dtype.kind not in {"b": "b", "i": "iu", "f": "iuf", "U": "OU"}[kind]):
            wrong.append(f"{name} of type {values.dtype}")
        elif kind == "U" and not all(isinstance(value, str) for value in values.tolist()):
            wrong.append(f"{name} without a word")
        elif kind == "i" and values.size and not -1 <= int(values.min()) <= int(values.max()) < 2**31:
            wrong.append(f"{name} from {values.min()} to {values.max()}")
    if wrong:
        raise GraphError(path, found="; ".join(wrong[:5]), expected="the columns of a graph", hint=way_back(path))
    links = nodes.stack(LINK)[np.asarray(nodes["is_linked"])]
    links = links[~np.isnan(links).all(axis=1)]  # imported nodes have no place in an image
    for name, values in zip(LINK, links.T, strict=True):
        if not (np.abs(values) < MAX_COORDINATE).all():  # NaN, too
            raise GraphError(path, name, found="NaN or huge values at linked nodes", hint=way_back(path))


def check_rows(path: Path, nodes: Table, reference: NDArray[np.float64], vertices: NDArray[np.float64]) -> None:
    """Raise GraphError unless row i is vertex i: the table says where each node lies, and so does the mesh.

    Parameters
    ----------
    path : Path
        Of the table.
    nodes : Table
    reference : (n, 3) float64
        Nodes in the reference space, mm.
    vertices : (n, 3) float64
        Vertices of the midsurface, mm.
    """
    if not (np.abs(reference) < MAX_COORDINATE).all():
        raise GraphError(path, found="reference positions that are not finite, or huge", hint=way_back(path))
    away = np.linalg.norm(nodes.stack(PLACE) - vertices, axis=1)
    wrong = ~(away <= SAME_PLACE_MM)  # NaN, too
    if wrong.any():
        raise GraphError(
            path,
            f"row {int(np.argmax(wrong))}",
            found=f"{int(wrong.sum())} of {len(vertices)} rows up to {np.nanmax(away):.1f} mm from their vertices",
            expected="row i to be vertex i of midthickness.surf.gii",
            hint=f"the rows were sorted or joined elsewhere: {way_back(path)}",
        )
