"""Genus-0 objects from signed distances: white from its deepest point, pial from white, the middle between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from cytomesh.surface.compiled import kernel
from cytomesh.surface.stack import Grid
from cytomesh.surface.topology import OFFSETS, deform, euler_number, fill_cavities, flat_offsets, slabs

LEAST = np.float32(1e-3)
N_PLACES = 200
NEIGHBOURHOOD = np.zeros((3, 3, 3), bool)
NEIGHBOURHOOD[tuple((OFFSETS + 1).T)] = True
BANK_SHARE = 0.25
"""A ridge between white banks is a sulcus where pial is nearer than this share of the distance to white."""
BUMP_MM = 2.0
"""Range over which the middle gives way around a place where its level has a handle."""


def grow_white(white: NDArray[np.float32], repair_mm: float) -> NDArray[np.uint8]:
    """Grow a genus-0 object a little too far from the deepest point, then peel it back to the contours.

    Growth in order of depth cuts a handle where it is thinnest; the excess bridges gaps thinner than twice
    `repair_mm`, and the way back leaves only what the topology needs.
    """
    fill_cavities(white, LEAST)
    state = np.zeros(white.shape, np.uint8)
    state[np.unravel_index(int(white.argmax()), white.shape)] = 1
    deform(state, 0, lambda layers: -white[layers], -float(white.max()), repair_mm)
    deform(state, 1, lambda layers: white[layers], -repair_mm, 0.0)
    return state


def grow_pial(
    pial: NDArray[np.float32], white: NDArray[np.float32], is_white: NDArray[np.uint8], voxel_mm: float
) -> NDArray[np.uint8]:
    """Grow from white through the ribbon in order of relative depth: fronts of two banks meet midway between them.

    Voxels on the ridge between two banks are kept out first, then background that does not reach the outside is filled.
    """
    _open_sulci(pial, white, voxel_mm)
    fill_cavities(pial, LEAST)

    def relative_depth(layers: slice) -> NDArray[np.float32]:
        outside = np.maximum(-white[layers], LEAST)
        key = outside / (outside + np.maximum(pial[layers], LEAST))
        key[pial[layers] <= 0] = 2.0
        return np.asarray(key)

    state = is_white.copy()
    deform(state, 0, relative_depth, 0.0, 1.0)
    return state


def inside(field: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a field is positive, but for the grid's outermost layer.

    A body that ends abruptly flares, maybe as far as that; no object grows into it.
    """
    result = field > 0
    for axis in range(3):
        np.moveaxis(result, axis, 0)[[0, -1]] = False
    return result


def make_consistent(field: NDArray[np.float32], state: NDArray[np.uint8]) -> None:
    """Give a field the sign that the corrected object has, with the least change."""
    for layers in slabs(field.shape):
        np.maximum(field[layers], LEAST, out=field[layers], where=state[layers] == 1)
        np.minimum(field[layers], -LEAST, out=field[layers], where=state[layers] == 0)


def describe_correction(
    is_inside: NDArray[np.bool_], field: NDArray[np.float32], state: NDArray[np.uint8], grid: Grid
) -> dict[str, Any]:
    """Describe what topology correction changed; a place is a connected group of voxels.

    Voxels that were opened as the ridge of a closed sulcus are among those cut: sheets of one voxel, a share of the
    object that falls with the voxels' size. A discarded piece is a part of the object of which nothing is left.

    Parameters
    ----------
    is_inside : (ni, nj, nk) bool
        The object as the contours have it.
    field : (ni, nj, nk) float32
        Distance from which the object was grown, with sulci opened and cavities filled.
    state : (ni, nj, nk) uint8
        1 in the corrected object.
    grid : Grid
    """
    is_filled, is_cut = (state == 1) & ~is_inside, (state == 0) & is_inside
    discarded = _discarded(is_inside, np.flatnonzero(is_cut))
    changed = np.flatnonzero(is_filled | is_cut)
    n_places, place = _connected(changed, flat_offsets(state.shape)[:7])
    sizes = np.bincount(place, minlength=n_places)
    indices = np.unravel_index(changed, state.shape)
    centres = np.column_stack([np.bincount(place, axis, n_places) for axis in indices]) / np.maximum(sizes, 1)[:, None]
    largest = np.argsort(-sizes, kind="stable")[:N_PLACES]
    return {
        "euler_number_before": 2 * euler_number(is_inside),
        "voxels_before": int(np.count_nonzero(is_inside)),
        "voxels_filled": int(is_filled.sum()),
        "voxels_cut": int(is_cut.sum()),
        "voxels_opened": int((is_cut & (field <= 0)).sum()),
        "n_places": int(n_places),
        "places_mm": grid.world(centres[largest]).round(2).tolist(),
        "places_voxels": sizes[largest].tolist(),
        "n_discarded": len(discarded),
        "discarded_mm3": float(discarded.sum() * grid.voxel_mm**3),
        "largest_discarded_mm3": float(discarded.max(initial=0) * grid.voxel_mm**3),
    }


