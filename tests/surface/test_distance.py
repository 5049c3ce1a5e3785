"""In-plane distances against shapely."""

import numpy as np
import shapely

from cytomesh.surface.distance import signed_distance


def segments_of(polygon: shapely.Polygon) -> np.ndarray:
    rings = [shapely.get_coordinates(r) for r in (polygon.exterior, *polygon.interiors)]
    return np.concatenate([np.hstack([r[:-1], r[1:]]) for r in rings])


def test_distance_is_exact_to_the_polygon():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.random(40)) * 2 * np.pi
    radius = 12 + 6 * rng.random(40)
    outline = np.column_stack([20.3 + radius * np.cos(angle), 19.7 + radius * np.sin(angle)])
    polygon = shapely.Polygon(outline, [shapely.Point(20, 20).buffer(4).exterior])
    points = shapely.points(*np.mgrid[:40, :38])
    expected = shapely.distance(points, polygon.boundary) * np.where(shapely.contains(polygon, points), 1, -1)
    found = signed_distance(segments_of(polygon), 40, 38)
    near = np.abs(expected) < 1
    np.testing.assert_allclose(found[near], expected[near], atol=1e-5)
    assert np.abs(found - expected).max() < 0.05


def test_two_banks_of_a_slit_thinner_than_a_voxel_are_seen():
    body = shapely.box(2.2, 2.2, 30.2, 30.2) - shapely.box(15.98, 10, 16.02, 31)
    field = signed_distance(segments_of(body), 33, 33)
    assert (np.abs(field[16, 12:29]) < 0.03).all()
    assert (field[15, 12:29] > 0.9).all()
