import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from cytomesh.study.contour_formats.nesting import even_odd


def square(x, y, half):
    return np.asarray(shapely.box(x - half, y - half, x + half, y + half).exterior.coords)


@given(st.permutations(range(5)))
def test_nested_rings_alternate_between_parts_and_holes(order):
    rings = [square(0, 0, 10), square(0, 0, 8), square(0, 0, 6), square(-3, 0, 1), square(30, 0, 2)]
    polygons = [shapely.Polygon(group[0], group[1:]) for group in even_odd([rings[i] for i in order], "c.svg")]
    assert len(polygons) == 3
    # even-odd by definition: a point is inside if an odd number of rings goes around it
    for point in map(shapely.Point, [(9, 0), (7, 0), (0, 0), (-3, 0), (30, 0), (50, 0)]):
        inside = sum(shapely.Polygon(ring).contains(point) for ring in rings) % 2 == 1
        assert any(polygon.contains(point) for polygon in polygons) == inside


def test_rings_that_make_no_polygon_are_kept_for_the_checks():
    line, lost = np.zeros((2, 2)), np.full((5, 2), np.nan)
    groups = even_odd([line, square(0, 0, 3), lost], "c.svg")
    assert [len(group[0]) for group in groups] == [5, 2, 5]
