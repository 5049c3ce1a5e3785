"""Areas: a common atlas on the template, its variant in each brain, and the probability maps that follow."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from cytomesh.core.random import generator
from cytomesh.phantom.config import AreaConfig
from cytomesh.phantom.displacement import RADIAN_MM, displaced
from cytomesh.phantom.fields import smooth_field
from cytomesh.phantom.geometry import PhantomCortex

REACH_MM = 4.0
"""Voxels within this distance of a brain's midsurface belong to the area next to them."""


def area_name(label: int) -> str:
    """Return the name of an area, P01, P02, ..."""
    return f"P{label:02d}"


def draw_atlas(cortex: PhantomCortex, n_areas: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Tile the cortex of the template with connected areas of uneven size.

    An additively weighted Voronoi tiling by geodesic distance (along midsurface edges) from random seeds.

    Returns
    -------
    labels : (n,) int32
        1..n_areas; 0 on the medial wall. Numbered from the occipital to the frontal pole.
    seeds : (n_areas,) int64
        The vertex that each area grew from.
    """
    rng = generator(seed, "areas")
    graph = outside_medial_wall(cortex)
    cortical = np.flatnonzero(~cortex.is_medial_wall)
    candidates = rng.choice(cortical, size=min(len(cortical), 40 * n_areas), replace=False)
    # Seeds keep half the distance of an even spread, so that sizes differ but no area is crowded out.
    spread = 1.3 * np.sqrt(4 * np.pi / n_areas) / 2
    seeds: list[int] = []
    while len(seeds) < n_areas:
        seeds = []
        for vertex in candidates:
            gaps = np.linalg.norm(cortex.sphere[seeds] - cortex.sphere[vertex], axis=1)
            if len(seeds) < n_areas and (not seeds or gaps.min() > spread):
                seeds.append(int(vertex))
        spread *= 0.95
    ordered = np.array(seeds)[np.argsort(cortex.midsurface[seeds, 1], kind="stable")]
    distance = dijkstra(graph, indices=ordered)  # (n_areas, n)
    head_start = np.minimum(
        rng.uniform(0, 0.35, n_areas) * RADIAN_MM * spread, 0.45 * _nearest_other(distance, ordered)
    )
    labels = 1 + np.argmin(distance - head_start[:, None], axis=0)
    labels[cortex.is_medial_wall] = 0
    return connected(labels.astype(np.int32), graph), ordered


def vary(
    atlas: NDArray[np.int32], cortex: PhantomCortex, settings: AreaConfig, seed: int, brain: str
) -> NDArray[np.int32]:
    """Return the areas (n,) of one brain: the atlas, displaced, seen through a smooth random warp of the sphere."""
    places = displaced(cortex, settings.displacement, seed, brain)
    warp = np.zeros_like(places)
    for name, share, wavelength in (("wide", 0.85, (0.6, 1.2)), ("narrow", 0.5, (0.12, 0.3))):
        rms = share * settings.variation_mm / RADIAN_MM
        warp += smooth_field(seed, "areas", brain, name, rms=rms, wavelength=wavelength)(places)
    moved = places + warp
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    cortical = ~cortex.is_medial_wall
    _, nearest = cKDTree(cortex.sphere[cortical]).query(moved)
    labels = np.where(cortical, atlas[cortical][nearest], 0)
    return connected(labels.astype(np.int32), outside_medial_wall(cortex))


def probability_maps(
    reference: list[NDArray[np.float64]],
    labels: list[NDArray[np.int32]],
    n_areas: int,
    voxel_mm: float,
    smoothing_mm: float,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Average the areas of the training brains in the reference space.

    Parameters
    ----------
    reference : list of (n, 3) float64
        Midsurface vertices of each training brain where registration puts them in the reference space, mm.
    labels : list of (n,) int32
        Their areas.

    Returns
    -------
    maps : (i, j, k, n_areas) float32
        Probability of each area, 0..1.
    affine : (4, 4) float64
        Grid indices to reference space, mm.
    """
    low = np.min([points.min(axis=0) for points in reference], axis=0) - REACH_MM - voxel_mm
    high = np.max([points.max(axis=0) for points in reference], axis=0) + REACH_MM + voxel_mm
    shape = np.ceil((high - low) / voxel_mm).astype(int) + 1
    grid = low + voxel_mm * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    maps = np.zeros((n_areas, len(grid)), np.float32)
    for points, area in zip(reference, labels, strict=True):
        distance, nearest = cKDTree(points).query(grid, distance_upper_bound=REACH_MM)
        near = np.flatnonzero(np.isfinite(distance))
        found = area[nearest[near]]
        maps[found[found > 0] - 1, near[found > 0]] += 1 / len(reference)
    sigma = smoothing_mm / voxel_mm
    for row in maps:
        if sigma:
            row[:] = gaussian_filter(row.reshape(shape), sigma, mode="constant").ravel()
    covered = maps.sum(axis=0)
    # Smoothing leaks out of the thin ribbon: areas are shares there, fading with the distance from all cortex.
    maps /= np.maximum(covered, 0.25)
    maps[maps < 0.004] = 0.0
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = low
    return np.moveaxis(maps, 0, 1).reshape(*shape, n_areas), affine


def outside_medial_wall(cortex: PhantomCortex) -> sp.csr_matrix:
    """Return the lengths of the midsurface's edges between vertices of the cortex, symmetric (n, n) CSR, mm."""
    graph = cortex.lengths().tocoo()
    kept = ~cortex.is_medial_wall[graph.row] & ~cortex.is_medial_wall[graph.col]
    return sp.csr_matrix((graph.data[kept], (graph.row[kept], graph.col[kept])), shape=graph.shape)


def _nearest_other(distance: NDArray[np.float64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    between = distance[:, seeds].copy()
    np.fill_diagonal(between, np.inf)
    return np.asarray(between.min(axis=1))


def connected(labels: NDArray[np.int32], graph: sp.csr_matrix) -> NDArray[np.int32]:
    """Keep the largest piece of each area; other vertices, of area -1 too, take the area next to them."""
    i, j = graph.nonzero()
    same = labels[i] == labels[j]
    within = sp.csr_matrix((np.ones(int(same.sum())), (i[same], j[same])), shape=graph.shape)
    _, piece = connected_components(within, directed=False)
    sizes = np.bincount(piece)
    kept = np.zeros(len(sizes), bool)
    for area in np.unique(labels[labels > 0]):
        own = np.unique(piece[labels == area])
        kept[own[np.argmax(sizes[own])]] = True
    stray = (labels != 0) & ~kept[piece]
    if not stray.any():
        return labels
    # Shortest paths that leave from settled vertices only: each stray vertex joins the area that reaches it first.
    settled = np.flatnonzero((labels > 0) & ~stray)
    _, _, source = dijkstra(graph, directed=False, indices=settled, min_only=True, return_predecessors=True)
    result = labels.copy()
    result[stray] = np.where(source[stray] >= 0, labels[np.maximum(source[stray], 0)], 0)
    return result
