"""What agreement with areas is worth: areas rotated on the sphere, and parcels that know geometry alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.errors import GraphError
from cytomesh.core.random import derived_seed, generator
from cytomesh.parcellate.baselines import voronoi_parcels


@dataclass(frozen=True, slots=True)
class Nulls:
    """Rotated areas and geometry-only parcellations of one hemisphere.

    Parameters
    ----------
    spun : tuple of (m,) int32
        Area of each parcellated node after a random rotation of the sphere, 0 where there is none; empty without a
        sphere.
    tilings : tuple of (m,) int64
        Geometry-only labels of the same number of parcels.
    """

    spun: tuple[NDArray[np.int32], ...]
    tilings: tuple[NDArray[np.int64], ...]


def make_nulls(
    areas: NDArray[np.int32],
    nodes: NDArray[np.int64],
    sphere: NDArray[np.float64] | None,
    positions: NDArray[np.float64],
    adjacency: sp.csr_matrix,
    k: int,
    n_spins: int,
    n_tilings: int,
    seed: int,
) -> Nulls:
    """Draw the nulls of a hemisphere.

    Parameters
    ----------
    areas : (n,) int32
        Area of every node of the graph.
    nodes : (m,) int64
        The parcellated ones.
    sphere : (n, 3) float64, optional
        Spherical positions of every node of the graph.
    positions, adjacency : (m, 3) float64, (m, m) CSR
        Of the parcellated nodes.
    """
    sources = [] if sphere is None else spin_sources(sphere, nodes, n_spins, seed)
    spun = tuple(areas[source] for source in sources)
    tilings = tuple(
        voronoi_parcels(positions, adjacency, k, derived_seed(seed, "tiling", number)) for number in range(n_tilings)
    )
    return Nulls(spun, tilings)


def spin_sources(
    sphere: NDArray[np.float64], nodes: NDArray[np.int64], n_spins: int, seed: int
) -> list[NDArray[np.int64]]:
    """Return, for each random rotation, the node of the sphere that comes to lie at each of `nodes`.

    The spin test of Alexander-Bloch et al., On testing for spatial correspondence between maps of human brain structure
    and function, 2018: rotations keep the shape and the smoothness of the areas and destroy their place. Rotations are
    uniform (QR of a Gaussian matrix with fixed signs).

    Parameters
    ----------
    sphere : (n, 3) float64
        Any radius, centred at 0.
    """
    lengths = np.linalg.norm(sphere, axis=1, keepdims=True)
    if not (lengths > 0).all() or lengths.max() > 1.5 * lengths.min():
        found = f"radii from {lengths.min():.4g} to {lengths.max():.4g}"
        raise GraphError("sphere.surf.gii", found=found, expected="a sphere around the origin")
    unit = sphere / lengths
    tree = cKDTree(unit)
    random = generator(seed, "spins")
    sources = []
    for _ in range(n_spins):
        orthogonal, upper = np.linalg.qr(random.standard_normal((3, 3)))
        rotation = orthogonal * np.sign(np.diag(upper))
        rotation[:, 0] *= np.sign(np.linalg.det(rotation))
        sources.append(np.asarray(tree.query(unit[nodes] @ rotation)[1], np.int64))
    return sources
