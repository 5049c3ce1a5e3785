"""Distances along surfaces: exact where the answer is known, sparse, symmetric, the same for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Delaunay

from cytomesh.graph.geodesics import geodesics_from, load_geodesics, local_geodesics, save_geodesics
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh


def flat(n: int, seed: int) -> Mesh:
    """A disc with an irregular triangulation, obtuse triangles and slivers included."""
    rng = np.random.default_rng(seed)
    radius, angle = 10 * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Mesh(np.column_stack([points, np.zeros(n)]), Delaunay(points).simplices.astype(np.int64))


def along_edges(mesh: Mesh) -> np.ndarray:
    i, j = mesh.edges.T
    lengths = np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1)
    return dijkstra(sp.csr_matrix((lengths, (i, j)), shape=(mesh.n_vertices,) * 2), directed=False)


@pytest.mark.parametrize("seed", [0, 1])
def test_straight_lines_on_a_plane(seed):
    mesh = flat(400, seed)
    for source in (0, 17, 200):
        expected = np.linalg.norm(mesh.vertices - mesh.vertices[source], axis=1)
        error = geodesics_from(mesh, source) - expected
        assert (error > -1e-5).all()
        assert np.median(error) < 1e-5
        assert np.quantile(error, 0.9) < 0.03
        assert error.max() < 0.1  # of 20 mm: slivers hide a little, and the border is not quite convex


def test_great_circles_on_a_sphere():
    mesh = sphere_mesh(4, 20.0)
    for source in (3, 500, 2000):
        expected = 20.0 * np.arccos(np.clip(mesh.vertices @ mesh.vertices[source] / 400.0, -1, 1))
        found = geodesics_from(mesh, source, 25.0)
        near = (expected > 1e-3) & (expected < 24.0)
        error = found[near] / expected[near] - 1
        assert np.abs(error).max() < 0.003  # chords are shorter than arcs
        assert np.abs(along_edges(mesh)[source, near] / expected[near] - 1).mean() > 0.05


def test_a_fold_is_walked_around():
    """Two plates joined at one side: a point opposite is near through the air and far along the surface."""
    x, y = (values.ravel() for values in np.meshgrid(np.arange(21.0), np.arange(7.0), indexing="ij"))
    folded = np.stack([np.minimum(x, 20 - x), y, np.where(x > 10, 1e-3, 0.0)], axis=1)
    number = np.arange(len(x)).reshape(21, 7)
    a, b, c, d = number[:-1, :-1].ravel(), number[1:, :-1].ravel(), number[1:, 1:].ravel(), number[:-1, 1:].ravel()
    mesh = Mesh(folded, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]))
    distance = geodesics_from(mesh, int(number[2, 3]))
    assert distance[number[18, 3]] == pytest.approx(16.0, abs=1e-3)
    assert distance[number[18, 6]] == pytest.approx(np.hypot(16.0, 3.0), abs=1e-3)


@pytest.fixture(scope="module")
def bumpy() -> Mesh:
    """Two bumpy spheres that touch in space but not along the surface."""
    one = sphere_mesh(3, 10.0)
    bumps = 1 + 0.1 * np.sin(3 * one.vertices[:, 0]) * np.cos(2 * one.vertices[:, 1])
    vertices = one.vertices * bumps[:, None]
    return Mesh(
        np.concatenate([vertices, vertices + np.array([15.0, 0, 0])]),
        np.concatenate([one.faces, one.faces + one.n_vertices]),
    )


def dense(found, n: int) -> np.ndarray:
    matrix = np.full((n, n), np.inf)
    rows = np.repeat(np.arange(n), np.diff(found.indptr))
    matrix[rows, found.indices] = found.distances
    return matrix


def test_sparse_distances_are_those_of_single_fronts(bumpy):
    n = bumpy.n_vertices
    found = local_geodesics(bumpy, 6.0)
    matrix = dense(found, n)
    assert np.array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert np.isinf(matrix[: n // 2, n // 2 :]).all()
    assert all(
        (np.diff(found.indices[a:b]) > 0).all() for a, b in zip(found.indptr[:-1], found.indptr[1:], strict=True)
    )
    for source in (0, 5, n // 2 + 7):
        front = geodesics_from(bumpy, source, 6.0)
        above = np.arange(n) >= source
        assert np.array_equal(matrix[source, above], front[above].astype(np.float16).astype(float))
        both = np.isfinite(front) & np.isfinite(matrix[source])
        np.testing.assert_allclose(matrix[source, both], front[both], rtol=0.01, atol=0.01)


def test_wanted_vertices_only_any_threads_and_files(bumpy, tmp_path):
    n = bumpy.n_vertices
    wanted = np.flatnonzero(np.arange(n) % 3 == 1)
    found = local_geodesics(bumpy, 5.0, wanted, threads=2)
    whole, part = dense(local_geodesics(bumpy, 5.0), n), dense(found, n)
    assert np.array_equal(part[np.ix_(wanted, wanted)], whole[np.ix_(wanted, wanted)])
    assert len(found.indices) == np.isfinite(part[np.ix_(wanted, wanted)]).sum()
    assert found.nbytes == 8 * (n + 1) + 6 * len(found.indices)
    save_geodesics(tmp_path / "geodesics", found)
    loaded = load_geodesics(tmp_path / "geodesics")
    assert np.array_equal(dense(loaded, n), part)
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, n, (2, 500))
    assert np.array_equal(loaded.between(first, second), part[first, second].astype(np.float32))
