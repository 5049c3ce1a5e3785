"""Distances along a cortical surface: the sparse cache against exact geodesics, the heat method and paths along edges.

Claim: a batch of 2,048 anchors on both hemispheres of a template (about 330,000 vertices) costs under 50 ms of one
core, the cache less than 2 GB (all pairs: 215 GB in half precision). Errors are against exact polyhedral geodesics
(pygeodesic) on fsaverage5, whose triangles of 4 mm are harder than those of a fine template. Peers are left out where
they are not installed (`pip install -e ".[bench]"`).
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy.sparse as sp
import torch
import trimesh
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from benchmarks.common import Options, Result, main
from cytomesh.graph.geodesics import geodesics_from, local_geodesics
from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.distance import Geodesic
from cytomesh.surface.mesh import Mesh

RADIUS_MM = 9.0
N_ANCHORS = 2048
ROUNDS = 15
COLUMNS = ("", "vertices", "value")


def hemisphere(side: str, n_subdivisions: int) -> Mesh:
    """Return fsaverage5's midsurface (nilearn's copy), its triangles parted in four some times."""
    spec = importlib.util.find_spec("nilearn")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "datasets" / "data" / "fsaverage5"
    pial, white = (nib.load(folder / f"{kind}_{side}.gii.gz").agg_data() for kind in ("pial", "white"))
    vertices, faces = 0.5 * (pial[0].astype(np.float64) + white[0]), pial[1].astype(np.int64)
    for _ in range(n_subdivisions):
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    return Mesh(vertices, faces)


def both(n_subdivisions: int) -> Mesh:
    """Return both hemispheres as one mesh."""
    left, right = (hemisphere(side, n_subdivisions) for side in ("left", "right"))
    return Mesh(
        np.concatenate([left.vertices, right.vertices]), np.concatenate([left.faces, right.faces + left.n_vertices])
    )


def errors(mesh: Mesh, sources: NDArray[np.int64]) -> dict[str, tuple[NDArray[np.float64], float]]:
    """Return relative errors up to the radius, and processor seconds a source, of each method."""
    import pygeodesic.geodesic as exact  # type: ignore[import-not-found]

    algorithm = exact.PyGeodesicAlgorithmExact(mesh.vertices, mesh.faces)
    i, j = mesh.edges.T
    lengths = np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1)
    edges = sp.csr_matrix((lengths, (i, j)), shape=(mesh.n_vertices,) * 2)
    methods: dict[str, Any] = {
        "cytomesh": lambda source: geodesics_from(mesh, source, 1.3 * RADIUS_MM),
        "along edges": lambda source: dijkstra(edges, directed=False, indices=source),
    }
    if importlib.util.find_spec("potpourri3d"):
        import potpourri3d  # type: ignore[import-not-found]

        solver = potpourri3d.MeshHeatMethodDistanceSolver(mesh.vertices, mesh.faces)
        methods["heat method"] = solver.compute_distance
    methods["cytomesh"](0)  # compiles
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in methods}
    seconds = dict.fromkeys([*methods, "exact"], 0.0)
    for source in sources:
        start = time.process_time()
        truth, _ = algorithm.geodesicDistances(np.array([source]), None)
        seconds["exact"] += time.process_time() - start
        near = (truth > 0) & (truth <= RADIUS_MM)
        for name, method in methods.items():
            start = time.process_time()
            distance = method(int(source))
            seconds[name] += time.process_time() - start
            found[name].append(distance[near] / truth[near] - 1.0)
    result = {name: (np.concatenate(values), seconds[name] / len(sources)) for name, values in found.items()}
    return {**result, "exact": (np.zeros(1), seconds["exact"] / len(sources))}


def batch_ms(mesh: Mesh, distance: Geodesic) -> list[float]:
    """Return processor milliseconds, one thread, for all distances within batches: seeds with three neighbours each."""
    rng = np.random.default_rng(0)
    result = []
    for _ in range(ROUNDS):
        seeds = rng.choice(mesh.n_vertices, N_ANCHORS // 4)
        vertex = torch.from_numpy(np.repeat(seeds, 4))
        none = torch.zeros(N_ANCHORS, dtype=torch.int64)
        position = torch.zeros((N_ANCHORS, 3))
        batch = PatchBatch(none, position, position, vertex, none, none, none, position[:, :0])
        start = time.process_time()  # one thread: the same as seconds on a machine without other work
        distance(batch, batch)
        result.append(1e3 * (time.process_time() - start))
    return result


def measure(options: Options) -> Result:
    """Measure errors, cache and batches; the quick form takes a coarser mesh and fewer sources."""
    torch.set_num_threads(1)
    rows: list[list[Any]] = []
    coarse = hemisphere("left", 0)
    rng = np.random.default_rng(0)
    worst = "not measured: pygeodesic is not installed"
    if importlib.util.find_spec("pygeodesic"):
        for name, (error, seconds) in errors(
            coarse, rng.choice(coarse.n_vertices, 20 if options.quick else 200)
        ).items():
            size = np.abs(error)
            mean, p95, most = 100 * size.mean(), 100 * np.quantile(size, 0.95), 100 * size.max()
            text = f"mean {mean:.2f} %, p95 {p95:.2f} %, max {most:.1f} %"
            rows.append([f"{name}: error up to {RADIUS_MM:g} mm", coarse.n_vertices, text])
            if name != "cytomesh":  # whose fronts are measured together, below
                rows.append([f"{name}: CPU ms a source", coarse.n_vertices, 1e3 * seconds])
            worst = text if name == "cytomesh" else worst
    mesh = both(1 if options.quick else 2)
    start = time.process_time()
    geodesics = local_geodesics(mesh, RADIUS_MM)
    build = time.process_time() - start
    milliseconds = batch_ms(mesh, Geodesic(geodesics))
    n = mesh.n_vertices
    rows += [
        ["cache: CPU s to build", n, build],
        ["cache: CPU ms a source", n, 1e3 * build / n],
        ["cache: GB", n, geodesics.nbytes / 1e9],
        ["cache: bytes a vertex", n, geodesics.nbytes / n],
        ["all pairs in half precision: GB", n, 2.0 * n * n / 1e9],
        [f"batch of {N_ANCHORS:,}: CPU ms, median", n, float(np.median(milliseconds))],
        [f"batch of {N_ANCHORS:,}: CPU ms, least", n, min(milliseconds)],
    ]
    claim = (
        f"{n:,} vertices, {RADIUS_MM:g} mm: {geodesics.nbytes / 1e9:.2f} GB, batch of {N_ANCHORS:,} in"
        f" {np.median(milliseconds):.0f} CPU ms (least {min(milliseconds):.0f}); error against exact: {worst}"
    )
    return Result("Geodesic distances without the matrix", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
