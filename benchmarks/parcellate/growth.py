"""Time and memory against the number of nodes: `python -m benchmarks.parcellate.growth`.

BigBrain left, K = 100, default method and normalised cut: meshes of 10,242 to 163,842 nodes (nested icosahedral
subdivisions; quick: to 40,962), and 655k by one more subdivision; then eight hemispheres of 10,242 nodes in one graph
(left and right, mirrored, and three more brains made of them with noise of half a standard deviation). A process a row:
seconds and processor seconds of the parcellation after compiling, peak memory. Claim: near linear.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import trimesh
from numpy.typing import NDArray

from benchmarks.bigbrain.nodes import FEATURES, load_nodes, surfaces, write_run
from benchmarks.bigbrain.nodes import features as standardised_features
from benchmarks.common import Options, Result, main
from cytomesh.core.progress import log
from cytomesh.graph.features import load_features
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.graph.storage import load_graphs
from cytomesh.parcellate.config import JointConfig, ParcellateConfig
from cytomesh.parcellate.features import autocorrelation_factors, large_islands, select_nodes, whiten
from cytomesh.parcellate.joint import join_graphs

METHODS = ("diffusion", "spectral")
SIZES = (10_242, 40_962, 163_842, 655_362)
COLUMNS = ("method", "nodes", "s", "CPU s", "CPU us a node", "peak MB")
HOPS = 6
N_BRAINS = 4


def measure(options: Options) -> Result:
    """Parcellate ever finer meshes of one hemisphere."""
    data = load_nodes(options.bigbrain(), "L", "164k")
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        for size in SIZES[:2] if options.quick else SIZES:
            n = write_mesh(inputs, data, size)
            rows += [_row(method, method, n, inputs) for method in METHODS]
        n = write_joint(inputs, options.bigbrain(), Path(folder))
        joint = [_row(f"{method}, eight hemispheres", method, n, inputs) for method in METHODS]
    claims = []
    for method in METHODS:
        of_method = [row for row in rows if row[0] == method]
        more, longer = of_method[-1][1] / of_method[0][1], of_method[-1][3] / of_method[0][3]
        claims.append(f"{method}: {more:.0f} times the nodes, {longer:.0f} times the processor time")
    claims += [f"{row[0]}: {row[4]:.0f} us a node" for row in joint]
    return Result("Parcellation against mesh size, K = 100", COLUMNS, rows + joint, "; ".join(claims))


def _row(name: str, method: str, n: int, inputs: Path) -> list[Any]:
    command = [sys.executable, "-m", "benchmarks.parcellate.large", "--worker", str(inputs), method]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cost = json.loads(done.stdout.splitlines()[-1])
    log(f"{name}, {n:,} nodes: {cost['cpu_s']:.1f} processor seconds, {cost['peak_mb']:,.0f} MB")
    return [name, n, cost["s"], cost["cpu_s"], 1e6 * cost["cpu_s"] / n, cost["peak_mb"]]


def write_joint(path: Path, bigbrain: Path, folder: Path) -> int:
    """Write the inputs of `benchmarks.parcellate.large` for eight hemispheres in one graph; returns their nodes."""
    write_run(bigbrain, "10k", "economo", folder)
    random = np.random.default_rng(0)
    settings = ParcellateConfig(preparation={"hops": HOPS, "noise_hops": HOPS})
    graphs, parts = [], []
    for number in range(N_BRAINS):
        for graph in load_graphs(folder):
            raw = np.array(load_features(folder, FEATURES, graph), np.float64)
            raw += (0.5 if number else 0.0) * random.standard_normal(raw.shape)
            graphs.append(replace(graph, brain=f"brain{number}"))
            parts.append(select_nodes(graph, raw, settings.preparation, settings.min_nodes, graph.name))
    joined = JointConfig(hemispheres="mirrored", brains="joint")
    features = join_graphs(graphs, whiten(parts, settings.preparation), joined).features
    mesh = features.adjacency
    np.savez(path, indices=mesh.indices, indptr=mesh.indptr, values=features.values, positions=features.positions)
    return len(features.nodes)


def write_mesh(path: Path, data: dict[str, NDArray[Any]], size: int) -> int:
    """Write the inputs of `benchmarks.parcellate.large` for a coarser or a finer mesh; returns the number of nodes."""
    middle = surfaces(data)["midthickness"]
    vertices, faces, features = middle.vertices, middle.faces, standardised_features(data).astype(np.float64)
    while len(vertices) > size:
        vertices, faces, features = _coarser(vertices, faces, features)
    if len(vertices) < size:
        columns = {"features": np.hstack([vertices, features])}
        vertices, faces, columns = trimesh.remesh.subdivide(vertices, faces, vertex_attributes=columns)
        features = columns["features"][:, 3:]
    i, j = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    ones = np.ones(2 * len(i))
    ends = np.concatenate([i, j]), np.concatenate([j, i])
    adjacency = sp.csr_matrix((ones, ends), shape=(len(vertices),) * 2)
    adjacency.data[:] = 1.0
    nodes = large_islands(adjacency, np.isfinite(features).all(axis=1), 100, "mesh")
    adjacency = sp.csr_matrix(adjacency[nodes][:, nodes])
    values = autocorrelation_factors(hop_mean(adjacency, features[nodes], HOPS), adjacency, HOPS, 32)
    np.savez(path, indices=adjacency.indices, indptr=adjacency.indptr, values=values, positions=vertices[nodes])
    return len(nodes)


def _coarser(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], features: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Undo one icosahedral subdivision: the first vertices are the coarser mesh, each face the corner of another."""
    n = (len(vertices) - 2) // 4 + 2
    # a middle triangle of four has no old vertex; its three corners are the middles of the edges of the coarse face
    i, j = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    new, old = np.where(i >= n, i, j), np.where(i >= n, j, i)
    is_spoke = (old < n) & (new >= n)
    pairs = np.unique(np.column_stack([new, old])[is_spoke], axis=0)
    parents = pairs[:, 1].reshape(-1, 2)[np.searchsorted(pairs[::2, 0], faces[(faces >= n).all(axis=1)])]
    # each corner of the middle triangle is on an edge: the three edges name each old vertex twice
    coarse = np.array([_ring(edges) for edges in parents], np.int64)
    return vertices[:n], coarse, features[:n]


def _ring(edges: NDArray[np.int64]) -> list[int]:
    shared = [set(edges[a]) & set(edges[b]) for a, b in ((0, 1), (1, 2), (2, 0))]
    return [int(corner.pop()) for corner in shared]


if __name__ == "__main__":
    main(measure, __doc__)
