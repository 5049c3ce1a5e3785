import numpy as np
import pytest
import shapely

from cytomesh.study.contour_formats.svg_path import TOLERANCE_PX, flatten_curves, flatten_path, numbers, parse_transform

UNIT = np.eye(3)


def test_lines_absolute_and_relative_are_the_same():
    absolute = flatten_path("M 10,10 L 20 10 V 30 H 10 Z", UNIT)
    relative = flatten_path("m10 10l10 0v20h-10z", UNIT)
    chained = flatten_path("M10,10 20,10 20,30 10,30z", UNIT)
    expected = [[10, 10], [20, 10], [20, 30], [10, 30], [10, 10]]
    for rings in (absolute, relative, chained):
        assert len(rings) == 1 and rings[0].tolist() == expected


def test_after_z_drawing_goes_on_from_the_start():
    rings = flatten_path("m 5 5 h 2 v 2 z l 0 -1 h 1 z m 10 0 h 1 v 1 z", UNIT)
    assert [ring[0].tolist() for ring in rings] == [[5, 5], [5, 5], [15, 5]]
    assert all(np.array_equal(ring[0], ring[-1]) for ring in rings)


def test_open_subpath_stays_open():
    (ring,) = flatten_path("M0 0 L5 0 L5 5", UNIT)
    assert len(ring) == 3


@pytest.mark.parametrize(("scale", "data"), [(1, "M0 0C0 55 45 100 100 100"), (40, "M0 0 q 0 100 100 100 t 100 100")])
def test_curves_are_within_the_tolerance(scale, data):
    coarse = flatten_path(data, np.diag([scale, scale, 1.0]))[0]
    # the same curve by a hundred times more points, de Casteljau by de Casteljau
    pieces = {"C": [[(0, 0), (0, 55), (45, 100), (100, 100)]]}.get(
        data[4], [[(0, 0), (0, 100), (100, 100)], [(100, 100), (200, 100), (200, 200)]]
    )
    fine = []
    for control in pieces:
        for t in np.linspace(0, 1, 4000):
            points = np.array(control, float) * scale
            while len(points) > 1:
                points = (1 - t) * points[:-1] + t * points[1:]
            fine.append(points[0])
    line = shapely.LineString(coarse)
    assert max(line.distance(shapely.Point(p)) for p in fine) < TOLERANCE_PX
    assert len(coarse) < 500


def test_smooth_cubic_mirrors_the_last_control_point():
    smooth = flatten_path("M0 0 C0 10 10 20 20 20 S 40 10 40 0", UNIT)[0]
    spelt_out = flatten_path("M0 0 C0 10 10 20 20 20 C 30 20 40 10 40 0", UNIT)[0]
    np.testing.assert_allclose(smooth, spelt_out)


def test_transforms():
    point = np.array([1.0, 2.0, 1.0])
    cases = {
        "translate(3) scale(2)": (5, 4),
        "scale(2,3),translate(1 1)": (4, 9),
        "rotate(90)": (-2, 1),
        "rotate(90 1 1)": (0, 1),
        "matrix(1 0 0 1 5 6)": (6, 8),
        "skewX(45)": (3, 2),
        "skewY(45)": (1, 3),
        "": (1, 2),
    }
    for text, expected in cases.items():
        np.testing.assert_allclose((parse_transform(text) @ point)[:2], expected, atol=1e-12)


def test_numbers_need_no_separator():
    assert numbers("1.5.5-2e-1,3") == [1.5, 0.5, -0.2, 3]


@pytest.mark.parametrize(
    "data", ["L 1 1", "M 1", "M 0 0 L 1 x", "M0 0 A 1 1 0 0 0 2 2", "M0 0 Z 1", "M0 0 B 1", "M0 0L"]
)
def test_malformed_data(data):
    with pytest.raises(ValueError, match=r".+"):
        flatten_path(data, UNIT)


@pytest.mark.parametrize("text", ["rotate(1 2)", "shear(1)", "scale(a)", "translate(1", "matrix(1 2 3)"])
def test_malformed_transforms(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_transform(text)


def test_points_are_counted_before_they_are_made():
    with pytest.raises(ValueError, match=r"curves of 2,001 points, more than 2,000"):
        flatten_path("M0 0" + "C9e9 0 0 9e9 1 1" * 2 + "z", UNIT, max_points=2000)


def test_straight_curves_are_lines():
    points, counts = flatten_curves(
        np.array([[[0, 0], [0, 0], [90, 9], [90, 9]], [[0, 0], [90, 9], [90, 9], [90, 9.0]]])
    )
    assert counts.tolist() == [1, 1] and points.tolist() == [[90, 9], [90, 9]]
