"""Stacking of planes: the grid, and what cannot be stacked."""

import numpy as np
import pytest
import shapely
from scipy.spatial.transform import Rotation

from cytomesh.core.errors import ConfigError, SurfaceError
from cytomesh.surface.stack import PlaneContours, stack_contours


def test_grid_round_trip(nested_spheres):
    grid = stack_contours(nested_spheres(10, 6, np.arange(-9, 10, 3)), 0.7).grid
    points = np.random.default_rng(1).random((10, 3)) * 20
    np.testing.assert_allclose(grid.indices(grid.world(points)), points, atol=1e-12)


def test_segments_have_the_inside_on_their_left():
    # a ring with a hole, drawn the wrong way round, in planes whose rows run against the grid
    body = shapely.box(10, 10, 30, 30) - shapely.box(15, 15, 20, 20)
    for flip in (1.0, -1.0):
        to_world = [np.column_stack([[1.0, 0, 0], [0, flip, 0], [0, 0, height]]) for height in (0.0, 1.0, 2.0)]
        for polygon in (body, body.reverse()):
            region = shapely.MultiPolygon([polygon])
            stack = stack_contours([PlaneContours(plane, region, region) for plane in to_world], 0.5)
            for line in stack.pial[1]:
                along = line[2:] - line[:2]
                left = (line[:2] + line[2:]) / 2 + 0.1 * np.array([-along[1], along[0]]) / np.linalg.norm(along)
                pixel = stack.grid.world(np.array([[*left, stack.heights[1, 0]]]))[0, :2] * [1, flip]
                assert body.contains(shapely.Point(pixel))


@pytest.mark.parametrize(
    ("heights", "message"),
    [([], "0 of 0"), ([0, 1], "2 of 2"), ([0, 1, 1, 2], "neither coincide nor cross"), ([-20, 0, 1, 20], "2 of 4")],
)
def test_too_few_or_coinciding_planes(nested_spheres, heights, message):
    with pytest.raises(SurfaceError, match=message):
        stack_contours(nested_spheres(10, 6, heights), 1.0)


def test_no_white_anywhere(nested_spheres):
    sections = [PlaneContours(p.to_world, p.pial, shapely.MultiPolygon()) for p in nested_spheres(10, 6, [0, 1, 2])]
    with pytest.raises(SurfaceError, match="no white contour"):
        stack_contours(sections, 1.0)


def test_strongly_tilted_planes(nested_spheres):
    sections = nested_spheres(10, 6, [0, 1, 2])
    turn = Rotation.from_euler("x", 50, degrees=True).as_matrix()
    tilted = PlaneContours(turn @ sections[2].to_world, sections[2].pial, sections[2].white)
    with pytest.raises(SurfaceError, match="tilted by more than 30 degrees"):
        stack_contours([*sections[:2], tilted], 1.0)


def test_voxels_that_no_memory_holds(nested_spheres):
    with pytest.raises(
        ConfigError, match=r"surface\.voxel_mm: found 1e-05 mm, .* voxels in 2. x 2. x 2. mm.*larger voxels"
    ):
        stack_contours(nested_spheres(10, 6, np.arange(-9, 10, 3)), 1e-5)
