"""Depth and columns between two rings whose depth is known."""

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point

from cytomesh.analyze.layers.ribbon import Grid, section_ribbon
from cytomesh.study.contours import HemisphereContours

CENTRE, PIAL_PX, WHITE_PX, UM = 100.0, 80.0, 50.0, 50.0


def rings(white=WHITE_PX):
    pial = Point(CENTRE, CENTRE).buffer(PIAL_PX, quad_segs=180)
    inner = MultiPolygon() if white is None else MultiPolygon([Point(CENTRE, CENTRE).buffer(white, quad_segs=180)])
    return HemisphereContours(MultiPolygon([pial]), inner)


@pytest.fixture(scope="module", params=[1.0, 2.0])
def ribbon(request):
    return section_ribbon(rings(), Grid.of((200, 200), UM, request.param * UM), UM, 24)


def radius(points):
    return np.linalg.norm(points - CENTRE, axis=-1)


def test_depth_is_that_of_two_circles(ribbon):
    rows, columns = np.nonzero(np.isfinite(ribbon.depth))
    at = radius(ribbon.grid.image_pixels(np.stack([columns, rows], axis=1)))
    np.testing.assert_allclose(ribbon.depth[rows, columns], (PIAL_PX - at) / (PIAL_PX - WHITE_PX), atol=0.01)
    assert ribbon.inside_white.sum() * ribbon.grid.scale**2 == pytest.approx(np.pi * WHITE_PX**2, rel=0.01)


def test_columns_run_along_radii_from_pial_to_white(ribbon):
    columns = ribbon.columns
    middle_px = np.pi * (PIAL_PX + WHITE_PX)
    assert len(columns) == pytest.approx(middle_px / (2 * ribbon.grid.scale), rel=0.06)
    depths = (np.arange(24) + 0.5) / 24
    np.testing.assert_allclose(
        radius(columns.points), np.broadcast_to(PIAL_PX - 30 * depths, columns.points.shape[:2]), atol=0.6
    )
    bearing = np.degrees(np.arctan2(*(columns.points - CENTRE)[..., ::-1].T))
    drift = (bearing - bearing[12] + 180) % 360 - 180
    assert np.abs(drift).max() < 3
    np.testing.assert_allclose(columns.length_um, 30 * UM, rtol=0.04)
    assert columns.is_closed.all() and len(np.unique(columns.line)) == 1
    outward = columns.feet - CENTRE
    expected = np.degrees(np.arctan2(-outward[:, 1], outward[:, 0]))
    assert np.abs((columns.angles_deg - expected + 180) % 360 - 180).max() < 4


def test_points_at_depths_lie_between_samples(ribbon):
    some = ribbon.columns.at(np.full((len(ribbon.columns), 2), [0.25, 0.8]))
    np.testing.assert_allclose(radius(some), np.broadcast_to([80 - 7.5, 80 - 24], some.shape[:2]), atol=0.6)


def test_pixels_take_the_layer_of_their_depth(ribbon):
    boundaries = np.tile([0.1, 0.2, 0.5, 0.6, 0.8], (len(ribbon.columns), 1))
    painted = ribbon.paint(boundaries)
    rows, columns = np.mgrid[: painted.shape[0], : painted.shape[1]]
    at = radius(ribbon.grid.image_pixels(np.stack([columns, rows], axis=-1)))
    depth = (PIAL_PX - at) / (PIAL_PX - WHITE_PX)
    expected = 1 + (depth[..., None] > boundaries[0]).sum(axis=-1)
    expected[depth <= 0], expected[depth >= 1] = 0, 7
    far = np.abs(depth[..., None] - np.array([0, *boundaries[0], 1])).min(axis=-1) > 0.02
    np.testing.assert_array_equal(painted[far], expected[far])


def test_cortex_without_white_matter_has_no_column():
    ribbon = section_ribbon(rings(None), Grid.of((200, 200), UM, UM), UM, 24)
    assert len(ribbon.columns) == 0 and not np.isfinite(ribbon.depth).any()
    assert (ribbon.paint(np.zeros((0, 5))) == 0).all()


def test_cortex_too_thick_to_be_cortex_has_no_column():
    ribbon = section_ribbon(rings(1.0), Grid.of((200, 200), 200.0, 200.0), 200.0, 24)  # 15.8 mm
    assert len(ribbon.columns) == 0


def test_grids_keep_the_corner():
    grid = Grid.of((101, 50), 50.0, 100.0)
    assert grid.shape == (51, 25)
    np.testing.assert_allclose(grid.image_pixels(np.array([0.0, 1.0])), [0.5, 2.5])
    np.testing.assert_allclose(grid.pixels(grid.image_pixels(np.array([3.0, 4.0]))), [3.0, 4.0])
