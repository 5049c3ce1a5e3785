"""Where in the cortex pixels of a section lie: depth, layer and place along the sheet, of cells and of area alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.analyze.cells.config import N_BOUNDARIES
from cytomesh.analyze.cells.table import Values
from cytomesh.graph.links import Ribbon
from cytomesh.graph.locate import CorticalPlaces
from cytomesh.graph.lookup import CortexLookup
from cytomesh.study.annotation import AnnotationImage

Layering = Callable[[Values, CorticalPlaces], NDArray[np.int8]]
"""From (n, 2) pixels and their places to layers 1 to 6, 0 where it is not known."""
LEAST_WEIGHT = 1e-3
"""Of the corners of a face that know their layers, for a place in it to know its own."""


@dataclass(frozen=True, slots=True)
class Located:
    """Those of some pixels that lie in the cortex of a hemisphere.

    Parameters
    ----------
    index : (m,) int64
        Which of the pixels.
    depth : (m,) float64
        0 pial, 1 white.
    layer : (m,) int8
        1 to 6; 0 where it is not known.
    feet : (m, 3) float64
        Their places on the midsurface, world mm.
    """

    index: NDArray[np.int64]
    depth: Values
    layer: NDArray[np.int8]
    feet: Values

    def __len__(self) -> int:
        return len(self.index)


def locate(lookup: CortexLookup, section: int, pixels: Values, layering: Layering, depth: str) -> Located:
    """Locate (n, 2) pixels (column, row) of a section; `depth` is "linear" or "equivolumetric"."""
    places = lookup.places(section, pixels)
    inside = np.flatnonzero(places.is_inside)
    kept = CorticalPlaces(places.face[inside], places.weights[inside], places.depth[inside].clip(0, 1))
    feet = replace(kept, depth=np.full(len(inside), 0.5)).world(lookup.ribbon)
    return Located(inside, depths(kept, lookup.ribbon, depth), layering(pixels[inside], kept), feet)


def depths(places: CorticalPlaces, ribbon: Ribbon, kind: str) -> Values:
    """Return the depth of one kind, (n,)."""
    return places.depth if kind == "linear" else places.equivolumetric_depth(ribbon)


def ribbon_grid(lookup: CortexLookup, section: int, step_px: float) -> Values:
    """Return the points of a square grid between the pial and the white boundary of a section, (n, 2) pixels.

    Areas are counted by such points, each of which stands for a square of the grid (Gundersen and Jensen, Journal of
    Microscopy 147, 1987).
    """
    pial, white = lookup.boundaries(section)
    if not len(pial):
        return np.empty((0, 2))
    corners = pial.reshape(-1, 2)
    low = np.floor(corners.min(axis=0) / step_px)
    shape = np.ceil(corners.max(axis=0) / step_px).astype(int) - low.astype(int) + 2
    is_pial, is_white = (
        _inside(segments / step_px - low, (int(shape[1]), int(shape[0]))) for segments in (pial, white)
    )
    rows, columns = np.nonzero(is_pial & ~is_white)
    return np.asarray((np.column_stack([columns, rows]) + low) * step_px)


def _inside(segments: Values, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which points of the integer grid lie within closed lines, (h, w), by the even-odd rule.

    Every crossing of a row toggles all points to the right of it.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), np.int64)
    (x0, y0), (x1, y1) = segments[:, 0].T, segments[:, 1].T
    first, last = np.ceil(np.minimum(y0, y1)).astype(int), np.ceil(np.maximum(y0, y1)).astype(int)
    counts = last - first  # half open: a row through a corner is crossed once
    which = np.repeat(np.arange(len(segments)), counts)
    row = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (row - y0[which]) / (y1 - y0)[which]
    column = np.ceil(x0[which] + share * (x1 - x0)[which]).astype(int)
    np.add.at(toggles, (row, column.clip(0, shape[1])), 1)
    return np.asarray(np.cumsum(toggles, axis=1)[:, :-1] % 2 == 1)


def no_layers(pixels: Values, places: CorticalPlaces) -> NDArray[np.int8]:  # noqa: ARG001
    """Tell no layers apart."""
    return np.zeros(len(pixels), np.int8)


def by_depths(ribbon: Ribbon, boundaries: Values, kind: str) -> Layering:
    """Tell layers apart by fixed relative depths, (5,)."""

    def layers(pixels: Values, places: CorticalPlaces) -> NDArray[np.int8]:  # noqa: ARG001
        return (1 + np.searchsorted(boundaries, depths(places, ribbon, kind), side="left")).astype(np.int8)

    return layers


def by_node_boundaries(ribbon: Ribbon, boundaries: Values) -> Layering:
    """Tell layers apart by linear depths of boundaries at nodes, (n, 5), NaN where a node has none.

    Between nodes they are interpolated, over those corners of the face that have them.
    """

    def layers(pixels: Values, places: CorticalPlaces) -> NDArray[np.int8]:  # noqa: ARG001
        corners = ribbon.midthickness.faces[places.face]
        at = boundaries[corners]  # (n, 3, 5)
        weights = np.where(np.isfinite(at).all(axis=2), places.weights.clip(0, 1), 0.0)
        total = weights.sum(axis=1)
        here = np.einsum("nb,nbk->nk", weights, np.nan_to_num(at)) / np.maximum(total, LEAST_WEIGHT)[:, None]
        found = 1 + (places.depth[:, None] > here).sum(axis=1)
        return np.where(total >= LEAST_WEIGHT, found, 0).astype(np.int8)

    return layers


def by_nearest_cell(cells: Values, layer: NDArray[np.int8]) -> Layering:
    """Tell layers apart by the layer of the nearest cell that has one.

    The area of a layer is that of its cells' Voronoi polygons.
    """
    known = layer > 0
    tree = cKDTree(cells[known]) if known.any() else None
    own = layer[known]

    def layers(pixels: Values, places: CorticalPlaces) -> NDArray[np.int8]:
        return no_layers(pixels, places) if tree is None else own[tree.query(pixels)[1]]

    return layers


def by_labels(drawn: AnnotationImage) -> Layering:
    """Tell layers apart as they were drawn: classes 1 to 6 of the image."""

    def layers(pixels: Values, places: CorticalPlaces) -> NDArray[np.int8]:  # noqa: ARG001
        found = drawn.sample(pixels)
        return np.where((found >= 1) & (found <= N_BOUNDARIES + 1), found, 0).astype(np.int8)

    return layers


def node_boundaries(columns: dict[str, Values], names: tuple[str, ...]) -> Values | None:
    """Return boundaries as linear depths, (n, 5), from columns `layer_I_share` ... or else `layer_I_mm` ...

    None if neither is there for all six layers.
    """
    for end in ("share", "mm"):
        wanted = [f"layer_{name}_{end}" for name in names]
        if all(name in columns for name in wanted):
            thickness = np.column_stack([np.asarray(columns[name], np.float64) for name in wanted])
            total = thickness.sum(axis=1, keepdims=True)
            with np.errstate(invalid="ignore", divide="ignore"):
                shares = np.where(total > 0, thickness / total, np.nan)
            return np.asarray(np.cumsum(shares, axis=1)[:, :N_BOUNDARIES])
    return None
