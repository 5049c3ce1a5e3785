"""Contours of known bodies to surfaces: radii, thickness, topology, narrow sulci, orientation, gaps."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy.spatial.transform import Rotation

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.quality import point_to_surface, self_intersections
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import PlaneContours

SETTINGS = SurfaceConfig(voxel_mm=0.5, edge_length_mm=1.2)
CENTRE = np.array([3.0, -2.0, 5.0])


def radii(vertices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices - CENTRE, axis=1)


def test_nested_spheres(nested_spheres):
    surfaces = reconstruct(nested_spheres(10, 6, np.arange(-9.5, 10, 1.0)), SETTINGS)
    assert np.array_equal(surfaces.pial.faces, surfaces.white.faces)
    for mesh, radius in ((surfaces.pial, 10), (surfaces.white, 6)):
        assert mesh.is_closed
        assert mesh.euler_number == 2
        assert abs(radii(mesh.vertices).mean() - radius) < 0.05
        assert mesh.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    np.testing.assert_allclose(surfaces.thickness_mm, 4, atol=0.35)
    assert abs(surfaces.thickness_mm.mean() - 4) < 0.05
    # lines are straight here: the thickness is the distance of the surfaces as they are
    apart = np.linalg.norm(surfaces.pial.vertices - surfaces.white.vertices, axis=1)
    np.testing.assert_allclose(surfaces.thickness_mm, apart, atol=0.02)
    # half-way between the radii, where depth 1/2 of Laplace's equation lies at their harmonic mean, 7.5
    assert abs(radii(surfaces.midthickness.vertices).mean() - 8) < 0.05
    rays = [(m.vertices - CENTRE) / radii(m.vertices)[:, None] for m in (surfaces.pial, surfaces.white)]
    assert (rays[0] * rays[1]).sum(1).min() > 0.99
    report = surfaces.report
    assert report["white"]["euler_number_before"] == 2
    assert report["white"]["voxels_filled"] == report["pial"]["voxels_cut"] == 0
    assert len(report["pial"]["contour_distance_mm"]["mean"]) == 20
    assert report["depth"]["residual"] <= SETTINGS.tolerance


def test_missing_planes_unequal_spacing_any_order(nested_spheres):
    heights = np.delete(np.arange(-9.5, 10, 0.5), [5, 12, 13, 14, 20, 30, 31])
    sections = nested_spheres(10, 6, np.random.default_rng(0).permutation(heights))
    surfaces = reconstruct(sections, SETTINGS)
    assert np.abs(radii(surfaces.pial.vertices) - 10).max() < 0.4
    assert abs(radii(surfaces.white.vertices).mean() - 6) < 0.05


@pytest.mark.parametrize("boundaries", [("white",), ("pial", "white")])
def test_a_forgotten_boundary_is_bridged_like_a_missing_section(nested_spheres, boundaries):
    sections = nested_spheres(10, 6, np.arange(-9.5, 10, 1.0))
    sections[8] = replace(sections[8], **dict.fromkeys(boundaries, shapely.MultiPolygon()))
    surfaces = reconstruct(sections[::-1], SETTINGS)
    for name, radius in (("pial", 10), ("white", 6)):
        assert surfaces.report[name]["bridged"] == ([11] if name in boundaries else [])
        assert surfaces.report[name]["n_discarded"] == 0 and surfaces.report[name]["euler_number_before"] == 2
        mesh = getattr(surfaces, name)
        assert mesh.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
        assert np.abs(radii(mesh.vertices) - radius).max() < 0.4
    assert surfaces.thickness_mm.max() < 4.5


def test_rotated_planes_give_rotated_surfaces(nested_spheres):
    frame = Rotation.from_euler("xyz", [30, -50, 110], degrees=True).as_matrix()
    heights = np.arange(-9.5, 10, 1.5)
    plain = reconstruct(nested_spheres(10, 6, heights), SETTINGS)
    rotated = reconstruct(nested_spheres(10, 6, heights, frame), SETTINGS)
    back = (rotated.pial.vertices - CENTRE) @ frame + CENTRE
    assert point_to_surface(back, plain.pial).max() < 0.05


def test_torus_becomes_genus_zero_and_says_where():
    sections = []
    for height in np.arange(-3.5, 4, 1.0):
        half = [np.sqrt(max(r * r - height**2, 0)) for r in (4.0, 2.2)]
        regions = [
            shapely.MultiPolygon([shapely.Point(15, 15).buffer(9 + h, 64) - shapely.Point(15, 15).buffer(9 - h, 64)])
            if h > 0
            else shapely.MultiPolygon()
            for h in half
        ]
        to_world = np.column_stack([[1.0, 0, 0], [0, 1.0, 0], [0, 0, height]])
        sections.append(PlaneContours(to_world, *regions))
    surfaces = reconstruct(sections, SETTINGS)
    assert surfaces.pial.euler_number == surfaces.white.euler_number == 2
    white = surfaces.report["white"]
    assert white["euler_number_before"] == 0
    assert white["voxels_filled"] + white["voxels_cut"] > 10
    place = np.array(white["places_mm"][0])
    assert white["n_places"] == 1
    assert abs(np.hypot(*(place[:2] - 15)) - 9) < 2.3


def folded(gap_mm: float) -> list[PlaneContours]:
    """A block of cortex with one sulcus, its banks `gap_mm` apart: far less than a voxel."""
    white = shapely.MultiPolygon(
        [shapely.box(2, 2, 22, 6).union(shapely.box(2, 2, 8, 16)).union(shapely.box(16, 2, 22, 16))]
    )
    slit = shapely.box(12 - gap_mm / 2, 9, 12 + gap_mm / 2, 30)
    pial = shapely.MultiPolygon([shapely.box(-1, -1, 25, 19) - slit])
    outer = shapely.MultiPolygon([shapely.box(-1, -1, 25, 19)])
    empty = shapely.MultiPolygon()
    planes = []
    for n, height in enumerate(np.arange(0, 16.0, 1.0)):
        is_end = n in (0, 15)
        to_world = np.column_stack([[1.0, 0, 0], [0, 1.0, 0], [0, 0, height]])
        planes.append(PlaneContours(to_world, outer if is_end else pial, empty if is_end else white))
    return planes


def test_banks_closer_than_a_voxel_do_not_fuse():
    surfaces = reconstruct(folded(0.08), SurfaceConfig(voxel_mm=0.5, edge_length_mm=0.8))
    pial = surfaces.pial
    assert pial.euler_number == 2
    bank = np.column_stack([np.full(50, 12.0), np.linspace(11.5, 16, 50), np.full(50, 7.5)])
    assert point_to_surface(bank, pial).max() < 0.3
    assert len(self_intersections(pial)) == 0
    assert len(self_intersections(surfaces.white)) == 0


def test_too_few_sections(nested_spheres):
    with pytest.raises(SurfaceError, match="at least 3 sections"):
        reconstruct(nested_spheres(10, 6, [0, 1]), SETTINGS)
