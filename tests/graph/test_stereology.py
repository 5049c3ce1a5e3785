from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, box

from cytomesh.graph.stereology import contour_estimates
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import PlaneContours


def discs(heights, radius_mm, um_per_px=50.0):
    step = um_per_px / 1000
    result = []
    for y in heights:
        matrix = np.array([[step, 0, -30.0], [0, 0, y], [0, -step, 30.0]])
        half = np.sqrt(max(radius_mm**2 - y**2, 0.0))
        ring = MultiPolygon([Point(600, 600).buffer(half / step, 128)]) if half else MultiPolygon()
        result.append(PlaneContours(matrix, ring, MultiPolygon()))
    return result


@pytest.mark.parametrize("seed", [None, 0])
def test_a_ball_at_equal_and_unequal_spacing(seed):
    heights = np.arange(-20.5, 21.0)
    if seed is not None:
        heights = np.sort(np.random.default_rng(seed).uniform(-20.5, 20.5, 60))
    contours = discs(heights, 20.0)
    order = np.random.default_rng(1).permutation(len(contours))
    pial = contour_estimates([contours[k] for k in order])["pial"]
    assert pial["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    assert pial["area_mm2"] == pytest.approx(4 * np.pi * 20**2, rel=0.03)


def test_a_section_without_a_boundary_between_others_says_nothing():
    contours = discs(np.arange(-20.5, 21.0), 20.0)
    empty = [replace(plane, pial=MultiPolygon()) if k in (12, 30, 31) else plane for k, plane in enumerate(contours)]
    found = contour_estimates(empty)["pial"]
    assert found == pytest.approx(contour_estimates([p for p in empty if not p.pial.is_empty])["pial"], rel=0.01)
    assert found["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)


def test_a_boundary_that_is_nowhere_has_none():
    assert contour_estimates(discs(np.arange(-5.0, 6.0), 8.0))["white"] == {"volume_mm3": 0.0, "area_mm2": 0.0}


def test_a_block_whose_white_matter_ends_by_cuts_is_estimated_as_it_is_built():
    """Pial and white share three sides, as people draw them: the surfaces are kept apart there."""
    is_cut, contours = (True, True), []
    for y in np.arange(0.0, 5.6, 0.5):
        matrix = np.array([[0.1, 0, -10.0], [0, 0, y], [0, -0.1, 8.0]])
        pial, white = (MultiPolygon([box(10, top, 210, 150)]) for top in (20, 45))
        contours.append(PlaneContours(matrix, pial, white))
    settings = SurfaceConfig(voxel_mm=0.25, edge_length_mm=1.0)
    built = reconstruct(contours, settings, is_cut).pial
    found = contour_estimates(contours, is_cut, settings.min_thickness_mm)["pial"]["volume_mm3"]
    assert built.volume_mm3 == pytest.approx(found, rel=0.02)
    assert built.volume_mm3 > 1.05 * contour_estimates(contours, is_cut)["pial"]["volume_mm3"]