def _discarded(is_inside: NDArray[np.bool_], cut: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sizes of the groups of cut voxels (flat indices, ascending) that border no other voxel of the object.

    The outermost layer of the grid is no object: flat steps stay within it.
    """
    n_groups, group = _connected(cut, flat_offsets(is_inside.shape)[:7])
    inside, is_whole = is_inside.reshape(-1), np.ones(n_groups, np.bool_)
    for step in flat_offsets(is_inside.shape):
        beside = cut + step
        at = np.minimum(np.searchsorted(cut, beside), max(len(cut) - 1, 0))
        is_whole[group[inside[beside] & (cut[at] != beside)]] = False
    return np.asarray(np.bincount(group, minlength=n_groups)[is_whole])


def _connected(points: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[int, NDArray[np.int32]]:
    """Return how many groups a few points of a large grid (flat indices, ascending) form, and the group of each."""
    after = np.searchsorted(points, points[:, None] + steps)
    is_neighbour = points[np.minimum(after, len(points) - 1)] == points[:, None] + steps
    first, second = np.nonzero(is_neighbour)[0], after[is_neighbour]
    links = sp.coo_matrix((np.ones(len(first), bool), (first, second)), shape=(len(points), len(points)))
    n_groups, group = connected_components(links, directed=False)
    return int(n_groups), np.asarray(group)


def grow_middle(depth: NDArray[np.float32], voxel_mm: float) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
    """Grow the object from white to the depth 0.5, of genus 0 like the two boundaries around it.

    Where the level 0.5 has a handle that neither boundary has (two white banks with no pial between them), a mere cut
    would leave two sheets in contact. There the surface runs at a greater depth instead, at which the handle is open.

    Returns
    -------
    field : (ni, nj, nk) float32
        Positive inside, zero on the middle: depth - 0.5 but for such places.
    is_inner : (ni, nj, nk) uint8
        The object.
    n_places : int
        Number of places that give way.
    """
    field = depth - np.float32(0.5)
    is_inner = np.zeros(field.shape, np.uint8)
    is_inner[np.unravel_index(int(field.argmax()), field.shape)] = 1
    deform(is_inner, 0, lambda layers: -field[layers], -float(field.max()), 0.0)
    n_places = 0
    for _ in range(4):
        labels, n_labels = ndimage.label((is_inner == 0) & (field > 0), NEIGHBOURHOOD)
        n_places = max(n_places, int(n_labels))
        if not n_labels:
            break
        for place, window in enumerate(ndimage.find_objects(labels), start=1):
            _give_way(field, labels, place, window, voxel_mm)
        deform(is_inner, 1, lambda layers: field[layers], float(field.min()), 0.0)
    make_consistent(field, is_inner)
    return field, is_inner, n_places


def _give_way(
    field: NDArray[np.float32],
    labels: NDArray[np.int32],
    place: int,
    window: tuple[slice, ...],
    voxel_mm: float,
) -> None:
    reach = int(np.ceil(3 * BUMP_MM / voxel_mm))
    wide = tuple(slice(max(part.start - reach, 0), part.stop + reach) for part in window)
    is_here = labels[wide] == place
    height = float(field[wide][is_here].max()) + 0.05
    distance = ndimage.distance_transform_edt(~is_here) * voxel_mm
    field[wide] -= (height * np.exp(-0.5 * (distance / BUMP_MM) ** 2)).astype(np.float32)


@kernel
def _open_sulci(pial, white, voxel_mm):  # type: ignore[no-untyped-def]
    """Make background of voxels on a ridge of the distance to white that pial contours all but reach.

    A sulcus narrower than a voxel, or one that moves between two sections by more than its width, leaves no
    background in the interpolated distance, only a ridge of (distance to white - distance to pial). Compared with
    points two voxels away on both sides, the ridge rises by at least half of what two straight banks would give.
    """
    ni, nj, nk = white.shape
    is_ridge = np.zeros(white.shape, np.bool_)
    for i in range(2, ni - 2):
        for j in range(2, nj - 2):
            for k in range(2, nk - 2):
                distance = -white[i, j, k]
                if pial[i, j, k] <= 0 or distance < 0.5 or pial[i, j, k] > BANK_SHARE * distance:
                    continue
                here = distance - pial[i, j, k]
                for step in range(1, 8):
                    a, b, c = step & 1, step >> 1 & 1, step >> 2
                    rise = voxel_mm * np.sqrt(a + b + c)
                    is_top = True
                    for sign in (-1, 1):
                        p, q, r = i + sign * a, j + sign * b, k + sign * c
                        is_top &= here >= -white[p, q, r] - pial[p, q, r]
                        p, q, r = p + sign * a, q + sign * b, r + sign * c
                        is_top &= here - (-white[p, q, r] - pial[p, q, r]) > rise
                    if is_top:
                        is_ridge[i, j, k] = True
                        break
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                if is_ridge[i, j, k]:
                    pial[i, j, k] = -LEAST
