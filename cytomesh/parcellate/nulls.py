"""What agreement with areas is worth: areas rotated on the sphere, and parcels that know geometry alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.random import derived_seed
from cytomesh.graph.nulls import each_spin, rotations
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
    sources = () if sphere is None else each_spin(sphere, rotations(n_spins, seed), nodes)
    spun = tuple(areas[source] for source in sources)
    tilings = tuple(
        voronoi_parcels(positions, adjacency, k, derived_seed(seed, "tiling", number)) for number in range(n_tilings)
    )
    return Nulls(spun, tilings)
