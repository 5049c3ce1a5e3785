"""Sulcal depth: how far the pial surface lies below a sphere rolled over the brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cytomesh.surface.mesh import Mesh

RADIUS_MM = 7.5  # a closing by a sphere of 15 mm, as for FreeSurfer's outer surface
GRID_MM = 1.0
N_CENTRES = 32


def sulcal_depth(pial: Mesh) -> NDArray[np.float64]:
    """Return the distance of each pial vertex to the closed hull of the pial surface, (n,) mm; 0 on gyral crowns.

    The hull is the morphological closing of the pial surface by a sphere of 15 mm diameter (Schaer et al., IEEE TMI
    27, 2008: the outer surface of the local gyrification index). A sphere of radius r >= 7.5 mm around an outside
    point e touches the cortex with r = d(e, pial); vertex v lies |v - e| - d(e, pial) outside of it, which is 0 for
    the vertex that it touches. The least over all e is the distance to the hull, to the second order in the spacing
    of the points e (1 mm). An open surface counts as closed by a lid over each border, such as the medial wall's.
    """
    walls = np.concatenate([pial.vertices[np.unique(pial.faces)], _lids(pial)])
    low, high = walls.min(axis=0), walls.max(axis=0)
    margin = RADIUS_MM + 3.0 * GRID_MM
    shape = np.ceil((high - low + 2.0 * margin) / GRID_MM).astype(int) + 1
    origin = low - margin
    # coarse distances choose the points, exact ones are then measured for those
    is_surface = np.zeros(shape, bool)
    is_surface[tuple(np.round((walls - origin) / GRID_MM).astype(int).T)] = True
    coarse = ndimage.distance_transform_edt(~is_surface) * GRID_MM
    parts, _ = ndimage.label(coarse > RADIUS_MM - GRID_MM)
    # the part that reaches the border is outside; the deep white matter is another
    is_shell = (parts == parts[0, 0, 0]) & (coarse < RADIUS_MM + 3.0 * GRID_MM)
    centres = np.argwhere(is_shell) * GRID_MM + origin
    radius, _ = cKDTree(walls).query(centres)
    is_centre = (radius >= RADIUS_MM) & (radius < RADIUS_MM + 1.5 * GRID_MM)
    centres, radius = centres[is_centre], radius[is_centre]
    distance, nearest = cKDTree(centres).query(pial.vertices, k=min(N_CENTRES, len(centres)))
    depth = distance.reshape(pial.n_vertices, -1) - radius[nearest].reshape(pial.n_vertices, -1)
    return np.asarray(np.maximum(depth.min(axis=1), 0.0), np.float64)


def _lids(mesh: Mesh) -> NDArray[np.float64]:
    """Return points, (k, 3), on the spokes from each border's edges to its middle, as dense as the grid."""
    border = mesh.border
    if not len(border):
        return np.empty((0, 3))
    shape = (mesh.n_vertices, mesh.n_vertices)
    _, loops = connected_components(csr_matrix((np.ones(len(border)), border.T), shape=shape), directed=False)
    spokes = []
    for loop in np.unique(loops[border[:, 0]]):
        ends = mesh.vertices[border[loops[border[:, 0]] == loop]].mean(axis=1)
        middle = ends.mean(axis=0)
        n_steps = int(np.ceil(2.0 * np.linalg.norm(ends - middle, axis=1).max() / GRID_MM)) + 1
        share = np.linspace(0.0, 1.0, n_steps + 1)[:, None, None]
        spokes.append(((1.0 - share) * ends + share * middle).reshape(-1, 3))
    return np.concatenate(spokes)
