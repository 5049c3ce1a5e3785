"""Planted regions on a real mesh, all methods: `python -m benchmarks.parcellate.planted`.

100 regions (geodesic Voronoi cells of random size) on BigBrain's left 164k mesh (quick: 40 regions on 10k), each with
its own mean of 16 features, and independent noise at every node of 1, 3 and 6 times the spread of the means. Adjusted
Rand index of every method at the true number: which method to take when nodes are noisy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra
from sklearn.metrics import adjusted_rand_score

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.common import Options, Result, main
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.features import NodeFeatures, autocorrelation_factors, large_islands
from cytomesh.parcellate.methods import divide
from cytomesh.surface.mesh import edge_lengths

METHODS = ("diffusion", "feature_clusters", "spectral", "ward", "kmeans", "voronoi")
NOISE = (1.0, 3.0, 6.0)
N_FEATURES = 16
HOPS = {"10k": 3, "164k": 6}


def measure(options: Options) -> Result:
    """Plant, parcellate, compare."""
    mesh, k = ("10k", 40) if options.quick else ("164k", 100)
    data = load_nodes(options.bigbrain(), "L", mesh)
    middle = surfaces(data)["midthickness"]
    nodes = large_islands(middle.adjacency(), data["valid"].astype(bool), 1000, mesh)
    adjacency, positions = sp.csr_matrix(middle.adjacency()[nodes][:, nodes]), middle.vertices[nodes]
    random = np.random.default_rng(0)
    truth = plant(positions, adjacency, k, random)
    means = random.normal(size=(k, N_FEATURES))[truth]
    settings = ParcellateConfig(n_parcels=k, feature_clusters={"restarts": 1}, spectral={"restarts": 1})
    methods = [method for method in METHODS if options.quick or method not in ("feature_clusters", "kmeans")]
    rows: list[list[Any]] = [[method] for method in methods]
    for noise in NOISE:
        raw = means + noise * random.normal(size=means.shape)
        smooth = hop_mean(adjacency, raw, HOPS[mesh])
        values = autocorrelation_factors(smooth, adjacency, HOPS[mesh], N_FEATURES)
        features = NodeFeatures(nodes, adjacency, positions, raw, values, np.zeros(len(nodes), bool))
        for row in rows:
            found = divide(features, row[0], k, settings, row[0]).labels
            row.append(float(adjusted_rand_score(truth, found)))
    columns = ("method", *(f"ARI, noise {noise:g}" for noise in NOISE))
    best = [max(rows, key=lambda row: row[column]) for column in range(1, len(NOISE) + 1)]
    claim = "best: " + ", ".join(
        f"{row[0]} {row[column]:.2f} at noise {noise:g}"
        for column, (row, noise) in enumerate(zip(best, NOISE, strict=True), start=1)
    )
    return Result(f"{k} planted regions on {len(nodes):,} nodes", columns, rows, claim)


def plant(
    positions: NDArray[np.float64], adjacency: sp.csr_matrix, k: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return geodesic Voronoi cells of k random nodes: connected, of very different sizes."""
    lengths = edge_lengths(positions, adjacency)
    seeds = random.choice(len(positions), k, replace=False)
    _, _, source = dijkstra(lengths, indices=seeds, min_only=True, return_predecessors=True)
    return np.asarray(np.unique(source, return_inverse=True)[1], np.int64)


if __name__ == "__main__":
    main(measure, __doc__)
