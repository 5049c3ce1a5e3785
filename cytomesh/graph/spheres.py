"""Spheres of graphs, for spins: those that the study gives, and where there are none those of a registration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import GraphError, MissingStageError
from cytomesh.core.provenance import Inputs
from cytomesh.core.reading import command
from cytomesh.core.run import finished_folders
from cytomesh.graph.provenance import SPHERE
from cytomesh.graph.storage import CortexGraph, graph_folder
from cytomesh.surface.gifti import read_sphere

REGISTER = "register"
"""Stage whose products hold `<graph>/sphere.surf.gii`."""
FILE = "sphere.surf.gii"


def spheres_read(run: Path, graphs: Iterable[CortexGraph], digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that rotates some graphs on their spheres."""
    return Inputs(products={f"{SPHERE}: {graph.name}": sphere_read(run, graph.name, digests) for graph in graphs})


def sphere_read(run: Path, name: str, digests: FileDigests) -> tuple[str, str, str]:
    """Return the product, its part and the digest of the sphere that spins of a graph take, be it there or not."""
    given = given_sphere(run, name)
    path = find_sphere(run, name) or given
    if path == given:
        return f"graphs/{name}", SPHERE, digests.digest(path)
    return f"{REGISTER}/{path.parents[1].name}", f"{name}/{FILE}", digests.digest(path)


def find_sphere(run: Path, name: str) -> Path | None:
    """Return the sphere that spins of a graph take: the study's own, else that of the first registration by name.

    All registrations make the same sphere of a graph; those that are not finished do not count.
    """
    given = given_sphere(run, name)
    if given.is_file():
        return given
    paths = (folder / name / FILE for folder in finished_folders(run, REGISTER))
    return next((path for path in paths if path.is_file()), None)


def given_sphere(run: Path, name: str) -> Path:
    """Return where the sphere of a graph is that the study gives, if it does."""
    return graph_folder(run, name) / FILE


def load_spheres(run: Path, graphs: Sequence[CortexGraph]) -> list[NDArray[np.float64]]:
    """Return each graph's spherical positions, (n, 3), on the unit sphere.

    Raises
    ------
    MissingStageError
        If a graph has no sphere.
    GraphError
        If it has that of another mesh, or one that is none.
    """
    spheres = []
    for graph in graphs:
        vertices = load_sphere(run, graph)
        if vertices is None:
            hint = f"a spin null needs spherical surfaces: '{command(run, REGISTER)}' makes them; else leave spins at 0"
            raise MissingStageError(given_sphere(run, graph.name), found="no sphere", hint=hint)
        spheres.append(on_unit_sphere(vertices))
    return spheres


def load_sphere(run: Path, graph: CortexGraph) -> NDArray[np.float64] | None:
    """Return the spherical positions of a graph's nodes, (n, 3), or None if it has no sphere (see `find_sphere`).

    Raises
    ------
    GraphError
        If the sphere is that of another mesh.
    """
    path = find_sphere(run, graph.name)
    return _read(path, graph) if path else None


def load_given_sphere(run: Path, graph: CortexGraph) -> NDArray[np.float64] | None:
    """Return what `load_sphere` does of the study's own sphere."""
    path = given_sphere(run, graph.name)
    return _read(path, graph) if path.is_file() else None


def _read(path: Path, graph: CortexGraph) -> NDArray[np.float64]:
    vertices = read_sphere(path, graph.hemisphere).vertices
    if len(vertices) != graph.n_nodes:
        is_made = path.parents[2].name == REGISTER
        again = f"run '{command(path.parents[3], REGISTER, path.parents[1].name)}' again" if is_made else ""
        hint = again or "give the sphere of this midsurface, or remove it"
        raise GraphError(path, found=f"{len(vertices)} vertices", expected=f"{graph.n_nodes}", hint=hint)
    return vertices


def on_unit_sphere(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring (n, 3) spherical positions to radius 1.

    Raises
    ------
    GraphError
        If they lie on no sphere around the origin.
    """
    lengths = np.linalg.norm(vertices, axis=1, keepdims=True)
    if not (lengths > 0).all() or lengths.max() > 1.5 * lengths.min():
        found = f"radii from {lengths.min():.4g} to {lengths.max():.4g}"
        raise GraphError("sphere.surf.gii", found=found, expected="a sphere around the origin")
    return np.asarray(vertices / lengths)
