"""How much a map to the sphere stretches, against singular values triangle by triangle."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cytomesh.register.distortion import SphereDistortion, flat_edges, is_flipped, stretch, unfolded
from cytomesh.surface.mesh import Mesh, unit
from tests.register.bodies import ball, bumpy, degrees_between, directions, ellipsoid, warped

CPU = torch.device("cpu")


def energy_by_loops(surface, sphere):
    """The formula, triangle by triangle, with the singular values of the map between the triangles' planes."""
    scale = np.sqrt(4 * np.pi / surface.area_mm2)
    total = 0.0
    for face, area in zip(surface.faces, surface.face_areas, strict=True):
        a, b, c = surface.vertices[face] * scale
        x, y, z = sphere[face]
        side = (b - a) / np.linalg.norm(b - a)
        up = (c - a) - (c - a) @ side * side
        up /= np.linalg.norm(up)
        before = np.array([[(b - a) @ side, (c - a) @ side], [(b - a) @ up, (c - a) @ up]])
        jacobian = np.column_stack([y - x, z - x]) @ np.linalg.inv(before)
        s1, s2 = np.linalg.svd(jacobian, compute_uv=False)
        outward = np.cross(y - x, z - x) @ (x + y + z) / np.linalg.norm(x + y + z)
        lean = outward / np.linalg.norm(np.cross(y - x, z - x))
        total += area * ((s1**2 + s2**2) * (1 + 1 / (s1 * s2 * lean) ** 2) - 4)
    return total / surface.area_mm2


@pytest.mark.parametrize("surface", [ellipsoid(2), bumpy(2)], ids=["ellipsoid", "bumpy"])
def test_energy_is_that_of_the_singular_values(surface):
    sphere = unit(surface.vertices)
    found = SphereDistortion(surface, CPU)(torch.as_tensor(sphere))
    assert float(found) == pytest.approx(energy_by_loops(surface, sphere), rel=1e-10)
    assert float(found) > 0.1


def test_positions_count_as_directions():
    energy, positions = SphereDistortion(ellipsoid(2), CPU), torch.as_tensor(ball(2).vertices)
    lengths = torch.linspace(0.5, 3.0, len(positions))[:, None]
    torch.testing.assert_close(energy(positions * lengths), energy(positions))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_gradient_is_that_of_small_differences(smoothing):
    energy = SphereDistortion(bumpy(2), CPU)
    places = ball(2).vertices
    start = torch.tensor(places, requires_grad=True)
    energy(start, smoothing).backward()
    for vertex, axis in ((0, 0), (17, 1), (100, 2)):
        moved = np.zeros_like(places)
        moved[vertex, axis] = 1e-6
        up, down = (float(energy(torch.as_tensor(places + sign * moved), smoothing)) for sign in (1, -1))
        assert float(start.grad[vertex, axis]) == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-8)


def test_a_turned_sphere_costs_nothing():
    sphere = ball(3)
    turned = sphere.vertices @ Rotation.from_euler("xyz", [40, 100, -70], degrees=True).as_matrix().T
    found = float(SphereDistortion(Mesh(70 * sphere.vertices, sphere.faces), CPU)(torch.as_tensor(turned)))
    # triangles' middles lean a little against their planes; the polyhedron is smaller than the sphere
    assert found == pytest.approx(0.0, abs=1e-3)
    assert found < SphereDistortion(ellipsoid(3), CPU)(torch.as_tensor(turned))


def flipped_once(sphere):
    """Push a vertex out of the ring around it."""
    places = sphere.vertices.copy()
    neighbour = sphere.edges[sphere.edges[:, 0] == 0][0, 1]
    places[0] = unit((2.5 * places[neighbour] - 1.5 * places[0])[None])[0]
    return places


