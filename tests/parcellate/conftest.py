"""Small runs on disk with planted parcels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import CortexGraph, save_graph
from cytomesh.surface.mesh import Mesh


def planted(
    subdivisions: int = 3, n_areas: int = 8, noise: float = 0.3, seed: int = 0, hemisphere: str = "L", copies: int = 1
) -> tuple[CortexGraph, NDArray[np.float32]]:
    """A sphere with geodesic areas, each with its own mean feature vector; the pole above z = 48 mm is unlinked."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=50.0)
    shift = np.array([150.0, 0.0, 0.0])
    vertices = np.concatenate([sphere.vertices + number * shift for number in range(copies)])
    faces = np.concatenate([sphere.faces + number * len(sphere.vertices) for number in range(copies)])
    mesh = Mesh(vertices, faces)
    rng = np.random.default_rng(seed)
    centres = np.concatenate([50.0 * _spread_points(n_areas, rng) + number * shift for number in range(copies)])
    area = np.argmin(((vertices[:, None] - centres[None]) ** 2).sum(-1), axis=1) + 1
    n = mesh.n_vertices
    is_linked = vertices[:, 2] < 48.0
    columns = {
        **{name: vertices[:, i] for i, name in enumerate(("x_mm", "y_mm", "z_mm"))},
        **{name: vertices[:, i] for i, name in enumerate(("ref_x_mm", "ref_y_mm", "ref_z_mm"))},
        "section": np.where(is_linked, 0, -1).astype(np.int32),
        "column_px": np.zeros(n),
        "row_px": np.zeros(n),
        "angle_deg": np.zeros(n),
        "is_linked": is_linked,
        "section_role": np.where(is_linked, "train", "none"),
        "annotation": np.where(is_linked, area, 0).astype(np.int32),
    }
    labels = LabelTable.from_names([f"A{i:02d}" for i in range(1, copies * n_areas + 1)])
    graph = CortexGraph("B01", hemisphere, "train", mesh, Table(columns), labels)
    features = rng.normal(size=(copies * n_areas, 12))[area - 1] + noise * rng.normal(size=(n, 12))
    features[~is_linked] = np.nan
    return graph, features.astype(np.float32)


def _spread_points(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    for _ in range(50):  # repulsion: areas of about one size
        away = points[:, None] - points[None]
        squared = (away**2).sum(-1, keepdims=True) + np.eye(n)[..., None]
        points = points + 0.1 * (away / squared**1.5).sum(1) / n
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points)


def write_run(run: Path, hemispheres: str = "L", has_sphere: bool = True, **options: float) -> Path:
    """Write a run directory of planted graphs with the features "planted"."""
    for number, hemisphere in enumerate(hemispheres):
        graph, features = planted(hemisphere=hemisphere, seed=number, **options)  # type: ignore[arg-type]
        surfaces = {"pial": graph.mesh, "white": graph.mesh}
        if has_sphere:
            surfaces["sphere"] = graph.mesh
        save_graph(run, graph, surfaces, {})  # type: ignore[arg-type]
        save_features(run, "planted", graph, features, {})
    return run


@pytest.fixture(scope="session")
def make_planted() -> Callable[..., tuple[CortexGraph, NDArray[np.float32]]]:
    """The function that makes a graph with planted areas, and its features."""
    return planted


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a run directory of planted graphs."""
    return lambda **options: write_run(tmp_path / "run", **options)


@pytest.fixture(scope="session")
def without_links() -> Callable[[CortexGraph, NDArray[np.bool_]], CortexGraph]:
    """A function that takes the image links of some nodes away."""

    def unlink(graph: CortexGraph, gone: NDArray[np.bool_]) -> CortexGraph:
        columns = {**graph.nodes.columns, "is_linked": graph.is_linked & ~gone}
        return replace(graph, nodes=Table(columns))

    return unlink
