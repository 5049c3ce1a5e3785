"""Where each pixel of a section lies in the cortex: depth, area, layer, and its place along the sheet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.surface.mesh import Mesh

REACH_MM = 8.0
"""No cortex is thicker: surfaces further than this from a plane do not matter to it."""


@dataclass(frozen=True)
class Slab:
    """The part of one brain's cortex around a section plane.

    Parameters
    ----------
    pial, white : (n, 3) float32
        Vertices, mm.
    faces : (m, 3) int64
        Faces near the plane.
    labels : (n,) int32
        Area of each vertex.
    sheet : (n, 6) float32
        Fluctuation of the log cell density of each layer along the sheet.
    """

    pial: NDArray[np.float32]
    white: NDArray[np.float32]
    faces: NDArray[np.int64]
    labels: NDArray[np.int32]
    sheet: NDArray[np.float32]


@dataclass(frozen=True)
class SlabRibbon:
    """The pixels of the cortex in one section, (n,) each.

    Parameters
    ----------
    rows, columns : int64
        Pixels.
    depth : float32
        Distance from pial over the sum of the distances from pial and white: 0 pial, 1 white.
    labels : int32
        Area of the nearest point of the midsurface.
    sheet : (n, 6) float32
        See `Slab`.
    feet : (n, 3) float32
        Projection on the midsurface, mm: where along the sheet the pixel lies.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    depth: NDArray[np.float32]
    labels: NDArray[np.int32]
    sheet: NDArray[np.float32]
    feet: NDArray[np.float32]


def crop(slab: Slab, height_pial: NDArray[np.float64], height_white: NDArray[np.float64]) -> Slab:
    """Return the faces with a corner within `REACH_MM` of the plane, and their vertices only."""
    near = np.minimum(np.abs(height_pial), np.abs(height_white)) < REACH_MM
    faces = slab.faces[near[slab.faces].any(axis=1)]
    used, index = np.unique(faces, return_inverse=True)
    return Slab(slab.pial[used], slab.white[used], index.reshape(-1, 3), slab.labels[used], slab.sheet[used])


def locate(slab: Slab, mask: NDArray[np.bool_], to_world: NDArray[np.float64], step: int) -> SlabRibbon:
    """Find depth, area and place along the sheet of the masked pixels.

    Parameters
    ----------
    mask : (h, w) bool
        Pixels of the cortex.
    to_world : (3, 3) float64
        Pixels to world, see `SectionPlane`.
    step : int
        Distances are computed at every `step`-th pixel and interpolated in between.
    """
    rows, columns = np.nonzero(mask)
    width = mask.shape[1] // step + 2
    corner = rows // step * width + columns // step
    is_needed = np.zeros((mask.shape[0] // step + 2) * width, bool)
    for offset in (0, 1, width, width + 1):
        is_needed[corner + offset] = True
    nodes = np.flatnonzero(is_needed)
    place = np.cumsum(is_needed) - 1
    node_rows, node_columns = np.divmod(nodes, width)
    pixels = step * np.stack([node_columns, node_rows], axis=1)
    world = pixels @ to_world[:, :2].T + to_world[:, 2]
    to_pial, _ = _distance(slab.pial, slab.faces, world)
    to_white, _ = _distance(slab.white, slab.faces, world)
    middle = 0.5 * (slab.pial + slab.white)
    _, sample = _distance(middle, slab.faces, world)
    feet = sample.foot
    part_row, part_column = (rows % step / step)[:, None], (columns % step / step)[:, None]
    values = np.column_stack([to_pial, to_white, feet]).astype(np.float32)
    at = [values[place[corner + offset]] for offset in (0, 1, width, width + 1)]
    top = at[0] + (at[1] - at[0]) * part_column
    bottom = at[2] + (at[3] - at[2]) * part_column
    mixed = top + (bottom - top) * part_row
    closest = (rows + step // 2) // step * width + (columns + step // 2) // step
    vertex = sample.vertex[place[closest]]
    depth = mixed[:, 0] / np.maximum(mixed[:, 0] + mixed[:, 1], 1e-6)
    return SlabRibbon(
        rows,
        columns,
        depth.astype(np.float32),
        slab.labels[vertex],
        slab.sheet[vertex],
        mixed[:, 2:].astype(np.float32),
    )


@dataclass(frozen=True)
class _Nearest:
    foot: NDArray[np.float64]
    vertex: NDArray[np.int64]


def _distance(
    points: NDArray[np.floating], faces: NDArray[np.int64], queries: NDArray[np.float64]
) -> tuple[NDArray[np.float64], _Nearest]:
    """Distance of each query from a triangle mesh, with its foot and the vertex next to the foot.

    Each face is sampled at the centres of its four quarters; the distance is that from the face's plane, but at
    least what the distance from the sample leaves, given how large a quarter is.
    """
    corners = points[faces].astype(np.float64)  # (m, 3, 3)
    centre = corners.mean(axis=1, keepdims=True)
    quarters = np.concatenate([centre, 0.5 * (centre + corners)], axis=1).reshape(-1, 3)
    owner = np.concatenate([faces[:, :1], faces], axis=1).ravel()
    normals = np.repeat(Mesh(np.asarray(points, np.float64), faces).face_normals, 4, axis=0)
    radius = np.repeat(0.5 * np.linalg.norm(corners - centre, axis=2).max(axis=1), 4)
    away, nearest = cKDTree(quarters, leafsize=32, balanced_tree=False).query(queries)
    offset = np.einsum("ij,ij->i", queries - quarters[nearest], normals[nearest])
    distance = np.maximum(np.abs(offset), away - radius[nearest])
    return distance, _Nearest(queries - offset[:, None] * normals[nearest], owner[nearest])
