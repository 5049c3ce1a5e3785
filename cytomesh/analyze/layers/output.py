"""What a segmentation leaves: label pyramids, contours, thickness per node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon
from skimage.measure import find_contours

from cytomesh.analyze.layers.classes import LAYERS, TABLE
from cytomesh.analyze.layers.ribbon import Grid
from cytomesh.analyze.measures import save_measures
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.label_pyramid import write_ome_labels
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.sections import Section
from cytomesh.surface.gifti import write_scalars

SIMPLIFY_PX = 0.1
"""Points of contours closer to the line between their neighbours are left out, in pixels of the segmentation."""
PREDICTED, TRUE = "layers", "truth"


def section_stem(brain: str, index: int) -> str:
    """Return how the files of a section are called."""
    return f"{brain}_section-{index:04d}"


def labels_path(folder: Path, stem: str) -> Path:
    """Return the OME-Zarr of a section's labels: `labels/layers` and, where it was drawn, `labels/truth`."""
    return folder / "masks" / f"{stem}.ome.zarr"


def write_section(
    folder: Path,
    section: Section,
    grid: Grid,
    painted: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None,
) -> None:
    """Write the label pyramid of a section and its contours, which QuPath opens.

    Parameters
    ----------
    folder : Path
        Of the analysis.
    painted : (h, w) uint8
        On the grid.
    truth : (h, w) uint8, optional
        What was drawn, on the same grid.
    """
    labels = {PREDICTED: painted} | ({} if truth is None else {TRUE: truth})
    um = grid.scale * section.um_per_px
    stem = section_stem(section.brain, section.index)
    write_ome_labels(labels_path(folder, stem), labels, um, TABLE)
    contours = folder / "contours" / f"{stem}.geojson"
    write_geojson(contours, {name: _polygons(contours, painted == index, grid) for index, name in _named()})


def _named() -> list[tuple[int, str]]:
    return list(zip(TABLE.indices, TABLE.names, strict=True))


def _polygons(path: Path, mask: NDArray[np.bool_], grid: Grid) -> MultiPolygon:
    """Return the outlines of a mask in pixels of the image, centres at integers.

    Without any smoothing, through which layers of one pixel would fall apart; pixels that touch at a corner hang
    together, so that a line of them keeps its area in all directions.
    """
    padded = find_contours(np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="high")
    parts = [Polygon(rings[0], rings[1:]) for rings in even_odd([ring[:, ::-1] - 1 for ring in padded], path)]
    outline = shapely.transform(shapely.simplify(MultiPolygon(parts), SIMPLIFY_PX), grid.image_pixels)
    return MultiPolygon([part for part in shapely.get_parts(outline) if not part.is_empty])


def thickness_columns(shares: NDArray[np.float64], thickness_mm: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return `layer_I_mm`, ..., `layer_I_share`, ... of nodes from shares, (n, 6), and the cortex's thickness, (n,)."""
    mm = shares * thickness_mm[:, None]
    return {f"layer_{name}_mm": mm[:, i] for i, name in enumerate(LAYERS)} | {
        f"layer_{name}_share": shares[:, i] for i, name in enumerate(LAYERS)
    }


def write_shares(folder: Path, graph: CortexGraph, shares: Mapping[str, NDArray[np.float64]]) -> None:
    """Write what each method found at a graph's nodes, and the truth, to compare them: `shares/<graph>.parquet`.

    Parameters
    ----------
    shares : dict of str to (n, 6) float64
        By method, or `truth`; NaN where none was measured. Columns are `<method>: <layer>`.
    """
    columns = {f"{name}: {layer}": own[:, i] for name, own in shares.items() for i, layer in enumerate(LAYERS)}
    write_table(folder / "shares" / f"{graph.name}.parquet", Table(columns))


def write_nodes(folder: Path, graph: CortexGraph, shares: NDArray[np.float64]) -> None:
    """Write the thickness of layers at a graph's nodes: `nodes/<graph>.parquet`, `<graph>_layer_<I>.shape.gii`."""
    columns = thickness_columns(shares, np.asarray(graph.nodes["thickness_mm"], np.float64))
    units = {name: "mm" for name in columns if name.endswith("_mm")}
    save_measures(folder, graph, columns, units)
    for layer in LAYERS:
        names = (f"layer_{layer}_mm", f"layer_{layer}_share")
        # 0 is "no data" in the programs that show it
        maps = {f"{graph.name} {name}": np.nan_to_num(columns[name]) for name in names}
        write_scalars(folder / f"{graph.name}_layer_{layer}.shape.gii", maps, graph.hemisphere)