def test_flipped_triangles_are_beyond_the_border():
    sphere = ball(2)
    places = flipped_once(sphere)
    by_loops = [np.linalg.det(places[face]) <= 0 for face in sphere.faces]
    assert 0 < sum(by_loops) < 6
    np.testing.assert_array_equal(is_flipped(places, sphere.faces), by_loops)
    energy = SphereDistortion(sphere, CPU)
    assert energy(torch.as_tensor(places)) is None
    assert energy.smallest(torch.as_tensor(places)) < 0 < energy.smallest(torch.as_tensor(sphere.vertices))
    assert np.isfinite(float(energy(torch.as_tensor(places), smoothing=0.1)))
    assert energy(torch.as_tensor(places), smoothing=0.1) > energy(torch.as_tensor(places), smoothing=1.0)


def test_stretch_of_a_body_twice_as_long():
    """A dense sphere pulled along z: what the map to the sphere does at each place is known."""
    sphere = ball(4)
    pulled = Mesh(sphere.vertices * [1.0, 1.0, 2.0], sphere.faces)
    found = stretch(pulled, 100 * sphere.vertices)
    # by formula at many places: the body's tangent plane is mapped to the sphere's
    totals = np.zeros(3)
    scale = np.sqrt(4 * np.pi / pulled.area_mm2)
    for place in directions(4000):
        frame = np.linalg.svd(place[None])[2][1:].T  # (3, 2), tangent to the sphere
        s1, s2 = 1 / (scale * np.linalg.svd(np.diag([1.0, 1.0, 2.0]) @ frame, compute_uv=False)[::-1])
        area = 1 / (s1 * s2)
        totals += area * np.array([1.0, abs(np.log2(s1 * s2)), np.log2(s1 / s2)])
    assert found["area_log2"] == pytest.approx(totals[1] / totals[0], rel=0.03)
    assert found["shape_log2"] == pytest.approx(totals[2] / totals[0], rel=0.03)
    edges = [
        (pulled.vertices[i] - pulled.vertices[j], sphere.vertices[i] - sphere.vertices[j]) for i, j in sphere.edges
    ]
    shares = [abs(np.linalg.norm(after) / np.linalg.norm(scale * before) - 1) for before, after in edges]
    assert found["edge_share"] == pytest.approx(np.mean(shares))
    assert found["flipped"] == 0


def test_stretch_of_what_is_the_same_and_of_what_is_flipped():
    sphere = ball(3)
    same = stretch(Mesh(37.0 * sphere.vertices, sphere.faces), sphere.vertices)
    assert same["area_log2"] < 0.02
    assert same["shape_log2"] < 1e-6
    assert stretch(sphere, flipped_once(sphere))["flipped"] == is_flipped(flipped_once(sphere), sphere.faces).sum()


def test_flat_triangles_have_their_lengths_and_slivers_some_height():
    surface = bumpy(2)
    flat = flat_edges(surface, 0.01)
    for edges, (a, b, c) in zip(flat, 0.01 * surface.vertices[surface.faces], strict=True):
        one, two = edges.T
        np.testing.assert_allclose(
            [one @ one, two @ two, one @ two], [(b - a) @ (b - a), (c - a) @ (c - a), (b - a) @ (c - a)]
        )
    points = surface.vertices.copy()
    points[surface.faces[0, 1]] = points[surface.faces[0, 0]]
    assert (np.linalg.det(flat_edges(Mesh(points, surface.faces), 0.01)) > 0).all()


def test_a_few_flipped_triangles_are_mended():
    sphere = ball(4)
    folded = warped(sphere.vertices)
    folded[100] = 2.5 * folded[sphere.adjacency()[100].indices[0]] - 1.5 * folded[100]
    folded[100] /= np.linalg.norm(folded[100])
    assert is_flipped(folded, sphere.faces).any()
    mended = unfolded(folded, sphere.faces)
    assert not is_flipped(mended, sphere.faces).any()
    assert (degrees_between(mended, folded) > 1e-9).sum() < 20
    np.testing.assert_allclose(np.linalg.norm(mended, axis=1), 1.0)
    np.testing.assert_array_equal(unfolded(mended, sphere.faces), mended)


def test_what_cannot_be_mended_is_left_as_it_is():
    sphere = ball(2)
    inward = sphere.vertices * [-1.0, 1.0, 1.0]
    assert unfolded(inward, sphere.faces) is inward
