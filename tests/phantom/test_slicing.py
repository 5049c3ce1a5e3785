import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon

from cytomesh.core.errors import SurfaceError
from cytomesh.phantom.slicing import cut, fill, polygons


def test_cut_of_a_sphere_is_a_circle(cortex):
    rings = cut(10 * cortex.sphere, cortex.faces, 10 * cortex.sphere[:, 1] - 6.0)
    assert len(rings) == 1
    assert np.allclose(np.linalg.norm(rings[0], axis=1), 10, atol=0.01)
    assert np.allclose(rings[0][:, 1], 6.0)
    assert np.isclose(Polygon(rings[0][:, [0, 2]]).area, np.pi * 64, rtol=1e-2)


def test_all_sections_of_the_template_have_simple_nested_contours(cortex):
    for y in np.arange(-100.0, 65.0, 11.0):
        pial, white = (
            polygons(cut(points[:, [0, 2]], cortex.faces, points[:, 1] - y), 0.1)
            for points in (cortex.pial, cortex.white)
        )
        assert pial.is_valid and white.is_valid and pial.covers(white)
        assert shapely.distance(pial.boundary, white.boundary) > 0.3


def test_crossing_rings_are_refused():
    with pytest.raises(SurfaceError, match="contours cross"):
        polygons([np.array([(0, 0), (4, 4), (4, 0), (0, 4)], float)], 0.0)


def test_fill_against_point_in_polygon():
    rng = np.random.default_rng(0)
    star = [
        (20 + r * np.cos(a), 18 + r * np.sin(a))
        for a, r in zip(np.linspace(0, 6, 15), rng.uniform(6, 25, 15), strict=True)
    ]
    area = MultiPolygon([Polygon(star).buffer(0).difference(Point(20, 18).buffer(4.1))])
    mask = fill(area, (40, 45))
    expected = [[area.contains(Point(column, row)) for column in range(45)] for row in range(40)]
    assert (mask == np.array(expected)).all()
