"""Drawing surfaces onto contours: against known circles, the right bank of a slit, brute-force distances."""

import numpy as np
import pytest
import shapely

from cytomesh.surface.contour_fit import LEAST_COSINE, REACH, _cells, _gap, fit_to_contours
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh

CENTRE = np.array([20.0, 18.0, 15.0])


def ring(points: np.ndarray) -> np.ndarray:
    """Segments of a closed ring given counter-clockwise."""
    return np.hstack([points, np.roll(points, -1, axis=0)])


def circle(radius: float, n: int = 200) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return ring(CENTRE[:2] + radius * np.column_stack([np.cos(angle), np.sin(angle)]))


@pytest.mark.parametrize("tilt", [0.0, 0.15])
@pytest.mark.parametrize("spacing", [0.7, 2.0])
def test_sphere_grows_to_the_circles_that_planes_cut_from_a_larger_one(tilt, spacing):
    mesh = Mesh(sphere_mesh(4, 10.0).vertices + CENTRE, sphere_mesh(4, 10.0).faces)
    heights, segments = [], []
    for at in np.arange(-9.6, 9.7, spacing):
        # plane k = c + tilt * i, at a distance from the centre along its normal
        c = CENTRE[2] + at * np.sqrt(1 + tilt**2) - tilt * CENTRE[0]
        heights.append([c, tilt, 0.0])
        radius = np.sqrt(11.0**2 - at**2)
        angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
        first, second = np.array([1.0, 0.0, tilt]) / np.sqrt(1 + tilt**2), np.array([0.0, 1.0, 0.0])
        foot = CENTRE + at * np.array([-tilt, 0.0, 1.0]) / np.sqrt(1 + tilt**2)
        points = foot + radius * (np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second)
        segments.append(ring(points[:, :2]))
    fitted = fit_to_contours(mesh, np.array(heights), segments)
    radii = np.linalg.norm(fitted - CENTRE, axis=1)
    seen = np.abs(fitted - CENTRE)[:, 2] < 9
    assert np.abs(radii[seen] - 11).max() < 0.1
    # vertices lie outside, triangles around the sphere: the enclosed volume is right
    assert Mesh(fitted, mesh.faces).volume_mm3 == pytest.approx(4 / 3 * np.pi * 11**3, rel=0.01)


def test_surface_without_contours_in_reach_stays():
    mesh = Mesh(sphere_mesh(3, 10.0).vertices + CENTRE, sphere_mesh(3, 10.0).faces)
    far = fit_to_contours(mesh, np.array([[CENTRE[2], 0.0, 0.0]]), [circle(10 + REACH + 0.5)])
    assert np.array_equal(far, mesh.vertices)
    assert np.array_equal(fit_to_contours(mesh, np.zeros((1, 3)), [np.empty((0, 4))]), mesh.vertices)


def gap_by_brute_force(x: float, y: float, normal: np.ndarray, lines: np.ndarray) -> float:
    best, gap = REACH, np.nan
    for segment in lines:
        along = segment[2:] - segment[:2]
        outward = np.array([along[1], -along[0]]) / np.linalg.norm(along)
        distance = shapely.Point(x, y).distance(shapely.LineString(segment.reshape(2, 2)))
        if outward @ normal >= LEAST_COSINE and distance < best:
            nearest = shapely.LineString(segment.reshape(2, 2))
            foot = np.array(nearest.interpolate(nearest.project(shapely.Point(x, y))).coords[0])
            best, gap = distance, float((foot - [x, y]) @ outward)
    return gap


def test_gap_is_that_of_the_nearest_contour_facing_the_same_way():
    # an H-shaped outline: narrow slits whose banks face each other
    outline = shapely.box(0, 0, 12, 12) - shapely.box(5.8, -1, 6.1, 5) - shapely.box(5.8, 7, 6.1, 13)
    points = shapely.get_coordinates(shapely.segmentize(shapely.orient_polygons(outline).exterior, 0.7))[:-1]
    lines = ring(points)
    cells = _cells(lines)
    generator = np.random.default_rng(3)
    found = 0
    for _ in range(200):
        x, y = generator.uniform(-4, 16, 2)
        angle = generator.uniform(0, 2 * np.pi)
        normal = np.array([np.cos(angle), np.sin(angle)])
        expected = gap_by_brute_force(x, y, normal, lines)
        assert _gap(x, y, *normal, lines, *cells) == pytest.approx(expected, nan_ok=True)
        found += np.isfinite(expected)
    assert found > 50
    # a voxel away from the slit, the bank that faces left is the right one's, 0.3 further
    args = (lines, *cells)
    assert _gap(5.0, 2.0, 1.0, 0.0, *args) == pytest.approx(0.8)
    assert _gap(5.0, 2.0, -1.0, 0.0, *args) == pytest.approx(-1.1)
