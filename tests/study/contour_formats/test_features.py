import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import features
from cytomesh.study.contour_formats.features import close, even_odd, read_bytes, without_number


def square(x, y, half):
    return np.asarray(shapely.box(x - half, y - half, x + half, y + half).exterior.coords)


@given(st.permutations(range(5)))
def test_nested_rings_alternate_between_parts_and_holes(order):
    rings = [square(0, 0, 10), square(0, 0, 8), square(0, 0, 6), square(-3, 0, 1), square(30, 0, 2)]
    polygons = [shapely.Polygon(group[0], group[1:]) for group in even_odd([rings[i] for i in order])]
    assert len(polygons) == 3
    # even-odd by definition: a point is inside if an odd number of rings goes around it
    for point in map(shapely.Point, [(9, 0), (7, 0), (0, 0), (-3, 0), (30, 0), (50, 0)]):
        inside = sum(shapely.Polygon(ring).contains(point) for ring in rings) % 2 == 1
        assert any(polygon.contains(point) for polygon in polygons) == inside


def test_rings_that_make_no_polygon_are_kept_for_the_checks():
    line, lost = np.zeros((2, 2)), np.full((5, 2), np.nan)
    groups = even_odd([line, square(0, 0, 3), lost])
    assert [len(group[0]) for group in groups] == [5, 2, 5]


def test_close_and_names():
    ring = square(0, 0, 1)
    assert close(ring) is ring and np.array_equal(close(ring[:-1]), ring)
    assert len(close(np.empty((0, 2)))) == 0
    assert without_number("pial_L-2") == ("pial_L-2", "pial_L") and without_number("pial_L") == ("pial_L",)


def test_large_and_missing_files(tmp_path, monkeypatch):
    with pytest.raises(ContourError, match="cannot be read"):
        read_bytes(tmp_path)
    monkeypatch.setattr(features, "MAX_BYTES", 10)
    path = tmp_path / "c.geojson"
    with pytest.raises(ContourError, match="no such file"):
        read_bytes(path)
    path.write_bytes(b"x" * 11)
    with pytest.raises(ContourError, match="limit MAX_BYTES"):
        read_bytes(path)
