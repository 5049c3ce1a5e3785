"""Spheres of surfaces: `python -m benchmarks.register.spheres [--run RUN]`.

Claim: no flipped triangle, and triangles that keep their shape better than on cat-surf's `surf_to_sphere` (see
`benchmarks.register.cat`), with and without its own relaxation, in the same run. Surfaces: fsaverage5 (10k, nilearn's
copy; it has no finer one), both hemispheres of BigBrain with 10k, 40k and 164k vertices, and the graphs of a run (a
phantom's, say) if one is given. Distortion is `stretch`'s: means over the surface after both have the same area.
Processor seconds, one thread, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.common import Options, Result, main
from benchmarks.register import cat
from cytomesh.graph.storage import load_graphs
from cytomesh.register.distortion import stretch
from cytomesh.register.sphere import make_sphere
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.mesh import Mesh

Points = NDArray[np.float64]
NUMBERS = ("area_log2", "shape_log2", "edge_share", "flipped")


def bodies(options: Options) -> Iterator[tuple[str, Mesh]]:
    """Yield the surfaces by name, small ones first."""
    yield "fsaverage5 L", fsaverage5("L")["midthickness"]
    if options.run:
        for graph in load_graphs(options.run):
            yield graph.name, graph.mesh
    sides = "L" if options.quick else "LR"
    for side in sides:
        yield f"BigBrain {side}", surfaces(load_nodes(options.bigbrain(), side, "10k"))["midthickness"]
    if options.quick:
        return
    fine = {side: surfaces(load_nodes(options.bigbrain(), side, "164k"))["midthickness"] for side in sides}
    for side, mesh in fine.items():
        yield f"BigBrain {side}", coarser(mesh)
    for side, mesh in fine.items():
        yield f"BigBrain {side}", mesh


def coarser(mesh: Mesh) -> Mesh:
    """Undo the last subdivision of an icosahedron's: vertices of the coarser mesh come first."""
    n = (mesh.n_vertices + 6) // 4
    # each triangle of the coarser mesh is left with one of middles alone; an old vertex is at the end of two edges
    edges = mesh.edges[(mesh.edges[:, 0] < n) & (mesh.edges[:, 1] >= n)]
    ends = edges[np.argsort(edges[:, 1], kind="stable"), 0].reshape(-1, 2)  # of each middle
    inner = ends[mesh.faces[(mesh.faces >= n).all(axis=1)] - n]  # (m, 3, 2)
    a, b, c = inner[:, 0], inner[:, 1], inner[:, 2]

    def shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where((one[:, :1] == other).any(axis=1), one[:, 0], one[:, 1])

    return Mesh(mesh.vertices[:n], np.stack([shared(c, a), shared(a, b), shared(b, c)], axis=1))


def own(surface: Mesh) -> tuple[Points, float]:
    """Make the sphere with cytomesh."""
    start = time.process_time()
    found = make_sphere(surface).vertices
    return found, time.process_time() - start


def measure(options: Options) -> Result:
    """Make each sphere in each way."""
    ways: dict[str, Callable[[Mesh], tuple[Points, float]]] = {"cytomesh": own}
    if cat.is_there():
        ways["cat-surf"] = lambda surface: cat.sphere(surface, relax=False)
        ways["cat-surf, relaxed"] = lambda surface: cat.sphere(surface, relax=True)
    rows: list[list[Any]] = []
    for name, surface in bodies(options):
        for way, make in ways.items():
            places, seconds = make(surface)
            facts = stretch(surface, places)
            rows.append([name, surface.n_vertices, way, *[facts[number] for number in NUMBERS], seconds])
    columns = ["surface", "vertices", "way", "areas, log2", "shape, log2", "edges, share", "flipped", "CPU seconds"]
    return Result("Spheres: how much they stretch surfaces", columns, rows, _claim(rows))


def _claim(rows: list[list[Any]]) -> str:
    flipped = {way: sum(row[6] for row in rows if row[2] == way) for way in {row[2] for row in rows}}
    said = f"flipped triangles: {flipped['cytomesh']}"
    if len(flipped) == 1:
        return f"{said}; no peer to compare with: {cat.LACKING}"
    ratios = [
        [a / b for a, b in zip(row[3:6], other[3:6], strict=True)]
        for row in rows
        for other in rows
        if row[2] == "cytomesh" and other[2] == "cat-surf, relaxed" and row[:2] == other[:2]
    ]
    areas, shape, edges = np.median(ratios, axis=0)
    return f"{said}; cytomesh / cat-surf, relaxed: areas {areas:.2f}, shape {shape:.2f}, edges {edges:.2f} (medians)"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__, takes_run=True)
