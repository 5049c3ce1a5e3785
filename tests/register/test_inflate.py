"""Inflated surfaces: sulci open, and lengths change less than by smoothing."""

import numpy as np
import pytest

from cytomesh.register.inflate import inflate
from cytomesh.register.operators import stiffness
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import bumpy


@pytest.fixture(scope="module")
def folded():
    return bumpy(3, depth=0.4)


@pytest.fixture(scope="module")
def inflated(folded):
    return inflate(folded)


def convexity(surface):
    """Volume as share of the convex hull's."""
    return surface.volume_mm3 / surface.to_trimesh().convex_hull.volume


def changes(before, after):
    """Mean change of the edges' lengths, as shares."""
    lengths = [np.linalg.norm(m.vertices[m.edges[:, 0]] - m.vertices[m.edges[:, 1]], axis=1) for m in (before, after)]
    return np.abs(lengths[1] / lengths[0] - 1).mean()


def smoothed(surface, share):
    """Plain smoothing, again and again, until it is as convex; area kept."""
    neighbours = surface.adjacency().astype(float)
    degrees = np.asarray(neighbours.sum(axis=1))
    points = surface.vertices
    middle = np.average(points, axis=0, weights=surface.vertex_areas)
    for _ in range(500):
        points = 0.5 * points + 0.5 * (neighbours @ points) / degrees
        found = Mesh(points, surface.faces)
        if convexity(found) >= share:
            break
    away = points - middle
    return Mesh(middle + away * np.sqrt(surface.area_mm2 / found.area_mm2), surface.faces)


def test_sulci_open_and_the_area_stays(folded, inflated):
    assert convexity(inflated) > convexity(folded) + 0.4 * (1 - convexity(folded))
    assert inflated.area_mm2 == pytest.approx(folded.area_mm2)
    np.testing.assert_array_equal(inflated.faces, folded.faces)
    assert inflated.volume_mm3 > 1.1 * folded.volume_mm3


def test_lengths_change_less_than_by_smoothing(folded, inflated):
    assert changes(folded, inflated) < 0.7 * changes(folded, smoothed(folded, convexity(inflated)))


def test_stays_where_it_was_and_as_it_was_turned(folded, inflated):
    before, after = (np.average(m.vertices, axis=0, weights=folded.vertex_areas) for m in (folded, inflated))
    np.testing.assert_allclose(after, before, atol=1e-6)
    for axis in range(3):
        assert np.corrcoef(folded.vertices[:, axis], inflated.vertices[:, axis])[0, 1] > 0.97


def test_is_less_bent(folded, inflated):
    def bending(mesh):
        pulls = stiffness(mesh) @ mesh.vertices
        return (pulls**2 / mesh.vertex_areas[:, None]).sum()

    assert bending(inflated) < 0.5 * bending(folded)


def test_size_does_not_matter(folded, inflated):
    larger = inflate(Mesh(10.0 * folded.vertices + 3.0, folded.faces))
    np.testing.assert_allclose(larger.vertices, 10.0 * inflated.vertices + 3.0, atol=0.5)
