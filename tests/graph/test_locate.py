import numpy as np
import pytest

from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.locate import SLACK, CortexLocator, depth_of_share, volume_share
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh


def test_link_pixels_lead_back_to_the_midsurface_beside_their_node(shapes):
    ribbon = shapes.folded(5)
    nodes = ribbon.midthickness.vertices
    sections = [LinkSection(i, shapes.coronal(float(y)), (1001, 1001)) for i, y in enumerate(range(-18, 19))]
    links = link_positions(ribbon, sections, nodes, 0.6, 1.2)
    locator = CortexLocator(ribbon)
    for section in sections:
        linked = np.flatnonzero(links.section == section.index)
        places = locator.pixels(section.plane, links.pixels[linked])
        assert places.is_inside.all()
        assert places.depth == pytest.approx(0.5, abs=1e-6)
        assert np.abs(section.plane.pixels(places.world(ribbon)) - links.pixels[linked]).max() < 1e-6
        away = np.linalg.norm(nodes[places.nodes(ribbon)] - nodes[linked], axis=1)
        assert (away < links.reach_mm[linked] + 0.7).all()


def test_every_pixel_of_the_ribbon_has_a_place_and_no_other(shapes):
    ribbon = shapes.sphere(5)
    plane = shapes.coronal(2.0, um_per_px=250.0, corner_mm=12.0)
    pixels = np.stack(np.meshgrid(np.arange(97.0), np.arange(97.0)), axis=-1).reshape(-1, 2)
    radius = np.linalg.norm(plane.world(pixels), axis=1)
    places = CortexLocator(ribbon).pixels(plane, pixels)
    inside = (radius < 9.98) & (radius > 8.005)
    assert places.is_inside[inside].all()
    assert not places.is_inside[(radius > 10.01) | (radius < 7.97)].any()
    assert np.abs(places.depth[inside] - (10.0 - radius[inside]) / 2.0).max() < 0.02
    assert np.abs(plane.pixels(places.world(ribbon))[inside] - pixels[inside]).max() < 1e-6


def test_equivolumetric_depth_is_the_share_of_the_shell_above(shapes):
    ribbon = shapes.sphere(4)  # radii 10 and 8
    directions = np.random.default_rng(1).standard_normal((200, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    radius = np.random.default_rng(2).uniform(8.1, 9.9, 200)
    depth = CortexLocator(ribbon).places(directions * radius[:, None]).equivolumetric_depth(ribbon)
    assert depth == pytest.approx((1000 - radius**3) / (1000 - 512), abs=0.02)
    assert np.isnan(CortexLocator(ribbon).places(np.zeros((1, 3))).equivolumetric_depth(ribbon)).all()


def test_positions_inside_the_ribbon_are_found_again(shapes):
    ribbon = shapes.folded(4)
    rng = np.random.default_rng(0)
    face = rng.integers(0, ribbon.midthickness.n_faces, 500)
    weights = rng.dirichlet([2.0, 2.0, 2.0], 500)
    depth = rng.uniform(0.02, 0.98, 500)
    corners = ribbon.midthickness.faces[face]
    upper = np.where((depth < 0.5)[:, None, None], ribbon.pial.vertices[corners], ribbon.white.vertices[corners])
    share = np.abs(depth - 0.5)[:, None] * 2.0
    world = np.einsum("nb,nbx->nx", weights, ribbon.midthickness.vertices[corners]) * (1.0 - share)
    world += np.einsum("nb,nbx->nx", weights, upper) * share
    places = CortexLocator(ribbon).places(world)
    assert places.is_inside.all()
    assert places.world(ribbon) == pytest.approx(world, abs=1e-6)
    assert places.depth == pytest.approx(depth, abs=1e-3)
    assert (places.face == face).mean() > 0.99


def test_no_positions(shapes):
    assert len(CortexLocator(shapes.sphere(1)).places(np.empty((0, 3))).face) == 0


@pytest.mark.parametrize(("outer", "inner"), [(10.0, 8.0), (8.0, 10.0), (30.0, 27.0)])
def test_share_in_a_shell_is_that_of_the_radii_cubed(outer, inner):
    depth = np.linspace(0, 1, 11)
    radius = outer + depth * (inner - outer)
    expected = (radius**3 - outer**3) / (inner**3 - outer**3)
    found = volume_share(np.full(11, outer**2), np.full(11, inner**2), depth)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found - depth)[5] > 0.02


def test_depth_of_share_inverts_share_of_depth():
    generator = np.random.default_rng(0)
    areas = generator.uniform(0.1, 3.0, (2, 200))
    areas[1, :20] = areas[0, :20]
    depth = generator.uniform(0, 1, 200)
    np.testing.assert_allclose(depth_of_share(*areas, volume_share(*areas, depth)), depth, atol=1e-12)


def test_surface_encloses_the_volume_it_is_named_after():
    pial, white = sphere_mesh(4, 10.0), sphere_mesh(4, 7.5)
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        depth = depth_of_share(pial.vertex_areas, white.vertex_areas, share)[:, None]
        surface = Mesh((1 - depth) * pial.vertices + depth * white.vertices, pial.faces)
        expected = pial.volume_mm3 + share * (white.volume_mm3 - pial.volume_mm3)
        assert surface.volume_mm3 == pytest.approx(expected, rel=2e-3)


def test_places_are_those_of_a_closed_form_in_whatever_order_points_come():
    middle = sphere_mesh(3, 40.0)
    pial, white = (Mesh(middle.vertices * r / 40, middle.faces) for r in (41.5, 38.5))
    locator = CortexLocator(Ribbon(pial, middle, white))
    # a section through the middle, row by row, as outlines ask for it; most samples lie outside
    across = np.arange(-43.0, 43.1, 1.1)
    points = np.stack(np.meshgrid(across, [0.3], across, indexing="ij"), axis=-1).reshape(-1, 3)
    # p = s (w . corners), whose s is the radius and tells the depth: linear for copies of one mesh
    parts = np.einsum("fij,nj->nfi", np.linalg.inv(middle.vertices[middle.faces].transpose(0, 2, 1)), points)
    scale = parts.sum(axis=2)
    is_over = (parts >= 0).all(axis=2) & (scale > 0)
    face = np.where(is_over.any(axis=1), is_over.argmax(axis=1), -1)
    scale = scale[np.arange(len(points)), face]
    depth = 0.5 + (1 - scale) * 40 / 3
    is_inside = (face >= 0) & (np.abs(depth - 0.5) < 0.5)
    for order in (np.arange(len(points)), np.random.default_rng(0).permutation(len(points))):
        places = locator.places(points[order])
        is_clear = np.abs(np.abs(depth - 0.5) - 0.5)[order] > 2 * SLACK
        assert (places.is_inside == is_inside[order])[is_clear].all()
        inside = np.flatnonzero(places.is_inside & is_clear)
        assert (places.face[inside] == face[order][inside]).all()
        weights = (parts[np.arange(len(points)), face] / scale[:, None])[order]
        assert places.weights[inside] == pytest.approx(weights[inside], abs=1e-9)
        assert places.depth[inside] == pytest.approx(depth[order][inside], abs=1e-9)
