"""A whole hemisphere at full resolution beside scikit-learn and Leiden: `python -m benchmarks.parcellate.large`.

BigBrain left, 164k nodes (quick: 10k), K = 100, the same affinities for all methods of the graph and the same
coordinates for all others. Every method runs in a process of its own: seconds (wall and processor) of the parcellation
without reading, peak memory. Normalised cut is that of the affinity graph; AMI over null is against areas rotated on
the sphere. The last line compares seconds with scikit-learn; the aim is 5 times faster at an equal or
smaller normalised cut. BrainSpace (gradients of the correlations between nodes by its defaults, then k-means) holds
dense matrices of nodes by nodes: only in the quick form, and only where `pip install --no-deps brainspace` was done.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralClustering

from benchmarks.bigbrain.nodes import features as standardised_features
from benchmarks.bigbrain.nodes import label_table, load_nodes, surfaces
from benchmarks.common import Options, Result, main
from cytomesh.core.progress import log
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.graph.nulls import rotations, spin_sources
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import ParcellateConfig, PreparationConfig
from cytomesh.parcellate.evaluate import agreement
from cytomesh.parcellate.features import NodeFeatures, autocorrelation_factors, large_islands
from cytomesh.parcellate.methods import divide
from cytomesh.parcellate.rounding import normalised_cut

K = 100
OWN = ("diffusion", "spectral", "ward", "leiden", "voronoi")
PEERS = {
    "scikit-learn arpack, cluster_qr": {"eigen_solver": "arpack", "assign_labels": "cluster_qr"},
    "scikit-learn arpack, k-means": {"eigen_solver": "arpack", "assign_labels": "kmeans"},
    "scikit-learn amg, cluster_qr": {"eigen_solver": "amg", "assign_labels": "cluster_qr"},
}
BRAINSPACE = "BrainSpace gradients, k-means"
COLUMNS = (
    "method",
    "economo over null",
    "SDs",
    "julich26 over null",
    "SDs ",
    "normalised cut",
    "s",
    "CPU s",
    "peak MB",
    "parcels",
)
HOPS = {"10k": 3, "164k": 48}  # the same distance: steps of a random walk grow with the square of the edge length
SPINS = 10


def measure(options: Options) -> Result:
    """Run every method; the quick form takes 10k nodes and leaves k-means of scikit-learn out."""
    bigbrain, mesh = options.bigbrain(), "10k" if options.quick else "164k"
    data = load_nodes(bigbrain, "L", mesh)
    middle = surfaces(data)["midthickness"]
    nodes = large_islands(middle.adjacency(), data["valid"].astype(bool), 10, mesh)
    sphere = data["sphere"].astype(np.float64)
    sources = [spin_sources(sphere, turn, nodes) for turn in rotations(SPINS, 0)]
    areas = {}
    for key in ("economo", "julich26"):
        labels = np.where(data["valid"] & np.isin(data[key], label_table(bigbrain, key).indices), data[key], 0)
        areas[key] = (labels[nodes], [labels[source] for source in sources])
    methods = [*OWN, *(name for name in PEERS if not (options.quick and "k-means" in name)), "scikit-learn Ward"]
    methods += [BRAINSPACE] if options.quick else []
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        write_inputs(inputs, data, nodes, HOPS[mesh])
        _, weights = read_inputs(inputs)
        for name in methods:
            command = [sys.executable, "-m", "benchmarks.parcellate.large", "--worker", str(inputs), name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                log(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
                rows.append([name, *["-"] * 8, f"failed: {done.stderr.strip().splitlines()[-1][:80]}"])
                continue
            cost = json.loads(done.stdout.splitlines()[-1])
            labels = np.load(inputs.with_suffix(".labels.npy"))
            scores = [number for key in areas for number in _over_null(labels, *areas[key])]
            cut = normalised_cut(weights, np.unique(labels, return_inverse=True)[1])
            log(f"{name}: {cost['s']:.1f} s, normalised cut {cut:.3f}")
            rows.append([name, *scores, cut, cost["s"], cost["cpu_s"], cost["peak_mb"], len(np.unique(labels))])
    own = next(row for row in rows if row[0] == "spectral")
    peers = [row for row in rows if row[0] in PEERS and isinstance(row[6], float)]
    ratios = ", ".join(f"{row[6] / own[6]:.1f} x {row[0]} (cut {row[5]:.3f})" for row in peers)
    claim = f"spectral {own[6]:.1f} s, cut {own[5]:.3f}, {own[8]:,.0f} MB; faster by {ratios}"
    return Result(f"BigBrain left, {len(nodes):,} of {mesh} nodes, K = {K}", COLUMNS, rows, claim)


def write_inputs(path: Path, data: dict[str, NDArray[Any]], nodes: NDArray[np.int64], hops: int) -> None:
    """Write what every method starts from: coordinates and the mesh."""
    middle = surfaces(data)["midthickness"]
    adjacency = sp.csr_matrix(middle.adjacency()[nodes][:, nodes])
    standard = standardised_features(data)[nodes].astype(np.float64)
    values = autocorrelation_factors(hop_mean(adjacency, standard, hops), adjacency, hops, 32)
    np.savez(path, indices=adjacency.indices, indptr=adjacency.indptr, values=values, positions=middle.vertices[nodes])


def read_inputs(path: Path) -> tuple[NodeFeatures, sp.csr_matrix]:
    """Return the nodes and their affinity graph."""
    with np.load(path, allow_pickle=False) as data:
        n = len(data["values"])
        adjacency = sp.csr_matrix((np.ones(len(data["indices"])), data["indices"], data["indptr"]), shape=(n, n))
        values = data["values"]
        features = NodeFeatures(np.arange(n), adjacency, data["positions"], values, values, np.zeros(n, bool))
    return features, affinity_graph(adjacency, values, SETTINGS.affinity)


SETTINGS = ParcellateConfig(n_parcels=K, min_nodes=10, preparation=PreparationConfig())


def work(inputs: Path, name: str) -> None:
    """Run one method on written inputs; print seconds and peak memory, save the labels."""
    features, weights = read_inputs(inputs)
    compile_kernels()
    start, processor = time.perf_counter(), time.process_time()
    if name in PEERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what it thinks of its own convergence is in the cut
            peer = SpectralClustering(K, affinity="precomputed", random_state=0, **PEERS[name])
            labels = peer.fit_predict(weights)
    elif name == "scikit-learn Ward":
        peer = AgglomerativeClustering(K, connectivity=features.adjacency, linkage="ward")
        labels = peer.fit_predict(features.values)
    elif name == BRAINSPACE:
        labels = brainspace_clusters(features.values)
    else:
        labels = divide(features, name, K, SETTINGS, name).labels
    cost = {"s": time.perf_counter() - start, "cpu_s": time.process_time() - processor, "peak_mb": _peak_mb()}
    np.save(inputs.with_suffix(".labels.npy"), labels)
    print(json.dumps(cost))


def brainspace_clusters(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cluster the first ten gradients that BrainSpace makes of the correlations between nodes."""
    from brainspace.gradient import GradientMaps

    maps = GradientMaps(n_components=10, approach="dm", kernel="normalized_angle", random_state=0)
    gradients = maps.fit(np.corrcoef(values)).gradients_
    return np.asarray(KMeans(K, n_init=3, random_state=0).fit_predict(gradients), np.int64)


def compile_kernels() -> None:
    """Run the compiled code once on a small grid, so that compiling isn't timed."""
    side = 50
    path = sp.diags_array([np.ones(side - 1), np.ones(side - 1)], offsets=[-1, 1])
    grid = sp.csr_matrix(sp.kron(path, sp.identity(side)) + sp.kron(sp.identity(side), path))
    values = np.random.default_rng(0).normal(size=(side * side, 2))
    nodes = np.arange(side * side)
    small = NodeFeatures(nodes, grid, np.pad(values, ((0, 0), (0, 1))), values, values, nodes < 0)
    spectral = SETTINGS.spectral.model_copy(update={"solver": "chebyshev"})
    for method in ("spectral", "ward"):
        divide(small, method, 8, SETTINGS.model_copy(update={"spectral": spectral}), "warm-up")


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024.0


def _over_null(labels: NDArray[np.int64], areas: NDArray[Any], spun: list[NDArray[Any]]) -> list[float]:
    null = np.array([agreement(labels, area)["ami"] for area in spun])
    over = agreement(labels, areas)["ami"] - float(null.mean())
    return [over, over / float(null.std(ddof=1))]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]), sys.argv[3])
    else:
        main(measure, __doc__)
