"""Small synthetic runs: icospheres with planted areas, noisy features, sections along y; real files."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import trimesh

from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import CortexGraph, save_graph
from cytomesh.surface.mesh import Mesh

N_AREAS = 6


def sphere(subdivisions=3):
    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=40.0)
    return Mesh(np.asarray(ball.vertices, np.float64), np.asarray(ball.faces, np.int64))


def make_graph(brain="B01", hemisphere="L", role="train", subdivisions=3, seed=0, with_pmap=True):
    """A sphere with six areas (Voronoi cells of fixed centres, mirrored on the right) and twelve sections along y."""
    random = np.random.default_rng(seed)
    mesh = sphere(subdivisions)
    n = mesh.n_vertices
    mirror = np.array([-1.0, 1, 1]) if hemisphere == "R" else np.ones(3)
    centres = np.random.default_rng(7).normal(size=(N_AREAS, 3)) * mirror
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    area = (mesh.vertices @ centres.T).argmax(axis=1) + 1
    section = np.clip(((mesh.vertices[:, 1] + 40) / 80 * 12).astype(np.int32), 0, 11)
    is_linked = section != 5  # a missing section
    roles = np.array(["train", "val", "test"])[np.array([0, 1, 2, 0, 0, 2, 0, 1, 2, 0, 0, 2])]
    x, y, z = mesh.vertices.T
    pmap = sp.csr_matrix(np.eye(N_AREAS, dtype=np.float32)[area - 1] * 0.8)
    columns = {
        "x_mm": x, "y_mm": y, "z_mm": z, "ref_x_mm": x, "ref_y_mm": y, "ref_z_mm": z,
        "section": np.where(is_linked, section, -1).astype(np.int32),
        "column_px": x * 10, "row_px": z * 10, "angle_deg": np.zeros(n), "obliqueness_deg": random.uniform(0, 40, n),
        "distance_mm": random.normal(0, 0.1, n), "is_linked": is_linked,
        "link_reason": np.where(is_linked, "", "no section"),
        "section_role": np.where(is_linked, roles[section], "none"),
        "annotation": np.where(is_linked, area, 0).astype(np.int32),
        "thickness_mm": 2.0 + area * 0.1 + random.normal(0, 0.1, n), "curvature_per_mm": random.normal(0, 0.1, n),
        "area_mm2": np.ones(n),
    }  # fmt: skip
    if with_pmap:
        columns["pmap"] = pmap
    table = LabelTable.from_names([f"area {i}" for i in range(1, N_AREAS + 1)])
    return CortexGraph(brain, hemisphere, role, mesh, Table(columns), table)


def make_features(graph, noise=2.0, d=8, seed=0):
    """A code vector for each area plus noise; NaN at unlinked nodes."""
    codes = np.random.default_rng(3).normal(size=(N_AREAS + 1, d))
    values = codes[graph.annotation] + noise * np.random.default_rng([seed, *graph.name.encode()]).normal(
        size=(graph.n_nodes, d)
    )
    values[~graph.is_linked] = np.nan
    return values.astype(np.float32)


def change(graph, **columns):
    """The same graph with some node columns replaced."""
    return replace(graph, nodes=Table({**graph.nodes.columns, **columns}))


def save(run: Path, graph, features=None, encoder="cnn", facts=None):
    save_graph(run, graph, {"sphere": sphere_of(graph)}, {})
    save_features(run, encoder, graph, make_features(graph) if features is None else features, facts or {})
    return graph


def sphere_of(graph):
    vertices = graph.mesh.vertices
    return Mesh(vertices / np.linalg.norm(vertices, axis=1, keepdims=True) * 100, graph.mesh.faces)


@pytest.fixture(scope="session")
def section_run(tmp_path_factory):
    """Three brains (train, transfer, unseen), one left hemisphere each; read only."""
    run = tmp_path_factory.mktemp("sections")
    for brain, role in (("B01", "train"), ("B02", "transfer"), ("B03", "unseen")):
        save(run, make_graph(brain, "L", role))
    return run


@pytest.fixture(scope="session")
def hemisphere_run(tmp_path_factory):
    """Both hemispheres of one brain; read only."""
    run = tmp_path_factory.mktemp("hemispheres")
    for hemisphere in "LR":
        save(run, make_graph("B01", hemisphere))
    return run


@pytest.fixture
def synthetic():
    """The makers above, for tests that change something."""
    return SimpleNamespace(
        graph=make_graph, features=make_features, save=save, change=change, sphere=sphere, n_areas=N_AREAS
    )
