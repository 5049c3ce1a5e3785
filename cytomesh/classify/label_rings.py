"""Polygons of a label image: the edges of its pixels, followed round each region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.surface.compiled import kernel

SMOOTHINGS = 8
FARTHEST = 0.45
"""How far corners move in columns and in rows, px. Within half a pixel of different corners, no two edges can cross."""


def label_polygons(image: NDArray[np.int32]) -> dict[int, MultiPolygon]:
    """Return the region of each label, in (column, row) with pixel centres at integers.

    Parameters
    ----------
    image : (h, w) int32
        0 belongs to no region.

    Returns
    -------
    dict of int to MultiPolygon
        With holes; corners lie where a region's edge turns. Pixels that touch at a corner only are two polygons.
    """
    from skimage.measure import label as components

    padded = np.pad(image, 1)
    parts = components(padded, background=0, connectivity=1)
    label_of = np.zeros(parts.max() + 1, np.int32)
    label_of[parts] = padded
    corners, starts, part_of = _trace(parts)
    polygons: dict[int, list[Polygon]] = defaultdict(list)
    rings = np.split(corners - 1.5, starts[1:])
    # the first ring of a part is its outer one: rows are searched from above
    order = np.argsort(part_of, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(part_of[order])) + 1) if len(order) else []:
        shell, *holes = (rings[i] for i in group)
        polygons[int(label_of[part_of[group[0]]])].append(Polygon(shell, holes))
    return {label: _valid(polygons[label]) for label in sorted(polygons)}


def smooth_borders(regions: Sequence[MultiPolygon]) -> NDArray[np.object_]:
    """Return the regions of a label image with smooth borders in the place of stairs; those that meet still share them.

    Each corner moves to between itself and the middle of the two beside it, several times, by less than half a pixel in
    all; where three or more regions meet, it stays.

    Parameters
    ----------
    regions : sequence of MultiPolygon
        Of `label_polygons`.
    """
    dense = shapely.segmentize(np.array(regions, object), 1.0)
    places, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(dense)), return_index=True)
    corners, corner = np.unique(np.rint(2 * places), axis=0, return_inverse=True)
    corner = corner.reshape(-1)
    follows = ring[:-1] == ring[1:]
    ends = np.stack([corner[:-1][follows], corner[1:][follows]])
    links = sp.csr_matrix((np.ones(ends.shape[1]), ends), (len(corners), len(corners)))
    links = (links + links.T).astype(bool).astype(np.float64)
    is_free = (np.asarray(links.sum(axis=1)).ravel() == 2)[:, None]
    start = corners / 2
    moved = start
    for _ in range(SMOOTHINGS):
        moved = np.where(is_free, 0.5 * moved + 0.25 * (links @ moved), moved)
    moved = start + np.clip(moved - start, -FARTHEST, FARTHEST)
    return np.asarray(shapely.transform(dense, lambda _: moved[corner]))


def _valid(polygons: list[Polygon]) -> MultiPolygon:
    # a region that meets itself at a corner has a ring that touches itself
    whole = [p if p.is_valid else shapely.make_valid(p, method="structure", keep_collapsed=False) for p in polygons]
    return MultiPolygon([part for item in whole for part in shapely.get_parts(item)])


@kernel
def _trace(parts):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Follow every edge of every part, the part on the right; returns corners (n, 2), starts of rings, their parts.

    Pixels are counted from their upper left corner; the image has a border of zeros.
    """
    down, right = np.array((0, 1, 0, -1)), np.array((1, 0, -1, 0))
    # the end of a pixel's upper, right, lower and left edge
    end_row, end_column = np.array((0, 1, 1, 0)), np.array((1, 1, 0, 0))
    is_seen = np.zeros(parts.shape, np.bool_)
    corners, starts, part_of = [], [], []  # type: ignore[var-annotated]
    for row in range(1, parts.shape[0] - 1):
        for column in range(1, parts.shape[1] - 1):
            part = parts[row, column]
            if part == 0 or parts[row - 1, column] == part or is_seen[row, column]:
                continue
            starts.append(len(corners))
            part_of.append(part)
            r, c, side = row, column, 0
            while not (side == 0 and is_seen[r, c]):
                if side == 0:
                    is_seen[r, c] = True
                ahead_r, ahead_c = r + down[side], c + right[side]
                # to the left of the way: across the edge
                beyond_r, beyond_c = ahead_r + down[side - 1], ahead_c + right[side - 1]
                corner = (c + end_column[side], r + end_row[side])
                if parts[ahead_r, ahead_c] != part:
                    side = (side + 1) % 4
                    corners.append(corner)
                elif parts[beyond_r, beyond_c] != part:
                    r, c = ahead_r, ahead_c
                else:
                    r, c, side = beyond_r, beyond_c, (side + 3) % 4
                    corners.append(corner)
    found = np.empty((len(corners), 2))
    for i in range(len(corners)):
        found[i, 0], found[i, 1] = corners[i]
    return found, np.array(starts, np.int64), np.array(part_of, np.int64)
